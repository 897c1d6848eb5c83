"""How speed is measured, and what is written down: in turn, in processes, as JSON and as a table.

No time decides anything here: the seconds are made up, or not looked at.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import fastseq
from fastseq import _kernels
from fastseq.bench import machine, measure, memory, record, workers
from fastseq.bench.measure import LIMIT, REFERENCE, Measurement, ParityError, Settings
from fastseq.bench.report import text as table
from fastseq.bench.workers import Contestant, WorkerError
from fastseq.bench.workloads import WORKS, Limit, Work
from fastseq.cli import main
from support.benchmarking import TINY, python_path

Capture = pytest.CaptureFixture[str]

FASTSEQ = Contestant("fastseq", _kernels.isa())


@pytest.fixture(autouse=True)
def find_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let new processes import what this one does."""
    monkeypatch.setenv("PYTHONPATH", python_path())


def ignore(_: str) -> None:
    """Take no notice of the progress."""


# the measurement, with workers that only say what they are told


class FakeWorker:
    """A worker whose results and seconds are made up; it keeps a list of who ran."""

    about: ClassVar[dict[str, Any]] = {}
    log: ClassVar[list[str]] = []
    results_of: ClassVar[dict[str, dict[str, Any]]] = {}
    seconds_of: ClassVar[dict[str, float]] = {}

    def __init__(self, contestant: Contestant, *_: Any) -> None:
        self.name = str(contestant)
        self.library = contestant.library

    def wait_until_ready(self) -> None:
        pass

    def results(self) -> dict[str, Any]:
        return self.results_of.get(self.library, {"hs": np.ones(2, dtype=np.float32)})

    def run(self, steps: int) -> list[float]:
        self.log.append(self.name)
        return [self.seconds_of.get(self.library, 0.25)] * steps

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
    everyone = [REFERENCE, FASTSEQ, LIMIT]
    measurement = measure.measure(TINY["lstm"], everyone, 1, Settings(3, 0.0), ignore)
    warm_up, rounds = fake.log[:6], fake.log[6:]
    names = ["reference", str(FASTSEQ), "limit"]
    assert warm_up == [name for name in names for _ in range(2)]
    assert rounds == [*names, *reversed(names), *names]
    assert measurement.seconds == {contestant: [0.25] * 3 for contestant in everyone}
    assert measurement.parity == {FASTSEQ: 0.0}
    assert measurement.peak_bytes == dict.fromkeys(everyone, 1000)


def test_nothing_is_timed_when_results_differ(fake: type[FakeWorker]) -> None:
    fake.results_of["fastseq"] = {"hs": np.float32([1, 1.0001])}
    with pytest.raises(ParityError, match=r"^lstm: fastseq .*: hs differs .*nothing was timed"):
        measure.measure(TINY["lstm"], [REFERENCE, FASTSEQ], 1, Settings(3, 0.0), ignore)
    assert fake.log == []


def test_the_reference_is_compared_with_where_it_is_not_timed(fake: type[FakeWorker]) -> None:
    many = TINY["many"]
    timed = measure.contestants(many, ["reference", "fastseq"], ["avx2"])
    assert timed == [Contestant("fastseq", "avx2"), LIMIT]
    measurement = measure.measure(many, timed, 1, Settings(1, 0.0), ignore)
    assert "reference" not in fake.log
    assert list(measurement.seconds) == timed
    fake.results_of["reference"] = {"hs": np.zeros(2, dtype=np.float32)}
    with pytest.raises(ParityError):
        measure.measure(many, timed, 1, Settings(1, 0.0), ignore)


def test_another_number_of_threads_is_refused(fake: type[FakeWorker]) -> None:
    fake.about["threads"] = 2
    with pytest.raises(WorkerError, match="asked for 1 threads, it uses 2"):
        measure.measure(TINY["lstm"], [REFERENCE], 1, Settings(1, 0.0), ignore)


def test_contestants_of_a_work() -> None:
    libraries, isas = ["reference", "fastseq", "torch", "jax"], ["avx2", "baseline"]

    def names(work: Work) -> list[str]:
        return [str(contestant) for contestant in measure.contestants(work, libraries, isas)]

    fastseqs = ["fastseq avx2", "fastseq baseline"]
    assert names(TINY["lstm"]) == ["reference", *fastseqs, "torch", "jax", "limit"]
    assert names(TINY["lstm-N2"]) == ["reference", "fastseq avx2", "torch", "limit"]
    assert names(TINY["gru"]) == ["reference", *fastseqs, "limit"]
    assert names(TINY["loss"]) == ["reference", *fastseqs, "torch"]
    assert names(TINY["rnnlm"]) == ["reference", *fastseqs, "limit"]
    assert names(WORKS["import"]) == ["numpy", "fastseq avx2", "torch"]


# the processes


def test_nothing_of_it_is_imported_with_fastseq() -> None:
    code = "import sys, fastseq; print([m for m in sys.modules if m.startswith('fastseq.bench')])"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout == "[]\n"


def test_the_environment_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    environment = workers._environment(Contestant("fastseq", "avx2"), 3)
    assert environment["FASTSEQ_ISA"] == "avx2"
    assert {environment[name] for name in workers.THREAD_VARIABLES} == {"3"}
    assert environment.keys().isdisjoint({"PYTHONDONTWRITEBYTECODE", "OPENBLAS_CORETYPE"})


def test_a_worker_that_ends_is_named(capfd: Capture) -> None:
    wrong = Contestant("fastseq", "no-such-set")
    with pytest.raises(WorkerError, match=r"worker of fastseq no-such-set \(lstm, threads: 1\)"):
        measure.measure(TINY["lstm"], [REFERENCE, wrong], 1, Settings(1, 0.0), ignore)
    assert "no-such-set" in capfd.readouterr().err


def test_the_import_is_that_of_a_new_process() -> None:
    work = WORKS["import"]
    timed = measure.contestants(work, ["fastseq"], [_kernels.isa()])
    measurement = measure.measure(work, timed, 1, Settings(1, 0.0), ignore)
    assert list(measurement.seconds) == [Contestant("numpy"), FASTSEQ]
    assert measurement.parity == {}
    if memory.STATUS.exists():
        assert all((peak or 0) > 10e6 for peak in measurement.peak_bytes.values())


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


def measurement_of(seconds: dict[Contestant, list[float]]) -> Measurement:
    return Measurement(TINY["lstm"], 1, seconds, {FASTSEQ: 1e-6}, dict.fromkeys(seconds, 2**20))


MACHINE = {
    "cpu": "a CPU",
    "cores": 2,
    "isas": ["baseline"],
    "compiler": "a compiler",
    "versions": {"fastseq": "0"},
    "blas": "a BLAS",
    "load": 0.0,
    "skipped": {"torch": "not installed"},
}


def test_the_machine_is_described() -> None:
    here = machine.describe(["reference", "fastseq"], {"torch": "not installed"})
    assert json.loads(json.dumps(here)) == here
    assert here.keys() == MACHINE.keys()
    assert here["versions"]["fastseq"] == fastseq.__version__
    assert "torch: not installed" in machine.format_machine(here)


def test_an_entry_says_what_was_measured() -> None:
    seconds = {REFERENCE: [0.4, 0.2, 0.3], FASTSEQ: [0.1, 0.1, 0.1], LIMIT: [0.5, 0.5, 0.5]}
    run = record.as_run([measurement_of(seconds)], MACHINE)
    assert json.loads(json.dumps(run)) == run
    reference, ours, limit = run["benchmarks"]
    assert {entry["group"] for entry in run["benchmarks"]} == {"lstm, 1 thread"}
    assert reference["stats"]["data"] == [0.4, 0.2, 0.3]
    assert reference["stats"]["median"] == 0.3
    assert reference["stats"]["rounds"] == 3
    assert ours["extra_info"] == {
        "work": "lstm",
        "noun": "recurrent",
        "kind": "layer",
        "title": "TimeLSTM N2 T3 D4 H5, forward and backward",
        "sizes": {"N": 2, "T": 3, "D": 4, "H": 5},
        "library": "fastseq",
        "isa": FASTSEQ.isa,
        "threads": 1,
        "operations": TINY["lstm"].operations,
        "parity": 1e-6,
        "peak_bytes": 2**20,
        "curve": None,
    }
    assert reference["extra_info"]["parity"] is None
    assert limit["extra_info"]["operations"] == Limit().operations


def test_the_table_takes_ratios_within_each_round() -> None:
    seconds = {REFERENCE: [0.4, 0.2, 0.9], FASTSEQ: [0.1, 0.1, 0.3], LIMIT: [0.5, 0.5, 0.5]}
    text = table.format_run(record.as_run([measurement_of(seconds)], MACHINE))
    line = next(line for line in text.splitlines() if line.startswith("lstm  "))
    # the medians are 400 and 100 ms, the ratios 4, 2 and 3
    assert line.split() == [
        *("lstm", "1", "400", "(200–900)", "100", "(100–300)", "3.00"),
        f"{TINY['lstm'].operations / Limit().operations * 5:.0%}",
    ]
    assert "torch: not installed" in text


# the command


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command measure tiny works, twice, and without peers."""
    for name in list(WORKS):
        monkeypatch.delitem(WORKS, name)
    for name, work in TINY.items():
        monkeypatch.setitem(WORKS, name, work)
    monkeypatch.setattr(measure, "QUICK", Settings(rounds=2, turn_seconds=0.0))
    monkeypatch.setattr(measure, "Limit", lambda: Limit(size=64))
    monkeypatch.setattr(measure, "absent", lambda names: dict.fromkeys(names, "not installed"))


@pytest.mark.usefixtures("tiny")
def test_the_command_measures_and_writes(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "run.json"
    arguments = ["--quick", "--works", "lstm", "--threads", "1"]
    assert main(["bench", *arguments, "--format", "json", "--json", str(file)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    run = json.loads(captured.out)
    assert json.loads(file.read_text("utf-8")) == run

    entries = {entry["extra_info"]["library"]: entry for entry in run["benchmarks"]}
    assert list(entries) == ["reference", "fastseq", "limit"]
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
    assert main(["bench", "--quick", "--works", "decoding", "loss", "--threads", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["skipped", "jax:", "not", "installed"] for line in lines)
    rows = [line.split() for line in lines if line.startswith(("loss ", "one ", "many "))]
    assert [row[0] for row in rows[:3]] == ["loss", "one", "many"]
    assert "3.00" in rows[0]


@pytest.mark.usefixtures("tiny")
def test_results_that_differ_are_one_line_and_1(fake: type[FakeWorker], capsys: Capture) -> None:
    fake.results_of["fastseq"] = {"hs": np.zeros(2, dtype=np.float32)}
    assert main(["bench", "--quick", "--works", "lstm"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("fastseq: error: lstm: fastseq ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--works", "weather"], "there is no 'weather'"),
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
