"""The description on a package index is README.md, without what leads nowhere there."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.py").exists(), reason="setup.py is not here: only the installed package is"
)


@pytest.fixture(scope="module")
def for_an_index() -> Callable[[str], str]:
    """The function of setup.py; nothing is built."""
    pytest.importorskip("setuptools.modified", reason="setup.py needs setuptools >= 77")
    function: Callable[[str], str] = runpy.run_path(str(ROOT / "setup.py"))["for_an_index"]
    return function


@pytest.mark.parametrize(
    ("readme", "expected"),
    [
        ("See [the page](docs/a.md) first.", "See the page first."),
        (
            "See [the law](https://example.org/a) first.",
            "See [the law](https://example.org/a) first.",
        ),
        ("It writes this:\n\n![a](b.png)\n\n![c](d.png)\n\nNext", "It writes this.\n\nNext"),
        ("Text.\n\n![a](b.png)\n\nNext", "Text.\n\nNext"),
        ("    x[0](y)", "    x[0](y)"),
    ],
)
def test_links_become_text_and_images_go(
    readme: str, expected: str, for_an_index: Callable[[str], str]
) -> None:
    assert for_an_index(readme) == expected


def test_the_readme_keeps_its_headings_and_code(for_an_index: Callable[[str], str]) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    description = for_an_index(readme)
    assert re.search(r"\]\((?!\w+:)", readme)  # there is something to do
    assert re.search(r"\]\((?!\w+:)", description) is None
    kept = re.compile("^#+ .*$|^```python\n(?:.*\n)*?```$|^    .*$", re.MULTILINE)
    assert kept.findall(description) == kept.findall(readme)
