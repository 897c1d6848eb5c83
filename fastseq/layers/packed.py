"""Padded sequences and packed ones: the real steps of a batch, end to end."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Steps:
    """The R real steps of arrays (N, T, ...) that hold padded sequences.

    Parameters
    ----------
    lengths : ndarray of int, shape (N,)
        Each from 0 to T; R is their sum.
    T : int

    Attributes
    ----------
    count : int
        R.
    """

    def __init__(self, lengths: Array, T: int) -> None:
        self._shape = len(lengths), T
        self.count = int(np.sum(lengths))
        self._places = np.flatnonzero(np.arange(T) < lengths[:, np.newaxis])
        self._rows = self._places // T
        self._starts = np.cumsum(lengths) - lengths

    def gather(self, x: Array) -> Array:
        """The real steps end to end, row by row: (R, ...) of (N, T, ...)."""
        return x.reshape(-1, *x.shape[2:]).take(self._places, axis=0)

    def scatter(self, steps: Array) -> Array:
        """The inverse of `gather`, 0 where a row has no step."""
        N, T = self._shape
        x = np.zeros((N * T, *steps.shape[1:]), dtype=steps.dtype)
        x[self._places] = steps
        return x.reshape(N, T, *steps.shape[1:])

    def repeat(self, x: Array) -> Array:
        """Each row of x (N, ...) once for each of its steps: (R, ...)."""
        return x.take(self._rows, axis=0)

    def total(self, steps: Array) -> Array:
        """The sum over each row's steps, of which there is at least one: (N, ...) of (R, ...)."""
        return np.add.reduceat(steps, self._starts, axis=0)
