"""TimeSoftmaxWithLoss against the reference in float64, on every instruction set."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq_reference
from fastseq.layers import TimeSoftmaxWithLoss
from support.helpers import SIZES, assert_close, float32_tolerance

Array = npt.NDArray[Any]

CASES = [
    *[(N, 3, 5) for N in SIZES],
    *[(2, T, 7) for T in SIZES],
    *[(3, 4, V) for V in SIZES],
    (17, 9, 59),
    (33, 31, 130),
]


def arguments(N: int, T: int, V: int) -> tuple[Array, Array]:
    """Scores and labels, about a quarter of them ignored, but never the first."""
    rng = np.random.default_rng([N, T, V])
    xs = (3 * rng.normal(size=(N, T, V))).astype(np.float32)
    ts = rng.integers(0, V, size=(N, T))
    ignored = rng.random(size=(N, T)) < 0.25
    ignored[:1, :1] = False
    return xs, np.where(ignored, -1, ts)


def run(layer: Any, xs: Array, ts: Array, dout: float = 1) -> tuple[float, Array]:
    return layer.forward(xs, ts), layer.backward(dout)


def run_both(N: int, T: int, V: int) -> tuple[tuple[float, Array], tuple[float, Array]]:
    xs, ts = arguments(N, T, V)
    expected = run(fastseq_reference.TimeSoftmaxWithLoss(), xs.astype(np.float64), ts)
    return run(TimeSoftmaxWithLoss(), xs, ts), expected


def assert_results_close(
    actual: tuple[float, Array], expected: tuple[float, Array], N: int, T: int, V: int
) -> None:
    assert_close(actual[0], expected[0], **float32_tolerance(V + N * T, products=0))
    # every element is a difference of numbers below 1 / count, so it is compared on that scale
    count = 1 / max(float(np.abs(expected[1]).max()), 1 / (N * T))
    assert_close(actual[1] * count, expected[1] * count, **float32_tolerance(V, products=0))


@pytest.mark.parametrize(("N", "T", "V"), CASES)
def test_is_the_reference(isa: str, N: int, T: int, V: int) -> None:
    actual, expected = run_both(N, T, V)
    assert isinstance(actual[0], float)
    assert actual[1].dtype == np.float32
    assert_results_close(actual, expected, N, T, V)


@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0])
def test_comparison_notices_one_wrong_element(isa: str, factor: float) -> None:
    actual, (loss, dxs) = run_both(3, 4, 9)
    dxs.flat[np.abs(dxs).argmax()] *= factor
    with pytest.raises(AssertionError):
        assert_results_close(actual, (loss, dxs), 3, 4, 9)


def test_comparison_notices_a_loss_over_all_positions(isa: str) -> None:
    actual, (loss, dxs) = run_both(3, 4, 9)
    counted = np.count_nonzero(arguments(3, 4, 9)[1] >= 0)
    assert counted < 12
    with pytest.raises(AssertionError):
        assert_results_close(actual, (loss * counted / 12, dxs), 3, 4, 9)


def test_gradient_is_zero_where_the_label_is_ignored(isa: str) -> None:
    xs, ts = arguments(5, 6, 9)
    xs[ts == -1] = 50
    _, dxs = run(TimeSoftmaxWithLoss(), xs, ts)
    assert not dxs[ts == -1].any()
    assert dxs[ts >= 0].any(axis=1).all()


def test_ignored_scores_do_not_change_the_rest(isa: str) -> None:
    xs, ts = arguments(5, 6, 9)
    loss, dxs = run(TimeSoftmaxWithLoss(), xs, ts)
    xs[ts == -1] = np.nan
    other_loss, other_dxs = run(TimeSoftmaxWithLoss(), xs, ts)
    assert other_loss == loss
    assert np.array_equal(other_dxs, dxs)


def test_other_ignored_label(isa: str) -> None:
    xs, ts = arguments(5, 6, 9)
    expected = run(TimeSoftmaxWithLoss(), xs, ts)
    layer = TimeSoftmaxWithLoss()
    assert layer.ignore_label == -1
    layer.ignore_label = 300
    loss, dxs = run(layer, xs, np.where(ts == -1, 300, ts))
    assert loss == expected[0]
    assert np.array_equal(dxs, expected[1])


def test_one_hot_labels(isa: str) -> None:
    xs, ts = arguments(5, 6, 9)
    ts = np.where(ts == -1, 0, ts)
    expected = run(TimeSoftmaxWithLoss(), xs, ts)
    for dtype in (np.float32, np.int8, bool):
        loss, dxs = run(TimeSoftmaxWithLoss(), xs, np.eye(9, dtype=dtype)[ts])
        assert loss == expected[0]
        assert np.array_equal(dxs, expected[1])


@pytest.mark.parametrize("dtype", ["i1", "<i2", ">i4", "<i8"])
def test_any_integer_dtype(isa: str, dtype: str) -> None:
    xs, ts = arguments(5, 6, 9)
    loss, dxs = run(TimeSoftmaxWithLoss(), xs, ts)
    other_loss, other_dxs = run(TimeSoftmaxWithLoss(), xs, ts.astype(dtype))
    assert other_loss == loss
    assert np.array_equal(other_dxs, dxs)


def test_awkward_inputs(isa: str, awkward: Callable[[Array], Array]) -> None:
    xs, ts = arguments(5, 6, 9)
    strange = awkward(ts)
    loss, dxs = run(TimeSoftmaxWithLoss(), xs, ts)
    other = run(TimeSoftmaxWithLoss(), awkward(xs), strange if strange.dtype.kind == "i" else ts)
    assert other[0] == loss
    assert np.array_equal(other[1], dxs)


@pytest.mark.parametrize("dout", [2, 0.25, np.float32(-3), 0])
def test_gradient_is_scaled(isa: str, dout: float) -> None:
    xs, ts = arguments(5, 6, 9)
    dxs = run(TimeSoftmaxWithLoss(), xs, ts)[1]
    scaled = run(TimeSoftmaxWithLoss(), xs, ts, dout)[1]
    assert_close(scaled, dxs * np.float32(dout), rtol=1e-6, atol=0)


def test_huge_scores(isa: str) -> None:
    xs = np.array([[[1e30, -1e30, 0], [-3e38, 3e38, 0], [1e4, 1e4, 1e4]]], dtype=np.float32)
    loss, dxs = run(TimeSoftmaxWithLoss(), xs, np.array([[0, 1, 2]]))
    assert_close(loss, np.log(3) / 3, **float32_tolerance(3, products=0))
    assert_close(dxs[0, :2], np.zeros((2, 3)), rtol=0, atol=0)
    assert run(TimeSoftmaxWithLoss(), xs, np.array([[1, 1, 2]]))[0] > 1e29


def test_nan_is_not_hidden(isa: str) -> None:
    xs, ts = arguments(5, 6, 9)
    xs[0, 0, 3] = np.nan
    loss, dxs = run(TimeSoftmaxWithLoss(), xs, ts)
    assert np.isnan(loss)
    assert np.isnan(dxs[0, 0]).all()
    assert not np.isnan(dxs[1:]).any()


def test_results_outlive_later_calls(isa: str) -> None:
    xs, ts = arguments(5, 6, 9)
    layer = TimeSoftmaxWithLoss()
    first = run(layer, xs, ts)[1]
    kept = first.copy()
    assert np.array_equal(layer.backward(), first)
    run(layer, 2 * xs, ts)
    assert np.array_equal(first, kept)


def test_caller_may_modify_inputs_and_gradient_before_backward(isa: str) -> None:
    xs, ts = arguments(5, 6, 9)
    expected = run(TimeSoftmaxWithLoss(), xs, ts)[1]
    layer = TimeSoftmaxWithLoss()
    layer.forward(xs, ts)
    xs[...] = 7
    ts[...] = 0
    layer.ignore_label = 0
    layer.backward()[...] = 7
    assert np.array_equal(layer.backward(), expected)


def test_results_have_the_same_bits_on_any_number_of_threads(
    isa: str, set_threads: Callable[[int], None]
) -> None:
    xs, ts = arguments(128, 29, 130)
    set_threads(1)
    loss, dxs = run(TimeSoftmaxWithLoss(), xs, ts)
    for threads in (2, 3, 4):
        set_threads(threads)
        other_loss, other_dxs = run(TimeSoftmaxWithLoss(), xs, ts)
        assert other_loss == loss
        assert np.array_equal(other_dxs, dxs)


@pytest.mark.parametrize("bad", [-2, 9, 10**12])
def test_label_out_of_range(isa: str, bad: int) -> None:
    xs, ts = arguments(5, 6, 9)
    ts[2, 3] = bad
    with pytest.raises(IndexError, match=rf"\[(15|2, 3)\].*9.*{bad}"):
        TimeSoftmaxWithLoss().forward(xs, ts)


def test_every_label_ignored() -> None:
    xs, _ = arguments(5, 6, 9)
    with pytest.raises(ValueError, match="ignore"):
        TimeSoftmaxWithLoss().forward(xs, np.full((5, 6), -1))


@pytest.mark.parametrize("shape", [(0, 6, 9), (5, 0, 9), (5, 6, 0)])
def test_empty(shape: tuple[int, ...]) -> None:
    with pytest.raises((ValueError, IndexError)):
        TimeSoftmaxWithLoss().forward(np.zeros(shape), np.zeros(shape[:2], dtype=int))


@pytest.mark.parametrize(
    ("error", "name", "xs", "ts"),
    [
        (ValueError, "xs", np.zeros((5, 9)), np.zeros(5, dtype=int)),
        (ValueError, "ts", np.zeros((5, 6, 9)), np.zeros((6, 5), dtype=int)),
        (ValueError, "ts", np.zeros((5, 6, 9)), np.zeros(30, dtype=int)),
        (ValueError, "ts", np.zeros((5, 6, 9)), np.zeros((5, 6, 8), dtype=int)),
        (TypeError, "ts", np.zeros((5, 6, 9)), np.zeros((5, 6))),
        (TypeError, "xs", np.zeros((5, 6, 9), dtype=complex), np.zeros((5, 6), dtype=int)),
        (TypeError, "xs", np.full((5, 6, 9), "1"), np.zeros((5, 6), dtype=int)),
    ],
)
def test_wrong_input(error: type[Exception], name: str, xs: Array, ts: Array) -> None:
    with pytest.raises(error, match=rf"^{name}: expected .*, got"):
        TimeSoftmaxWithLoss().forward(xs, ts)


def test_backward_before_forward() -> None:
    layer = TimeSoftmaxWithLoss()
    with pytest.raises(RuntimeError, match="forward"):
        layer.backward()
    assert layer.params == []
    assert layer.grads == []
