"""Trainings that are interrupted: by a callback that raises, by Ctrl-C within a step."""

import signal
from typing import Any

import pytest

from fastseq import Transducer
from fastseq.transducer.training import loop as training
from fastseq.transducer.training.loop import Training


class Call:
    """A callback: a function of model and logs."""

    def __init__(self, function: Any) -> None:
        self.on_epoch_end = function


def raise_in_epoch(number: int) -> Call:
    def stop(model: Transducer, logs: dict[str, Any]) -> None:
        if logs["epoch"] == number:
            raise RuntimeError("stopped by the test")

    return Call(stop)


def press_in_step(monkeypatch: pytest.MonkeyPatch, number: int, times: int = 1) -> None:
    steps = 0
    step = Training._step

    def pressing(self: Training, rows: Any, place: str) -> Any:
        nonlocal steps
        steps += 1
        if steps == number:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        return step(self, rows, place)

    monkeypatch.setattr(training.Training, "_step", pressing)
