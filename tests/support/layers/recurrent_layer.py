"""A RecurrentLayer's weights, input and gradients, run through the layer and its reference."""

import copy
from typing import Any

import numpy as np
import numpy.typing as npt

import fastseq_reference
from fastseq.layers import RecurrentLayer
from support.helpers import assert_close, float32_tolerance
from support.layers.cells import GATES, draw_weights, weight_shapes

Array = npt.NDArray[Any]
Results = dict[str, Array]


class Case:
    """Weights, an input with its lengths and first states, and gradients of all that comes out."""

    def __init__(self, cell: str, directions: int, N: int, T: int, D: int, H: int) -> None:
        rng = np.random.default_rng([GATES[cell], directions, N, T, D, H])
        width = directions * H
        self.cell = cell
        self.terms = T * (D + GATES[cell] * H) + N * T
        self.params = []
        for _ in range(directions):
            self.params += draw_weights(rng, cell, D, H)
        self.xs, self.dhs = draw(rng, N, T, D), draw(rng, N, T, width)
        self.lengths = rng.permutation(np.arange(N) % (T + 1))
        self.states = {"h0": draw(rng, N, width)}
        self.dstates = {"dh": draw(rng, N, width)}
        if cell == "lstm":
            self.states["c0"] = draw(rng, N, width)
            self.dstates["dc"] = draw(rng, N, width)

    @property
    def weights(self) -> list[str]:
        """The names of the parameters, of each direction, in their order."""
        names = weight_shapes(self.cell, 1, 1)
        return [f"{name}{number}" for number in (1, 2) for name in names][: len(self.params)]

    def as_float64(self) -> "Case":
        other = copy.copy(self)
        other.params = [param.astype(np.float64) for param in self.params]
        other.xs, other.dhs = self.xs.astype(np.float64), self.dhs.astype(np.float64)
        other.states = {name: state.astype(np.float64) for name, state in self.states.items()}
        other.dstates = {name: state.astype(np.float64) for name, state in self.dstates.items()}
        return other

    def padding(self) -> Array:
        """Where no row has a step: a mask (N, T)."""
        mask: Array = np.arange(self.xs.shape[1]) >= self.lengths[:, np.newaxis]
        return mask

    def layer(self) -> RecurrentLayer:
        return RecurrentLayer(self.cell, self.params)

    def twin(self) -> Any:
        return fastseq_reference.RecurrentLayer(self.cell, self.params)


def draw(rng: np.random.Generator, *shape: int) -> Array:
    return rng.normal(size=shape).astype(np.float32)


def run(layer: Any, case: Case) -> Results:
    """All that a forward and a backward pass give."""
    hs, h, c = layer.forward(case.xs, **case.states, lengths=case.lengths)
    dxs, dh0, dc0 = layer.backward(case.dhs, **case.dstates)
    results = {"hs": hs, "h": h, "c": c, "dxs": dxs, "dh0": dh0, "dc0": dc0}
    grads = zip(case.weights, layer.grads, strict=True)
    results.update((f"d{name}", grad.copy()) for name, grad in grads)
    return {name: value for name, value in results.items() if value is not None}


def run_both(case: Case) -> tuple[Results, Results]:
    wide = case.as_float64()
    return run(case.layer(), case), run(wide.twin(), wide)


def assert_results_close(actual: Results, expected: Results, case: Case) -> None:
    """Compare with a tolerance for all additions of a result, of the size of the largest."""
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        magnitude = max(1.0, float(np.abs(value).max(initial=0)))
        assert_close(actual[name], value, **float32_tolerance(case.terms, magnitude))


def assert_same_bits(actual: Results, expected: Results) -> None:
    for name, value in expected.items():
        assert np.array_equal(actual[name].view(np.uint32), value.view(np.uint32)), name
