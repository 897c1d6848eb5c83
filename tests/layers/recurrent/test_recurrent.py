"""LSTM and TimeLSTM against the reference in float64, on every instruction set."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq_reference
from fastseq.layers import LSTM, TimeLSTM
from support.helpers import SIZES, assert_close, float32_tolerance

Array = npt.NDArray[Any]
Results = dict[str, Array]

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


def draw_weights(rng: np.random.Generator, D: int, H: int) -> list[Array]:
    Wx = rng.normal(size=(D, 4 * H)) / np.sqrt(D)
    Wh = rng.normal(size=(H, 4 * H)) / np.sqrt(H)
    b = rng.normal(size=4 * H) / 4
    return [weight.astype(np.float32) for weight in (Wx, Wh, b)]


def draw(rng: np.random.Generator, *shape: int) -> Array:
    return rng.normal(size=shape).astype(np.float32)


def float64(*arrays: Array) -> list[Array]:
    return [array.astype(np.float64) for array in arrays]


def run(layer: Any, xs: Array, dhs: Array) -> Results:
    """All that a forward and a backward pass give."""
    hs = layer.forward(xs)
    dxs = layer.backward(dhs)
    names = ("dWx", "dWh", "db")
    grads = {name: grad.copy() for name, grad in zip(names, layer.grads, strict=True)}
    state = {name: getattr(layer, name) for name in ("h", "c", "dh", "dc")}
    return {"hs": hs, "dxs": dxs, **state, **grads}


def assert_results_close(actual: Results, expected: Results, length: int) -> None:
    """Compare with a tolerance for `length` terms, of the size of the largest result."""
    for name, value in expected.items():
        magnitude = max(1.0, float(np.abs(value).max(initial=0)))
        assert_close(actual[name], value, **float32_tolerance(length, magnitude))


def run_both(N: int, T: int, D: int, H: int) -> tuple[Results, Results]:
    rng = np.random.default_rng([N, T, D, H])
    weights, xs, dhs = draw_weights(rng, D, H), draw(rng, N, T, D), draw(rng, N, T, H)
    expected = run(fastseq_reference.TimeLSTM(*float64(*weights)), *float64(xs, dhs))
    return run(TimeLSTM(*weights), xs, dhs), expected


@pytest.mark.parametrize(("N", "T", "D", "H"), CASES)
def test_time_lstm_is_the_reference(isa: str, N: int, T: int, D: int, H: int) -> None:
    actual, expected = run_both(N, T, D, H)
    for value in actual.values():
        assert value.dtype == np.float32
    assert_results_close(actual, expected, T * (D + 4 * H) + N * T)


@pytest.mark.parametrize("name", ["hs", "h", "c", "dxs", "dh", "dc", "dWx", "dWh", "db"])
@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0])
def test_comparison_notices_one_wrong_element(isa: str, name: str, factor: float) -> None:
    N, T, D, H = 3, 4, 5, 9
    actual, expected = run_both(N, T, D, H)
    worst = np.abs(expected[name]).argmax()
    expected[name] = expected[name].copy()
    expected[name].flat[worst] *= factor
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, T * (D + 4 * H) + N * T)


def test_comparison_notices_a_gradient_without_the_forget_gate(isa: str) -> None:
    N, T, D, H = 3, 4, 5, 9
    actual, expected = run_both(N, T, D, H)
    for name in ("dWx", "dWh", "db"):
        expected[name][..., :H] = 0
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, T * (D + 4 * H) + N * T)


@pytest.mark.parametrize(
    ("N", "D", "H"), [(1, 1, 1), (3, 5, 9), (8, 16, 16), (17, 7, 33), (65, 33, 64)]
)
def test_cell_is_the_reference(isa: str, N: int, D: int, H: int) -> None:
    rng = np.random.default_rng([N, D, H])
    weights = draw_weights(rng, D, H)
    inputs = draw(rng, N, D), draw(rng, N, H), draw(rng, N, H)
    gradients = draw(rng, N, H), draw(rng, N, H)

    layer = LSTM(*weights)
    actual = [*layer.forward(*inputs), *layer.backward(*gradients), *layer.grads]
    twin = fastseq_reference.LSTM(*float64(*weights))
    expected = [
        *twin.forward(*float64(*inputs)),
        *twin.backward(*float64(*gradients)),
        *twin.grads,
    ]
    for one, other in zip(actual, expected, strict=True):
        magnitude = max(1.0, float(np.abs(other).max()))
        assert_close(one, other, **float32_tolerance(D + 4 * H + N, magnitude))


def test_cells_make_a_sequence(isa: str) -> None:
    """The textbook's own loop over time: going back, it begins with the number 0 for dc."""
    N, T, D, H = 3, 4, 5, 9
    rng = np.random.default_rng(0)
    weights, xs, dhs = draw_weights(rng, D, H), draw(rng, N, T, D), draw(rng, N, T, H)
    cells = [LSTM(*weights) for _ in range(T)]
    h = c = np.zeros((N, H), dtype=np.float32)
    for t, cell in enumerate(cells):
        h, c = cell.forward(xs[:, t], h, c)
    dh: Any = 0
    dc: Any = 0
    dxs = np.empty_like(xs)
    for t, cell in reversed(list(enumerate(cells))):
        dxs[:, t], dh, dc = cell.backward(dhs[:, t] + dh, dc)

    dWx, dWh, db = (np.sum([cell.grads[index] for cell in cells], axis=0) for index in range(3))
    expected = {"h": h, "c": c, "dxs": dxs, "dh": dh, "dc": dc, "dWx": dWx, "dWh": dWh, "db": db}
    actual = run(TimeLSTM(*weights), xs, dhs)
    assert_results_close(actual, expected, T * (D + 4 * H) + N * T)


def test_a_number_for_the_cells_gradient_is_that_of_every_element(isa: str) -> None:
    rng = np.random.default_rng(0)
    weights = draw_weights(rng, 5, 9)
    inputs, dh = (draw(rng, 3, 5), draw(rng, 3, 9), draw(rng, 3, 9)), draw(rng, 3, 9)
    results = []
    for dc in (np.float64(0.5), np.full((3, 9), 0.5, dtype=np.float32)):
        cell = LSTM(*weights)
        cell.forward(*inputs)
        results.append([*cell.backward(dh, dc), *cell.grads])
    for one, other in zip(*results, strict=True):
        assert np.array_equal(one, other)


def test_saturated_weights_and_huge_inputs(isa: str) -> None:
    N, T, D, H = 5, 6, 7, 17
    rng = np.random.default_rng(0)
    Wx, Wh, b = draw_weights(rng, D, H)
    weights = [20 * Wx, 20 * Wh, b]
    xs, dhs = 100 * draw(rng, N, T, D), draw(rng, N, T, H)
    actual = run(TimeLSTM(*weights), xs, dhs)
    expected = run(fastseq_reference.TimeLSTM(*float64(*weights)), *float64(xs, dhs))
    # A gate's argument is of the order of 10^4, so float32 knows it to 10^-3 or worse; only what
    # is saturated, the forward result, can agree closely.
    assert_close(actual["hs"], expected["hs"], rtol=1e-2, atol=1e-2)
    assert all(np.isfinite(value).all() for value in actual.values())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_stay_in_their_row(isa: str, bad: float) -> None:
    N, T, D, H = 9, 4, 3, 17
    rng = np.random.default_rng(0)
    weights, xs = draw_weights(rng, D, H), draw(rng, N, T, D)
    clean = TimeLSTM(*weights).forward(xs)
    xs[4, 1, 2] = bad
    hs = TimeLSTM(*weights).forward(xs)
    others = np.arange(N) != 4
    assert np.array_equal(hs[others], clean[others])
    assert np.array_equal(hs[4, 0], clean[4, 0])
    if np.isnan(bad):
        assert np.isnan(hs[4, 1:]).all()


def test_awkward_inputs(isa: str, awkward: Callable[[Array], Array]) -> None:
    N, T, D, H = 3, 4, 5, 9
    rng = np.random.default_rng(0)
    weights, xs, dhs = draw_weights(rng, D, H), draw(rng, N, T, D), draw(rng, N, T, H)
    plain = run(TimeLSTM(*weights), xs, dhs)
    other = run(TimeLSTM(*weights), awkward(xs), awkward(dhs))
    for name, value in plain.items():
        assert np.array_equal(other[name], value), name


def test_awkward_weights(isa: str, awkward: Callable[[Array], Array]) -> None:
    N, T, D, H = 3, 4, 5, 9
    rng = np.random.default_rng(0)
    weights, xs, dhs = draw_weights(rng, D, H), draw(rng, N, T, D), draw(rng, N, T, H)
    plain = run(TimeLSTM(*weights), xs, dhs)
    strange = [awkward(weight) for weight in weights]
    layer = TimeLSTM(*strange)
    assert all(param is weight for param, weight in zip(layer.params, strange, strict=True))
    other = run(layer, xs, dhs)
    for name, value in plain.items():
        assert np.array_equal(other[name], value), name
    assert [grad.dtype for grad in layer.grads] == [weight.dtype for weight in strange]


def test_transposed_weights(isa: str) -> None:
    N, T, D, H = 3, 4, 17, 9
    rng = np.random.default_rng(0)
    (Wx, Wh, b), xs, dhs = draw_weights(rng, D, H), draw(rng, N, T, D), draw(rng, N, T, H)
    plain = run(TimeLSTM(Wx, Wh, b), xs, dhs)
    other = run(TimeLSTM(Wx.T.copy().T, Wh.T.copy().T, b), xs, dhs)
    for name, value in plain.items():
        assert np.array_equal(other[name], value), name


def test_integer_inputs_are_numbers(isa: str) -> None:
    rng = np.random.default_rng(0)
    layer = TimeLSTM(*draw_weights(rng, 4, 5))
    xs = rng.integers(-3, 4, size=(2, 3, 4))
    assert np.array_equal(layer.forward(xs), layer.forward(xs.astype(np.float32)))


def test_parameters_are_read_afresh(isa: str) -> None:
    rng = np.random.default_rng(0)
    weights, xs = draw_weights(rng, 4, 5), draw(rng, 2, 3, 4)
    layer = TimeLSTM(*weights)
    layer.forward(xs)
    for param in layer.params:
        param *= 0.5
    assert np.array_equal(layer.forward(xs), TimeLSTM(*weights).forward(xs))


def test_two_layers_share_one_array(isa: str) -> None:
    rng = np.random.default_rng(0)
    weights, xs, dhs = draw_weights(rng, 4, 5), draw(rng, 2, 3, 4), draw(rng, 2, 3, 5)
    first, second = TimeLSTM(*weights), TimeLSTM(*weights)
    first.forward(xs)
    second.forward(2 * xs)
    first.backward(dhs)
    alone = run(TimeLSTM(*weights), xs, dhs)
    assert np.array_equal(first.grads[1], alone["dWh"])
    assert not np.shares_memory(first.grads[1], second.grads[1])


def test_gradients_are_overwritten_in_the_same_arrays(isa: str) -> None:
    rng = np.random.default_rng(0)
    layer = TimeLSTM(*draw_weights(rng, 4, 5))
    kept = list(layer.grads)
    for _ in range(2):
        layer.forward(draw(rng, 2, 3, 4))
        layer.backward(draw(rng, 2, 3, 5))
    assert all(grad is same for grad, same in zip(layer.grads, kept, strict=True))

    dhs = draw(rng, 2, 3, 5)
    dxs = layer.backward(dhs)
    once = [grad.copy() for grad in layer.grads]
    assert np.array_equal(layer.backward(dhs), dxs)
    assert all(np.array_equal(grad, first) for grad, first in zip(layer.grads, once, strict=True))


def test_results_outlive_later_calls(isa: str) -> None:
    rng = np.random.default_rng(0)
    layer = TimeLSTM(*draw_weights(rng, 4, 17))
    first = run(layer, draw(rng, 3, 5, 4), draw(rng, 3, 5, 17))
    kept = {name: value.copy() for name, value in first.items()}
    for N, T in ((3, 5), (9, 8), (1, 1)):
        run(layer, draw(rng, N, T, 4), draw(rng, N, T, 17))
    for name, value in kept.items():
        assert np.array_equal(first[name], value), name


def test_caller_may_modify_the_result_before_backward(isa: str) -> None:
    N, T, D, H = 3, 4, 5, 9
    rng = np.random.default_rng(0)
    weights, xs, dhs = draw_weights(rng, D, H), draw(rng, N, T, D), draw(rng, N, T, H)
    expected = run(TimeLSTM(*weights), xs, dhs)
    layer = TimeLSTM(*weights)
    hs = layer.forward(xs)
    hs[...] = 7
    layer.h[...] = 7
    layer.c[...] = 7
    assert np.array_equal(layer.backward(dhs), expected["dxs"])
    assert np.array_equal(layer.grads[1], expected["dWh"])


def test_stateful_layer_continues(isa: str) -> None:
    N, T, D, H = 3, 7, 5, 9
    rng = np.random.default_rng(0)
    weights, xs = draw_weights(rng, D, H), draw(rng, N, T, D)
    whole = TimeLSTM(*weights).forward(xs)
    layer = TimeLSTM(*weights, stateful=True)
    parts = [layer.forward(xs[:, :3]), layer.forward(xs[:, 3:4]), layer.forward(xs[:, 4:])]
    assert np.array_equal(np.concatenate(parts, axis=1), whole)
    layer.reset_state()
    assert layer.h is None
    assert layer.c is None
    assert np.array_equal(layer.forward(xs), whole)


def test_layer_without_state_starts_from_zeros(isa: str) -> None:
    rng = np.random.default_rng(0)
    layer = TimeLSTM(*draw_weights(rng, 4, 5))
    xs = draw(rng, 2, 3, 4)
    first = layer.forward(xs)
    layer.set_state(draw(rng, 2, 5), draw(rng, 2, 5))
    assert np.array_equal(layer.forward(xs), first)


@pytest.mark.parametrize("with_cell", [True, False])
def test_given_state_is_the_reference(isa: str, with_cell: bool) -> None:
    N, T, D, H = 5, 3, 4, 17
    rng = np.random.default_rng(0)
    weights, xs, dhs = draw_weights(rng, D, H), draw(rng, N, T, D), draw(rng, N, T, H)
    state = (draw(rng, N, H), draw(rng, N, H))[: 1 + with_cell]
    layer = TimeLSTM(*weights, stateful=True)
    layer.set_state(*state)
    twin = fastseq_reference.TimeLSTM(*float64(*weights), stateful=True)
    twin.set_state(*float64(*state))
    actual, expected = run(layer, xs, dhs), run(twin, *float64(xs, dhs))
    assert_results_close(actual, expected, T * (D + 4 * H) + N * T)


def test_caller_may_modify_the_given_state_before_backward(isa: str) -> None:
    rng = np.random.default_rng(0)
    weights, xs, dhs = draw_weights(rng, 4, 5), draw(rng, 2, 3, 4), draw(rng, 2, 3, 5)
    h, c = draw(rng, 2, 5), draw(rng, 2, 5)
    results = []
    for spoil in (False, True):
        layer = TimeLSTM(*weights, stateful=True)
        layer.set_state(h, c)
        layer.forward(xs)
        if spoil:
            h[...] = 3
            c[...] = 3
        layer.backward(dhs)
        results.append([grad.copy() for grad in layer.grads])
    assert all(np.array_equal(one, other) for one, other in zip(*results, strict=True))


def test_row_is_the_same_alone_and_in_any_batch(
    isa: str, set_threads: Callable[[int], None]
) -> None:
    T, D, H = 5, 33, 130
    rng = np.random.default_rng(0)
    layer, xs = TimeLSTM(*draw_weights(rng, D, H)), draw(rng, 65, T, D)
    set_threads(1)
    expected = np.concatenate([layer.forward(xs[n : n + 1]) for n in range(65)])
    for threads in (1, 2, 4):
        set_threads(threads)
        for rows in (slice(0, 1), slice(7, 10), slice(0, 64), slice(1, 65), slice(0, 65)):
            hs = layer.forward(xs[rows])
            assert np.array_equal(hs.view(np.uint32), expected[rows].view(np.uint32))


@pytest.mark.parametrize(("N", "T", "D", "H"), [(65, 6, 33, 65), (128, 9, 16, 128), (4, 40, 70, 9)])
def test_results_have_the_same_bits_on_any_number_of_threads(
    isa: str, set_threads: Callable[[int], None], N: int, T: int, D: int, H: int
) -> None:
    rng = np.random.default_rng(0)
    weights, xs, dhs = draw_weights(rng, D, H), draw(rng, N, T, D), draw(rng, N, T, H)
    set_threads(1)
    expected = run(TimeLSTM(*weights), xs, dhs)
    for threads in (2, 3, 4):
        set_threads(threads)
        for name, value in run(TimeLSTM(*weights), xs, dhs).items():
            assert np.array_equal(value.view(np.uint32), expected[name].view(np.uint32)), name


def test_backward_before_forward() -> None:
    weights = draw_weights(np.random.default_rng(0), 4, 5)
    with pytest.raises(RuntimeError, match="forward"):
        TimeLSTM(*weights).backward(np.zeros((2, 3, 5)))
    with pytest.raises(RuntimeError, match="forward"):
        LSTM(*weights).backward(np.zeros((2, 5)), np.zeros((2, 5)))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copy_is_a_layer_of_its_own(duplicate: Callable[[TimeLSTM], TimeLSTM]) -> None:
    rng = np.random.default_rng(0)
    layer, xs = TimeLSTM(*draw_weights(rng, 4, 5)), draw(rng, 2, 3, 4)
    hs = layer.forward(xs)
    other = duplicate(layer)
    assert np.array_equal(other.forward(xs), hs)
    other.params[0] *= 2
    assert np.array_equal(layer.forward(xs), hs)


@pytest.mark.parametrize(
    ("error", "name", "shapes"),
    [
        (ValueError, "Wh", [(4, 20), (5, 24), (20,)]),
        (ValueError, "Wh", [(4, 20), (100,), (20,)]),
        (ValueError, "Wx", [(4, 24), (5, 20), (20,)]),
        (ValueError, "Wx", [(4,), (5, 20), (20,)]),
        (ValueError, "b", [(4, 20), (5, 20), (24,)]),
        (ValueError, "b", [(4, 20), (5, 20), (2, 20)]),
    ],
)
@pytest.mark.parametrize("layer_class", [LSTM, TimeLSTM])
def test_weights_of_wrong_shape(
    layer_class: type, error: type[Exception], name: str, shapes: list[tuple[int, ...]]
) -> None:
    with pytest.raises(error, match=rf"^{name}: expected shape .*, got \("):
        layer_class(*[np.zeros(shape, dtype=np.float32) for shape in shapes])


@pytest.mark.parametrize("layer_class", [LSTM, TimeLSTM])
def test_weights_of_wrong_kind(layer_class: type) -> None:
    Wx, Wh, b = draw_weights(np.random.default_rng(0), 4, 5)
    with pytest.raises(TypeError, match="Wx"):
        layer_class(Wx.tolist(), Wh, b)
    with pytest.raises(TypeError, match="Wh"):
        layer_class(Wx, Wh.astype(np.int64), b)
    with pytest.raises(TypeError, match="b"):
        layer_class(Wx, Wh, b.astype(np.complex64))


@pytest.mark.parametrize(
    ("error", "xs"),
    [
        (ValueError, np.zeros((3, 4))),
        (ValueError, np.zeros(4)),
        (ValueError, np.zeros((2, 3, 5))),
        (TypeError, np.zeros((2, 3, 4), dtype=complex)),
        (TypeError, np.full((2, 3, 4), "1")),
        (TypeError, np.full((2, 3, 4), None)),
    ],
)
def test_wrong_input(error: type[Exception], xs: Array) -> None:
    layer = TimeLSTM(*draw_weights(np.random.default_rng(0), 4, 5))
    with pytest.raises(error, match="xs"):
        layer.forward(xs)


def test_failed_forward_leaves_the_layer_as_it_was(isa: str) -> None:
    rng = np.random.default_rng(0)
    layer = TimeLSTM(*draw_weights(rng, 4, 5), stateful=True)
    xs, dhs = draw(rng, 2, 3, 4), draw(rng, 2, 3, 5)
    layer.forward(xs)
    h, dxs = layer.h, layer.backward(dhs)
    with pytest.raises(ValueError, match="xs"):
        layer.forward(draw(rng, 2, 3, 9))
    assert layer.h is h
    assert np.array_equal(layer.backward(dhs), dxs)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 6), (3, 3, 5), (2, 4, 5)])
def test_wrong_gradient(shape: tuple[int, ...]) -> None:
    layer = TimeLSTM(*draw_weights(np.random.default_rng(0), 4, 5))
    layer.forward(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="dhs"):
        layer.backward(np.zeros(shape))


def test_wrong_cell_input() -> None:
    layer = LSTM(*draw_weights(np.random.default_rng(0), 4, 5))
    state = np.zeros((2, 5))
    with pytest.raises(ValueError, match="x: "):
        layer.forward(np.zeros((2, 1, 4)), state, state)
    with pytest.raises(ValueError, match="h_prev"):
        layer.forward(np.zeros((2, 4)), np.zeros((3, 5)), state)
    with pytest.raises(ValueError, match="c_prev"):
        layer.forward(np.zeros((2, 4)), state, np.zeros((2, 6)))
    layer.forward(np.zeros((2, 4)), state, state)
    with pytest.raises(ValueError, match="dh_next"):
        layer.backward(np.zeros((2, 1, 5)), state)
    for wrong in ([[1.0], [2.0, 3.0]], None, "0"):
        with pytest.raises((TypeError, ValueError), match="^dc_next: "):
            layer.backward(state, wrong)  # type: ignore[arg-type]


def test_stateful_layer_refuses_another_batch_size() -> None:
    layer = TimeLSTM(*draw_weights(np.random.default_rng(0), 4, 5), stateful=True)
    layer.forward(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match=r"expected 2 rows.*got 3.*reset_state"):
        layer.forward(np.zeros((3, 3, 4)))
    layer.reset_state()
    assert layer.forward(np.zeros((3, 3, 4))).shape == (3, 3, 5)


@pytest.mark.parametrize(("N", "T", "H"), [(0, 3, 5), (2, 0, 5), (2, 3, 0)])
def test_empty(isa: str, N: int, T: int, H: int) -> None:
    rng = np.random.default_rng(0)
    Wx, Wh, b = draw(rng, 4, 4 * H), draw(rng, H, 4 * H), draw(rng, 4 * H)
    layer = TimeLSTM(Wx, Wh, b)
    for grad in layer.grads:
        grad[...] = 9
    assert layer.forward(draw(rng, N, T, 4)).shape == (N, T, H)
    assert layer.h.shape == layer.c.shape == (N, H)
    dxs = layer.backward(np.zeros((N, T, H)))
    assert dxs.shape == (N, T, 4)
    assert not dxs.any()
    assert not any(grad.any() for grad in layer.grads)
