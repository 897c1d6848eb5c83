"""pytest-benchmark writes exactly what was measured, to the last digit."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.bench.benchmarking import python_path

ROOT = Path(__file__).parents[2]

PLUGIN = """
from fastseq.bench import measure
from fastseq.bench.result import Group

def made_up(workload, backends, threads, settings, progress):
    entries = [measure.entry(workload, each, threads, SECONDS, None, 5) for each in backends]
    return Group(tuple(entries), [])

measure.measure = made_up
measure.absent = lambda backends: {"torch": "not installed"}
"""
BENCH = """
from fastseq.bench.workloads.recurrent import RecurrentLayer

WORKLOADS = [RecurrentLayer("tiny", True, "TimeLSTM", 1, 1, 1, 1)]

def test_recurrent(replay):
    replay()
"""


@pytest.fixture
def run_pytest(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run pytest on one tiny workload; a plugin may replace the measurement."""
    pytest.importorskip("pytest_benchmark")
    shutil.copy(ROOT / "benchmarks" / "conftest.py", tmp_path)
    (tmp_path / "bench_tiny.py").write_text(BENCH)
    (tmp_path / "pytest.ini").write_text("[pytest]\npython_files = bench_*.py\n")

    def run(*options: str, plugin: str = "") -> subprocess.CompletedProcess[str]:
        (tmp_path / "made_up.py").write_text(plugin)
        # pytest-benchmark measures nothing in what it takes for a worker of pytest-xdist
        kept = {name: value for name, value in os.environ.items() if "XDIST" not in name}
        command = [sys.executable, "-m", "pytest", "-ra", "-p", "made_up", "--quick", *options]
        return subprocess.run(
            [*command, "--threads", "1", "--benchmark-json", "bench.json"],
            cwd=tmp_path,
            env=kept | {"PYTHONPATH": python_path(str(tmp_path))},
            capture_output=True,
            text=True,
        )

    return run


def test_pytest_benchmark_writes_exactly_the_seconds_that_were_measured(
    run_pytest: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    seconds = [0.1, 0.30000000000000004, 7e-7, 123.4567890123]
    plugin = PLUGIN.replace("SECONDS", repr(seconds))
    child = run_pytest("--backends", "reference,fastseq,torch", plugin=plugin)
    assert child.returncode == 0, child.stdout + child.stderr
    assert "torch: not installed" in child.stdout

    run = json.loads((tmp_path / "bench.json").read_text())
    entries = run["benchmarks"]
    assert [entry["stats"]["data"] for entry in entries] == [seconds] * len(entries)
    assert {entry["extra_info"]["backend"] for entry in entries} == {
        *("reference", "fastseq", "peak")
    }
    assert run["machine_info"]["fastseq"]["skipped"] == {"torch": "not installed"}
    info = next(entry["extra_info"] for entry in entries if entry["param"].startswith("tiny-ref"))
    assert info["operations"] == 3 * (2 * 4 + 2 * 4)
    assert info["peak_bytes"] == 5


def test_a_failed_measurement_fails_its_tests_and_is_not_tried_again(
    run_pytest: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    plugin = """
from fastseq.bench import measure

def fail(*_, **__):
    print("measuring")
    raise measure.ParityError("tiny: fastseq: hs differs")

measure.measure = fail
"""
    child = run_pytest("--backends", "reference,fastseq", "-s", plugin=plugin)
    assert child.returncode == 1
    assert child.stdout.count("measuring\n") == 1
    assert "ParityError: tiny: fastseq: hs differs" in child.stdout
