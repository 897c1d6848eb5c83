"""What the layers share: checks of their arguments, and arrays for their gradients."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_KINDS = {"f": "an array of floats", "iu": "an array of integers", "fiub": "an array of numbers"}


def checked(
    name: str, array: object, letters: str, *sizes: int | None, kinds: str = "fiub"
) -> Array:
    """An argument as an array, if it has the right kind and shape.

    Parameters
    ----------
    name : str
        What the caller knows it as, for the message.
    array : array_like
        What came.
    letters : str
        The expected shape in the letters of the documentation, as ``"(H, 4H)"``.
    *sizes : int or None
        The expected shape in numbers; None stands for any.
    kinds : str
        The kinds of dtype that are let through.

    Raises
    ------
    TypeError, ValueError
        The dtype is of another kind, the shape another.
    """
    array = np.asarray(array)
    if array.dtype.kind not in kinds:
        raise TypeError(f"{name}: expected {_KINDS[kinds]}, got dtype {array.dtype}")
    if array.ndim != len(sizes) or any(
        size is not None and size != given for size, given in zip(sizes, array.shape, strict=True)
    ):
        numbers = ", ".join("any" if size is None else str(size) for size in sizes)
        known = "" if set(sizes) == {None} else f" = ({numbers})"
        raise ValueError(f"{name}: expected shape {letters}{known}, got {array.shape}")
    return array


def check_weight(name: str, weight: object, letters: str, *sizes: int | None) -> None:
    """Require an array of floats, which the layer will hold and never copy; else as `checked`."""
    if not isinstance(weight, np.ndarray):
        raise TypeError(f"{name}: expected an array of floats, got {type(weight).__name__}")
    checked(name, weight, letters, *sizes, kinds="f")


def zero_gradients(params: Sequence[Array]) -> list[Array]:
    """One zero array for each parameter, of the same shape and dtype."""
    return [np.zeros_like(param, subok=False) for param in params]
