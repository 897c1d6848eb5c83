"""Softmax and sigmoid with cross-entropy, of one step and over a sequence."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers.functions import cross_entropy_error, sigmoid, softmax

Array = npt.NDArray[Any]


class SoftmaxWithLoss:
    """``cross_entropy_error(softmax(x), t)``."""

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []
        self.cache: tuple[Array, Array] | None = None

    def forward(self, x: Array, t: Array) -> float:
        """Mean loss of the rows.

        Parameters
        ----------
        x : (N, V) array
            Scores.
        t : (N,) integer array of labels, or (N, V) one-hot array

        Returns
        -------
        loss : float
        """
        if t.ndim == 2:
            t = t.argmax(axis=1)
        y = softmax(x)
        self.cache = (y, t)
        return cross_entropy_error(y, t)

    def backward(self, dout: float = 1) -> Array:
        """Gradient of the scores: ``(y - onehot) dout / N``.

        Parameters
        ----------
        dout : float

        Returns
        -------
        dx : (N, V) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.cache is None:
            raise RuntimeError("SoftmaxWithLoss.backward was called before forward")
        y, t = self.cache
        N = y.shape[0]

        dx = y.copy()
        dx[np.arange(N), t] -= 1
        return dx * (dout / N)


class SigmoidWithLoss:
    """``cross_entropy_error([1 - y, y], t)`` with ``y = sigmoid(x)``: a yes or no for each row."""

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []
        self.cache: tuple[Array, Array] | None = None

    def forward(self, x: Array, t: Array) -> float:
        """Mean loss of the rows.

        Parameters
        ----------
        x : (N,) array
            Scores.
        t : (N,) integer array
            Labels, 0 or 1.

        Returns
        -------
        loss : float
        """
        y = sigmoid(x)
        self.cache = (y, t)
        return cross_entropy_error(np.stack((1 - y, y), axis=1), t)

    def backward(self, dout: float = 1) -> Array:
        """Gradient of the scores: ``(y - t) dout / N``.

        Parameters
        ----------
        dout : float

        Returns
        -------
        dx : (N,) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.cache is None:
            raise RuntimeError("SigmoidWithLoss.backward was called before forward")
        y, t = self.cache
        return (y - t.astype(y.dtype)) * (dout / len(y))


class TimeSoftmaxWithLoss:
    """Mean of ``-log p[label]`` over the counted positions, ``p = softmax(xs)``.

    Attributes
    ----------
    ignore_label : int
        Positions with this label count neither in the mean nor in the gradient.
    """

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []
        self.cache: tuple[Array, Array, Array, tuple[int, ...]] | None = None
        self.ignore_label = -1

    def forward(self, xs: Array, ts: Array) -> float:
        """Mean loss of the counted positions.

        Parameters
        ----------
        xs : (N, T, V) array
            Scores.
        ts : (N, T) integer array of labels, or (N, T, V) one-hot array

        Returns
        -------
        loss : float

        Raises
        ------
        ValueError
            When every label is ignored.
        """
        N, T, V = xs.shape
        if ts.ndim == 3:
            ts = ts.argmax(axis=2)
        scores = xs.reshape(N * T, V)
        labels = ts.reshape(N * T)

        rows = np.flatnonzero(labels != self.ignore_label)
        if len(rows) == 0:
            raise ValueError(f"every label is ignored (ignore_label = {self.ignore_label})")

        # log p = s - log(sum(exp(s))), with s shifted by its maximum
        shifted = scores - scores.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        loss = -np.sum(log_p[rows, labels[rows]]) / len(rows)

        self.cache = (log_p, labels, rows, xs.shape)
        return np.float64(loss)

    def backward(self, dout: float = 1) -> Array:
        """Gradient of the scores: ``(p - onehot) dout / count``, zero where the label is ignored.

        Parameters
        ----------
        dout : float

        Returns
        -------
        dxs : (N, T, V) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.cache is None:
            raise RuntimeError("TimeSoftmaxWithLoss.backward was called before forward")
        log_p, labels, rows, shape = self.cache

        dxs = np.zeros_like(log_p)
        dxs[rows] = np.exp(log_p[rows])
        dxs[rows, labels[rows]] -= 1
        dxs *= dout / len(rows)
        return dxs.reshape(shape)


class TimeSigmoidWithLoss:
    """The mean over the time steps of a `SigmoidWithLoss` for each."""

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []
        self.layers: list[SigmoidWithLoss] | None = None

    def forward(self, xs: Array, ts: Array) -> float:
        """Mean loss of the steps.

        Parameters
        ----------
        xs : (N, T) array
            Scores.
        ts : (N, T) integer array
            Labels, 0 or 1.

        Returns
        -------
        loss : float
        """
        T = xs.shape[1]
        loss = 0.0
        self.layers = []
        for t in range(T):
            layer = SigmoidWithLoss()
            loss += layer.forward(xs[:, t], ts[:, t])
            self.layers.append(layer)
        return loss / T

    def backward(self, dout: float = 1) -> Array:
        """Gradient of the scores.

        Parameters
        ----------
        dout : float

        Returns
        -------
        dxs : (N, T) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.layers is None:
            raise RuntimeError("TimeSigmoidWithLoss.backward was called before forward")
        T = len(self.layers)
        return np.stack([layer.backward(dout / T) for layer in self.layers], axis=1)


class Simple_TimeSoftmaxWithLoss:
    """The mean over the time steps of a `SoftmaxWithLoss` for each; every label counts."""

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []
        self.layers: list[SoftmaxWithLoss] | None = None

    def forward(self, xs: Array, ts: Array) -> float:
        """Mean loss of the steps.

        Parameters
        ----------
        xs : (N, T, V) array
            Scores.
        ts : (N, T) integer array of labels, or (N, T, V) one-hot array

        Returns
        -------
        loss : float
        """
        T = xs.shape[1]
        loss = 0.0
        self.layers = []
        for t in range(T):
            layer = SoftmaxWithLoss()
            loss += layer.forward(xs[:, t], ts[:, t])
            self.layers.append(layer)
        return loss / T

    def backward(self, dout: float = 1) -> Array:
        """Gradient of the scores.

        Parameters
        ----------
        dout : float

        Returns
        -------
        dxs : (N, T, V) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.layers is None:
            raise RuntimeError("Simple_TimeSoftmaxWithLoss.backward was called before forward")
        T = len(self.layers)
        return np.stack([layer.backward(dout / T) for layer in self.layers], axis=1)
