"""The recurrent layers over a whole sequence: LSTM, GRU, RNN, and a bidirectional LSTM."""

from collections.abc import Callable

from fastseq.bench.workloads.recurrent import RECURRENT

WORKLOADS = RECURRENT


def test_recurrent(replay: Callable[[], None]) -> None:
    replay()
