"""Pins the reference's textbook layers: RNN, GRU, both directions, and the layers without time.

As in test_layers.py: formulas by independent loops, gradients by central differences in
float64 over every input and every parameter, and proof that the comparison finds a broken element.
"""

import functools
import math
from typing import Any

import numpy as np
import pytest

import fastseq_reference as reference
from reference.test_layers import EXACT, Case, D, H, N, T, V, analytic_gradients, randn
from support.cells import ReferenceGRUResetAfter, ReferenceTimeGRUResetAfter
from support.helpers import CENTRAL_DIFFERENCES, assert_close, numerical_gradient

Array = Any

# The loss adds 1e-7 to the probability y and its gradient, by contract, leaves that out: a factor
# of 1 + 1e-7 / y. No label of these tests has a probability below 0.02.
WITH_LOSS = {"rtol": 6e-6, "atol": 1e-7}
LABELS = np.array([[0, 4, 2, 2], [3, 1, 0, 4]])


def weights_of(blocks: int, seed: int = 0) -> dict[str, Array]:
    return {
        "Wx": randn(seed + 1, D, blocks * H),
        "Wh": randn(seed + 2, H, blocks * H),
        "b": randn(seed + 3, blocks * H),
    }


def reset_after_weights() -> dict[str, Array]:
    return {**weights_of(3), "bh": randn(9, H)}


def cell_case(cell: Any, weights: dict[str, Array]) -> Case:
    inputs = {"x": randn(4, N, D), "h_prev": randn(5, N, H)}
    dh_next = randn(7, N, H)
    layer = cell(**weights)

    def loss() -> float:
        return float(np.sum(layer.forward(**inputs) * dh_next))

    def backward() -> dict[str, Array]:
        return dict(zip(inputs | weights, (*layer.backward(dh_next), *layer.grads), strict=True))

    return Case(layer, inputs | weights, loss, backward, loss)


def time_case(cls: Any, weights: dict[str, Array], width: int, start: str) -> Case:
    """A layer over a sequence that begins from zeros, a given state, or the call before."""
    xs, past, dhs = randn(4, N, T, D), randn(8, N, T, D), randn(5, N, T, width)
    layer = cls(**weights, stateful=start != "zeros")
    letters = [letter for letter in "hc" if hasattr(layer, letter)]
    state: dict[str, Array] = {}
    if start == "given":
        state = {letter: randn(6 + i, N, width) for i, letter in enumerate(letters)}
    elif start == "continued":
        layer.forward(past)
        # truncated: what the past left stays constant when a weight changes
        state = {letter: getattr(layer, letter).copy() for letter in letters}

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
        dstate = {letter: getattr(layer, "d" + letter) for letter in state}
        return {"xs": dxs} | dstate | dict(zip(weights, layer.grads, strict=True))

    forward = continued_forward if start == "continued" else loss
    return Case(layer, {"xs": xs} | state | weights, loss, backward, forward)


def both_directions() -> dict[str, Array]:
    pairs = [(weights_of(4), "1"), (weights_of(4, seed=10), "2")]
    return {name + number: weight for part, number in pairs for name, weight in part.items()}


def plain_case(layer: Any, x: Array, dout: Array, weights: dict[str, Array]) -> Case:
    """A layer of one floating-point input."""

    def loss() -> float:
        np.random.seed(5)  # the same mask every time, for dropout
        return float(np.sum(layer.forward(x) * dout))

    def backward() -> dict[str, Array]:
        return dict(zip(["x", *weights], [layer.backward(dout), *layer.grads], strict=True))

    return Case(layer, {"x": x} | weights, loss, backward, loss)


def embedding_case() -> Case:
    W, dout, ids = randn(1, V, D), randn(2, 6, D), np.array([0, 1, 1, 4, 1, 0])
    layer = reference.Embedding(W)

    def loss() -> float:
        return float(np.sum(layer.forward(ids) * dout))

    def backward() -> dict[str, Array]:
        assert layer.backward(dout) is None
        return {"W": layer.grads[0]}

    return Case(layer, {"W": W}, loss, backward, loss)


def dropout_inference_case() -> Case:
    x, dout, layer = randn(1, N, T, H), randn(2, N, T, H), reference.Dropout(0.4)

    def loss() -> float:
        return float(np.sum(layer.forward(x, train_flg=False) * dout))

    return Case(layer, {"x": x}, loss, lambda: {"x": layer.backward(dout)}, loss)


def loss_case(layer: Any, x: Array, t: Array, dout: float) -> Case:
    def loss() -> float:
        return layer.forward(x, t) * dout

    return Case(layer, {"x": x}, loss, lambda: {"x": layer.backward(dout)}, loss)


AFFINE = {"W": randn(1, D, V), "b": randn(2, V)}
EYE = np.eye(V, dtype=int)
CASES: dict[str, Case] = {
    "RNN": cell_case(reference.RNN, weights_of(1)),
    "GRU": cell_case(reference.GRU, weights_of(3)),
    "GRU reset after": cell_case(ReferenceGRUResetAfter, reset_after_weights()),
    **{
        f"{cls.__name__} {start}": time_case(cls, weights, width, start)
        for start in ("zeros", "given", "continued")
        for cls, weights, width in (
            (reference.TimeRNN, weights_of(1), H),
            (reference.TimeGRU, weights_of(3), H),
            (ReferenceTimeGRUResetAfter, reset_after_weights(), H),
            (reference.TimeBiLSTM, both_directions(), 2 * H),
        )
    },
    "MatMul": plain_case(
        reference.MatMul(AFFINE["W"]), randn(3, 4, D), randn(4, 4, V), {"W": AFFINE["W"]}
    ),
    "Affine": plain_case(reference.Affine(**AFFINE), randn(3, 4, D), randn(4, 4, V), AFFINE),
    "Affine of steps": plain_case(
        reference.Affine(**AFFINE), randn(3, N, T, D), randn(4, N, T, V), AFFINE
    ),
    "Softmax": plain_case(reference.Softmax(), randn(3, 4, V), randn(4, 4, V), {}),
    "Sigmoid": plain_case(reference.Sigmoid(), randn(3, N, T, V), randn(4, N, T, V), {}),
    "Dropout": plain_case(reference.Dropout(0.4), randn(3, N, T, V), randn(4, N, T, V), {}),
    "Dropout inference": dropout_inference_case(),
    "Embedding": embedding_case(),
}
LOSS_CASES: dict[str, Case] = {
    "SoftmaxWithLoss": loss_case(reference.SoftmaxWithLoss(), randn(1, T, V), LABELS[0], 1),
    "SoftmaxWithLoss one-hot": loss_case(
        reference.SoftmaxWithLoss(), randn(1, T, V), EYE[LABELS[0]], -2.5
    ),
    "SigmoidWithLoss": loss_case(reference.SigmoidWithLoss(), randn(1, T), LABELS[0] // 2 % 2, 1.5),
    "TimeSigmoidWithLoss": loss_case(
        reference.TimeSigmoidWithLoss(), randn(1, N, T), LABELS % 2, -2.5
    ),
    "Simple_TimeSoftmaxWithLoss": loss_case(
        reference.Simple_TimeSoftmaxWithLoss(), randn(1, N, T, V), LABELS, 1
    ),
    "Simple_TimeSoftmaxWithLoss one-hot": loss_case(
        reference.Simple_TimeSoftmaxWithLoss(), randn(1, N, T, V), EYE[LABELS], -2.5
    ),
}
ALL_CASES = CASES | LOSS_CASES
EVERY_GRADIENT = [(case, name) for case in ALL_CASES for name in ALL_CASES[case].inputs]
every_gradient = pytest.mark.parametrize(("case", "name"), EVERY_GRADIENT)
every_case = pytest.mark.parametrize("case", ALL_CASES.values(), ids=ALL_CASES.keys())


def tolerance(case: str) -> dict[str, float]:
    return WITH_LOSS if case in LOSS_CASES else CENTRAL_DIFFERENCES


@functools.cache
def analytic_and_numerical(case: str, name: str) -> tuple[Array, Array]:
    numerical = numerical_gradient(ALL_CASES[case].loss, ALL_CASES[case].inputs[name])
    return analytic_gradients(ALL_CASES[case])[name], numerical


@every_gradient
def test_gradient_is_that_of_central_differences(case: str, name: str) -> None:
    analytic, numerical = analytic_and_numerical(case, name)
    assert_close(analytic, numerical, **tolerance(case))


@every_gradient
def test_any_broken_element_of_a_gradient_is_found(case: str, name: str) -> None:
    analytic, numerical = analytic_and_numerical(case, name)
    error = 0.01 * np.abs(analytic).max()
    assert error > 10 * tolerance(case)["atol"]
    for index in np.ndindex(analytic.shape):
        broken = analytic.copy()
        broken[index] += error
        with pytest.raises(AssertionError, match=r"^1 of"):
            assert_close(broken, numerical, **tolerance(case))


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
    with pytest.raises(RuntimeError, match="before forward"):
        type(case.layer)(*case.layer.params).backward(np.ones(1))


# ------------------------------------------------------------------------- formulas, step by step


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


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


def test_functions() -> None:
    x = np.array([[-1000.0, -1.5, 0.0], [2.0, 1000.0, 1000.0]])
    assert_close(reference.sigmoid(x[:, 1]), [sigmoid(-1.5), 1.0], **EXACT)
    with np.errstate(all="raise", under="ignore"):
        assert_close(reference.sigmoid(x)[0, 0], 0.0, **EXACT)
        assert_close(reference.softmax(x), [[0, *_softmax([-1.5, 0])], [0, 0.5, 0.5]], **EXACT)
    np.testing.assert_array_equal(reference.softmax(x[0]), reference.softmax(x)[0])
    np.testing.assert_array_equal(reference.relu(x), [[0, 0, 0], [2, 1000, 1000]])


def _softmax(scores: list[float]) -> list[float]:
    return [math.exp(score) / sum(math.exp(other) for other in scores) for score in scores]


def test_cross_entropy_error() -> None:
    y, t = np.array([[0.2, 0.7, 0.1], [1.0, 0.0, 0.0]]), np.array([1, 2])
    expected = -(math.log(0.7 + 1e-7) + math.log(1e-7)) / 2
    assert_close(reference.cross_entropy_error(y, t), expected, **EXACT)
    assert isinstance(reference.cross_entropy_error(y.astype("f"), t), float)
    assert reference.cross_entropy_error(y, np.eye(3)[t]) == reference.cross_entropy_error(y, t)
    for one in (np.array(1), np.array([1]), np.array([0, 1, 0])):
        assert_close(reference.cross_entropy_error(y[0], one), -math.log(0.7 + 1e-7), **EXACT)


def test_losses_are_cross_entropies() -> None:
    xs, ts = randn(1, N, T, V), LABELS
    loss = reference.Simple_TimeSoftmaxWithLoss().forward(xs, ts)
    rows = reference.softmax(xs.reshape(-1, V))
    assert_close(loss, reference.cross_entropy_error(rows, ts.reshape(-1)), **EXACT)
    one = reference.SoftmaxWithLoss().forward(xs.reshape(-1, V), ts.reshape(-1))
    assert_close(one, loss, **EXACT)

    xs, ts = randn(1, N, T), LABELS % 2
    expected = -np.mean(
        [math.log(sigmoid(x if t else -x) + 1e-7) for x, t in zip(xs.flat, ts.flat, strict=True)]
    )
    assert_close(reference.TimeSigmoidWithLoss().forward(xs, ts), expected, **EXACT)
    one = reference.SigmoidWithLoss().forward(xs.reshape(-1), ts.reshape(-1))
    assert_close(one, expected, **EXACT)


def test_simple_time_affine_is_time_affine() -> None:
    x, dout = randn(3, N, T, D), randn(4, N, T, V)
    layer, other = reference.Simple_TimeAffine(**AFFINE), reference.TimeAffine(**AFFINE)
    assert layer.W is AFFINE["W"]
    assert layer.b is AFFINE["b"]
    with pytest.raises(RuntimeError, match="before forward"):
        layer.backward(dout)
    assert_close(layer.forward(x), other.forward(x), **EXACT)
    expected = other.backward(dout)
    arrays = layer.dW, layer.db
    for _ in range(2):
        assert_close(layer.backward(dout), expected, **EXACT)
        assert layer.dW is arrays[0]
        assert layer.db is arrays[1]
        assert_close(layer.dW, other.grads[0], **EXACT)
        assert_close(layer.db, other.grads[1], **EXACT)


def test_dropout_draws_and_does_not_rescale() -> None:
    x, layer = np.ones((N, 50), dtype=np.float32), reference.Dropout(0.25)
    np.random.seed(3)
    out = layer.forward(x)
    np.random.seed(3)
    np.testing.assert_array_equal(out, np.random.rand(N, 50) > 0.25)
    np.testing.assert_array_equal(layer.backward(x), out)
    np.testing.assert_array_equal(layer.forward(x, train_flg=False), x * np.float32(0.75))
    assert reference.Dropout().dropout_ratio == 0.5
    for ratio in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="dropout_ratio"):
            reference.Dropout(ratio)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_of_the_weights_passes_through(dtype: type) -> None:
    def cast(weights: dict[str, Array]) -> list[Array]:
        return [weight.astype(dtype) for weight in weights.values()]

    xs = randn(1, N, T, D).astype(dtype)
    arrays = []
    for layer, width in (
        (reference.TimeRNN(*cast(weights_of(1))), H),
        (reference.TimeGRU(*cast(weights_of(3))), H),
        (ReferenceTimeGRUResetAfter(*cast(reset_after_weights())), H),
        (reference.TimeBiLSTM(*cast(both_directions())), 2 * H),
        (reference.Simple_TimeAffine(*cast(AFFINE)), V),
        (reference.Affine(*cast(AFFINE)), V),
        (reference.Softmax(), D),
        (reference.Sigmoid(), D),
        (reference.Dropout(), D),
    ):
        arrays += [layer.forward(xs), layer.backward(np.ones((N, T, width), dtype))]
        arrays += getattr(layer, "grads", [])
    for layer, x, t in (
        (reference.SoftmaxWithLoss(), xs[:, 0], LABELS[:, 0] % D),
        (reference.SigmoidWithLoss(), xs[0, :, 0], LABELS[0] % 2),
        (reference.TimeSigmoidWithLoss(), xs[:, :, 0], LABELS % 2),
        (reference.Simple_TimeSoftmaxWithLoss(), xs, LABELS % D),
    ):
        assert isinstance(layer.forward(x, t), float)
        arrays.append(layer.backward())
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}
