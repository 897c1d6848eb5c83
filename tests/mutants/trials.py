"""Builds a mutant in a copy of the tree, and runs the tests that should notice it."""

from __future__ import annotations

import os
import re
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fastseq import _kernels

from .changes import Change

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build/mutants"
NOT_COPIED = (".git", ".venv*", "build", "dist", "__pycache__", ".*_cache")

# Outcomes: a mutant that is not built counts for nothing, nor one whose compiled code is unchanged.
KILLED, SURVIVED, NOT_BUILT, SAME_CODE = "killed", "survived", "not built", "same code"

# The tests of the table of AVX2 do: the others are pinned to the same reference. Central
# differences check the reference alone.
SELECTION = ("-k", "not baseline and not avx512 and not central_differences")
# Of these modules, and of those that begin with these paths, the tests.
MODULE_TESTS = {
    "attention": ("tests/layers/attention",),
    "cells": ("tests/layers/recurrent",),
    "decoding": (
        *("tests/models/seq2seq", "tests/models/test_decoding.py"),
        *("tests/kernels/hostile/test_calls.py", "tests/transducer/search"),
    ),
    "dense": (
        *("tests/layers/test_affine.py", "tests/layers/test_embedding.py", "tests/layers"),
        *("tests/transducer/ensemble", "tests/kernels/test_kernels.py"),
    ),
    "hard_attention": ("tests/transducer/network",),
    "optim": ("tests/training/test_optim.py", "tests/training/test_optimizer_state.py"),
    "recurrent": (
        *("tests/layers/recurrent", "tests/kernels/test_kernels.py"),
        *("tests/kernels/hostile/test_recurrent_calls.py", "tests/kernels/hostile/test_memory.py"),
    ),
    "runtime": ("tests/kernels", "--ignore=tests/kernels/test_ckernels.py"),
    "arrays": ("tests/layers", "tests/kernels/hostile", "tests/kernels/test_kernels.py"),
}
PYTHON_TESTS = {
    "fastseq/layers/recurrent": (
        *("tests/layers/recurrent", "tests/layers/test_inner_attributes.py"),
        *("tests/layers/test_run_together.py", "tests/models/seq2seq/test_greedy_decode.py"),
        "tests/interop/export/test_textbook.py",
    ),
    "fastseq/layers": (
        *("tests/layers", "--ignore=tests/layers/recurrent"),
        "tests/models/seq2seq/test_arguments.py",
    ),
    "fastseq/models": ("tests/models",),
    "fastseq/decoding.py": ("tests/models/test_decoding.py",),
    "fastseq/train": ("tests/training/test_train.py", "tests/training/test_train_rnnlm.py"),
    "fastseq/optim.py": ("tests/training/test_optim.py", "tests/training/test_optimizer_state.py"),
    "fastseq/files.py": ("tests/training/test_files.py", "tests/models/files"),
    "fastseq/data": ("tests/training/test_data.py", "tests/training/test_generated_data.py"),
    "fastseq/transducer/data": ("tests/transducer/data", "tests/transducer/test_texts.py"),
    "fastseq/transducer/network": (
        *("tests/transducer/network", "tests/transducer/search"),
        "tests/transducer/test_copying.py",
    ),
    "fastseq/transducer/training": ("tests/transducer/training",),
}
# A mutant that swaps pointers of two types is not built, instead of built with a warning.
STRICT = ("-Werror=incompatible-pointer-types", "-Werror=int-conversion")
POOL_FILES = ("csrc/thread_pool.c", "csrc/thread_pool.h", "csrc/system_threads.h")
PYTEST_STARTED_NO_TEST = (4, 5)
TABLES = {"avx2": "avx2", "avx2:bfloat16": "emulated/avx2", "baseline": "baseline"}
PAIRS_FILES = ("csrc/tile/bf16.h", "csrc/tile/pairs.h")
HAS_PAIRS = "avx512_bf16" in _kernels.bfloat16_isas()
if HAS_PAIRS:
    TABLES["avx512_bf16:bfloat16"] = "avx512_bf16"

# The driver checks a topic alone, which is a matter of a second, then all.
TOPICS = {
    "vmath": "vmath",
    "simd/": "vmath",
    "affine": "linear",
    "embedding": "linear",
    "gemm": "linear",
    "tile/": "linear",
    "softmax": "softmax",
    "hard_attention": "hard_attention",
    "attention": "attention",
    "optim": "optim",
    "decod": "decoding",
}


class Trials:
    """A copy of the tree, and what is built of it, in which one mutant after the other is tried."""

    def __init__(self, deep: bool) -> None:
        self._deep = deep
        self._tree = WORK / "tree"
        self._objects = WORK / "objects"
        shutil.rmtree(WORK / "tree", ignore_errors=True)
        shutil.copytree(ROOT, self._tree, ignore=shutil.ignore_patterns(*NOT_COPIED))
        self._objects.mkdir(parents=True, exist_ok=True)
        self._setup = runpy.run_path(str(ROOT / "setup.py"))
        self._driver_is_built = False
        self._passed: set[str] = set()

    def of(self, change: Change) -> tuple[str, str]:
        """The outcome of a change, and the first line that says why."""
        if change.path.startswith("csrc/") and not self._driver_is_built:
            self._build_driver()
        with self._changed(change):
            if change.path.startswith("csrc/"):
                outcome, why = self._kernels(change)
            elif change.path.startswith("fastseq/_kernels/"):
                outcome, why = self._extension(change)
            else:
                outcome, why = self._python(change)
        self._require_that_it_passed(why)
        return outcome, why

    def _require_that_it_passed(self, why: str) -> None:
        """A test that failed must pass without a change, else it says nothing of the mutant."""
        test = re.match(r"FAILED (tests/.*?)(?: - |$)", why)
        if test is not None and test[1] not in self._passed:
            failed = self._run(sys.executable, "-m", "pytest", test[1], "-q", limit=900)
            if failed:
                raise RuntimeError(f"{test[1]} fails without a change: {failed}")
            self._passed.add(test[1])

    @contextmanager
    def _changed(self, change: Change) -> Iterator[None]:
        path = self._tree / change.path
        text = path.read_text("utf-8")
        path.write_text(text[: change.start] + change.new + text[change.end :], "utf-8")
        try:
            yield
        finally:
            path.write_text(text, "utf-8")

    # ---- csrc ----

    def _kernels(self, change: Change) -> tuple[str, str]:
        table = _table_of(change.path)
        unit = f"csrc/isa/{TABLES[table]}.c"
        source = "csrc/thread_pool.c" if change.path in POOL_FILES else unit
        original, mutant = self._object(source), self._objects / "mutant.o"
        self._require_pass(table)
        # most are killed by the first checks of their topic: compiling takes longer than these
        done = self._compile(source, mutant, "-O0")
        if done is None or done.returncode:
            return NOT_BUILT, _first_error(done)
        killed = self._pool_tests() if change.path in POOL_FILES else ""
        topic = next((of for part, of in TOPICS.items() if part in change.path), "recurrent")
        killed = killed or self._run(self._link_mutant(mutant, original), "--only", topic, table)
        if killed:
            return KILLED, killed
        self._compile(source, mutant)
        if mutant.read_bytes() == original.read_bytes():
            return SAME_CODE, ""
        killed = self._run(self._link_mutant(mutant, original), table)
        if killed or not self._deep:
            return (KILLED, killed) if killed else (SURVIVED, "")
        return self._kernels_from_python(mutant, source)

    def _build_driver(self) -> None:
        """Compile what is older than the sources; the driver must pass without a change."""
        sources = [*(ROOT / "csrc").rglob("*.[ch]"), *(ROOT / "tests/ckernels").rglob("*.[ch]")]
        newest = max(path.stat().st_mtime for path in sources)
        for source in self._sources():
            unit = self._object(source)
            if not unit.exists() or unit.stat().st_mtime < newest:
                done = self._compile(source, unit)
                assert done is not None and done.returncode == 0, done
        self._driver_is_built = True

    def _require_pass(self, table: str) -> None:
        """The driver must pass without a change, else every mutant would count as killed."""
        if table not in self._passed:
            killed = self._run(self._link(self._driver_objects()), table)
            assert not killed, f"the driver fails without a change: {killed}"
            self._passed.add(table)

    def _sources(self) -> list[str]:
        tables = [*TABLES.values(), "emulated/baseline"]
        own = ("tests/ckernels/driver.c", "csrc/dispatch.c", "csrc/thread_pool.c")
        return [*own, *(f"csrc/isa/{table}.c" for table in tables)]

    def _driver_objects(self) -> list[Path]:
        return [self._object(each) for each in self._sources()]

    def _object(self, source: str) -> Path:
        return self._objects / (source.replace("/", "_") + ".o")

    def _compile(
        self, source: str, into: Path, optimize: str = "-O1"
    ) -> subprocess.CompletedProcess[str] | None:
        flags = [*self._setup["COMMON_FLAGS"], optimize, "-fPIC", "-pthread", "-w", *STRICT]
        flags += ["-DFS_HAVE_AVX2", "-Icsrc", *(["-DFS_HAVE_AVX512_BF16"] if HAS_PAIRS else [])]
        for isa in self._setup["ISAS"]:
            if any(source.endswith(f"isa/{table}.c") for table in isa.tables):
                flags += isa.flags
        if "driver" in source:
            # a few layouts and shapes, and the end at the first failure: seconds
            flags += ["-DQUICK", "-DFLOAT_STRIDE=65521", "-DSTOP_AT_FAILURE", "-DGUARD_PAGES"]
        return self._call("cc", *flags, "-c", source, "-o", into, limit=300)

    def _link_mutant(self, mutant: Path, original: Path) -> Path:
        objects = self._driver_objects()
        return self._link([mutant if each == original else each for each in objects])

    def _link(self, objects: Sequence[Path]) -> Path:
        driver = self._objects / "driver"
        self._call("cc", "-pthread", *objects, "-lm", "-o", driver, limit=60)
        return driver

    def _pool_tests(self) -> str:
        program = self._objects / "thread_pool"
        source = "tests/ckernels/thread_pool/main.c"
        command = ("cc", "-O1", "-std=c11", "-w", "-pthread", "-Icsrc", source)
        self._call(*command, "csrc/thread_pool.c", "-o", program, limit=60)
        return self._run(program)

    def _kernels_from_python(self, mutant: Path, source: str) -> tuple[str, str]:
        """Link the mutant into the module that contains the kernels; run the tests of layers."""
        unit = str(Path(source).with_suffix(".o"))
        replaced = [mutant if each.match(unit) else each for each in self._built_objects()]
        library = self._library("runtime")
        saved = library.read_bytes()
        self._call("cc", "-shared", "-pthread", *replaced, "-lm", "-o", library, limit=60)
        try:
            return self._tests(("tests/layers", "tests/kernels/test_threads.py"))
        finally:
            library.write_bytes(saved)

    # ---- fastseq/_kernels ----

    def _extension(self, change: Change) -> tuple[str, str]:
        module = Path(change.path).stem
        written = self._objects / f"{module}.c"
        done = self._call(
            *(sys.executable, "-m", "cython", "-3", change.path, "-o", written), limit=120
        )
        if done is None or done.returncode:
            return NOT_BUILT, _first_error(done)
        library = self._library(module)
        saved = library.read_bytes()
        built = self._objects / f"{module}.o"
        done = self._call("cc", *self._extension_flags(), "-c", written, "-o", built, limit=300)
        if done is None or done.returncode:
            return NOT_BUILT, _first_error(done)
        others = self._built_objects()[1:] if module == "runtime" else []
        self._call("cc", "-shared", "-pthread", built, *others, "-lm", "-o", library, limit=60)
        try:
            return self._tests(MODULE_TESTS[module])
        finally:
            library.write_bytes(saved)

    def _extension_flags(self) -> list[str]:
        import numpy

        headers = (self._tree / "csrc", numpy.get_include(), sysconfig.get_path("include"))
        flags = [*self._setup["COMMON_FLAGS"], "-O0", "-fPIC", "-pthread", "-w"]
        flags += ["-DNPY_NO_DEPRECATED_API=NPY_2_0_API_VERSION", "-DFS_HAVE_AVX2"]
        return [*flags, *(f"-I{header}" for header in headers)]

    def _built_objects(self) -> list[Path]:
        """What the module of the kernels is linked of, as `make` left it: first its own object."""
        [own] = (ROOT / "build").glob("editable.*/fastseq/_kernels/runtime.o")
        return [own, *sorted((own.parents[2] / "csrc").rglob("*.o"))]

    def _library(self, module: str) -> Path:
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        return self._tree / "fastseq/_kernels" / f"{module}{suffix}"

    # ---- Python ----

    def _python(self, change: Change) -> tuple[str, str]:
        source = (self._tree / change.path).read_text("utf-8")
        try:
            compile(source, change.path, "exec")
        except SyntaxError as error:
            return NOT_BUILT, str(error)
        for folder, tests in PYTHON_TESTS.items():
            if change.path.startswith(folder):
                return self._tests(tests)
        raise ValueError(f"no tests of {change.path} are known")

    def _tests(self, tests: Sequence[str]) -> tuple[str, str]:
        command = (sys.executable, "-m", "pytest", *tests, *SELECTION, "-x", "-q")
        command += ("--no-header", "-p", "no:cacheprovider")
        killed = self._run(*command, limit=900)
        if killed in (f"exit status {status}" for status in PYTEST_STARTED_NO_TEST):
            raise RuntimeError(f"{' '.join(command)}: {killed}")
        return (KILLED, killed) if killed else (SURVIVED, "")

    # ---- processes ----

    def _run(self, *command: str | Path, limit: float = 400) -> str:
        """Why a program failed; empty if it did not."""
        done = self._call(*command, limit=limit)
        if done is None:
            return f"ran longer than {limit:g} s"
        if done.returncode == 0:
            return ""
        lines = [line for line in done.stdout.splitlines() if "FAILED" in line or "Error" in line]
        return (lines or [f"exit status {done.returncode}"])[0][:200]

    def _call(self, *command: str | Path, limit: float) -> subprocess.CompletedProcess[str] | None:
        """Run a program in the copy of the tree; None if it did not end in time.

        The limit is of the clock, for a program that waits forever. One that computes forever ends
        after half of that in time of the processor.
        """
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self._tree), str(self._tree / "python")]),
            "PYTHONDONTWRITEBYTECODE": "1",  # a mutant may have the size and time of the original
        }
        process = subprocess.Popen(
            command,
            cwd=self._tree,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (int(limit / 2),) * 2),
        )
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # and what it started
            process.communicate()
            return None
        return subprocess.CompletedProcess(command, process.returncode, output, "")


def _table_of(path: str) -> str:
    if path == "csrc/simd/generic.h":
        return "baseline"
    if path == "csrc/operand.h":
        return "avx2:bfloat16"
    return "avx512_bf16:bfloat16" if path in PAIRS_FILES else "avx2"


def _first_error(done: subprocess.CompletedProcess[str] | None) -> str:
    if done is None:
        return "the compiler did not end"
    return next((line for line in done.stdout.splitlines() if "rror" in line), "")[:200]
