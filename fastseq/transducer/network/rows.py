"""Variable-length sequences in one array: checks, reversal, dropout."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.layers.base import checked

Array = npt.NDArray[Any]


def check_ids(name: str, ids: object, count: int, lengths: object = None) -> tuple[Array, Array]:
    """Ids (N, T), each from 0 to ``count`` - 1, of rows with these lengths; and the lengths (N,).

    Values past a length are not read. Lengths of None stand for T each.

    Raises
    ------
    IndexError
        An id is out of range; the message says which and where.
    TypeError, ValueError
        An argument is of the wrong kind or shape, a length not from 1 to T, or there is no row.
    """
    ids = checked(name, ids, "(N, T)", None, None, kinds="iu")
    N, T = ids.shape
    if N == 0 or T == 0:
        raise ValueError(f"{name}: expected at least one row and one step, got shape {ids.shape}")
    lengths = np.full(N, T) if lengths is None else lengths
    lengths = checked(f"lengths of {name}", lengths, "(N,)", N, kinds="iu")
    wrong = np.argwhere((lengths < 1) | (lengths > T))
    if wrong.size:
        n = wrong[0, 0]
        raise ValueError(f"lengths of {name}: expected 1 to {T}, got {lengths[n]} for row {n}")
    real = np.arange(T) < lengths[:, np.newaxis]
    wrong = np.argwhere(real & ((ids < 0) | (ids >= count)))
    if wrong.size:
        n, t = wrong[0]
        raise IndexError(
            f"{name}[{n}, {t}]: expected an id from 0 to {count - 1} "
            f"(vocabulary size {count}), got {ids[n, t]}"
        )
    return ids, lengths


def reversed_rows(rows: Array, lengths: Array) -> Array:
    """The array (N, T) with each row reversed within its length; values past it stay."""
    places = np.arange(rows.shape[1])
    mirrored = lengths[:, np.newaxis] - 1 - places
    return np.take_along_axis(rows, np.where(mirrored < 0, places, mirrored), axis=1)


class Dropout:
    """Zero a share of the values and scale the others by ``1 / (1 - share)``, or do nothing.

    Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", 2014;
    inverted, so that inference needs no scaling. The masks come from the caller's generator.

    Parameters
    ----------
    share : float
        At least 0 and below 1.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._kept: Array | None = None

    def forward(self, x: Array, generator: np.random.Generator | None) -> Array:
        """Apply a new mask, drawn as ``generator.random(x.shape)``; without a generator, none."""
        self._kept = None
        if generator is not None and self._share:
            self._kept = generator.random(x.shape, dtype=np.float32) >= self._share
        return self.backward(x)

    def backward(self, dout: Array) -> Array:
        """Apply the mask of the last `forward`."""
        if self._kept is None:
            return dout
        kept = dout * self._kept
        kept *= np.float32(1 / (1 - self._share))
        return kept
