"""Inverted dropout over a sequence.

Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", 2014; the
survivors are scaled while training, so that inference is the identity.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def _as_float32(name: str, array: Array) -> Array:
    array = np.asarray(array)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name}: expected real numbers, got {array.dtype}")
    return array.astype(np.float32, copy=False)


class TimeDropout:
    """Zero a share of the values while training; scale the others by ``1 / (1 - dropout_ratio)``.

    Parameters
    ----------
    dropout_ratio : float, default 0.5
        The share, at least 0 and below 1.

    Attributes
    ----------
    params, grads : list
        Empty.
    train_flg : bool
        False makes the layer the identity.

    Raises
    ------
    ValueError
        ``dropout_ratio`` is outside its range.
    """

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        if not 0 <= dropout_ratio < 1:
            raise ValueError(f"dropout_ratio: expected at least 0 and below 1, got {dropout_ratio}")
        self.params: list[Array] = []
        self.grads: list[Array] = []
        self.dropout_ratio = dropout_ratio
        self._mask: Array | None = None
        self.train_flg = True

    def forward(self, xs: Array) -> Array:
        """Apply a new mask, drawn by ``np.random.rand(*xs.shape)``; a copy if not ``train_flg``.

        Parameters
        ----------
        xs : ndarray of float, any shape

        Returns
        -------
        ndarray of float32, the shape of ``xs``
        """
        xs = _as_float32("xs", xs)
        if self.train_flg:
            kept = np.random.rand(*xs.shape) > self.dropout_ratio
            self._mask = kept * np.float32(1 / (1 - self.dropout_ratio))
        else:
            self._mask = np.ones(xs.shape, dtype=np.float32)
        return xs * self._mask

    def backward(self, dout: Array) -> Array:
        """The mask of the last `forward`, applied to ``dout``.

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        if self._mask is None:
            raise RuntimeError("TimeDropout.backward was called before forward")
        dout = _as_float32("dout", dout)
        if dout.shape != self._mask.shape:
            raise ValueError(f"dout: expected shape {self._mask.shape}, got {dout.shape}")
        return dout * self._mask
