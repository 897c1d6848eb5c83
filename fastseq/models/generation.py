"""Language models that generate text: each next id is drawn with its probability."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.layers import TimeLSTM, softmax
from fastseq.layers.base import as_integer, as_list
from fastseq.models.rnnlm import BetterRnnlm, Rnnlm

Array = npt.NDArray[Any]

State = tuple[Array | None, Array | None]


class _Generator:
    """Text that a language model generates."""

    predict: Callable[..., Array]

    def generate(
        self, start_id: int, skip_ids: Collection[int] | None = None, sample_size: int = 100
    ) -> list[int]:
        """Go on from an id, each next id drawn by ``np.random.choice`` with its probability.

        Parameters
        ----------
        start_id : int
            The first id of the result.
        skip_ids : collection of int, optional
            Ids that are never taken: where one is drawn, the model reads the id before it again,
            and another is drawn.
        sample_size : int
            How many ids to give, ``start_id`` among them.

        Returns
        -------
        list of int

        Raises
        ------
        IndexError
            ``start_id`` is out of range.
        TypeError
            An argument is no integer, or ``skip_ids`` no collection of integers.
        ValueError
            ``skip_ids`` leaves no id, or the state is that of a batch: call `reset_state` first.
        """
        given = as_list("skip_ids", skip_ids) if skip_ids is not None else ()
        skipped = frozenset(as_integer("skip_ids", skip_id) for skip_id in given)
        ids = [as_integer("start_id", start_id)]
        size = as_integer("sample_size", sample_size)
        while len(ids) < size:
            score = self.predict(np.array([[ids[-1]]])).ravel()
            if len(skipped) >= len(score) and all(each in skipped for each in range(len(score))):
                raise ValueError(f"skip_ids: expected to leave an id; all {len(score)} are skipped")
            drawn = int(np.random.choice(len(score), p=softmax(score)))
            if drawn not in skipped:
                ids.append(drawn)
        return ids


class RnnlmGen(_Generator, Rnnlm):
    """An `Rnnlm` that generates text.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.

    Raises
    ------
    TypeError, ValueError
        As `Rnnlm`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.models import RnnlmGen
    >>> model = RnnlmGen(vocab_size=10, wordvec_size=4, hidden_size=4)
    >>> state = model.get_state()  # as it is before the first id
    >>> ids = model.generate(start_id=3, skip_ids=[0], sample_size=20)
    >>> len(ids), ids[0], 0 in ids
    (20, 3, False)
    >>> model.set_state(state)
    """

    def get_state(self) -> State:
        """The state of the LSTM, for `set_state`.

        Returns
        -------
        h, c : ndarray of float32, shape (N, H), or None
            None before the first call of `predict`.
        """
        return self.lstm_layer.h, self.lstm_layer.c

    def set_state(self, state: State) -> None:
        """Go on from a state that `get_state` gave.

        Parameters
        ----------
        state : tuple (h, c)
        """
        _set_state(self.lstm_layer, state)


class BetterRnnlmGen(_Generator, BetterRnnlm):
    """A `BetterRnnlm` that generates text.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.
    dropout_ratio : float
        The share of values that each dropout layer zeroes while training.

    Raises
    ------
    TypeError, ValueError
        As `BetterRnnlm`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.models import BetterRnnlmGen
    >>> model = BetterRnnlmGen(vocab_size=10, wordvec_size=4, hidden_size=4)
    >>> state = model.get_state()  # as it is before the first id
    >>> ids = model.generate(start_id=3, skip_ids=[0], sample_size=20)
    >>> len(ids), ids[0], 0 in ids
    (20, 3, False)
    >>> model.set_state(state)
    """

    def get_state(self) -> list[State]:
        """The state of each LSTM layer, for `set_state`.

        Returns
        -------
        list of tuple (h, c)
            Each ndarray of float32, shape (N, H), or None: None before the first call of `predict`.
        """
        return [(layer.h, layer.c) for layer in self.lstm_layers]

    def set_state(self, states: Sequence[State]) -> None:
        """Go on from the states that `get_state` gave.

        Parameters
        ----------
        states : sequence of tuple (h, c)
            One for each layer.

        Raises
        ------
        ValueError
            There are more or fewer of them than layers.
        """
        for layer, state in zip(self.lstm_layers, states, strict=True):
            _set_state(layer, state)


def _set_state(layer: TimeLSTM, state: State) -> None:
    h, c = state
    if h is None:
        layer.reset_state()
    else:
        layer.set_state(h, c)
