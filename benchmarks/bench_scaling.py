"""How the time of an LSTM layer grows with each of its sizes."""

from collections.abc import Callable

from fastseq.bench.workloads.recurrent import SCALING

WORKLOADS = SCALING


def test_scaling(replay: Callable[[], None]) -> None:
    replay()
