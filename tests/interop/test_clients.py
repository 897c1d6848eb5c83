"""Published programs give the same answers with fastseq, in less time."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastseq

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "clients.py"
FASTSEQ = str(Path(fastseq.__file__).parents[1])
# A client, the packages that it needs, and how many of its answers are compared.
CLIENTS = [
    ("g2p-en", ["g2p_en"], ["2,000", "2,000"]),
]

pytestmark = pytest.mark.skipif(
    not PROGRAM.exists(), reason="benchmarks is not here: only the installed package is"
)


@pytest.mark.slow
@pytest.mark.parametrize(("client", "packages", "compared"), CLIENTS)
def test_a_program_gives_the_same_answers(
    client: str, packages: list[str], compared: list[str]
) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{client}: no package {package}; make test-clients installs it")
    done = subprocess.run(
        [sys.executable, PROGRAM, client, "--rounds", "5"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": FASTSEQ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(f"^{client}: the same ([0-9,]+) answers", done.stdout, re.M) == compared
    ratios = re.findall(rf"^\| {client} \|.* ([0-9.]+) \|$", done.stdout, re.M)
    assert ratios
    assert min(map(float, ratios)) > 1
