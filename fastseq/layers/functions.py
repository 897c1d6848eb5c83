"""Sigmoid, rectifier, softmax and cross-entropy; sigmoid and softmax as layers too."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import Layer, as_array, as_float32, checked, label_ids

Array = npt.NDArray[Any]


class Loss(float):
    """A loss: a float that has `item` and `dtype`, as a scalar of NumPy has."""

    __slots__ = ()

    dtype = np.dtype(np.float64)

    def item(self) -> float:
        """The same number as a plain float."""
        return float(self)


def sigmoid(x: Array) -> Array:
    """The logistic function, ``1 / (1 + exp(-x))``, of every element.

    Parameters
    ----------
    x : ndarray of float, any shape

    Returns
    -------
    ndarray of float32, the shape of ``x``; of a number, a NumPy scalar

    Raises
    ------
    TypeError
        ``x`` is not of numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import sigmoid
    >>> sigmoid(np.array([-2, 0, 2])).round(2)
    array([0.12, 0.5 , 0.88], dtype=float32)
    """
    y = _kernels.sigmoid(x)
    return y if y.ndim else y[()]


def relu(x: Array) -> Array:
    """The rectifier, ``max(0, x)``, of every element.

    Parameters
    ----------
    x : ndarray of float, any shape

    Returns
    -------
    ndarray of float32, the shape of ``x``; of a number, a NumPy scalar

    Raises
    ------
    TypeError
        ``x`` is not of numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import relu
    >>> relu(np.array([-2, 0, 2]))
    array([0., 0., 2.], dtype=float32)
    """
    y: Array = np.maximum(as_float32("x", x), 0)
    return y


def softmax(x: Array) -> Array:
    """``exp(x) / sum(exp(x))`` over the last axis, shifted by the maximum.

    Parameters
    ----------
    x : ndarray of float, shape (V,) or (N, V)

    Returns
    -------
    ndarray of float32, the shape of ``x``
        Each row sums to 1.

    Raises
    ------
    TypeError, ValueError
        ``x`` is not of numbers, or without an axis.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import softmax
    >>> softmax(np.log([[1, 1, 2], [1, 3, 6]])).round(2)
    array([[0.25, 0.25, 0.5 ],
           [0.1 , 0.3 , 0.6 ]], dtype=float32)
    """
    return _kernels.softmax(x)


def cross_entropy_error(y: Array, t: Array) -> Loss:
    """The mean over all rows of ``-log(y[t] + 1e-7)``.

    Parameters
    ----------
    y : ndarray of float, shape (N, V) or (V,)
        Probabilities.
    t : ndarray, shape (N,) of int or one-hot (N, V); for a single row () or (V,)
        Labels.

    Returns
    -------
    Loss
        A float.

    Raises
    ------
    IndexError
        A label is negative or not below V.
    TypeError, ValueError
        An argument is of the wrong kind or shape, or there is no row.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import cross_entropy_error
    >>> y = np.array([[0.5, 0.5], [0.25, 0.75]])
    >>> round(cross_entropy_error(y, np.array([0, 1])), 3)  # (log 2 + log 4/3) / 2
    0.49
    >>> round(cross_entropy_error(y, np.eye(2)), 3)  # one-hot
    0.49
    """
    y, t = as_float32("y", y), as_array("t", t)
    if y.ndim == 1:
        y, t = y[np.newaxis], t[np.newaxis] if t.shape == y.shape else t.reshape(-1)
    y = checked("y", y, "(N, V)", None, None)
    return mean_cross_entropy("y", y, label_ids("t", t, "(N, V)", *y.shape))


def mean_cross_entropy(name: str, probabilities: Array, ids: Array) -> Loss:
    """`cross_entropy_error` of rows (..., V) of any number of axes, and ids (...) below V.

    Raises
    ------
    ValueError
        There is no row; the message names the argument that has none.
    """
    if ids.size == 0:
        raise no_row(name)
    rows = probabilities.reshape(ids.size, -1)
    return mean_negative_log(rows[np.arange(ids.size), ids.reshape(-1)])


def no_row(name: str) -> ValueError:
    """The error of a loss over nothing."""
    return ValueError(f"{name}: expected at least one row, got none")


def mean_negative_log(probabilities: Array) -> Loss:
    """The mean of ``-log(p + 1e-7)`` over an axis that is not empty."""
    logs = np.log(probabilities.astype(np.float64) + 1e-7)
    return Loss(-np.add.reduce(logs) / len(logs))


class Softmax(Layer):
    """`softmax` as a layer.

    Attributes
    ----------
    params, grads : list
        Empty.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import Softmax
    >>> layer = Softmax()
    >>> layer.forward(np.log([[1, 3]])).round(2)
    array([[0.25, 0.75]], dtype=float32)
    >>> layer.backward(np.array([[1, 0]])).round(4)
    array([[ 0.1875, -0.1875]], dtype=float32)
    """

    def forward(self, x: Array) -> Array:
        """Probabilities of the scores.

        Parameters
        ----------
        x : ndarray of float, shape (N, V)

        Returns
        -------
        ndarray of float32, shape (N, V)

        Raises
        ------
        TypeError, ValueError
            ``x`` is not of numbers, or without an axis.
        """
        y = self._cache = softmax(x)
        return y.copy()

    def backward(self, dout: Array) -> Array:
        """Gradient of the scores.

        Parameters
        ----------
        dout : ndarray of float, shape (N, V)

        Returns
        -------
        ndarray of float32, shape (N, V)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        y: Array = self._last_pass()
        dx = y * as_float32("dout", dout, y.shape)
        dx -= y * dx.sum(axis=-1, keepdims=True)
        return dx


class Sigmoid(Layer):
    """`sigmoid` as a layer.

    Attributes
    ----------
    params, grads : list
        Empty.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import Sigmoid
    >>> layer = Sigmoid()
    >>> layer.forward(np.zeros(2))
    array([0.5, 0.5], dtype=float32)
    >>> layer.backward(np.ones(2))
    array([0.25, 0.25], dtype=float32)
    """

    def forward(self, x: Array) -> Array:
        """The logistic function of every element.

        Parameters
        ----------
        x : ndarray of float, any shape

        Returns
        -------
        ndarray of float32, the shape of ``x``

        Raises
        ------
        TypeError
            ``x`` is not of numbers.
        """
        y = self._cache = sigmoid(x)
        return y.copy()

    def backward(self, dout: Array) -> Array:
        """Gradient of ``x``.

        Parameters
        ----------
        dout : ndarray of float, the shape of ``x``

        Returns
        -------
        ndarray of float32, the shape of ``x``

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        y: Array = self._last_pass()
        dx = as_float32("dout", dout, y.shape) * y
        return np.asarray(dx * (1 - y))
