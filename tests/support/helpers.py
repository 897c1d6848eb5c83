"""Helpers of numerical tests: central differences, comparison, tolerances from rounding errors.

Only NumPy is imported here, and the name of the precision in use from fastseq.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels

Array = npt.NDArray[Any]

# Sizes on both sides of the width of every vector register: full and partial vectors.
SIZES = (1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65)

# Central differences in float64 with a step of 1e-6 lose about eps * |f| / step = 2e-10 |f| to
# cancellation and step^2 |f'''| / 6 = 2e-13 |f'''| to truncation. The losses of the tests are
# below 100 and their gradients of the order of 1: both stay below 1e-7 by a factor of 5 or more.
CENTRAL_DIFFERENCES = {"rtol": 1e-6, "atol": 1e-7}


def numerical_gradient(f: Callable[[], float], x: Array, step: float = 1e-6) -> Array:
    """Gradient of ``f`` with respect to ``x`` by central differences.

    ``df/dx_k = (f(x + step e_k) - f(x - step e_k)) / (2 step)``, for every element in turn.

    Parameters
    ----------
    f : callable
        Takes nothing, reads ``x`` and returns a number.
    x : array of float64, any shape and strides
        Changed in place, element by element, and restored.
    step : float

    Returns
    -------
    gradient : array of float64, the shape of ``x``

    Raises
    ------
    TypeError
        When ``x`` is not float64: in float32 the differences drown in rounding errors.
    """
    if x.dtype != np.float64:
        raise TypeError(f"central differences need float64, not {x.dtype}")
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        original = x[index]
        x[index] = original + step
        upper = f()
        x[index] = original - step
        lower = f()
        x[index] = original
        gradient[index] = (upper - lower) / (2 * step)
    return gradient


def assert_close(actual: object, expected: object, *, rtol: float, atol: float) -> None:
    """Require ``|actual - expected| <= atol + rtol |expected|`` for every element.

    NaN equals NaN and an infinity equals itself; nothing is broadcast.

    Parameters
    ----------
    actual, expected : arrays or numbers of equal shape
    rtol, atol : float

    Raises
    ------
    AssertionError
        When a shape or an element differs; the message shows the worst element.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        raise AssertionError(f"shapes differ: actual {actual.shape}, expected {expected.shape}")
    actual, expected = actual.astype(np.float64), expected.astype(np.float64)

    with np.errstate(invalid="ignore"):
        error = np.abs(actual - expected)
        equal = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
        excess = np.where(equal, -np.inf, error - (atol + rtol * np.abs(expected)))
    excess[np.isnan(excess)] = np.inf  # one of the two is NaN or infinite
    wrong = excess > 0
    if wrong.any():
        worst = np.unravel_index(np.argmax(excess), excess.shape)
        raise AssertionError(
            f"{np.count_nonzero(wrong)} of {wrong.size} elements differ (rtol {rtol:g}, "
            f"atol {atol:g}); the worst is at {tuple(int(k) for k in worst)}: "
            f"actual {actual[worst]!r}, expected {expected[worst]!r}, error {error[worst]:.3g}"
        )


# The unit roundoff of bfloat16, whose significand has 8 bits.
BFLOAT16_ROUNDOFF = 2.0**-8


def operand_rounding(products: int = 4) -> float:
    """What the rounding of operands may change, of the size of a result; 0 in float32.

    Where the precision in use is bfloat16 (``FASTSEQ_PRECISION``), each operand is rounded by at
    most the unit roundoff ``u = 2^-8``, with a standard deviation below ``u / sqrt(3)``. The errors
    of the terms are independent, so an element is off by ``sqrt(2 / 3) u`` of the size of the
    elements, and after ``n`` products that depend on each other by ``sqrt(n)`` times that. This is
    six standard deviations: ``9.8 u`` after the four that forward, loss and backward of one layer
    have.

    Parameters
    ----------
    products : int
        How many products depend on each other on the way to a result: four for each layer.
    """
    if _kernels.get_precision() == "float32":
        return 0.0
    return 6 * float(np.sqrt(products * 2 / 3)) * BFLOAT16_ROUNDOFF


def float32_tolerance(length: int, magnitude: float = 1.0, products: int = 4) -> dict[str, float]:
    """Tolerance between two float32 computations of a sum of ``length`` terms.

    Rounding errors of a sum are modelled as a random walk. With unit roundoff ``u = eps / 2``, the
    error is below ``6 sqrt(length) u sum|terms|`` except with a probability of less than
    ``2 length exp(-6^2/2) = 3e-8 length``, a pessimistic bound (N. J. Higham and T. Mary, "A
    new approach to probabilistic rounding error analysis", SIAM J. Sci. Comput. 41(5), 2019). Two
    computations with different orders of addition differ by at most twice that: ``6 sqrt(length)
    eps sum|terms|``. ``6 eps`` are added for exp, tanh and sigmoid: 3 ULP in each of the two.

    Where operands are rounded to bfloat16, `operand_rounding` is added.

    Parameters
    ----------
    length : int
        Terms in the longest chain of additions of one element: for a recurrent layer of all time
        steps, ``T * (D + H)``; for the gradient of a weight, ``N * T``.
    magnitude : float
        Bound of the sum of the absolute terms. Cancellation makes a result smaller than this sum,
        but not its error.
    products : int, default 4
        Of fastseq's, how many depend on each other: four for each layer, forward and backward; 0
        where none takes part, as only they have operands in bfloat16.

    Returns
    -------
    tolerance : dict
        ``rtol`` and ``atol``, for `assert_close`.
    """
    relative = (6 * np.sqrt(max(length, 1)) + 6) * float(np.finfo(np.float32).eps)
    return {"rtol": relative, "atol": (relative + operand_rounding(products)) * magnitude}


def convert_model(model: Any, dtype: npt.DTypeLike) -> Any:
    """Convert the weights and gradients of a model of ``fastseq_reference`` to a dtype, in place.

    Models have float32 weights, but central differences need float64. The arrays of every layer
    are replaced by converted copies, and the lists of encoder, decoder and model are rebuilt.

    Parameters
    ----------
    model : object with ``encoder`` and ``decoder``, whose layers are attributes
    dtype : floating dtype

    Returns
    -------
    model : the same object
    """
    for part in (model.encoder, model.decoder):
        layers = [layer for layer in vars(part).values() if hasattr(layer, "params")]
        for layer in layers:
            layer.params[:] = [param.astype(dtype) for param in layer.params]
            layer.grads[:] = [grad.astype(dtype) for grad in layer.grads]
            if hasattr(layer, "W"):
                (layer.W,) = layer.params
        part.params[:] = [param for layer in layers for param in layer.params]
        part.grads[:] = [grad for layer in layers for grad in layer.grads]
    model.params[:] = model.encoder.params + model.decoder.params
    model.grads[:] = model.encoder.grads + model.decoder.grads
    return model
