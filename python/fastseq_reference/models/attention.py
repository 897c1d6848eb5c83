"""The model with attention: every step of the decoder chooses among all states of the encoder.

D. Bahdanau, K. Cho and Y. Bengio, "Neural machine translation by jointly learning to align and
translate", ICLR 2015; dot-product scores after M.-T. Luong, H. Pham and C. D. Manning, EMNLP 2015.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers import TimeAffine, TimeAttention, TimeEmbedding, TimeLSTM
from fastseq_reference.models.seq2seq import Encoder, Seq2seq

Array = npt.NDArray[Any]


class AttentionEncoder(Encoder):
    """An `Encoder` that gives all states, not only the last."""

    def forward(self, xs: Array) -> Array:
        """Encode the sequences.

        Parameters
        ----------
        xs : (N, T) integer array

        Returns
        -------
        hs : (N, T, H) array
            All states.
        """
        xs = self.embed.forward(xs)
        self.hs = self.lstm.forward(xs)
        return self.hs

    def backward(self, dhs: Array) -> None:
        """Overwrite ``grads``; ids have no gradient.

        Parameters
        ----------
        dhs : (N, T, H) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        dout = self.lstm.backward(dhs)
        self.embed.backward(dout)


class AttentionDecoder:
    """A decoder whose affine layer reads ``[context, state]``.

    Weights are float32, drawn from ``np.random.randn`` in the order embedding, Wx, Wh, affine.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.

    Attributes
    ----------
    embed : TimeEmbedding
    lstm : TimeLSTM
    attention : TimeAttention
    affine : TimeAffine
    """

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        V, D, H = vocab_size, wordvec_size, hidden_size
        rn = np.random.randn

        embed_W = (rn(V, D) / 100).astype("f")
        lstm_Wx = (rn(D, 4 * H) / np.sqrt(D)).astype("f")
        lstm_Wh = (rn(H, 4 * H) / np.sqrt(H)).astype("f")
        lstm_b = np.zeros(4 * H).astype("f")
        affine_W = (rn(2 * H, V) / np.sqrt(2 * H)).astype("f")
        affine_b = np.zeros(V).astype("f")

        self.embed = TimeEmbedding(embed_W)
        self.lstm = TimeLSTM(lstm_Wx, lstm_Wh, lstm_b, stateful=True)
        self.attention = TimeAttention()
        self.affine = TimeAffine(affine_W, affine_b)

        self.params: list[Array] = self.embed.params + self.lstm.params + self.affine.params
        self.grads: list[Array] = self.embed.grads + self.lstm.grads + self.affine.grads

    def forward(self, xs: Array, enc_hs: Array) -> Array:
        """Scores of the next symbol at every step.

        Parameters
        ----------
        xs : (N, Td) integer array
        enc_hs : (N, Te, H) array
            All states of the encoder.

        Returns
        -------
        score : (N, Td, V) array
        """
        self.lstm.set_state(enc_hs[:, -1, :])
        out = self.embed.forward(xs)
        dec_hs = self.lstm.forward(out)
        c = self.attention.forward(enc_hs, dec_hs)
        out = np.concatenate((c, dec_hs), axis=2)
        return self.affine.forward(out)

    def backward(self, dscore: Array) -> Array:
        """Gradient of the encoder's states; ``grads`` are overwritten.

        Parameters
        ----------
        dscore : (N, Td, V) array

        Returns
        -------
        denc_hs : (N, Te, H) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        # forward was: score = affine([c, dec_hs])
        dout = self.affine.backward(dscore)
        H = dout.shape[2] // 2
        dc, ddec_hs_affine = dout[:, :, :H], dout[:, :, H:]

        # forward was: c = attention(enc_hs, dec_hs)
        denc_hs, ddec_hs_attention = self.attention.backward(dc)

        # forward was: dec_hs = lstm(embedding), starting from the last state of the encoder
        dout = self.lstm.backward(ddec_hs_affine + ddec_hs_attention)
        denc_hs[:, -1, :] += self.lstm.dh
        self.embed.backward(dout)
        return denc_hs

    def generate(self, enc_hs: Array, start_id: int, sample_size: int) -> list[int]:
        """Greedy decoding of one sequence: the best symbol of each step is the next input.

        Parameters
        ----------
        enc_hs : (1, Te, H) array
        start_id : int
        sample_size : int

        Returns
        -------
        sampled : list of int
        """
        sampled = []
        sample_id = start_id
        self.lstm.set_state(enc_hs[:, -1, :])
        for _ in range(sample_size):
            x = np.array([[sample_id]])
            out = self.embed.forward(x)
            dec_hs = self.lstm.forward(out)
            c = self.attention.forward(enc_hs, dec_hs)
            out = np.concatenate((c, dec_hs), axis=2)
            score = self.affine.forward(out)
            sample_id = int(np.argmax(score))
            sampled.append(sample_id)
        return sampled


class AttentionSeq2seq(Seq2seq):
    """`Seq2seq` with an `AttentionEncoder` and an `AttentionDecoder`.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.
    """

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        encoder = AttentionEncoder(vocab_size, wordvec_size, hidden_size)
        decoder = AttentionDecoder(vocab_size, wordvec_size, hidden_size)
        self._connect(encoder, decoder)
