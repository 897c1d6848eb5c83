"""A call of a public function: its arguments, what it writes to, what it should give."""

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
        What is called, for the report.
    function : callable
        Takes the arguments, a dictionary, and gives nested results.
    arguments : dict
        By name: arrays, numbers, and lists of them.
    expected : callable
        Takes the arguments with float64 for every float; gives the results, and by name what is
        written to an argument. None for arguments that it has no answer to.
    written : set of str
        The arguments that are written to.
    limits : dict
        Arguments of ids or lengths, with the least and the most that each may be.
    terms : int
        The longest sum of one element, for the tolerance.
    words : set of str
        What a message may name besides the arguments.
    workspace : Workspace or None
        That of the call.
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
    hostile: bool = True  # whether its arguments may be changed to hostile ones
    fixed: set[str] = field(default_factory=set)  # whose values are those of an earlier call


def items(value: Any) -> Iterator[Any]:
    """The items of a list or tuple, without the code of a hostile one."""
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
    """The same nesting of new lists and dictionaries, with each element changed."""
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
    """What lies at the path."""
    value: Any = arguments
    for key in path:
        value = value[key]
    return value


def put(arguments: Arguments, path: Path, value: Any) -> None:
    """Replace what lies at the path."""
    get(arguments, path[:-1])[path[-1]] = value


class Draw:
    """Arguments of a call: sizes, arrays, choices."""

    def __init__(self, rng: np.random.Generator, large: bool = False) -> None:
        self.rng = rng
        self.large = large
        self.empty = False

    def size(self, least: int = 0) -> int:
        """A size of an axis; seldom 0."""
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
        """A matrix that keeps the size of what it multiplies."""
        return self.floats(*shape, scale=1 / np.sqrt(max(shape[0], 1)))

    def output(self, *shape: int) -> Array:
        """What is to be written to."""
        return np.full(shape, np.nan, np.float32)

    def ids(self, count: int, *shape: int) -> Array:
        """Ids below a count of at least 1."""
        return np.asarray(self.rng.integers(0, count, shape))

    def lengths(self, rows: int, least: int, most: int) -> Array | None:
        """Lengths of the rows, each from `least` to `most`; or None."""
        return None if self.maybe() else self.rng.integers(least, most + 1, rows)

    def maybe(self, probability: float = 0.5) -> bool:
        """Whether to do it."""
        return bool(self.rng.random() < probability)

    def choice(self, *values: Any) -> Any:
        """One of the values."""
        return values[self.rng.integers(len(values))]

    def number(self, *values: float) -> float:
        """A float that float32 holds exactly."""
        return float(np.float32(self.choice(*values)))
