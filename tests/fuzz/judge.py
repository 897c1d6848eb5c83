"""Runs one call, and decides whether its outcome is documented."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from support.helpers import assert_close, float32_tolerance
from support.kernels.hostile_values import DOCUMENTED, OwnError

from .case import Case, Path, items, leaves, widened
from .mutations import Effect, Mutated


@dataclass
class Verdict:
    """The outcome of a call, and the finding if the outcome is not a documented one."""

    outcome: str
    finding: str | None = None


def judge(mutated: Mutated, compare: bool) -> Verdict:
    """Run the call; compare the results if `compare`, that is, if no thread writes to arguments."""
    case = mutated.case
    before = {
        path: (array, array.copy())
        for path, array in leaves(mutated.hostile)
        if isinstance(array, np.ndarray) and type(array) is np.ndarray and array.size < 2**20
    }
    try:
        result = case.function(mutated.hostile)
    except OwnError:
        return Verdict("own exception")
    except DOCUMENTED as error:
        return _refused(mutated, error, before, compare)
    except Exception as error:
        return Verdict("crash", f"undocumented {type(error).__name__}: {error}")
    if not compare:
        return Verdict("returned")
    if mutated.effect is Effect.REFUSED:
        return Verdict("returned", "accepted invalid arguments")
    problem = _unmodified(case, before, mutated, case.written)
    if problem is None and mutated.effect <= Effect.EITHER:
        problem = _compared(mutated, result)
        return Verdict("right numbers" if problem is None else "wrong", problem)
    return Verdict("returned", problem)


def _refused(mutated: Mutated, error: Exception, before: Any, compare: bool) -> Verdict:
    outcome = type(error).__name__.replace("_ArrayMemoryError", "MemoryError")
    if compare and mutated.effect is Effect.SAME:
        return Verdict(outcome, f"refused valid arguments: {type(error).__name__}: {error}")
    # a MemoryError may be about a result
    if not isinstance(error, MemoryError) and not _names(mutated.case, str(error)):
        return Verdict(outcome, f"names no argument: {type(error).__name__}: {error}")
    if compare and mutated.case.hostile and not isinstance(error, MemoryError):
        problem = _unmodified(mutated.case, before, mutated, set())
        return Verdict(outcome, problem and f"{problem}, though refused: {error}")
    return Verdict(outcome)


def argument_names(case: Case) -> set[str]:
    """The names that a message may contain."""
    names = {str(key) for path, _ in leaves(case.arguments) for key in path}
    names |= {str(key).rpartition(".")[2] for key in case.arguments} | case.words
    return {name for name in names if not name.isdigit()}


def _names(case: Case, message: str) -> bool:
    words = set(re.findall(r"[A-Za-z_]\w*", message))
    return bool(words & argument_names(case))


def _unmodified(case: Case, before: Any, mutated: Mutated, written: set[str]) -> str | None:
    """The first argument that was modified and must not be."""
    if mutated.shared and written:
        return None
    for path, (array, copy) in before.items():
        if path[0] in written:
            continue
        same = array.shape == copy.shape and array.tobytes() == copy.tobytes()
        if not same and not mutated.shared:
            return f"{_text(path)} was modified"
    return None


def _text(path: Path) -> str:
    return ".".join(map(str, path))


def _compared(mutated: Mutated, result: Any) -> str | None:
    """The first difference of results or outputs from those of the reference."""
    case = mutated.case
    with np.errstate(all="ignore"):
        try:
            expected = case.expected(widened(mutated.plain))
        except (ZeroDivisionError, ValueError, IndexError):
            if mutated.effect is Effect.EITHER:
                return None  # the reference does not support sizes of 0
            raise
    if expected is None:
        return None
    right, written = expected
    problem = _differ("result", result, right, mutated)
    for name, value in written.items():
        problem = problem or _differ(
            name, mutated.items.get(name, mutated.hostile[name]), value, mutated
        )
    return problem


def _differ(name: str, actual: Any, expected: Any, mutated: Mutated) -> str | None:
    actual, expected = dict(leaves(actual, (name,))), dict(leaves(expected, (name,)))
    if actual.keys() != expected.keys():
        return f"{name}: other elements: {len(actual)} for {len(expected)}"
    for path, right in expected.items():
        value = actual[path]
        if right is None or value is None or isinstance(right, str):
            if value is not right and value != right:
                return f"{_text(path)}: {value!r} for {right!r}"
            continue
        right = np.asarray(right)
        if not isinstance(value, np.ndarray | np.generic | int | float):
            continue  # the output was replaced by another object
        try:
            _close(np.asarray(value), right, mutated)
        except AssertionError as error:
            return f"{_text(path)}: {error}"
    return None


def _close(actual: Any, expected: Any, mutated: Mutated) -> None:
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(actual, expected)
        return
    if actual.shape != expected.shape:
        raise AssertionError(f"shape {actual.shape} for {expected.shape}")
    if not mutated.finite:
        # Infinity times zero is NaN, but BLAS skips some products with zero, and the kernels treat
        # denormals as zero. So either result may be NaN while the other is not.
        known = np.isfinite(expected) & ~np.isnan(actual)
        actual, expected = actual[known], expected[known]
    finite = expected[np.isfinite(expected)]
    magnitude = max(1.0, float(np.abs(finite).max(initial=0)))
    assert_close(actual, expected, **float32_tolerance(mutated.case.terms, magnitude))


def described(mutated: Mutated) -> str:
    """A short description of the call."""

    def short(value: Any) -> str:
        if isinstance(value, np.ndarray):
            array = value.view(np.ndarray)
            return f"{array.dtype}{list(array.shape)}"
        if isinstance(value, list | tuple):
            return f"[{', '.join(short(each) for each in items(value))}]"
        if type(value) is dict:
            return f"{{{', '.join(f'{name}: {short(each)}' for name, each in value.items())}}}"
        text = repr(value) if not hasattr(value, "__array__") else type(value).__name__
        return text if len(text) < 60 else f"{text[:57]}..."

    arguments = ", ".join(f"{name}={short(value)}" for name, value in mutated.hostile.items())
    return f"{mutated.case.name}({arguments}) changes={mutated.changes} {mutated.effect.name}"
