"""Dropout, plain and over a sequence.

Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", 2014.
Plain: all values are scaled in inference. Over a sequence, inverted: the survivors are scaled while
training, so that inference is the identity.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.layers.base import Layer, as_float32, as_number

Array = npt.NDArray[Any]


class Dropout(Layer):
    """Zero a share of the values while training; scale all by ``1 - dropout_ratio`` otherwise.

    Srivastava et al. 2014.

    Parameters
    ----------
    dropout_ratio : float, default 0.5
        The share, from 0 to 1.

    Attributes
    ----------
    params, grads : list
        Empty.

    Raises
    ------
    TypeError, ValueError
        ``dropout_ratio`` is no number, or outside its range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import Dropout
    >>> layer = Dropout(0.25)
    >>> layer.forward(np.full(4, 8, "f"), train_flg=False)
    array([6., 6., 6., 6.], dtype=float32)
    >>> np.unique(layer.forward(np.full(1000, 8, "f")))
    array([0., 8.], dtype=float32)
    >>> np.unique(layer.backward(np.ones(1000, "f")))
    array([0., 1.], dtype=float32)
    """

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        dropout_ratio = as_number("dropout_ratio", dropout_ratio)
        if not 0 <= dropout_ratio <= 1:
            raise ValueError(f"dropout_ratio: expected a number from 0 to 1, got {dropout_ratio}")
        super().__init__()
        self.dropout_ratio = dropout_ratio

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """Apply a new mask, drawn by ``np.random.rand(*x.shape)``; scale if not ``train_flg``.

        Parameters
        ----------
        x : ndarray of float, any shape
        train_flg : bool, default True

        Returns
        -------
        ndarray of float32, the shape of ``x``

        Raises
        ------
        TypeError
            ``x`` is not of numbers.
        """
        x = as_float32("x", x)
        if train_flg:
            kept = np.random.rand(*x.shape) > self.dropout_ratio
            self._cache = np.asarray(kept, dtype=np.float32)
        else:
            self._cache = np.full(x.shape, 1 - self.dropout_ratio, dtype=np.float32)
        out: Array = x * self._cache
        return out

    def backward(self, dout: Array) -> Array:
        """What the last `forward` did to ``x``, done to ``dout``.

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
        mask: Array = self._last_pass()
        return as_float32("dout", dout, mask.shape) * mask


class TimeDropout(Layer):
    """Zero a share of the values while training; scale the others by ``1 / (1 - dropout_ratio)``.

    Srivastava et al. 2014, inverted: inference is the identity.

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
    TypeError, ValueError
        ``dropout_ratio`` is no number, or outside its range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.layers import TimeDropout
    >>> layer = TimeDropout(0.5)
    >>> np.unique(layer.forward(np.ones((10, 10, 10), "f")))
    array([0., 2.], dtype=float32)
    >>> np.unique(layer.backward(np.ones((10, 10, 10), "f")))
    array([0., 2.], dtype=float32)
    >>> layer.train_flg = False
    >>> np.unique(layer.forward(np.ones((10, 10, 10), "f")))
    array([1.], dtype=float32)
    """

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        dropout_ratio = as_number("dropout_ratio", dropout_ratio)
        if not 0 <= dropout_ratio < 1:
            raise ValueError(f"dropout_ratio: expected at least 0 and below 1, got {dropout_ratio}")
        super().__init__()
        self.dropout_ratio = dropout_ratio
        self.train_flg = True

    def forward(self, xs: Array) -> Array:
        """Apply a new mask, drawn by ``np.random.rand(*xs.shape)``; a copy if not ``train_flg``.

        Parameters
        ----------
        xs : ndarray of float, any shape

        Returns
        -------
        ndarray of float32, the shape of ``xs``

        Raises
        ------
        TypeError
            ``xs`` is not of numbers.
        """
        xs = as_float32("xs", xs)
        if self.train_flg:
            kept = np.random.rand(*xs.shape) > self.dropout_ratio
            self._cache = kept * np.float32(1 / (1 - self.dropout_ratio))
        else:
            self._cache = np.ones(xs.shape, dtype=np.float32)
        out: Array = xs * self._cache
        return out

    def backward(self, dout: Array) -> Array:
        """The mask of the last `forward`, applied to ``dout``.

        Parameters
        ----------
        dout : ndarray of float, the shape of ``xs``

        Returns
        -------
        ndarray of float32, the shape of ``xs``

        Raises
        ------
        RuntimeError
            There was no `forward`.
        TypeError, ValueError
            ``dout`` is of the wrong kind or shape.
        """
        mask: Array = self._last_pass()
        return as_float32("dout", dout, mask.shape) * mask
