"""Language models: scores for the next id at every step of a text.

T. Mikolov et al., "Recurrent neural network based language model", INTERSPEECH 2010, with an LSTM;
W. Zaremba, I. Sutskever and O. Vinyals, "Recurrent neural network regularization", 2014; O. Press
and L. Wolf, "Using the output embedding to improve language models", EACL 2017 (tied weights).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers import (
    TimeAffine,
    TimeDropout,
    TimeEmbedding,
    TimeLSTM,
    TimeSoftmaxWithLoss,
)
from fastseq_reference.models.base import BaseModel

Array = npt.NDArray[Any]


class Rnnlm(BaseModel):
    """Embedding, LSTM, affine map.

    Weights are float32, drawn from ``np.random.randn`` in the order embedding, Wx, Wh, affine.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H.

    Attributes
    ----------
    layers : list
    lstm_layer : TimeLSTM
    loss_layer : TimeSoftmaxWithLoss
    """

    def __init__(
        self, vocab_size: int = 10000, wordvec_size: int = 100, hidden_size: int = 100
    ) -> None:
        V, D, H = vocab_size, wordvec_size, hidden_size
        rn = np.random.randn

        embed_W = (rn(V, D) / 100).astype("f")
        lstm_Wx = (rn(D, 4 * H) / np.sqrt(D)).astype("f")
        lstm_Wh = (rn(H, 4 * H) / np.sqrt(H)).astype("f")
        lstm_b = np.zeros(4 * H).astype("f")
        affine_W = (rn(H, V) / np.sqrt(H)).astype("f")
        affine_b = np.zeros(V).astype("f")

        self.lstm_layer = TimeLSTM(lstm_Wx, lstm_Wh, lstm_b, stateful=True)
        self.layers: list[Any] = [
            TimeEmbedding(embed_W),
            self.lstm_layer,
            TimeAffine(affine_W, affine_b),
        ]
        self.loss_layer = TimeSoftmaxWithLoss()

        self.params: list[Array] = []
        self.grads: list[Array] = []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def predict(self, xs: Array) -> Array:
        """Scores of the next id at every step.

        Parameters
        ----------
        xs : (N, T) integer array

        Returns
        -------
        score : (N, T, V) array
        """
        for layer in self.layers:
            xs = layer.forward(xs)
        return xs

    def forward(self, xs: Array, ts: Array) -> float:
        """Mean loss of predicting ``ts`` from ``xs``.

        Parameters
        ----------
        xs, ts : (N, T) integer arrays

        Returns
        -------
        loss : float
        """
        score = self.predict(xs)
        return self.loss_layer.forward(score, ts)

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
        dscore: Any = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dscore = layer.backward(dscore)

    def reset_state(self) -> None:
        """Forget the state: the next call starts from zeros."""
        self.lstm_layer.reset_state()


class BetterRnnlm(BaseModel):
    """Two LSTM layers with dropout around each; the affine weight is the embedding's, transposed.

    Weights are float32, drawn from ``np.random.randn`` in the order embedding, Wx and Wh of the
    first LSTM, Wx and Wh of the second.

    Parameters
    ----------
    vocab_size, wordvec_size, hidden_size : int
        V, D and H, where D equals H.
    dropout_ratio : float

    Attributes
    ----------
    layers : list
    lstm_layers : list of TimeLSTM
    drop_layers : list of TimeDropout
    loss_layer : TimeSoftmaxWithLoss

    Raises
    ------
    ValueError
        When D is not H.
    """

    def __init__(
        self,
        vocab_size: int = 10000,
        wordvec_size: int = 650,
        hidden_size: int = 650,
        dropout_ratio: float = 0.5,
    ) -> None:
        V, D, H = vocab_size, wordvec_size, hidden_size
        if D != H:
            raise ValueError(f"tied weights need wordvec_size = hidden_size, not {D} and {H}")
        rn = np.random.randn

        embed_W = (rn(V, D) / 100).astype("f")
        lstm_Wx1 = (rn(D, 4 * H) / np.sqrt(D)).astype("f")
        lstm_Wh1 = (rn(H, 4 * H) / np.sqrt(H)).astype("f")
        lstm_b1 = np.zeros(4 * H).astype("f")
        lstm_Wx2 = (rn(H, 4 * H) / np.sqrt(H)).astype("f")
        lstm_Wh2 = (rn(H, 4 * H) / np.sqrt(H)).astype("f")
        lstm_b2 = np.zeros(4 * H).astype("f")
        affine_b = np.zeros(V).astype("f")

        self.lstm_layers = [
            TimeLSTM(lstm_Wx1, lstm_Wh1, lstm_b1, stateful=True),
            TimeLSTM(lstm_Wx2, lstm_Wh2, lstm_b2, stateful=True),
        ]
        self.drop_layers = [TimeDropout(dropout_ratio) for _ in range(3)]
        self.layers: list[Any] = [
            TimeEmbedding(embed_W),
            self.drop_layers[0],
            self.lstm_layers[0],
            self.drop_layers[1],
            self.lstm_layers[1],
            self.drop_layers[2],
            TimeAffine(embed_W.T, affine_b),  # tied
        ]
        self.loss_layer = TimeSoftmaxWithLoss()

        self.params: list[Array] = []
        self.grads: list[Array] = []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def predict(self, xs: Array, train_flg: bool = False) -> Array:
        """Scores of the next id at every step.

        Parameters
        ----------
        xs : (N, T) integer array
        train_flg : bool
            Whether the dropout layers drop.

        Returns
        -------
        score : (N, T, V) array
        """
        for layer in self.drop_layers:
            layer.train_flg = train_flg
        for layer in self.layers:
            xs = layer.forward(xs)
        return xs

    def forward(self, xs: Array, ts: Array, train_flg: bool = True) -> float:
        """Mean loss of predicting ``ts`` from ``xs``.

        Parameters
        ----------
        xs, ts : (N, T) integer arrays
        train_flg : bool
            Whether the dropout layers drop.

        Returns
        -------
        loss : float
        """
        score = self.predict(xs, train_flg)
        return self.loss_layer.forward(score, ts)

    def backward(self, dout: float = 1) -> None:
        """Overwrite ``grads`` with the gradient of the loss.

        Those of the embedding and of the affine weight are the two parts of one gradient.

        Parameters
        ----------
        dout : float

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        dscore: Any = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dscore = layer.backward(dscore)

    def reset_state(self) -> None:
        """Forget the states: the next call starts from zeros."""
        for layer in self.lstm_layers:
            layer.reset_state()
