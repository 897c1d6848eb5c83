"""Fixtures of the tests of the benchmarks."""

from typing import Any

import pytest

from fastseq.bench import measure
from support.bench.benchmarking import FakeWorker, python_path


@pytest.fixture(autouse=True)
def find_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let new processes import what this one does."""
    monkeypatch.setenv("PYTHONPATH", python_path())


@pytest.fixture(autouse=True)
def products(float32_products: None) -> None:
    """Precisions are part of what is measured: that of the test run is not."""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    fresh: dict[str, Any] = {"log": [], "results_of": {}, "seconds_of": {}, "about": {}}
    worker = type("FakeWorker", (FakeWorker,), fresh)
    monkeypatch.setattr(measure, "Worker", worker)
    return worker
