"""A call of a public function: its arguments, its outputs, its expected results."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Arguments = dict[str, Any]
Path = tuple[str | int, ...]

SIZES = (1, 1, 2, 3, 5, 8, 9, 17)
LARGE_SIZES = (16, 32, 48)


@dataclass
class Case:
    """One call.

    Attributes
    ----------
    name : str
        The name of the function, for the report.
    function : callable
        A function of the dictionary of arguments; returns nested results.
    arguments : dict
        By name: arrays, numbers, and lists of them.
    expected : callable
        A function of the arguments, converted to float64; returns the results, and the contents of
        output arguments by name. None if there is no reference for these arguments.
    written : set of str
        The names of output arguments.
    limits : dict
        Arguments of ids or lengths, with their minimum and maximum.
    terms : int
        The number of terms of the longest sum of an element, for the tolerance.
    words : set of str
        Names that an error message may contain besides those of the arguments.
    workspace : Workspace or None
        The workspace of the call.
    """

    name: str
    function: Callable[[Arguments], Any]
    arguments: Arguments
    expected: Callable[[Arguments], tuple[Any, Arguments] | None]
    written: set[str] = field(default_factory=set)
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)
    terms: int = 100
    words: set[str] = field(default_factory=set)
    workspace: Any = None
    empty: bool = False  # whether a size is 0: the call may be refused
    hostile: bool = True  # whether its arguments may be mutated
    fixed: set[str] = field(default_factory=set)  # arguments whose values belong to an earlier call


def items(value: Any) -> Iterator[Any]:
    """The items of a list or tuple, without calling code of a subclass."""
    return list.__iter__(value) if isinstance(value, list) else tuple.__iter__(value)


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every element of nested lists, tuples and dictionaries, with its path."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, (*path, key))
    elif isinstance(value, list | tuple):
        for index, each in enumerate(items(value)):
            yield from leaves(each, (*path, index))
    else:
        yield path, value


def nested(value: Any, change: Callable[[Any], Any]) -> Any:
    """New lists and dictionaries with the same nesting, and `change` of each element."""
    if isinstance(value, dict):
        return {key: nested(each, change) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [nested(each, change) for each in items(value)]
    return change(value)


def copied(value: Any) -> Any:
    """Copies of all arrays, in new lists."""
    return nested(value, lambda each: each.copy() if isinstance(each, np.ndarray) else each)


def widened(value: Any) -> Any:
    """Copies of all arrays, in new lists, with float64 for float32."""

    def widen(each: Any) -> Any:
        if not isinstance(each, np.ndarray):
            return each
        return each.astype(np.float64) if each.dtype.kind == "f" else each.copy()

    return nested(value, widen)


def get(arguments: Arguments, path: Path) -> Any:
    """The value at the path."""
    value: Any = arguments
    for key in path:
        value = value[key]
    return value


def put(arguments: Arguments, path: Path, value: Any) -> None:
    """Replace the value at the path."""
    get(arguments, path[:-1])[path[-1]] = value


class Draw:
    """Random arguments: sizes, arrays, choices."""

    def __init__(self, rng: np.random.Generator, large: bool = False) -> None:
        self.rng = rng
        self.large = large
        self.empty = False

    def size(self, least: int = 0) -> int:
        """A size of an axis; rarely 0."""
        if least == 0 and self.rng.random() < 0.02:
            self.empty = True
            return 0
        return int(self.rng.choice(LARGE_SIZES if self.large else SIZES))

    def shape(self, least: int = 0, most: int = 3) -> tuple[int, ...]:
        """A shape of some axes."""
        return tuple(self.size() for _ in range(self.rng.integers(least, most + 1)))

    def floats(self, *shape: int, scale: float = 1.0) -> Array:
        """Float32 values of a normal distribution."""
        return np.asarray(scale * self.rng.standard_normal(shape), np.float32)

    def weight(self, *shape: int) -> Array:
        """A matrix that preserves the magnitude of its factor."""
        return self.floats(*shape, scale=1 / np.sqrt(max(shape[0], 1)))

    def output(self, *shape: int) -> Array:
        """An array for an output."""
        return np.full(shape, np.nan, np.float32)

    def ids(self, count: int, *shape: int) -> Array:
        """Ids below a count of at least 1."""
        return np.asarray(self.rng.integers(0, count, shape))

    def lengths(self, rows: int, least: int, most: int) -> Array | None:
        """Lengths of the rows, each in [least, most]; or None."""
        return None if self.maybe() else self.rng.integers(least, most + 1, rows)

    def maybe(self, probability: float = 0.5) -> bool:
        """A random truth value."""
        return bool(self.rng.random() < probability)

    def choice(self, *values: Any) -> Any:
        """One of the values."""
        return values[self.rng.integers(len(values))]

    def number(self, *values: float) -> float:
        """A float that is exact in float32."""
        return float(np.float32(self.choice(*values)))
