"""The command `fastseq bench`; `fastseq report` is in test_report.py."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fastseq import _kernels
from fastseq.bench import measure
from fastseq.bench.measure import Settings
from fastseq.bench.workloads import WORKLOADS, Peak
from fastseq.cli import main
from support.bench.benchmarking import TINY, FakeWorker

Capture = pytest.CaptureFixture[str]


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
@pytest.mark.parametrize("form", ["table", "markdown", "json"])
def test_workloads_in_bfloat16_have_rows_of_their_own(
    form: str, fake: type[FakeWorker], capsys: Capture, tmp_path: Path
) -> None:
    """Beside fastseq's float32, which is in the same rounds."""
    fake.seconds_of.update({"fastseq": 0.5, "fastseq float32": 0.75})
    arguments = ["--quick", "--workloads", "lstm", "loss", "--threads", "1"]
    precisions = ["--precision", "float32", "bfloat16", "--format", form]
    page = tmp_path / "page.html"
    assert main(["bench", *arguments, *precisions, "-o", str(page)]) == 0
    text = capsys.readouterr().out
    if form == "json":
        found = {
            (info["workload"], info["backend"], info["precision"])
            for info in (each["extra_info"] for each in json.loads(text)["benchmarks"])
        }
        assert {
            ("lstm", "fastseq", "float32"),
            ("lstm-bfloat16", "fastseq", "bfloat16"),
            ("lstm-bfloat16", "fastseq float32", "float32"),
        } <= found
    else:
        name = "fastseq, float32 ÷ fastseq" if form == "markdown" else "fastseq float32 ÷ fastseq"
        assert name in text
        rows = [line for line in text.splitlines() if "lstm-bfloat16" in line]
        assert "1.50" in rows[0]
    assert "loss-bfloat16" not in text
    shown = page.read_text("utf-8")
    assert "Against fastseq in float32" in shown
    assert "products of bfloat16" in shown


@pytest.mark.usefixtures("tiny")
def test_a_busy_machine_needs_two_threads(fake: type[FakeWorker], capsys: Capture) -> None:
    assert main(["bench", "--quick", "--workloads", "busy", "--threads", "1", "2"]) == 0
    [row] = [
        line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("busy ")
    ][:1]
    assert row[1] == "2"


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
        (["--precision", "int8"], "invalid choice: 'int8'"),
        (["-o", "no/such/folder.html"], "there is no such folder"),
        (["-o", "bench.json"], "expected a name in .html; --json has numbers"),
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
