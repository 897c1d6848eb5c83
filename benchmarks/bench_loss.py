"""Softmax with cross-entropy."""

from collections.abc import Callable

from fastseq.bench.workloads.layers import LOSS

WORKLOADS = LOSS


def test_loss(replay: Callable[[], None]) -> None:
    replay()
