"""Language models that generate text: each next id is drawn with its probability."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers import softmax
from fastseq_reference.models.rnnlm import BetterRnnlm, Rnnlm

Array = npt.NDArray[Any]


def _sample_ids(
    model: Any, start_id: int, skip_ids: Collection[int] | None, sample_size: int
) -> list[int]:
    ids = [start_id]
    while len(ids) < sample_size:
        score = model.predict(np.array([[ids[-1]]])).flatten()
        drawn = int(np.random.choice(len(score), p=softmax(score)))
        if skip_ids is None or drawn not in skip_ids:
            ids.append(drawn)
    return ids


class RnnlmGen(Rnnlm):
    """An `Rnnlm` that generates text."""

    def generate(
        self, start_id: int, skip_ids: Collection[int] | None = None, sample_size: int = 100
    ) -> list[int]:
        """Draw each next id with the probability that the model gives it.

        Parameters
        ----------
        start_id : int
        skip_ids : collection of int, optional
            Ids that are never taken.
        sample_size : int
            Ids in the result, ``start_id`` among them.

        Returns
        -------
        ids : list of int
        """
        return _sample_ids(self, start_id, skip_ids, sample_size)

    def get_state(self) -> tuple[Array | None, Array | None]:
        """The state ``(h, c)``."""
        return self.lstm_layer.h, self.lstm_layer.c

    def set_state(self, state: tuple[Any, Any]) -> None:
        """Continue from a state that `get_state` gave."""
        self.lstm_layer.set_state(*state)


class BetterRnnlmGen(BetterRnnlm):
    """A `BetterRnnlm` that generates text."""

    def generate(
        self, start_id: int, skip_ids: Collection[int] | None = None, sample_size: int = 100
    ) -> list[int]:
        """Draw each next id with the probability that the model gives it.

        Parameters
        ----------
        start_id : int
        skip_ids : collection of int, optional
            Ids that are never taken.
        sample_size : int
            Ids in the result, ``start_id`` among them.

        Returns
        -------
        ids : list of int
        """
        return _sample_ids(self, start_id, skip_ids, sample_size)

    def get_state(self) -> list[tuple[Array | None, Array | None]]:
        """The state ``(h, c)`` of each LSTM layer."""
        return [(layer.h, layer.c) for layer in self.lstm_layers]

    def set_state(self, states: Sequence[tuple[Any, Any]]) -> None:
        """Continue from the states that `get_state` gave."""
        for layer, state in zip(self.lstm_layers, states, strict=True):
            layer.set_state(*state)
