"""The table of gates, against each library's own equations, written out in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastseq import _kernels
from fastseq.interop import gates
from fastseq.interop.gates import Weights
from fastseq.layers import RecurrentLayer
from support.helpers import operand_rounding

Array = npt.NDArray[Any]
State = tuple[Array, Array]

N, T, D, H = 3, 5, 4, 6
CONVENTIONS = {
    "fastseq": gates.FASTSEQ,
    "torch": gates.TORCH,
    "keras": gates.KERAS,
    "onnx": gates.ONNX,
}


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


# One step of each cell, from a = x Wx + bx, the last state, Wh and bh. The names of the gates are
# those of the library's manual, in its order.


def rnn(a: Array, state: State, Wh: Array, bh: Array) -> State:
    h, c = state
    return np.tanh(a + h @ Wh + bh), c


def lstm_of_fastseq(a: Array, state: State, Wh: Array, bh: Array) -> State:
    h, c = state
    f, g, i, o = np.split(a + h @ Wh + bh, 4, axis=1)
    c = sigmoid(f) * c + np.tanh(g) * sigmoid(i)
    return sigmoid(o) * np.tanh(c), c


def lstm_of_torch(a: Array, state: State, Wh: Array, bh: Array) -> State:
    h, c = state
    i, f, g, o = np.split(a + h @ Wh + bh, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def lstm_of_onnx(a: Array, state: State, Wh: Array, bh: Array) -> State:
    h, c = state
    i, o, f, g = np.split(a + h @ Wh + bh, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru_of_fastseq(a: Array, state: State, Wh: Array, bh: Array, after: bool) -> State:
    h, c = state
    z, g = gates_of_gru(a, h, Wh, bh, after, (0, 1, 2))
    return (1 - z) * h + z * g, c


def gru_of_torch(a: Array, state: State, Wh: Array, bh: Array, after: bool) -> State:
    h, c = state
    z, n = gates_of_gru(a, h, Wh, bh, after, (1, 0, 2))
    return (1 - z) * n + z * h, c


def gru_of_keras(a: Array, state: State, Wh: Array, bh: Array, after: bool) -> State:
    h, c = state
    z, hh = gates_of_gru(a, h, Wh, bh, after, (0, 1, 2))
    return z * h + (1 - z) * hh, c


def gates_of_gru(
    a: Array, h: Array, Wh: Array, bh: Array, after: bool, blocks: tuple[int, int, int]
) -> tuple[Array, Array]:
    """The update gate and the candidate, from the blocks z, r, g at these places."""
    xs, ws, bs = (np.split(array, 3, axis=-1) for array in (a, Wh, bh))
    z, r, g = blocks
    update = sigmoid(xs[z] + h @ ws[z] + bs[z])
    reset = sigmoid(xs[r] + h @ ws[r] + bs[r])
    inner = reset * (h @ ws[g] + bs[g]) if after else (reset * h) @ ws[g] + bs[g]
    return update, np.tanh(xs[g] + inner)


STEPS: dict[tuple[str, str], Callable[..., State]] = {
    ("fastseq", "lstm"): lstm_of_fastseq,
    ("torch", "lstm"): lstm_of_torch,
    ("keras", "lstm"): lstm_of_torch,  # i, f, c, o: the same order
    ("onnx", "lstm"): lstm_of_onnx,
    ("fastseq", "gru"): gru_of_fastseq,
    ("torch", "gru"): gru_of_torch,
    ("keras", "gru"): gru_of_keras,
    ("onnx", "gru"): gru_of_keras,  # z, r, h, and the same equations
}


def reference(library: str, cell: str, weights: Weights, xs: Array) -> Array:
    Wx, Wh, bx, bh = weights
    h = c = np.zeros((N, H))
    hs = []
    for t in range(T):
        a = xs[:, t] @ Wx + bx
        if cell == "rnn":
            h, c = rnn(a, (h, c), Wh, bh)
        elif cell == "lstm":
            h, c = STEPS[library, cell](a, (h, c), Wh, bh)
        else:
            h, c = STEPS[library, "gru"](a, (h, c), Wh, bh, cell == "gru_reset_after")
        hs.append(h)
    return np.stack(hs, axis=1)


def draw(cell: str) -> tuple[Weights, Array]:
    generator = np.random.default_rng(0)
    columns = _kernels.CELLS[cell].gates * H
    shapes = (D, columns), (H, columns), (columns,), (columns,)
    weights = Weights(*(generator.normal(size=shape) / 2 for shape in shapes))
    return weights, generator.normal(size=(N, T, D))


@pytest.mark.parametrize("cell", _kernels.CELLS)
@pytest.mark.parametrize("library", CONVENTIONS)
def test_the_weights_of_a_library_give_its_results(library: str, cell: str) -> None:
    weights, xs = draw(cell)
    params = gates.to_fastseq(CONVENTIONS[library], cell, weights)
    assert all(param.dtype == np.float32 and param.flags.c_contiguous for param in params)
    hs, _, _ = RecurrentLayer(cell, params).forward(xs)
    np.testing.assert_allclose(
        hs, reference(library, cell, weights, xs), atol=1e-6 + operand_rounding()
    )


@pytest.mark.parametrize("cell", _kernels.CELLS)
@pytest.mark.parametrize("library", CONVENTIONS)
def test_weights_that_return_are_the_same(library: str, cell: str) -> None:
    weights, xs = draw(cell)
    params = gates.to_fastseq(CONVENTIONS[library], cell, weights)
    back = gates.from_fastseq(CONVENTIONS[library], cell, params)
    for array, expected in zip(back[:2], weights[:2], strict=True):
        np.testing.assert_array_equal(array, expected.astype("f"))
    again = gates.to_fastseq(CONVENTIONS[library], cell, back)
    for array, expected in zip(again, params, strict=True):
        np.testing.assert_array_equal(array, expected)
    np.testing.assert_allclose(
        reference(library, cell, back, xs), reference(library, cell, weights, xs), atol=1e-6
    )


@pytest.mark.parametrize("cell", ["lstm", "gru", "gru_reset_after"])
def test_a_wrong_order_is_found(cell: str) -> None:
    weights, xs = draw(cell)
    wrong = gates.Convention(lstm="figo", gru="zrg", z_keeps=False)
    hs, _, _ = RecurrentLayer(cell, gates.to_fastseq(wrong, cell, weights)).forward(xs)
    assert np.abs(hs - reference("torch", cell, weights, xs)).max() > 0.01


@pytest.mark.parametrize("cell", _kernels.CELLS)
@pytest.mark.parametrize("convention", CONVENTIONS.values())
def test_the_table_has_the_gates_of_the_kernels(convention: gates.Convention, cell: str) -> None:
    assert len(set(convention.gates(cell))) == _kernels.CELLS[cell].gates
    assert set(convention.gates(cell)) == set(gates.FASTSEQ.gates(cell))


@pytest.mark.parametrize("cell", _kernels.CELLS)
def test_no_bias_is_one_of_zeros(cell: str) -> None:
    weights, _ = draw(cell)
    zeros = np.zeros_like(weights.bx)
    expected = gates.to_fastseq(gates.TORCH, cell, Weights(*weights[:2], zeros, zeros))
    for array, other in zip(
        gates.to_fastseq(gates.TORCH, cell, Weights(*weights[:2])), expected, strict=True
    ):
        np.testing.assert_array_equal(array, other)
