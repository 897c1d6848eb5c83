"""Hostile arguments: arrays with unusual memory layouts, and objects that change when converted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# The exceptions that a call with hostile arguments may raise.
DOCUMENTED = (TypeError, ValueError, IndexError, MemoryError, RuntimeError)


# ---- memory layouts ----


def strided(array: Array) -> Array:
    """The same values as every third element of a larger array, along the last axis."""
    wide = np.zeros((*array.shape[:-1], 3 * array.shape[-1]), array.dtype)
    view = wide[..., ::3]
    view[...] = array
    return view


def reversed_strides(array: Array) -> Array:
    """The same values with negative strides on every axis."""
    flip = (slice(None, None, -1),) * array.ndim
    return array[flip].copy()[flip]


def misaligned(array: Array) -> Array:
    """The same values at an address that is not a multiple of the item size."""
    memory = np.zeros(array.nbytes + 1, np.uint8)
    view = memory[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def read_only(array: Array) -> Array:
    """A copy that is not writeable."""
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def byte_swapped(array: Array) -> Array:
    """A copy in the other byte order."""
    return array.astype(array.dtype.newbyteorder())


# ---- objects ----


class Converting:
    """An object whose `__array__` returns one array after another, and the last from then on.

    `action` is called before each conversion.
    """

    def __init__(self, *arrays: Any, action: Callable[[], Any] = lambda: None) -> None:
        self.arrays = list(arrays)
        self.action = action
        self.conversions = 0

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        self.action()
        array = self.arrays[min(self.conversions, len(self.arrays) - 1)]
        self.conversions += 1
        return array


class Counting:
    """An integer whose value changes with each conversion, until the last."""

    def __init__(self, *values: int) -> None:
        self.values = list(values)

    def __index__(self) -> int:
        return self.values.pop(0) if len(self.values) > 1 else self.values[0]

    __int__ = __index__


class OwnError(Exception):
    """An exception raised by code of an argument."""


def raise_own_error() -> None:
    raise OwnError("from the argument")
