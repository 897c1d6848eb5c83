"""RecurrentLayer: central differences pin the reference, the reference every instruction set."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastseq.layers import RecurrentLayer, TimeBiLSTM
from support.helpers import CENTRAL_DIFFERENCES, assert_close, numerical_gradient
from support.layers.cells import (
    GATES,
    REFERENCE_SEQUENCES,
    SEQUENCES,
    STEPS,
    draw_weights,
)
from support.layers.recurrent_layer import (
    Case,
    assert_results_close,
    assert_same_bits,
    draw,
    run,
    run_both,
)

Array = npt.NDArray[Any]

# Rows of every length from 0 to T; batches and layers on both sides of a full vector.
CASES = [
    (2, 1, 1, 1),
    (2, 3, 5, 9),
    (7, 4, 3, 17),
    (9, 5, 17, 8),
    (17, 3, 4, 33),
    (33, 6, 16, 31),
]

every_cell = pytest.mark.parametrize("cell", GATES)
every_direction = pytest.mark.parametrize("directions", [1, 2])


# ---- the reference ----


@every_cell
@every_direction
def test_reference_by_central_differences(cell: str, directions: int) -> None:
    case = Case(cell, directions, 4, 3, 2, 3).as_float64()
    assert sorted(case.lengths) == [0, 1, 2, 3]
    results = run(case.twin(), case)

    def loss() -> float:
        layer = case.twin()
        hs, h, c = layer.forward(case.xs, **case.states, lengths=case.lengths)
        total = np.sum(hs * case.dhs) + np.sum(h * case.dstates["dh"])
        return float(total + (0 if c is None else np.sum(c * case.dstates["dc"])))

    inputs = {"xs": case.xs, **case.states, **dict(zip(case.weights, case.params, strict=True))}
    assert {f"d{name}" for name in inputs} == set(results) - {"hs", "h", "c"}
    for name, array in inputs.items():
        analytic, numerical = results[f"d{name}"], numerical_gradient(loss, array)
        assert_close(analytic, numerical, **CENTRAL_DIFFERENCES)
        # the comparison finds one element that is wrong by 1 % of the largest
        analytic.flat[np.abs(analytic).argmax()] *= 0.99
        with pytest.raises(AssertionError, match="^1 of"):
            assert_close(analytic, numerical, **CENTRAL_DIFFERENCES)


@every_cell
def test_reference_without_lengths_is_the_sequence(cell: str) -> None:
    case = Case(cell, 1, 3, 4, 5, 6).as_float64()
    layer, twin = case.twin(), REFERENCE_SEQUENCES[cell](*case.params)
    hs, h, _ = layer.forward(case.xs)
    assert_close(hs, twin.forward(case.xs), rtol=1e-14, atol=1e-14)
    assert_close(h, hs[:, -1], rtol=0, atol=0)
    assert_close(layer.backward(case.dhs)[0], twin.backward(case.dhs), rtol=1e-13, atol=1e-13)
    for grad, expected in zip(layer.grads, twin.grads, strict=True):
        assert_close(grad, expected, rtol=1e-13, atol=1e-13)


# ---- the kernels ----


@every_cell
@every_direction
@pytest.mark.parametrize(("N", "T", "D", "H"), CASES)
def test_is_the_reference(
    isa: str, cell: str, directions: int, N: int, T: int, D: int, H: int
) -> None:
    case = Case(cell, directions, N, T, D, H)
    actual, expected = run_both(case)
    assert all(value.dtype == np.float32 for value in actual.values())
    assert_results_close(actual, expected, case)


@pytest.mark.usefixtures("float32_products")
@every_cell
@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0])
def test_comparison_notices_one_wrong_element(isa: str, cell: str, factor: float) -> None:
    case = Case(cell, 2, 3, 4, 5, 9)
    actual, expected = run_both(case)
    for name, value in expected.items():
        wrong = value.copy()
        wrong.flat[np.abs(wrong).argmax()] *= factor
        with pytest.raises(AssertionError):
            assert_results_close(actual, {**expected, name: wrong}, case)


def test_comparison_notices_lengths_that_are_not_heeded(isa: str) -> None:
    case = Case("lstm", 2, 3, 4, 5, 9)
    actual, _ = run_both(case)
    case.lengths = np.full(3, 4)
    _, expected = run_both(case)
    for name, value in expected.items():
        with pytest.raises(AssertionError):
            assert_results_close(actual, {**actual, name: value}, case)


@every_cell
def test_without_lengths_is_the_sequence(isa: str, cell: str) -> None:
    case = Case(cell, 1, 3, 4, 5, 9)
    layer, sequence = case.layer(), SEQUENCES[cell](*case.params)
    hs, h, _ = layer.forward(case.xs)
    assert np.array_equal(hs, sequence.forward(case.xs))
    assert np.array_equal(h, sequence.h)
    assert np.array_equal(layer.backward(case.dhs)[0], sequence.backward(case.dhs))
    for grad, expected in zip(layer.grads, sequence.grads, strict=True):
        assert np.array_equal(grad, expected)


def test_two_directions_without_lengths_are_the_bidirectional_lstm(isa: str) -> None:
    case = Case("lstm", 2, 3, 4, 5, 9)
    layer, sequence = case.layer(), TimeBiLSTM(*case.params)
    assert np.array_equal(layer.forward(case.xs)[0], sequence.forward(case.xs))
    assert np.array_equal(layer.backward(case.dhs)[0], sequence.backward(case.dhs))


@every_cell
def test_one_step_is_the_cell(isa: str, cell: str) -> None:
    case = Case(cell, 1, 9, 1, 5, 17)
    hs, h, c = case.layer().forward(case.xs, **case.states)
    result = STEPS[cell](*case.params).forward(case.xs[:, 0], *case.states.values())
    expected_h, expected_c = result if cell == "lstm" else (result, None)
    assert np.array_equal(h, expected_h)
    assert np.array_equal(hs[:, 0], expected_h)
    assert c is None if expected_c is None else np.array_equal(c, expected_c)


# ---- rows, padding, threads ----


@every_cell
@every_direction
def test_a_row_is_the_same_alone_padded_and_anywhere(isa: str, cell: str, directions: int) -> None:
    case = Case(cell, directions, 9, 5, 7, 17)
    expected = run(case.layer(), case)
    order = np.random.default_rng(0).permutation(9)
    shuffled = copy.copy(case)
    shuffled.xs, shuffled.dhs, shuffled.lengths = (
        array[order] for array in (case.xs, case.dhs, case.lengths)
    )
    shuffled.states = {name: state[order] for name, state in case.states.items()}
    shuffled.dstates = {name: state[order] for name, state in case.dstates.items()}
    by_row = ("hs", "h", "c", "dxs", "dh0", "dc0")
    actual = run(shuffled.layer(), shuffled)
    in_order = {name: value[order] for name, value in expected.items() if name in by_row}
    assert_same_bits(actual, in_order)

    for n, length in enumerate(case.lengths):
        row = copy.copy(case)
        row.xs, row.dhs = case.xs[n : n + 1, :length], case.dhs[n : n + 1, :length]
        row.lengths = None
        row.states = {name: state[n : n + 1] for name, state in case.states.items()}
        row.dstates = {name: state[n : n + 1] for name, state in case.dstates.items()}
        alone = run(row.layer(), row)
        for name in by_row:
            if name in expected:
                steps = slice(length if name in ("hs", "dxs") else None)
                assert np.array_equal(alone[name][0], expected[name][n][steps]), name


@every_cell
@every_direction
def test_padding_is_zero_and_never_matters(isa: str, cell: str, directions: int) -> None:
    case = Case(cell, directions, 9, 5, 7, 17)
    expected = run(case.layer(), case)
    padding = case.padding()
    assert padding.any()
    assert not expected["hs"][padding].any()
    assert not expected["dxs"][padding].any()
    case.xs[padding] = np.nan
    case.dhs[padding] = np.nan
    assert_same_bits(run(case.layer(), case), expected)


@every_cell
@every_direction
def test_results_have_the_same_bits_on_any_number_of_threads(
    isa: str, set_threads: Callable[[int], None], cell: str, directions: int
) -> None:
    case = Case(cell, directions, 65, 5, 33, 65)
    set_threads(1)
    expected = run(case.layer(), case)
    for threads in (2, 4):
        set_threads(threads)
        assert_same_bits(run(case.layer(), case), expected)


# ---- what every layer keeps to ----


def test_awkward_arguments(isa: str, awkward: Callable[[Array], Array]) -> None:
    case = Case("lstm", 2, 3, 4, 5, 9)
    plain = run(case.layer(), case)
    case.params = [awkward(param) for param in case.params]
    case.xs, case.dhs = awkward(case.xs), awkward(case.dhs)
    case.states = {name: awkward(state) for name, state in case.states.items()}
    case.dstates = {name: awkward(state) for name, state in case.dstates.items()}
    layer = case.layer()
    assert all(param is given for param, given in zip(layer.params, case.params, strict=True))
    actual = run(layer, case)
    assert all(np.array_equal(actual[name], value) for name, value in plain.items())


def test_gradients_are_overwritten_in_the_same_arrays() -> None:
    case = Case("gru", 2, 3, 4, 5, 9)
    layer = case.layer()
    kept = list(layer.grads)
    first = run(layer, case)
    assert_same_bits(run(layer, case), first)
    assert np.array_equal(layer.backward(case.dhs, **case.dstates)[0], first["dxs"])  # twice
    assert all(grad is same for grad, same in zip(layer.grads, kept, strict=True))


def test_caller_may_modify_everything_before_backward() -> None:
    case = Case("lstm", 2, 3, 4, 5, 9)
    expected = run(case.layer(), case)
    layer = case.layer()
    given = case.lengths, case.xs, *case.states.values()
    for array in (*layer.forward(case.xs, **case.states, lengths=case.lengths), *given):
        array[...] = 7
    dxs, dh0, dc0 = layer.backward(case.dhs, **case.dstates)
    results = {"dxs": dxs, "dh0": dh0, "dc0": dc0}
    results.update((f"d{name}", grad) for name, grad in zip(case.weights, layer.grads, strict=True))
    assert_same_bits(results, {name: expected[name] for name in results})


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copy_is_a_layer_of_its_own(duplicate: Callable[[RecurrentLayer], RecurrentLayer]) -> None:
    case = Case("gru", 2, 3, 4, 5, 9)
    layer = case.layer()
    hs, *_ = layer.forward(case.xs)
    other = duplicate(layer)
    assert np.array_equal(other.forward(case.xs)[0], hs)
    other.params[3] *= 2
    assert np.array_equal(layer.forward(case.xs)[0], hs)


def test_backward_before_forward() -> None:
    case = Case("lstm", 1, 2, 3, 4, 5)
    for layer in (case.layer(), case.twin()):
        with pytest.raises(RuntimeError, match="forward"):
            layer.backward(case.dhs)


@every_cell
def test_wrong_weights(cell: str) -> None:
    case = Case(cell, 2, 2, 3, 4, 5)
    for index, (name, param) in enumerate(zip(case.weights, case.params, strict=True)):
        params = list(case.params)
        for params[index], error in ((param[..., 1:], ValueError), (param > 0, TypeError)):
            with pytest.raises(error, match=f"^{name}: expected"):
                RecurrentLayer(cell, params)


def test_wrong_construction() -> None:
    params = Case("gru", 2, 2, 3, 4, 5).params
    cells = "rnn, gru, gru_reset_after, lstm"
    with pytest.raises(ValueError, match=f"^cell: expected one of {cells}, got 'tree'"):
        RecurrentLayer("tree", params)
    with pytest.raises(ValueError, match="^cell: expected one of"):
        RecurrentLayer(np.zeros(3), params)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="^params: expected a sequence, got NoneType"):
        RecurrentLayer("gru", None)  # type: ignore[arg-type]
    assert len(RecurrentLayer("gru", iter(params)).params) == 6  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="^params: expected 3 arrays, or 6.*got 4"):
        RecurrentLayer("gru", params[:4])
    with pytest.raises(ValueError, match="^params: expected 4 arrays, or 8.*got 6"):
        RecurrentLayer("gru_reset_after", params)
    with pytest.raises(ValueError, match=r"^Wx: expected shape \(D, H\)"):
        RecurrentLayer("rnn", params[:3])


def test_wrong_arguments() -> None:
    case = Case("gru", 1, 2, 3, 4, 5)
    layer = case.layer()
    with pytest.raises(ValueError, match=r"^xs: expected 3 dimensions, got shape \(2, 4\)"):
        layer.forward(case.xs[:, 0])
    with pytest.raises(ValueError, match=r"^h0: expected shape \(2, 5\), got \(1, 5\)"):
        layer.forward(case.xs, case.states["h0"][:1])
    with pytest.raises(
        ValueError, match="^c0: expected None, as a cell gru has no c; got an array"
    ):
        layer.forward(case.xs, c0=case.states["h0"])
    with pytest.raises(ValueError, match=r"^lengths: expected shape \(2,\)"):
        layer.forward(case.xs, lengths=[1])
    with pytest.raises(ValueError, match=r"^lengths\[1\]: expected 0 to 3.*got 4"):
        layer.forward(case.xs, lengths=[3, 4])
    layer.forward(case.xs)
    with pytest.raises(ValueError, match="^dhs: expected shape"):
        layer.backward(case.dhs[:, :2])
    with pytest.raises(
        ValueError, match="^dc: expected None, as a cell gru has no c; got an array"
    ):
        layer.backward(case.dhs, dc=case.dstates["dh"])


@pytest.mark.parametrize(("N", "T", "H"), [(0, 3, 5), (2, 0, 5), (2, 3, 0)])
def test_empty(isa: str, N: int, T: int, H: int) -> None:
    rng = np.random.default_rng(0)
    layer = RecurrentLayer("lstm", 2 * draw_weights(rng, "lstm", 4, H))
    for grad in layer.grads:
        grad[...] = 9
    hs, h, c = layer.forward(draw(rng, N, T, 4), lengths=np.full(N, T))
    assert hs.shape == (N, T, 2 * H)
    assert c is not None
    assert h.shape == c.shape == (N, 2 * H)
    dxs, *_ = layer.backward(np.zeros((N, T, 2 * H)))
    assert dxs.shape == (N, T, 4)
    assert not dxs.any()
    assert not any(grad.any() for grad in layer.grads)
