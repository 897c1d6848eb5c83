"""Softmax with cross-entropy."""

from collections.abc import Callable

from fastseq.bench.workloads.layers import LOSS

WORKS = LOSS


def test_loss(replay: Callable[[], None]) -> None:
    replay()
