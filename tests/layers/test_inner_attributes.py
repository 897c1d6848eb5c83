"""What readers of the textbook look at and change inside a layer, in both packages."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq
import fastseq_reference
from support.helpers import assert_close, float32_tolerance

Array = npt.NDArray[Any]

N, T, D, H = 3, 5, 4, 6


@pytest.fixture(params=[fastseq, fastseq_reference], ids=["fastseq", "reference"])
def package(request: pytest.FixtureRequest) -> Any:
    """Run the test in each of the two packages."""
    return request.param


def draw(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype("f")


def weights(gates: int) -> list[Array]:
    return [draw(D, gates * H) / 2, draw(H, gates * H) / 3, draw(gates * H)]


def assert_same(actual: Any, expected: Any) -> None:
    expected = np.asarray(expected)
    magnitude = float(np.abs(expected).max(initial=1))
    assert_close(actual, expected, **float32_tolerance(N * T * (D + H), magnitude))


# ---- a cell through time: one layer, whose cache is swapped ----


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_one_cell_is_stepped_through_time_by_its_cache(package: Any, name: str) -> None:
    given = weights({"RNN": 1, "GRU": 3, "LSTM": 4}[name])
    cell = getattr(package, name)(*given)
    assert cell.cache is None
    xs, dhs = draw(N, T, D), draw(N, T, H, seed=1)
    is_lstm = name == "LSTM"
    state: Any = [np.zeros((N, H), "f")] * (1 + is_lstm)
    hs, caches = [], []
    for t in range(T):
        out = cell.forward(xs[:, t], *state)
        state = out if is_lstm else (out,)
        hs.append(state[0])
        caches.append(cell.cache)
    dxs, grads = np.empty_like(xs), [np.zeros_like(each) for each in given]
    dstate: Any = [np.zeros((N, H), "f")] * (1 + is_lstm)
    for t in reversed(range(T)):
        cell.cache = caches[t]
        dxs[:, t], *dstate = cell.backward(dhs[:, t] + dstate[0], *dstate[1:])
        for grad, step in zip(grads, cell.grads, strict=True):
            grad += step
    layer = getattr(fastseq_reference, f"Time{name}")(*given)
    assert_same(np.stack(hs, axis=1), layer.forward(xs))
    assert_same(dxs, layer.backward(dhs))
    for actual, expected in zip(grads, layer.grads, strict=True):
        assert_same(actual, expected)


def test_a_cache_is_not_that_of_a_later_step(package: Any) -> None:
    cell = package.RNN(*weights(1))
    h = np.zeros((N, H), "f")
    cell.forward(draw(N, D), h)
    first = cell.cache
    cell.forward(draw(N, D, seed=1), h)
    assert cell.cache is not first
    last = cell.backward(draw(N, H))[0].copy()
    cell.cache = first
    assert np.abs(cell.backward(draw(N, H))[0] - last).max() > 1e-3
    cell.cache = None
    with pytest.raises(RuntimeError, match="forward"):
        cell.backward(draw(N, H))


# ---- layers over time ----


@pytest.mark.parametrize(("name", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_a_layer_over_time_has_a_layer_for_each_step(package: Any, name: str, gates: int) -> None:
    layer = getattr(package, f"Time{name}")(*weights(gates))
    assert layer.layers is None
    for steps in (T, T - 2):
        layer.forward(draw(N, steps, D))
        assert len(layer.layers) == steps
        assert all(type(each) is getattr(package, name) for each in layer.layers)
        assert layer.layers[-1].params[0] is layer.params[0]
    layer.layers = []
    assert layer.layers == []


def test_the_layers_of_a_gru_that_resets_after_the_product(package: Any) -> None:
    layer = package.TimeGRU(*weights(3), reset_after=True, bh=draw(H))
    xs = draw(N, T, D)
    hs = layer.forward(xs)
    assert_same(layer.layers[0].forward(xs[:, 0], np.zeros((N, H), "f")), hs[:, 0])


def test_attention_over_time_has_a_layer_for_each_step(package: Any) -> None:
    attention = package.TimeAttention()
    assert attention.layers is None
    attention.forward(draw(N, T, H), draw(N, 2, H))
    assert len(attention.layers) == 2
    for layer, weight in zip(attention.layers, attention.attention_weights, strict=True):
        np.testing.assert_array_equal(layer.attention_weight, weight)


def test_a_reader_s_own_forward_fills_layers(package: Any) -> None:
    class MyTimeRNN(package.TimeRNN):  # type: ignore[misc, name-defined]
        def forward(self, xs: Array) -> Array:
            self.layers = []
            self.h = np.zeros((len(xs), H), "f")
            hs = []
            for t in range(xs.shape[1]):
                layer = package.RNN(*self.params)
                self.h = layer.forward(xs[:, t, :], self.h)
                hs.append(self.h)
                self.layers.append(layer)
            return np.stack(hs, axis=1)

    layer = MyTimeRNN(*weights(1))
    xs = draw(N, T, D)
    assert_same(layer.forward(xs), package.TimeRNN(*weights(1)).forward(xs))
    assert [type(each) for each in layer.layers] == [package.RNN] * T


# ---- the two layers of attention ----


def test_a_layer_of_attention_is_read_and_replaced(package: Any) -> None:
    hs, h, dout = draw(N, T, H), draw(N, H), draw(N, H, seed=1)
    attention = package.Attention()
    assert type(attention.attention_weight_layer) is package.AttentionWeight
    assert type(attention.weight_sum_layer) is package.WeightSum
    plain = attention.forward(hs, h)
    plain_gradients = attention.backward(dout)

    class Uniform(package.AttentionWeight):  # type: ignore[misc, name-defined]
        def forward(self, hs: Array, h: Array) -> Array:
            super().forward(hs, h)
            return np.full(hs.shape[:2], 1 / hs.shape[1], "f")

    attention.attention_weight_layer = Uniform()
    assert_same(attention.forward(hs, h), hs.mean(axis=1))
    assert_same(attention.attention_weight, np.full((N, T), 1 / T))
    dhs, dh = attention.backward(dout)
    assert np.abs(dhs - plain_gradients[0]).max() > 1e-3
    assert_same(dh, plain_gradients[1])  # softmax backward of the same weights
    attention.attention_weight_layer = package.AttentionWeight()
    assert_same(attention.forward(hs, h), plain)


def test_a_layer_of_attention_wrapped_after_forward_is_called(package: Any) -> None:
    hs, h, dout = draw(N, T, H), draw(N, H), draw(N, H, seed=1)
    attention = package.Attention()
    attention.forward(hs, h)
    expected = attention.backward(dout)
    attention.forward(hs, h)
    old, calls = attention.weight_sum_layer.backward, []
    attention.weight_sum_layer.backward = lambda dc: calls.append(dc.shape) or old(dc)
    for actual, wanted in zip(attention.backward(dout), expected, strict=True):
        assert_same(actual, wanted)
    assert calls == [(N, H)]


def test_weights_of_a_sum_may_have_a_last_axis(package: Any) -> None:
    hs, a, dc = draw(N, T, H), draw(N, T), draw(N, H)
    layer, other = package.WeightSum(), package.WeightSum()
    np.testing.assert_array_equal(layer.forward(hs, a[:, :, np.newaxis]), other.forward(hs, a))
    for actual, expected in zip(layer.backward(dc), other.backward(dc), strict=True):
        np.testing.assert_array_equal(actual, expected)


# ---- a bias of one row, and none ----


@pytest.mark.parametrize("name", ["Affine", "TimeAffine", "Simple_TimeAffine"])
def test_an_affine_map_with_a_bias_of_one_row(package: Any, name: str) -> None:
    W, b, dout = draw(D, H), draw(1, H), draw(N, T, H)
    x = draw(N, T, D)
    if name == "Affine":
        x, dout = x[0], dout[0]
    layer = getattr(package, name)(W, b)
    assert_same(layer.forward(x), x @ W + b)
    layer.backward(dout)
    db = layer.db if name == "Simple_TimeAffine" else layer.grads[1]
    if name != "Simple_TimeAffine" or package is fastseq:
        assert db.shape == (1, H)
    assert_same(db.reshape(H), dout.reshape(-1, H).sum(axis=0))


@pytest.mark.parametrize(("name", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_a_recurrent_layer_with_a_bias_of_one_row(package: Any, name: str, gates: int) -> None:
    Wx, Wh, b = weights(gates)
    xs, dhs = draw(N, T, D), draw(N, T, H)
    results = []
    for bias in (b, b[np.newaxis]):
        layer = getattr(package, f"Time{name}")(Wx, Wh, bias)
        results.append([layer.forward(xs), layer.backward(dhs), *layer.grads])
    assert results[1][-1].shape == (1, gates * H)
    for one, other in zip(*results, strict=True):
        assert_same(other.reshape(one.shape), one)


def test_a_gru_without_bias(package: Any) -> None:
    Wx, Wh, _ = weights(3)
    xs, dhs = draw(N, T, D), draw(N, T, H)
    zero = fastseq_reference.TimeGRU(Wx, Wh, np.zeros(3 * H, "f"))
    layer = package.TimeGRU(Wx, Wh)
    assert len(layer.params) == len(layer.grads) == 2
    assert_same(layer.forward(xs), zero.forward(xs))
    assert_same(layer.backward(dhs), zero.backward(dhs))
    for actual, expected in zip(layer.grads, zero.grads, strict=False):
        assert_same(actual, expected)
    cell, h = package.GRU(Wx, Wh), np.zeros((N, H), "f")
    assert_same(cell.forward(xs[:, 0], h), zero.layers[0].forward(xs[:, 0], h))
    dx, _ = cell.backward(dhs[:, 0])
    assert_same(dx, zero.layers[0].backward(dhs[:, 0])[0])
    assert len(cell.grads) == 2
    assert type(layer.layers[0]) is package.GRU
    with pytest.raises(ValueError, match=r"^b: expected an array with reset_after, got None"):
        package.TimeGRU(Wx, Wh, reset_after=True)


# ---- losses ----


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("SoftmaxWithLoss", ((N, D), (N,))),
        ("SigmoidWithLoss", ((N,), (N,))),
        ("TimeSoftmaxWithLoss", ((N, T, D), (N, T))),
        ("Simple_TimeSoftmaxWithLoss", ((N, T, D), (N, T))),
        ("TimeSigmoidWithLoss", ((N, T), (N, T))),
    ],
)
def test_a_loss_is_a_number_with_item(package: Any, name: str, shapes: Any) -> None:
    scores, labels = draw(*shapes[0]), (draw(*shapes[1]) > 0).astype(int)
    loss = getattr(package, name)().forward(scores, labels)
    assert isinstance(loss, float)
    assert type(loss.item()) is float
    assert loss.item() == loss
    assert loss.dtype == np.float64
    assert json.loads(json.dumps(loss)) == loss
    assert str(loss) == str(loss.item())
    assert copy.deepcopy(loss) == loss


def test_a_loss_is_printed_as_a_number() -> None:
    loss = fastseq.cross_entropy_error(np.array([0.25, 0.75]), np.array(1))
    assert repr([loss]) == f"[{float(loss)!r}]"
    assert type(loss + 1) is float


# ---- errors of the kernels, in the names that the layer's caller knows ----


def test_errors_name_the_arguments_of_the_layer() -> None:
    W, wrong = draw(D, H), np.array([[0, D]])
    embedding, over_time = fastseq.Embedding(W), fastseq.TimeEmbedding(W)
    with pytest.raises(IndexError, match=r"^idx\[0, 1\]: expected an id from 0 to 3.*got 4$"):
        embedding.forward(wrong)
    with pytest.raises(IndexError, match=r"^xs\[0, 1\]: expected an id from 0 to 3.*got 4$"):
        over_time.forward(wrong)
    with pytest.raises(TypeError, match="^xs: expected an array of integers"):
        over_time.forward(wrong + 0.5)
    loss = fastseq.TimeSoftmaxWithLoss()
    with pytest.raises(IndexError, match=r"^ts\[0, 1\]: expected an id from 0 to 3.*got 4$"):
        loss.forward(draw(1, 2, D), wrong)
    with pytest.raises(ValueError, match=r"^ts: expected shape \(1, 2\).*got \(2, 1\)$"):
        loss.forward(draw(1, 2, D), wrong.T)
    with pytest.raises(ValueError, match="^ts: expected at least one that is not ignored"):
        loss.forward(draw(1, 2, D), np.full((1, 2), -1))
    cell, h = fastseq.LSTM(*weights(4)), draw(N, H)
    for arguments, name in (
        ((draw(N, D + 1), h, h), r"x: expected shape \(N, D\)"),
        ((draw(N, D), h[:1], h), r"h_prev: expected shape \(N, H\)"),
        ((draw(N, D), h, h[:, :1]), r"c_prev: expected shape \(N, H\)"),
        ((draw(N, 1, D), h, h), r"x: expected shape \(N, D\)"),
        ((np.float32(1), h, h), r"x: expected shape \(N, D\)"),
    ):
        with pytest.raises(ValueError, match=f"^{name}.*, got "):
            cell.forward(*arguments)
    cell.forward(draw(N, D), h, h)
    with pytest.raises(ValueError, match=r"^dh_next: expected shape \(N, H\).*, got "):
        cell.backward(h[:, :1], h)
    with pytest.raises(ValueError, match=r"^dc_next: expected shape \(N, H\).*, got "):
        cell.backward(h, h[:1])
    hs = draw(N, T, H)
    for call, name in (
        (lambda: fastseq.WeightSum().forward(hs, draw(N, T + 1)), r"a: expected shape \(N, T\)"),
        (lambda: fastseq.AttentionWeight().forward(hs, h[:1]), r"h: expected shape \(N, H\)"),
        (lambda: fastseq.Attention().forward(hs[0], h), r"hs: expected shape \(N, T, H\)"),
        (lambda: fastseq.Attention().forward(hs, hs), r"h: expected shape \(N, H\)"),
    ):
        with pytest.raises(ValueError, match=f"^{name}.*, got "):
            call()
