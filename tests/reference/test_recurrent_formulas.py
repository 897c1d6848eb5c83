"""Formulas and states of the reference's recurrent layers, compared with loops over numbers."""

import math
from typing import Any

import numpy as np
import pytest

import fastseq_reference as reference
from support.helpers import assert_close
from support.layers.cells import ReferenceGRUResetAfter, ReferenceTimeGRUResetAfter
from support.layers.layer_cases import (
    EXACT,
    Array,
    D,
    H,
    N,
    T,
    both_directions,
    randn,
    reset_after_weights,
    weights_of,
)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def lstm_step(x: Array, h: Array, c: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Array]:
    """One row, one number at a time; gates in the order f, g, i, o."""
    size = len(h)

    def gate(block: int, k: int) -> float:
        column = block * size + k
        from_x = sum(x[d] * Wx[d, column] for d in range(len(x)))
        return float(from_x + sum(h[j] * Wh[j, column] for j in range(size)) + b[column])

    h_next, c_next = np.empty(size), np.empty(size)
    for k in range(size):
        f, g, i, o = (gate(block, k) for block in range(4))
        c_next[k] = sigmoid(f) * c[k] + math.tanh(g) * sigmoid(i)
        h_next[k] = sigmoid(o) * math.tanh(c_next[k])
    return h_next, c_next


def test_lstm_formula() -> None:
    weights = weights_of(4)
    x, h, c = randn(4, N, D), randn(5, N, H), randn(6, N, H)
    h_next, c_next = reference.LSTM(**weights).forward(x, h, c)
    for n in range(N):
        expected_h, expected_c = lstm_step(x[n], h[n], c[n], **weights)
        assert_close(h_next[n], expected_h, **EXACT)
        assert_close(c_next[n], expected_c, **EXACT)


def test_time_lstm_formula_and_state() -> None:
    weights, xs = weights_of(4), randn(4, N, T, D)
    layer = reference.TimeLSTM(**weights)
    assert (layer.h, layer.c, layer.dh, layer.dc, layer.stateful) == (None, None, None, None, False)
    hs = layer.forward(xs)
    for n in range(N):
        h, c = np.zeros(H), np.zeros(H)
        for t in range(T):
            h, c = lstm_step(xs[n, t], h, c, **weights)
            assert_close(hs[n, t], h, **EXACT)
        assert_close(layer.h[n], h, **EXACT)
        assert_close(layer.c[n], c, **EXACT)
    layer.set_state(layer.h, layer.c)
    np.testing.assert_array_equal(layer.forward(xs), hs)  # not stateful: zeros again


def test_stateful_lstm_continues_until_reset() -> None:
    weights, xs = weights_of(4), randn(4, N, T, D)
    whole = reference.TimeLSTM(**weights).forward(xs)
    layer = reference.TimeLSTM(**weights, stateful=True)
    first, second = layer.forward(xs[:, :1]), layer.forward(xs[:, 1:])
    assert_close(np.concatenate((first, second), axis=1), whole, **EXACT)
    layer.reset_state()
    assert layer.h is None
    assert layer.c is None
    np.testing.assert_array_equal(layer.forward(xs), whole)
    layer.set_state(np.zeros((N, H)))  # c defaults to zeros
    np.testing.assert_array_equal(layer.forward(xs), whole)


def test_stateful_lstm_refuses_another_batch_size() -> None:
    layer = reference.TimeLSTM(**weights_of(4), stateful=True)
    layer.forward(randn(4, N, T, D))
    with pytest.raises(ValueError, match=r"\(2, 2\).*needs \(3, 2\).*reset_state"):
        layer.forward(randn(4, N + 1, T, D))
    layer.reset_state()
    assert layer.forward(randn(4, N + 1, T, D)).shape == (N + 1, T, H)


def test_saturated_lstm_is_finite_and_silent() -> None:
    Wx = np.full((1, 4), 1.0, dtype=np.float32)
    layer = reference.LSTM(Wx, np.zeros((1, 4), "f"), np.zeros(4, "f"))
    with np.errstate(all="raise", under="ignore"):
        h, c = layer.forward(
            np.array([[-1000.0], [1000.0]], "f"), np.zeros((2, 1), "f"), np.ones((2, 1), "f")
        )
    assert_close(c, [[0.0], [2.0]], rtol=0, atol=1e-6)
    assert_close(h, [[0.0], [math.tanh(2.0)]], rtol=0, atol=1e-6)


def rnn_step(x: Array, h: Array, Wx: Array, Wh: Array, b: Array) -> Array:
    return np.array(
        [
            math.tanh(sum(x * Wx[:, k]) + sum(h[j] * Wh[j, k] for j in range(len(h))) + b[k])
            for k in range(len(h))
        ]
    )


def gru_step(x: Array, h: Array, Wx: Array, Wh: Array, b: Array, bh: Array | None = None) -> Array:
    """One row, one number at a time; blocks in the order z, r, g. With bh, reset after."""
    size = len(h)

    def from_x(block: int, k: int) -> float:
        column = block * size + k
        return float(sum(x * Wx[:, column]) + b[column])

    def from_h(block: int, k: int, state: Array) -> float:
        return float(sum(state[j] * Wh[j, block * size + k] for j in range(size)))

    def gate(block: int, k: int) -> float:
        return sigmoid(from_x(block, k) + from_h(block, k, h))

    r = np.array([gate(1, k) for k in range(size)])
    h_next = np.empty(size)
    for k in range(size):
        if bh is None:
            g = math.tanh(from_x(2, k) + from_h(2, k, r * h))
        else:
            g = math.tanh(from_x(2, k) + r[k] * (from_h(2, k, h) + bh[k]))
        z = gate(0, k)
        h_next[k] = (1 - z) * h[k] + z * g
    return h_next


STEPS = [
    (reference.RNN, reference.TimeRNN, rnn_step, weights_of(1)),
    (reference.GRU, reference.TimeGRU, gru_step, weights_of(3)),
    (ReferenceGRUResetAfter, ReferenceTimeGRUResetAfter, gru_step, reset_after_weights()),
]
every_step = pytest.mark.parametrize(
    ("cell", "layer_class", "step", "weights"), STEPS, ids=["RNN", "GRU", "GRU reset after"]
)


@every_step
def test_recurrent_formula_and_state(
    cell: Any, layer_class: Any, step: Any, weights: dict[str, Array]
) -> None:
    xs, start = randn(4, N, T, D), randn(5, N, H)
    h_next = cell(**weights).forward(xs[:, 0], start)
    layer = layer_class(**weights)
    assert (layer.h, layer.dh, layer.stateful) == (None, None, False)
    hs = layer.forward(xs)
    for n in range(N):
        assert_close(h_next[n], step(xs[n, 0], start[n], **weights), **EXACT)
        h = np.zeros(H)
        for t in range(T):
            h = step(xs[n, t], h, **weights)
            assert_close(hs[n, t], h, **EXACT)
        assert_close(layer.h[n], h, **EXACT)
    layer.set_state(start)
    np.testing.assert_array_equal(layer.forward(xs), hs)  # not stateful: zeros again


@every_step
def test_stateful_layer(cell: Any, layer_class: Any, step: Any, weights: dict[str, Array]) -> None:
    xs = randn(4, N, T, D)
    whole = layer_class(**weights).forward(xs)
    layer = layer_class(**weights, stateful=True)
    parts = layer.forward(xs[:, :1]), layer.forward(xs[:, 1:])
    assert_close(np.concatenate(parts, axis=1), whole, **EXACT)
    with pytest.raises(ValueError, match=r"\(2, 2\).*needs \(3, 2\).*reset_state"):
        layer.forward(randn(4, N + 1, T, D))
    layer.reset_state()
    assert layer.h is None
    np.testing.assert_array_equal(layer.forward(xs), whole)


@pytest.mark.parametrize("layer_class", [reference.GRU, reference.TimeGRU])
def test_bias_of_the_reset_after_gru(layer_class: Any) -> None:
    weights, inputs = weights_of(3), (randn(4, N, T, D),)
    if layer_class is reference.GRU:
        inputs = randn(4, N, D), randn(5, N, H)
    layer = layer_class(**weights, reset_after=True)
    np.testing.assert_array_equal(layer.params[3], np.zeros(H))
    assert layer.params[3].dtype == weights["Wx"].dtype
    given = layer_class(**weights, reset_after=True, bh=np.zeros(H))
    np.testing.assert_array_equal(layer.forward(*inputs), given.forward(*inputs))
    with pytest.raises(ValueError, match="^bh: expected None without reset_after"):
        layer_class(**weights, bh=np.zeros(H))


def test_both_directions_are_two_lstms() -> None:
    weights, xs = both_directions(), randn(4, N, T, D)
    arrays = list(weights.values())
    first, second = reference.TimeLSTM(*arrays[:3]), reference.TimeLSTM(*arrays[3:])
    layer = reference.TimeBiLSTM(**weights, stateful=True)
    assert (layer.h, layer.c, layer.dh, layer.dc) == (None, None, None, None)
    hs = layer.forward(xs)
    np.testing.assert_array_equal(hs[:, :, :H], first.forward(xs))
    np.testing.assert_array_equal(hs[:, ::-1, H:], second.forward(xs[:, ::-1]))
    np.testing.assert_array_equal(layer.h, np.hstack((hs[:, -1, :H], hs[:, 0, H:])))
    np.testing.assert_array_equal(layer.c, np.hstack((first.c, second.c)))
    with pytest.raises(ValueError, match="reset_state"):
        layer.forward(randn(4, N + 1, T, D))
    layer.set_state(np.zeros((N, 2 * H)))  # c defaults to zeros
    np.testing.assert_array_equal(layer.forward(xs), hs)
    layer.reset_state()
    np.testing.assert_array_equal(layer.forward(xs), hs)
