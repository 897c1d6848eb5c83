"""An infinite input saturates the gates: what the cells compute of it is finite, and exact.

A vector register has lanes without a unit of the layer. There an infinite input gives NaN, which
must reach no result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq_reference.layers as reference
from fastseq import layers
from support.helpers import assert_close, float32_tolerance

Array = npt.NDArray[Any]

GATES = {"TimeRNN": 1, "TimeGRU": 3, "TimeLSTM": 4}
T, D = 4, 5


def results(module: Any, name: str, N: int, H: int, dtype: str) -> dict[str, Array]:
    """What a layer computes of an infinite element of x in the first row's second step."""
    rng = np.random.default_rng([N, H])

    def values(*shape: int) -> Array:
        return rng.normal(size=shape).astype("f").astype(dtype)

    G = GATES[name] * H
    layer = getattr(module, name)(values(D, G), values(H, G) / 2, values(G), stateful=True)
    layer.set_state(values(N, H), *([values(N, H)] if name == "TimeLSTM" else []))
    xs = values(N, T, D)
    xs[0, 1, 2] = np.inf
    with np.errstate(invalid="ignore", over="ignore"):
        hs = layer.forward(xs)
        dxs = layer.backward(values(N, T, H))
    dWx, dWh, db = layer.grads
    return {"hs": hs, "dxs": dxs, "dWx": dWx, "dWh": dWh, "db": db, "dh": layer.dh}


@pytest.mark.parametrize(("N", "H"), [(3, 5), (20, 1), (20, 5), (20, 8), (20, 17)])
@pytest.mark.parametrize("name", GATES)
def test_an_infinite_input_gives_the_limit_of_large_ones(
    isa: str, name: str, N: int, H: int
) -> None:
    expected = results(reference, name, N, H, "float64")
    actual = results(layers, name, N, H, "float32")
    for what, exact in expected.items():
        if what == "dWx":  # infinite times the gradient 0 of a saturated gate
            assert np.isnan(exact[2]).all()
            assert np.isfinite(np.delete(exact, 2, axis=0)).all()
        else:
            assert np.isfinite(exact).all(), what
        magnitude = float(np.nanmax(np.abs(exact), initial=1.0))
        assert_close(actual[what], exact, **float32_tolerance(T * (D + H) + N * T, 4 * magnitude))
