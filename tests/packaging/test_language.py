"""The lint of the prose finds each of its phrases, and nothing in plain sentences."""

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".ci" / "language.py"

pytestmark = pytest.mark.skipif(
    not SCRIPT.exists(), reason=".ci is not here: only the installed package is"
)

# For each phrase of the table a sentence that has it.
SAMPLES = [
    "Measures the contestants in turn.",
    "The works that are measured.",
    "A work of one kind.",
    "It reaches 90 % of the limit.",
    "Here two threads meet.",
    "A walk over every name.",
    "It walks through the steps.",
    "The loop heeds Ctrl-C.",
    "Rows of unlike length are sorted.",
    "# a hypothesis that has no\n    # chance leaves the beam",
    "All live hypotheses end.",
    "A row that shares a step with others.",
    "Nobody reads it.",
    "Whoever comes next.",
    "It is freed by who calls.",
    "What a caller asks of a layer.",
    "Then he returns.",
    "In turn, there and back.",
    "A step gives away its parameters.",
    "Takes no notice of it.",
    "Memory that is handed out.",
    "Run make bench-guard.",
    "The start weights.",
]
GOOD = [
    "The active hypotheses, at a chance of 0.5; a task that works; networks of one layer.",
    "The limit is 3; the barrier at which threads wait. Heedless, walking, asked, the heart.",
    "os.walk(path); walk = 3; variable-length sequences; she_is = 1; He et al. 2015.",
]


@pytest.fixture(scope="module")
def language() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_phrase_is_found(sample: str, language: dict[str, Any]) -> None:
    assert len(list(language["findings"](f"First line.\n\n{sample}"))) == 1


def test_every_phrase_has_a_sample(language: dict[str, Any]) -> None:
    found = {instead for sample in SAMPLES for _, _, instead in language["findings"](sample)}
    assert found == set(language["PHRASES"].values())


@pytest.mark.parametrize("sentence", GOOD)
def test_plain_sentences_pass(sentence: str, language: dict[str, Any]) -> None:
    assert list(language["findings"](sentence)) == []


def test_a_finding_names_its_line_and_fails(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("x = 1\n\n# The loop heeds\n# nothing.\n", encoding="utf-8")
    done = subprocess.run([sys.executable, SCRIPT, file], capture_output=True, encoding="utf-8")
    assert done.returncode == 1
    assert done.stdout == f"{file}:3: “heeds”: write use, handle, respect\n"


def test_the_repository_has_no_finding(language: dict[str, Any]) -> None:
    files = set(language["files"]())
    assert len(files) > 50
    assert Path(__file__) not in files
    assert language["main"]([]) == 0
