"""Softmax and sigmoid with cross-entropy, of rows and over a sequence."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import as_array, as_float32, as_number, checked, label_ids, renamed
from fastseq.layers.functions import Loss, mean_cross_entropy

Array = npt.NDArray[Any]


def _binary_probabilities(x: Array) -> Array:
    """``[1 - y, y]`` on a new last axis, ``y = sigmoid(x)``."""
    # sigmoid(-x) is 1 - y, without the rounding error of a difference from 1
    x = as_float32("x", x)
    return np.stack((_kernels.sigmoid(-x), _kernels.sigmoid(x)), axis=-1)


class SoftmaxWithLoss:
    """The mean over the rows of ``-log(softmax(x)[label] + 1e-7)``.

    The gradient is that of the loss without its 1e-7.

    Attributes
    ----------
    params, grads : list
        Empty.
    """

    _cache: tuple[Array, Array] | None = None

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []

    def forward(self, x: Array, t: Array) -> Loss:
        """The loss.

        Parameters
        ----------
        x : ndarray of float, shape (N, V)
            Scores.
        t : ndarray, shape (N,) of int or one-hot (N, V)
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
        """
        t = as_array("t", t)  # both are arrays before either is checked
        x = checked("x", x, "(N, V)", None, None)
        labels = label_ids("t", t, "(N, V)", *x.shape)
        probabilities = _kernels.softmax(x)
        loss = mean_cross_entropy("x", probabilities, labels)
        self._cache = probabilities, labels
        return loss

    def backward(self, dout: float = 1) -> Array:
        """Gradient of ``x``.

        Parameters
        ----------
        dout : float, default 1
            The gradient of the loss.

        Returns
        -------
        ndarray of float32, shape (N, V)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        if self._cache is None:
            raise RuntimeError("SoftmaxWithLoss.backward was called before forward")
        probabilities, labels = self._cache
        scale = as_number("dout", dout) / labels.size
        return _kernels.softmax_loss_backward(probabilities, labels, None, scale)


class SigmoidWithLoss:
    """A yes or no for each row: `cross_entropy_error` of ``[1 - y, y]``, ``y = sigmoid(x)``.

    The gradient is that of the loss without its 1e-7.

    Attributes
    ----------
    params, grads : list
        Empty.
    """

    _cache: tuple[Array, Array] | None = None

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []

    def forward(self, x: Array, t: Array) -> Loss:
        """The loss.

        Parameters
        ----------
        x : ndarray of float, shape (N,)
            Scores.
        t : ndarray of int, shape (N,)
            Labels, 0 or 1.

        Returns
        -------
        Loss
            A float.

        Raises
        ------
        IndexError
            A label is neither 0 nor 1.
        TypeError, ValueError
            An argument is of the wrong kind or shape, or there is no row.
        """
        t = as_array("t", t)
        x = checked("x", x, "(N,)", None)
        labels = label_ids("t", t, "(N, 2)", *x.shape, 2)
        probabilities = _binary_probabilities(x)
        loss = mean_cross_entropy("x", probabilities, labels)
        self._cache = probabilities[..., 1], labels
        return loss

    def backward(self, dout: float = 1) -> Array:
        """Gradient of ``x``.

        Parameters
        ----------
        dout : float, default 1
            The gradient of the loss.

        Returns
        -------
        ndarray of float32, shape (N,)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        if self._cache is None:
            raise RuntimeError("SigmoidWithLoss.backward was called before forward")
        y, labels = self._cache
        return (y - labels.astype(np.float32)) * np.float32(as_number("dout", dout) / labels.size)


class TimeSoftmaxWithLoss:
    """The mean of ``-log softmax(xs)[label]`` over all positions whose label is not ignored.

    Attributes
    ----------
    params, grads : list
        Empty.
    ignore_label : int, default -1
        Positions with this label count neither in the loss nor in the gradient.
    """

    _cache: tuple[Array, Array, int, int] | None = None

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []
        self.ignore_label = -1

    def forward(self, xs: Array, ts: Array) -> Loss:
        """The loss.

        Parameters
        ----------
        xs : ndarray of float, shape (N, T, V)
            Scores before the softmax.
        ts : ndarray, shape (N, T) of int or one-hot (N, T, V)

        Returns
        -------
        Loss
            A float.

        Raises
        ------
        IndexError
            A label is neither in 0 .. V-1 nor the ignored one.
        TypeError, ValueError
            An argument is of the wrong kind or shape, or every label is ignored.
        """
        ts, xs = as_array("ts", ts), as_array("xs", xs)
        if xs.ndim != 3:
            checked("xs", xs, "(N, T, V)", None, None, None)
        labels = checked("ts", ts, "(N, T, V)", *xs.shape).argmax(axis=2) if ts.ndim == 3 else ts
        labels, ignore_label = labels.copy(), self.ignore_label
        try:
            loss, probabilities, count = _kernels.softmax_loss_forward(xs, labels, ignore_label)
        except (TypeError, ValueError, IndexError) as error:
            raise renamed(error, "ts", "labels") from error
        self._cache = probabilities, labels, ignore_label, count
        return Loss(loss)

    def backward(self, dout: float = 1) -> Array:
        """Gradient of ``xs``, zero where the label is ignored.

        Parameters
        ----------
        dout : float, default 1
            The gradient of the loss.

        Returns
        -------
        ndarray of float32, shape (N, T, V)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        if self._cache is None:
            raise RuntimeError("TimeSoftmaxWithLoss.backward was called before forward")
        probabilities, labels, ignore_label, count = self._cache
        scale = as_number("dout", dout) / count
        return _kernels.softmax_loss_backward(probabilities, labels, ignore_label, scale)


class TimeSigmoidWithLoss:
    """The mean over the time steps of `SigmoidWithLoss`.

    Attributes
    ----------
    params, grads : list
        Empty.
    """

    _cache: tuple[Array, Array] | None = None

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []

    def forward(self, xs: Array, ts: Array) -> Loss:
        """The loss.

        Parameters
        ----------
        xs : ndarray of float, shape (N, T)
            Scores.
        ts : ndarray of int, shape (N, T)
            Labels, 0 or 1.

        Returns
        -------
        Loss
            A float.

        Raises
        ------
        IndexError
            A label is neither 0 nor 1.
        TypeError, ValueError
            An argument is of the wrong kind or shape, or there is no row.
        """
        ts = as_array("ts", ts)
        xs = checked("xs", xs, "(N, T)", None, None)
        labels = label_ids("ts", ts, "(N, T, 2)", *xs.shape, 2)
        probabilities = _binary_probabilities(xs)
        loss = mean_cross_entropy("xs", probabilities, labels)
        self._cache = probabilities[..., 1], labels
        return loss

    def backward(self, dout: float = 1) -> Array:
        """Gradient of ``xs``.

        Parameters
        ----------
        dout : float, default 1
            The gradient of the loss.

        Returns
        -------
        ndarray of float32, shape (N, T)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        if self._cache is None:
            raise RuntimeError("TimeSigmoidWithLoss.backward was called before forward")
        y, labels = self._cache
        return (y - labels.astype(np.float32)) * np.float32(as_number("dout", dout) / labels.size)


class Simple_TimeSoftmaxWithLoss:
    """The mean over the time steps of `SoftmaxWithLoss`; every label counts.

    Attributes
    ----------
    params, grads : list
        Empty.
    """

    _cache: tuple[Array, Array] | None = None

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []

    def forward(self, xs: Array, ts: Array) -> Loss:
        """The loss.

        Parameters
        ----------
        xs : ndarray of float, shape (N, T, V)
            Scores.
        ts : ndarray, shape (N, T) of int or one-hot (N, T, V)
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
        """
        ts = as_array("ts", ts)
        xs = checked("xs", xs, "(N, T, V)", None, None, None)
        labels = label_ids("ts", ts, "(N, T, V)", *xs.shape)
        probabilities = _kernels.softmax(xs)
        loss = mean_cross_entropy("xs", probabilities, labels)
        self._cache = probabilities, labels
        return loss

    def backward(self, dout: float = 1) -> Array:
        """Gradient of ``xs``.

        Parameters
        ----------
        dout : float, default 1
            The gradient of the loss.

        Returns
        -------
        ndarray of float32, shape (N, T, V)

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        if self._cache is None:
            raise RuntimeError("Simple_TimeSoftmaxWithLoss.backward was called before forward")
        probabilities, labels = self._cache
        scale = as_number("dout", dout) / labels.size
        return _kernels.softmax_loss_backward(probabilities, labels, None, scale)
