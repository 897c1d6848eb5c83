"""How speed is measured and stored: in turn, in processes, as JSON and as a table.

No test depends on a time: the seconds are made up, or ignored.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import fastseq
from fastseq import _kernels
from fastseq.bench import machine, measure, memory, record, report, workers
from fastseq.bench.measure import PEAK, REFERENCE, ParityError, Settings
from fastseq.bench.report import as_markdown, as_text
from fastseq.bench.result import Entry, Group, Run
from fastseq.bench.workers import Backend, WorkerError
from fastseq.bench.workloads import WORKLOADS, Peak, Workload
from fastseq.bench.workloads.base import Curve
from fastseq.cli import main
from support.benchmarking import TINY, python_path

OLD_RUN = Path(__file__).with_name("old_run.json")
Capture = pytest.CaptureFixture[str]

FASTSEQ = Backend("fastseq", _kernels.isa())


@pytest.fixture(autouse=True)
def find_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let new processes import what this one does."""
    monkeypatch.setenv("PYTHONPATH", python_path())


def ignore(_: str) -> None:
    """Ignore the progress."""


# the measurement, with workers that return given values


class FakeWorker:
    """A worker whose results and seconds are given; the runs are logged."""

    about: ClassVar[dict[str, Any]] = {}
    log: ClassVar[list[str]] = []
    results_of: ClassVar[dict[str, dict[str, Any]]] = {}
    seconds_of: ClassVar[dict[str, float]] = {}

    def __init__(self, backend: Backend, *_: Any) -> None:
        self.name = str(backend)
        self.backend = backend.name

    def wait_until_ready(self) -> None:
        pass

    def results(self) -> dict[str, Any]:
        return self.results_of.get(self.backend, {"hs": np.ones(2, dtype=np.float32)})

    def run(self, steps: int) -> list[float]:
        self.log.append(self.name)
        return [self.seconds_of.get(self.backend, 0.25)] * steps

    def peak_bytes(self) -> int:
        return 1000

    def close(self) -> None:
        pass


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    fresh: dict[str, Any] = {"log": [], "results_of": {}, "seconds_of": {}, "about": {}}
    worker = type("FakeWorker", (FakeWorker,), fresh)
    monkeypatch.setattr(measure, "Worker", worker)
    return worker


def test_libraries_run_in_turn_there_and_back(fake: type[FakeWorker]) -> None:
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


def test_nothing_of_it_is_imported_with_fastseq() -> None:
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


@pytest.mark.skipif(not memory.STATUS.exists(), reason="the system does not tell")
def test_a_peak_can_be_forgotten() -> None:
    code = (
        "import numpy as np; from fastseq.bench.memory import *; before = peak_bytes();"
        "np.ones(8_000_000); high = peak_bytes(); forget_peak();"
        "print(high - before > 60e6, high - peak_bytes() > 60e6)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout == "True True\n"


# what is written down


MACHINE: dict[str, Any] = {
    "cpu": "a CPU",
    "cores": 2,
    "isas": ["baseline"],
    "compiler": "a compiler",
    "versions": {"fastseq": "0"},
    "blas": "a BLAS",
    "load": 0.0,
    "skipped": {"torch": "not installed"},
}


def run_of(seconds: dict[Backend, list[float]]) -> Run:
    def entry(backend: Backend) -> Entry:
        parity = 1e-6 if backend == FASTSEQ else None
        return measure.entry(TINY["lstm"], backend, 1, seconds[backend], parity, 2**20)

    group = Group(tuple(map(entry, seconds)), MACHINE["isas"])
    return Run((group,), MACHINE, {}, "2026-11-23T09:10:11+00:00")


def test_the_machine_is_described() -> None:
    here = machine.describe(["reference", "fastseq"], {"torch": "not installed"})
    assert json.loads(json.dumps(here)) == here
    assert here.keys() == MACHINE.keys()
    assert here["versions"]["fastseq"] == fastseq.__version__
    assert "torch: not installed" in machine.format_machine(here)


def test_an_entry_says_what_was_measured() -> None:
    seconds = {REFERENCE: [0.4, 0.2, 0.3], FASTSEQ: [0.1, 0.1, 0.1], PEAK: [0.5, 0.5, 0.5]}
    run = record.as_document(run_of(seconds))
    assert json.loads(json.dumps(run)) == run
    reference, ours, peak = run["benchmarks"]
    assert {entry["group"] for entry in run["benchmarks"]} == {"lstm, 1 thread"}
    assert reference["stats"]["data"] == [0.4, 0.2, 0.3]
    assert reference["stats"]["median"] == 0.3
    assert reference["stats"]["rounds"] == 3
    assert ours["extra_info"] == {
        "workload": "lstm",
        "noun": "recurrent",
        "kind": "layer",
        "title": "TimeLSTM N2 T3 D4 H5, forward and backward",
        "sizes": {"N": 2, "T": 3, "D": 4, "H": 5},
        "backend": "fastseq",
        "isa": FASTSEQ.isa,
        "threads": 1,
        "operations": TINY["lstm"].operations,
        "parity": 1e-6,
        "peak_bytes": 2**20,
        "curve": None,
    }
    assert reference["extra_info"]["parity"] is None
    assert peak["extra_info"]["operations"] == Peak().operations


def test_a_run_is_the_same_after_it_was_stored(tmp_path: Path) -> None:
    run = run_of({REFERENCE: [0.4, 0.30000000000000004], FASTSEQ: [0.1, 7e-7], PEAK: [0.5, 0.5]})
    curve = measure.entry(TINY["lstm-N2"], FASTSEQ, 2, [0.25], 0.0, None)
    run = replace(run, groups=(*run.groups, Group((curve,), MACHINE["isas"])))
    file = tmp_path / "run.json"
    file.write_text(json.dumps(record.as_document(run)), encoding="utf-8")
    assert record.load(file) == run


def test_a_file_of_the_last_version_is_read() -> None:
    """Three groups of a run that was stored when the keys were "work" and "library"."""
    run = record.load(OLD_RUN)
    importing, dates, scaling = run.groups
    assert [entry.label for entry in dates.entries] == [
        *("reference", "fastseq avx512", "fastseq baseline", "fastseq avx2", "torch", "jax"),
        "peak",
    ]
    assert (dates.ours.workload, dates.ours.isa, dates.ours.threads) == ("dates", "avx512", 1)
    peak = dates.fraction_of_peak(dates.ours)
    assert peak is not None
    assert 0.8 < peak.median < 1.2
    assert scaling.ours.curve == Curve("lstm-both", "H", 64)
    assert importing.entries[0].label == "numpy"
    assert "| dates | 1 |" in as_markdown(run)
    assert report.compare(run, run).regressions == []


def test_the_table_takes_ratios_within_each_round() -> None:
    seconds = {REFERENCE: [0.4, 0.2, 0.9], FASTSEQ: [0.1, 0.1, 0.3], PEAK: [0.5, 0.5, 0.5]}
    text = as_text(run_of(seconds))
    line = next(line for line in text.splitlines() if line.startswith("lstm  "))
    # the medians are 400 and 100 ms, the ratios 4, 2 and 3
    assert line.split() == [
        *("lstm", "1", "400", "(200–900)", "100", "(100–300)", "3.00"),
        f"{TINY['lstm'].operations / Peak().operations * 5:.0%}",
    ]
    assert "torch: not installed" in text


# the command


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command measure tiny workloads, twice, and without peers."""
    for name in list(WORKLOADS):
        monkeypatch.delitem(WORKLOADS, name)
    for name, workload in TINY.items():
        monkeypatch.setitem(WORKLOADS, name, workload)
    monkeypatch.setattr(measure, "QUICK", Settings(rounds=2, turn_seconds=0.0))
    monkeypatch.setattr(measure, "Peak", lambda: Peak(size=64))
    monkeypatch.setattr(measure, "absent", lambda names: dict.fromkeys(names, "not installed"))


@pytest.mark.usefixtures("tiny")
def test_the_command_measures_and_writes(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "run.json"
    arguments = ["--quick", "--workloads", "lstm", "--threads", "1"]
    assert main(["bench", *arguments, "--format", "json", "--json", str(file)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    run = json.loads(captured.out)
    assert json.loads(file.read_text("utf-8")) == run

    entries = {entry["extra_info"]["backend"]: entry for entry in run["benchmarks"]}
    assert list(entries) == ["reference", "fastseq", "peak"]
    assert all(len(entry["stats"]["data"]) == 2 for entry in entries.values())
    assert all(min(entry["stats"]["data"]) > 0 for entry in entries.values())
    assert entries["fastseq"]["extra_info"]["parity"] <= measure.ARRAY_TOLERANCE
    assert entries["fastseq"]["extra_info"]["isa"] == _kernels.isa()
    assert run["machine_info"]["fastseq"]["skipped"] == {
        "torch": "not installed",
        "jax": "not installed",
    }


@pytest.mark.usefixtures("tiny")
def test_the_command_prints_a_table(fake: type[FakeWorker], capsys: Capture) -> None:
    fake.seconds_of.update(reference=0.75, fastseq=0.25)
    assert main(["bench", "--quick", "--workloads", "decoding", "loss", "--threads", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["skipped", "jax:", "not", "installed"] for line in lines)
    rows = [line.split() for line in lines if line.startswith(("loss ", "one ", "many "))]
    assert [row[0] for row in rows[:3]] == ["loss", "one", "many"]
    assert "3.00" in rows[0]


@pytest.mark.usefixtures("tiny")
def test_results_that_differ_are_one_line_and_1(fake: type[FakeWorker], capsys: Capture) -> None:
    fake.results_of["fastseq"] = {"hs": np.zeros(2, dtype=np.float32)}
    assert main(["bench", "--quick", "--workloads", "lstm"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("fastseq: error: lstm: fastseq ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workloads", "weather"], "there is no 'weather'"),
        (["--works", "weather"], "there is no 'weather'"),  # the option's former name
        (["--threads", "0"], "at least 1"),
        (["-o", "no/such/folder.html"], "there is no such folder"),
        (["--json", "no/such/folder.json"], "there is no such folder"),
        (["--format", "xml"], "invalid choice"),
    ],
)
def test_wrong_usage_is_2(
    arguments: list[str], message: str, capsys: Capture, fake: type[FakeWorker]
) -> None:
    assert main(["bench", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert fake.log == []


def test_a_page_without_matplotlib_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, fake: type[FakeWorker], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["bench", "-o", str(tmp_path / "page.html")]) == 1
    assert "plot" in capsys.readouterr().err
    assert fake.log == []
