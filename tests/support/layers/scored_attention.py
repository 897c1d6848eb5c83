"""`ScoredAttention` beside that of the reference: arguments, runs, comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import fastseq_reference
from fastseq.layers import ScoredAttention
from support.helpers import (
    SIZES,
    assert_close,
    float32_tolerance,
)

Array = npt.NDArray[Any]


Results = dict[str, Array]


Lengths = tuple[Array | None, Array | None]


KINDS = ("dot", "scaled_dot", "general", "additive")


PARAMETERS = {"dot": (), "scaled_dot": (), "general": ("W",), "additive": ("W_enc", "W_dec", "v")}


# N, Te, Td, H and A; A is that of additive attention only
CASES = [
    *[(N, 4, 3, 9, 5) for N in SIZES],
    *[(3, Te, 3, 9, 5) for Te in SIZES],
    *[(3, 4, Td, 9, 5) for Td in SIZES],
    *[(3, 5, 3, H, 7) for H in SIZES],
    *[(3, 5, 3, 9, A) for A in SIZES],
    (17, 29, 10, 130, 70),
]


def draw(rng: np.random.Generator, *shape: int) -> Array:
    """Values of the size of an LSTM's hidden states, in -1 .. 1."""
    return rng.uniform(-1, 1, size=shape).astype(np.float32)


def draw_params(kind: str, H: int, A: int) -> list[Array]:
    rng = np.random.default_rng([H, A])
    shapes: dict[str, list[tuple[int, ...]]] = {
        "general": [(H, H)],
        "additive": [(H, A), (H, A), (A,)],
    }
    return [draw(rng, *shape) / np.float32(np.sqrt(H)) for shape in shapes.get(kind, [])]


def draw_lengths(N: int, Te: int, Td: int) -> tuple[Array, Array]:
    """A full row and a row of one encoder step, a full and an empty decoder row, among others."""
    rng = np.random.default_rng([N, Te, Td])
    encoder_lengths = rng.integers(1, Te + 1, size=N)
    decoder_lengths = rng.integers(0, Td + 1, size=N)
    encoder_lengths[:2] = (Te, 1)[:N]
    decoder_lengths[-2:] = (Td, 0)[-N:]
    return encoder_lengths, decoder_lengths


def arguments(N: int, Te: int, Td: int, H: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng([N, Te, Td, H])
    return draw(rng, N, Te, H), draw(rng, N, Td, H), draw(rng, N, Td, H)


def padded(xs: Array, lengths: Array | None, value: float = np.nan) -> Array:
    """A copy with another value past the lengths."""
    xs = xs.copy()
    if lengths is not None:
        xs[np.arange(xs.shape[1]) >= lengths[:, np.newaxis]] = value
    return xs


def run(layer: Any, hs_enc: Array, hs_dec: Array, dout: Array, lengths: Lengths) -> Results:
    """All that a forward and a backward pass give."""
    contexts = layer.forward(hs_enc, hs_dec, *lengths)
    dhs_enc, dhs_dec = layer.backward(dout)
    grads = zip(PARAMETERS[layer.kind], layer.grads, strict=True)
    return {
        "contexts": contexts,
        "weights": layer.attention_weights,
        "dhs_enc": dhs_enc,
        "dhs_dec": dhs_dec,
        **{f"d{name}": grad.copy() for name, grad in grads},
    }


def run_both(
    kind: str, case: tuple[int, int, int, int, int], with_lengths: bool
) -> tuple[Results, Results]:
    """Ours with NaN for padding, and the reference in float64."""
    N, Te, Td, H, A = case
    params, arrays = draw_params(kind, H, A), arguments(N, Te, Td, H)
    lengths = draw_lengths(N, Te, Td) if with_lengths else (None, None)
    twin = fastseq_reference.ScoredAttention(kind, [param.astype(np.float64) for param in params])
    expected = run(twin, *[array.astype(np.float64) for array in arrays], lengths)
    sides = (lengths[0], lengths[1], lengths[1])
    ours = [padded(array, side) for array, side in zip(arrays, sides, strict=True)]
    return run(ScoredAttention(kind, params), *ours, lengths), expected


def assert_results_close(
    actual: Results, expected: Results, case: tuple[int, int, int, int, int]
) -> None:
    """Scores are sums of H or A terms that may be sums of H; gradients of weights have N T more."""
    N, Te, Td, H, A = case
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        length = 3 * H + 2 * A + 2 * (Te + Td)
        if name.startswith(("dW", "dv")):
            length += N * Te * Td
        magnitude = max(1.0, float(np.abs(value).max(initial=0)))
        assert_close(actual[name], value, **float32_tolerance(length, magnitude))


def assert_same_bits(actual: Results, expected: Results) -> None:
    for name, value in expected.items():
        assert np.array_equal(actual[name], value), name
