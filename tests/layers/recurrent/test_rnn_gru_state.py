"""RNN and GRU: what the layer and its caller keep between two calls, and the state."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from support.layers.recurrent_units import (
    UNITS,
    Unit,
    assert_results_close,
    assert_same_bits,
    draw,
    draw_all,
    draw_weights,
    float64,
    run,
    terms,
)


@pytest.fixture(params=UNITS)
def unit(request: pytest.FixtureRequest) -> Unit:
    """Run the test once for each kind of network."""
    return UNITS[request.param]


def test_parameters_are_read_afresh(isa: str, unit: Unit) -> None:
    weights, xs, _ = draw_all(unit, 2, 3, 4, 5)
    layer = unit.time(*weights)
    first = layer.forward(xs)
    for param in layer.params:
        param *= 0.5
    second = layer.forward(xs)
    assert not np.array_equal(second, first)
    assert np.array_equal(second, unit.time(*weights).forward(xs))


def test_gradients_are_overwritten_in_the_same_arrays(isa: str, unit: Unit) -> None:
    weights, xs, dhs = draw_all(unit, 2, 3, 4, 5)
    layer = unit.time(*weights)
    kept = list(layer.grads)
    first = run(layer, xs, dhs)
    run(layer, 2 * xs, 3 * dhs)
    assert_same_bits(run(layer, xs, dhs), first)
    assert np.array_equal(layer.backward(dhs), first["dxs"])  # twice
    assert all(grad is same for grad, same in zip(layer.grads, kept, strict=True))
    for grad, name in zip(layer.grads, unit.gradients, strict=True):
        assert np.array_equal(grad, first[name])

    cell = unit.cell(*weights)
    kept = list(cell.grads)
    cell.forward(xs[:, 0], dhs[:, 0])
    results = []
    for _ in range(2):
        results.append([*cell.backward(dhs[:, 1]), *[grad.copy() for grad in cell.grads]])
    assert all(np.array_equal(one, other) for one, other in zip(*results, strict=True))
    assert all(grad is same for grad, same in zip(cell.grads, kept, strict=True))


def test_results_outlive_later_calls(isa: str, unit: Unit) -> None:
    rng = np.random.default_rng(0)
    layer = unit.time(*draw_weights(rng, unit, 4, 17))
    first = run(layer, draw(rng, 3, 5, 4), draw(rng, 3, 5, 17))
    kept = {name: value.copy() for name, value in first.items()}
    for N, T in ((3, 5), (9, 8), (1, 1)):
        run(layer, draw(rng, N, T, 4), draw(rng, N, T, 17))
    assert_same_bits(first, kept)


def test_caller_may_modify_results_and_state_before_backward(isa: str, unit: Unit) -> None:
    weights, xs, dhs = draw_all(unit, 3, 4, 5, 9)
    results = []
    for spoil in (False, True):
        layer = unit.time(*weights, stateful=True)
        h = draw(np.random.default_rng(0), 3, 9)
        layer.set_state(h)
        hs = layer.forward(xs)
        if spoil:
            for array in (hs, layer.h, h):
                array[...] = 7
        results.append([layer.backward(dhs), *layer.grads])
    assert all(np.array_equal(one, other) for one, other in zip(*results, strict=True))


def test_stateful_layer_continues(isa: str, unit: Unit) -> None:
    weights, xs, _ = draw_all(unit, 3, 7, 5, 9)
    whole = unit.time(*weights).forward(xs)
    layer = unit.time(*weights, stateful=True)
    parts = [layer.forward(xs[:, :3]), layer.forward(xs[:, 3:4]), layer.forward(xs[:, 4:])]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)
    assert np.array_equal(layer.h, whole[:, -1])
    layer.reset_state()
    assert layer.h is None
    assert np.array_equal(layer.forward(xs), whole)


def test_layer_without_state_starts_from_zeros(isa: str, unit: Unit) -> None:
    weights, xs, _ = draw_all(unit, 2, 3, 4, 5)
    layer = unit.time(*weights)
    first = layer.forward(xs)
    layer.set_state(np.ones((2, 5)))
    assert np.array_equal(layer.forward(xs), first)


def test_given_state_is_the_reference(isa: str, unit: Unit) -> None:
    weights, xs, dhs = draw_all(unit, 5, 3, 4, 17)
    h = draw(np.random.default_rng(0), 5, 17)
    layer = unit.time(*weights, stateful=True)
    layer.set_state(h)
    twin = unit.time_twin(*float64(*weights), stateful=True)
    twin.set_state(*float64(h))
    actual, expected = run(layer, xs, dhs), run(twin, *float64(xs, dhs))
    assert_results_close(actual, expected, terms(unit, 5, 3, 4, 17))


def test_stateful_layer_refuses_another_batch_size(unit: Unit) -> None:
    layer = unit.time(*draw_all(unit, 2, 3, 4, 5)[0], stateful=True)
    layer.forward(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match=r"expected 2 rows.*got 3.*reset_state"):
        layer.forward(np.zeros((3, 3, 4)))
    layer.reset_state()
    assert layer.forward(np.zeros((3, 3, 4))).shape == (3, 3, 5)


def test_row_is_the_same_alone_and_in_any_batch(
    isa: str, unit: Unit, set_threads: Callable[[int], None]
) -> None:
    weights, xs, _ = draw_all(unit, 65, 5, 33, 130)
    layer = unit.time(*weights)
    set_threads(1)
    expected = np.concatenate([layer.forward(xs[n : n + 1]) for n in range(65)])
    for threads in (1, 2, 4):
        set_threads(threads)
        for rows in (slice(0, 1), slice(7, 10), slice(0, 64), slice(1, 65), slice(0, 65)):
            hs = layer.forward(xs[rows])
            assert np.array_equal(hs.view(np.uint32), expected[rows].view(np.uint32))


@pytest.mark.parametrize("sizes", [(65, 6, 33, 65), (128, 9, 16, 128), (4, 40, 70, 9)], ids=str)
def test_results_have_the_same_bits_on_any_number_of_threads(
    isa: str, unit: Unit, set_threads: Callable[[int], None], sizes: tuple[int, ...]
) -> None:
    weights, xs, dhs = draw_all(unit, *sizes)
    set_threads(1)
    expected = run(unit.time(*weights), xs, dhs)
    for threads in (2, 3, 4):
        set_threads(threads)
        assert_same_bits(run(unit.time(*weights), xs, dhs), expected)
