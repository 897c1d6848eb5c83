"""RecurrentStack: the same numbers as its reference, and what its results do not depend on."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq_reference
from fastseq.layers import RecurrentLayer, RecurrentStack
from support.helpers import CENTRAL_DIFFERENCES, assert_close, numerical_gradient
from support.layers.recurrent_stack import (
    CELLS,
    Case,
    Shape,
    assert_results_close,
    assert_same_bits,
    by_name,
    run,
    run_reference,
)

Array = npt.NDArray[Any]

every_cell = pytest.mark.parametrize(("cell", "reset_after"), CELLS)
every_direction = pytest.mark.parametrize("K", [1, 2])


def case_of(cell: str, reset_after: bool, **sizes: Any) -> Case:
    return Case(Shape(cell, reset_after, **sizes))


# ---- the reference ----


@every_cell
@every_direction
@pytest.mark.parametrize("bias", [True, False])
def test_reference_by_central_differences(cell: str, reset_after: bool, K: int, bias: bool) -> None:
    case = case_of(cell, reset_after, K=K, N=4, T=3, D=2, H=2, bias=bias).as_float64()
    assert case.lengths is not None
    assert sorted(case.lengths) == [0, 1, 2, 3]
    results = run(case.stack(fastseq_reference), case)

    def loss() -> float:
        hs, state = case.stack(fastseq_reference).forward(case.xs, case.lengths, case.state)
        last, dlast = by_name("", state), by_name("", case.dstate)
        return float((hs * case.dhs).sum() + sum((last[i] * dlast[i]).sum() for i in last))

    inputs = {"dxs": case.xs, **by_name("dfirst", case.state)}
    inputs.update((f"grads[{i}]", param) for i, param in enumerate(case.params))
    for name, array in inputs.items():
        assert_close(results[name], numerical_gradient(loss, array), **CENTRAL_DIFFERENCES)


@every_cell
def test_reference_is_one_layer_after_the_other(cell: str, reset_after: bool) -> None:
    case = case_of(cell, reset_after, L=2, K=2).as_float64()
    kernel_cell = "gru_reset_after" if (cell, reset_after) == ("gru", True) else cell
    half = len(case.params) // 2
    lower, upper = (
        fastseq_reference.RecurrentLayer(kernel_cell, params)
        for params in (case.params[:half], case.params[half:])
    )
    hs, h, _ = lower.forward(case.xs)
    top, _, _ = upper.forward(hs)
    actual, state = case.stack(fastseq_reference).run(case.xs)
    assert np.array_equal(actual, top)
    H = case.shape.H
    assert np.array_equal(by_name("", state)["_h"][1], h[:, H:])  # layer 0, second direction


# ---- the kernels ----


@every_cell
@every_direction
@pytest.mark.parametrize("L", [1, 2, 3])
@pytest.mark.parametrize(("N", "T", "D", "H"), [(1, 1, 1, 1), (1, 20, 5, 9), (7, 4, 3, 17)])
def test_is_the_reference(
    isa: str, cell: str, reset_after: bool, K: int, L: int, N: int, T: int, D: int, H: int
) -> None:
    shape = Shape(cell, reset_after, L, K, N, T, D, H)
    for others in ({}, {"batch_first": False}, {"bias": False}):
        case = Case(replace(shape, **others))
        assert_results_close(run(case.stack(), case), run_reference(case), case.shape)
    case = Case(shape, lengths=False, state=False)
    assert_results_close(run(case.stack(), case), run_reference(case), shape)


@pytest.mark.usefixtures("float32_products")
@every_cell
def test_comparison_notices_one_wrong_element(cell: str, reset_after: bool) -> None:
    case = case_of(cell, reset_after, K=2)
    actual, expected = run(case.stack(), case), run_reference(case)
    for name, value in expected.items():
        wrong = value.copy()
        wrong.flat[np.abs(wrong).argmax()] *= 0.99
        with pytest.raises(AssertionError):
            assert_results_close(actual, {**expected, name: wrong}, case.shape)


@every_cell
@every_direction
def test_one_layer_is_the_recurrent_layer(isa: str, cell: str, reset_after: bool, K: int) -> None:
    case = case_of(cell, reset_after, L=1, K=K)
    kernel_cell = "gru_reset_after" if (cell, reset_after) == ("gru", True) else cell
    hs, h, _ = RecurrentLayer(kernel_cell, case.params).forward(case.xs, lengths=case.lengths)
    actual, state = case.stack().run(case.xs, case.lengths)
    assert np.array_equal(actual, hs)
    last = by_name("", state)["_h"]
    assert np.array_equal(np.concatenate(list(last), axis=1), h)


@every_cell
@every_direction
def test_run_is_forward(isa: str, cell: str, reset_after: bool, K: int) -> None:
    for batch_first in (True, False):
        case = case_of(cell, reset_after, K=K, batch_first=batch_first)
        stack = case.stack()
        results = [
            {"hs": hs, **by_name("last", state)}
            for hs, state in (
                stack.forward(case.xs, case.lengths, case.state),
                stack.run(case.xs, case.lengths, case.state),
            )
        ]
        assert_same_bits(results[1], results[0])
        assert all(value.flags.c_contiguous for value in results[1].values())


def test_run_leaves_the_last_forward_pass() -> None:
    case = case_of("lstm", True, K=2)
    stack, expected = case.stack(), run(case.stack(), case)
    stack.forward(case.xs, case.lengths, case.state)
    stack.run(2 * case.xs)
    dxs, _ = stack.backward(case.dhs, case.dstate)
    assert np.array_equal(dxs, expected["dxs"])


# ---- pieces, rows, padding, threads ----


@every_cell
@pytest.mark.parametrize("N", [1, 2, 5, 33])
@pytest.mark.parametrize("pieces", [[1] * 20, [3, 17], [16, 1, 3]])
def test_pieces_of_a_sequence_give_the_same_bits(
    isa: str, cell: str, reset_after: bool, N: int, pieces: list[int]
) -> None:
    case = case_of(cell, reset_after, N=N, T=20, H=17)
    stack = case.stack()
    expected, last = stack.run(case.xs, None, case.state)
    outputs, state = [], case.state
    for xs in np.split(case.xs, np.cumsum(pieces)[:-1], axis=1):
        hs, state = stack.run(xs, None, state)
        outputs.append(hs)
    actual = {"hs": np.concatenate(outputs, axis=1), **by_name("last", state)}
    assert_same_bits(actual, {"hs": expected, **by_name("last", last)})


@every_cell
def test_a_long_sequence_and_its_steps_give_the_same_bits(
    isa: str, cell: str, reset_after: bool
) -> None:
    # longer than those whose weights are read where they lie
    case = case_of(cell, reset_after, N=1, T=300, D=3, H=9)
    stack = case.stack()
    expected, _ = stack.run(case.xs)
    state, steps = None, []
    for t in range(300):
        hs, state = stack.run(case.xs[:, t : t + 1], None, state)
        steps.append(hs)
    assert np.array_equal(np.concatenate(steps, axis=1), expected)


@every_cell
@every_direction
def test_a_row_is_the_same_alone_and_in_a_batch(
    isa: str, cell: str, reset_after: bool, K: int
) -> None:
    case = case_of(cell, reset_after, K=K, N=19, T=18, H=17)
    stack = case.stack()
    hs, state = stack.run(case.xs, case.lengths, case.state)
    last = by_name("", state)
    assert case.lengths is not None
    for n, length in enumerate(case.lengths):
        first = {name: each[:, n : n + 1] for name, each in by_name("", case.state).items()}
        own = tuple(first.values()) if cell == "lstm" else first["_h"]
        alone, own_state = stack.run(case.xs[n : n + 1, :length], None, own)
        assert np.array_equal(alone[0], hs[n, :length])
        assert not hs[n, length:].any()
        for name, each in by_name("", own_state).items():
            assert np.array_equal(each[:, 0], last[name][:, n])


def test_padding_is_never_read() -> None:
    case = case_of("lstm", True, K=2, N=7)
    expected = run(case.stack(), case)
    padding = np.arange(case.shape.T) >= np.asarray(case.lengths)[:, np.newaxis]
    assert padding.any()
    case.xs[padding] = case.dhs[padding] = np.nan
    assert_same_bits(run(case.stack(), case), expected)
    assert not expected["hs"][padding].any()
    assert not expected["dxs"][padding].any()


@every_cell
@every_direction
@pytest.mark.parametrize(("N", "H"), [(65, 65), (1, 65), (1, 257)])  # in the last, a team
def test_results_have_the_same_bits_on_any_number_of_threads(
    set_threads: Callable[[int], None], cell: str, reset_after: bool, K: int, N: int, H: int
) -> None:
    case = case_of(cell, reset_after, K=K, N=N, T=20, D=33, H=H)
    set_threads(1)
    expected = run(case.stack(), case)
    for threads in (2, 4):
        set_threads(threads)
        assert_same_bits(run(case.stack(), case), expected)


@every_cell
@every_direction
def test_python_threads_share_a_stack(cell: str, reset_after: bool, K: int) -> None:
    case = case_of(cell, reset_after, K=K, N=3, T=6, H=33)
    stack = case.stack()
    inputs = [case.xs * (1 + number) for number in range(8)]
    expected = [stack.run(xs, case.lengths, case.state)[0] for xs in inputs]

    def call(number: int) -> bool:
        return all(
            np.array_equal(stack.run(inputs[number], case.lengths, case.state)[0], expected[number])
            for _ in range(80)
        )

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(call, range(8)))


# ---- what every layer keeps to ----


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_is_a_stack_of_its_own(duplicate: Callable[[Any], Any]) -> None:
    case = case_of("gru", True, L=3, K=2, batch_first=False)
    stack = case.stack()
    expected = run(stack, case)
    other = duplicate(stack)
    with pytest.raises(RuntimeError, match="backward was called before forward"):
        other.backward(case.dhs)
    assert vars(other).keys() == vars(stack).keys()
    assert_same_bits(run(other, case), expected)
    other.params[3] *= 2
    assert_same_bits(run(stack, case), expected)


def test_a_pickle_has_no_memory_of_a_pass() -> None:
    case = case_of("lstm", True, N=20, T=20)
    stack = case.stack()
    size = len(pickle.dumps(stack))
    run(stack, case)
    assert len(pickle.dumps(stack)) == size


def test_weights_are_the_callers_own_and_gradients_stay_in_their_arrays() -> None:
    case = case_of("lstm", True, K=2)
    given = [param.astype(np.float64) for param in case.params]
    case.params = given
    stack = case.stack()
    kept = list(stack.grads)
    run(stack, case)
    assert all(param is each for param, each in zip(stack.params, given, strict=True))
    assert all(grad is each for grad, each in zip(stack.grads, kept, strict=True))
    first, _ = stack.run(case.xs)
    for param in given:
        param *= 0.5
    assert not np.array_equal(stack.run(case.xs)[0], first)


def test_weights_are_drawn_from_a_seed() -> None:
    stacks = [RecurrentStack("gru", 3, 16, 2, seed=seed) for seed in (1, 1, 2)]
    assert all(
        np.array_equal(*pair) for pair in zip(stacks[0].params, stacks[1].params, strict=True)
    )
    assert not np.array_equal(stacks[0].params[0], stacks[2].params[0])
    values = np.concatenate([param.ravel() for param in stacks[0].params])
    assert values.dtype == np.float32
    assert 0.24 < np.abs(values).max() <= 0.25
    without = RecurrentStack("lstm", 3, 4), RecurrentStack("lstm", 3, 4)
    assert not np.array_equal(without[0].params[0], without[1].params[0])


@every_direction
@pytest.mark.parametrize(("N", "T"), [(0, 3), (2, 0)])
def test_empty(isa: str, K: int, N: int, T: int) -> None:
    for batch_first in (True, False):
        case = case_of("lstm", True, K=K, N=N, T=T, batch_first=batch_first)
        results = run(case.stack(), case)
        assert results["hs"].shape == (*case.xs.shape[:2], K * 9)
        assert np.array_equal(results["last_h"], case.state[0])  # no step was taken
        assert not any(results[name].any() for name in results if name.startswith("grads"))


def test_awkward_arguments(awkward: Callable[[Array], Array]) -> None:
    case = case_of("lstm", True, K=2)
    expected = run(case.stack(), case)
    case.params = [awkward(param) for param in case.params]
    case.xs, case.dhs = awkward(case.xs), awkward(case.dhs)
    case.state, case.dstate = (
        tuple(awkward(each) for each in state) for state in (case.state, case.dstate)
    )
    actual = run(case.stack(), case)
    assert all(np.array_equal(actual[name], value) for name, value in expected.items())
