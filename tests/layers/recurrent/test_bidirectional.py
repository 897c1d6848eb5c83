"""TimeBiLSTM against the reference in float64, and against two LSTMs, on every instruction set."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq_reference
from fastseq.layers import TimeBiLSTM, TimeLSTM
from support.helpers import SIZES, assert_close, float32_tolerance

Array = npt.NDArray[Any]
Results = dict[str, Array]

NAMES = ("dWx1", "dWh1", "db1", "dWx2", "dWh2", "db2")
CASES = [
    *[(N, 3, 5, 9) for N in SIZES],
    *[(2, T, 3, 7) for T in SIZES],
    *[(3, 3, D, 9) for D in SIZES],
    *[(3, 4, 5, H) for H in SIZES],
    (17, 4, 17, 33),
    (65, 5, 33, 65),
]


def draw(rng: np.random.Generator, *shape: int) -> Array:
    return rng.normal(size=shape).astype(np.float32)


def arguments(N: int, T: int, D: int, H: int) -> tuple[list[Array], Array, Array]:
    """Six weights, an input, and a gradient of the output."""
    rng = np.random.default_rng([N, T, D, H])
    weights = []
    for _ in range(2):
        weights += [
            draw(rng, D, 4 * H) / np.float32(np.sqrt(D)),
            draw(rng, H, 4 * H) / np.float32(np.sqrt(H)),
            draw(rng, 4 * H) / 4,
        ]
    return weights, draw(rng, N, T, D), draw(rng, N, T, 2 * H)


def float64(*arrays: Array) -> list[Array]:
    return [array.astype(np.float64) for array in arrays]


def run(layer: Any, xs: Array, dhs: Array) -> Results:
    """All that a forward and a backward pass give."""
    hs = layer.forward(xs)
    dxs = layer.backward(dhs)
    state = {name: getattr(layer, name) for name in ("h", "c", "dh", "dc")}
    grads = {name: grad.copy() for name, grad in zip(NAMES, layer.grads, strict=True)}
    return {"hs": hs, "dxs": dxs, **state, **grads}


def run_both(N: int, T: int, D: int, H: int) -> tuple[Results, Results]:
    weights, xs, dhs = arguments(N, T, D, H)
    expected = run(fastseq_reference.TimeBiLSTM(*float64(*weights)), *float64(xs, dhs))
    return run(TimeBiLSTM(*weights), xs, dhs), expected


def assert_results_close(actual: Results, expected: Results, length: int) -> None:
    """Compare with a tolerance for `length` terms, of the size of the largest result."""
    for name, value in expected.items():
        magnitude = max(1.0, float(np.abs(value).max(initial=0)))
        assert_close(actual[name], value, **float32_tolerance(length, magnitude))


def assert_same_bits(actual: Results, expected: Results) -> None:
    for name, value in expected.items():
        assert np.array_equal(actual[name], value), name


@pytest.mark.parametrize(("N", "T", "D", "H"), CASES)
def test_is_the_reference(isa: str, N: int, T: int, D: int, H: int) -> None:
    actual, expected = run_both(N, T, D, H)
    assert all(value.dtype == np.float32 for value in actual.values())
    assert_results_close(actual, expected, T * (D + 4 * H) + N * T)


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("name", ["hs", "h", "c", "dxs", "dh", "dc", *NAMES])
@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0])
def test_comparison_notices_one_wrong_element(isa: str, name: str, factor: float) -> None:
    actual, expected = run_both(3, 4, 5, 9)
    expected[name] = expected[name].copy()
    expected[name].flat[np.abs(expected[name]).argmax()] *= factor
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, 4 * (5 + 36) + 12)


def test_comparison_notices_a_direction_that_is_not_reversed_back(isa: str) -> None:
    actual, expected = run_both(3, 4, 5, 9)
    expected["hs"][:, :, 9:] = expected["hs"][:, ::-1, 9:].copy()
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, 4 * (5 + 36) + 12)


def test_is_two_lstms(isa: str) -> None:
    H = 9
    weights, xs, dhs = arguments(3, 4, 5, H)
    layer, first, second = TimeBiLSTM(*weights), TimeLSTM(*weights[:3]), TimeLSTM(*weights[3:])
    hs = layer.forward(xs)
    assert np.array_equal(hs[:, :, :H], first.forward(xs))
    assert np.array_equal(hs[:, ::-1, H:], second.forward(xs[:, ::-1]))
    assert np.array_equal(layer.h, np.hstack((hs[:, -1, :H], hs[:, 0, H:])))
    dxs = first.backward(dhs[:, :, :H]) + second.backward(dhs[:, ::-1, H:])[:, ::-1]
    assert np.array_equal(layer.backward(dhs), dxs)
    for grad, part in zip(layer.grads, first.grads + second.grads, strict=True):
        assert np.array_equal(grad, part)


def test_awkward_inputs(isa: str, awkward: Callable[[Array], Array]) -> None:
    weights, xs, dhs = arguments(3, 4, 5, 9)
    plain = run(TimeBiLSTM(*weights), xs, dhs)
    assert_same_bits(run(TimeBiLSTM(*weights), awkward(xs), awkward(dhs)), plain)


def test_awkward_weights(isa: str, awkward: Callable[[Array], Array]) -> None:
    weights, xs, dhs = arguments(3, 4, 5, 9)
    plain = run(TimeBiLSTM(*weights), xs, dhs)
    strange = [awkward(weight) for weight in weights]
    layer = TimeBiLSTM(*strange)
    assert all(param is weight for param, weight in zip(layer.params, strange, strict=True))
    assert_same_bits(run(layer, xs, dhs), plain)
    assert [grad.dtype for grad in layer.grads] == [weight.dtype for weight in strange]


def test_gradients_are_overwritten_in_the_same_arrays(isa: str) -> None:
    weights, xs, dhs = arguments(3, 4, 5, 9)
    layer = TimeBiLSTM(*weights)
    kept = list(layer.grads)
    first = run(layer, xs, dhs)
    run(layer, 2 * xs, 3 * dhs)
    assert_same_bits(run(layer, xs, dhs), first)
    assert np.array_equal(layer.backward(dhs), first["dxs"])  # twice
    for grad, same, name in zip(layer.grads, kept, NAMES, strict=True):
        assert grad is same
        assert np.array_equal(grad, first[name])


def test_both_directions_may_share_their_weights(isa: str) -> None:
    weights, xs, dhs = arguments(3, 4, 5, 9)
    shared = TimeBiLSTM(*weights[:3], *weights[:3])
    other = TimeBiLSTM(*weights[:3], *[weight.copy() for weight in weights[:3]])
    assert_same_bits(run(shared, xs, dhs), run(other, xs, dhs))


def test_results_outlive_later_calls(isa: str) -> None:
    weights, xs, dhs = arguments(3, 4, 5, 9)
    layer = TimeBiLSTM(*weights)
    first = run(layer, xs, dhs)
    kept = {name: value.copy() for name, value in first.items()}
    run(layer, 2 * xs, 2 * dhs)
    assert_same_bits(first, kept)


def test_caller_may_modify_results_and_state_before_backward(isa: str) -> None:
    weights, xs, dhs = arguments(3, 4, 5, 9)
    results = []
    for spoil in (False, True):
        rng = np.random.default_rng(0)
        h, c = draw(rng, 3, 18), draw(rng, 3, 18)
        layer = TimeBiLSTM(*weights, stateful=True)
        layer.set_state(h, c)
        hs = layer.forward(xs)
        if spoil:
            for array in (hs, layer.h, layer.c, h, c):
                array[...] = 7
        results.append([layer.backward(dhs), *layer.grads])
    assert all(np.array_equal(one, other) for one, other in zip(*results, strict=True))


@pytest.mark.parametrize("with_cell", [True, False])
def test_given_state_is_the_reference(isa: str, with_cell: bool) -> None:
    weights, xs, dhs = arguments(5, 3, 4, 17)
    rng = np.random.default_rng(0)
    state = (draw(rng, 5, 34), draw(rng, 5, 34))[: 1 + with_cell]
    layer = TimeBiLSTM(*weights, stateful=True)
    layer.set_state(*state)
    twin = fastseq_reference.TimeBiLSTM(*float64(*weights), stateful=True)
    twin.set_state(*float64(*state))
    for _ in range(2):  # the second continues from what the first left
        actual, expected = run(layer, xs, dhs), run(twin, *float64(xs, dhs))
        assert_results_close(actual, expected, 2 * 3 * (4 + 4 * 17) + 15)


def test_state(isa: str) -> None:
    weights, xs, _ = arguments(3, 4, 5, 9)
    layer = TimeBiLSTM(*weights)
    assert (layer.h, layer.c, layer.dh, layer.dc, layer.stateful) == (None,) * 4 + (False,)
    first = layer.forward(xs)
    assert np.array_equal(layer.forward(xs), first)  # not stateful: zeros again
    layer = TimeBiLSTM(*weights, stateful=True)
    assert np.array_equal(layer.forward(xs), first)
    assert not np.array_equal(layer.forward(xs), first)
    with pytest.raises(ValueError, match=r"expected 3 rows.*got 2.*reset_state"):
        layer.forward(xs[:2])
    layer.reset_state()
    assert layer.h is None
    assert layer.c is None
    assert np.array_equal(layer.forward(xs[:2]), first[:2])
    layer.set_state(np.zeros((3, 9)))
    with pytest.raises(ValueError, match=r"^h0: expected shape \(3, 18\), got \(3, 9\)"):
        layer.forward(xs)


def test_results_have_the_same_bits_in_any_batch_and_on_any_number_of_threads(
    isa: str, set_threads: Callable[[int], None]
) -> None:
    weights, xs, dhs = arguments(65, 5, 33, 65)
    set_threads(1)
    layer, expected = TimeBiLSTM(*weights), run(TimeBiLSTM(*weights), xs, dhs)
    rows = np.concatenate([layer.forward(xs[n : n + 1]) for n in range(65)])
    assert np.array_equal(rows.view(np.uint32), expected["hs"].view(np.uint32))
    for threads in (2, 3, 4):
        set_threads(threads)
        assert_same_bits(run(TimeBiLSTM(*weights), xs, dhs), expected)


def test_backward_before_forward() -> None:
    weights, _, dhs = arguments(2, 3, 4, 5)
    with pytest.raises(RuntimeError, match="forward"):
        TimeBiLSTM(*weights).backward(dhs)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copy_is_a_layer_of_its_own(duplicate: Callable[[TimeBiLSTM], TimeBiLSTM]) -> None:
    weights, xs, _ = arguments(2, 3, 4, 5)
    layer = TimeBiLSTM(*weights)
    hs = layer.forward(xs)
    other = duplicate(layer)
    assert np.array_equal(other.forward(xs), hs)
    other.params[3] *= 2
    assert np.array_equal(layer.forward(xs), hs)


@pytest.mark.parametrize("index", range(6))
def test_wrong_weights(index: int) -> None:
    weights, _, _ = arguments(2, 3, 4, 5)
    name = ("Wx1", "Wh1", "b1", "Wx2", "Wh2", "b2")[index]
    for wrong, error in ((weights[index][..., 1:], ValueError), (weights[index] > 0, TypeError)):
        given = [*weights[:index], wrong, *weights[index + 1 :]]
        with pytest.raises(error, match=f"^{name}: expected"):
            TimeBiLSTM(*given)


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 5), (2, 3, 4, 1)])
def test_wrong_input(shape: tuple[int, ...]) -> None:
    weights, xs, _ = arguments(2, 3, 4, 5)
    layer = TimeBiLSTM(*weights)
    with pytest.raises(ValueError, match=r"^xs: expected (3 dimensions|shape \(N, T, 4\)).*, got"):
        layer.forward(np.zeros(shape))
    layer.forward(xs)
    with pytest.raises(ValueError, match="^dhs: expected (shape|3 dimensions)"):
        layer.backward(np.zeros(shape))
    with pytest.raises(ValueError, match="^dhs: expected (shape|3 dimensions)"):
        layer.backward(np.zeros((2, 4, 10)))


@pytest.mark.parametrize(("N", "T", "H"), [(0, 3, 5), (2, 0, 5), (2, 3, 0)])
def test_empty(isa: str, N: int, T: int, H: int) -> None:
    rng = np.random.default_rng(0)
    weights = 2 * [draw(rng, 4, 4 * H), draw(rng, H, 4 * H), draw(rng, 4 * H)]
    layer = TimeBiLSTM(*weights)
    for grad in layer.grads:
        grad[...] = 9
    assert layer.forward(draw(rng, N, T, 4)).shape == (N, T, 2 * H)
    assert layer.h.shape == layer.c.shape == (N, 2 * H)
    dxs = layer.backward(np.zeros((N, T, 2 * H)))
    assert dxs.shape == (N, T, 4)
    assert not dxs.any()
    assert not any(grad.any() for grad in layer.grads)
