"""TimeDropout against the reference."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq_reference
from fastseq.layers import TimeDropout
from support.helpers import assert_close

Array = npt.NDArray[Any]


def draw(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def run(layer: Any, xs: Array, dout: Array) -> tuple[Array, Array]:
    np.random.seed(1)
    return layer.forward(xs), layer.backward(dout)


@pytest.mark.parametrize("ratio", [0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("shape", [(3, 4, 5), (7, 33), (1, 1, 1)])
def test_is_the_reference(ratio: float, shape: tuple[int, ...]) -> None:
    xs, dout = draw(*shape), draw(*shape)[::-1]
    actual = run(TimeDropout(ratio), xs, dout)
    expected = run(fastseq_reference.TimeDropout(ratio), xs, dout)
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == np.float32
        assert_close(one, other, rtol=1e-6, atol=0)


@pytest.mark.usefixtures("float32_products")
def test_comparison_notices_one_wrong_element() -> None:
    xs = draw(3, 4, 5)
    _, dxs = run(TimeDropout(), xs, xs)
    wrong = dxs.copy()
    wrong.flat[np.abs(dxs).argmax()] *= 0.999
    with pytest.raises(AssertionError):
        assert_close(dxs, wrong, rtol=1e-6, atol=0)


def test_draws_one_number_for_each_element() -> None:
    np.random.seed(1)
    TimeDropout().forward(draw(3, 4, 5))
    after = np.random.rand()
    np.random.seed(1)
    np.random.rand(3, 4, 5)
    assert np.random.rand() == after


def test_identity_outside_training() -> None:
    layer, xs = TimeDropout(), draw(3, 4, 5)
    assert layer.train_flg is True
    layer.forward(xs)
    layer.train_flg = False
    state = np.random.get_state()[1].copy()
    out = layer.forward(xs)
    assert np.array_equal(np.random.get_state()[1], state)
    assert np.array_equal(out, xs)
    assert not np.shares_memory(out, xs)
    assert np.array_equal(layer.backward(xs), xs)


def test_awkward_inputs(awkward: Callable[[Array], Array]) -> None:
    xs, dout = draw(3, 4, 5), draw(3, 4, 5)[::-1]
    plain = run(TimeDropout(), xs, dout)
    other = run(TimeDropout(), awkward(xs), awkward(dout))
    assert all(np.array_equal(one, two) for one, two in zip(plain, other, strict=True))
    assert all(value.dtype == np.float32 for value in other)


def test_results_are_the_callers() -> None:
    xs, layer = draw(3, 4, 5), TimeDropout()
    expected = run(layer, xs, xs)[1].copy()
    np.random.seed(1)
    out = layer.forward(xs)
    out[...] = 7
    assert np.array_equal(layer.backward(xs), expected)
    layer.backward(xs)[...] = 7
    assert np.array_equal(layer.backward(xs), expected)
    layer.forward(xs)
    assert (out == 7).all()


@pytest.mark.parametrize("ratio", [-0.1, 1, 1.5, float("nan")])
def test_ratio_out_of_range(ratio: float) -> None:
    with pytest.raises(ValueError, match="dropout_ratio"):
        TimeDropout(ratio)


@pytest.mark.parametrize("ratio", [None, "0.5", [0.5, 0.5], 1j])
def test_ratio_of_wrong_kind(ratio: Any) -> None:
    with pytest.raises(TypeError, match="^dropout_ratio: expected a number"):
        TimeDropout(ratio)


def test_wrong_input() -> None:
    layer = TimeDropout()
    with pytest.raises(ValueError, match="^xs: "):
        layer.forward([[1.0], [2.0, 3.0]])  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="forward"):
        layer.backward(draw(2, 3, 4))
    for bad in (np.full((2, 3, 4), "1"), np.zeros((2, 3, 4), dtype=complex)):
        with pytest.raises(TypeError, match="xs"):
            layer.forward(bad)
    layer.forward(draw(2, 3, 4))
    with pytest.raises(ValueError, match="dout"):
        layer.backward(draw(2, 3, 1))


@pytest.mark.parametrize("shape", [(0, 3, 5), (2, 0, 5), (2, 3, 0)])
def test_empty(shape: tuple[int, ...]) -> None:
    layer = TimeDropout()
    assert layer.forward(np.zeros(shape)).shape == shape
    assert layer.backward(np.zeros(shape)).shape == shape
