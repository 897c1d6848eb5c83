"""How speed is measured: backends in turn, each in a process of its own.

No test depends on a time: the seconds are given, or ignored.
"""

import subprocess
import sys

import numpy as np
import pytest

from fastseq import _kernels
from fastseq.bench import measure, memory, workers
from fastseq.bench.measure import PEAK, REFERENCE, ParityError, Settings
from fastseq.bench.workers import Backend, WorkerError
from fastseq.bench.workloads import WORKLOADS, Workload
from support.bench.benchmarking import FASTSEQ, TINY, FakeWorker

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
    assert names(TINY["rnnlm"]) == ["reference", *fastseqs, "peak"]
    assert names(WORKLOADS["import"]) == ["numpy", "fastseq avx2", "torch"]


# the processes


def test_import_fastseq_imports_no_module_of_bench() -> None:
    code = "import sys, fastseq; print([m for m in sys.modules if m.startswith('fastseq.bench')])"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout == "[]\n"


def test_the_environment_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    environment = workers._environment(Backend("fastseq", "avx2"), 3)
    assert environment["FASTSEQ_ISA"] == "avx2"
    assert {environment[name] for name in workers.THREAD_VARIABLES} == {"3"}
    assert environment.keys().isdisjoint({"PYTHONDONTWRITEBYTECODE", "OPENBLAS_CORETYPE"})


def test_a_worker_that_ends_is_named(capfd: Capture) -> None:
    wrong = Backend("fastseq", "no-such-set")
    with pytest.raises(WorkerError, match=r"worker of fastseq no-such-set \(lstm, threads: 1\)"):
        measure.measure(TINY["lstm"], [REFERENCE, wrong], 1, Settings(1, 0.0), ignore)
    assert "no-such-set" in capfd.readouterr().err


def test_the_import_is_that_of_a_new_process() -> None:
    workload = WORKLOADS["import"]
    timed = measure.backends_of(workload, ["fastseq"], [_kernels.isa()])
    group = measure.measure(workload, timed, 1, Settings(1, 0.0), ignore)
    assert [(entry.backend, entry.isa) for entry in group.entries] == [("numpy", None), FASTSEQ]
    assert {entry.parity for entry in group.entries} == {None}
    if memory.STATUS.exists():
        assert all((entry.peak_bytes or 0) > 10e6 for entry in group.entries)


def test_the_instruction_sets_to_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTSEQ_ISA", raising=False)
    first, *others = measure.isas()
    assert first == _kernels.isa()
    assert sorted([first, *others]) == sorted(_kernels.available_isas())
    monkeypatch.setenv("FASTSEQ_ISA", first)
    assert measure.isas() == (first,)


def test_the_peak_of_memory() -> None:
    assert memory.peak_bytes("Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t 1000 kB\n") == 1234 * 1024
    assert memory.peak_bytes("") is None


@pytest.mark.skipif(not memory.STATUS.exists(), reason="the system does not report it")
def test_the_peak_of_memory_can_be_reset() -> None:
    code = (
        "import numpy as np; from fastseq.bench.memory import *; before = peak_bytes();"
        "np.ones(8_000_000); high = peak_bytes(); forget_peak();"
        "print(high - before > 60e6, high - peak_bytes() > 60e6)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout == "True True\n"
