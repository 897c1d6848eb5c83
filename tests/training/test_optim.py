"""Optimizers and gradient clipping: pinned to the reference, in place, over awkward arrays."""

import tracemalloc
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest

import fastseq
import fastseq_reference
from support.helpers import SIZES, assert_close, float32_tolerance

Array = Any
STEPS = 6
MANY_STEPS = 20
# a handful of float32 operations an element, none of them a long sum
ELEMENTWISE = float32_tolerance(4, products=0)


def arrays(*shapes: tuple[int, ...], seed: int = 0, dtype: str = "f4") -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def strided(array: Array) -> Array:
    """The values of an array in a view with gaps and a negative stride."""
    view = np.zeros((2 * len(array), *array.shape[1:]), array.dtype)[::-2]
    view[...] = array
    return view


def train(optimizer: Any, params: list[Array], dtype: str = "f4") -> None:
    """A few updates, with gradients of several magnitudes and exact zeros among them."""
    for step in range(STEPS):
        grads = arrays(*(param.shape for param in params), seed=100 + step, dtype=dtype)
        for grad in grads:
            grad *= 10.0 ** (step - 3)
            grad[np.abs(grad) < 1e-4] = 0
        optimizer.update(params, grads)


OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "beta1": 0.5, "beta2": 0.9}),
    ("Adam", {}),
    ("Momentum", {"lr": 0.1}),
    ("Momentum", {"lr": 0.1, "momentum": 0.5}),
    ("Momentum", {}),
    ("Nesterov", {"lr": 0.1}),
    ("Nesterov", {"lr": 0.1, "momentum": 0.5}),
    ("Nesterov", {}),
    ("AdaGrad", {"lr": 0.1}),
    ("AdaGrad", {}),
    ("RMSprop", {"lr": 0.1, "decay_rate": 0.5}),
    ("RMSprop", {}),
]
NAMES = sorted({name for name, _ in OPTIMIZERS})


@pytest.mark.parametrize(("name", "settings"), OPTIMIZERS)
@pytest.mark.parametrize("layout", [np.asarray, np.asfortranarray, strided])
def test_like_the_reference(
    isa: str, name: str, settings: dict[str, float], layout: Callable[[Array], Array]
) -> None:
    shapes = [(size,) for size in SIZES] + [(4097,), (3, 5), (17, 33)]
    params = [layout(array) for array in arrays(*shapes)]
    expected = arrays(*shapes)
    train(getattr(fastseq, name)(**settings), params)
    train(getattr(fastseq_reference, name)(**settings), expected)
    for param, value in zip(params, expected, strict=True):
        assert_close(param, value, **ELEMENTWISE)


@pytest.mark.parametrize("name", NAMES)
def test_the_comparison_can_fail(name: str) -> None:
    params, expected = arrays((33,)), arrays((33,))
    train(getattr(fastseq, name)(lr=0.01), params)
    train(getattr(fastseq_reference, name)(lr=0.0101), expected)
    with pytest.raises(AssertionError, match="differ"):
        assert_close(params[0], expected[0], **ELEMENTWISE)


def test_adam_keeps_the_moments_and_counts() -> None:
    optimizer, reference = fastseq.Adam(), fastseq_reference.Adam()
    assert (optimizer.lr, optimizer.beta1, optimizer.beta2) == (0.001, 0.9, 0.999)
    assert optimizer.iter == 0
    assert optimizer.m is None
    assert optimizer.v is None
    for each in (optimizer, reference):
        train(each, arrays((4, 3), (5,)))
    assert optimizer.iter == STEPS
    for kept, expected in ((optimizer.m, reference.m), (optimizer.v, reference.v)):
        assert kept is not None
        assert [moment.shape for moment in kept] == [(4, 3), (5,)]
        for moment, value in zip(kept, expected, strict=True):
            assert_close(moment, value, **float32_tolerance(STEPS, np.abs(value).max(), products=0))


def test_adams_first_step_is_the_learning_rate() -> None:
    [param] = arrays((50,))
    [grad] = arrays((50,), seed=1)
    grad += np.sign(grad)  # far from ε
    before = param.copy()
    fastseq.Adam(lr=0.01).update([param], [grad])
    np.testing.assert_allclose(param, before - 0.01 * np.sign(grad), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_float64_stays_float64(name: str) -> None:
    params, expected = arrays((7, 3), dtype="f8"), arrays((7, 3), dtype="f8")
    train(getattr(fastseq, name)(lr=0.01), params, "f8")
    train(getattr(fastseq_reference, name)(lr=0.01), expected, "f8")
    assert params[0].dtype == np.float64
    np.testing.assert_allclose(params[0], expected[0], rtol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_updates_in_place_and_leaves_gradients_alone(name: str) -> None:
    params, grads = arrays((3, 4), (4,)), arrays((3, 4), (4,), seed=1)
    first, before = params[0], [grad.copy() for grad in grads]
    assert getattr(fastseq, name)().update(params, grads) is None
    assert params[0] is first
    assert not np.array_equal(first, arrays((3, 4))[0])
    for grad, value in zip(grads, before, strict=True):
        np.testing.assert_array_equal(grad, value)


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_listed_twice_is_updated_twice(isa: str, name: str) -> None:
    for layout in (np.asarray, np.asfortranarray, strided):
        [param] = [layout(array) for array in arrays((17, 33))]
        [expected] = arrays((17, 33))
        train(getattr(fastseq, name)(lr=0.01), [param, param])
        train(getattr(fastseq_reference, name)(lr=0.01), [expected, expected])
        assert_close(param, expected, **ELEMENTWISE)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_step_takes_no_memory(name: str, order: Literal["C", "F"]) -> None:
    param, grad = (np.ones((300, 1000), "f4", order=order) for _ in range(2))
    optimizer = getattr(fastseq, name)()
    optimizer.update([param], [grad])  # the state comes with the first step
    tracemalloc.start()
    try:
        optimizer.update([param], [grad])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        param -= 0.1 * grad
        formula = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10_000
    assert formula >= param.nbytes  # NumPy's memory is seen


@pytest.mark.parametrize("name", NAMES)
def test_no_bit_depends_on_the_threads(
    isa: str, name: str, set_threads: Callable[[int], None]
) -> None:
    size = 1_000_003  # worth four threads to each kernel
    results = []
    for threads in (1, 2, 4):
        set_threads(threads)
        params = arrays((size,))
        optimizer = getattr(fastseq, name)()
        for step in range(2):
            optimizer.update(params, arrays((size,), seed=1 + step))
        results.append(params[0])
    assert not np.array_equal(results[0], arrays((size,))[0])
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize("name", NAMES)
def test_gradients_may_be_read_only(name: str) -> None:
    params, grads = arrays((17,)), arrays((17,), seed=1)
    expected = arrays((17,))
    grads[0].flags.writeable = False
    getattr(fastseq, name)().update(params, grads)
    getattr(fastseq_reference, name)().update(expected, grads)
    assert_close(params[0], expected[0], **ELEMENTWISE)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_must_not_be_read_only(name: str) -> None:
    params, grads = arrays((3,), (4,)), arrays((3,), (4,), seed=1)
    params[1].flags.writeable = False
    with pytest.raises(ValueError, match=r"params\[1\]: expected a writeable array"):
        getattr(fastseq, name)().update(params, grads)
    np.testing.assert_array_equal(params[0], arrays((3,))[0])


def test_adam_counts_no_step_that_it_refused() -> None:
    optimizer = fastseq.Adam()
    optimizer.update(arrays((3,), (4,)), arrays((3,), (4,)))
    with pytest.raises(ValueError, match="expected 2 arrays, as in the first update; got 1"):
        optimizer.update(arrays((3,)), arrays((3,)))
    assert optimizer.iter == 1


def twenty_gradients(size: int) -> list[Array]:
    """Of the order of 1, with exact zeros among them."""
    rng = np.random.default_rng(5)
    grads = rng.standard_normal((MANY_STEPS, size)) + 0.3
    grads[rng.random(grads.shape) < 0.1] = 0
    return list(grads.astype("f4"))


def momentum_formula(p: float, g: float, v: float) -> tuple[float, float]:
    v = 0.8 * v - 0.05 * g
    return p + v, v


def nesterov_formula(p: float, g: float, v: float) -> tuple[float, float]:
    v = 0.8 * v - 0.05 * g
    return p + 0.8 * 0.8 * v - 1.8 * 0.05 * g, v


def adagrad_formula(p: float, g: float, h: float) -> tuple[float, float]:
    h = h + g * g
    return p - 0.05 * g / (h**0.5 + 1e-7), h


def rmsprop_formula(p: float, g: float, h: float) -> tuple[float, float]:
    h = 0.9 * h + 0.1 * g * g
    return p - 0.05 * g / (h**0.5 + 1e-7), h


FORMULAS: dict[str, tuple[dict[str, float], str, Callable[..., tuple[float, float]]]] = {
    "Momentum": ({"momentum": 0.8}, "v", momentum_formula),
    "Nesterov": ({"momentum": 0.8}, "v", nesterov_formula),
    "AdaGrad": ({}, "h", adagrad_formula),
    "RMSprop": ({"decay_rate": 0.9}, "h", rmsprop_formula),
}


def by_formula(name: str, start: Array, grads: list[Array]) -> tuple[Array, Array]:
    """Parameters and state after all steps, one number at a time in double precision."""
    formula = FORMULAS[name][2]
    params, states = [], []
    for index, value in enumerate(start):
        p, state = float(value), 0.0
        for grad in grads:
            p, state = formula(p, float(grad[index]), state)
        params.append(p)
        states.append(state)
    return np.array(params), np.array(states)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("package", [fastseq, fastseq_reference])
def test_twenty_steps_by_the_formula(package: Any, name: str) -> None:
    [param] = arrays((33,))
    grads = twenty_gradients(33)
    expected, expected_state = by_formula(name, param, grads)
    settings, attribute, _ = FORMULAS[name]
    optimizer = getattr(package, name)(lr=0.05, **settings)
    assert getattr(optimizer, attribute) is None
    for grad in grads:
        optimizer.update([param], [grad])
    # each step adds a few roundings of values below 5
    tolerance = float32_tolerance(4 * MANY_STEPS, 5, products=0)
    assert_close(param, expected, **tolerance)
    [state] = getattr(optimizer, attribute)
    assert_close(state, expected_state, **float32_tolerance(4 * MANY_STEPS, 50, products=0))
    for broken in (0.049, 0.051):
        [other] = arrays((33,))
        optimizer = getattr(package, name)(lr=broken, **settings)
        for grad in grads:
            optimizer.update([other], [grad])
        with pytest.raises(AssertionError, match="differ"):
            assert_close(other, expected, **tolerance)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Momentum", {"momentum": 0.81}),
        ("Nesterov", {"momentum": 0.81}),
        ("RMSprop", {"decay_rate": 0.91}),
    ],
)
def test_another_decay_is_told_apart(name: str, change: dict[str, float]) -> None:
    [param] = arrays((33,))
    grads = twenty_gradients(33)
    expected, _ = by_formula(name, param, grads)
    optimizer = getattr(fastseq, name)(lr=0.05, **change)
    for grad in grads:
        optimizer.update([param], [grad])
    with pytest.raises(AssertionError, match="differ"):
        assert_close(param, expected, **float32_tolerance(4 * MANY_STEPS, 5, products=0))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layout", [np.asarray, np.asfortranarray, strided])
@pytest.mark.parametrize("shape", [(40, 1000), (30, 40, 50)])
def test_large_arrays_like_the_reference(
    name: str, layout: Callable[[Array], Array], shape: tuple[int, ...]
) -> None:
    params, expected = [layout(array) for array in arrays(shape)], arrays(shape)
    for step in range(3):
        grads = arrays(shape, seed=step)
        getattr(fastseq, name)(lr=0.1).update(params, [layout(grad) for grad in grads])
        getattr(fastseq_reference, name)(lr=0.1).update(expected, grads)
    assert_close(params[0], expected[0], **ELEMENTWISE)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0)])
def test_a_number_and_no_number(name: str, shape: tuple[int, ...]) -> None:
    param, expected = np.full(shape, 2, "f4"), np.full(shape, 2, "f4")
    for package, array in ((fastseq, param), (fastseq_reference, expected)):
        getattr(package, name)(lr=0.1).update([array], [np.full(shape, 3, "f4")])
    assert_close(param, expected, **ELEMENTWISE)
    assert not (param == 2).any()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("name", NAMES)
def test_refuses_gradients_that_do_not_fit(name: str, dtype: str) -> None:
    optimizer = getattr(fastseq, name)()
    params = arrays((3,), (4,), dtype=dtype)
    with pytest.raises(ValueError, match="grads: expected 2 arrays, as in params; got 1"):
        optimizer.update(params, arrays((3,), dtype=dtype))
    for shapes in ((3,), (1,)), ((3,), (5,)):
        with pytest.raises(ValueError, match=r"grads\[1\]: expected the shape \(4,\)"):
            optimizer.update(params, arrays(*shapes, dtype=dtype))
    for param, value in zip(params, arrays((3,), (4,), dtype=dtype), strict=True):
        np.testing.assert_array_equal(param, value)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "SGD"])
def test_refuses_other_parameters_than_before(name: str) -> None:
    optimizer = getattr(fastseq, name)()
    optimizer.update(arrays((3,), (4,)), arrays((3,), (4,)))
    with pytest.raises(ValueError, match="params: expected 2 arrays, as in the first update; got"):
        optimizer.update(arrays((3,)), arrays((3,)))
    with pytest.raises(ValueError, match=r"params\[1\]: expected the shape \(4,\), as in the fir"):
        optimizer.update(arrays((3,), (5,)), arrays((3,), (5,)))


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("SGD", {"lr": 0.01}),
        ("Momentum", {"lr": 0.01, "momentum": 0.9, "v": None}),
        ("Nesterov", {"lr": 0.01, "momentum": 0.9, "v": None}),
        ("AdaGrad", {"lr": 0.01, "h": None}),
        ("RMSprop", {"lr": 0.01, "decay_rate": 0.99, "h": None}),
    ],
)
@pytest.mark.parametrize("package", [fastseq, fastseq_reference])
def test_the_defaults(package: Any, name: str, defaults: dict[str, float | None]) -> None:
    assert vars(getattr(package, name)()) == defaults


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("layout", [np.asarray, np.asfortranarray, strided])
def test_clipping_like_the_reference(
    isa: str, layout: Callable[[Array], Array], dtype: str
) -> None:
    shapes = [(size,) for size in SIZES] + [(17, 33)]
    grads = [layout(array) for array in arrays(*shapes, dtype=dtype)]
    expected = arrays(*shapes, dtype=dtype)
    elements = sum(grad.size for grad in grads)
    fastseq.clip_grads(grads, 5.0)
    fastseq_reference.clip_grads(expected, 5.0)
    for grad, value in zip(grads, expected, strict=True):
        assert grad.dtype == value.dtype
        assert_close(grad, value, **float32_tolerance(elements, products=0))
    norm = np.sqrt(sum(np.sum(np.square(grad, dtype="f8")) for grad in grads))
    assert norm == pytest.approx(5.0, rel=1e-5)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_small_gradients_stay_as_they_are(dtype: str) -> None:
    grads = arrays((20,), (3, 4), dtype=dtype)
    fastseq.clip_grads(grads, 100.0)
    for grad, value in zip(grads, arrays((20,), (3, 4), dtype=dtype), strict=True):
        np.testing.assert_array_equal(grad, value)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_clipping_does_not_hide_nan(dtype: str) -> None:
    grads = arrays((20,), dtype=dtype)
    grads[0][3] = np.nan
    fastseq.clip_grads(grads, 0.1)
    assert np.isnan(grads[0]).sum() == 1
