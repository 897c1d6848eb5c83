"""Sequence to sequence with attention: every step of the decoder attends to all encoder states.

Luong, Pham and Manning, "Effective Approaches to Attention-based Neural Machine Translation", 2015.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from fastseq.layers import TimeAttention, TimeEmbedding
from fastseq.layers.affine import affine_backward, affine_forward
from fastseq.layers.base import checked, fusable, is_original
from fastseq.layers.recurrent.time_layer import embedded_backward, embedded_forward
from fastseq.models.base import model_sizes
from fastseq.models.greedy import GreedyDecoder, greedy
from fastseq.models.seq2seq import (
    Encoder,
    Seq2seq,
    collect,
    random_affine,
    random_lstm,
    random_weight,
)

Array = npt.NDArray[Any]


@fusable
class AttentionEncoder(Encoder):
    """An `Encoder` whose result is all hidden states.

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
    >>> from fastseq.models import AttentionEncoder
    >>> encoder = AttentionEncoder(vocab_size=10, wordvec_size=4, hidden_size=8)
    >>> encoder.forward(np.array([[1, 2, 3], [4, 5, 6]])).shape
    (2, 3, 8)
    >>> encoder.backward(np.ones((2, 3, 8)))
    >>> [grad.shape for grad in encoder.grads]
    [(10, 4), (4, 32), (8, 32), (32,)]
    """

    def forward(self, xs: Array) -> Array:
        """Read the sequences.

        Parameters
        ----------
        xs : ndarray of int, shape (N, T)
            T is at least 1.

        Returns
        -------
        ndarray of float32, shape (N, T, H); of two directions (N, T, 2H)

        Raises
        ------
        IndexError
            An id is out of range.
        TypeError, ValueError
            An argument is of the wrong kind or shape.
        """
        return super().forward(xs)

    def _result(self, hs: Array) -> Array:
        return hs

    def backward(self, dhs: Array) -> None:
        """Fill the gradients.

        Parameters
        ----------
        dhs : ndarray of float, shape (N, T, H); of two directions (N, T, 2H)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        TypeError, ValueError
            ``dhs`` is of the wrong kind or shape.
        """
        embedded_backward(self.embed, self.lstm, dhs)


@fusable
class AttentionDecoder(GreedyDecoder):
    """Embedding, LSTM from the last encoder state on, attention, affine map of ``[c, hs]``.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.

    Attributes
    ----------
    embed : TimeEmbedding
    lstm : TimeLSTM
        Stateful.
    attention : TimeAttention
    affine : TimeAffine
        Its input is 2H wide: the context, then the hidden state.
    params, grads : list of ndarray
        Those of the four, in this order.

    Raises
    ------
    TypeError, ValueError
        A size is no integer, or below 1, or too large for NumPy's arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.models import AttentionDecoder
    >>> decoder = AttentionDecoder(vocab_size=10, wordvec_size=4, hidden_size=8)
    >>> decoder.forward(np.array([[1, 2, 3], [4, 5, 6]]), np.ones((2, 6, 8))).shape
    (2, 3, 10)
    >>> decoder.backward(np.ones((2, 3, 10))).shape
    (2, 6, 8)
    >>> len(decoder.generate(np.ones((1, 6, 8)), start_id=0, sample_size=5))
    5
    """

    _enc_hs: Array

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        V, D, H = model_sizes(vocab_size, wordvec_size, hidden_size)
        self.embed = TimeEmbedding(random_weight(V, D, 100))
        self.lstm = random_lstm(D, H, stateful=True)
        self.attention = TimeAttention()
        self.affine = random_affine(2 * H, V)
        self.params, self.grads = collect([self.embed, self.lstm, self.attention, self.affine])

    def forward(self, xs: Array, enc_hs: Array) -> Array:
        """Score the next id at every step.

        Parameters
        ----------
        xs : ndarray of int, shape (N, Td)
        enc_hs : ndarray of float, shape (N, Te, H)

        Returns
        -------
        ndarray of float32, shape (N, Td, V)

        Raises
        ------
        IndexError
            An id is out of range.
        TypeError, ValueError
            An argument is of the wrong kind or shape.
        """
        return self._forward(xs, enc_hs)

    def _checked(self, encoded: Array) -> Array:
        enc_hs = checked("enc_hs", encoded, "(N, Te, H)", None, None, None)
        if enc_hs.shape[1] == 0:
            raise ValueError(f"enc_hs: expected at least one step, got shape {enc_hs.shape}")
        return enc_hs

    def _set_initial_state(self, encoded: Array) -> None:
        self._enc_hs = encoded
        self.lstm.set_state(encoded[:, -1])

    def _scores(self, xs: Array) -> Array:
        dec_hs = embedded_forward(self.embed, self.lstm, xs)
        return affine_forward(self.affine, self.attention.forward(self._enc_hs, dec_hs), dec_hs)

    def _has_original_layers(self) -> bool:
        attention = self.attention
        is_own = type(attention) is TimeAttention and is_original(attention)
        return is_own and super()._has_original_layers()

    def _inputs_of_decode(self) -> dict[str, Any]:
        return {"hs_enc": self._enc_hs}

    def _keep_weights(self, weights: Array | None) -> None:
        assert weights is not None
        self.attention.attention_weights = [weights]

    def backward(self, dscore: Array) -> Array:
        """Fill the gradients.

        Parameters
        ----------
        dscore : ndarray of float, shape (N, Td, V)

        Returns
        -------
        ndarray of float32, shape (N, Te, H)
            That of ``enc_hs``.

        Raises
        ------
        RuntimeError
            There was no `forward`.
        TypeError, ValueError
            ``dscore`` is of the wrong kind or shape.
        """
        # forward was: scores = affine([contexts, dec_hs]);  contexts = attention(enc_hs, dec_hs)
        dcontexts, ddec_hs = affine_backward(self.affine, dscore)
        denc_hs, ddec_hs_attention = self.attention.backward(dcontexts)
        embedded_backward(self.embed, self.lstm, ddec_hs + ddec_hs_attention)
        # forward was: the first state is enc_hs[:, -1]
        denc_hs[:, -1] += self.lstm.dh
        return denc_hs

    @greedy
    def generate(self, enc_hs: Array, start_id: int, sample_size: int) -> list[int]:
        """Greedy decoding of one sequence: the best id of each step is the next input.

        Parameters
        ----------
        enc_hs : ndarray of float, shape (1, Te, H)
        start_id : int
        sample_size : int

        Returns
        -------
        list of int

        Raises
        ------
        IndexError
            An id is out of range.
        TypeError, ValueError
            An argument is of the wrong kind, or ``enc_hs`` has another number of rows than one.
        """
        return self._greedy_row(enc_hs, start_id, sample_size)


class AttentionSeq2seq(Seq2seq):
    """`Seq2seq` with an `AttentionEncoder` and an `AttentionDecoder`.

    Luong, Pham and Manning 2015.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.

    Attributes
    ----------
    encoder : AttentionEncoder
    decoder : AttentionDecoder
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
    >>> from fastseq.models import AttentionSeq2seq
    >>> model = AttentionSeq2seq(vocab_size=10, wordvec_size=4, hidden_size=8)
    >>> xs, ts = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[0, 3, 2], [0, 6, 5]])
    >>> round(model.forward(xs, ts), 1)  # about log 10 before training
    2.3
    >>> model.backward()
    >>> len(model.generate(xs[:1], start_id=0, sample_size=4))
    4
    >>> model.generate_batch(xs, start_id=0, sample_size=4).shape
    (2, 4)
    """

    _encoder_class = AttentionEncoder
    _decoder_class = AttentionDecoder
