"""The helpers of the numerical tests: central differences, comparison, tolerances."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from fastseq.float_formats import from_storage, to_storage
from fastseq.precision import products_in
from support.helpers import (
    CENTRAL_DIFFERENCES,
    SIZES,
    assert_close,
    float32_tolerance,
    numerical_gradient,
)
from support.layers.layer_cases import randn

Array = npt.NDArray[np.floating]


def test_numerical_gradient_of_a_known_function() -> None:
    x = randn(1, 3, 4)[:, ::2]
    original = x.copy()
    gradient = numerical_gradient(lambda: float(np.sum(np.sin(x) * x[0, 0])), x)
    expected = np.cos(original) * original[0, 0]
    expected[0, 0] += np.sum(np.sin(original))
    assert_close(gradient, expected, **CENTRAL_DIFFERENCES)
    np.testing.assert_array_equal(x, original)
    with pytest.raises(TypeError, match="float64"):
        numerical_gradient(lambda: 0.0, x.astype(np.float32))


def test_assert_close_shows_the_worst_element() -> None:
    expected = np.zeros((2, 3))
    actual = expected.copy()
    actual[0, 1], actual[1, 2] = 1e-3, -0.5
    with pytest.raises(AssertionError, match=r"2 of 6 .*\(1, 2\): actual .*-0\.5.*, error 0\.5"):
        assert_close(actual, expected, rtol=0, atol=1e-6)
    assert_close(actual, expected, rtol=0, atol=0.5)
    assert_close([math.nan, math.inf], [math.nan, math.inf], rtol=0, atol=0)
    for a, b in (
        (math.nan, 0.0),
        (0.0, math.nan),
        (math.inf, 1.0),
        (math.inf, -math.inf),
        (1.0, math.inf),
    ):
        with pytest.raises(AssertionError, match="1 of 1"):
            assert_close(a, b, rtol=1e-3, atol=1e-3)
    with pytest.raises(AssertionError, match="shapes differ"):
        assert_close(np.zeros((1, 3)), np.zeros(3), rtol=1, atol=1)


def test_float32_tolerance_fits_dot_products_and_nothing_much_larger() -> None:
    for size in (*SIZES, 4096):
        a, b = randn(1, 100, size), randn(2, size)
        a32, b32 = a.astype(np.float32), b.astype(np.float32)
        exact = a32.astype(np.float64) @ b32.astype(np.float64)
        magnitude = float(np.max(np.abs(a) @ np.abs(b)))
        tolerance = float32_tolerance(size, magnitude, products=0)
        assert_close(a32 @ b32, exact, **tolerance)
        assert_close(np.add.accumulate(a32 * b32, axis=1)[:, -1], exact, **tolerance)
        assert tolerance["rtol"] < 1e-4
        exact[7] += 0.01 * np.abs(exact).max()
        with pytest.raises(AssertionError, match="1 of 100"):
            assert_close(a32 @ b32, exact, **tolerance)


def test_in_bfloat16_the_tolerance_fits_rounded_operands_and_nothing_much_larger() -> None:
    for size in (*SIZES, 4096):
        # a state's magnitude: what the terms add up to as a random walk
        a, b = randn(1, 100, size) / np.sqrt(size), randn(2, size)
        exact = a @ b
        found = rounded_to_bfloat16(a) @ rounded_to_bfloat16(b)
        with products_in("float32"):
            exact_products = float32_tolerance(size, magnitude=1.0)
        with products_in("bfloat16"):
            tolerance = float32_tolerance(size, magnitude=1.0)
            assert float32_tolerance(size, magnitude=1.0, products=0) == exact_products
        assert_close(found, exact, **tolerance)
        with pytest.raises(AssertionError):
            assert_close(found, exact, **exact_products)
        exact[7] += 0.05
        with pytest.raises(AssertionError, match="1 of 100"):
            assert_close(found, exact, **tolerance)


def rounded_to_bfloat16(array: Array) -> Array:
    return from_storage(to_storage(array.astype(np.float32), "bfloat16"), "bfloat16")
