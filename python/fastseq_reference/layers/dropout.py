"""Dropout: plain, and inverted over a sequence."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Dropout:
    """Dropout: ``out = x * mask`` in training, ``x * (1 - ratio)`` otherwise.

    The mask is ``np.random.rand(*x.shape) > ratio``.

    Parameters
    ----------
    dropout_ratio : float
        Share of elements that become zero, from 0 to 1.

    Raises
    ------
    ValueError
        When the ratio is out of range.

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
    JMLR 15, 2014, section 4.
    """

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        if not 0 <= dropout_ratio <= 1:
            raise ValueError(f"dropout_ratio must be from 0 to 1, not {dropout_ratio}")
        self.params: list[Array] = []
        self.grads: list[Array] = []
        self.dropout_ratio = dropout_ratio
        self.mask: Array | None = None

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        """Drop elements, or scale all when not in training.

        Parameters
        ----------
        x : array of any shape
        train_flg : bool
            Whether elements are dropped.

        Returns
        -------
        out : array of the same shape
        """
        if train_flg:
            self.mask = np.random.rand(*x.shape) > self.dropout_ratio
        else:
            self.mask = np.full_like(x, 1 - self.dropout_ratio)
        return x * self.mask

    def backward(self, dout: Array) -> Array:
        """Treat the gradient as ``forward`` treated the input.

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
        if self.mask is None:
            raise RuntimeError("Dropout.backward was called before forward")
        return dout * self.mask


class TimeDropout:
    """Inverted dropout: ``out = xs * mask / (1 - ratio)`` in training, the identity otherwise.

    The mask is ``np.random.rand(*xs.shape) > ratio``.

    Parameters
    ----------
    dropout_ratio : float
        Share of elements that become zero, at least 0 and less than 1.

    Attributes
    ----------
    train_flg : bool
        Whether elements are dropped.

    Raises
    ------
    ValueError
        When the ratio is out of range.

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
    JMLR 15, 2014, section 10.
    """

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        if not 0 <= dropout_ratio < 1:
            raise ValueError(
                f"dropout_ratio must be at least 0 and less than 1, not {dropout_ratio}"
            )
        self.params: list[Array] = []
        self.grads: list[Array] = []
        self.dropout_ratio = dropout_ratio
        self.mask: Array | None = None
        self.train_flg = True

    def forward(self, xs: Array) -> Array:
        """Drop elements, or copy when not in training.

        Parameters
        ----------
        xs : array of any shape

        Returns
        -------
        out : array of the same shape
        """
        if self.train_flg:
            kept = np.random.rand(*xs.shape) > self.dropout_ratio
            self.mask = kept.astype(xs.dtype) * (1 / (1 - self.dropout_ratio))
        else:
            self.mask = np.ones_like(xs)
        return xs * self.mask

    def backward(self, dout: Array) -> Array:
        """Pass the gradient where ``forward`` passed the input.

        Parameters
        ----------
        dout : array of the shape of ``xs``

        Returns
        -------
        dxs : array of the same shape

        Raises
        ------
        RuntimeError
            When there was no forward pass.
        """
        if self.mask is None:
            raise RuntimeError("TimeDropout.backward was called before forward")
        return dout * self.mask
