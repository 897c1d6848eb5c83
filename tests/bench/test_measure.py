"""How speed is measured: backends in turn, each in a process of its own.

No test depends on a time: the seconds are given, or ignored.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from fastseq import _kernels
from fastseq.bench import measure, memory, workers
from fastseq.bench.backends import Backend
from fastseq.bench.measure import PEAK, REFERENCE, ParityError, Settings
from fastseq.bench.workers import WorkerError
from fastseq.bench.workloads import WORKLOADS, Workload, in_precisions
from fastseq.precision import products_in
from support.bench.benchmarking import FASTSEQ, TINY, FakeWorker
from support.processes import SANITIZED

Capture = pytest.CaptureFixture[str]


def ignore(_: str) -> None:
    """Ignore the progress."""


# the measurement, with workers that return given values


def test_backends_run_in_alternating_order(fake: type[FakeWorker]) -> None:
    backends = [REFERENCE, FASTSEQ, PEAK]
    group = measure.measure(TINY["lstm"], backends, 1, Settings(3, 0.0), ignore)
    warm_up, rounds = fake.log[:6], fake.log[6:]
    names = ["reference", str(FASTSEQ), "peak"]
    assert warm_up == [name for name in names for _ in range(2)]
    assert rounds == [*names, *reversed(names), *names]
    assert [(entry.backend, entry.isa) for entry in group.entries] == backends
    assert [entry.seconds for entry in group.entries] == [(0.25,) * 3] * 3
    assert [entry.parity for entry in group.entries] == [None, 0.0, None]
    assert {entry.peak_bytes for entry in group.entries} == {1000}
    assert group.name == "lstm, 1 thread"
    assert list(group.isas) == _kernels.available_isas()


def test_nothing_is_timed_when_results_differ(fake: type[FakeWorker]) -> None:
    fake.results_of["fastseq"] = {"hs": np.float32([1, 1.0001])}
    with pytest.raises(ParityError, match=r"^lstm: fastseq .*: hs differs .*nothing was timed"):
        measure.measure(TINY["lstm"], [REFERENCE, FASTSEQ], 1, Settings(3, 0.0), ignore)
    assert fake.log == []


def test_the_reference_is_compared_with_where_it_is_not_timed(fake: type[FakeWorker]) -> None:
    many = TINY["many"]
    timed = measure.backends_of(many, ["reference", "fastseq"], ["avx2"])
    assert timed == [Backend("fastseq", "avx2"), PEAK]
    group = measure.measure(many, timed, 1, Settings(1, 0.0), ignore)
    assert "reference" not in fake.log
    assert [(entry.backend, entry.isa) for entry in group.entries] == timed
    fake.results_of["reference"] = {"hs": np.zeros(2, dtype=np.float32)}
    with pytest.raises(ParityError):
        measure.measure(many, timed, 1, Settings(1, 0.0), ignore)


def test_another_number_of_threads_is_refused(fake: type[FakeWorker]) -> None:
    fake.about["threads"] = 2
    with pytest.raises(WorkerError, match="asked for 1 threads, it uses 2"):
        measure.measure(TINY["lstm"], [REFERENCE], 1, Settings(1, 0.0), ignore)


def test_backends_of_a_workload() -> None:
    backends, isas = ["reference", "fastseq", "torch", "jax"], ["avx2", "baseline"]

    def names(workload: Workload) -> list[str]:
        return [str(backend) for backend in measure.backends_of(workload, backends, isas)]

    fastseqs = ["fastseq avx2", "fastseq baseline"]
    assert names(TINY["lstm"]) == ["reference", *fastseqs, "torch", "jax", "peak"]
    assert names(TINY["lstm-N2"]) == ["reference", "fastseq avx2", "torch", "peak"]
    assert names(TINY["gru"]) == ["reference", *fastseqs, "peak"]
    assert names(TINY["loss"]) == ["reference", *fastseqs, "torch"]
    assert names(TINY["rnnlm"]) == ["reference", *fastseqs, "torch", "peak"]
    busy = ["fastseq avx2", "fastseq 1 thread avx2", "torch", "torch 1 thread"]
    assert names(TINY["busy"]) == busy
    assert names(WORKLOADS["import"]) == ["numpy", "fastseq avx2", "torch"]


def test_backends_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "multiplies_bfloat16", lambda: True)
    lstm, many = in_precisions([TINY["lstm"], TINY["many"]], ["bfloat16"])
    names = ["reference", "fastseq", "torch", "jax"]
    with products_in("float32"):
        own = Backend("fastseq float32", _kernels.isa())
    both = [Backend("fastseq", "amx"), own, Backend("torch"), PEAK]
    assert measure.backends_of(lstm, names, ["amx"]) == both
    assert measure.backends_of(many, names, ["amx"]) == [*both[:3], Backend("torch int8"), PEAK]
    assert measure.backends_of(many, ["fastseq"], ["amx"]) == [*both[:2], PEAK]
    assert measure.without_bfloat16(names, ["bfloat16"]) == {}
    monkeypatch.setattr(measure, "multiplies_bfloat16", lambda: False)
    assert measure.backends_of(many, names, ["amx"]) == [*both[:2], Backend("torch int8"), PEAK]
    assert measure.without_bfloat16(names, ["float32", "bfloat16"]).keys() == {"torch bfloat16"}
    assert measure.without_bfloat16(names, ["float32"]) == {}
    assert measure.without_bfloat16(["fastseq"], ["bfloat16"]) == {}


def test_what_a_backend_is() -> None:
    lstm, low = in_precisions([TINY["lstm"]], ["float32", "bfloat16"])
    for name, library, threads, precision in (
        ("fastseq", "fastseq", 4, "bfloat16"),
        ("fastseq float32", "fastseq", 4, "float32"),
        ("torch", "torch", 4, "bfloat16"),
        ("torch int8", "torch", 4, "int8"),
        ("torch 1 thread", "torch", 1, "bfloat16"),
        ("reference", "reference", 4, "float32"),
        ("peak", "peak", 4, "float32"),
    ):
        backend = Backend(name)
        found = backend.library, backend.threads(4), backend.precision(low)
        assert found == (library, threads, precision)
        assert backend.precision(lstm) == ("int8" if name == "torch int8" else "float32")


def test_results_of_each_precision_have_its_tolerance(fake: type[FakeWorker]) -> None:
    [low] = in_precisions([TINY["lstm"]], ["bfloat16"])
    ours, own = FASTSEQ, Backend("fastseq float32", FASTSEQ.isa)
    fake.results_of["fastseq"] = {"hs": np.float32([1, 1.02])}
    group = measure.measure(low, [ours, own], 1, Settings(1, 0.0), ignore)
    assert [(entry.precision, entry.parity) for entry in group.entries] == [
        ("bfloat16", pytest.approx(0.02, rel=1e-5)),
        ("float32", 0.0),
    ]
    assert group.entries[0].title.endswith(", products of bfloat16")
    fake.results_of["fastseq float32"] = {"hs": np.float32([1, 1.02])}
    with pytest.raises(ParityError, match=r"^lstm-bfloat16: fastseq float32 .*more than 1e-05"):
        measure.measure(low, [ours, own], 1, Settings(1, 0.0), ignore)


def test_every_core_is_busy_while_a_workload_beside_others_is_timed(
    fake: type[FakeWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def busy(count: int) -> Iterator[None]:
        fake.log.append(f"{count} busy")
        yield
        fake.log.append("idle")

    monkeypatch.setattr(measure, "busy_cores", busy)
    monkeypatch.setattr(measure, "cores", lambda: 3)
    one = Backend("fastseq 1 thread", FASTSEQ.isa)
    group = measure.measure(TINY["busy"], [FASTSEQ, one], 2, Settings(1, 0.0), ignore)
    names = [str(FASTSEQ), str(one)]
    warm_up = [name for name in names for _ in range(2)]
    assert fake.log == ["3 busy", *warm_up, *names, "idle"]
    assert [entry.threads for entry in group.entries] == [2, 1]
    measure.measure(TINY["lstm"], [FASTSEQ], 2, Settings(1, 0.0), ignore)
    assert fake.log.count("3 busy") == 1


# the processes


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not show them")
def test_busy_processes_run_until_the_end() -> None:
    def spinning() -> int:
        found = 0
        for file in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                state, parent = file.read_text().rpartition(")")[2].split()[:2]
                found += parent == str(os.getpid()) and state == "R"
        return found

    before = spinning()
    with workers.busy_cores(2):
        deadline = time.monotonic() + 60
        while spinning() < before + 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert spinning() == before + 2
    assert spinning() == before


def test_import_fastseq_imports_no_module_of_bench() -> None:
    code = "import sys, fastseq; print([m for m in sys.modules if m.startswith('fastseq.bench')])"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout == "[]\n"


def test_the_environment_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("FASTSEQ_ISA", "neon")
    monkeypatch.setenv("FASTSEQ_PRECISION", "float32")
    [low] = in_precisions([TINY["lstm"]], ["bfloat16"])
    environment = workers._environment(Backend("fastseq", "avx2"), low, 3)
    assert environment["FASTSEQ_ISA"] == "avx2"
    assert environment["FASTSEQ_PRECISION"] == "bfloat16"
    other = workers._environment(Backend("torch"), low, 3)
    assert other.keys().isdisjoint({"FASTSEQ_ISA", "FASTSEQ_PRECISION"})
    assert {environment[name] for name in workers.THREAD_VARIABLES} == {"3"}
    assert environment.keys().isdisjoint({"PYTHONDONTWRITEBYTECODE", "OPENBLAS_CORETYPE"})


def test_a_worker_that_ends_is_named(capfd: Capture) -> None:
    wrong = Backend("fastseq", "no-such-set")
    with pytest.raises(WorkerError, match=r"worker of fastseq no-such-set \(lstm, threads: 1\)"):
        measure.measure(TINY["lstm"], [REFERENCE, wrong], 1, Settings(1, 0.0), ignore)
    assert "no-such-set" in capfd.readouterr().err


def test_a_worker_computes_in_the_precision_of_the_workload(capfd: Capture) -> None:
    [low] = in_precisions([TINY["lstm"]], ["bfloat16"])
    timed = measure.backends_of(low, ["fastseq"], measure.isas("bfloat16")[:1])[:2]
    group = measure.measure(low, timed, 1, Settings(1, 0.0), ignore)
    ours, own = (entry.parity for entry in group.entries)
    assert own is not None
    assert ours is not None
    assert own < measure.ARRAY_TOLERANCE < ours


@pytest.mark.usefixtures("float32_products")
def test_the_import_is_that_of_a_new_process() -> None:
    workload = WORKLOADS["import"]
    ours = ("fastseq", _kernels.isa())
    timed = measure.backends_of(workload, ["fastseq"], [_kernels.isa()])
    group = measure.measure(workload, timed, 1, Settings(1, 0.0), ignore)
    assert [(entry.backend, entry.isa) for entry in group.entries] == [("numpy", None), ours]
    assert {entry.parity for entry in group.entries} == {None}
    if memory.STATUS.exists():
        assert all((entry.peak_bytes or 0) > 10e6 for entry in group.entries)


def test_the_instruction_sets_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTSEQ_ISA", raising=False)
    first, *others = measure.isas()
    assert first == _kernels.isa()
    assert sorted([first, *others]) == sorted(_kernels.available_isas())
    assert sorted(measure.isas("bfloat16")) == sorted(_kernels.bfloat16_isas())
    monkeypatch.setenv("FASTSEQ_ISA", first)
    assert measure.isas() == (first,)


def test_the_peak_of_memory() -> None:
    assert memory.peak_bytes("Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t 1000 kB\n") == 1234 * 1024
    assert memory.peak_bytes("") is None


@pytest.mark.skipif(not memory.STATUS.exists(), reason="the system does not report it")
@pytest.mark.skipif(SANITIZED, reason="the sanitizer keeps what is freed")
def test_the_peak_of_memory_can_be_reset() -> None:
    code = (
        "import numpy as np; from fastseq.bench.memory import *; before = peak_bytes();"
        "np.ones(8_000_000); high = peak_bytes(); forget_peak();"
        "print(high - before > 60e6, high - peak_bytes() > 60e6)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout == "True True\n"
