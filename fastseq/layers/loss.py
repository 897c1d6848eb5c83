"""Softmax and sigmoid with cross-entropy, of rows and over a sequence."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import Layer, as_array, as_float32, as_number, checked, label_ids, renamed
from fastseq.layers.functions import Loss, mean_cross_entropy, mean_negative_log, no_row

Array = npt.NDArray[Any]


class _SoftmaxLoss(Layer):
    """`cross_entropy_error` of the softmax of rows of scores."""

    def backward(self, dout: float = 1) -> Array:
        """Gradient of the scores.

        Parameters
        ----------
        dout : float, default 1
            The gradient of the loss.

        Returns
        -------
        ndarray of float32, the shape of the scores

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        probabilities, labels = self._last_pass()
        scale = as_number("dout", dout) / labels.size
        return _kernels.softmax_loss_backward(probabilities, labels, None, scale)

    def _loss(self, x_name: str, x: Array, t_name: str, t: Array, letters: str) -> Loss:
        t = as_array(t_name, t)  # both are arrays before either is checked
        x = checked(x_name, x, letters, *[None] * len(letters.split()))
        labels = label_ids(t_name, t, letters, *x.shape)
        probabilities = _kernels.softmax(x)
        loss = mean_cross_entropy(x_name, probabilities, labels)
        self._cache = probabilities, labels
        return loss


class _SigmoidLoss(Layer):
    """`cross_entropy_error` of ``[1 - y, y]``, ``y = sigmoid(x)``, for every score."""

    def backward(self, dout: float = 1) -> Array:
        """Gradient of the scores.

        Parameters
        ----------
        dout : float, default 1
            The gradient of the loss.

        Returns
        -------
        ndarray of float32, the shape of the scores

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        y, labels = self._last_pass()
        scale = np.float32(as_number("dout", dout) / labels.size)
        gradient: Array = (y - labels.astype(np.float32)) * scale
        return gradient

    def _loss(self, x_name: str, x: Array, t_name: str, t: Array, letters: str) -> Loss:
        t = as_array(t_name, t)
        x = checked(x_name, x, letters, *[None] * len(letters.split()))
        two = letters.rstrip(",)") + ", 2)"
        labels = label_ids(t_name, t, two, *x.shape, 2)
        if labels.size == 0:
            raise no_row(x_name)
        x = as_float32(x_name, x)
        y = _kernels.sigmoid(x)
        # sigmoid(-x) is 1 - y, without the rounding error of a difference from 1
        of_labels = np.where(labels, y, _kernels.sigmoid(-x))
        self._cache = y, labels
        return mean_negative_log(of_labels.reshape(-1))


class SoftmaxWithLoss(_SoftmaxLoss):
    """The mean over the rows of ``-log(softmax(x)[label] + 1e-7)``.

    The gradient is that of the loss without its 1e-7.

    Attributes
    ----------
    params, grads : list
        Empty.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import SoftmaxWithLoss
    >>> layer = SoftmaxWithLoss()
    >>> round(layer.forward(np.zeros((2, 4)), np.array([3, 0])), 3)  # log 4
    1.386
    >>> layer.backward().tolist()  # (softmax - one-hot) / N
    [[0.125, 0.125, 0.125, -0.375], [-0.375, 0.125, 0.125, 0.125]]
    """

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
        return self._loss("x", x, "t", t, "(N, V)")


class SigmoidWithLoss(_SigmoidLoss):
    """A yes or no for each row: `cross_entropy_error` of ``[1 - y, y]``, ``y = sigmoid(x)``.

    The gradient is that of the loss without its 1e-7.

    Attributes
    ----------
    params, grads : list
        Empty.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import SigmoidWithLoss
    >>> layer = SigmoidWithLoss()
    >>> round(layer.forward(np.zeros(2), np.array([1, 0])), 3)  # log 2
    0.693
    >>> layer.backward().tolist()  # (sigmoid - label) / N
    [-0.25, 0.25]
    """

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
        return self._loss("x", x, "t", t, "(N,)")


class TimeSoftmaxWithLoss(Layer):
    """The mean of ``-log softmax(xs)[label]`` over all positions whose label is not ignored.

    Attributes
    ----------
    params, grads : list
        Empty.
    ignore_label : int, default -1
        Positions with this label count neither in the loss nor in the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import TimeSoftmaxWithLoss
    >>> layer = TimeSoftmaxWithLoss()
    >>> round(layer.forward(np.zeros((1, 3, 4)), np.array([[2, 0, -1]])), 3)  # log 4
    1.386
    >>> layer.backward()[0].tolist()  # the last label is ignored
    [[0.125, 0.125, -0.375, 0.125], [-0.375, 0.125, 0.125, 0.125], [0.0, 0.0, 0.0, 0.0]]
    """

    def __init__(self) -> None:
        super().__init__()
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
        probabilities, labels, ignore_label, count = self._last_pass()
        scale = as_number("dout", dout) / count
        return _kernels.softmax_loss_backward(probabilities, labels, ignore_label, scale)


class TimeSigmoidWithLoss(_SigmoidLoss):
    """The mean over the time steps of `SigmoidWithLoss`.

    Attributes
    ----------
    params, grads : list
        Empty.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import TimeSigmoidWithLoss
    >>> layer = TimeSigmoidWithLoss()
    >>> round(layer.forward(np.zeros((1, 2)), np.array([[1, 0]])), 3)  # log 2
    0.693
    >>> layer.backward().tolist()
    [[-0.25, 0.25]]
    """

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
        return self._loss("xs", xs, "ts", ts, "(N, T)")


class Simple_TimeSoftmaxWithLoss(_SoftmaxLoss):
    """The mean over the time steps of `SoftmaxWithLoss`; every label counts.

    Attributes
    ----------
    params, grads : list
        Empty.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import Simple_TimeSoftmaxWithLoss
    >>> layer = Simple_TimeSoftmaxWithLoss()
    >>> round(layer.forward(np.zeros((1, 2, 4)), np.array([[3, 0]])), 3)  # log 4
    1.386
    >>> layer.backward().shape
    (1, 2, 4)
    """

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
        return self._loss("xs", xs, "ts", ts, "(N, T, V)")
