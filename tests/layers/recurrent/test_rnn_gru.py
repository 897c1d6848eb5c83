"""RNN and GRU, one step and a whole sequence: the numbers of the reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from support.helpers import assert_close, float32_tolerance
from support.layers.recurrent_units import (
    CASES,
    UNITS,
    Array,
    Unit,
    assert_results_close,
    assert_same_bits,
    draw,
    draw_all,
    draw_weights,
    float64,
    run,
    run_both,
    terms,
)


@pytest.fixture(params=UNITS)
def unit(request: pytest.FixtureRequest) -> Unit:
    """Run the test once for each kind of network."""
    return UNITS[request.param]


@pytest.mark.parametrize("sizes", CASES, ids=str)
def test_sequence_is_the_reference(isa: str, unit: Unit, sizes: tuple[int, ...]) -> None:
    actual, expected = run_both(unit, *sizes)
    assert all(value.dtype == np.float32 for value in actual.values())
    assert_results_close(actual, expected, terms(unit, *sizes))


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0])
def test_comparison_notices_one_wrong_element(isa: str, unit: Unit, factor: float) -> None:
    actual, expected = run_both(unit, 3, 4, 5, 9)
    assert set(expected) == {"hs", "h", "dxs", "dh", *unit.gradients}
    for name, value in expected.items():
        wrong = value.copy()
        wrong.flat[np.abs(wrong).argmax()] *= factor
        with pytest.raises(AssertionError):
            assert_results_close(actual, expected | {name: wrong}, terms(unit, 3, 4, 5, 9))


@pytest.mark.parametrize(
    ("N", "D", "H"), [(1, 1, 1), (3, 5, 9), (8, 16, 16), (17, 7, 33), (65, 33, 64)]
)
def test_cell_is_the_reference(isa: str, unit: Unit, N: int, D: int, H: int) -> None:
    rng = np.random.default_rng([N, D, H])
    weights = draw_weights(rng, unit, D, H)
    x, h_prev, dh_next = draw(rng, N, D), draw(rng, N, H), draw(rng, N, H)
    layer, twin = unit.cell(*weights), unit.cell_twin(*float64(*weights))
    actual = [layer.forward(x, h_prev), *layer.backward(dh_next), *layer.grads]
    expected = [
        twin.forward(*float64(x, h_prev)),
        *twin.backward(*float64(dh_next)),
        *twin.grads,
    ]
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == np.float32
        magnitude = max(1.0, float(np.abs(other).max()))
        assert_close(one, other, **float32_tolerance(D + unit.blocks * H + N, magnitude))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_stay_in_their_row(isa: str, unit: Unit, bad: float) -> None:
    weights, xs, _ = draw_all(unit, 9, 4, 3, 17)
    clean = unit.time(*weights).forward(xs)
    xs[4, 1, 2] = bad
    hs = unit.time(*weights).forward(xs)
    others = np.arange(9) != 4
    assert np.array_equal(hs[others], clean[others])
    assert np.array_equal(hs[4, 0], clean[4, 0])
    if np.isnan(bad):
        assert np.isnan(hs[4, 1:]).all()


def test_saturated_weights_and_huge_inputs(isa: str, unit: Unit) -> None:
    (Wx, Wh, *biases), xs, dhs = draw_all(unit, 5, 6, 7, 17)
    actual = run(unit.time(1e4 * Wx, 20 * Wh, *biases), 1e4 * xs, dhs)
    assert all(np.isfinite(value).all() for value in actual.values())
    assert np.abs(actual["hs"]).max() <= 1


def test_awkward_inputs(isa: str, unit: Unit, awkward: Callable[[Array], Array]) -> None:
    weights, xs, dhs = draw_all(unit, 3, 4, 5, 9)
    plain = run(unit.time(*weights), xs, dhs)
    assert_same_bits(run(unit.time(*weights), awkward(xs), awkward(dhs)), plain)


def test_awkward_weights(isa: str, unit: Unit, awkward: Callable[[Array], Array]) -> None:
    weights, xs, dhs = draw_all(unit, 3, 4, 5, 9)
    plain = run(unit.time(*weights), xs, dhs)
    strange = [awkward(weight) for weight in weights]
    layer = unit.time(*strange)
    assert all(param is weight for param, weight in zip(layer.params, strange, strict=True))
    other = run(layer, xs, dhs)
    for name, value in plain.items():
        assert np.array_equal(other[name], value), name
    assert [grad.dtype for grad in layer.grads] == [weight.dtype for weight in strange]


def test_integer_inputs_are_numbers(isa: str, unit: Unit) -> None:
    layer = unit.time(*draw_all(unit, 2, 3, 4, 5)[0])
    xs = np.random.default_rng(0).integers(-3, 4, size=(2, 3, 4))
    assert np.array_equal(layer.forward(xs), layer.forward(xs.astype(np.float32)))
