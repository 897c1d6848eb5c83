"""An infinite input saturates the gates: what the cells compute of it is finite, and exact.

A vector register has lanes without a unit of the layer. There an infinite input gives NaN, which
must reach no result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from support.helpers import assert_close, float32_tolerance
from support.layers.cells import (
    GATES,
    REFERENCE_SEQUENCES,
    SEQUENCES,
    draw_weights,
    weight_shapes,
)

Array = npt.NDArray[Any]

T, D = 4, 5


def results(sequences: dict[str, Any], cell: str, N: int, H: int, dtype: str) -> dict[str, Array]:
    """What a layer computes of an infinite element of x in the first row's second step."""
    rng = np.random.default_rng([N, H])
    layer = sequences[cell](*(w.astype(dtype) for w in draw_weights(rng, cell, D, H)))
    xs, dhs = (rng.normal(size=shape).astype("f") for shape in ((N, T, D), (N, T, H)))
    xs[0, 1, 2] = np.inf
    with np.errstate(invalid="ignore", over="ignore"):
        hs = layer.forward(xs.astype(dtype))
        dxs = layer.backward(dhs.astype(dtype))
    gradients = dict(zip(weight_shapes(cell, D, H), layer.grads, strict=True))
    return {"hs": hs, "dxs": dxs, "dh": layer.dh, **gradients}


# with 20 rows the gradients are products of whole vectors
@pytest.mark.parametrize(("N", "H"), [(3, 5), (20, 1), (20, 5), (20, 8), (20, 17)])
@pytest.mark.parametrize("cell", GATES)
def test_an_infinite_input_gives_the_limit_of_large_ones(
    isa: str, cell: str, N: int, H: int
) -> None:
    expected = results(REFERENCE_SEQUENCES, cell, N, H, "float64")
    actual = results(SEQUENCES, cell, N, H, "float32")
    for what, exact in expected.items():
        if what == "Wx":  # infinite times the gradient 0 of a saturated gate
            assert np.isnan(exact[2]).all()
            assert np.isfinite(np.delete(exact, 2, axis=0)).all()
        else:
            assert np.isfinite(exact).all(), what
        magnitude = 4 * float(np.nanmax(np.abs(exact), initial=1.0))
        assert_close(actual[what], exact, **float32_tolerance(T * (D + H) + N * T, magnitude))
