"""RNN and GRU: wrong and empty arguments, and calls in the wrong order."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from support.layers.recurrent_units import UNITS, Array, Unit, draw, draw_all, draw_weights


@pytest.fixture(params=UNITS)
def unit(request: pytest.FixtureRequest) -> Unit:
    """Run the test once for each kind of network."""
    return UNITS[request.param]


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
