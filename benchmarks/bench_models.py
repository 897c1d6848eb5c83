"""Training steps of whole models: what a trainer does in one iteration."""

from collections.abc import Callable

from fastseq.bench.workloads.models import MODELS

WORKLOADS = MODELS


def test_models(replay: Callable[[], None]) -> None:
    replay()
