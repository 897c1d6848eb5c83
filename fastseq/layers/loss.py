"""Softmax with cross-entropy over a sequence."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import checked

Array = npt.NDArray[Any]


class TimeSoftmaxWithLoss:
    """The mean of ``-log softmax(xs)[label]`` over all positions whose label is not ignored.

    Attributes
    ----------
    params, grads : list
        Empty.
    ignore_label : int, default -1
        Positions with this label count neither in the loss nor in the gradient.
    """

    def __init__(self) -> None:
        self.params: list[Array] = []
        self.grads: list[Array] = []
        self.ignore_label = -1
        self._cache: tuple[Array, Array, int, int] | None = None

    def forward(self, xs: Array, ts: Array) -> float:
        """The loss.

        Parameters
        ----------
        xs : ndarray of float, shape (N, T, V)
            Scores before the softmax.
        ts : ndarray, shape (N, T) of int or one-hot (N, T, V)

        Returns
        -------
        float

        Raises
        ------
        IndexError
            A label is neither in 0 .. V-1 nor the ignored one.
        TypeError, ValueError
            An argument is of the wrong kind or shape, or every label is ignored.
        """
        xs = checked("xs", xs, "(N, T, V)", None, None, None)
        N, T, V = xs.shape
        if np.ndim(ts) == 3:
            ts = checked("ts", ts, "(N, T, V)", N, T, V).argmax(axis=2)
        labels = checked("ts", ts, "(N, T)", N, T, kinds="iu").copy()
        ignore_label = self.ignore_label
        loss, probabilities, count = _kernels.softmax_loss_forward(xs, labels, ignore_label)
        self._cache = probabilities, labels, ignore_label, count
        return loss

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
        return _kernels.softmax_loss_backward(probabilities, labels, ignore_label, dout / count)
