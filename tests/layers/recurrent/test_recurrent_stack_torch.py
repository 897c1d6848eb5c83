"""RecurrentStack against torch.nn.LSTM, GRU and RNN, where PyTorch is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from support.layers.recurrent_stack import Case, Shape, by_name, run

torch = pytest.importorskip("torch")

Array = npt.NDArray[Any]

# Of each cell, PyTorch's gates in the order of the blocks here, and their signs: PyTorch's GRU has
# z h + (1 - z) n, and 1 - sigmoid(a) = sigmoid(-a).
GATES = {"lstm": ([1, 2, 0, 3], [1, 1, 1, 1]), "gru": ([1, 0, 2], [-1, 1, 1]), "rnn": ([0], [1])}

FORWARD = 1e-6  # absolute
GRADIENT = 1e-5  # of the largest entry


def reordered(cell: str, array: Array) -> Array:
    """Columns (., G H) in the order here, of PyTorch's rows (G H, .)."""
    order, signs = GATES[cell]
    blocks = np.split(array.T, len(order), axis=-1)
    return np.concatenate(
        [sign * blocks[gate] for gate, sign in zip(order, signs, strict=True)], axis=-1
    )


def arrays_of(module: Any, shape: Shape, gradients: bool) -> list[Array]:
    """The weights of a module of PyTorch, or their gradients, as a stack has them."""
    arrays: list[Array] = []
    for layer in range(shape.L):
        for direction in ("", "_reverse")[: shape.K]:
            params = [
                getattr(module, f"{name}_l{layer}{direction}")
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[
                    : 4 if shape.bias else 2
                ]
            ]
            each = [(param.grad if gradients else param.detach()).numpy() for param in params]
            arrays += [reordered(shape.cell, array) for array in each[:2]]
            if not shape.bias:
                continue
            # the two biases are added before a gate, but for the GRU's candidate
            b, bh = (reordered(shape.cell, array) for array in each[2:])
            H = shape.H
            if shape.cell == "gru":
                first = b if gradients else np.concatenate([(b + bh)[: 2 * H], b[2 * H :]])
                arrays += [first, bh[2 * H :]]
            else:
                arrays.append(b if gradients else b + bh)
    return [np.ascontiguousarray(array) for array in arrays]


def module_of(shape: Shape) -> Any:
    torch.manual_seed(0)
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[shape.cell]
    return kind(
        shape.D,
        shape.H,
        shape.L,
        bias=shape.bias,
        batch_first=shape.batch_first,
        bidirectional=shape.K == 2,
    )


def run_torch(module: Any, case: Case) -> dict[str, Array]:
    """All results; PyTorch refuses rows without a step, which leave their first state as it is."""
    shape, is_lstm = case.shape, case.shape.cell == "lstm"
    axis = 0 if shape.batch_first else 1
    lengths = np.full(shape.N, shape.T) if case.lengths is None else case.lengths
    rows = np.flatnonzero(lengths)

    def tensor(array: Array, axis: int, requires_grad: bool = False) -> Any:
        return torch.from_numpy(array.take(rows, axis=axis)).requires_grad_(requires_grad)

    zeros = np.zeros((shape.L * shape.K, shape.N, shape.H), "f")
    state = case.state
    if state is None:
        state = (zeros, zeros) if is_lstm else zeros
    first = by_name("first", state)
    states = {name: tensor(each, 1, True) for name, each in first.items()}
    xs = tensor(case.xs, axis, True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        xs, torch.from_numpy(lengths[rows]), shape.batch_first, enforce_sorted=False
    )
    inputs = packed if case.lengths is not None else xs
    hs, state = module(inputs, tuple(states.values()) if is_lstm else states["first_h"])
    if case.lengths is not None:
        hs, _ = torch.nn.utils.rnn.pad_packed_sequence(hs, shape.batch_first, total_length=shape.T)
    last, dlast = by_name("last", state), by_name("last", case.dstate)
    loss = (hs * tensor(case.dhs, axis)).sum()
    loss = loss + sum((last[name] * tensor(dlast[name], 1)).sum() for name in last)
    loss.backward()

    def spread(values: Any, axis: int, others: Array) -> Array:
        """The rows among all, of the others what they are without a step."""
        result = others.copy()
        index = (slice(None),) * axis + (rows,)
        result[index] = values.detach().numpy()
        return result

    results = {
        "hs": spread(hs, axis, np.zeros((*case.xs.shape[:2], shape.K * shape.H), "f")),
        "dxs": spread(xs.grad, axis, np.zeros_like(case.xs)),
    }
    for name, each in last.items():
        results[name] = spread(each, 1, first[name.replace("last", "first")])
        results[name.replace("last", "dfirst")] = spread(
            states[name.replace("last", "first")].grad, 1, dlast[name]
        )
    grads = arrays_of(module, shape, gradients=True)
    results.update((f"grads[{i}]", grad) for i, grad in enumerate(grads))
    return results


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("K", [1, 2])
@pytest.mark.parametrize("L", [1, 2, 3])
@pytest.mark.parametrize("N", [1, 8, 32, 128])
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("others", [{}, {"batch_first": False}, {"bias": False}])
def test_is_torch(
    cell: str, K: int, L: int, N: int, lengths: bool, others: dict[str, bool]
) -> None:
    shape = Shape(cell, True, L, K, N, T=12, D=7, H=19, **others)
    # a state once with lengths, and once without them
    case = Case(shape, lengths and N > 1, state=lengths is shape.batch_first)
    module = module_of(shape)
    case.params = arrays_of(module, shape, gradients=False)
    actual, expected = run(case.stack(), case), run_torch(module, case)
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].shape == value.shape, name
        error = np.abs(actual[name] - value).max()
        if name.startswith(("d", "grads")):
            error /= np.abs(value).max()
            assert error <= GRADIENT, name
        else:
            assert error <= FORWARD, name
    # a wrong element is noticed
    assert not np.allclose(actual["hs"] * 1.01, expected["hs"], rtol=0, atol=FORWARD)


def test_the_order_of_the_states_is_that_of_torch() -> None:
    shape = Shape("lstm", L=3, K=2, N=2)
    module, case = module_of(shape), Case(shape)
    case.params = arrays_of(module, shape, gradients=False)
    _, (h, c) = module(torch.from_numpy(case.xs))
    _, state = case.stack().run(case.xs)
    for actual, expected in zip(state, (h, c), strict=True):
        assert np.abs(actual - expected.detach().numpy()).max() <= FORWARD
