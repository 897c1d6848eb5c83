"""Trainings that are interrupted: by a callback that raises, Ctrl-C within a step, or NaN."""

import math
import signal
from typing import Any

import pytest

from fastseq import Transducer
from fastseq.transducer.network.network import Network
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


def fail_at(
    monkeypatch: pytest.MonkeyPatch, update: int, what: str, value: float = math.nan
) -> None:
    """Let the loss or the gradients of one training step be what no update survives."""
    steps = 0
    loss, backward = Network.loss, Network.backward

    def spoilt_loss(self: Network, batch: Any, **settings: Any) -> float:
        nonlocal steps
        result = loss(self, batch, **settings)
        steps += bool(settings.get("training"))
        return value if steps == update and what == "loss" and settings else result

    def spoilt_backward(self: Network) -> None:
        backward(self)
        if steps == update and what == "gradients":
            next(iter(self.grads.values()))[0, 0] = value

    monkeypatch.setattr(Network, "loss", spoilt_loss)
    monkeypatch.setattr(Network, "backward", spoilt_backward)
