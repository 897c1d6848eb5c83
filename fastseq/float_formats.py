"""Floats in safetensors files: float32, or rounded to float16 or bfloat16 in half the bytes.

float16 is IEEE 754's binary16: 11 significant bits, finite up to 65,504. bfloat16 is the upper half
of a float32: 8 significant bits and the whole range.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class FloatFormat(NamedTuple):
    """How floats stand in a file.

    Attributes
    ----------
    code : str
        The name in a safetensors header.
    storage : numpy.dtype
        What holds the bits, little-endian; of bfloat16 an integer, as NumPy has no such float.
    """

    code: str
    storage: np.dtype[Any]


FLOAT_FORMATS = {
    "float32": FloatFormat("F32", np.dtype("<f4")),
    "float16": FloatFormat("F16", np.dtype("<f2")),
    "bfloat16": FloatFormat("BF16", np.dtype("<u2")),
}

# Of a safetensors file: the size of its header, at its beginning; the entry that is no array.
LENGTH_BYTES = 8
METADATA = "__metadata__"
_ALIGNMENT = 8  # of the data, which follow the header


def check_float_format(dtype: object) -> None:
    """Require one of `FLOAT_FORMATS`.

    Raises
    ------
    ValueError
        It is something else.
    """
    if not isinstance(dtype, str) or dtype not in FLOAT_FORMATS:
        raise ValueError(f"dtype: expected one of {', '.join(FLOAT_FORMATS)}, got {dtype!r}")


def to_storage(array: Array, dtype: str) -> Array:
    """The array as it stands in a file; each value is rounded to the nearest, ties to even.

    Parameters
    ----------
    array : ndarray of float32
    dtype : str
        A name in `FLOAT_FORMATS`.

    Returns
    -------
    ndarray of the format's ``storage``

    Raises
    ------
    OverflowError
        A finite value is too large for the format.
    """
    array = np.asarray(array, dtype="<f4", order="C")
    if dtype == "float32":
        return array
    with np.errstate(over="ignore"):
        stored = _to_bfloat16(array) if dtype == "bfloat16" else array.astype("<f2")
    if (np.isfinite(array) & ~np.isfinite(from_storage(stored, dtype))).any():
        raise OverflowError(
            f"expected values that {dtype} can hold, got {np.abs(array[np.isfinite(array)]).max()}"
        )
    return stored


def from_storage(stored: Array, dtype: str) -> Array:
    """The float32 values of what `to_storage` has made, exactly."""
    if dtype == "bfloat16":
        return (stored.astype("<u4") << 16).view("<f4")
    return stored.astype("<f4", copy=False)


def serialize(arrays: Mapping[str, Array], dtype: str, metadata: Mapping[str, str]) -> bytes:
    """The content of a safetensors file.

    The package safetensors writes no bfloat16 from NumPy's arrays.

    Parameters
    ----------
    arrays : mapping of str to ndarray of float
    dtype : str
        A name in `FLOAT_FORMATS`, of all arrays in the file.
    metadata : mapping of str to str

    Raises
    ------
    OverflowError
        A value is too large for the dtype; the message names the array.
    """
    header: dict[str, Any] = {METADATA: metadata} if metadata else {}
    blocks = []
    end = 0
    for name in sorted(arrays):
        try:
            blocks.append(to_storage(arrays[name], dtype).tobytes())
        except OverflowError as error:
            raise OverflowError(f"{name}: {error}") from None
        start, end = end, end + len(blocks[-1])
        header[name] = {
            "dtype": FLOAT_FORMATS[dtype].code,
            "shape": arrays[name].shape,
            "data_offsets": (start, end),
        }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join([len(text).to_bytes(LENGTH_BYTES, "little"), text, *blocks])


def largest_change(old: Mapping[str, Array], new: Mapping[str, Array]) -> tuple[float, float]:
    """The largest difference of an element of arrays of the same names, and the largest element."""
    largest = max(float(np.abs(array).max(initial=0)) for array in old.values())
    change = max(float(np.abs(new[name] - old[name]).max(initial=0)) for name in old)
    return change, largest


def _to_bfloat16(array: Array) -> Array:
    bits = array.view("<u4")
    # half of the last kept bit, less one where that bit is 0: a tie then stays with the even one
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    quiet_nan = (bits >> 16) | 0x40  # rounding could carry a NaN over to infinity or zero
    stored: Array = np.where(np.isnan(array), quiet_nan, rounded).astype("<u2")
    return stored
