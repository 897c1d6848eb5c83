"""Hostile values: other memory layouts, array-like objects, wrong types and shapes."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from support.kernels.hostile_values import (
    Converting,
    OwnError,
    byte_swapped,
    misaligned,
    reversed_strides,
    strided,
)

from .case import Array

HUGE = 2**40  # an axis: more than memory holds, but a valid shape for NumPy


# ---- other memory layouts ----


def half_strided(array: Array) -> Array:
    """Strides that are not a multiple of the item size."""
    record = np.zeros(array.shape, [("pad", "u1"), ("value", array.dtype)])
    record["value"] = array
    return record["value"]


def with_rank(change: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The change for an array with at least one axis; a copy of any other."""
    return lambda array: change(array) if array.ndim else array.copy()


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "fortran": lambda array: np.array(array, order="F"),
    "strided": with_rank(strided),
    "reversed": with_rank(reversed_strides),
    "misaligned": with_rank(misaligned),
    "half_strided": half_strided,
    "byte_swapped": byte_swapped,
}
FLOATS = (np.float64, np.longdouble)
INTEGERS = (np.int64, np.int32, np.int16, np.uint64, np.uint32, np.uint8, np.intp)


# ---- objects ----


class Interface:
    """An object without `__array__`, but with `__array_interface__`."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.__array_interface__ = array.__array_interface__


class Subclass(np.ndarray):
    """A subclass with a wrong shape, whose operators raise."""

    def __eq__(self, *arguments: Any, **named: Any) -> Any:
        raise OwnError

    __ne__ = __lt__ = __gt__ = __getitem__ = __len__ = __iter__ = __eq__
    __array_function__ = __array_ufunc__ = __eq__
    __hash__ = None

    @property
    def shape(self) -> Any:
        return (HUGE,)

    @property
    def size(self) -> Any:
        return HUGE


def masked(array: Array) -> Any:
    return np.ma.masked_array(array, np.zeros(array.shape, bool))


# Functions of the values and of another array; the result converts to the values at least once.
OBJECTS: dict[str, Callable[[Array, Array], Any]] = {
    "converting": lambda array, other: Converting(array),
    "changing": Converting,
    "interface": lambda array, other: Interface(array),
    "subclass": lambda array, other: array.view(Subclass),
    "matrix": lambda array, other: np.asmatrix(array) if array.ndim == 2 else Converting(array),
    "masked": lambda array, other: masked(array),
    "list": lambda array, other: array.tolist(),
    "memoryview": lambda array, other: memoryview(array) if array.ndim else Converting(array),
}


class Between(int):
    """An integer whose comparisons are all true."""

    def __lt__(self, other: object) -> bool:
        return True

    __le__ = __gt__ = __ge__ = __lt__
    __hash__ = int.__hash__


class Number(float):
    """A float that converts to another value."""

    def __float__(self) -> float:
        return 1e30


class Growing(list[Any]):
    """A list whose length is wrong."""

    def __len__(self) -> int:
        return super().__len__() + 7


class Shrinking(list[Any]):
    """A list that is cleared in the middle of an iteration."""

    def __iter__(self) -> Iterator[Any]:
        items = list(super().__iter__())
        for index, item in enumerate(items):
            if index == len(items) // 2:
                self.clear()
            yield item


# ---- wrong types and shapes ----


def no_numbers(array: Array) -> dict[str, Array]:
    """Arrays of the same shape, with dtypes other than real numbers."""
    shape = array.shape
    return {
        "complex": np.zeros(shape, np.complex64),
        "object": np.full(shape, None),
        "text": np.zeros(shape, "U3"),
        "bytes": np.zeros(shape, "S3"),
        "void": np.zeros(shape, "V4"),
        "record": np.zeros(shape, [("re", "f4"), ("im", "f4")]),
        "datetime": np.zeros(shape, "M8[s]"),
        "timedelta": np.zeros(shape, "m8[s]"),
    }


def folded(array: Array) -> Array:
    """A writeable array of the shape whose elements overlap."""
    if array.ndim == 0:
        return array
    row = np.zeros(array.shape[-1], array.dtype)
    strides = (*(0 for _ in array.shape[1:]), row.itemsize)
    return as_strided(row, array.shape, strides)


def other_shapes(array: Array) -> dict[str, Callable[[], Array]]:
    """Arrays of another shape."""
    dtype, axis = array.dtype, max(array.ndim - 1, 0)

    def broadcast(shape: tuple[int, ...]) -> Array:
        return np.broadcast_to(dtype.type(0), shape)

    def huge(which: int, value: int = HUGE) -> tuple[int, ...]:
        return tuple(value if i == which else size for i, size in enumerate(array.shape))

    return {
        "rank_more": lambda: array[..., np.newaxis].copy(),
        "rank_less": lambda: array.ravel(),
        "scalar": lambda: np.zeros((), dtype),
        "none": lambda: np.zeros((*array.shape[:axis], 0), dtype),
        "first_none": lambda: np.zeros((0, *array.shape[1:]), dtype),
        "longer": lambda: np.zeros((*array.shape[:axis], array.shape[axis] + 1), dtype),
        "first_longer": lambda: np.zeros((array.shape[0] + 1, *array.shape[1:]), dtype),
        "shorter": lambda: array[..., :-1].copy(),
        "transposed": lambda: array.T.copy(),
        "many_axes": lambda: np.zeros((1,) * 60, dtype),
        "huge_first": lambda: broadcast(huge(0)),
        "huge_last": lambda: broadcast(huge(axis)),
        "huge_square": lambda: broadcast((2**20, 2**38, *(1 for _ in array.shape[2:]))),
        "huge_nothing": lambda: np.zeros((*huge(0)[:axis], 0), dtype),
    }


WRONG: tuple[Any, ...] = (None, 3, 2.5, "text", b"bytes", [], {}, object(), [[1.0], [2.0, 3.0]], ())
WRONG_NUMBERS: tuple[Any, ...] = ("1", [1], 1j, object(), np.zeros(3), np.full((2000, 1), 9), {})
INTEGERS_BEYOND: tuple[int, ...] = (-1, 2**31, 2**40, 2**63 - 1, 2**63, -(2**63), 2**70)
