"""RNN and both GRUs, one step and a sequence, against the reference in float64, on every ISA."""

import copy
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from support import cells
from support.cells import GATES, REFERENCE_SEQUENCES, REFERENCE_STEPS, weight_shapes
from support.helpers import SIZES, assert_close, float32_tolerance

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


@pytest.fixture(params=UNITS)
def unit(request: pytest.FixtureRequest) -> Unit:
    """Run the test once for each kind of network."""
    return UNITS[request.param]


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


@pytest.mark.parametrize("sizes", CASES, ids=str)
def test_sequence_is_the_reference(isa: str, unit: Unit, sizes: tuple[int, ...]) -> None:
    actual, expected = run_both(unit, *sizes)
    assert all(value.dtype == np.float32 for value in actual.values())
    assert_results_close(actual, expected, terms(unit, *sizes))


@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0])
def test_comparison_notices_one_wrong_element(isa: str, unit: Unit, factor: float) -> None:
    actual, expected = run_both(unit, 3, 4, 5, 9)
    assert set(expected) == {"hs", "h", "dxs", "dh", *unit.gradients}
    for name, value in expected.items():
        wrong = value.copy()
        wrong.flat[np.abs(wrong).argmax()] *= factor
        with pytest.raises(AssertionError):
            assert_results_close(actual, expected | {name: wrong}, terms(unit, 3, 4, 5, 9))


@pytest.mark.parametrize(
    ("N", "D", "H"), [(1, 1, 1), (3, 5, 9), (8, 16, 16), (17, 7, 33), (65, 33, 64)]
)
def test_cell_is_the_reference(isa: str, unit: Unit, N: int, D: int, H: int) -> None:
    rng = np.random.default_rng([N, D, H])
    weights = draw_weights(rng, unit, D, H)
    x, h_prev, dh_next = draw(rng, N, D), draw(rng, N, H), draw(rng, N, H)
    layer, twin = unit.cell(*weights), unit.cell_twin(*float64(*weights))
    actual = [layer.forward(x, h_prev), *layer.backward(dh_next), *layer.grads]
    expected = [
        twin.forward(*float64(x, h_prev)),
        *twin.backward(*float64(dh_next)),
        *twin.grads,
    ]
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == np.float32
        magnitude = max(1.0, float(np.abs(other).max()))
        assert_close(one, other, **float32_tolerance(D + unit.blocks * H + N, magnitude))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_stay_in_their_row(isa: str, unit: Unit, bad: float) -> None:
    weights, xs, _ = draw_all(unit, 9, 4, 3, 17)
    clean = unit.time(*weights).forward(xs)
    xs[4, 1, 2] = bad
    hs = unit.time(*weights).forward(xs)
    others = np.arange(9) != 4
    assert np.array_equal(hs[others], clean[others])
    assert np.array_equal(hs[4, 0], clean[4, 0])
    if np.isnan(bad):
        assert np.isnan(hs[4, 1:]).all()


def test_saturated_weights_and_huge_inputs(isa: str, unit: Unit) -> None:
    (Wx, Wh, *biases), xs, dhs = draw_all(unit, 5, 6, 7, 17)
    actual = run(unit.time(1e4 * Wx, 20 * Wh, *biases), 1e4 * xs, dhs)
    assert all(np.isfinite(value).all() for value in actual.values())
    assert np.abs(actual["hs"]).max() <= 1


def test_awkward_inputs(isa: str, unit: Unit, awkward: Callable[[Array], Array]) -> None:
    weights, xs, dhs = draw_all(unit, 3, 4, 5, 9)
    plain = run(unit.time(*weights), xs, dhs)
    assert_same_bits(run(unit.time(*weights), awkward(xs), awkward(dhs)), plain)


def test_awkward_weights(isa: str, unit: Unit, awkward: Callable[[Array], Array]) -> None:
    weights, xs, dhs = draw_all(unit, 3, 4, 5, 9)
    plain = run(unit.time(*weights), xs, dhs)
    strange = [awkward(weight) for weight in weights]
    layer = unit.time(*strange)
    assert all(param is weight for param, weight in zip(layer.params, strange, strict=True))
    other = run(layer, xs, dhs)
    for name, value in plain.items():
        assert np.array_equal(other[name], value), name
    assert [grad.dtype for grad in layer.grads] == [weight.dtype for weight in strange]


def test_integer_inputs_are_numbers(isa: str, unit: Unit) -> None:
    layer = unit.time(*draw_all(unit, 2, 3, 4, 5)[0])
    xs = np.random.default_rng(0).integers(-3, 4, size=(2, 3, 4))
    assert np.array_equal(layer.forward(xs), layer.forward(xs.astype(np.float32)))


def test_parameters_are_read_afresh(isa: str, unit: Unit) -> None:
    weights, xs, _ = draw_all(unit, 2, 3, 4, 5)
    layer = unit.time(*weights)
    first = layer.forward(xs)
    for param in layer.params:
        param *= 0.5
    second = layer.forward(xs)
    assert not np.array_equal(second, first)
    assert np.array_equal(second, unit.time(*weights).forward(xs))


def test_gradients_are_overwritten_in_the_same_arrays(isa: str, unit: Unit) -> None:
    weights, xs, dhs = draw_all(unit, 2, 3, 4, 5)
    layer = unit.time(*weights)
    kept = list(layer.grads)
    first = run(layer, xs, dhs)
    run(layer, 2 * xs, 3 * dhs)
    assert_same_bits(run(layer, xs, dhs), first)
    assert np.array_equal(layer.backward(dhs), first["dxs"])  # twice
    assert all(grad is same for grad, same in zip(layer.grads, kept, strict=True))
    for grad, name in zip(layer.grads, unit.gradients, strict=True):
        assert np.array_equal(grad, first[name])

    cell = unit.cell(*weights)
    kept = list(cell.grads)
    cell.forward(xs[:, 0], dhs[:, 0])
    results = []
    for _ in range(2):
        results.append([*cell.backward(dhs[:, 1]), *[grad.copy() for grad in cell.grads]])
    assert all(np.array_equal(one, other) for one, other in zip(*results, strict=True))
    assert all(grad is same for grad, same in zip(cell.grads, kept, strict=True))


def test_results_outlive_later_calls(isa: str, unit: Unit) -> None:
    rng = np.random.default_rng(0)
    layer = unit.time(*draw_weights(rng, unit, 4, 17))
    first = run(layer, draw(rng, 3, 5, 4), draw(rng, 3, 5, 17))
    kept = {name: value.copy() for name, value in first.items()}
    for N, T in ((3, 5), (9, 8), (1, 1)):
        run(layer, draw(rng, N, T, 4), draw(rng, N, T, 17))
    assert_same_bits(first, kept)


def test_caller_may_modify_results_and_state_before_backward(isa: str, unit: Unit) -> None:
    weights, xs, dhs = draw_all(unit, 3, 4, 5, 9)
    results = []
    for spoil in (False, True):
        layer = unit.time(*weights, stateful=True)
        h = draw(np.random.default_rng(0), 3, 9)
        layer.set_state(h)
        hs = layer.forward(xs)
        if spoil:
            for array in (hs, layer.h, h):
                array[...] = 7
        results.append([layer.backward(dhs), *layer.grads])
    assert all(np.array_equal(one, other) for one, other in zip(*results, strict=True))


def test_stateful_layer_continues(isa: str, unit: Unit) -> None:
    weights, xs, _ = draw_all(unit, 3, 7, 5, 9)
    whole = unit.time(*weights).forward(xs)
    layer = unit.time(*weights, stateful=True)
    parts = [layer.forward(xs[:, :3]), layer.forward(xs[:, 3:4]), layer.forward(xs[:, 4:])]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)
    assert np.array_equal(layer.h, whole[:, -1])
    layer.reset_state()
    assert layer.h is None
    assert np.array_equal(layer.forward(xs), whole)


def test_layer_without_state_starts_from_zeros(isa: str, unit: Unit) -> None:
    weights, xs, _ = draw_all(unit, 2, 3, 4, 5)
    layer = unit.time(*weights)
    first = layer.forward(xs)
    layer.set_state(np.ones((2, 5)))
    assert np.array_equal(layer.forward(xs), first)


def test_given_state_is_the_reference(isa: str, unit: Unit) -> None:
    weights, xs, dhs = draw_all(unit, 5, 3, 4, 17)
    h = draw(np.random.default_rng(0), 5, 17)
    layer = unit.time(*weights, stateful=True)
    layer.set_state(h)
    twin = unit.time_twin(*float64(*weights), stateful=True)
    twin.set_state(*float64(h))
    actual, expected = run(layer, xs, dhs), run(twin, *float64(xs, dhs))
    assert_results_close(actual, expected, terms(unit, 5, 3, 4, 17))


def test_stateful_layer_refuses_another_batch_size(unit: Unit) -> None:
    layer = unit.time(*draw_all(unit, 2, 3, 4, 5)[0], stateful=True)
    layer.forward(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match=r"expected 2 rows.*got 3.*reset_state"):
        layer.forward(np.zeros((3, 3, 4)))
    layer.reset_state()
    assert layer.forward(np.zeros((3, 3, 4))).shape == (3, 3, 5)


def test_row_is_the_same_alone_and_in_any_batch(
    isa: str, unit: Unit, set_threads: Callable[[int], None]
) -> None:
    weights, xs, _ = draw_all(unit, 65, 5, 33, 130)
    layer = unit.time(*weights)
    set_threads(1)
    expected = np.concatenate([layer.forward(xs[n : n + 1]) for n in range(65)])
    for threads in (1, 2, 4):
        set_threads(threads)
        for rows in (slice(0, 1), slice(7, 10), slice(0, 64), slice(1, 65), slice(0, 65)):
            hs = layer.forward(xs[rows])
            assert np.array_equal(hs.view(np.uint32), expected[rows].view(np.uint32))


@pytest.mark.parametrize("sizes", [(65, 6, 33, 65), (128, 9, 16, 128), (4, 40, 70, 9)], ids=str)
def test_results_have_the_same_bits_on_any_number_of_threads(
    isa: str, unit: Unit, set_threads: Callable[[int], None], sizes: tuple[int, ...]
) -> None:
    weights, xs, dhs = draw_all(unit, *sizes)
    set_threads(1)
    expected = run(unit.time(*weights), xs, dhs)
    for threads in (2, 3, 4):
        set_threads(threads)
        assert_same_bits(run(unit.time(*weights), xs, dhs), expected)


def test_backward_before_forward(unit: Unit) -> None:
    weights = draw_all(unit, 2, 3, 4, 5)[0]
    with pytest.raises(RuntimeError, match="forward"):
        unit.time(*weights).backward(np.zeros((2, 3, 5)))
    with pytest.raises(RuntimeError, match="forward"):
        unit.cell(*weights).backward(np.zeros((2, 5)))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copy_is_a_layer_of_its_own(unit: Unit, duplicate: Callable[[Any], Any]) -> None:
    weights, xs, _ = draw_all(unit, 2, 3, 4, 5)
    layer = unit.time(*weights)
    hs = layer.forward(xs)
    other = duplicate(layer)
    assert np.array_equal(other.forward(xs), hs)
    other.params[0] *= 2
    assert np.array_equal(layer.forward(xs), hs)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("Wh", [(4, 5), (5, 6), (5,)]),
        ("Wh", [(4, 5), (25,), (5,)]),
        ("Wx", [(4, 6), (5, 5), (5,)]),
        ("Wx", [(4,), (5, 5), (5,)]),
        ("b", [(4, 5), (5, 5), (6,)]),
        ("b", [(4, 5), (5, 5), (2, 5)]),
    ],
)
def test_weights_of_wrong_shape(unit: Unit, name: str, shapes: list[tuple[int, ...]]) -> None:
    wide = [(*shape[:-1], unit.blocks * shape[-1]) for shape in shapes]
    others = [(5,)] if unit.name == "gru_reset_after" else []  # bh
    for layer_class in (unit.cell, unit.time):
        with pytest.raises(ValueError, match=rf"^{name}: expected shape .*, got \("):
            layer_class(*[np.zeros(shape, dtype=np.float32) for shape in (*wide, *others)])


def test_weights_of_wrong_kind(unit: Unit) -> None:
    Wx, Wh, b, *bh = draw_all(unit, 1, 1, 4, 5)[0]
    for layer_class in (unit.cell, unit.time):
        with pytest.raises(TypeError, match="^Wx: "):
            layer_class(Wx.tolist(), Wh, b, *bh)
        with pytest.raises(TypeError, match="^Wh: "):
            layer_class(Wx, Wh.astype(np.int64), b, *bh)
        with pytest.raises(TypeError, match="^b: "):
            layer_class(Wx, Wh, b.astype(np.complex64), *bh)


@pytest.mark.parametrize(
    ("error", "xs"),
    [
        (ValueError, np.zeros((3, 4))),
        (ValueError, np.zeros((2, 3, 5))),
        (TypeError, np.zeros((2, 3, 4), dtype=complex)),
        (TypeError, np.full((2, 3, 4), "1")),
    ],
)
def test_wrong_input(unit: Unit, error: type[Exception], xs: Array) -> None:
    weights, good, dhs = draw_all(unit, 2, 3, 4, 5)
    layer = unit.time(*weights, stateful=True)
    layer.forward(good)
    h, dxs = layer.h, layer.backward(dhs)
    with pytest.raises(error, match="^xs: "):
        layer.forward(xs)
    assert layer.h is h  # as it was
    assert np.array_equal(layer.backward(dhs), dxs)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 6), (3, 3, 5), (2, 4, 5)])
def test_wrong_gradient(unit: Unit, shape: tuple[int, ...]) -> None:
    layer = unit.time(*draw_all(unit, 2, 3, 4, 5)[0])
    layer.forward(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="dhs"):
        layer.backward(np.zeros(shape))


def test_wrong_cell_input(unit: Unit) -> None:
    layer = unit.cell(*draw_all(unit, 2, 3, 4, 5)[0])
    with pytest.raises(ValueError, match="^x: "):
        layer.forward(np.zeros((2, 1, 4)), np.zeros((2, 5)))
    with pytest.raises(ValueError, match="^h_prev: "):
        layer.forward(np.zeros((2, 4)), np.zeros((3, 5)))
    layer.forward(np.zeros((2, 4)), np.zeros((2, 5)))
    with pytest.raises(ValueError, match="^dh_next: "):
        layer.backward(np.zeros((2, 1, 5)))


@pytest.mark.parametrize(("N", "T", "H"), [(0, 3, 5), (2, 0, 5), (2, 3, 0)])
def test_empty(isa: str, unit: Unit, N: int, T: int, H: int) -> None:
    rng = np.random.default_rng(0)
    layer = unit.time(*draw_weights(rng, unit, 4, H))
    for grad in layer.grads:
        grad[...] = 9
    assert layer.forward(draw(rng, N, T, 4)).shape == (N, T, H)
    assert layer.h.shape == (N, H)
    dxs = layer.backward(np.zeros((N, T, H)))
    assert dxs.shape == (N, T, 4)
    assert not dxs.any()
    assert not any(grad.any() for grad in layer.grads)
