"""Published programs give the same answers with fastseq, and are not slower."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastseq

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "clients.py"
FASTSEQ = str(Path(fastseq.__file__).parents[1])
# A client, and how many times as fast it is even on a busy machine.
CLIENTS = [("g2p-en", 1), ("g2pM", 5), ("PyTorch", 0.5), ("Keras", 0.5), ("chars2vec", 0.5)]

pytestmark = pytest.mark.skipif(
    not PROGRAM.exists(), reason="benchmarks is not here: only the installed package is"
)


@pytest.mark.slow
@pytest.mark.parametrize(("client", "least"), CLIENTS)
def test_a_program_gives_the_same_answers(client: str, least: float) -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, client, "--rounds", "5"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": FASTSEQ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    skipped = re.search(f"^{client}: skipped, (.*)", done.stdout, re.M)
    if skipped is not None:
        pytest.skip(f"{skipped[1]}; see make test-clients")
    assert f"{client}: the same 2,000 answers" in done.stdout
    ratios = re.findall(rf"^\| {client} \|.* ([0-9.]+) \|$", done.stdout, re.M)
    assert len(ratios) == 2
    assert min(map(float, ratios)) > least
