"""Hostile mutations of the arguments of a call, and the expected effect of each."""

import enum
import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastseq import _kernels
from support.kernels.hostile_values import Converting, Counting, raise_own_error, read_only

from . import values
from .case import Arguments, Array, Case, Draw, Path, copied, get, leaves, put


class Effect(enum.IntEnum):
    """The expected outcome of a call; that of its worst argument counts."""

    SAME = 0  # the results of the reference
    EITHER = 1  # these, or a documented exception
    ANY = 2  # any results, or a documented exception
    REFUSED = 3  # a documented exception


@dataclass
class Mutated:
    """A call's arguments after hostile changes.

    Attributes
    ----------
    case : Case
    hostile : dict
        The arguments of the call.
    plain : dict
        The same values as plain arrays.
    effect : Effect
    finite : bool
        Whether all values are finite.
    shared : bool
        Whether an input may change, because it shares memory with an output.
    changes : list of str
    taken : list of path
        The arguments that are not mutated again.
    items : dict
        By name, the original items of a hostile list.
    """

    case: Case
    hostile: Arguments
    plain: Arguments
    effect: Effect = Effect.SAME
    finite: bool = True
    shared: bool = False
    changes: list[str] = field(default_factory=list)
    taken: list[Path] = field(default_factory=list)
    items: dict[str, list[Any]] = field(default_factory=dict)


Mutation = Callable[[Draw, Mutated, Path], Effect | None]


def mutate(draw: Draw, case: Case, count: int) -> Mutated:
    """Apply `count` mutations to different arguments."""
    mutated = Mutated(case, copied(case.arguments), copied(case.arguments))
    effects = [Effect.EITHER if case.empty or draw.empty else Effect.SAME]
    for _ in range(count):
        paths = [path for path, _ in leaves(case.arguments)]
        paths += [(name,) for name, value in case.arguments.items() if isinstance(value, list)] * 2
        paths = [path for path in paths if not any(_within(path, one) for one in mutated.taken)]
        if not paths:
            break
        path = paths[draw.rng.integers(len(paths))]
        value = get(mutated.hostile, path)
        mutation = draw.choice(*_mutations_of(value))
        effect = mutation(draw, mutated, path)
        if effect is not None:
            mutated.taken.append(path)
            effects.append(effect)
            mutated.changes.append(f"{mutation.__name__}({'.'.join(map(str, path))})")
    mutated.effect = max(effects)
    if Effect.ANY in effects:  # the mutation of another argument may make the refused one valid
        mutated.effect = Effect.ANY
    return mutated


def _mutations_of(value: Any) -> list[Mutation]:
    if isinstance(value, np.ndarray):
        return ARRAYS
    return LISTS if isinstance(value, list) else SCALARS


def _within(one: Path, other: Path) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _written(mutated: Mutated, path: Path) -> bool:
    return path[0] in mutated.case.written


# ---- mutations of arrays ----


def layout(draw: Draw, mutated: Mutated, path: Path) -> Effect | None:
    """The same values in another memory layout."""
    name = draw.choice(*values.LAYOUTS)
    put(mutated.hostile, path, values.LAYOUTS[name](get(mutated.hostile, path)))
    return Effect.SAME


def dtype(draw: Draw, mutated: Mutated, path: Path) -> Effect | None:
    """The same values in another dtype."""
    array = get(mutated.hostile, path)
    kinds = values.FLOATS if array.dtype.kind == "f" else values.INTEGERS
    other = array.astype(draw.choice(*kinds))
    if not np.array_equal(other, array, equal_nan=array.dtype.kind == "f"):
        return None
    put(mutated.hostile, path, other)
    return Effect.SAME


def not_writeable(draw: Draw, mutated: Mutated, path: Path) -> Effect | None:
    """Read-only memory."""
    put(mutated.hostile, path, read_only(get(mutated.hostile, path)))
    return Effect.REFUSED if _written(mutated, path) else Effect.SAME


def converting(draw: Draw, mutated: Mutated, path: Path) -> Effect | None:
    """An object that converts to the values, at least the first time."""
    array = get(mutated.hostile, path)
    if array.size == 0:
        return None  # an empty list does not have the shape
    name = draw.choice(*values.OBJECTS)
    others = list(values.no_numbers(array).values())
    others += [make() for make in _shapes(draw, array, "huge")]
    others += [np.zeros(1, array.dtype), np.zeros_like(array)] * 3
    if array.dtype.kind in "iu":
        others += [np.full_like(array, value) for value in (100, -1)] * 3
    put(mutated.hostile, path, values.OBJECTS[name](array, draw.choice(*others)))
    if _written(mutated, path):
        return Effect.ANY
    return Effect.EITHER


def meddling(draw: Draw, mutated: Mutated, path: Path) -> Effect | None:
    """An object whose conversion changes arguments, the workspace or settings."""
    array, workspace = get(mutated.hostile, path), mutated.case.workspace
    arrays = [each for _, each in leaves(mutated.hostile) if isinstance(each, np.ndarray)]
    lists = [each for each in mutated.hostile.values() if isinstance(each, list)]
    other = draw.choice(*arrays)
    shape = draw.choice((-1,), (1, -1), (-1, 1), other.shape[::-1])

    def reshape() -> None:
        try:
            other.shape = shape
        except (ValueError, AttributeError):  # its strides do not allow it
            return

    def run_another() -> None:
        weights = [np.zeros(size, np.float32) for size in ((2, 12), (3, 12), (12,))]
        _kernels.recurrent_forward(workspace, "lstm", np.zeros((1, 1, 2)), weights)

    def shorten() -> None:
        for each in lists:
            del each[1:]

    def lengthen() -> None:
        for each in lists:
            each.extend([None] * 9)

    actions: dict[str, tuple[Callable[[], Any], Effect]] = {
        "reshape": (reshape, Effect.ANY),
        "shorten": (shorten, Effect.ANY),
        "lengthen": (lengthen, Effect.ANY),
        "threads": (lambda: _kernels.set_num_threads(draw.choice(1, 64)), Effect.EITHER),
        "isa": (lambda: _kernels.set_isa(_kernels.available_isas()[0]), Effect.EITHER),
        "collect": (gc.collect, Effect.EITHER),
        "raise": (raise_own_error, Effect.ANY),
    }
    if workspace is not None:
        actions["release"] = workspace.release, Effect.EITHER
        actions["run_another"] = run_another, Effect.EITHER
    name = draw.choice(*actions)
    action, effect = actions[name]
    put(mutated.hostile, path, Converting(array, action=action))
    mutated.shared |= name == "reshape"
    return Effect.ANY if _written(mutated, path) else effect


def no_number(draw: Draw, mutated: Mutated, path: Path) -> Effect | None:
    """A dtype other than real numbers; for ids, than integers; for outputs, than floats."""
    array = get(mutated.hostile, path)
    choices = list(values.no_numbers(array).values())
    if path[0] in mutated.case.limits:
        choices.append(array.astype(np.float32))
    if _written(mutated, path):
        choices.append(np.zeros(array.shape, np.int64))
    put(mutated.hostile, path, draw.choice(*choices))
    return Effect.REFUSED


def _shapes(draw: Draw, array: Array, prefix: str = "") -> list[Callable[[], Array]]:
    makers = values.other_shapes(array)
    if array.ndim == 0:
        return [makers["rank_more"]]
    return [make for name, make in makers.items() if name.startswith(prefix)]


def shape(draw: Draw, mutated: Mutated, path: Path) -> Effect | None:
    """Another shape, valid or not."""
    put(mutated.hostile, path, draw.choice(*_shapes(draw, get(mutated.hostile, path)))())
    return Effect.ANY


def wrong(draw: Draw, mutated: Mutated, path: Path) -> Effect | None:
    """Not an array."""
    put(mutated.hostile, path, draw.choice(*values.WRONG))
    return Effect.ANY


def special(draw: Draw, mutated: Mutated, path: Path) -> Effect | None:
    """NaN, infinities, denormals, zeros; for ids, values out of range."""
    array = get(mutated.hostile, path)
    if (
        mutated.shared
        or path[0] in mutated.case.fixed
        or array.size == 0
        or (_written(mutated, path) and np.isnan(array).any())
    ):
        return None
    index = int(draw.rng.integers(array.size))
    if array.dtype.kind != "f":
        if path[0] not in mutated.case.limits:
            return None
        _, most = mutated.case.limits[str(path[0])]
        value = draw.choice(-1, most + 1, 2**31, 2**63 - 1, -(2**63), 2**63)
        if value == 2**63:
            array = array.astype(np.uint64)
        array.flat[index] = value
        put(mutated.hostile, path, array)
        return Effect.REFUSED
    value = draw.choice(np.nan, np.inf, -np.inf, 1e-40, -1e-45, 0.0, -0.0)
    if value < 0 and _written(mutated, path):
        value = -value  # the state of an optimizer may be a sum of squares, which is not negative
    mutated.finite &= bool(np.isfinite(value))
    for given in (mutated.hostile, mutated.plain):
        get(given, path).flat[index] = value
    return Effect.SAME


def overlap(draw: Draw, mutated: Mutated, path: Path) -> Effect | None:
    """An output in the memory of an input, or of another output."""
    array = get(mutated.hostile, path)
    others = [
        (other, each)
        for other, each in leaves(mutated.hostile)
        if type(each) is np.ndarray
        and each.dtype == array.dtype == np.float32
        and each.size >= array.size > 0
        and each.flags.c_contiguous
        and other[0] != "arrays"  # `scale` processes them one after the other
        and not any(_within(other, each) for each in (path, *mutated.taken))
    ]
    if not _written(mutated, path) or not others:
        return None
    other, memory = draw.choice(*others)
    start = int(draw.rng.integers(memory.size - array.size + 1))
    view = memory.reshape(-1)[start : start + array.size].reshape(array.shape)
    put(mutated.hostile, path, view)
    put(mutated.plain, path, view.copy())
    mutated.shared = True
    mutated.taken.append(other)
    if "params" in mutated.case.written and path[1] != other[1]:
        return Effect.ANY  # an optimizer updates parameters one after the other
    return Effect.REFUSED if _written(mutated, other) else Effect.EITHER


def folded(draw: Draw, mutated: Mutated, path: Path) -> Effect | None:
    """An output that overlaps itself."""
    array = get(mutated.hostile, path)
    if not _written(mutated, path) or array.ndim < 2 or array.shape[0] < 2 or not array.size:
        return None
    put(mutated.hostile, path, values.folded(array))
    mutated.shared = True
    return Effect.REFUSED


# ---- mutations of lists ----


def other_list(draw: Draw, mutated: Mutated, path: Path) -> Effect | None:
    """The same items in another iterable."""
    items = get(mutated.hostile, path)
    mutated.items[str(path[0])] = items
    kind = draw.choice(tuple, values.Growing, values.Shrinking, iter)
    put(mutated.hostile, path, kind(items))
    return Effect.EITHER


def other_items(draw: Draw, mutated: Mutated, path: Path) -> Effect | None:
    """More, fewer or other items."""
    items = get(mutated.hostile, path)
    wrong_things = [None, 3, "text", {}, [[]], [[1.0], [2.0, 3.0]]]
    changed = [items[:-1], items[:1], [], items * 2, items * 3, [*items, None], items[::-1]]
    put(mutated.hostile, path, draw.choice(*changed, *wrong_things))
    return Effect.ANY


# ---- mutations of numbers, names and None ----


def same_number(draw: Draw, mutated: Mutated, path: Path) -> Effect | None:
    """The same number as another type."""
    value = get(mutated.hostile, path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        choices = [np.float64(value), np.float32(value), np.float16(value), np.array(value)]
        choices.append(values.Number(value))
    else:
        choices = [np.int64(value) if abs(value) < 2**63 else value]
        choices += [Counting(value), Counting(value, -5)]
        # not for a number of generated words, which could become huge
        if path[0] != "generate.sample_size":
            choices += [Counting(value, 2**40), np.array(value)]
    put(mutated.hostile, path, other := draw.choice(*choices))
    return Effect.ANY if isinstance(other, values.Number) else Effect.EITHER


def wrong_number(draw: Draw, mutated: Mutated, path: Path) -> Effect | None:
    """Not a number, or one out of range."""
    value = get(mutated.hostile, path)
    if isinstance(value, bool):
        choices: tuple[Any, ...] = (None, 1, "yes", [])  # also valid truth values
    elif isinstance(value, float):
        choices = (*values.WRONG_NUMBERS, np.nan, np.inf, 1e300, 10**400, None)
    else:
        beyond = (*values.INTEGERS_BEYOND, values.Between(2**40), 2.5, None)
        choices = (*values.WRONG_NUMBERS, *beyond)
    if path[0] == "generate.sample_size":  # a huge number of words would be generated
        choices = (*values.WRONG_NUMBERS, None, 2.5, -1, -(2**63))
    put(mutated.hostile, path, draw.choice(*choices))
    mutated.finite = False
    return Effect.ANY


ARRAYS: list[Mutation] = [
    layout, layout, dtype, not_writeable, converting, meddling, meddling, no_number, shape, shape,
    wrong, special, special, overlap, overlap, folded,
]  # fmt: skip
LISTS: list[Mutation] = [other_list, other_items]
SCALARS: list[Mutation] = [same_number, wrong_number]
