"""The models of sequence to sequence beside those of the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import fastseq
import fastseq.models.seq2seq
import fastseq_reference
from support.helpers import assert_close, convert_model, float32_tolerance

Array = npt.NDArray[Any]


MODELS = ("Seq2seq", "PeekySeq2seq", "AttentionSeq2seq")


# N, Te, Td, V, D, H
CASES = [
    *[(N, 4, 4, 9, 5, 9) for N in (1, 2, 8, 17, 65)],
    *[(3, Te, 4, 9, 5, 9) for Te in (1, 2, 7, 16, 33)],
    *[(3, 4, Td, 9, 5, 9) for Td in (2, 3, 9, 17)],
    *[(3, 4, 4, V, 5, 9) for V in (1, 2, 15, 16, 33, 64)],
    *[(3, 4, 4, 9, D, 9) for D in (1, 7, 8, 17, 31)],
    *[(3, 4, 4, 9, 5, H) for H in (1, 7, 8, 15, 16, 17, 33, 65)],
    (33, 7, 5, 13, 16, 64),
    (64, 9, 6, 59, 16, 31),
]


SIZES = (5, 6, 5, 13, 7, 17)


def build(package: Any, name: str, V: int, D: int, H: int, scale: float = 1) -> Any:
    """A model from a fixed seed; `scale` makes its answers more varied."""
    np.random.seed(V + D + H)
    model = getattr(package, name)(V, D, H)
    for param in model.params:
        param *= scale
    return model


def sequences(N: int, Te: int, Td: int, V: int) -> tuple[Array, Array]:
    rng = np.random.default_rng([N, Te, Td, V])
    return rng.integers(0, V, size=(N, Te)), rng.integers(0, V, size=(N, Td))


def run(model: Any, xs: Array, ts: Array) -> list[Any]:
    """The loss, and copies of all gradients."""
    loss = model.forward(xs, ts)
    assert model.backward() is None
    return [loss, *[grad.copy() for grad in model.grads]]


def run_both(
    name: str, N: int, Te: int, Td: int, V: int, D: int, H: int
) -> tuple[list[Any], list[Any]]:
    xs, ts = sequences(N, Te, Td, V)
    twin = convert_model(build(fastseq_reference, name, V, D, H), np.float64)
    return run(build(fastseq, name, V, D, H), xs, ts), run(twin, xs, ts)


def assert_results_close(actual: list[Any], expected: list[Any], length: int) -> None:
    # the mean over positions makes gradients small: they are compared on their own scale
    for one, other in zip(actual, expected, strict=True):
        magnitude = float(np.abs(other).max())
        tolerance = float32_tolerance(length, magnitude)
        assert_close(one, other, rtol=tolerance["rtol"], atol=tolerance["atol"] + 1e-9)


def length_of(N: int, Te: int, Td: int, V: int, D: int, H: int) -> int:
    return (Te + Td) * (D + 5 * H) + V + N * Td
