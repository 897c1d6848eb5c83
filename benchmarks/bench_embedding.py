"""The embedding: rows of a table."""

from collections.abc import Callable

from fastseq.bench.workloads.layers import EMBEDDING

WORKLOADS = EMBEDDING


def test_embedding(replay: Callable[[], None]) -> None:
    replay()
