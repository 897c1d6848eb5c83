"""The Peeky model: every step of the decoder sees the encoder's state.

K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
translation", EMNLP 2014.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers import TimeAffine, TimeEmbedding, TimeLSTM
from fastseq_reference.models.seq2seq import Encoder, Seq2seq

Array = npt.NDArray[Any]


class PeekyDecoder:
    """A decoder whose LSTM reads ``[h, embedding]`` and whose affine layer reads ``[h, state]``.

    Weights are float32, drawn from ``np.random.randn`` in the order embedding, Wx, Wh, affine.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.

    Attributes
    ----------
    embed : TimeEmbedding
    lstm : TimeLSTM
    affine : TimeAffine
    """

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        V, D, H = vocab_size, wordvec_size, hidden_size
        rn = np.random.randn

        embed_W = (rn(V, D) / 100).astype("f")
        lstm_Wx = (rn(H + D, 4 * H) / np.sqrt(H + D)).astype("f")
        lstm_Wh = (rn(H, 4 * H) / np.sqrt(H)).astype("f")
        lstm_b = np.zeros(4 * H).astype("f")
        affine_W = (rn(H + H, V) / np.sqrt(H + H)).astype("f")
        affine_b = np.zeros(V).astype("f")

        self.embed = TimeEmbedding(embed_W)
        self.lstm = TimeLSTM(lstm_Wx, lstm_Wh, lstm_b, stateful=True)
        self.affine = TimeAffine(affine_W, affine_b)

        self.params: list[Array] = self.embed.params + self.lstm.params + self.affine.params
        self.grads: list[Array] = self.embed.grads + self.lstm.grads + self.affine.grads
        self.cache: int | None = None

    def forward(self, xs: Array, h: Array) -> Array:
        """Scores of the next symbol at every step.

        Parameters
        ----------
        xs : (N, T) integer array
        h : (N, H) array
            The encoder's last state.

        Returns
        -------
        score : (N, T, V) array
        """
        N, T = xs.shape
        H = h.shape[1]
        self.cache = H

        self.lstm.set_state(h)
        out = self.embed.forward(xs)
        hs = np.repeat(h, T, axis=0).reshape(N, T, H)
        out = np.concatenate((hs, out), axis=2)
        out = self.lstm.forward(out)
        out = np.concatenate((hs, out), axis=2)
        return self.affine.forward(out)

    def backward(self, dscore: Array) -> Array:
        """Gradient of the encoder's state; ``grads`` are overwritten.

        Parameters
        ----------
        dscore : (N, T, V) array

        Returns
        -------
        dh : (N, H) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        H = self.cache
        # forward was: score = affine([hs, lstm output])
        dout = self.affine.backward(dscore)
        dhs_affine, dout = dout[:, :, :H], dout[:, :, H:]

        # forward was: lstm output = lstm([hs, embedding]), starting from h
        dout = self.lstm.backward(dout)
        dhs_lstm, dembed = dout[:, :, :H], dout[:, :, H:]
        self.embed.backward(dembed)

        # h was used three times: as initial state, as LSTM input and as affine input
        return self.lstm.dh + np.sum(dhs_affine + dhs_lstm, axis=1)

    def generate(self, h: Array, start_id: int, sample_size: int) -> list[int]:
        """Greedy decoding of one sequence: the best symbol of each step is the next input.

        Parameters
        ----------
        h : (1, H) array
        start_id : int
        sample_size : int

        Returns
        -------
        sampled : list of int
        """
        sampled = []
        sample_id = start_id
        self.lstm.set_state(h)
        hs = h.reshape(1, 1, h.shape[1])
        for _ in range(sample_size):
            x = np.array([[sample_id]])
            out = self.embed.forward(x)
            out = np.concatenate((hs, out), axis=2)
            out = self.lstm.forward(out)
            out = np.concatenate((hs, out), axis=2)
            score = self.affine.forward(out)
            sample_id = int(np.argmax(score))
            sampled.append(sample_id)
        return sampled


class PeekySeq2seq(Seq2seq):
    """`Seq2seq` with a `PeekyDecoder`.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.
    """

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        encoder = Encoder(vocab_size, wordvec_size, hidden_size)
        decoder = PeekyDecoder(vocab_size, wordvec_size, hidden_size)
        self._connect(encoder, decoder)
