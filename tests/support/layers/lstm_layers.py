"""LSTM layers beside those of the reference: arguments, runs, comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import fastseq_reference
from fastseq.layers import TimeLSTM
from support.helpers import SIZES, assert_close, float32_tolerance

Array = npt.NDArray[Any]


Results = dict[str, Array]


CASES = [
    *[(N, 3, 5, 9) for N in SIZES],
    *[(2, T, 3, 7) for T in SIZES],
    *[(3, 3, D, 9) for D in SIZES],
    *[(3, 4, 5, H) for H in SIZES],
    (7, 3, 15, 31),
    (17, 4, 17, 17),
    (33, 3, 1, 1),
    (1, 3, 64, 64),
    (16, 5, 16, 130),
    (65, 5, 33, 65),
]


def draw_weights(rng: np.random.Generator, D: int, H: int) -> list[Array]:
    Wx = rng.normal(size=(D, 4 * H)) / np.sqrt(D)
    Wh = rng.normal(size=(H, 4 * H)) / np.sqrt(H)
    b = rng.normal(size=4 * H) / 4
    return [weight.astype(np.float32) for weight in (Wx, Wh, b)]


def draw(rng: np.random.Generator, *shape: int) -> Array:
    return rng.normal(size=shape).astype(np.float32)


def float64(*arrays: Array) -> list[Array]:
    return [array.astype(np.float64) for array in arrays]


def run(layer: Any, xs: Array, dhs: Array) -> Results:
    """All that a forward and a backward pass give."""
    hs = layer.forward(xs)
    dxs = layer.backward(dhs)
    names = ("dWx", "dWh", "db")
    grads = {name: grad.copy() for name, grad in zip(names, layer.grads, strict=True)}
    state = {name: getattr(layer, name) for name in ("h", "c", "dh", "dc")}
    return {"hs": hs, "dxs": dxs, **state, **grads}


def assert_results_close(actual: Results, expected: Results, length: int) -> None:
    """Compare with a tolerance for `length` terms, of the size of the largest result."""
    for name, value in expected.items():
        magnitude = max(1.0, float(np.abs(value).max(initial=0)))
        assert_close(actual[name], value, **float32_tolerance(length, magnitude))


def run_both(N: int, T: int, D: int, H: int) -> tuple[Results, Results]:
    rng = np.random.default_rng([N, T, D, H])
    weights, xs, dhs = draw_weights(rng, D, H), draw(rng, N, T, D), draw(rng, N, T, H)
    expected = run(fastseq_reference.TimeLSTM(*float64(*weights)), *float64(xs, dhs))
    return run(TimeLSTM(*weights), xs, dhs), expected
