"""The affine map from states to scores."""

from collections.abc import Callable

from fastseq.bench.workloads.layers import AFFINE

WORKLOADS = AFFINE


def test_affine(replay: Callable[[], None]) -> None:
    replay()
