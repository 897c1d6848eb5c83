"""Language models: at every step, scores for the next id.

Mikolov et al., "Recurrent neural network based language model", 2010, with an LSTM; Zaremba,
Sutskever and Vinyals, "Recurrent Neural Network Regularization", 2014 (two layers, dropout between
them); Press and Wolf, "Using the Output Embedding to Improve Language Models", 2017 (tied weights).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.layers import (
    TimeAffine,
    TimeDropout,
    TimeEmbedding,
    TimeSoftmaxWithLoss,
)
from fastseq.layers.base import as_array
from fastseq.layers.functions import Loss
from fastseq.models.base import BaseModel, model_sizes
from fastseq.models.seq2seq import collect, random_affine, random_lstm, random_weight

Array = npt.NDArray[Any]


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

        Parameters
        ----------
        dout : float, default 1
            The gradient of the loss.

        Raises
        ------
        RuntimeError
            There was no `forward`.
        TypeError
            ``dout`` is no number.
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

    Raises
    ------
    TypeError, ValueError
        A size is no integer, or below 1, or too large for NumPy's arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.models import Rnnlm
    >>> model = Rnnlm(vocab_size=10, wordvec_size=4, hidden_size=4)
    >>> ids = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    >>> round(model.forward(ids[:, :-1], ids[:, 1:]), 1)  # about log 10 before training
    2.3
    >>> model.backward()
    >>> model.reset_state()
    >>> model.predict(ids[:1]).shape
    (1, 4, 10)
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
    TypeError, ValueError
        A size is no integer, or below 1, or too large for NumPy's arrays; ``wordvec_size`` and
        ``hidden_size`` differ; or the ratio is no number, or outside its range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.models import BetterRnnlm
    >>> model = BetterRnnlm(vocab_size=10, wordvec_size=4, hidden_size=4)
    >>> ids = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    >>> round(model.forward(ids[:, :-1], ids[:, 1:]), 1)  # about log 10 before training
    2.3
    >>> model.backward()
    >>> model.reset_state()
    >>> model.predict(ids[:1]).shape
    (1, 4, 10)
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
