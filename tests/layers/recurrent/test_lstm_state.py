"""The LSTM: what the layer and its caller keep between two calls, and the state."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import fastseq_reference
from fastseq.layers import TimeLSTM
from support.layers.lstm_layers import assert_results_close, draw, draw_weights, float64, run


def test_parameters_are_read_afresh(isa: str) -> None:
    rng = np.random.default_rng(0)
    weights, xs = draw_weights(rng, 4, 5), draw(rng, 2, 3, 4)
    layer = TimeLSTM(*weights)
    layer.forward(xs)
    for param in layer.params:
        param *= 0.5
    assert np.array_equal(layer.forward(xs), TimeLSTM(*weights).forward(xs))


def test_two_layers_share_one_array(isa: str) -> None:
    rng = np.random.default_rng(0)
    weights, xs, dhs = draw_weights(rng, 4, 5), draw(rng, 2, 3, 4), draw(rng, 2, 3, 5)
    first, second = TimeLSTM(*weights), TimeLSTM(*weights)
    first.forward(xs)
    second.forward(2 * xs)
    first.backward(dhs)
    alone = run(TimeLSTM(*weights), xs, dhs)
    assert np.array_equal(first.grads[1], alone["dWh"])
    assert not np.shares_memory(first.grads[1], second.grads[1])


def test_gradients_are_overwritten_in_the_same_arrays(isa: str) -> None:
    rng = np.random.default_rng(0)
    layer = TimeLSTM(*draw_weights(rng, 4, 5))
    kept = list(layer.grads)
    for _ in range(2):
        layer.forward(draw(rng, 2, 3, 4))
        layer.backward(draw(rng, 2, 3, 5))
    assert all(grad is same for grad, same in zip(layer.grads, kept, strict=True))

    dhs = draw(rng, 2, 3, 5)
    dxs = layer.backward(dhs)
    once = [grad.copy() for grad in layer.grads]
    assert np.array_equal(layer.backward(dhs), dxs)
    assert all(np.array_equal(grad, first) for grad, first in zip(layer.grads, once, strict=True))


def test_results_outlive_later_calls(isa: str) -> None:
    rng = np.random.default_rng(0)
    layer = TimeLSTM(*draw_weights(rng, 4, 17))
    first = run(layer, draw(rng, 3, 5, 4), draw(rng, 3, 5, 17))
    kept = {name: value.copy() for name, value in first.items()}
    for N, T in ((3, 5), (9, 8), (1, 1)):
        run(layer, draw(rng, N, T, 4), draw(rng, N, T, 17))
    for name, value in kept.items():
        assert np.array_equal(first[name], value), name


def test_caller_may_modify_the_result_before_backward(isa: str) -> None:
    N, T, D, H = 3, 4, 5, 9
    rng = np.random.default_rng(0)
    weights, xs, dhs = draw_weights(rng, D, H), draw(rng, N, T, D), draw(rng, N, T, H)
    expected = run(TimeLSTM(*weights), xs, dhs)
    layer = TimeLSTM(*weights)
    hs = layer.forward(xs)
    hs[...] = 7
    layer.h[...] = 7
    layer.c[...] = 7
    assert np.array_equal(layer.backward(dhs), expected["dxs"])
    assert np.array_equal(layer.grads[1], expected["dWh"])


def test_stateful_layer_continues(isa: str) -> None:
    N, T, D, H = 3, 7, 5, 9
    rng = np.random.default_rng(0)
    weights, xs = draw_weights(rng, D, H), draw(rng, N, T, D)
    whole = TimeLSTM(*weights).forward(xs)
    layer = TimeLSTM(*weights, stateful=True)
    parts = [layer.forward(xs[:, :3]), layer.forward(xs[:, 3:4]), layer.forward(xs[:, 4:])]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)
    layer.reset_state()
    assert layer.h is None
    assert layer.c is None
    assert np.array_equal(layer.forward(xs), whole)


def test_layer_without_state_starts_from_zeros(isa: str) -> None:
    rng = np.random.default_rng(0)
    layer = TimeLSTM(*draw_weights(rng, 4, 5))
    xs = draw(rng, 2, 3, 4)
    first = layer.forward(xs)
    layer.set_state(draw(rng, 2, 5), draw(rng, 2, 5))
    assert np.array_equal(layer.forward(xs), first)


@pytest.mark.parametrize("with_cell", [True, False])
def test_given_state_is_the_reference(isa: str, with_cell: bool) -> None:
    N, T, D, H = 5, 3, 4, 17
    rng = np.random.default_rng(0)
    weights, xs, dhs = draw_weights(rng, D, H), draw(rng, N, T, D), draw(rng, N, T, H)
    state = (draw(rng, N, H), draw(rng, N, H))[: 1 + with_cell]
    layer = TimeLSTM(*weights, stateful=True)
    layer.set_state(*state)
    twin = fastseq_reference.TimeLSTM(*float64(*weights), stateful=True)
    twin.set_state(*float64(*state))
    actual, expected = run(layer, xs, dhs), run(twin, *float64(xs, dhs))
    assert_results_close(actual, expected, T * (D + 4 * H) + N * T)


def test_caller_may_modify_the_given_state_before_backward(isa: str) -> None:
    rng = np.random.default_rng(0)
    weights, xs, dhs = draw_weights(rng, 4, 5), draw(rng, 2, 3, 4), draw(rng, 2, 3, 5)
    h, c = draw(rng, 2, 5), draw(rng, 2, 5)
    results = []
    for spoil in (False, True):
        layer = TimeLSTM(*weights, stateful=True)
        layer.set_state(h, c)
        layer.forward(xs)
        if spoil:
            h[...] = 3
            c[...] = 3
        layer.backward(dhs)
        results.append([grad.copy() for grad in layer.grads])
    assert all(np.array_equal(one, other) for one, other in zip(*results, strict=True))


def test_row_is_the_same_alone_and_in_any_batch(
    isa: str, set_threads: Callable[[int], None]
) -> None:
    T, D, H = 5, 33, 130
    rng = np.random.default_rng(0)
    layer, xs = TimeLSTM(*draw_weights(rng, D, H)), draw(rng, 65, T, D)
    set_threads(1)
    expected = np.concatenate([layer.forward(xs[n : n + 1]) for n in range(65)])
    for threads in (1, 2, 4):
        set_threads(threads)
        for rows in (slice(0, 1), slice(7, 10), slice(0, 64), slice(1, 65), slice(0, 65)):
            hs = layer.forward(xs[rows])
            assert np.array_equal(hs.view(np.uint32), expected[rows].view(np.uint32))


@pytest.mark.parametrize(("N", "T", "D", "H"), [(65, 6, 33, 65), (128, 9, 16, 128), (4, 40, 70, 9)])
def test_results_have_the_same_bits_on_any_number_of_threads(
    isa: str, set_threads: Callable[[int], None], N: int, T: int, D: int, H: int
) -> None:
    rng = np.random.default_rng(0)
    weights, xs, dhs = draw_weights(rng, D, H), draw(rng, N, T, D), draw(rng, N, T, H)
    set_threads(1)
    expected = run(TimeLSTM(*weights), xs, dhs)
    for threads in (2, 3, 4):
        set_threads(threads)
        for name, value in run(TimeLSTM(*weights), xs, dhs).items():
            assert np.array_equal(value.view(np.uint32), expected[name].view(np.uint32)), name
