"""Language models: at every step, scores for the next id.

Mikolov et al., "Recurrent neural network based language model", 2010, with an LSTM; Zaremba,
Sutskever and Vinyals, "Recurrent Neural Network Regularization", 2014 (two layers, dropout between
them); Press and Wolf, "Using the Output Embedding to Improve Language Models", 2017 (tied weights).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.layers import (
    TimeAffine,
    TimeDropout,
    TimeEmbedding,
    TimeLSTM,
    TimeSoftmaxWithLoss,
    softmax,
)
from fastseq.layers.base import as_array, as_integer, as_list
from fastseq.layers.functions import Loss
from fastseq.models.base import BaseModel, model_sizes
from fastseq.models.seq2seq import collect, random_affine, random_lstm, random_weight

Array = npt.NDArray[Any]

State = tuple[Array | None, Array | None]


class _LayeredModel(BaseModel):
    """Layers one after the other, and the loss over the scores of the last."""

    def _stack(self, layers: list[Any]) -> None:
        self.layers = layers
        self.loss_layer = TimeSoftmaxWithLoss()
        self.params, self.grads = collect(layers)

    def _scores(self, xs: Array) -> Array:
        xs = as_array("xs", xs)
        for layer in self.layers:
            xs = layer.forward(xs)
        return xs

    def backward(self, dout: float = 1) -> None:
        """Fill `grads`, times ``dout``.

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        dscore: Any = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dscore = layer.backward(dscore)


class Rnnlm(_LayeredModel):
    """Embedding, LSTM, affine map to scores.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.

    Attributes
    ----------
    layers : list
        A `TimeEmbedding`, a stateful `TimeLSTM` and a `TimeAffine`.
    lstm_layer : TimeLSTM
    loss_layer : TimeSoftmaxWithLoss
    params, grads : list of ndarray
        Those of `layers`, in their order.
    """

    def __init__(
        self, vocab_size: int = 10000, wordvec_size: int = 100, hidden_size: int = 100
    ) -> None:
        V, D, H = model_sizes(vocab_size, wordvec_size, hidden_size)
        embed = TimeEmbedding(random_weight(V, D, 100))
        self.lstm_layer = random_lstm(D, H, stateful=True)
        self._stack([embed, self.lstm_layer, random_affine(H, V)])

    def predict(self, xs: Array) -> Array:
        """Score the next id at every step.

        Parameters
        ----------
        xs : ndarray of int, shape (N, T)
            Goes on where the last call ended: the LSTM keeps its state.

        Returns
        -------
        ndarray of float32, shape (N, T, V)

        Raises
        ------
        IndexError
            An id is out of range.
        TypeError, ValueError
            ``xs`` is of the wrong kind or shape, or has another number of rows than the state.
        """
        return self._scores(xs)

    def forward(self, xs: Array, ts: Array) -> Loss:
        """The mean loss of predicting ``ts``.

        Parameters
        ----------
        xs, ts : ndarray of int, shape (N, T)
            Ids, and those that follow each of them.

        Returns
        -------
        Loss
            A float.

        Raises
        ------
        IndexError
            An id is out of range.
        TypeError, ValueError
            An argument is of the wrong kind or shape, or has another number of rows than the state.
        """
        return self.loss_layer.forward(self.predict(xs), ts)

    def reset_state(self) -> None:
        """Let the next call begin with a state of zeros."""
        self.lstm_layer.reset_state()


class BetterRnnlm(_LayeredModel):
    """Embedding, two LSTM layers with dropout around each, affine map tied to the embedding.

    The affine weight is ``embed_W.T``, a view: the two stay one array while training, where
    `remove_duplicate` adds their gradients. Hence ``wordvec_size`` equals ``hidden_size``.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.
    dropout_ratio : float
        The share of values that each dropout layer zeroes while training.

    Attributes
    ----------
    layers : list
        Embedding, dropout, LSTM, dropout, LSTM, dropout, affine.
    lstm_layers : list of TimeLSTM
        Both stateful.
    drop_layers : list of TimeDropout
    loss_layer : TimeSoftmaxWithLoss
    params, grads : list of ndarray
        Those of `layers`, in their order.

    Raises
    ------
    ValueError
        ``wordvec_size`` and ``hidden_size`` differ.
    """

    def __init__(
        self,
        vocab_size: int = 10000,
        wordvec_size: int = 650,
        hidden_size: int = 650,
        dropout_ratio: float = 0.5,
    ) -> None:
        V, D, H = model_sizes(vocab_size, wordvec_size, hidden_size)
        if D != H:
            raise ValueError(
                f"wordvec_size, hidden_size: expected equal sizes, because the affine weight is "
                f"the transposed embedding; got {D} and {H}"
            )
        embed_W = random_weight(V, D, 100)
        self.lstm_layers = [
            random_lstm(D, H, stateful=True),
            random_lstm(H, H, stateful=True),
        ]
        self.drop_layers = [TimeDropout(dropout_ratio) for _ in range(3)]
        self._stack(
            [
                TimeEmbedding(embed_W),
                self.drop_layers[0],
                self.lstm_layers[0],
                self.drop_layers[1],
                self.lstm_layers[1],
                self.drop_layers[2],
                TimeAffine(embed_W.T, np.zeros(V, dtype=np.float32)),
            ]
        )

    def predict(self, xs: Array, train_flg: bool = False) -> Array:
        """Score the next id at every step.

        Parameters
        ----------
        xs : ndarray of int, shape (N, T)
            Goes on where the last call ended: the LSTM layers keep their states.
        train_flg : bool
            Whether the dropout layers drop.

        Returns
        -------
        ndarray of float32, shape (N, T, V)

        Raises
        ------
        IndexError
            An id is out of range.
        TypeError, ValueError
            ``xs`` is of the wrong kind or shape, or has another number of rows than the state.
        """
        for layer in self.drop_layers:
            layer.train_flg = train_flg
        return self._scores(xs)

    def forward(self, xs: Array, ts: Array, train_flg: bool = True) -> Loss:
        """The mean loss of predicting ``ts``.

        Parameters
        ----------
        xs, ts : ndarray of int, shape (N, T)
            Ids, and those that follow each of them.
        train_flg : bool
            Whether the dropout layers drop.

        Returns
        -------
        Loss
            A float.

        Raises
        ------
        IndexError
            An id is out of range.
        TypeError, ValueError
            An argument is of the wrong kind or shape, or has another number of rows than the state.
        """
        return self.loss_layer.forward(self.predict(xs, train_flg), ts)

    def reset_state(self) -> None:
        """Let the next call begin with a state of zeros."""
        for layer in self.lstm_layers:
            layer.reset_state()


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
    """An `Rnnlm` that generates text."""

    def get_state(self) -> State:
        """The state ``(h, c)`` of the LSTM, for `set_state`."""
        return self.lstm_layer.h, self.lstm_layer.c

    def set_state(self, state: State) -> None:
        """Go on from a state that `get_state` gave."""
        _set_state(self.lstm_layer, state)


class BetterRnnlmGen(_Generator, BetterRnnlm):
    """A `BetterRnnlm` that generates text."""

    def get_state(self) -> list[State]:
        """The state ``(h, c)`` of each LSTM layer, for `set_state`."""
        return [(layer.h, layer.c) for layer in self.lstm_layers]

    def set_state(self, states: Sequence[State]) -> None:
        """Go on from the states that `get_state` gave."""
        for layer, state in zip(self.lstm_layers, states, strict=True):
            _set_state(layer, state)


def _set_state(layer: TimeLSTM, state: State) -> None:
    h, c = state
    if h is None:
        layer.reset_state()
    else:
        layer.set_state(h, c)
