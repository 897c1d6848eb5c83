"""The continuous integration: the files parse, and all say the same of versions and Pythons."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from fastseq.version import __version__

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
NAMES = ("ci.yml", "docs.yml", "wheels.yml")

needs_workflows = pytest.mark.skipif(
    not WORKFLOWS.is_dir(), reason=".github is not here: only the sdist or the package is"
)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The content of pyproject.toml."""
    if not (ROOT / "pyproject.toml").exists():
        pytest.skip("pyproject.toml is not here: only the installed package is")
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def jobs(name: str) -> dict[str, Any]:
    return yaml.safe_load((WORKFLOWS / name).read_text("utf-8"))["jobs"]


def minor_versions(texts: list[str]) -> list[int]:
    """N of each text that ends with ``3.N``."""
    return [int(match[1]) for text in texts if (match := re.search(r"3\.(\d+)$", text))]


def test_classifiers_and_wheels_name_every_python_from_the_oldest(project: dict[str, Any]) -> None:
    metadata = project["project"]
    named = minor_versions([c for c in metadata["classifiers"] if ":: Python :: 3." in c])
    [oldest] = minor_versions([metadata["requires-python"]])
    assert named == list(range(oldest, oldest + len(named)))
    wheels = project["tool"]["cibuildwheel"]["build"].split()
    assert wheels == [f"cp3{minor}-*" for minor in named]


@needs_workflows
def test_every_python_of_the_classifiers_is_tested(project: dict[str, Any]) -> None:
    classifiers = project["project"]["classifiers"]
    tested = minor_versions(jobs("ci.yml")["test"]["strategy"]["matrix"]["python"])
    assert tested == minor_versions([c for c in classifiers if ":: Python :: 3." in c])


@needs_workflows
def test_all_workflows_are_known() -> None:
    assert tuple(sorted(path.name for path in WORKFLOWS.iterdir())) == NAMES


@needs_workflows
@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_pins_its_actions_and_has_the_least_rights(name: str) -> None:
    text = (WORKFLOWS / name).read_text("utf-8")
    actions = re.findall(r"uses: (.*)", text)
    pinned = r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+"
    assert actions
    assert [action for action in actions if not re.fullmatch(pinned, action)] == []
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")
    assert yaml.safe_load(text)["permissions"] == {}
    for job in jobs(name).values():
        assert {"permissions", "timeout-minutes"} <= set(job)
        assert ("environment" in job) == ("id-token" in job["permissions"])


def test_the_citation_names_this_version_and_license(project: dict[str, Any]) -> None:
    if not (ROOT / "CITATION.cff").exists():
        pytest.skip("CITATION.cff is not here: only the installed package is")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == __version__
    assert citation["license"] == project["project"]["license"]


def test_contributing_explains_every_check_that_is_left_out(project: dict[str, Any]) -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    explained = re.findall(r"^\| ([A-Z]{2,3}\d{3}) \|", page, re.MULTILINE)
    assert explained == project["tool"]["repo-review"]["ignore"]


def test_the_tests_of_a_wheel_have_the_sdist_but_for_the_package(project: dict[str, Any]) -> None:
    sources = project["tool"]["cibuildwheel"]["test-sources"]
    assert [name for name in sources if not (ROOT / name).exists()] == []
    named = re.findall(r"^(?:include|graft) (.*)", (ROOT / "MANIFEST.in").read_text(), re.MULTILINE)
    in_sdist = {name for line in named for name in line.split() if not name.startswith("fastseq/")}
    assert in_sdist <= set(sources)
    assert {"fastseq", "python"}.isdisjoint(sources)
