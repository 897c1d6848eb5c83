"""Learning-rate schedules: the rate of each step, from what may be saved and read back."""

from __future__ import annotations

from typing import Any


class Schedule:
    """The learning rate of each training step.

    - constant: the highest rate, always.
    - plateau: halved after `plateau_patience` epochs without a better one, and again after as many
      more; never below a thousandth of the highest.
    - warmup_inverse_sqrt: ``highest * min(k / warmup, sqrt(warmup / k))`` for step k from 1, the
      schedule of Vaswani et al. 2017, "Attention is all you need", equation 3, in another unit.

    Parameters
    ----------
    kind : {"constant", "plateau", "warmup_inverse_sqrt"}
    highest : float
    plateau_patience, warmup_steps : int
    """

    _LOWEST_FACTOR = 2**-10

    def __init__(self, kind: str, highest: float, plateau_patience: int, warmup_steps: int) -> None:
        self._kind = kind
        self._highest = highest
        self._patience = plateau_patience
        self._warmup_steps = warmup_steps
        self._factor = 1.0
        self._epochs_waited = 0

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 1 over all epochs."""
        if self._kind == "warmup_inverse_sqrt":
            warmup = self._warmup_steps
            return float(self._highest * min(step / warmup, (warmup / step) ** 0.5))
        return self._highest * self._factor

    def end_epoch(self, better: bool) -> None:
        """Take note of an epoch: whether it was better than all before."""
        if self._kind != "plateau":
            return
        self._epochs_waited = 0 if better else self._epochs_waited + 1
        if self._epochs_waited == self._patience:
            self._factor = max(self._factor / 2, self._LOWEST_FACTOR)
            self._epochs_waited = 0

    def state(self) -> dict[str, Any]:
        """What `restore` goes on from."""
        return {"factor": self._factor, "epochs_waited": self._epochs_waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._factor = float(state["factor"])
        self._epochs_waited = int(state["epochs_waited"])
