"""The LSTM: wrong and empty arguments, and calls in the wrong order."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import pytest

from fastseq.layers import LSTM, TimeLSTM
from support.layers.lstm_layers import Array, draw, draw_weights


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
