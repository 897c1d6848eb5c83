"""Dot-product attention of all decoder steps."""

from collections.abc import Callable

from fastseq.bench.workloads.layers import ATTENTION

WORKLOADS = ATTENTION


def test_attention(replay: Callable[[], None]) -> None:
    replay()
