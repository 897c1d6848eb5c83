"""Sigmoid, rectifier, softmax and cross-entropy; sigmoid and softmax as layers too."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def sigmoid(x: Array) -> Array:
    """Logistic function ``1 / (1 + exp(-x))``, element by element.

    Parameters
    ----------
    x : array of any shape

    Returns
    -------
    y : array of the same shape
    """
    # exp(-x) overflows to inf for very negative x, and 1 / inf = 0 is the right answer.
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def relu(x: Array) -> Array:
    """Rectifier ``max(0, x)``, element by element.

    Parameters
    ----------
    x : array of any shape

    Returns
    -------
    y : array of the same shape
    """
    return np.maximum(0, x)


def softmax(x: Array) -> Array:
    """``exp(x) / sum(exp(x))`` over the last axis, shifted by the maximum.

    Parameters
    ----------
    x : (V,) or (N, V) array

    Returns
    -------
    y : array of the same shape
        Rows sum to one.
    """
    exp_x = np.exp(x - x.max(axis=-1, keepdims=True))
    return exp_x / exp_x.sum(axis=-1, keepdims=True)


def cross_entropy_error(y: Array, t: Array) -> float:
    """Mean over the rows of ``-log(y[t] + 1e-7)``.

    Parameters
    ----------
    y : (N, V) or (V,) array of probabilities
    t : (N,) integer array of labels, or (N, V) one-hot array; for one row () or (V,)

    Returns
    -------
    loss : float
    """
    if y.ndim == 1:
        y, t = y.reshape(1, y.size), (t.reshape(1, t.size) if t.size == y.size else t.reshape(1))
    if t.ndim == 2:
        t = t.argmax(axis=1)
    N = y.shape[0]
    return np.float64(-np.sum(np.log(y[np.arange(N), t] + 1e-7)) / N)


class Softmax:
    """Softmax over the last axis."""

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []
        self.cache: Array | None = None

    def forward(self, x: Array) -> Array:
        """Probabilities of the scores.

        Parameters
        ----------
        x : (N, V) array

        Returns
        -------
        y : (N, V) array
        """
        y = softmax(x)
        self.cache = y
        return y.copy()

    def backward(self, dout: Array) -> Array:
        """Gradient of the scores.

        Parameters
        ----------
        dout : (N, V) array

        Returns
        -------
        dx : (N, V) array

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.cache is None:
            raise RuntimeError("Softmax.backward was called before forward")
        y = self.cache

        # forward was: y = softmax(x)
        dx = y * dout
        return dx - y * dx.sum(axis=-1, keepdims=True)


class Sigmoid:
    """Logistic function of every element."""

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []
        self.cache: Array | None = None

    def forward(self, x: Array) -> Array:
        """``sigmoid(x)``.

        Parameters
        ----------
        x : array of any shape

        Returns
        -------
        y : array of the same shape
        """
        y = sigmoid(x)
        self.cache = y
        return y.copy()

    def backward(self, dout: Array) -> Array:
        """Gradient of the input.

        Parameters
        ----------
        dout : array of the shape of ``x``

        Returns
        -------
        dx : array of the same shape

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.cache is None:
            raise RuntimeError("Sigmoid.backward was called before forward")
        y = self.cache

        # forward was: y = sigmoid(x)
        return dout * y * (1 - y)
