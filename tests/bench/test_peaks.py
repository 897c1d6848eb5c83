"""The program that measures the machine's peaks: it compiles, and prints each figure."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fastseq import _kernels

PEAKS = Path(__file__).parents[2] / "benchmarks/native/peaks.py"

pytestmark = pytest.mark.skipif(
    not PEAKS.exists(), reason="benchmarks is not here: only the installed package is"
)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_peaks_are_printed_for_the_instruction_set_in_use() -> None:
    pytest.importorskip("setuptools.modified", reason="setup.py needs setuptools >= 77")
    isa = os.environ.get("FASTSEQ_ISA", _kernels.isa())
    done = subprocess.run(
        [sys.executable, PEAKS],
        env={**os.environ, "FASTSEQ_ISA": isa},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.endswith(f", {isa}")
    figures = [re.fullmatch(r"\S.*?  +([\d.]+) (GFLOP/s|GB/s|ns|us)\b.*", line) for line in lines]
    assert len(figures) == 8
    assert all(figure and float(figure[1]) > 0 for figure in figures)


def test_a_missing_compiler_is_named_in_a_line() -> None:
    done = subprocess.run(
        [sys.executable, PEAKS],
        env={**os.environ, "CC": "no-such-compiler"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "no-such-compiler is not installed" in done.stderr
    assert done.stderr.count("\n") == 1
