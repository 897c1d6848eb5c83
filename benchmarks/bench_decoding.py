"""Greedy decoding of one question and of many, and exact-match evaluation."""

from collections.abc import Callable

from fastseq.bench.workloads.decoding import DECODING

WORKLOADS = DECODING


def test_decoding(replay: Callable[[], None]) -> None:
    replay()
