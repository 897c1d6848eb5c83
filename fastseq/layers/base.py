"""What the layers share: checks of their arguments, and arrays for their gradients."""

import operator
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_Class = TypeVar("_Class", bound=type)

_KINDS = {"f": "an array of floats", "iu": "an array of integers", "fiub": "an array of numbers"}


def as_array(name: str, array: object) -> Array:
    """An argument as an array.

    Raises
    ------
    TypeError, ValueError, MemoryError
        NumPy makes no array of it.
    """
    try:
        return np.asarray(array)
    except (TypeError, ValueError, MemoryError) as error:
        kinds = (TypeError, MemoryError, ValueError)
        kind = next(each for each in kinds if isinstance(error, each))
        raise kind(f"{name}: {error}") from error


def as_integer(name: str, number: object) -> int:
    """An argument as an integer, read once.

    Raises
    ------
    TypeError
        It is none; an array of one is one.
    """
    if isinstance(number, np.ndarray) and number.size == 1:
        number = np.asarray(number).reshape(())
    try:
        return operator.index(number)  # type: ignore[arg-type]
    except TypeError as error:
        raise TypeError(f"{name}: expected an integer, got {type(number).__name__}") from error


def as_number(name: str, number: object) -> float:
    """An argument as a float, read once.

    Raises
    ------
    TypeError, ValueError
        It is no real number, or one beyond the floats; an array of one is one.
    """
    if isinstance(number, np.ndarray) and number.size == 1:
        number = np.asarray(number).reshape(())[()]
    try:
        if isinstance(number, str | bytes):  # which float() would read
            raise TypeError
        return float(number)  # type: ignore[arg-type]
    except TypeError as error:
        raise TypeError(f"{name}: expected a number, got {type(number).__name__}") from error
    except OverflowError as error:
        raise ValueError(f"{name}: {error}") from error


def as_list(name: str, items: Iterable[Any]) -> list[Any]:
    """The items of an argument in a list, read once.

    Raises
    ------
    TypeError
        It is not iterable.
    """
    try:
        return list(items)
    except TypeError as error:
        raise TypeError(f"{name}: expected a sequence, got {type(items).__name__}") from error


def renamed(error: Exception, name: str, of_kernel: str) -> Exception:
    """An error of a kernel, about the argument that a layer's caller knows by another name."""
    text = str(error)
    return type(error)(name + text.removeprefix(of_kernel)) if text.startswith(of_kernel) else error


def check_choice(name: str, choice: object, choices: Iterable[str]) -> None:
    """ValueError unless it is one of the names."""
    if not isinstance(choice, str) or choice not in choices:
        got = repr(choice) if isinstance(choice, str) else type(choice).__name__
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {got}")


def _fits(shape: tuple[int, ...], sizes: tuple[int | None, ...]) -> bool:
    # a loop, as a generator takes longer than all that a small layer computes
    for given, size in zip(shape, sizes, strict=True):
        if size is not None and size != given:
            return False
    return True


def checked(
    name: str, array: object, letters: str, *sizes: int | None, kinds: str = "fiub"
) -> Array:
    """An argument as an array, if it has the right kind and shape.

    It is a view: the conversion of another argument may change the shape of the caller's own array.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    array : array_like
        The argument.
    letters : str
        The expected shape in the letters of the documentation, as ``"(H, 4H)"``.
    *sizes : int or None
        The expected shape in numbers; None stands for any.
    kinds : str
        The kinds of dtype that are accepted.

    Raises
    ------
    TypeError, ValueError
        The dtype is of another kind, the shape another.
    """
    array = as_array(name, array)
    if array.dtype.kind not in kinds:
        raise TypeError(f"{name}: expected {_KINDS[kinds]}, got dtype {array.dtype}")
    if array.ndim != len(sizes) or not _fits(array.shape, sizes):
        numbers = ", ".join("any" if size is None else str(size) for size in sizes)
        known = "" if set(sizes) == {None} else f" = ({numbers})"
        raise ValueError(f"{name}: expected shape {letters}{known}, got {array.shape}")
    return array.view()


def check_weight(name: str, weight: object, letters: str, *sizes: int | None) -> Array:
    """Require an array of floats, which the layer will hold and never copy; else as `checked`."""
    if not isinstance(weight, np.ndarray):
        raise TypeError(f"{name}: expected an array of floats, got {type(weight).__name__}")
    if len(sizes) == 1 and weight.ndim == 2 and len(weight) == 1:  # a bias of one row
        sizes = (1, *sizes)
    checked(name, weight, letters, *sizes, kinds="f")
    return np.asarray(weight)


def zero_gradients(params: Sequence[Array]) -> list[Array]:
    """One zero array for each parameter, of the same shape and dtype."""
    return [np.zeros_like(param, subok=False) for param in params]


def as_float32(name: str, array: object, shape: tuple[int, ...] | None = None) -> Array:
    """An argument of any shape, or of the given one, as float32; a copy only where it must be.

    Raises
    ------
    TypeError, ValueError
        The dtype is no real number, the shape another.
    """
    array = as_array(name, array)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected an array of numbers, got dtype {array.dtype}")
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    return array.astype(np.float32, copy=False).view()


def label_ids(name: str, labels: object, letters: str, *sizes: int) -> Array:
    """Labels, given as ids or one-hot, as a new array of ids.

    Parameters
    ----------
    name : str
        The argument's name, for the message.
    labels : array_like
        Ids of the shape of the scores without their last axis; or one-hot, of their shape.
    letters : str
        The shape of the scores in the letters of the documentation, as ``"(N, V)"``.
    *sizes : int
        The shape of the scores.

    Raises
    ------
    IndexError
        A label is negative or not below V; the message says which, where, and V.
    TypeError, ValueError
        The labels are of the wrong kind or shape, or one-hot over no symbol.
    """
    *rows, V = sizes
    labels = as_array(name, labels)
    if labels.ndim == len(sizes):
        return np.asarray(checked(name, labels, letters, *sizes).argmax(axis=-1))
    row_letters = letters.rpartition(",")[0] + ("," if len(rows) == 1 else "") + ")"
    labels = checked(name, labels, row_letters, *rows, kinds="iu")
    ids: Array = labels.astype(np.int64)
    wrong = ids.view(np.uint64) >= V  # of a negative one too
    if np.count_nonzero(wrong):
        first = tuple(np.argwhere(wrong)[0])
        position = ", ".join(str(index) for index in first)
        got = labels[first]
        raise IndexError(f"{name}[{position}]: expected a label from 0 to {V - 1}, got {got}")
    return ids


def side_by_side(*parts: Array) -> Array:
    """The columns of all parts, of arrays (N, T, .) and of (N, .), which are repeated over time.

    One part alone is returned as it is.
    """
    if len(parts) == 1:
        return parts[0]
    steps = next(part.shape[1] for part in parts if part.ndim == 3)
    repeated = [
        part if part.ndim == 3 else np.repeat(part[:, np.newaxis], steps, axis=1) for part in parts
    ]
    return np.concatenate(repeated, axis=2)


class Layer:
    """Base of the layers that are not recurrent: parameters, and what `backward` needs.

    Attributes
    ----------
    params, grads : list of ndarray
        The caller's own arrays, and their gradients.
    """

    _cache: Any = None  # of the last forward pass; a pickle of the textbook's class has none

    def __init__(self) -> None:
        self._hold()

    def _hold(self, *params: Array) -> None:
        """Set the parameters, and zeros for their gradients."""
        self.params = list(params)
        self.grads = zero_gradients(params)

    def _last_pass(self) -> Any:
        """What `forward` kept.

        Raises
        ------
        RuntimeError
            There was no `forward`.
        """
        if self._cache is None:
            raise RuntimeError(f"{type(self).__name__}.backward was called before forward")
        return self._cache


# Of each class that may run together with others: forward and backward, as the package has them.
_ORIGINALS: dict[type, tuple[object, object]] = {}


def fusable(cls: _Class) -> _Class:
    """Note the methods of a class, for `is_original`."""
    _ORIGINALS[cls] = cls.forward, cls.backward  # type: ignore[attr-defined]
    return cls


def is_original(layer: object) -> bool:
    """Whether a layer is of a `fusable` class, and runs the methods that the package defines.

    It does not if a subclass, the class or the layer itself has replaced `forward` or `backward`.
    """
    cls: Any = type(layer)
    methods = _ORIGINALS.get(cls)
    if methods is None or cls.forward is not methods[0] or cls.backward is not methods[1]:
        return False
    own = layer.__dict__
    return "forward" not in own and "backward" not in own
