"""Lists of arrays from the textbook's pickles, which are not trusted.

What NumPy's arrays name when they are unpickled is replaced by records that only note what they are
given; the arrays are built afterwards, from records that were checked.
"""

from __future__ import annotations

import contextlib
import io
import math
import pickle
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# An array takes about 30 instructions, whatever its size; no list of parameters needs more.
_MOST_INSTRUCTIONS = 100_000
# All that lists of arrays are written with, by any protocol. Sets, and dicts with keys, would hash
# what a file nests; DUP and the names of persistent objects are for other pickles.
# fmt: off
_INSTRUCTIONS = {
    "PROTO", "FRAME", "STOP", "MARK", "POP_MARK", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE",
    "GET", "BINGET", "LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1",
    "BININT2", "LONG", "LONG1", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8",
    "BYTEARRAY8", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST",
    "APPEND", "APPENDS", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
}
# fmt: on
_MOST_DIMENSIONS = 64  # NumPy's own limit
_LARGEST_SIZE = 2**63


class _DtypeRecord:
    """Notes the name of a dtype, and the byte order that its state brings."""

    def __init__(self, name: object, *_: object) -> None:
        self.name = name
        self.byte_order: object = "="

    def __setstate__(self, state: Any) -> None:
        self.byte_order = state[1]

    def dtype(self) -> np.dtype[Any]:
        if self.name not in ("f2", "f4", "f8") or self.byte_order not in ("<", ">", "="):
            # the representation of what is nested may have no end
            got = repr(self.name) if isinstance(self.name, str) else type(self.name).__name__
            raise ValueError(f"expected arrays of float16, float32 or float64, got {got}")
        return np.dtype(f"{self.byte_order}{self.name}")


class _ArrayRecord:
    """Notes the state of an array: version, shape, dtype, whether Fortran-ordered, bytes."""

    def __init__(self, *state: Any) -> None:
        self.state = state

    def __setstate__(self, state: Any) -> None:
        self.state = tuple(state)

    def array(self) -> Array:
        if len(self.state) != 5:
            raise ValueError("an array is not complete")
        _, shape, dtype, is_fortran, content = self.state
        if not isinstance(dtype, _DtypeRecord) or not isinstance(content, bytes | bytearray):
            raise ValueError("an array does not hold plain numbers")
        if (
            not isinstance(shape, tuple)
            or len(shape) > _MOST_DIMENSIONS
            or not all(type(n) is int and 0 <= n < _LARGEST_SIZE for n in shape)
        ):
            raise ValueError("an array has no valid shape")
        number = dtype.dtype()
        if math.prod(shape) * number.itemsize != len(content):
            raise ValueError(f"an array of shape {shape} has {len(content)} bytes")
        order: Literal["C", "F"] = "F" if is_fortran else "C"
        return np.frombuffer(content, dtype=number).reshape(shape, order=order)


class _ParameterUnpickler(pickle.Unpickler):
    """Reads lists of arrays of floats; refuses every other name before it is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        """A function that makes the record for a name that a NumPy array needs."""
        # Each is a new object, which a hostile file may change without an effect on others.
        match module.replace("numpy._core", "numpy.core"), name:
            case "numpy", "dtype":
                return lambda *args: _DtypeRecord(*args)
            case "numpy", "ndarray":
                return lambda: None  # only ever passed to _reconstruct
            case "numpy.core.multiarray", "_reconstruct":
                return lambda *_: _ArrayRecord()
            case "numpy.core.numeric", "_frombuffer":
                return lambda content, dtype, shape, order: _ArrayRecord(
                    1, shape, dtype, order == "F", content
                )
            case "_codecs", "encode":
                return lambda text, _: str.encode(text, "latin-1")
        raise ValueError(f"it refers to {module}.{name}, which no array of floats needs")


def load_pickle(content: bytes, limit: int) -> list[Array]:
    """The arrays of a pickle, which cannot hold more of them than it has bytes.

    Raises
    ------
    ValueError
        It is no list of arrays of floats.
    """
    _check_instructions(content)
    records = _ParameterUnpickler(io.BytesIO(content)).load()
    if not isinstance(records, list) or not all(isinstance(item, _ArrayRecord) for item in records):
        raise ValueError("expected a list of arrays")
    return [record.array() for record in records]


def _check_instructions(content: bytes) -> None:
    """Refuse a pickle of other things than arrays, or whose bytes unfold to much memory."""
    import pickletools

    for count, (opcode, argument, position) in enumerate(pickletools.genops(content)):
        if opcode.name not in _INSTRUCTIONS:
            # a name that was refused before is the better reason
            with contextlib.suppress(EOFError, pickle.UnpicklingError):
                _ParameterUnpickler(io.BytesIO(content[:position])).load()
            raise ValueError(f"expected a list of arrays, which needs no {opcode.name}")
        memo_index = int(argument or 0) if "PUT" in opcode.name else 0
        if max(count, memo_index) > _MOST_INSTRUCTIONS:
            raise ValueError("it is no list of arrays: too many instructions")
