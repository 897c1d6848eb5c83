"""Hostile values: arrays in another layout, objects with a will of their own, wrong things."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .case import Array

HUGE = 2**40  # of an axis: more than memory holds, but a shape that NumPy makes


class OwnError(Exception):
    """What an argument raises itself."""


# ---- the same values in another form ----


def strided(array: Array) -> Array:
    """Every third element of a larger array, along the last axis."""
    wide = np.zeros((*array.shape[:-1], 3 * array.shape[-1]), array.dtype)
    view = wide[..., ::3]
    view[...] = array
    return view


def reversed_strides(array: Array) -> Array:
    """Negative strides on every axis."""
    flip = (slice(None, None, -1),) * array.ndim
    return array[flip].copy()[flip]


def misaligned(array: Array) -> Array:
    """Memory that begins one byte too late."""
    memory = np.zeros(array.nbytes + 1, np.uint8)
    view = memory[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def half_strided(array: Array) -> Array:
    """Strides that are no multiple of an element."""
    record = np.zeros(array.shape, [("pad", "u1"), ("value", array.dtype)])
    record["value"] = array
    return record["value"]


def read_only(array: Array) -> Array:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def with_rank(change: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """The change, of an array with an axis; another stays as it is."""
    return lambda array: change(array) if array.ndim else array.copy()


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "fortran": lambda array: np.array(array, order="F"),
    "strided": with_rank(strided),
    "reversed": with_rank(reversed_strides),
    "misaligned": with_rank(misaligned),
    "half_strided": half_strided,
    "byte_swapped": lambda array: array.astype(array.dtype.newbyteorder()),
}
FLOATS = (np.float64, np.longdouble)
INTEGERS = (np.int64, np.int32, np.int16, np.uint64, np.uint32, np.uint8, np.intp)


# ---- objects ----


class Converting:
    """Converts with `__array__` to one array after another, the last for ever; `action` before."""

    def __init__(self, *arrays: Any, action: Callable[[], Any] = lambda: None) -> None:
        self.arrays = list(arrays)
        self.action = action

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        self.action()
        return self.arrays.pop(0) if len(self.arrays) > 1 else self.arrays[0]


class Interface:
    """Has no `__array__`, but an `__array_interface__`."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.__array_interface__ = array.__array_interface__


class Subclass(np.ndarray):
    """Lies about its shape, and compares to nothing."""

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


def raise_own_error() -> None:
    raise OwnError("from the argument")


def masked(array: Array) -> Any:
    return np.ma.masked_array(array, np.zeros(array.shape, bool))


# Take the values, and another array; give what converts to the values, once at least.
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


class Counting:
    """An integer that is another at each look at it, the last for ever."""

    def __init__(self, *values: int) -> None:
        self.values = list(values)

    def __index__(self) -> int:
        return self.values.pop(0) if len(self.values) > 1 else self.values[0]

    __int__ = __index__


class Between(int):
    """An integer that says it is in every range."""

    def __lt__(self, other: object) -> bool:
        return True

    __le__ = __gt__ = __ge__ = __lt__
    __hash__ = int.__hash__


class Number(float):
    """A float whose conversion gives another."""

    def __float__(self) -> float:
        return 1e30


class Growing(list[Any]):
    """A list that tells another length than it has items."""

    def __len__(self) -> int:
        return super().__len__() + 7


class Shrinking(list[Any]):
    """A list that is cleared once it has been walked half."""

    def __iter__(self) -> Iterator[Any]:
        items = list(super().__iter__())
        for index, item in enumerate(items):
            if index == len(items) // 2:
                self.clear()
            yield item


# ---- wrong things ----


def no_numbers(array: Array) -> dict[str, Array]:
    """Arrays of the same shape, of dtypes that are no real numbers."""
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
