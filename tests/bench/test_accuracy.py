"""The errors that docs/accuracy.md states: no kernel exceeds them, and the page has all of them."""

import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "benchmarks/native"
PAGE = ROOT / "docs/accuracy.md"

pytestmark = pytest.mark.skipif(
    not NATIVE.exists(), reason="benchmarks is not here: only the installed package is"
)


@pytest.fixture(scope="module")
def accuracy() -> Iterator[ModuleType]:
    """The program, as it is when it is started in its folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(NATIVE))
        spec = importlib.util.spec_from_file_location("accuracy", NATIVE / "accuracy.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
        for name in ("accuracy_cases", "instructions"):
            sys.modules.pop(name, None)


def test_no_layer_exceeds_its_bound(accuracy: ModuleType, isa: str) -> None:
    found = accuracy.measure_layers(accuracy.SMALL_CASES, repeats=1)
    assert len(found) > len(accuracy.SMALL_CASES)
    assert accuracy.complaints_of([], found) == []


def test_an_error_beyond_its_bound_is_reported(accuracy: ModuleType) -> None:
    [found] = accuracy.measure_layers(accuracy.SMALL_CASES[-1:], repeats=1)
    [line] = accuracy.complaints_of([], [found._replace(largest=(1.0, 0.0))])
    assert line.startswith("Adam, 100 updates update, float32: 1.0e+00 > ")
    worse = accuracy.Elementwise("avx2", "exp", 0.1, 3.5, 1.25, 0.0, 0.0, 0)
    assert accuracy.complaints_of([worse], []) == ["avx2 exp: 3.50 ULP at 1.25, 0 mismatches"]


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_the_functions_are_measured_on_a_sample(accuracy: ModuleType) -> None:
    pytest.importorskip("setuptools.modified", reason="setup.py needs setuptools >= 77")
    found = accuracy.measure_functions(["cc"], 65521, ["baseline"])
    assert {f.table for f in found} == {"baseline"}
    assert {f.function for f in found} == {"exp", "tanh", "sigmoid"}
    assert accuracy.complaints_of(found, []) == []
    assert all(f.largest > 0.5 and 0 < f.mean < 0.5 for f in found)


def test_the_page_states_every_bound(accuracy: ModuleType) -> None:
    if not PAGE.exists():
        pytest.skip("docs is not here: only the installed package is")
    page = PAGE.read_text("utf-8")
    for case in (*accuracy.SMALL_CASES, *accuracy.LARGE_CASES):
        bounds = [f"{bound:.0e}" for bound in case.bounds]
        rows = re.findall(
            rf"^\| {re.escape(case.name)} \| {re.escape(case.sizes)} \|.*", page, re.M
        )
        assert rows, f"docs/accuracy.md has no row of {case.name}, {case.sizes}: make accuracy"
        for row in rows:
            cells = row.split(" | ")
            assert [cells[5], cells[7]] == bounds
            assert float(cells[3]) <= case.bounds[0]
            assert float(cells[6]) <= case.bounds[1]
    # of every float: a table has three functions
    worst = re.findall(r"^\| \w+ \| (?:exp|tanh|sigmoid) \| [\d.]+ \| ([\d.]+) \|", page, re.M)
    assert len(worst) >= 3
    assert all(float(each) <= accuracy.MAX_ULP for each in worst)
    assert "over every float32 value" in page


def test_a_page_without_a_place_for_a_table_is_refused(accuracy: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no place for the table 'machine'"):
        accuracy.replaced("# Accuracy\n", {"machine": "this one"})
