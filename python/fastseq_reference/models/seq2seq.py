"""The plain encoder-decoder model.

I. Sutskever, O. Vinyals and Q. V. Le, "Sequence to sequence learning with neural networks",
NIPS 2014.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers import TimeAffine, TimeEmbedding, TimeLSTM, TimeSoftmaxWithLoss
from fastseq_reference.models.base import BaseModel

Array = npt.NDArray[Any]


class Encoder:
    """Embedding and LSTM; the last state stands for the sequence.

    Weights are float32, drawn from ``np.random.randn`` in the order embedding, Wx, Wh.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.

    Attributes
    ----------
    embed : TimeEmbedding
    lstm : TimeLSTM
    hs : (N, T, H) array or None
        All states of the last ``forward``.
    """

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        V, D, H = vocab_size, wordvec_size, hidden_size
        rn = np.random.randn

        embed_W = (rn(V, D) / 100).astype("f")
        lstm_Wx = (rn(D, 4 * H) / np.sqrt(D)).astype("f")
        lstm_Wh = (rn(H, 4 * H) / np.sqrt(H)).astype("f")
        lstm_b = np.zeros(4 * H).astype("f")

        self.embed = TimeEmbedding(embed_W)
        self.lstm = TimeLSTM(lstm_Wx, lstm_Wh, lstm_b, stateful=False)

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
        h : (N, H) array
            The last state.
        """
        xs = self.embed.forward(xs)
        self.hs = self.lstm.forward(xs)
        return self.hs[:, -1, :].copy()

    def backward(self, dh: Array) -> None:
        """Overwrite ``grads``; ids have no gradient.

        Parameters
        ----------
        dh : (N, H) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.hs is None:
            raise RuntimeError("Encoder.backward was called before forward")
        dhs = np.zeros_like(self.hs)
        dhs[:, -1, :] = dh
        dout = self.lstm.backward(dhs)
        self.embed.backward(dout)


class Decoder:
    """Embedding, LSTM that starts from the encoder's state, and scores for every symbol.

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
        lstm_Wx = (rn(D, 4 * H) / np.sqrt(D)).astype("f")
        lstm_Wh = (rn(H, 4 * H) / np.sqrt(H)).astype("f")
        lstm_b = np.zeros(4 * H).astype("f")
        affine_W = (rn(H, V) / np.sqrt(H)).astype("f")
        affine_b = np.zeros(V).astype("f")

        self.embed = TimeEmbedding(embed_W)
        self.lstm = TimeLSTM(lstm_Wx, lstm_Wh, lstm_b, stateful=True)
        self.affine = TimeAffine(affine_W, affine_b)

        self.params: list[Array] = self.embed.params + self.lstm.params + self.affine.params
        self.grads: list[Array] = self.embed.grads + self.lstm.grads + self.affine.grads

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
        self.lstm.set_state(h)
        out = self.embed.forward(xs)
        out = self.lstm.forward(out)
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
        dout = self.affine.backward(dscore)
        dout = self.lstm.backward(dout)
        self.embed.backward(dout)
        assert self.lstm.dh is not None
        return self.lstm.dh

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
        for _ in range(sample_size):
            x = np.array([[sample_id]])
            out = self.embed.forward(x)
            out = self.lstm.forward(out)
            score = self.affine.forward(out)
            sample_id = int(np.argmax(score))
            sampled.append(sample_id)
        return sampled


class Seq2seq(BaseModel):
    """Encoder and decoder, trained with the true previous symbol as the decoder's input.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.

    Attributes
    ----------
    encoder, decoder, softmax
    """

    def __init__(self, vocab_size: int, wordvec_size: int, hidden_size: int) -> None:
        encoder = Encoder(vocab_size, wordvec_size, hidden_size)
        decoder = Decoder(vocab_size, wordvec_size, hidden_size)
        self._connect(encoder, decoder)

    def _connect(self, encoder: Encoder, decoder: Any) -> None:
        self.encoder = encoder
        self.decoder = decoder
        self.softmax = TimeSoftmaxWithLoss()
        self.params = self.encoder.params + self.decoder.params
        self.grads = self.encoder.grads + self.decoder.grads

    def forward(self, xs: Array, ts: Array) -> float:
        """Mean loss of predicting ``ts[:, 1:]`` from ``xs`` and ``ts[:, :-1]``.

        Parameters
        ----------
        xs : (N, T) integer array
        ts : (N, T') integer array

        Returns
        -------
        loss : float
        """
        decoder_xs, decoder_ts = ts[:, :-1], ts[:, 1:]
        h = self.encoder.forward(xs)
        score = self.decoder.forward(decoder_xs, h)
        return self.softmax.forward(score, decoder_ts)

    def backward(self, dout: float = 1) -> None:
        """Overwrite ``grads`` with the gradient of the loss.

        Parameters
        ----------
        dout : float

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        dscore = self.softmax.backward(dout)
        dh = self.decoder.backward(dscore)
        self.encoder.backward(dh)

    def generate(self, xs: Array, start_id: int, sample_size: int) -> list[int]:
        """Greedy decoding of one sequence.

        Parameters
        ----------
        xs : (1, T) integer array
        start_id : int
        sample_size : int

        Returns
        -------
        sampled : list of int
        """
        h = self.encoder.forward(xs)
        return self.decoder.generate(h, start_id, sample_size)

    def generate_batch(self, xs: Array, start_id: int, sample_size: int) -> npt.NDArray[np.int64]:
        """Greedy decoding of many sequences, one after the other.

        Parameters
        ----------
        xs : (N, T) integer array
        start_id : int
        sample_size : int

        Returns
        -------
        sampled : (N, sample_size) int64 array
        """
        sampled = np.empty((len(xs), sample_size), dtype=np.int64)
        for n in range(len(xs)):
            sampled[n] = self.generate(xs[n : n + 1], start_id, sample_size)
        return sampled
