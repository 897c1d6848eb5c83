"""The model with attention over an encoder that reads in both directions.

D. Bahdanau, K. Cho and Y. Bengio, "Neural machine translation by jointly learning to align and
translate", ICLR 2015, section 3.2.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers import TimeBiLSTM, TimeEmbedding
from fastseq_reference.models.attention import AttentionDecoder
from fastseq_reference.models.seq2seq import Seq2seq

Array = npt.NDArray[Any]


class AttentionBiEncoder:
    """Embedding and an LSTM in each direction; gives all states.

    Weights are float32, drawn from ``np.random.randn`` in the order embedding, Wx and Wh of the
    first direction, Wx and Wh of the second.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.

    Attributes
    ----------
    embed : TimeEmbedding
    lstm : TimeBiLSTM
    hs : (N, T, 2H) array or None
        All states of the last ``forward``.
    """

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        V, D, H = vocab_size, wordvec_size, hidden_size
        rn = np.random.randn

        embed_W = (rn(V, D) / 100).astype("f")
        lstm_Wx1 = (rn(D, 4 * H) / np.sqrt(D)).astype("f")
        lstm_Wh1 = (rn(H, 4 * H) / np.sqrt(H)).astype("f")
        lstm_b1 = np.zeros(4 * H).astype("f")
        lstm_Wx2 = (rn(D, 4 * H) / np.sqrt(D)).astype("f")
        lstm_Wh2 = (rn(H, 4 * H) / np.sqrt(H)).astype("f")
        lstm_b2 = np.zeros(4 * H).astype("f")

        self.embed = TimeEmbedding(embed_W)
        self.lstm = TimeBiLSTM(lstm_Wx1, lstm_Wh1, lstm_b1, lstm_Wx2, lstm_Wh2, lstm_b2)

        self.params: list[Array] = self.embed.params + self.lstm.params
        self.grads: list[Array] = self.embed.grads + self.lstm.grads
        self.hs: Array | None = None

    def forward(self, xs: Array) -> Array:
        """Encode the sequences.

        Parameters
        ----------
        xs : (N, T) integer array

        Returns
        -------
        hs : (N, T, 2H) array
        """
        xs = self.embed.forward(xs)
        self.hs = self.lstm.forward(xs)
        return self.hs

    def backward(self, dhs: Array) -> None:
        """Overwrite ``grads``; ids have no gradient.

        Parameters
        ----------
        dhs : (N, T, 2H) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        dout = self.lstm.backward(dhs)
        self.embed.backward(dout)


class AttentionBiSeq2seq(Seq2seq):
    """`Seq2seq` with an `AttentionBiEncoder` and an `AttentionDecoder` of 2H hidden units.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.
    """

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        encoder: Any = AttentionBiEncoder(vocab_size, wordvec_size, hidden_size)
        decoder = AttentionDecoder(vocab_size, wordvec_size, 2 * hidden_size)
        self._connect(encoder, decoder)
