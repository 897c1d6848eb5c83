"""The language models beside those of the reference."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastseq
import fastseq_reference
from support.helpers import (
    assert_close,
    float32_tolerance,
)

Array = Any


MODELS = ("Rnnlm", "BetterRnnlm")


GENERATORS = ("RnnlmGen", "BetterRnnlmGen")


# N, T, V, D, H; the tied model takes H for D
CASES = [
    *[(N, 3, 9, 5, 9) for N in (1, 2, 8, 17, 33)],
    *[(3, T, 9, 5, 9) for T in (1, 2, 7, 17)],
    *[(3, 4, V, 5, 9) for V in (1, 2, 15, 16, 33, 65)],
    *[(3, 4, 9, 5, H) for H in (1, 7, 8, 15, 16, 17, 31, 64)],
    *[(3, 4, 9, D, 9) for D in (1, 8, 16, 33)],
]


SIZES = (3, 5, 13, 7, 17)


def build(package: Any, name: str, V: int, D: int, H: int, scale: float = 1, **more: Any) -> Any:
    """A model from a fixed seed; with embeddings scaled by 100 its answers are varied."""
    np.random.seed(V + D + H)
    model = getattr(package, name)(V, H if name.startswith("Better") else D, H, **more)
    model.params[0][...] *= scale
    return model


def as_float64(model: Any) -> Any:
    """Give a model of the reference float64 weights, in place, tied where they were."""
    tied = np.shares_memory(model.layers[0].params[0], model.layers[-1].params[0])
    for layer in model.layers:
        layer.params[:] = [param.astype(np.float64) for param in layer.params]
        layer.grads[:] = [grad.astype(np.float64) for grad in layer.grads]
    (model.layers[0].W,) = model.layers[0].params
    if tied:
        model.layers[-1].params[0] = model.layers[0].W.T
    model.params[:] = [param for layer in model.layers for param in layer.params]
    model.grads[:] = [grad for layer in model.layers for grad in layer.grads]
    return model


def texts(N: int, T: int, V: int) -> tuple[Array, Array]:
    rng = np.random.default_rng([N, T, V])
    return rng.integers(0, V, (N, T)), rng.integers(0, V, (N, T))


# ------------------------------------------------------------------------ fastseq, as the reference


def run_both(name: str, N: int, T: int, V: int, D: int, H: int) -> tuple[list[Any], list[Any]]:
    """Loss, gradients and state of two calls, the second from the state of the first."""

    def run(model: Any) -> list[Any]:
        results: list[Any] = []
        np.random.seed(3)
        for _ in range(2):
            results.append(model.forward(xs, ts))
            assert model.backward() is None
            results += [grad.copy() for grad in model.grads]
        lstms = getattr(model, "lstm_layers", None) or [model.lstm_layer]
        return results + [state for lstm in lstms for state in (lstm.h, lstm.c)]

    xs, ts = texts(N, T, V)
    twin = as_float64(build(fastseq_reference, name, V, D, H))
    return run(build(fastseq, name, V, D, H)), run(twin)


def assert_results_close(actual: list[Any], expected: list[Any], length: int) -> None:
    # the mean over positions makes gradients small: they are compared on their own scale
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        tolerance = float32_tolerance(length, float(np.abs(other).max()))
        assert_close(one, other, rtol=tolerance["rtol"], atol=tolerance["atol"] + 1e-9)


def length_of(N: int, T: int, V: int, D: int, H: int) -> int:
    return 2 * 2 * T * (D + 5 * H) + V + N * T
