"""Layers of the reference in a scalar loss, for comparison of gradients, and their weights."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import fastseq_reference as reference

Array = Any
EXACT = {"rtol": 1e-12, "atol": 1e-12}  # two float64 computations of the same formula
N, T, D, H, V = 2, 4, 3, 2, 5
LABELS = np.array([[0, 4, 2, 2], [3, 1, 0, 4]])


class Case(NamedTuple):
    """A layer in a scalar loss of its `inputs`; `backward` returns the gradient of each."""

    layer: Any
    inputs: dict[str, Array]
    loss: Callable[[], float]
    backward: Callable[[], dict[str, Array]]
    forward: Callable[[], Any]  # called before backward: the loss, unless the past is constant


def randn(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


# ---- weights ----


def weights_of(blocks: int, seed: int = 0) -> dict[str, Array]:
    return {
        "Wx": randn(seed + 1, D, blocks * H),
        "Wh": randn(seed + 2, H, blocks * H),
        "b": randn(seed + 3, blocks * H),
    }


def reset_after_weights() -> dict[str, Array]:
    return {**weights_of(3), "bh": randn(9, H)}


def both_directions() -> dict[str, Array]:
    pairs = [(weights_of(4), "1"), (weights_of(4, seed=10), "2")]
    return {name + number: weight for part, number in pairs for name, weight in part.items()}


AFFINE = {"W": randn(1, D, V), "b": randn(2, V)}


# ---- cases ----


def lstm_case() -> Case:
    weights = weights_of(4)
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
    """A layer over a sequence, with initial states of zeros, given, or from the previous call."""
    xs, past, dhs = randn(4, N, T, D), randn(8, N, T, D), randn(5, N, T, width)
    layer = cls(**weights, stateful=start != "zeros")
    letters = [letter for letter in "hc" if hasattr(layer, letter)]
    state: dict[str, Array] = {}
    if start == "given":
        state = {letter: randn(6 + i, N, width) for i, letter in enumerate(letters)}
    elif start == "continued":
        layer.forward(past)
        # truncated backpropagation: states of the past are constant when a weight changes
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


def plain_case(layer: Any, x: Array, dout: Array, weights: dict[str, Array]) -> Case:
    """A layer of one floating-point input."""

    def loss() -> float:
        np.random.seed(5)  # the same mask every time, for dropout
        return float(np.sum(layer.forward(x) * dout))

    def backward() -> dict[str, Array]:
        return dict(zip(["x", *weights], [layer.backward(dout), *layer.grads], strict=True))

    return Case(layer, {"x": x} | weights, loss, backward, loss)


def embedding_case(layer_class: Any, ids: Array) -> Case:
    W, dout = randn(1, V, D), randn(2, *ids.shape, D)
    layer = layer_class(W)

    def loss() -> float:
        return float(np.sum(layer.forward(ids) * dout))

    def backward() -> dict[str, Array]:
        assert layer.backward(dout) is None
        return {"W": layer.grads[0]}

    return Case(layer, {"W": W}, loss, backward, loss)


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


def dropout_inference_case() -> Case:
    x, dout, layer = randn(1, N, T, H), randn(2, N, T, H), reference.Dropout(0.4)

    def loss() -> float:
        return float(np.sum(layer.forward(x, train_flg=False) * dout))

    return Case(layer, {"x": x}, loss, lambda: {"x": layer.backward(dout)}, loss)


def loss_case(layer: Any, x: Array, t: Array, dout: float) -> Case:
    def loss() -> float:
        return layer.forward(x, t) * dout

    return Case(layer, {"x": x}, loss, lambda: {"x": layer.backward(dout)}, loss)
