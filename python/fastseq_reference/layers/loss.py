"""Softmax with cross-entropy over a sequence, with a label that is not counted."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


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
        return float(loss)

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
