"""Pins the reference's layers: formulas by independent loops, gradients by central differences.

Every layer is checked in float64 over every input and every parameter; and every comparison is
shown to fail when one element of the gradient, whichever, is wrong by 1 % of the largest.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastseq_reference as reference
from support.helpers import (
    CENTRAL_DIFFERENCES,
    SIZES,
    assert_close,
    float32_tolerance,
    numerical_gradient,
)

Array = Any
EXACT = {"rtol": 1e-12, "atol": 1e-12}  # two float64 computations of the same formula
N, T, D, H, V = 2, 4, 3, 2, 5


class Case(NamedTuple):
    """A layer in a scalar loss of its ``inputs``; ``backward`` returns the gradient of each."""

    layer: Any
    inputs: dict[str, Array]
    loss: Callable[[], float]
    backward: Callable[[], dict[str, Array]]
    forward: Callable[[], Any]  # what backward follows: the loss, unless the past is to be frozen


def randn(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def lstm_weights() -> dict[str, Array]:
    return {"Wx": randn(1, D, 4 * H), "Wh": randn(2, H, 4 * H), "b": randn(3, 4 * H)}


def lstm_case() -> Case:
    weights = lstm_weights()
    inputs = {"x": randn(4, N, D), "h_prev": randn(5, N, H), "c_prev": randn(6, N, H)}
    dh_next, dc_next = randn(7, N, H), randn(8, N, H)
    layer = reference.LSTM(**weights)

    def loss() -> float:
        h_next, c_next = layer.forward(**inputs)
        return float(np.sum(h_next * dh_next) + np.sum(c_next * dc_next))

    def backward() -> dict[str, Array]:
        dinputs = layer.backward(dh_next, dc_next)
        return dict(zip(inputs | weights, (*dinputs, *layer.grads), strict=True))

    return Case(layer, inputs | weights, loss, backward, loss)


def time_lstm_case(start: str) -> Case:
    """``start`` is how the sequence begins: from zeros, a given state, or the call before."""
    weights = lstm_weights()
    xs, past, dhs = randn(4, N, T, D), randn(8, N, T, D), randn(5, N, T, H)
    layer = reference.TimeLSTM(**weights, stateful=start != "zeros")
    state: dict[str, Array] = {}
    if start == "given":
        state = {"h": randn(6, N, H), "c": randn(7, N, H)}
    elif start == "continued":
        layer.forward(past)
        # truncated: what the past left stays constant when a weight changes
        state = {"h": layer.h.copy(), "c": layer.c.copy()}

    def loss() -> float:
        if state:
            layer.set_state(**state)
        return float(np.sum(layer.forward(xs) * dhs))

    def continued_forward() -> None:
        layer.reset_state()
        layer.forward(past)
        layer.forward(xs)

    def backward() -> dict[str, Array]:
        dxs = layer.backward(dhs)
        dstate = {"h": layer.dh, "c": layer.dc} if state else {}
        return {"xs": dxs} | dstate | dict(zip(weights, layer.grads, strict=True))

    forward = continued_forward if start == "continued" else loss
    return Case(layer, {"xs": xs} | state | weights, loss, backward, forward)


def time_embedding_case() -> Case:
    W, dout = randn(1, V, D), randn(2, N, T, D)
    ids = np.array([[0, 1, 1, 4], [1, 4, 3, 1]])  # repeated in a row and in a column; 2 is unused
    layer = reference.TimeEmbedding(W)

    def loss() -> float:
        return float(np.sum(layer.forward(ids) * dout))

    def backward() -> dict[str, Array]:
        assert layer.backward(dout) is None
        return {"W": layer.grads[0]}

    return Case(layer, {"W": W}, loss, backward, loss)


def time_affine_case(tied: bool) -> Case:
    W, b = (randn(1, V, D).T if tied else randn(1, D, V)), randn(2, V)
    x, dout = randn(3, N, T, D), randn(4, N, T, V)
    layer = reference.TimeAffine(W, b)

    def loss() -> float:
        return float(np.sum(layer.forward(x) * dout))

    def backward() -> dict[str, Array]:
        return dict(zip(("x", "W", "b"), (layer.backward(dout), *layer.grads), strict=True))

    return Case(layer, {"x": x, "W": W, "b": b}, loss, backward, loss)


def softmax_case(labels: str) -> Case:
    xs, ts, dout = randn(1, N, T, V), np.array([[0, 4, 2, 2], [3, 1, 0, 4]]), 1.0
    layer = reference.TimeSoftmaxWithLoss()
    if labels == "ignored":
        ts[0, 1] = ts[1, 0] = ts[1, 3] = -1
        dout = -2.5
    elif labels == "ignored 4":
        layer.ignore_label = 4
    elif labels == "one-hot":
        ts = np.eye(V)[ts]

    def loss() -> float:
        return layer.forward(xs, ts) * dout

    return Case(layer, {"xs": xs}, loss, lambda: {"xs": layer.backward(dout)}, loss)


def attention_case(layer: Any, inputs: dict[str, Array], dout: Array) -> Case:
    """Any of the four attention layers: two inputs, one output, no weights."""

    def loss() -> float:
        return float(np.sum(layer.forward(**inputs) * dout))

    def backward() -> dict[str, Array]:
        return dict(zip(inputs, layer.backward(dout), strict=True))

    return Case(layer, inputs, loss, backward, loss)


def time_dropout_case(train: bool) -> Case:
    xs, dout = randn(1, N, T, H), randn(2, N, T, H)
    layer = reference.TimeDropout(0.4)
    layer.train_flg = train

    def loss() -> float:
        np.random.seed(5)  # the same mask every time
        return float(np.sum(layer.forward(xs) * dout))

    return Case(layer, {"xs": xs}, loss, lambda: {"xs": layer.backward(dout)}, loss)


CASES: dict[str, Case] = {
    "LSTM": lstm_case(),
    "TimeLSTM": time_lstm_case("zeros"),
    "TimeLSTM given state": time_lstm_case("given"),
    "TimeLSTM continued": time_lstm_case("continued"),
    "TimeEmbedding": time_embedding_case(),
    "TimeAffine": time_affine_case(tied=False),
    "TimeAffine tied": time_affine_case(tied=True),
    "TimeSoftmaxWithLoss": softmax_case("ids"),
    "TimeSoftmaxWithLoss ignored": softmax_case("ignored"),
    "TimeSoftmaxWithLoss ignored 4": softmax_case("ignored 4"),
    "TimeSoftmaxWithLoss one-hot": softmax_case("one-hot"),
    "WeightSum": attention_case(
        reference.WeightSum(), {"hs": randn(1, N, T, H), "a": randn(2, N, T)}, randn(3, N, H)
    ),
    "AttentionWeight": attention_case(
        reference.AttentionWeight(), {"hs": randn(1, N, T, H), "h": randn(2, N, H)}, randn(3, N, T)
    ),
    "Attention": attention_case(
        reference.Attention(), {"hs": randn(1, N, T, H), "h": randn(2, N, H)}, randn(3, N, H)
    ),
    "TimeAttention": attention_case(
        reference.TimeAttention(),
        {"hs_enc": randn(1, N, T, H), "hs_dec": randn(2, N, 3, H)},
        randn(3, N, 3, H),
    ),
    "TimeDropout": time_dropout_case(train=True),
    "TimeDropout inference": time_dropout_case(train=False),
}
EVERY_GRADIENT = [(case, name) for case in CASES for name in CASES[case].inputs]
every_gradient = pytest.mark.parametrize(("case", "name"), EVERY_GRADIENT)
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def analytic_gradients(case: Case) -> dict[str, Array]:
    case.forward()
    gradients = {name: gradient.copy() for name, gradient in case.backward().items()}
    assert gradients.keys() == case.inputs.keys()
    return gradients


@functools.cache
def analytic_and_numerical(case: str, name: str) -> tuple[Array, Array]:
    numerical = numerical_gradient(CASES[case].loss, CASES[case].inputs[name])
    return analytic_gradients(CASES[case])[name], numerical


@every_gradient
def test_gradient_is_that_of_central_differences(case: str, name: str) -> None:
    analytic, numerical = analytic_and_numerical(case, name)
    assert_close(analytic, numerical, **CENTRAL_DIFFERENCES)


@every_gradient
def test_any_broken_element_of_a_gradient_is_found(case: str, name: str) -> None:
    analytic, numerical = analytic_and_numerical(case, name)
    error = 0.01 * np.abs(analytic).max()
    assert error > 10 * CENTRAL_DIFFERENCES["atol"]
    for index in np.ndindex(analytic.shape):
        broken = analytic.copy()
        broken[index] += error
        with pytest.raises(AssertionError, match=r"^1 of"):
            assert_close(broken, numerical, **CENTRAL_DIFFERENCES)


@every_case
def test_second_backward_gives_the_same_gradients_in_the_same_arrays(case: Case) -> None:
    arrays = list(case.layer.grads)
    first = analytic_gradients(case)
    for grad in arrays:
        grad.fill(np.nan)  # whatever is not overwritten shows
    second = case.backward()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert len(arrays) == len(case.layer.params) == len(case.layer.grads)
    assert all(a is b for a, b in zip(arrays, case.layer.grads, strict=True))


@every_case
def test_params_are_the_callers_arrays(case: Case) -> None:
    weights = [x for name, x in case.inputs.items() if name[0] in "Wb"]
    assert len(case.layer.params) == len(weights)
    assert all(a is b for a, b in zip(case.layer.params, weights, strict=True))
    assert [grad.shape for grad in case.layer.grads] == [weight.shape for weight in weights]


@every_case
def test_backward_before_forward_is_refused(case: Case) -> None:
    weights = case.layer.params
    layer = type(case.layer)(*weights)
    douts = [np.ones(1)] * (2 if isinstance(layer, reference.LSTM) else 1)
    with pytest.raises(RuntimeError, match="before forward"):
        layer.backward(*douts)


# ---------------------------------------------------------------- formulas of the forward passes


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
    weights = lstm_weights()
    x, h, c = randn(4, N, D), randn(5, N, H), randn(6, N, H)
    h_next, c_next = reference.LSTM(**weights).forward(x, h, c)
    for n in range(N):
        expected_h, expected_c = lstm_step(x[n], h[n], c[n], **weights)
        assert_close(h_next[n], expected_h, **EXACT)
        assert_close(c_next[n], expected_c, **EXACT)


def test_time_lstm_formula_and_state() -> None:
    weights, xs = lstm_weights(), randn(4, N, T, D)
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
    weights, xs = lstm_weights(), randn(4, N, T, D)
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
    layer = reference.TimeLSTM(**lstm_weights(), stateful=True)
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


def test_embedding_and_affine_formulas() -> None:
    W, b, x = randn(1, D, V), randn(2, V), randn(3, N, T, D)
    ids = np.array([[0, 2, 1, 1], [2, 2, 0, 1]], dtype=np.uint8)
    embed = reference.TimeEmbedding(W)
    assert embed.W is W
    embedded, out = embed.forward(ids), reference.TimeAffine(W, b).forward(x)
    for n, t in np.ndindex(N, T):
        np.testing.assert_array_equal(embedded[n, t], W[int(ids[n, t])])
        for v in range(V):
            expected = sum(x[n, t, d] * W[d, v] for d in range(D)) + b[v]
            assert_close(out[n, t, v], expected, **EXACT)


def test_loss_formula_with_ignored_and_one_hot_labels() -> None:
    xs, ts = randn(1, N, T, V), np.array([[0, 4, -1, 2], [-1, 1, 0, 4]])
    log_p = [
        xs[n, t, ts[n, t]] - math.log(sum(math.exp(s) for s in xs[n, t]))
        for n, t in np.ndindex(N, T)
        if ts[n, t] != -1
    ]
    layer = reference.TimeSoftmaxWithLoss()
    assert layer.ignore_label == -1
    loss = layer.forward(xs, ts)
    assert_close(loss, -sum(log_p) / 6, **EXACT)
    dxs = layer.backward()
    np.testing.assert_array_equal(dxs[ts == -1], 0)
    assert np.all(dxs[ts != -1] != 0)
    assert isinstance(layer.forward(xs.astype(np.float32), ts), float)

    ids = np.where(ts == -1, 3, ts)
    assert layer.forward(xs, np.eye(V, dtype=int)[ids]) == layer.forward(xs, ids)
    layer.ignore_label = 3
    assert layer.forward(xs, ids) == loss


def test_loss_is_stable_and_refuses_to_be_empty() -> None:
    layer = reference.TimeSoftmaxWithLoss()
    xs = np.array([[[1000.0, 0.0], [0.0, -1000.0]]], dtype=np.float32)
    assert layer.forward(xs, np.array([[1, 0]])) == 500.0
    for ts in (np.array([[-1, -1]]), np.empty((1, 0), dtype=int)):
        with pytest.raises(ValueError, match="every label is ignored"):
            layer.forward(xs[:, : ts.shape[1]], ts)


def test_attention_formulas() -> None:
    hs_enc, hs_dec, dout = randn(1, N, T, H), randn(2, N, 3, H), randn(3, N, 3, H)
    layer, one = reference.TimeAttention(), reference.Attention()
    contexts = layer.forward(hs_enc, hs_dec)
    weights = np.array(layer.attention_weights)
    assert weights.shape == (3, N, T)
    for n, t in np.ndindex(N, 3):
        scores = [math.exp(sum(hs_enc[n, s] * hs_dec[n, t])) for s in range(T)]
        expected = [score / sum(scores) for score in scores]
        assert_close(weights[t, n], expected, **EXACT)
        assert_close(contexts[n, t], sum(expected[s] * hs_enc[n, s] for s in range(T)), **EXACT)

    dhs_enc, dhs_dec = layer.backward(dout)
    total = np.zeros_like(hs_enc)
    for t in range(3):
        np.testing.assert_array_equal(one.forward(hs_enc, hs_dec[:, t]), contexts[:, t])
        np.testing.assert_array_equal(one.attention_weight, weights[t])
        dhs, dh = one.backward(dout[:, t])
        np.testing.assert_array_equal(dh, dhs_dec[:, t])
        total += dhs
    assert_close(dhs_enc, total, **EXACT)


def test_attention_weights_of_huge_scores() -> None:
    hs = np.array([[[1000.0], [-1000.0]]])
    weights = reference.AttentionWeight().forward(hs, np.array([[1000.0]]))
    np.testing.assert_array_equal(weights, [[1.0, 0.0]])


def test_dropout_draws_and_scales() -> None:
    xs, layer = np.ones((N, T, 50), dtype=np.float32), reference.TimeDropout(0.25)
    np.random.seed(3)
    out = layer.forward(xs)
    np.random.seed(3)
    kept = np.random.rand(N, T, 50) > 0.25
    assert_close(out, kept / 0.75, rtol=1e-7, atol=0)
    np.testing.assert_array_equal(layer.backward(xs), out)

    layer.train_flg = False
    out = layer.forward(xs)
    np.testing.assert_array_equal(out, xs)
    assert not np.shares_memory(out, xs)
    np.testing.assert_array_equal(layer.backward(xs), xs)
    assert reference.TimeDropout().dropout_ratio == 0.5
    for ratio in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match="dropout_ratio"):
            reference.TimeDropout(ratio)


# ------------------------------------------------------------------ rules that hold for every layer


def test_weights_are_read_afresh_and_outputs_are_new() -> None:
    for layer, inputs in (
        (reference.TimeLSTM(**lstm_weights()), randn(4, N, T, D)),
        (reference.TimeAffine(randn(1, D, V), randn(2, V)), randn(4, N, T, D)),
        (reference.TimeEmbedding(randn(1, V, D)), np.array([[0, 1, 2, 3]])),
    ):
        first = layer.forward(inputs)
        kept = first.copy()
        layer.params[0] *= 2
        second = layer.forward(inputs)
        assert not np.shares_memory(first, second)
        np.testing.assert_array_equal(first, kept)
        assert not np.array_equal(first, second)


def test_outputs_may_be_modified_before_backward() -> None:
    weights, xs, dhs = lstm_weights(), randn(4, N, T, D), randn(5, N, T, H)
    layer, cell, attention = (
        reference.TimeLSTM(**weights),
        reference.LSTM(**weights),
        reference.AttentionWeight(),
    )
    x, h, c = randn(4, N, D), randn(5, N, H), randn(6, N, H)
    results = []
    for change in (1.0, 0.0):
        outputs = [layer.forward(xs), *cell.forward(x, h, c), attention.forward(dhs, h)]
        for output in outputs:
            output *= change
        results.append(
            [layer.backward(dhs), *cell.backward(h, c), *attention.backward(dhs[:, :, 0])]
        )
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_strided_inputs_give_the_numbers_of_contiguous_ones() -> None:
    xs, hs = randn(1, N, 2 * T, D)[:, ::-2], randn(2, N, T, 2 * H)[:, :, ::2]
    weights = {name: np.asfortranarray(weight) for name, weight in lstm_weights().items()}
    strided, plain = reference.TimeLSTM(**weights), reference.TimeLSTM(**lstm_weights())
    assert_close(strided.forward(xs), plain.forward(xs.copy()), **EXACT)
    assert_close(strided.backward(hs), plain.backward(hs.copy()), **EXACT)
    for grad, expected in zip(strided.grads, plain.grads, strict=True):
        assert_close(grad, expected, **EXACT)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_of_the_weights_passes_through(dtype: type) -> None:
    ids, cast = (
        np.array([[0, 1, 2], [3, 4, 4]]),
        lambda seed, *shape: randn(seed, *shape).astype(dtype),
    )
    embed = reference.TimeEmbedding(cast(1, V, D))
    lstm = reference.TimeLSTM(*(weight.astype(dtype) for weight in lstm_weights().values()))
    attention, dropout = reference.TimeAttention(), reference.TimeDropout()
    affine, softmax = (
        reference.TimeAffine(cast(2, H, V), cast(3, V)),
        reference.TimeSoftmaxWithLoss(),
    )

    hs = lstm.forward(embed.forward(ids))
    dropped = dropout.forward(attention.forward(hs, hs))
    softmax.forward(affine.forward(dropped), ids)
    dscore = softmax.backward()
    dhs_enc, dhs_dec = attention.backward(dropout.backward(affine.backward(dscore)))
    dxs = lstm.backward(dhs_enc + dhs_dec)
    embed.backward(dxs)
    arrays = [hs, dropped, dscore, dhs_enc, dhs_dec, dxs, lstm.h, lstm.c, lstm.dh, lstm.dc]
    arrays += [*attention.attention_weights, *embed.grads, *lstm.grads, *affine.grads]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


# --------------------------------------------------------------------- the instruments themselves


def test_numerical_gradient_of_a_known_function() -> None:
    x = randn(1, 3, 4)[:, ::2]
    original = x.copy()
    gradient = numerical_gradient(lambda: float(np.sum(np.sin(x) * x[0, 0])), x)
    expected = np.cos(original) * original[0, 0]
    expected[0, 0] += np.sum(np.sin(original))
    assert_close(gradient, expected, **CENTRAL_DIFFERENCES)
    np.testing.assert_array_equal(x, original)
    with pytest.raises(TypeError, match="float64"):
        numerical_gradient(lambda: 0.0, x.astype(np.float32))


def test_assert_close_shows_the_worst_element() -> None:
    expected = np.zeros((2, 3))
    actual = expected.copy()
    actual[0, 1], actual[1, 2] = 1e-3, -0.5
    with pytest.raises(AssertionError, match=r"2 of 6 .*\(1, 2\): actual .*-0\.5.*, error 0\.5"):
        assert_close(actual, expected, rtol=0, atol=1e-6)
    assert_close(actual, expected, rtol=0, atol=0.5)
    assert_close([math.nan, math.inf], [math.nan, math.inf], rtol=0, atol=0)
    for a, b in (
        (math.nan, 0.0),
        (0.0, math.nan),
        (math.inf, 1.0),
        (math.inf, -math.inf),
        (1.0, math.inf),
    ):
        with pytest.raises(AssertionError, match="1 of 1"):
            assert_close(a, b, rtol=1e-3, atol=1e-3)
    with pytest.raises(AssertionError, match="shapes differ"):
        assert_close(np.zeros((1, 3)), np.zeros(3), rtol=1, atol=1)


def test_float32_tolerance_fits_dot_products_and_nothing_much_larger() -> None:
    for size in (*SIZES, 4096):
        a, b = randn(1, 100, size), randn(2, size)
        a32, b32 = a.astype(np.float32), b.astype(np.float32)
        exact = a32.astype(np.float64) @ b32.astype(np.float64)
        tolerance = float32_tolerance(size, magnitude=float(np.max(np.abs(a) @ np.abs(b))))
        assert_close(a32 @ b32, exact, **tolerance)
        assert_close(np.add.accumulate(a32 * b32, axis=1)[:, -1], exact, **tolerance)
        assert tolerance["rtol"] < 1e-4
        exact[7] += 0.01 * np.abs(exact).max()
        with pytest.raises(AssertionError, match="1 of 100"):
            assert_close(a32 @ b32, exact, **tolerance)
