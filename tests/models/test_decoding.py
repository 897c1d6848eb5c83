"""Greedy decoding and scores of a RecurrentStack, against a loop over rows and steps in NumPy."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastseq import decoding
from fastseq.layers import RecurrentStack
from support.helpers import assert_close, operand_rounding
from support.layers.cells import REFERENCE_STEPS
from support.layers.recurrent_stack import CELLS

Array = npt.NDArray[Any]

every_cell = pytest.mark.parametrize(("cell", "reset_after"), CELLS)

START, END = 2, 1


class Network:
    """A stack, an embedding and an output matrix, and first states of N rows."""

    def __init__(
        self, cell: str, reset_after: bool, L: int = 2, N: int = 7, bias: bool = True, **others: Any
    ) -> None:
        D, H, V = 5, 9, 11
        rng = np.random.default_rng([L, N])
        self.stack = RecurrentStack(cell, D, H, L, False, reset_after, bias=bias, **others, seed=L)
        for param in self.stack.params:
            param *= 2
        self.embedding = rng.normal(size=(V, D)).astype("f")
        self.W = rng.normal(size=(H, V)).astype("f")
        self.b = rng.normal(size=V).astype("f") / 2 if bias else None
        states = rng.normal(size=(2, L, N, H)).astype("f")
        self.state = tuple(states) if cell == "lstm" else states[0]
        self.kernel_cell = "gru_reset_after" if (cell, reset_after) == ("gru", True) else cell

    @property
    def arguments(self) -> tuple[Any, ...]:
        return self.stack, self.embedding, self.W, self.b, self.state

    def loop(self, n: int, following: Callable[[Array, int], int], steps: int) -> list[float]:
        """Row n in float64: the log probability of the id that `following` chooses, each step."""
        params = [param.astype(np.float64) for param in self.stack.params]
        count = len(params) // self.stack.num_layers
        cells = []
        for layer in range(self.stack.num_layers):
            own = params[layer * count : (layer + 1) * count]
            if not self.stack.bias:
                own.append(np.zeros(own[0].shape[1]))
                own += [np.zeros(len(own[1]))] * (self.kernel_cell == "gru_reset_after")
            cells.append(REFERENCE_STEPS[self.kernel_cell](*own))
        states = self.state if isinstance(self.state, tuple) else (self.state,)
        own_states = [
            [each[layer, n : n + 1].astype(np.float64) for each in states]
            for layer in range(len(cells))
        ]
        last, found = START, []
        for step in range(steps):
            x = self.embedding[last : last + 1].astype(np.float64)
            for layer, cell in enumerate(cells):
                after = cell.forward(x, *own_states[layer])
                own_states[layer] = list(after) if isinstance(after, tuple) else [after]
                x = own_states[layer][0]
            scores = (x @ self.W)[0] + (0 if self.b is None else self.b)
            log_p = scores - np.log(np.exp(scores).sum())
            last = following(log_p, step)
            if last < 0:
                break
            found.append(float(log_p[last]))
        return found

    def greedy(self, n: int, steps: int, end_id: int | None) -> tuple[list[int], float]:
        ids: list[int] = []

        def best(log_p: Array, step: int) -> int:
            if ids and ids[-1] == end_id:
                return -1
            ids.append(int(log_p.argmax()))
            return ids[-1]

        return ids, sum(self.loop(n, best, steps))


@pytest.mark.usefixtures("float32_products")
@every_cell
@pytest.mark.parametrize("L", [1, 2, 3])
@pytest.mark.parametrize("N", [1, 7, 40])
@pytest.mark.parametrize("bias", [True, False])
def test_greedy_is_the_loop(
    isa: str, cell: str, reset_after: bool, L: int, N: int, bias: bool
) -> None:
    network = Network(cell, reset_after, L, N, bias)
    limits = np.arange(N) % 13
    for end_id, max_length in ((END, 12), (None, 12), (END, limits)):
        ids, lengths, totals = decoding.greedy(
            *network.arguments, start_id=START, max_length=max_length, end_id=end_id
        )
        steps = np.broadcast_to(max_length, N)
        assert ids.shape == (N, steps.max())
        for n in range(N):
            expected, total = network.greedy(n, int(steps[n]), end_id)
            assert ids[n, : lengths[n]].tolist() == expected
            assert (ids[n, lengths[n] :] == (0 if end_id is None else end_id)).all()
            assert_close(totals[n], total, rtol=1e-5, atol=1e-5)


def test_rows_end_at_different_steps() -> None:
    """What the test above needs to mean something."""
    network = Network("gru", True, N=40)
    found = decoding.greedy(*network.arguments, start_id=START, max_length=12, end_id=END)
    assert len(set(found.lengths.tolist())) > 3
    assert len(np.unique(found.ids)) > 5


@every_cell
@pytest.mark.parametrize("L", [1, 3])
@pytest.mark.parametrize("N", [1, 7])
@pytest.mark.parametrize("batch_first", [True, False])
def test_score_is_the_loop(
    isa: str, cell: str, reset_after: bool, L: int, N: int, batch_first: bool
) -> None:
    network = Network(cell, reset_after, L, N, batch_first=batch_first)
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 11, (N, 6))
    lengths = np.arange(N) % 7
    whole = decoding.score(*network.arguments, targets, start_id=START)
    targets[np.arange(6) >= lengths[:, np.newaxis]] = -1  # never read
    parts = decoding.score(*network.arguments, targets, lengths, start_id=START)
    assert whole.dtype == parts.dtype == np.float64
    for n in range(N):
        each = network.loop(n, lambda _, step, n=n: int(targets[n, step]), int(lengths[n]))
        # up to 6 terms of a magnitude of 2, whose errors are independent
        assert_close(parts[n], sum(each), rtol=1e-5, atol=1e-5 + 5 * operand_rounding())
        if lengths[n] == 6:
            assert parts[n] == whole[n]
        else:
            assert whole[n] < parts[n]


@every_cell
@pytest.mark.parametrize("bias", [True, False])
def test_the_score_of_what_was_found_has_the_same_bits(
    isa: str, cell: str, reset_after: bool, bias: bool
) -> None:
    network = Network(cell, reset_after, N=23, bias=bias)
    found = decoding.greedy(*network.arguments, start_id=START, max_length=9, end_id=END)
    totals = decoding.score(*network.arguments, found.ids, found.lengths, start_id=START)
    assert np.array_equal(totals, found.log_probabilities)


def test_the_scores_of_many_steps_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network("gru", True, N=5)
    targets = np.random.default_rng(0).integers(0, 11, (5, 6))
    expected = decoding.score(*network.arguments, targets, start_id=START)
    for at_once in (1, 7 * 11):
        monkeypatch.setattr(decoding, "_SCORES_AT_ONCE", at_once)
        assert np.array_equal(decoding.score(*network.arguments, targets, start_id=START), expected)


@every_cell
def test_a_row_is_the_same_alone(isa: str, cell: str, reset_after: bool) -> None:
    network = Network(cell, reset_after, N=7)
    expected = decoding.greedy(*network.arguments, start_id=START, max_length=9, end_id=END)
    state = network.state
    for n in range(7):
        rows = slice(n, n + 1)
        network.state = tuple(each[:, rows] for each in state) if cell == "lstm" else state[:, rows]
        alone = decoding.greedy(*network.arguments, start_id=START, max_length=9, end_id=END)
        assert all(
            np.array_equal(one[0], all_[n]) for one, all_ in zip(alone, expected, strict=True)
        )


@every_cell
def test_python_threads_share_a_network(cell: str, reset_after: bool) -> None:
    network = Network(cell, reset_after)
    arguments: dict[str, Any] = {"start_id": START, "max_length": 9, "end_id": END}
    expected = decoding.greedy(*network.arguments, **arguments)

    def call(_: int) -> bool:
        found = decoding.greedy(*network.arguments, **arguments)
        totals = decoding.score(*network.arguments, expected.ids, expected.lengths, start_id=START)
        same = all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))
        return same and np.array_equal(totals, expected.log_probabilities)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(call, range(8 * 40)))


def test_awkward_arguments(awkward: Callable[[Array], Array]) -> None:
    network = Network("lstm", True)
    expected = decoding.greedy(*network.arguments, start_id=START, max_length=9, end_id=END)
    other = copy.copy(network)
    other.embedding, other.W = awkward(network.embedding), awkward(network.W)
    assert network.b is not None
    other.b, other.state = awkward(network.b), tuple(awkward(each) for each in network.state)
    found = decoding.greedy(*other.arguments, start_id=START, max_length=9, end_id=END)
    assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))
    totals = decoding.score(*other.arguments, found.ids, found.lengths, start_id=START)
    assert np.array_equal(totals, expected.log_probabilities)


@pytest.mark.parametrize(("N", "T"), [(0, 3), (2, 0)])
def test_empty(N: int, T: int) -> None:
    network = Network("lstm", True, N=N)
    found = decoding.greedy(*network.arguments, start_id=START, max_length=T)
    assert found.ids.shape == (N, T)
    totals = decoding.score(*network.arguments, found.ids, start_id=START)
    assert totals.tolist() == found.log_probabilities.tolist() == [0.0] * N


# ---- wrong arguments ----


def greedy(network: Network, **others: Any) -> Any:
    names = ("stack", "embedding", "output_weight", "output_bias", "state")
    arguments = dict(zip(names, network.arguments, strict=True))
    return decoding.greedy(**{**arguments, "start_id": START, "max_length": 3, **others})


def score(network: Network, **others: Any) -> Any:
    names = ("stack", "embedding", "output_weight", "output_bias", "state")
    arguments = dict(zip(names, network.arguments, strict=True))
    targets = np.zeros((7, 3), "i")
    return decoding.score(**{**arguments, "targets": targets, "start_id": START, **others})


TWO_DIRECTIONS = RecurrentStack("gru", 5, 9, bidirectional=True)
STATE = np.zeros((2, 7, 9), "f")


@pytest.mark.parametrize("call", [greedy, score])
@pytest.mark.parametrize(
    ("others", "error", "message"),
    [
        ({"stack": None}, TypeError, "stack: expected a RecurrentStack, got NoneType"),
        ({"stack": TWO_DIRECTIONS}, ValueError, "stack: expected one direction"),
        (
            {"embedding": np.zeros((11, 4))},
            ValueError,
            "embedding: expected shape (V, D) = (any, 5), got (11, 4)",
        ),
        (
            {"output_weight": np.zeros((11, 9))},
            ValueError,
            "output_weight: expected shape (H, V) = (9, 11), got (11, 9)",
        ),
        (
            {"output_bias": np.zeros(9)},
            ValueError,
            "output_bias: expected shape (V,) = (11), got (9,)",
        ),
        ({"state": (STATE, STATE)}, TypeError, "state: expected an array h, as a gru has no c"),
        ({"state": STATE[:1]}, ValueError, "state: expected shape (L K, N, H) = (2, "),
        ({"state": STATE[..., 1:]}, ValueError, "state: expected shape (L K, N, H) = (2, "),
        ({"start_id": 11}, IndexError, "start_id: expected an id from 0 to 10"),
        ({"start_id": -1}, IndexError, "start_id: expected an id from 0 to 10"),
        ({"start_id": "a"}, TypeError, "start_id: expected an integer, got str"),
    ],
)
def test_wrong_network(
    call: Callable[..., Any], others: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match="^" + re.escape(message)):
        call(Network("gru", True), **others)


@pytest.mark.parametrize(
    ("others", "error", "message"),
    [
        ({"state": None}, TypeError, "state: expected the states before the first step, got None"),
        ({"end_id": 11}, IndexError, "end_id: expected an id from 0 to 10"),
        ({"end_id": 1.5}, TypeError, "end_id: expected an integer, got float"),
        ({"max_length": -1}, ValueError, "max_length: expected at least 0, got -1"),
        (
            {"max_length": np.full(7, 2**63, np.uint64)},
            ValueError,
            f"max_length: expected at most {2**63 - 1}, got {2**63}",
        ),
        ({"max_length": 2.0}, TypeError, "max_length: expected integers, got dtype float64"),
        ({"max_length": [3, 3]}, ValueError, "max_length: expected a number or shape (7,)"),
        (
            {"max_length": [[3]]},
            ValueError,
            "max_length: expected a number or shape (7,), got (1, 1)",
        ),
    ],
)
def test_wrong_greedy(others: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="^" + re.escape(message)):
        greedy(Network("gru", True), **others)


@pytest.mark.parametrize(
    ("others", "error", "message"),
    [
        ({"targets": [1, 2]}, ValueError, "targets: expected shape (N, T) = (7, any), got (2,)"),
        ({"targets": np.zeros((7, 2))}, TypeError, "targets: expected an array of integers"),
        ({"targets": 7 * [[0, 11]]}, IndexError, "targets[0, 1]: expected an id from 0 to 10"),
        ({"targets": 7 * [[-1, 0]]}, IndexError, "targets[0, 0]: expected an id from 0 to 10"),
        (
            {"targets": 6 * [[0]]},
            ValueError,
            "targets: expected shape (N, T) = (7, any), got (6, 1)",
        ),
        ({"lengths": [1]}, ValueError, "lengths: expected shape (N,) = (7), got (1,)"),
        ({"lengths": [0, 4, 0, 0, 0, 0, 0]}, ValueError, "lengths[1]: expected 0 to 3, got 4"),
        ({"lengths": [0, 0, -1, 0, 0, 0, 0]}, ValueError, "lengths[2]: expected 0 to 3, got -1"),
    ],
)
def test_wrong_score(others: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="^" + re.escape(message)):
        score(Network("gru", True), **others)


@pytest.mark.parametrize("name", ["embedding", "output_weight", "output_bias"])
def test_a_conversion_that_reshapes_an_argument(name: str) -> None:
    """What was checked keeps its shape, whatever the conversion of a later argument does."""
    network = Network("gru", True)
    mine = {"embedding": network.embedding, "output_weight": network.W, "output_bias": network.b}
    expected = score(network)

    class Reshaping:
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
            mine[name].shape = (-1, 1)
            return np.zeros((7, 3), "i")

    assert np.array_equal(score(network, **mine, targets=Reshaping()), expected)
