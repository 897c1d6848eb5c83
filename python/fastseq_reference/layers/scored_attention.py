"""Attention of every decoder step, with a choice of scores and over padded sequences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers.functions import softmax

Array = npt.NDArray[Any]


class ScoredAttention:
    """Attention of every decoder step over the encoder steps of its row.

    ``weights = softmax(scores); contexts = weights enc``, row by row, with the scores

    - ``dot``: ``dec enc^T``
    - ``scaled_dot``: ``dec enc^T / sqrt(H)``
    - ``general``: ``(dec W) enc^T``
    - ``additive``: ``v . tanh(enc W_enc + dec W_dec)``

    Parameters
    ----------
    kind : {"dot", "scaled_dot", "general", "additive"}
    params : sequence of arrays
        Empty for ``dot`` and ``scaled_dot``; ``[W (H, H)]`` for ``general``;
        ``[W_enc (H, A), W_dec (H, A), v (A,)]`` for ``additive``.

    Attributes
    ----------
    attention_weights : (N, Td, Te) array or None
        Weights of the last ``forward``, 0 past a length.

    References
    ----------
    D. Bahdanau, K. Cho and Y. Bengio, "Neural machine translation by jointly learning to align and
    translate", ICLR 2015, section 3.1 and appendix A.1.2.

    M.-T. Luong, H. Pham and C. D. Manning, "Effective approaches to attention-based neural machine
    translation", EMNLP 2015, section 3.1.

    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, equation 1.
    """

    def __init__(self, kind: str, params: Sequence[Array]) -> None:
        self.kind = kind
        self.params: list[Array] = list(params)
        self.grads: list[Array] = [np.zeros_like(param) for param in self.params]
        self.attention_weights: Array | None = None
        self.cache: tuple[Array, Array, Array, Array] | None = None

    def forward(
        self,
        hs_enc: Array,
        hs_dec: Array,
        encoder_lengths: Array | None = None,
        decoder_lengths: Array | None = None,
    ) -> Array:
        """Contexts of all decoder states.

        Parameters
        ----------
        hs_enc : (N, Te, H) array
        hs_dec : (N, Td, H) array
        encoder_lengths : (N,) array of int from 1 to Te, or None for Te each
        decoder_lengths : (N,) array of int from 0 to Td, or None for Td each

        Returns
        -------
        contexts : (N, Td, H) array
            0 where the decoder row has no step.
        """
        N, Te, H = hs_enc.shape
        Td = hs_dec.shape[1]
        if encoder_lengths is None:
            encoder_lengths = np.full(N, Te)
        if decoder_lengths is None:
            decoder_lengths = np.full(N, Td)
        dtype = np.result_type(hs_enc, hs_dec, np.float32)
        contexts = np.zeros((N, Td, H), dtype=dtype)
        self.attention_weights = np.zeros((N, Td, Te), dtype=dtype)
        for n in range(N):
            te, td = encoder_lengths[n], decoder_lengths[n]
            enc, dec = hs_enc[n, :te], hs_dec[n, :td]
            weights = softmax(self._scores(enc, dec))
            contexts[n, :td] = weights @ enc
            self.attention_weights[n, :td, :te] = weights

        self.cache = (hs_enc, hs_dec, np.array(encoder_lengths), np.array(decoder_lengths))
        return contexts

    def backward(self, dout: Array, dweights: Array | None = None) -> tuple[Array, Array]:
        """Gradients of both inputs, 0 past the lengths; ``grads`` are overwritten.

        Parameters
        ----------
        dout : (N, Td, H) array
        dweights : (N, Td, Te) array, optional
            That of the weights, where they are used besides the contexts.

        Returns
        -------
        dhs_enc : (N, Te, H) array
        dhs_dec : (N, Td, H) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.cache is None or self.attention_weights is None:
            raise RuntimeError("ScoredAttention.backward was called before forward")
        hs_enc, hs_dec, encoder_lengths, decoder_lengths = self.cache
        for grad in self.grads:
            grad[...] = 0
        dtype = np.result_type(hs_enc, dout, np.float32)
        dhs_enc = np.zeros(hs_enc.shape, dtype=dtype)
        dhs_dec = np.zeros(hs_dec.shape, dtype=dtype)
        for n, (te, td) in enumerate(zip(encoder_lengths, decoder_lengths, strict=True)):
            enc, dec, dcontexts = hs_enc[n, :te], hs_dec[n, :td], dout[n, :td]
            weights = self.attention_weights[n, :td, :te]

            # forward was: contexts = weights @ enc
            dsums = dcontexts @ enc.T
            if dweights is not None:
                dsums = dsums + dweights[n, :td, :te]
            denc_of_sum = weights.T @ dcontexts

            # forward was: weights = softmax(scores)
            dscores = weights * (dsums - np.sum(weights * dsums, axis=1, keepdims=True))

            denc_of_scores, ddec = self._scores_backward(dscores, enc, dec)
            dhs_enc[n, :te] = denc_of_sum + denc_of_scores
            dhs_dec[n, :td] = ddec
        return dhs_enc, dhs_dec

    def _scores(self, enc: Array, dec: Array) -> Array:
        """Scores (Td, Te) of one row, from its states (Te, H) and (Td, H)."""
        if self.kind == "scaled_dot":
            return dec @ enc.T / enc.shape[1] ** 0.5
        if self.kind == "general":
            (W,) = self.params
            return dec @ W @ enc.T
        if self.kind == "additive":
            W_enc, W_dec, v = self.params
            return np.tanh((enc @ W_enc)[np.newaxis] + (dec @ W_dec)[:, np.newaxis]) @ v
        return dec @ enc.T

    def _scores_backward(self, dscores: Array, enc: Array, dec: Array) -> tuple[Array, Array]:
        """Gradients of the states of one row; those of the weights are added to ``grads``."""
        if self.kind == "scaled_dot":
            # forward was: scores = dec @ enc.T / sqrt(H)
            dscores = dscores / enc.shape[1] ** 0.5
            return dscores.T @ dec, dscores @ enc
        if self.kind == "general":
            # forward was: scores = dec @ W @ enc.T
            (W,) = self.params
            (dW,) = self.grads
            dW += dec.T @ dscores @ enc
            return dscores.T @ (dec @ W), dscores @ enc @ W.T
        if self.kind == "additive":
            # forward was: scores = y @ v, y = tanh(enc @ W_enc + dec @ W_dec), for all pairs
            W_enc, W_dec, v = self.params
            dW_enc, dW_dec, dv = self.grads
            y = np.tanh((enc @ W_enc)[np.newaxis] + (dec @ W_dec)[:, np.newaxis])
            dv += np.einsum("de,dea->a", dscores, y)
            dsum = dscores[:, :, np.newaxis] * v * (1 - y**2)
            denc_projected, ddec_projected = dsum.sum(axis=0), dsum.sum(axis=1)
            dW_enc += enc.T @ denc_projected
            dW_dec += dec.T @ ddec_projected
            return denc_projected @ W_enc.T, ddec_projected @ W_dec.T
        # forward was: scores = dec @ enc.T
        return dscores.T @ dec, dscores @ enc
