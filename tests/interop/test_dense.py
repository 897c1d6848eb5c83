"""The affine map with an activation, which Keras calls Dense."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastseq.interop import Dense
from support.helpers import assert_close, numerical_gradient, operand_rounding

Array = npt.NDArray[Any]

FUNCTIONS = {
    "relu": lambda a: np.maximum(a, 0),
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "softmax": lambda a: np.exp(a) / np.exp(a).sum(axis=-1, keepdims=True),
    "tanh": np.tanh,
}


@pytest.mark.parametrize("activation", FUNCTIONS)
@pytest.mark.parametrize("shape", [(3, 4), (2, 5, 4)])
def test_forward_and_backward(activation: str, shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    x, W, b = (generator.normal(size=size) for size in (shape, (4, 6), (6,)))
    dout = generator.normal(size=(*shape[:-1], 6))

    def loss() -> float:
        return float((FUNCTIONS[activation](x @ W + b) * dout).sum())

    def compare(actual: Array, expected: Array, atol: float) -> None:
        assert_close(
            actual, expected, rtol=1e-7, atol=atol + operand_rounding() * np.abs(expected).max()
        )

    layer = Dense(W.astype("f"), b.astype("f"), activation)
    y = layer.forward(x)
    compare(y, FUNCTIONS[activation](x @ W + b), 1e-6)
    y[...] = 7  # the caller's own now
    compare(layer.backward(dout), numerical_gradient(loss, x), 1e-4)
    for grad, param in zip(layer.grads, (W, b), strict=True):
        compare(grad, numerical_gradient(loss, param), 1e-4)


def test_wrong_arguments() -> None:
    W, b = np.ones((2, 3), "f"), np.ones(3, "f")
    with pytest.raises(ValueError, match="^activation: expected one of relu, .*, got 'gelu'"):
        Dense(W, b, "gelu")
    with pytest.raises(ValueError, match="^b: expected shape"):
        Dense(W, W, "relu")
    layer = Dense(W, b, "relu")
    with pytest.raises(RuntimeError, match="Dense.backward was called before forward"):
        layer.backward(np.ones((1, 3)))
    layer.forward(np.ones((1, 2)))
    with pytest.raises(ValueError, match="^dout: expected shape"):
        layer.backward(np.ones((2, 3)))
