"""A short part of the fuzzer, and that it notices what it is there to notice."""

from typing import Any

import numpy as np
import pytest

import fuzz.run
from fastseq import _kernels
from fuzz.case import Case, Draw
from fuzz.judge import judge
from fuzz.mutations import Effect, Mutated, mutate

CALLS = 1500


def test_no_call_of_a_short_run_is_a_finding() -> None:
    options = fuzz.run.parsed(["--calls", str(CALLS), "--quiet"])
    report = fuzz.run.fuzz(options)
    findings = [fuzz.run.shown(each, options.seed) for each in report.findings]
    assert not findings, "\n".join(findings[:20])
    assert report.counts.total() == CALLS


def test_every_public_function_of_the_kernels_is_called() -> None:
    public = {
        name
        for name, value in vars(_kernels).items()
        if not name.startswith("_")
        and callable(value)
        and str(getattr(value, "__module__", "")).startswith("fastseq._kernels")
    }
    assert {"exp", "adam_step"} <= public
    reading = {"available_isas", "isa", "get_num_threads", "build_info"}
    others = {"Workspace", "Decoded", "Cell"}  # which other calls take, and give
    assert public - reading - others <= set(fuzz.run.strategies())


def test_a_call_is_repeated_by_its_number() -> None:
    strategy = fuzz.run.strategies()["recurrent_forward"]
    one, two = (strategy(Draw(np.random.default_rng([0, 7]))) for _ in range(2))
    np.testing.assert_equal(one.arguments, two.arguments)


# ---- each kind of finding ----


def verdict(function: Any, effect: Effect, **changes: Any) -> str | None:
    """What is found in a call of this function, which is to give twice its argument x."""
    arguments = {"x": np.ones(3, np.float32)}
    case = Case("double", function, arguments, lambda given: (2 * given["x"], {}))
    mutated = Mutated(case, dict(arguments), dict(arguments), effect)
    return judge(mutated, **{"compare": True} | changes).finding


def raising(error: Exception) -> Any:
    def function(given: Any) -> None:
        raise error

    return function


def scaled(factor: float) -> Any:
    return lambda given: factor * given["x"]


def writing(given: Any) -> Any:
    given["x"][0] = 5
    return 2 * given["x"]


def test_each_kind_of_finding_is_noticed() -> None:
    assert verdict(scaled(2), Effect.SAME) is None
    assert "elements differ" in str(verdict(scaled(2.001), Effect.SAME))
    assert "elements differ" in str(verdict(scaled(2.001), Effect.EITHER))
    assert verdict(scaled(3), Effect.ANY) is None
    assert "to be refused" in str(verdict(scaled(2), Effect.REFUSED))
    assert "x was modified" in str(verdict(writing, Effect.ANY))
    assert verdict(raising(ValueError("x: wrong")), Effect.REFUSED) is None
    assert verdict(raising(ValueError("x: wrong")), Effect.EITHER) is None
    assert "valid arguments" in str(verdict(raising(ValueError("x: wrong")), Effect.SAME))
    assert "names no argument" in str(verdict(raising(ValueError("wrong")), Effect.ANY))
    assert "undocumented" in str(verdict(raising(SystemError("x")), Effect.ANY))
    assert "undocumented" in str(verdict(raising(OverflowError("x")), Effect.ANY))


def test_a_wrong_number_of_any_function_is_noticed() -> None:
    for name, strategy in fuzz.run.strategies().items():
        noticed = 0
        for number in range(40):
            case = strategy(Draw(np.random.default_rng([1, number])))
            right = case.function

            def wrong(given: Any, right: Any = right) -> Any:
                return spoiled(right(given))

            case.function = wrong
            finding = judge(mutate(Draw(np.random.default_rng(0)), case, 0), compare=True).finding
            noticed += finding is not None
            if noticed:
                break
        writes_only = case.written and case.expected(case.arguments)[0] is None
        without_floats = name.startswith("set_") or name == "CELLS"
        assert noticed or writes_only or without_floats, name


def spoiled(result: Any) -> Any:
    """The result with each of its floats a hundredth off."""
    if isinstance(result, list | tuple):
        return [spoiled(each) for each in result]
    return result * 1.01 if isinstance(result, np.ndarray | np.floating | float) else result


@pytest.mark.parametrize(("name", "text"), [("die", "child died"), ("hang", "hangs for 1 s")])
def test_a_call_that_never_returns_is_found_and_the_others_run(name: str, text: str) -> None:
    arguments = ["--calls", "6", "--only", f"scale,{name}", "--timeout", "1", "--quiet"]
    report = fuzz.run.fuzz(fuzz.run.parsed([*arguments, "--seed", "3"]))
    assert report.counts.total() == 6
    found = [each for each in report.findings if each["name"] == name]
    assert 0 < len(found) < 6
    assert all(text in each["finding"] for each in found)
    assert len({each["call"] for each in found}) == len(found)
