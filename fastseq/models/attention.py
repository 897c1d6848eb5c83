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
    """An `Encoder` whose result is all hidden states."""

    def forward(self, xs: Array) -> Array:
        """Read the sequences.

        Parameters
        ----------
        xs : ndarray of int, shape (N, T)
            T is at least 1.

        Returns
        -------
        ndarray of float32, shape (N, T, H)
        """
        return super().forward(xs)

    def _result(self, hs: Array) -> Array:
        return hs

    def backward(self, dhs: Array) -> None:
        """Fill the gradients from ``dhs`` (N, T, H).

        Raises
        ------
        RuntimeError
            There was no `forward`.
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
        """Fill the gradients from ``dscore`` (N, Td, V), and return that of ``enc_hs`` (N, Te, H).

        Raises
        ------
        RuntimeError
            There was no `forward`.
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
        ValueError
            ``enc_hs`` has another number of rows than one.
        """
        return self._greedy_row(enc_hs, start_id, sample_size)


class AttentionSeq2seq(Seq2seq):
    """`Seq2seq` with an `AttentionEncoder` and an `AttentionDecoder`."""

    _encoder_class = AttentionEncoder
    _decoder_class = AttentionDecoder
