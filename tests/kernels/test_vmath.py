"""exp, tanh and sigmoid of the kernels: maximum error in ULP over float32, and special values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fastseq import _kernels

MAX_ULP = 3.0


def _sigmoid(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp": np.exp,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
}


def ulp_error(actual: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Distance of float32 `actual` from float64 `exact`, in spacings of float32 at `exact`.

    inf if only one of them is NaN or infinite. An exact value that rounds to infinity is treated as
    infinite; within one ULP above the largest float, both results are accepted.
    """
    rounded = exact.astype(np.float32)
    with np.errstate(invalid="ignore"):
        # the spacing of float32 at |exact|, from the exponent; it is the same for denormals and 0
        _, exponent = np.frexp(exact)
        exponent = np.where(exact == 0.0, -200, exponent)
        spacing = np.ldexp(1.0, np.maximum(exponent - 24, -149))
        error = np.abs(actual.astype(np.float64) - exact) / spacing
    special = ~np.isfinite(rounded) | ~np.isfinite(actual)
    same = (np.isnan(rounded) & np.isnan(actual)) | (rounded == actual)
    return np.where(special, np.where(same, 0.0, np.inf), error)


def worst_error(name: str, bits: np.ndarray) -> tuple[float, float]:
    """The maximum error of a function over the floats with these bit patterns, and its argument."""
    x = bits.astype(np.uint32).view(np.float32)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        exact = FUNCTIONS[name](x.astype(np.float64))
        error = ulp_error(getattr(_kernels, name)(x), exact)
    worst = int(np.argmax(error))
    return float(error[worst]), float(x[worst])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_on_a_stride_through_all_floats(isa: str, name: str) -> None:
    # 1021 is prime: so all values of the low bits of the mantissa occur
    bits = np.arange(0, 1 << 32, 1021, dtype=np.uint64)
    error, where = worst_error(name, bits)
    assert error <= MAX_ULP, f"{name}({where!r}): {error:.2f} ULP"


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("exp", [0.0, -0.0, np.inf, -np.inf, np.nan], [1.0, 1.0, np.inf, 0.0, np.nan]),
        ("exp", [88.5, 88.8, -103.9, -104.1], [np.exp(88.5), np.inf, 2.0**-149, 0.0]),
        ("tanh", [0.0, -0.0, np.inf, -np.inf, np.nan], [0.0, -0.0, 1.0, -1.0, np.nan]),
        ("tanh", [1e-38, -1e-45, 20.0, -20.0], [1e-38, -1e-45, 1.0, -1.0]),
        ("sigmoid", [0.0, -0.0, np.inf, -np.inf, np.nan], [0.5, 0.5, 1.0, 0.0, np.nan]),
        ("sigmoid", [-100.0, 100.0, -3.4e38], [np.exp(-100.0), 1.0, 0.0]),
    ],
)
def test_special_values(isa: str, name: str, x: list[float], expected: list[float]) -> None:
    actual = getattr(_kernels, name)(np.array(x, np.float32))
    wanted = np.array(expected, np.float64).astype(np.float32)
    finite = np.isfinite(wanted)
    np.testing.assert_array_almost_equal_nulp(actual[finite], wanted[finite], 3)
    np.testing.assert_array_equal(actual[~finite], wanted[~finite])
    np.testing.assert_array_equal(np.signbit(actual[finite]), np.signbit(wanted[finite]))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 15, 16, 17, 31, 33])
def test_a_value_does_not_depend_on_its_lane(isa: str, name: str, size: int) -> None:
    function = getattr(_kernels, name)
    x = np.random.default_rng(size).standard_normal(size).astype(np.float32)
    alone = np.concatenate([function(x[i : i + 1]) for i in range(size)])
    np.testing.assert_array_equal(function(x), alone)


def test_the_error_measure_detects_a_wrong_result() -> None:
    exact = np.array([1.0, 0.0, np.inf, np.nan, 1e-45])
    wrong = np.array([1.0 + 4 * 2.0**-23, 1e-40, 3e38, 0.0, 8e-45], np.float32)
    assert (ulp_error(wrong, exact) > MAX_ULP).all()
    assert (ulp_error(exact.astype(np.float32), exact) <= 0.5).all()
