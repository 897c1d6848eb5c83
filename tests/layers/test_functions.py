"""The functions and their layers, Softmax and Sigmoid, against the reference, on every ISA."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq_reference
from fastseq.layers import Sigmoid, Softmax, cross_entropy_error, relu, sigmoid, softmax
from support.helpers import SIZES, assert_close, float32_tolerance

Array = npt.NDArray[Any]

FUNCTIONS = {"sigmoid": sigmoid, "relu": relu, "softmax": softmax}
LAYERS = {"Softmax": Softmax, "Sigmoid": Sigmoid}
SHAPES = [*[(3, V) for V in SIZES], *[(N, 5) for N in SIZES], (17, 130), (1, 1), (65,)]


def draw(*shape: int, seed: int = 0) -> Array:
    return 3 * np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def run(layer: Any, x: Array, dout: Array) -> tuple[Array, Array]:
    return layer.forward(x), layer.backward(dout)


def probabilities(N: int, V: int) -> tuple[Array, Array]:
    return softmax(draw(N, V)), np.random.default_rng(N).integers(0, V, size=N)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_function_is_the_reference(isa: str, name: str, shape: tuple[int, ...]) -> None:
    x = draw(*shape)
    kept = x.copy()
    actual = FUNCTIONS[name](x)
    expected = getattr(fastseq_reference, name)(x.astype(np.float64))
    assert actual.dtype == np.float32
    assert not np.shares_memory(actual, x)
    assert np.array_equal(x, kept)
    assert_close(actual, expected, **float32_tolerance(shape[-1], products=0))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_of_anything_like_an_array(
    isa: str, name: str, awkward: Callable[[Array], Array]
) -> None:
    function, x = FUNCTIONS[name], draw(5, 9)
    assert np.array_equal(function(awkward(x)), function(x))
    assert np.array_equal(function(x.tolist()), function(x))
    integers = np.arange(-3, 5)
    assert np.array_equal(function(integers), function(integers.astype(np.float32)))
    for wrong in (np.full((2, 3), "1"), np.zeros((2, 3), dtype=complex)):
        with pytest.raises(TypeError, match="^x: expected"):
            function(wrong)


@pytest.mark.parametrize("name", ["sigmoid", "relu"])
def test_function_of_any_rank(isa: str, name: str) -> None:
    function = FUNCTIONS[name]
    for shape in ((), (0,), (2, 0, 3), (2, 3, 4, 5)):
        x = draw(*shape)
        assert function(x).shape == shape
        assert np.array_equal(function(x).reshape(-1), function(x.reshape(-1)))
    assert function(np.float64(2)) == function(np.array([2.0]))[0]


@pytest.mark.parametrize("name", ["sigmoid", "relu"])
def test_of_a_number_is_a_scalar(name: str) -> None:
    # an array without axes cannot be rounded, nor be the key of a dict
    y = FUNCTIONS[name](0.5)
    assert isinstance(y, np.float32)
    assert round(y, 1) == round(float(getattr(fastseq_reference, name)(0.5)), 1)


def test_special_values(isa: str) -> None:
    x = np.array([-np.inf, -1e4, -0.0, 1e4, np.inf, np.nan], dtype=np.float32)
    assert np.array_equal(sigmoid(x), np.array([0, 0, 0.5, 1, 1, np.nan]), equal_nan=True)
    assert np.array_equal(relu(x), np.array([0, 0, 0, 1e4, np.inf, np.nan]), equal_nan=True)
    assert np.array_equal(softmax(np.array([[1e30, -1e30], [-3e38, 3e38]])), np.eye(2))
    assert np.isnan(softmax(np.array([[0, np.nan], [1, 1]]))).tolist() == [[True] * 2, [False] * 2]


@pytest.mark.parametrize("V", SIZES)
@pytest.mark.parametrize("N", [1, 4, 33])
def test_cross_entropy_error_is_the_reference(N: int, V: int) -> None:
    y, t = probabilities(N, V)
    expected = fastseq_reference.cross_entropy_error(y.astype(np.float64), t)
    loss = cross_entropy_error(y, t)
    assert isinstance(loss, float)
    assert_close(loss, expected, rtol=1e-6, atol=1e-12)
    for labels in (np.eye(V)[t], np.eye(V, dtype=bool)[t], t.astype(">i2"), t.tolist()):
        assert cross_entropy_error(y, labels) == loss
    assert cross_entropy_error(y.astype(np.float64), t) == loss


def test_cross_entropy_error_of_one_row_and_of_zeros() -> None:
    y, t = probabilities(1, 5)
    expected = cross_entropy_error(y, t)
    for labels in (t, t[0], int(t[0]), np.eye(5)[t[0]]):
        assert cross_entropy_error(y[0], labels) == expected
    assert_close(cross_entropy_error(np.eye(2), np.array([1, 0])), -np.log(1e-7), rtol=1e-6, atol=0)
    assert np.isnan(cross_entropy_error(np.array([[np.nan, 0.5]]), np.array([0])))


@pytest.mark.parametrize(
    ("error", "message", "y", "t"),
    [
        (IndexError, r"^t\[1\]: expected a label from 0 to 2, got -1", np.ones((2, 3)), [0, -1]),
        (IndexError, r"^t\[0\]: expected a label from 0 to 2, got 3", np.ones((2, 3)), [3, 0]),
        (IndexError, r"^t\[0\]: .* got 7", np.ones(3), 7),
        (ValueError, r"^t: expected shape \(N,\) = \(2\), got \(3,\)", np.ones((2, 3)), [0, 1, 2]),
        (ValueError, r"^t: expected shape \(N,\) = \(1\), got \(2,\)", np.ones(3), [0, 1]),
        (ValueError, r"^t: expected shape \(N, V\)", np.ones((2, 3)), np.ones((3, 2))),
        (ValueError, r"^y: expected shape \(N, V\)", np.ones((2, 3, 4)), np.zeros((2, 3), int)),
        (ValueError, r"^y: expected at least one row", np.ones((0, 3)), np.zeros(0, int)),
        (TypeError, r"^t: expected an array of integers", np.ones((2, 3)), [0.0, 1.0]),
        (TypeError, r"^y: expected an array of numbers", np.full((2, 3), "1"), [0, 1]),
    ],
)
def test_wrong_cross_entropy(error: type[Exception], message: str, y: Array, t: Any) -> None:
    with pytest.raises(error, match=message):
        cross_entropy_error(y, t)


# ---------------------------------------------------------------------------- Softmax and Sigmoid


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layer_is_the_reference(isa: str, name: str, shape: tuple[int, ...]) -> None:
    x, dout = draw(*shape), draw(*shape, seed=1)
    actual = run(LAYERS[name](), x, dout)
    twin = getattr(fastseq_reference, name)()
    expected = run(twin, x.astype(np.float64), dout.astype(np.float64))
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == np.float32
        # the gradient is a sum of products of probabilities, which add up to 1, and dout
        assert_close(
            one, other, **float32_tolerance(shape[-1], float(np.abs(dout).max()), products=0)
        )


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0])
def test_comparison_notices_one_wrong_element(isa: str, name: str, factor: float) -> None:
    x, dout = draw(3, 9), draw(3, 9, seed=1)
    actual = run(LAYERS[name](), x, dout)
    for one in actual:
        wrong = one.astype(np.float64)
        wrong.flat[np.abs(wrong).argmax()] *= factor
        with pytest.raises(AssertionError):
            assert_close(one, wrong, **float32_tolerance(9, float(np.abs(dout).max()), products=0))


@pytest.mark.parametrize("name", LAYERS)
def test_layer_of_awkward_inputs(isa: str, name: str, awkward: Callable[[Array], Array]) -> None:
    x, dout = draw(3, 9), draw(3, 9, seed=1)
    plain = run(LAYERS[name](), x, dout)
    other = run(LAYERS[name](), awkward(x), awkward(dout))
    assert all(np.array_equal(one, two) for one, two in zip(plain, other, strict=True))


@pytest.mark.parametrize("name", LAYERS)
def test_layer_keeps_what_backward_needs(isa: str, name: str) -> None:
    x, dout = draw(3, 9), draw(3, 9, seed=1)
    layer = LAYERS[name]()
    assert layer.params == []
    assert layer.grads == []
    with pytest.raises(RuntimeError, match="before forward"):
        layer.backward(dout)
    out, expected = layer.forward(x), layer.backward(dout)
    out[...] = 7
    layer.backward(dout)[...] = 7
    assert np.array_equal(layer.backward(dout), expected)
    layer.forward(2 * x)
    assert (out == 7).all()
    with pytest.raises(ValueError, match="^dout: expected shape"):
        layer.backward(dout[:, :1])
    with pytest.raises(TypeError, match="^dout: expected"):
        layer.backward(dout.astype(complex))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_empty(isa: str, name: str, shape: tuple[int, ...]) -> None:
    out, dx = run(LAYERS[name](), np.zeros(shape), np.zeros(shape))
    assert out.shape == dx.shape == shape
