"""What only the GRU has: gates in blocks, two variants of its reset gate, and a bias of one."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastseq.layers import GRU, TimeGRU
from support.helpers import assert_close, float32_tolerance
from support.layers.cells import ReferenceTimeGRUResetAfter, TimeGRUResetAfter, draw_weights
from support.layers.recurrent_units import (
    UNITS,
    assert_results_close,
    draw,
    draw_all,
    run,
    run_both,
    terms,
)

Array = npt.NDArray[Any]

N, T, D, H = 3, 4, 5, 9


@pytest.mark.parametrize("name", ["gru", "gru_reset_after"])
@pytest.mark.parametrize("block", [0, 1, 2])
def test_comparison_notices_a_gradient_without_one_gate(isa: str, name: str, block: int) -> None:
    unit = UNITS[name]
    actual, expected = run_both(unit, N, T, D, H)
    for gradient in ("dWx", "dWh", "db"):
        wrong = expected | {gradient: expected[gradient].copy()}
        wrong[gradient][..., H * block : H * (block + 1)] = 0
        with pytest.raises(AssertionError):
            assert_results_close(actual, wrong, terms(unit, N, T, D, H))


def test_comparison_notices_the_other_variant(isa: str) -> None:
    unit = UNITS["gru"]
    weights, xs, dhs = draw_all(unit, N, T, D, H)
    before = run(TimeGRU(*weights), xs, dhs)
    after = run(TimeGRU(*weights, reset_after=True), xs, dhs)
    assert set(after) == {*before, "dbh"}
    for name in before:
        with pytest.raises(AssertionError):
            assert_results_close(before, before | {name: after[name]}, terms(unit, N, T, D, H))


@pytest.mark.parametrize("layer_class", [GRU, TimeGRU])
def test_bias_is_zeros_or_the_callers_array(isa: str, layer_class: Any) -> None:
    (Wx, Wh, b), xs, dhs = draw_all(UNITS["gru"], N, T, D, H)
    inputs = (xs,) if layer_class is TimeGRU else (xs[:, 0], dhs[:, 0])
    for dtype in (np.float64, np.float32):
        layer = layer_class(Wx.astype(dtype), Wh, b, reset_after=True)
        bh = layer.params[3]
        assert (bh.dtype, bh.shape) == (dtype, (H,))
        assert not bh.any()
    given = layer_class(Wx, Wh, b, reset_after=True, bh=bh)
    assert given.params[3] is bh
    out = given.forward(*inputs)
    assert np.array_equal(layer.forward(*inputs), out)
    bh += 1
    assert not np.array_equal(given.forward(*inputs), out)


@pytest.mark.parametrize("layer_class", [GRU, TimeGRU])
def test_wrong_bias(layer_class: Any) -> None:
    (Wx, Wh, b), bh = draw_all(UNITS["gru"], N, T, D, H)[0], np.zeros(H, np.float32)
    with pytest.raises(ValueError, match="^bh: expected None without reset_after"):
        layer_class(Wx, Wh, b, bh=bh)
    with pytest.raises(ValueError, match=r"^bh: expected shape \(H,\).*, got \(8,\)"):
        layer_class(Wx, Wh, b, reset_after=True, bh=bh[1:])
    with pytest.raises(TypeError, match="^bh: expected an array of floats, got list"):
        layer_class(Wx, Wh, b, reset_after=True, bh=bh.tolist())
    for wrong in (None, 3.0, Wh.tolist()):
        with pytest.raises(TypeError, match="^Wh: expected an array of floats"):
            layer_class(Wx, wrong, b, reset_after=True)


def from_torch(weight_ih: Array, weight_hh: Array, bias_ih: Array, bias_hh: Array) -> list[Array]:
    """``[Wx, Wh, b, bh]``, as the docstring of `TimeGRU` says."""

    def in_our_order(array: Array) -> Array:
        r, z, n = np.split(array.T, 3, axis=-1)
        return np.concatenate((-z, r, n), axis=-1)

    gates, candidate = slice(2 * H), slice(2 * H, None)
    b, bias_h = in_our_order(bias_ih), in_our_order(bias_hh)
    b[gates] += bias_h[gates]
    return [in_our_order(weight_ih), in_our_order(weight_hh), b, bias_h[candidate]]


def torch_gru(xs: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array) -> Array:
    """The equations in the documentation of ``torch.nn.GRU``."""
    h = np.zeros((len(xs), H))
    hs = []
    for t in range(xs.shape[1]):
        i_r, i_z, i_n = np.split(xs[:, t] @ w_ih.T + b_ih, 3, axis=1)
        h_r, h_z, h_n = np.split(h @ w_hh.T + b_hh, 3, axis=1)
        r, z = 1 / (1 + np.exp(-i_r - h_r)), 1 / (1 + np.exp(-i_z - h_z))
        h = (1 - z) * np.tanh(i_n + r * h_n) + z * h
        hs.append(h)
    return np.stack(hs, axis=1)


def test_weights_of_torch_fit(isa: str) -> None:
    rng = np.random.default_rng(0)
    Wx, Wh, bias_ih, _ = draw_weights(rng, "gru_reset_after", D, H)
    weights, xs = [Wx.T, Wh.T, bias_ih, draw(rng, 3 * H)], draw(rng, N, T, D)
    expected = torch_gru(xs.astype(np.float64), *weights)
    params = from_torch(*weights)
    wide = ReferenceTimeGRUResetAfter(*(param.astype(np.float64) for param in params))
    # b is a sum rounded to float32
    assert_close(wide.forward(xs.astype(np.float64)), expected, rtol=0, atol=1e-6)
    hs = TimeGRUResetAfter(*params).forward(xs)
    assert_close(hs, expected, **float32_tolerance(T * (D + 3 * H)))
