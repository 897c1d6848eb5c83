"""The losses with the textbook's 1e-7 in them against the reference, on every instruction set."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq_reference
from fastseq.layers import (
    SigmoidWithLoss,
    Simple_TimeSoftmaxWithLoss,
    SoftmaxWithLoss,
    TimeSigmoidWithLoss,
    TimeSoftmaxWithLoss,
)
from support.helpers import SIZES, assert_close, float32_tolerance

Array = npt.NDArray[Any]

# Name: the class, and how many axes its scores have.
LOSSES = {
    "SoftmaxWithLoss": (SoftmaxWithLoss, 2),
    "Simple_TimeSoftmaxWithLoss": (Simple_TimeSoftmaxWithLoss, 3),
    "SigmoidWithLoss": (SigmoidWithLoss, 1),
    "TimeSigmoidWithLoss": (TimeSigmoidWithLoss, 2),
}
SOFTMAX = ["SoftmaxWithLoss", "Simple_TimeSoftmaxWithLoss"]
SHAPES = {
    1: [*[(N,) for N in SIZES], (300,)],
    2: [*[(N, 5) for N in SIZES], *[(3, V) for V in SIZES], (33, 130)],
    3: [*[(2, T, 7) for T in SIZES], *[(3, 4, V) for V in SIZES], (17, 9, 59)],
}
CASES = [(name, shape) for name, (_, axes) in LOSSES.items() for shape in SHAPES[axes]]
every_loss = pytest.mark.parametrize("name", LOSSES)


def arguments(name: str, shape: tuple[int, ...] | None = None) -> tuple[Array, Array]:
    """Scores and labels."""
    shape = shape or (5, 6, 9)[-LOSSES[name][1] :]
    rng = np.random.default_rng(shape)
    x = (3 * rng.normal(size=shape)).astype(np.float32)
    if name in SOFTMAX:
        return x, rng.integers(0, shape[-1], size=shape[:-1])
    return x, rng.integers(0, 2, size=shape)


def make(name: str) -> Any:
    return LOSSES[name][0]()


def run(layer: Any, x: Array, t: Array, dout: float = 1) -> tuple[float, Array]:
    return layer.forward(x, t), layer.backward(dout)


def run_both(name: str, shape: tuple[int, ...] | None = None) -> tuple[Any, Any, int]:
    x, t = arguments(name, shape)
    twin = getattr(fastseq_reference, name)()
    return run(make(name), x, t), run(twin, x.astype(np.float64), t), t.size


def assert_results_close(actual: Any, expected: Any, rows: int) -> None:
    columns = expected[1].size // rows
    assert_close(actual[0], expected[0], **float32_tolerance(columns + rows, products=0))
    # every element is a difference of numbers below 1 / rows, so it is compared on that scale
    assert_close(actual[1] * rows, expected[1] * rows, **float32_tolerance(columns, products=0))


@pytest.mark.parametrize(("name", "shape"), CASES, ids=str)
def test_is_the_reference(isa: str, name: str, shape: tuple[int, ...]) -> None:
    actual, expected, rows = run_both(name, shape)
    assert isinstance(actual[0], float)
    assert actual[1].dtype == np.float32
    assert_results_close(actual, expected, rows)


@every_loss
@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0])
def test_comparison_notices_one_wrong_element(isa: str, name: str, factor: float) -> None:
    actual, (loss, dx), rows = run_both(name)
    wrong = dx.copy()
    wrong.flat[np.abs(dx).argmax()] *= factor
    for expected in ((loss, wrong), (loss * factor, dx)):
        with pytest.raises(AssertionError):
            assert_results_close(actual, expected, rows)


def test_over_time_is_over_all_rows(isa: str) -> None:
    x, t = arguments("Simple_TimeSoftmaxWithLoss")
    loss, dx = run(Simple_TimeSoftmaxWithLoss(), x, t)
    rows = run(SoftmaxWithLoss(), x.reshape(-1, 9), t.reshape(-1))
    assert loss == rows[0]
    assert np.array_equal(dx.reshape(-1, 9), rows[1])
    loss, dx = run(Simple_TimeSoftmaxWithLoss(), x / 3, t)
    other = run(TimeSoftmaxWithLoss(), x / 3, t)  # without the 1e-7, of probabilities above 1e-3
    assert_close(loss, other[0], rtol=1e-4, atol=0)
    assert_close(dx, other[1], **float32_tolerance(9, products=0))

    x, t = arguments("TimeSigmoidWithLoss")
    loss, dx = run(TimeSigmoidWithLoss(), x, t)
    rows = run(SigmoidWithLoss(), x.reshape(-1), t.reshape(-1))
    assert loss == rows[0]
    assert np.array_equal(dx.reshape(-1), rows[1])


@pytest.mark.parametrize("name", SOFTMAX)
def test_one_hot_labels(isa: str, name: str) -> None:
    x, t = arguments(name)
    loss, dx = run(make(name), x, t)
    for dtype in (np.float32, np.int8, bool):
        other_loss, other_dx = run(make(name), x, np.eye(9, dtype=dtype)[t])
        assert other_loss == loss
        assert np.array_equal(other_dx, dx)


@every_loss
@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i4", "<u8"])
def test_any_integer_dtype(isa: str, name: str, dtype: str) -> None:
    x, t = arguments(name)
    loss, dx = run(make(name), x, t)
    other_loss, other_dx = run(make(name), x, t.astype(dtype))
    assert other_loss == loss
    assert np.array_equal(other_dx, dx)


@every_loss
def test_awkward_inputs(isa: str, name: str, awkward: Callable[[Array], Array]) -> None:
    x, t = arguments(name)
    strange = awkward(t)
    loss, dx = run(make(name), x, t)
    other = run(make(name), awkward(x), strange if strange.dtype.kind == "i" else t)
    assert other[0] == loss
    assert np.array_equal(other[1], dx)


@every_loss
@pytest.mark.parametrize("dout", [2, 0.25, np.float32(-3), 0])
def test_gradient_is_scaled(isa: str, name: str, dout: float) -> None:
    x, t = arguments(name)
    dx = run(make(name), x, t)[1]
    assert_close(run(make(name), x, t, dout)[1], dx * np.float32(dout), rtol=1e-6, atol=0)


@every_loss
def test_certain_and_wrong_is_the_logarithm_of_1e_7(isa: str, name: str) -> None:
    _, t = arguments(name)
    wrong = np.where(t == 0, 1, 0)
    if name in SOFTMAX:
        loss, dx = run(make(name), 1000 * np.eye(9)[t], wrong)
    else:
        loss, dx = run(make(name), np.where(t == 1, 1000, -1000), wrong)
    assert_close(loss, -np.log(1e-7), rtol=1e-6, atol=0)
    assert np.isfinite(dx).all()


@every_loss
def test_nan_is_not_hidden(isa: str, name: str) -> None:
    x, t = arguments(name)
    x[(0,) * x.ndim] = np.nan
    loss, dx = run(make(name), x, t)
    assert np.isnan(loss)
    assert np.isnan(dx[(0,) * x.ndim])
    assert not np.isnan(dx[1:]).any()


@every_loss
def test_caller_may_modify_inputs_and_gradient_before_backward(isa: str, name: str) -> None:
    x, t = arguments(name)
    expected = run(make(name), x, t)[1]
    layer = make(name)
    assert layer.params == []
    assert layer.grads == []
    with pytest.raises(RuntimeError, match="before forward"):
        layer.backward()
    layer.forward(x, t)
    x[...] = 7
    t[...] = 0
    first = layer.backward()
    kept = first.copy()
    layer.backward()[...] = 7
    assert np.array_equal(layer.backward(), expected)
    layer.forward(x, t)
    assert np.array_equal(first, kept)


@every_loss
@pytest.mark.parametrize("bad", [-1, 9, 10**12])
def test_label_out_of_range(name: str, bad: int) -> None:
    x, t = arguments(name)
    t[(2,) * t.ndim] = bad
    position = ", ".join("2" * t.ndim)
    with pytest.raises(IndexError, match=rf"^ts?\[{position}\]: expected a label from 0 .* {bad}$"):
        make(name).forward(x, t)


@every_loss
def test_wrong_input(name: str) -> None:
    x, t = arguments(name)
    for error, letter, bad_x, bad_t in (
        (ValueError, "x", x[0], t),
        (TypeError, "x", x.astype(complex), t),
        (ValueError, "t", x, t[:-1]),
        (TypeError, "t", x, t.astype(float)),
        (ValueError, "x", x[:0], t[:0]),
    ):
        with pytest.raises(error, match=rf"^{letter}s?: expected .*, got"):
            make(name).forward(bad_x, bad_t)
    with pytest.raises(ValueError, match="^ts?: "):
        make(name).forward(x, [[1], [2, 3]])


@every_loss
@pytest.mark.parametrize("wrong", [None, "1", 1j, [1.0, 2.0], 10**400])
def test_gradient_of_wrong_kind(name: str, wrong: Any) -> None:
    layer = make(name)
    layer.forward(*arguments(name))
    with pytest.raises((TypeError, ValueError), match="^dout: "):
        layer.backward(wrong)
