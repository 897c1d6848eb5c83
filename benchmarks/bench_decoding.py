"""Answers of a model: one, many, and how many are right."""

from collections.abc import Callable

from fastseq.bench.workloads.decoding import DECODING

WORKLOADS = DECODING


def test_decoding(replay: Callable[[], None]) -> None:
    replay()
