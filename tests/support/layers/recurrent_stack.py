"""A RecurrentStack's weights, input and gradients, run through the stack and its reference."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import fastseq_reference
from fastseq.layers import RecurrentStack
from support.helpers import assert_close, float32_tolerance

Array = npt.NDArray[Any]
Results = dict[str, Array]

# Each cell, and whether its reset gate acts after the product.
CELLS = [("lstm", True), ("gru", True), ("gru", False), ("rnn", True)]


@dataclass(frozen=True)
class Shape:
    """The arguments of a stack, and the size of its input."""

    cell: str
    reset_after: bool = True
    L: int = 2
    K: int = 1
    N: int = 3
    T: int = 5
    D: int = 4
    H: int = 9
    bias: bool = True
    batch_first: bool = True


class Case:
    """A stack's input with its lengths and first states, and gradients of all that comes out."""

    def __init__(self, shape: Shape, lengths: bool = True, state: bool = True) -> None:
        self.shape = shape
        self._rng = np.random.default_rng([shape.L, shape.K, shape.N, shape.T, shape.D, shape.H])
        self.params = self.stack().params
        sequences = (shape.N, shape.T) if shape.batch_first else (shape.T, shape.N)
        self.xs = self._draw(*sequences, shape.D)
        self.dhs = self._draw(*sequences, shape.K * shape.H)
        # every length from 0 to T
        order = self._rng.permutation(np.arange(shape.N) % (shape.T + 1))
        self.lengths = order if lengths else None
        self.state = self._draw_state() if state else None
        self.dstate = self._draw_state()

    def stack(self, package: Any = None, **others: Any) -> Any:
        """One with the weights of the case, of fastseq or of another package."""
        shape = self.shape
        return (package.RecurrentStack if package else RecurrentStack)(
            shape.cell,
            shape.D,
            shape.H,
            shape.L,
            shape.K == 2,
            shape.reset_after,
            bias=shape.bias,
            batch_first=shape.batch_first,
            params=getattr(self, "params", None),
            **({"seed": 0} | others),
        )

    def as_float64(self) -> "Case":
        other = Case(self.shape)
        other.lengths = self.lengths
        other.params = [param.astype(np.float64) for param in self.params]
        other.xs, other.dhs = self.xs.astype(np.float64), self.dhs.astype(np.float64)
        other.state = as_float64(self.state)
        other.dstate = as_float64(self.dstate)
        return other

    def _draw(self, *shape: int) -> Array:
        return self._rng.normal(size=shape).astype(np.float32)

    def _draw_state(self) -> Any:
        shape = self.shape.L * self.shape.K, self.shape.N, self.shape.H
        return (
            (self._draw(*shape), self._draw(*shape))
            if self.shape.cell == "lstm"
            else (self._draw(*shape))
        )


def as_float64(state: Any) -> Any:
    if state is None:
        return None
    if isinstance(state, tuple):
        return tuple(each.astype(np.float64) for each in state)
    return state.astype(np.float64)


def by_name(name: str, state: Any) -> Results:
    """H, and c where there is one, of a state."""
    pair = state if isinstance(state, tuple) else (state,)
    return {f"{name}_{letter}": each for letter, each in zip("hc", pair, strict=False)}


def run(stack: Any, case: Case) -> Results:
    """All that a forward and a backward pass give."""
    hs, state = stack.forward(case.xs, case.lengths, case.state)
    dxs, dstate0 = stack.backward(case.dhs, case.dstate)
    results = {"hs": hs, "dxs": dxs, **by_name("last", state), **by_name("dfirst", dstate0)}
    results.update((f"grads[{i}]", grad.copy()) for i, grad in enumerate(stack.grads))
    return results


def run_reference(case: Case) -> Results:
    wide = case.as_float64()
    return run(wide.stack(fastseq_reference), wide)


def assert_results_close(actual: Results, expected: Results, shape: Shape) -> None:
    """Compare with a tolerance for all additions of a result, of the size of the largest."""
    terms = shape.L * (shape.T * (shape.D + 5 * shape.H) + shape.N * shape.T)
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].dtype == np.float32, name
        magnitude = max(1.0, float(np.abs(value).max(initial=0)))
        assert_close(actual[name], value, **float32_tolerance(terms, magnitude))


def assert_same_bits(actual: Results, expected: Results) -> None:
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert np.array_equal(actual[name].view(np.uint32), value.view(np.uint32)), name
