"""The picture of speed: a panel for each run, the same file for the same runs."""

import xml.etree.ElementTree
from pathlib import Path

import pytest

from fastseq.bench import report
from fastseq.cli import main
from support.bench.benchmark_runs import entry, full_run, loaded, run_of, write

pytest.importorskip("matplotlib")

Capture = pytest.CaptureFixture[str]


def width(picture: str) -> float:
    return float(xml.etree.ElementTree.fromstring(picture).attrib["width"].removesuffix("pt"))


def test_each_run_has_a_panel(tmp_path: Path, capsys: Capture) -> None:
    run = loaded(full_run())
    one = report.as_svg([run])
    assert width(report.as_svg([run, run])) > 1.4 * width(one)
    file = write(tmp_path / "run.json", full_run())
    assert main(["report", file, "-o", str(tmp_path / "speed.svg")]) == 0
    assert (tmp_path / "speed.svg").read_text("utf-8") == one
    assert main(["report", file, file, "--format", "json"]) == 2
    assert "several runs are for --format svg" in capsys.readouterr().err


def test_a_run_of_other_workloads_is_refused() -> None:
    run = loaded(run_of(entry("embedding-both", "fastseq", [1.0])))
    with pytest.raises(ValueError, match="expected a run of dates, addition, .* none of them"):
        report.as_svg([run])
