"""The documentation site: its reference has every public name, and its link check finds faults."""

import importlib
import inspect
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
DIRECTIVE = re.compile(r"^\.\. (?:auto|py:)(module|class|function):: ([\w.]+)", re.MULTILINE)
MODULES = [
    "fastseq",
    "fastseq.config",
    "fastseq.data.addition",
    "fastseq.data.dates",
    "fastseq.data.sequence",
    "fastseq.dropin",
    "fastseq.layers",
    "fastseq.models",
    "fastseq.optim",
    "fastseq.plot",
    "fastseq.train",
    "fastseq.util",
]


def public(module_name: str) -> list[str]:
    """The names in ``__all__``; without it, the public classes and functions defined there."""
    module = importlib.import_module(module_name)
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if name[0] != "_"
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module_name
    ]


def value(path: str) -> Any:
    """The object of a full name."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def documented() -> Iterator[tuple[str, Any]]:
    """Full name and object of each entry of the reference's pages."""
    for page in sorted(REFERENCE.glob("*.md")):
        for kind, path in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            names = public(path) if kind == "module" else []
            for each in [f"{path}.{name}" for name in names] if kind == "module" else [path]:
                yield each, value(each)


def missing(module_name: str, entries: list[tuple[str, Any]]) -> list[str]:
    found = {id(entry) for _, entry in entries}
    return [name for name in public(module_name) if id(value(f"{module_name}.{name}")) not in found]


@pytest.mark.parametrize("module_name", MODULES)
def test_the_reference_has_every_public_name(module_name: str) -> None:
    assert public(module_name)
    assert missing(module_name, list(documented())) == []


def test_a_name_without_an_entry_is_found() -> None:
    entries = [entry for entry in documented() if not entry[0].endswith("layers.TimeLSTM")]
    assert missing("fastseq.layers", entries) == ["TimeLSTM"]


def test_every_page_of_the_reference_is_in_its_table() -> None:
    index = (REFERENCE / "index.md").read_text(encoding="utf-8")
    pages = {page.name for page in REFERENCE.glob("*.md")} - {"index.md", "contract.md"}
    assert set(re.findall(r"\]\((\w+\.md)\)", index)) == pages


@pytest.mark.parametrize(
    ("link", "broken"),
    [
        ("b.html", False),
        ("b.html#there", False),
        ("#here", False),
        ("https://example.org/none.html", False),
        ("c.html", True),
        ("b.html#here", True),
        ("#there", True),
    ],
)
def test_the_link_check_finds_what_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], link: str, broken: bool
) -> None:
    script = ROOT / ".ci" / "site.py"
    if not script.is_file():
        pytest.skip("only a checkout has .ci")
    (tmp_path / "a.html").write_text(f'<p id="here"><a href="{link}">x</a>', encoding="utf-8")
    (tmp_path / "b.html").write_text('<p id="there">', encoding="utf-8")
    assert runpy.run_path(str(script))["main"]([str(tmp_path)]) == int(broken)
    assert (f"{link}: not in the site" in capsys.readouterr().out) == broken
