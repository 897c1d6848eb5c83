"""The picture of speed: a panel for each run, the same file for the same runs."""

import xml.etree.ElementTree
from pathlib import Path

import pytest

from fastseq.bench import report
from fastseq.cli import main
from support.bench.benchmark_runs import entry, full_run, loaded, run_of
from support.bench.benchmark_runs import write_run as write

pytest.importorskip("matplotlib")


def test_each_run_has_a_panel() -> None:
    one, two = (report.as_svg([loaded(full_run())] * count) for count in (1, 2))
    widths = [float(xml.etree.ElementTree.fromstring(each).attrib["width"][:-2]) for each in (one, two)]
    assert widths[1] > 1.5 * widths[0]
    assert report.as_svg([loaded(full_run())]) == one
