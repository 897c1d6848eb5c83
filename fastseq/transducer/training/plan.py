"""How a training goes on, and who is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

Logs = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """How to train: the hyperparameters of that name, see `fastseq.Transducer`."""

    epochs: int
    final_epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    plateau_patience: int
    warmup_steps: int
    averaging: float
    max_grad: float
    label_smoothing: float
    unknown_rate: float
    monitor: str
    patience: int | None
    shards: int


class Observer(Protocol):
    """What is told of training as it goes on."""

    def on_epoch_begin(self, epoch: int, steps_done: int, steps: int) -> None:
        """An epoch begins, or goes on after `steps_done` of its steps."""

    def on_step(self, loss: float, pairs: int) -> None:
        """A step was taken, over so many pairs."""

    def on_checkpoint(self) -> None:
        """Now is a good moment to save the state: its loss is finite."""

    def on_epoch_end(self, logs: Logs) -> None:
        """An epoch is over, the state is saved; the network has the averages of its weights."""
