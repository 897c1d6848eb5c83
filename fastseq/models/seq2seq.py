"""Sequence to sequence: an encoder's last state starts the decoder.

Sutskever, Vinyals and Le, "Sequence to Sequence Learning with Neural Networks", 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from fastseq.layers import TimeAffine, TimeEmbedding, TimeLSTM, TimeSoftmaxWithLoss
from fastseq.layers.base import as_array, as_integer, checked
from fastseq.layers.fused import embedded_backward, embedded_forward, greedy_decode
from fastseq.models.base import BaseModel, model_sizes

Array = npt.NDArray[Any]

# generate_batch holds the states of this many rows at once.
_ROWS_AT_ONCE = 256


class Layer(Protocol):
    """What has parameters and their gradients."""

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
    """

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        V, D, H = model_sizes(vocab_size, wordvec_size, hidden_size)
        self.embed = TimeEmbedding(random_weight(V, D, 100))
        self.lstm = random_lstm(D, H, stateful=False)
        self.params, self.grads = collect([self.embed, self.lstm])
        self.hs: Array | None = None

    def forward(self, xs: Array) -> Array:
        """Read the sequences.

        Parameters
        ----------
        xs : ndarray of int, shape (N, T)
            T is at least 1.

        Returns
        -------
        ndarray of float32, shape (N, H)
        """
        self.hs = self._hidden_states(xs)
        return self._result(self.hs)

    def backward(self, dh: Array) -> None:
        """Fill the gradients from ``dh`` (N, H).

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        if self.hs is None:
            raise RuntimeError(f"{type(self).__name__}.backward was called before forward")
        N, _, H = self.hs.shape
        dhs = np.zeros_like(self.hs)
        dhs[:, -1, :] = checked("dh", dh, "(N, H)", N, H)
        self._backward_states(dhs)

    def _encode(self, xs: Array) -> Array:
        """The result of `forward`, with nothing kept for a `backward`."""
        return self._result(self._hidden_states(xs, keep=False))

    def _result(self, hs: Array) -> Array:
        return hs[:, -1, :].copy()

    def _hidden_states(self, xs: Array, keep: bool = True) -> Array:
        return embedded_forward(self.embed, self.lstm, some_steps(xs), keep=keep)

    def _backward_states(self, dhs: Array) -> None:
        embedded_backward(self.embed, self.lstm, dhs)


class GreedyDecoder:
    """What the decoders share: they start from the encoder's result, then score ids step by step.

    A subclass writes `_start`, which takes the encoder's result, and `_scores`, which runs any
    number of further time steps; its ``forward`` is the one, then the other. Where all layers are
    the package's own, one kernel call takes all steps of greedy decoding, to the same bits.
    """

    embed: TimeEmbedding
    lstm: TimeLSTM
    affine: TimeAffine

    def _checked(self, encoded: Array) -> Array:
        """The encoder's result as an array."""
        return checked("h", encoded, "(N, H)", None, None)

    def _start(self, encoded: Array) -> None:
        raise NotImplementedError

    def _scores(self, xs: Array) -> Array:
        raise NotImplementedError

    def _own_layers(self) -> bool:
        return (
            type(self.embed) is TimeEmbedding
            and type(self.lstm) is TimeLSTM
            and type(self.affine) is TimeAffine
        )

    def _best_ids(self, start_id: int, steps: int) -> Array:
        """The ids (N, steps) that one kernel call finds."""
        ids, _ = self._decode(start_id, steps)
        return ids

    def _decode(
        self, start_id: int, steps: int, hs_enc: Array | None = None, peeky: bool = False
    ) -> tuple[Array, Array | None]:
        """Ids and last attention weights of so many steps; the LSTM moves on."""
        return greedy_decode(self.embed, self.lstm, self.affine, start_id, steps, hs_enc, peeky)

    def _forward(self, xs: Array, encoded: Array) -> Array:
        xs, encoded = as_array("xs", xs), self._checked(encoded)
        if xs.ndim == 2 and len(xs) != len(encoded):
            raise ValueError(
                f"xs: expected {len(encoded)} rows, as in the encoder's result, got {len(xs)}"
            )
        self._start(encoded)
        return self._scores(xs)

    def _greedy(self, encoded: Array, start_id: int, sample_size: int) -> Array:
        """The ids (N, sample_size) of the best score at each step, each fed to the next step."""
        start, size = as_integer("start_id", start_id), as_integer("sample_size", sample_size)
        if not 0 <= size <= np.iinfo(np.int64).max:
            raise ValueError(f"sample_size: expected at least 0, got {size}")
        encoded = self._checked(encoded)
        self._start(encoded)
        if self._own_layers():
            return self._best_ids(start, size)
        ids = np.full((len(encoded), 1), start)
        samples = np.empty((len(encoded), size), dtype=np.int64)
        for step in range(size):
            ids = self._scores(ids).argmax(axis=2)
            samples[:, step] = ids[:, 0]
        return samples

    def _greedy_row(self, encoded: Array, start_id: int, sample_size: int) -> list[int]:
        encoded = self._checked(encoded)
        if len(encoded) != 1:
            raise ValueError(
                f"generate: expected a batch of one row, got {len(encoded)} "
                "(generate_batch takes many)"
            )
        ids: list[int] = self._greedy(encoded, start_id, sample_size)[0].tolist()
        return ids


class Decoder(GreedyDecoder):
    """Embedding, LSTM that starts from the encoder's state, affine map to scores.

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
    """

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        V, D, H = model_sizes(vocab_size, wordvec_size, hidden_size)
        self.embed = TimeEmbedding(random_weight(V, D, 100))
        self.lstm = random_lstm(D, H, stateful=True)
        self.affine = random_affine(H, V)
        self.params, self.grads = collect([self.embed, self.lstm, self.affine])

    def forward(self, xs: Array, h: Array) -> Array:
        """Score the next id at every step.

        Parameters
        ----------
        xs : ndarray of int, shape (N, T)
        h : ndarray of float, shape (N, H)

        Returns
        -------
        ndarray of float32, shape (N, T, V)
        """
        return self._forward(xs, h)

    def _start(self, encoded: Array) -> None:
        self.lstm.set_state(encoded)

    def _scores(self, xs: Array) -> Array:
        return self.affine.forward(embedded_forward(self.embed, self.lstm, xs))

    def backward(self, dscore: Array) -> Array:
        """Fill the gradients from ``dscore`` (N, T, V), and return that of ``h`` (N, H).

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        embedded_backward(self.embed, self.lstm, self.affine.backward(dscore))
        assert self.lstm.dh is not None
        return self.lstm.dh

    def generate(self, h: Array, start_id: int, sample_size: int) -> list[int]:
        """Greedy decoding of one sequence: the best id of each step is the next input.

        Parameters
        ----------
        h : ndarray of float, shape (1, H)
        start_id : int
        sample_size : int

        Returns
        -------
        list of int

        Raises
        ------
        ValueError
            ``h`` has another number of rows than one.
        """
        return self._greedy_row(h, start_id, sample_size)


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
    """

    _encoder_class: ClassVar[type] = Encoder
    _decoder_class: ClassVar[type] = Decoder

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        sizes = model_sizes(vocab_size, wordvec_size, hidden_size)
        self.encoder = self._encoder_class(*sizes)
        self.decoder = self._decoder_class(*sizes)
        self.softmax = TimeSoftmaxWithLoss()
        self.params, self.grads = collect([self.encoder, self.decoder])

    def forward(self, xs: Array, ts: Array) -> float:
        """The loss of predicting each id of ``ts`` from those before it.

        Parameters
        ----------
        xs : ndarray of int, shape (N, Te)
        ts : ndarray of int, shape (N, Td)
            The first column is the start symbol: the decoder reads ``ts[:, :-1]`` and is to say
            ``ts[:, 1:]``.

        Returns
        -------
        float

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
        score = self.decoder.forward(ts[:, :-1], self.encoder.forward(xs))
        return self.softmax.forward(score, ts[:, 1:])

    def backward(self, dout: float = 1) -> None:
        """Fill `grads`, times ``dout``.

        Raises
        ------
        RuntimeError
            There was no `forward`.
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
        ValueError
            ``xs`` has another number of rows than one.
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
        """
        xs = as_array("xs", xs)
        if xs.ndim != 2:
            raise ValueError(f"xs: expected shape (N, T), got {xs.shape}")
        start_id = as_integer("start_id", start_id)
        sample_size = as_integer("sample_size", sample_size)
        slices = [xs[i : i + _ROWS_AT_ONCE] for i in range(0, max(len(xs), 1), _ROWS_AT_ONCE)]
        is_own = type(self.encoder) is self._encoder_class
        encode = self.encoder._encode if is_own else self.encoder.forward
        return np.concatenate(
            [self.decoder._greedy(encode(rows), start_id, sample_size) for rows in slices]
        )
