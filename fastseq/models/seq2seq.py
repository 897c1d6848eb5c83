"""Sequence to sequence: the encoder's last state is the decoder's initial state.

Sutskever, Vinyals and Le, "Sequence to Sequence Learning with Neural Networks", 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from fastseq.layers import TimeAffine, TimeEmbedding, TimeLSTM, TimeSoftmaxWithLoss
from fastseq.layers.base import as_array, as_integer, checked, fusable, is_original
from fastseq.layers.functions import Loss
from fastseq.layers.recurrent.time_layer import embedded_backward, embedded_forward
from fastseq.models.base import BaseModel, model_sizes
from fastseq.models.greedy import GreedyDecoder, greedy_batch

Array = npt.NDArray[Any]

# generate_batch holds the states of this many rows at once.
_ROWS_AT_ONCE = 256


class Layer(Protocol):
    """An object that has parameters and their gradients."""

    params: list[Array]
    grads: list[Array]


def collect(layers: Sequence[Layer]) -> tuple[list[Array], list[Array]]:
    """The parameters of all layers in one list, and their gradients in another."""
    params = [param for layer in layers for param in layer.params]
    grads = [grad for layer in layers for grad in layer.grads]
    return params, grads


def random_weight(rows: int, columns: int, scale: float) -> Array:
    """A float32 matrix drawn from the global ``np.random.randn``, divided by ``scale``."""
    weight: Array = (np.random.randn(rows, columns) / scale).astype(np.float32)
    return weight


def random_lstm(input_size: int, hidden_size: int, stateful: bool) -> TimeLSTM:
    """A `TimeLSTM` with newly drawn weights, ``Wx`` before ``Wh``, and a bias of zeros."""
    D, H = input_size, hidden_size
    Wx = random_weight(D, 4 * H, np.sqrt(D))
    Wh = random_weight(H, 4 * H, np.sqrt(H))
    return TimeLSTM(Wx, Wh, np.zeros(4 * H, dtype=np.float32), stateful=stateful)


def random_affine(input_size: int, output_size: int) -> TimeAffine:
    """A `TimeAffine` with newly drawn weights and a bias of zeros."""
    W = random_weight(input_size, output_size, np.sqrt(input_size))
    return TimeAffine(W, np.zeros(output_size, dtype=np.float32))


def some_steps(xs: Array) -> Array:
    """An encoder's ids, of at least one time step."""
    xs = as_array("xs", xs)
    if xs.ndim == 2 and xs.shape[1] == 0:
        raise ValueError(f"xs: expected at least one time step, got shape {xs.shape}")
    return xs


@fusable
class Encoder:
    """Embedding, then LSTM; the last hidden state is the result.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.

    Attributes
    ----------
    embed : TimeEmbedding
    lstm : TimeLSTM
    params, grads : list of ndarray
        Those of `embed`, then of `lstm`.
    hs : ndarray of float32, shape (N, T, H), or None
        All hidden states of the last `forward`.

    Raises
    ------
    TypeError, ValueError
        A size is no integer, or below 1, or too large for NumPy's arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.models import Encoder
    >>> encoder = Encoder(vocab_size=10, wordvec_size=4, hidden_size=8)
    >>> encoder.forward(np.array([[1, 2, 3], [4, 5, 6]])).shape
    (2, 8)
    >>> encoder.backward(np.ones((2, 8)))
    >>> [grad.shape for grad in encoder.grads]
    [(10, 4), (4, 32), (8, 32), (32,)]
    """

    lstm: Any
    hs: Array | None = None

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        V, D, H = model_sizes(vocab_size, wordvec_size, hidden_size)
        self.embed = TimeEmbedding(random_weight(V, D, 100))
        self.lstm = random_lstm(D, H, stateful=False)
        self.params, self.grads = collect([self.embed, self.lstm])

    def forward(self, xs: Array) -> Array:
        """Read the sequences.

        Parameters
        ----------
        xs : ndarray of int, shape (N, T)
            T is at least 1.

        Returns
        -------
        ndarray of float32, shape (N, H)

        Raises
        ------
        IndexError
            An id is out of range.
        TypeError, ValueError
            An argument is of the wrong kind or shape.
        """
        self.hs = embedded_forward(self.embed, self.lstm, some_steps(xs))
        return self._result(self.hs)

    def backward(self, dh: Array) -> None:
        """Fill the gradients.

        Parameters
        ----------
        dh : ndarray of float, shape (N, H)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        TypeError, ValueError
            ``dh`` is of the wrong kind or shape.
        """
        if self.hs is None:
            raise RuntimeError(f"{type(self).__name__}.backward was called before forward")
        N, _, H = self.hs.shape
        dhs = np.zeros_like(self.hs)
        dhs[:, -1, :] = checked("dh", dh, "(N, H)", N, H)
        embedded_backward(self.embed, self.lstm, dhs)

    def _result(self, hs: Array) -> Array:
        return hs[:, -1, :].copy()


def encode(encoder: Any, xs: Array) -> Array:
    """``encoder.forward(xs)``; an encoder of the package keeps nothing for a `backward`."""
    if not (isinstance(encoder, Encoder) and is_original(encoder)):
        result: Array = encoder.forward(xs)
        return result
    hs = embedded_forward(encoder.embed, encoder.lstm, some_steps(xs), keep=False)
    return encoder._result(hs)


@fusable
class Decoder(GreedyDecoder):
    """Embedding, LSTM whose initial state is the encoder's result, affine map to scores.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.

    Attributes
    ----------
    embed : TimeEmbedding
    lstm : TimeLSTM
        Stateful.
    affine : TimeAffine
    params, grads : list of ndarray
        Those of the three, in this order.

    Raises
    ------
    TypeError, ValueError
        A size is no integer, or below 1, or too large for NumPy's arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.models import Decoder
    >>> decoder = Decoder(vocab_size=10, wordvec_size=4, hidden_size=8)
    >>> decoder.forward(np.array([[1, 2, 3], [4, 5, 6]]), np.ones((2, 8))).shape
    (2, 3, 10)
    >>> decoder.backward(np.ones((2, 3, 10))).shape
    (2, 8)
    >>> len(decoder.generate(np.ones((1, 8)), start_id=0, sample_size=5))
    5
    """

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        V, D, H = model_sizes(vocab_size, wordvec_size, hidden_size)
        self.embed = TimeEmbedding(random_weight(V, D, 100))
        self.lstm = random_lstm(D, H, stateful=True)
        self.affine = random_affine(H, V)
        self.params, self.grads = collect([self.embed, self.lstm, self.affine])

    def _set_initial_state(self, encoded: Array) -> None:
        self.lstm.set_state(encoded)

    def _scores(self, xs: Array) -> Array:
        scores: Array = self.affine.forward(embedded_forward(self.embed, self.lstm, xs))
        return scores

    def backward(self, dscore: Array) -> Array:
        """Fill the gradients.

        Parameters
        ----------
        dscore : ndarray of float, shape (N, T, V)

        Returns
        -------
        ndarray of float32, shape (N, H)
            That of ``h``.

        Raises
        ------
        RuntimeError
            There was no `forward`.
        TypeError, ValueError
            ``dscore`` is of the wrong kind or shape.
        """
        embedded_backward(self.embed, self.lstm, self.affine.backward(dscore))
        dh: Array = self.lstm.dh
        return dh


class Seq2seq(BaseModel):
    """Encoder, decoder, and the loss over the decoder's scores.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.

    Attributes
    ----------
    encoder, decoder
        An `Encoder` and a `Decoder`, or those of the subclass.
    softmax : TimeSoftmaxWithLoss
    params, grads : list of ndarray
        Those of the encoder, then of the decoder.

    Raises
    ------
    TypeError, ValueError
        A size is no integer, or below 1, or too large for NumPy's arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.models import Seq2seq
    >>> model = Seq2seq(vocab_size=10, wordvec_size=4, hidden_size=8)
    >>> xs, ts = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[0, 3, 2], [0, 6, 5]])
    >>> round(model.forward(xs, ts), 1)  # about log 10 before training
    2.3
    >>> model.backward()
    >>> len(model.generate(xs[:1], start_id=0, sample_size=4))
    4
    >>> model.generate_batch(xs, start_id=0, sample_size=4).shape
    (2, 4)
    """

    _encoder_class: ClassVar[type] = Encoder
    _decoder_class: ClassVar[type] = Decoder

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        sizes = model_sizes(vocab_size, wordvec_size, hidden_size)
        self._connect(self._encoder_class(*sizes), self._decoder_class(*sizes))

    def _connect(self, encoder: Any, decoder: Any) -> None:
        self.encoder, self.decoder = encoder, decoder
        self.softmax = TimeSoftmaxWithLoss()
        self.params, self.grads = collect([self.encoder, self.decoder])

    def forward(self, xs: Array, ts: Array) -> Loss:
        """The loss of predicting each id of ``ts`` from those before it.

        Parameters
        ----------
        xs : ndarray of int, shape (N, Te)
        ts : ndarray of int, shape (N, Td)
            The first column is the start symbol: the decoder reads ``ts[:, :-1]`` and is to predict
            ``ts[:, 1:]``.

        Returns
        -------
        Loss
            A float.

        Raises
        ------
        IndexError
            An id is out of range.
        TypeError, ValueError
            An argument is of the wrong kind or shape.
        """
        ts = as_array("ts", ts)
        if ts.ndim != 2 or ts.shape[1] < 2:
            raise ValueError(f"ts: expected shape (N, T) with T at least 2, got {ts.shape}")
        inputs, labels = ts[:, :-1], ts[:, 1:]  # of the checked shape, whatever `xs` does to `ts`
        score = self.decoder.forward(inputs, self.encoder.forward(xs))
        return self.softmax.forward(score, labels)

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
        self.encoder.backward(self.decoder.backward(self.softmax.backward(dout)))

    def generate(self, xs: Array, start_id: int, sample_size: int) -> list[int]:
        """Answer one question: at each step the id with the best score.

        Parameters
        ----------
        xs : ndarray of int, shape (1, T)
        start_id : int
            What the decoder reads first.
        sample_size : int
            How many ids to give.

        Returns
        -------
        list of int

        Raises
        ------
        IndexError
            An id is out of range.
        TypeError, ValueError
            An argument is of the wrong kind, or ``xs`` has another number of rows than one.
        """
        ids: list[int] = self.decoder.generate(self.encoder.forward(xs), start_id, sample_size)
        return ids

    def generate_batch(self, xs: Array, start_id: int, sample_size: int) -> Array:
        """Answer many questions; each answer is the one that `generate` gives.

        Parameters
        ----------
        xs : ndarray of int, shape (N, T)
        start_id : int
        sample_size : int

        Returns
        -------
        ndarray of int64, shape (N, sample_size)

        Raises
        ------
        IndexError
            An id is out of range.
        TypeError, ValueError
            An argument is of the wrong kind or shape.
        """
        xs = as_array("xs", xs)
        if xs.ndim != 2:
            raise ValueError(f"xs: expected shape (N, T), got {xs.shape}")
        start_id = as_integer("start_id", start_id)
        sample_size = as_integer("sample_size", sample_size)
        slices = [xs[i : i + _ROWS_AT_ONCE] for i in range(0, max(len(xs), 1), _ROWS_AT_ONCE)]
        return np.concatenate(
            [
                greedy_batch(self.decoder, encode(self.encoder, rows), start_id, sample_size)
                for rows in slices
            ]
        )
