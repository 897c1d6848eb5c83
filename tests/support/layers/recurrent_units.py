"""RNN and GRU layers beside those of the reference: arguments, runs, comparison."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from support.helpers import SIZES, assert_close, float32_tolerance
from support.layers import cells
from support.layers.cells import GATES, REFERENCE_SEQUENCES, REFERENCE_STEPS, weight_shapes

Array = npt.NDArray[Any]


Results = dict[str, Array]


class Unit(NamedTuple):
    """A recurrent network with one state: the name of its cell, its layers, and their twins."""

    name: str
    cell: Any
    time: Any
    cell_twin: Any
    time_twin: Any

    @property
    def blocks(self) -> int:
        return GATES[self.name]

    @property
    def gradients(self) -> list[str]:
        return [f"d{weight}" for weight in weight_shapes(self.name, 1, 1)]


UNITS = {
    name: Unit(
        name,
        cells.STEPS[name],
        cells.SEQUENCES[name],
        REFERENCE_STEPS[name],
        REFERENCE_SEQUENCES[name],
    )
    for name in ("rnn", "gru", "gru_reset_after")
}


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


def draw(rng: np.random.Generator, *shape: int) -> Array:
    return rng.normal(size=shape).astype(np.float32)


def draw_weights(rng: np.random.Generator, unit: Unit, D: int, H: int) -> list[Array]:
    return cells.draw_weights(rng, unit.name, D, H)


def draw_all(unit: Unit, N: int, T: int, D: int, H: int) -> tuple[list[Array], Array, Array]:
    rng = np.random.default_rng([N, T, D, H])
    return draw_weights(rng, unit, D, H), draw(rng, N, T, D), draw(rng, N, T, H)


def float64(*arrays: Array) -> list[Array]:
    return [array.astype(np.float64) for array in arrays]


def run(layer: Any, xs: Array, dhs: Array) -> Results:
    """All that a forward and a backward pass give."""
    hs = layer.forward(xs)
    dxs = layer.backward(dhs)
    names = ("dWx", "dWh", "db", "dbh")[: len(layer.grads)]
    grads = {name: grad.copy() for name, grad in zip(names, layer.grads, strict=True)}
    return {"hs": hs, "dxs": dxs, "h": layer.h, "dh": layer.dh, **grads}


def run_both(unit: Unit, N: int, T: int, D: int, H: int) -> tuple[Results, Results]:
    weights, xs, dhs = draw_all(unit, N, T, D, H)
    expected = run(unit.time_twin(*float64(*weights)), *float64(xs, dhs))
    return run(unit.time(*weights), xs, dhs), expected


def assert_results_close(actual: Results, expected: Results, length: int) -> None:
    """Compare with a tolerance for `length` terms, of the size of the largest result."""
    for name, value in expected.items():
        magnitude = max(1.0, float(np.abs(value).max(initial=0)))
        assert_close(actual[name], value, **float32_tolerance(length, magnitude))


def assert_same_bits(actual: Results, expected: Results) -> None:
    for name, value in expected.items():
        assert np.array_equal(actual[name].view(np.uint32), value.view(np.uint32)), name


def terms(unit: Unit, N: int, T: int, D: int, H: int) -> int:
    return T * (D + unit.blocks * H) + N * T
