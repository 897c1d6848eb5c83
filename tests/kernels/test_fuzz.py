"""A short run of the fuzzer, and tests that it detects each kind of finding."""

from typing import Any

import numpy as np
import pytest

import fastseq
import fuzz.run
from fastseq import _kernels
from fuzz.case import Case, Draw
from fuzz.judge import judge
from fuzz.mutations import Effect, Mutated, mutate
from support.processes import SANITIZED

CALLS = 1500

not_sanitized = pytest.mark.skipif(
    SANITIZED, reason="`make fuzz-sanitize` limits the memory and time of a call for it"
)


@not_sanitized
def test_no_call_of_a_short_run_is_a_finding() -> None:
    options = fuzz.run.parsed(["--calls", str(CALLS), "--quiet"])
    report = fuzz.run.fuzz(options)
    findings = [fuzz.run.shown(each, options) for each in report.findings]
    assert not findings, "\n".join(findings[:20])
    assert report.counts.total() == CALLS


# Public names without a fuzz call, and the reason.
SETTINGS = "returns a setting; without arguments"
PART = "an argument or a result of other calls"
TRAINING = "runs a whole training or evaluation; tested in tests/training and tests/transducer"
TEXT = "Python code for texts and plain NumPy, without kernels; tested in tests/training"
NOT_FUZZED = {
    _kernels: {
        **dict.fromkeys(("available_isas", "bfloat16_isas", "isa", "get_num_threads"), SETTINGS),
        **dict.fromkeys(("get_precision", "build_info"), SETTINGS),
        **dict.fromkeys(("Workspace", "Decoded", "Found", "Cell"), PART),
    },
    fastseq: {
        **dict.fromkeys(("get_num_threads", "get_precision", "show_config"), SETTINGS),
        **dict.fromkeys(
            (
                *("Trainer", "RnnlmTrainer", "Transducer", "Ensemble"),
                *("eval_perplexity", "eval_seq2seq"),
            ),
            TRAINING,
        ),
        **dict.fromkeys(
            (
                *("analogy", "convert_one_hot", "cos_similarity", "create_co_matrix"),
                *("create_contexts_target", "most_similar", "normalize", "ppmi", "preprocess"),
                *("remove_duplicate", "to_cpu", "to_gpu"),
            ),
            TEXT,
        ),
        "UnknownSymbolWarning": "a warning",
        "BaseModel": "has no forward pass of its own; its subclasses are called",
    },
}


def public_callables(module: Any) -> set[str]:
    return {name for name in module.__all__ if callable(getattr(module, name))}


@pytest.mark.parametrize("module", NOT_FUZZED, ids=lambda module: module.__name__)
def test_every_public_function_and_class_has_a_fuzz_call(module: Any) -> None:
    called = {name.removeprefix("layers.") for name in fuzz.run.strategies()}
    public = public_callables(module)
    excluded = set(NOT_FUZZED[module])
    assert public - called == excluded
    assert len(public & called) > 30


def test_a_call_is_repeated_by_its_number() -> None:
    strategy = fuzz.run.strategies()["recurrent_forward"]
    one, two = (strategy(Draw(np.random.default_rng([0, 7]))) for _ in range(2))
    np.testing.assert_equal(one.arguments, two.arguments)


# ---- each kind of finding ----


def verdict(function: Any, effect: Effect, **changes: Any) -> str | None:
    """The finding in a call of a function whose expected result is twice its argument x."""
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


@pytest.mark.usefixtures("float32_products")
def test_each_kind_of_finding_is_detected() -> None:
    assert verdict(scaled(2), Effect.SAME) is None
    assert "elements differ" in str(verdict(scaled(2.001), Effect.SAME))
    assert "elements differ" in str(verdict(scaled(2.001), Effect.EITHER))
    assert verdict(scaled(3), Effect.ANY) is None
    assert "accepted invalid" in str(verdict(scaled(2), Effect.REFUSED))
    assert "x was modified" in str(verdict(writing, Effect.ANY))
    assert verdict(raising(ValueError("x: wrong")), Effect.REFUSED) is None
    assert verdict(raising(ValueError("x: wrong")), Effect.EITHER) is None
    assert "valid arguments" in str(verdict(raising(ValueError("x: wrong")), Effect.SAME))
    assert "names no argument" in str(verdict(raising(ValueError("wrong")), Effect.ANY))
    assert "undocumented" in str(verdict(raising(SystemError("x")), Effect.ANY))
    assert "undocumented" in str(verdict(raising(OverflowError("x")), Effect.ANY))


@pytest.mark.skipif(
    _kernels.get_precision() != "float32", reason="the errors are within bfloat16's tolerance"
)
def test_a_wrong_result_of_any_function_is_detected() -> None:
    for name, strategy in fuzz.run.strategies().items():
        detected = 0
        for number in range(40):
            case = strategy(Draw(np.random.default_rng([1, number])))
            right = case.function

            def wrong(given: Any, right: Any = right) -> Any:
                return spoiled(right(given))

            case.function = wrong
            finding = judge(mutate(Draw(np.random.default_rng(0)), case, 0), compare=True).finding
            detected += finding is not None
            if detected:
                break
        writes_only = case.written and case.expected(case.arguments)[0] is None
        without_floats = name.startswith(("set_", "exchange_")) or name == "CELLS"
        assert detected or writes_only or without_floats, name


def spoiled(result: Any) -> Any:
    """The result with an error of 1 % in each of its floats."""
    if isinstance(result, list | tuple):
        return [spoiled(each) for each in result]
    return result * 1.01 if isinstance(result, np.ndarray | np.floating | float) else result


@not_sanitized
@pytest.mark.parametrize(("name", "text"), [("die", "child died"), ("hang", "hangs for 1 s")])
def test_a_call_that_never_returns_is_found_and_the_others_run(name: str, text: str) -> None:
    arguments = ["--calls", "6", "--only", f"scale,{name}", "--timeout", "1", "--quiet"]
    report = fuzz.run.fuzz(fuzz.run.parsed([*arguments, "--seed", "3"]))
    assert report.counts.total() == 6
    found = [each for each in report.findings if each["name"] == name]
    assert 0 < len(found) < 6
    assert all(text in each["finding"] for each in found)
    assert len({each["call"] for each in found}) == len(found)
