"""The LSTM, one step and a whole sequence: the numbers of the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastseq_reference
from fastseq.layers import LSTM, TimeLSTM
from support.helpers import assert_close, float32_tolerance
from support.layers.lstm_layers import (
    CASES,
    Array,
    assert_results_close,
    draw,
    draw_weights,
    float64,
    run,
    run_both,
)


@pytest.mark.parametrize(("N", "T", "D", "H"), CASES)
def test_time_lstm_is_the_reference(isa: str, N: int, T: int, D: int, H: int) -> None:
    actual, expected = run_both(N, T, D, H)
    for value in actual.values():
        assert value.dtype == np.float32
    assert_results_close(actual, expected, T * (D + 4 * H) + N * T)


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("name", ["hs", "h", "c", "dxs", "dh", "dc", "dWx", "dWh", "db"])
@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0])
def test_comparison_notices_one_wrong_element(isa: str, name: str, factor: float) -> None:
    N, T, D, H = 3, 4, 5, 9
    actual, expected = run_both(N, T, D, H)
    worst = np.abs(expected[name]).argmax()
    expected[name] = expected[name].copy()
    expected[name].flat[worst] *= factor
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, T * (D + 4 * H) + N * T)


def test_comparison_notices_a_gradient_without_the_forget_gate(isa: str) -> None:
    N, T, D, H = 3, 4, 5, 9
    actual, expected = run_both(N, T, D, H)
    for name in ("dWx", "dWh", "db"):
        expected[name][..., :H] = 0
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, T * (D + 4 * H) + N * T)


@pytest.mark.parametrize(
    ("N", "D", "H"), [(1, 1, 1), (3, 5, 9), (8, 16, 16), (17, 7, 33), (65, 33, 64)]
)
def test_cell_is_the_reference(isa: str, N: int, D: int, H: int) -> None:
    rng = np.random.default_rng([N, D, H])
    weights = draw_weights(rng, D, H)
    inputs = draw(rng, N, D), draw(rng, N, H), draw(rng, N, H)
    gradients = draw(rng, N, H), draw(rng, N, H)

    layer = LSTM(*weights)
    actual = [*layer.forward(*inputs), *layer.backward(*gradients), *layer.grads]
    twin = fastseq_reference.LSTM(*float64(*weights))
    expected = [
        *twin.forward(*float64(*inputs)),
        *twin.backward(*float64(*gradients)),
        *twin.grads,
    ]
    for one, other in zip(actual, expected, strict=True):
        magnitude = max(1.0, float(np.abs(other).max()))
        assert_close(one, other, **float32_tolerance(D + 4 * H + N, magnitude))


def test_cells_make_a_sequence(isa: str) -> None:
    """The textbook's own loop over time: going back, it begins with the number 0 for dc."""
    N, T, D, H = 3, 4, 5, 9
    rng = np.random.default_rng(0)
    weights, xs, dhs = draw_weights(rng, D, H), draw(rng, N, T, D), draw(rng, N, T, H)
    cells = [LSTM(*weights) for _ in range(T)]
    h = c = np.zeros((N, H), dtype=np.float32)
    for t, cell in enumerate(cells):
        h, c = cell.forward(xs[:, t], h, c)
    dh: Any = 0
    dc: Any = 0
    dxs = np.empty_like(xs)
    for t, cell in reversed(list(enumerate(cells))):
        dxs[:, t], dh, dc = cell.backward(dhs[:, t] + dh, dc)

    dWx, dWh, db = (np.sum([cell.grads[index] for cell in cells], axis=0) for index in range(3))
    expected = {"h": h, "c": c, "dxs": dxs, "dh": dh, "dc": dc, "dWx": dWx, "dWh": dWh, "db": db}
    actual = run(TimeLSTM(*weights), xs, dhs)
    assert_results_close(actual, expected, T * (D + 4 * H) + N * T)


def test_a_number_for_the_cells_gradient_is_that_of_every_element(isa: str) -> None:
    rng = np.random.default_rng(0)
    weights = draw_weights(rng, 5, 9)
    inputs, dh = (draw(rng, 3, 5), draw(rng, 3, 9), draw(rng, 3, 9)), draw(rng, 3, 9)
    results = []
    for dc in (np.float64(0.5), np.full((3, 9), 0.5, dtype=np.float32)):
        cell = LSTM(*weights)
        cell.forward(*inputs)
        results.append([*cell.backward(dh, dc), *cell.grads])
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.usefixtures("float32_products")
def test_saturated_weights_and_huge_inputs(isa: str) -> None:
    N, T, D, H = 5, 6, 7, 17
    rng = np.random.default_rng(0)
    Wx, Wh, b = draw_weights(rng, D, H)
    weights = [20 * Wx, 20 * Wh, b]
    xs, dhs = 100 * draw(rng, N, T, D), draw(rng, N, T, H)
    actual = run(TimeLSTM(*weights), xs, dhs)
    expected = run(fastseq_reference.TimeLSTM(*float64(*weights)), *float64(xs, dhs))
    # A gate's argument is of the order of 10^4, so float32 knows it to 10^-3 or worse; only what
    # is saturated, the forward result, can agree closely.
    assert_close(actual["hs"], expected["hs"], rtol=1e-2, atol=1e-2)
    assert all(np.isfinite(value).all() for value in actual.values())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_stay_in_their_row(isa: str, bad: float) -> None:
    N, T, D, H = 9, 4, 3, 17
    rng = np.random.default_rng(0)
    weights, xs = draw_weights(rng, D, H), draw(rng, N, T, D)
    clean = TimeLSTM(*weights).forward(xs)
    xs[4, 1, 2] = bad
    hs = TimeLSTM(*weights).forward(xs)
    others = np.arange(N) != 4
    assert np.array_equal(hs[others], clean[others])
    assert np.array_equal(hs[4, 0], clean[4, 0])
    if np.isnan(bad):
        assert np.isnan(hs[4, 1:]).all()


def test_awkward_inputs(isa: str, awkward: Callable[[Array], Array]) -> None:
    N, T, D, H = 3, 4, 5, 9
    rng = np.random.default_rng(0)
    weights, xs, dhs = draw_weights(rng, D, H), draw(rng, N, T, D), draw(rng, N, T, H)
    plain = run(TimeLSTM(*weights), xs, dhs)
    other = run(TimeLSTM(*weights), awkward(xs), awkward(dhs))
    for name, value in plain.items():
        assert np.array_equal(other[name], value), name


def test_awkward_weights(isa: str, awkward: Callable[[Array], Array]) -> None:
    N, T, D, H = 3, 4, 5, 9
    rng = np.random.default_rng(0)
    weights, xs, dhs = draw_weights(rng, D, H), draw(rng, N, T, D), draw(rng, N, T, H)
    plain = run(TimeLSTM(*weights), xs, dhs)
    strange = [awkward(weight) for weight in weights]
    layer = TimeLSTM(*strange)
    assert all(param is weight for param, weight in zip(layer.params, strange, strict=True))
    other = run(layer, xs, dhs)
    for name, value in plain.items():
        assert np.array_equal(other[name], value), name
    assert [grad.dtype for grad in layer.grads] == [weight.dtype for weight in strange]


def test_transposed_weights(isa: str) -> None:
    N, T, D, H = 3, 4, 17, 9
    rng = np.random.default_rng(0)
    (Wx, Wh, b), xs, dhs = draw_weights(rng, D, H), draw(rng, N, T, D), draw(rng, N, T, H)
    plain = run(TimeLSTM(Wx, Wh, b), xs, dhs)
    other = run(TimeLSTM(Wx.T.copy().T, Wh.T.copy().T, b), xs, dhs)
    for name, value in plain.items():
        assert np.array_equal(other[name], value), name


def test_integer_inputs_are_numbers(isa: str) -> None:
    rng = np.random.default_rng(0)
    layer = TimeLSTM(*draw_weights(rng, 4, 5))
    xs = rng.integers(-3, 4, size=(2, 3, 4))
    assert np.array_equal(layer.forward(xs), layer.forward(xs.astype(np.float32)))
