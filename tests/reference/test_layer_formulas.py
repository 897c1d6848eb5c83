"""Formulas of the reference's other layers and functions, compared with plain loops."""

import math

import numpy as np
import pytest

import fastseq_reference as reference
from support.helpers import assert_close
from support.layers.layer_cases import AFFINE, EXACT, LABELS, D, H, N, T, V, randn


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_embedding_and_affine_formulas() -> None:
    W, b, x = randn(1, D, V), randn(2, V), randn(3, N, T, D)
    ids = np.array([[0, 2, 1, 1], [2, 2, 0, 1]], dtype=np.uint8)
    embed = reference.TimeEmbedding(W)
    assert embed.W is W
    embedded, out = embed.forward(ids), reference.TimeAffine(W, b).forward(x)
    for n, t in np.ndindex(N, T):
        np.testing.assert_array_equal(embedded[n, t], W[int(ids[n, t])])
        for v in range(V):
            expected = sum(x[n, t, d] * W[d, v] for d in range(D)) + b[v]
            assert_close(out[n, t, v], expected, **EXACT)


def test_loss_formula_with_ignored_and_one_hot_labels() -> None:
    xs, ts = randn(1, N, T, V), np.array([[0, 4, -1, 2], [-1, 1, 0, 4]])
    log_p = [
        xs[n, t, ts[n, t]] - math.log(sum(math.exp(s) for s in xs[n, t]))
        for n, t in np.ndindex(N, T)
        if ts[n, t] != -1
    ]
    layer = reference.TimeSoftmaxWithLoss()
    assert layer.ignore_label == -1
    loss = layer.forward(xs, ts)
    assert_close(loss, -sum(log_p) / 6, **EXACT)
    dxs = layer.backward()
    np.testing.assert_array_equal(dxs[ts == -1], 0)
    assert np.all(dxs[ts != -1] != 0)
    assert isinstance(layer.forward(xs.astype(np.float32), ts), float)

    ids = np.where(ts == -1, 3, ts)
    assert layer.forward(xs, np.eye(V, dtype=int)[ids]) == layer.forward(xs, ids)
    layer.ignore_label = 3
    assert layer.forward(xs, ids) == loss


def test_loss_is_stable_and_refuses_to_be_empty() -> None:
    layer = reference.TimeSoftmaxWithLoss()
    xs = np.array([[[1000.0, 0.0], [0.0, -1000.0]]], dtype=np.float32)
    assert layer.forward(xs, np.array([[1, 0]])) == 500.0
    for ts in (np.array([[-1, -1]]), np.empty((1, 0), dtype=int)):
        with pytest.raises(ValueError, match="every label is ignored"):
            layer.forward(xs[:, : ts.shape[1]], ts)


def test_attention_formulas() -> None:
    hs_enc, hs_dec, dout = randn(1, N, T, H), randn(2, N, 3, H), randn(3, N, 3, H)
    layer, one = reference.TimeAttention(), reference.Attention()
    contexts = layer.forward(hs_enc, hs_dec)
    weights = np.array(layer.attention_weights)
    assert weights.shape == (3, N, T)
    for n, t in np.ndindex(N, 3):
        scores = [math.exp(sum(hs_enc[n, s] * hs_dec[n, t])) for s in range(T)]
        expected = [score / sum(scores) for score in scores]
        assert_close(weights[t, n], expected, **EXACT)
        assert_close(contexts[n, t], sum(expected[s] * hs_enc[n, s] for s in range(T)), **EXACT)

    dhs_enc, dhs_dec = layer.backward(dout)
    total = np.zeros_like(hs_enc)
    for t in range(3):
        np.testing.assert_array_equal(one.forward(hs_enc, hs_dec[:, t]), contexts[:, t])
        np.testing.assert_array_equal(one.attention_weight, weights[t])
        dhs, dh = one.backward(dout[:, t])
        np.testing.assert_array_equal(dh, dhs_dec[:, t])
        total += dhs
    assert_close(dhs_enc, total, **EXACT)


def test_attention_weights_of_huge_scores() -> None:
    hs = np.array([[[1000.0], [-1000.0]]])
    weights = reference.AttentionWeight().forward(hs, np.array([[1000.0]]))
    np.testing.assert_array_equal(weights, [[1.0, 0.0]])


def test_functions() -> None:
    x = np.array([[-1000.0, -1.5, 0.0], [2.0, 1000.0, 1000.0]])
    assert_close(reference.sigmoid(x[:, 1]), [sigmoid(-1.5), 1.0], **EXACT)
    with np.errstate(all="raise", under="ignore"):
        assert_close(reference.sigmoid(x)[0, 0], 0.0, **EXACT)
        assert_close(reference.softmax(x), [[0, *_softmax([-1.5, 0])], [0, 0.5, 0.5]], **EXACT)
    np.testing.assert_array_equal(reference.softmax(x[0]), reference.softmax(x)[0])
    np.testing.assert_array_equal(reference.relu(x), [[0, 0, 0], [2, 1000, 1000]])


def _softmax(scores: list[float]) -> list[float]:
    return [math.exp(score) / sum(math.exp(other) for other in scores) for score in scores]


def test_cross_entropy_error() -> None:
    y, t = np.array([[0.2, 0.7, 0.1], [1.0, 0.0, 0.0]]), np.array([1, 2])
    expected = -(math.log(0.7 + 1e-7) + math.log(1e-7)) / 2
    assert_close(reference.cross_entropy_error(y, t), expected, **EXACT)
    assert isinstance(reference.cross_entropy_error(y.astype("f"), t), float)
    assert reference.cross_entropy_error(y, np.eye(3)[t]) == reference.cross_entropy_error(y, t)
    for one in (np.array(1), np.array([1]), np.array([0, 1, 0])):
        assert_close(reference.cross_entropy_error(y[0], one), -math.log(0.7 + 1e-7), **EXACT)


def test_losses_are_cross_entropies() -> None:
    xs, ts = randn(1, N, T, V), LABELS
    loss = reference.Simple_TimeSoftmaxWithLoss().forward(xs, ts)
    rows = reference.softmax(xs.reshape(-1, V))
    assert_close(loss, reference.cross_entropy_error(rows, ts.reshape(-1)), **EXACT)
    one = reference.SoftmaxWithLoss().forward(xs.reshape(-1, V), ts.reshape(-1))
    assert_close(one, loss, **EXACT)

    xs, ts = randn(1, N, T), LABELS % 2
    expected = -np.mean(
        [math.log(sigmoid(x if t else -x) + 1e-7) for x, t in zip(xs.flat, ts.flat, strict=True)]
    )
    assert_close(reference.TimeSigmoidWithLoss().forward(xs, ts), expected, **EXACT)
    one = reference.SigmoidWithLoss().forward(xs.reshape(-1), ts.reshape(-1))
    assert_close(one, expected, **EXACT)


def test_simple_time_affine_is_time_affine() -> None:
    x, dout = randn(3, N, T, D), randn(4, N, T, V)
    layer, other = reference.Simple_TimeAffine(**AFFINE), reference.TimeAffine(**AFFINE)
    assert layer.W is AFFINE["W"]
    assert layer.b is AFFINE["b"]
    with pytest.raises(RuntimeError, match="before forward"):
        layer.backward(dout)
    assert_close(layer.forward(x), other.forward(x), **EXACT)
    expected = other.backward(dout)
    arrays = layer.dW, layer.db
    for _ in range(2):
        assert_close(layer.backward(dout), expected, **EXACT)
        assert layer.dW is arrays[0]
        assert layer.db is arrays[1]
        assert_close(layer.dW, other.grads[0], **EXACT)
        assert_close(layer.db, other.grads[1], **EXACT)


def test_time_dropout_draws_and_rescales() -> None:
    xs, layer = np.ones((N, T, 50), dtype=np.float32), reference.TimeDropout(0.25)
    np.random.seed(3)
    out = layer.forward(xs)
    np.random.seed(3)
    kept = np.random.rand(N, T, 50) > 0.25
    assert_close(out, kept / 0.75, rtol=1e-7, atol=0)
    np.testing.assert_array_equal(layer.backward(xs), out)

    layer.train_flg = False
    out = layer.forward(xs)
    np.testing.assert_array_equal(out, xs)
    assert not np.shares_memory(out, xs)
    np.testing.assert_array_equal(layer.backward(xs), xs)
    assert reference.TimeDropout().dropout_ratio == 0.5
    for ratio in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match="dropout_ratio"):
            reference.TimeDropout(ratio)


def test_dropout_draws_and_does_not_rescale() -> None:
    x, layer = np.ones((N, 50), dtype=np.float32), reference.Dropout(0.25)
    np.random.seed(3)
    out = layer.forward(x)
    np.random.seed(3)
    np.testing.assert_array_equal(out, np.random.rand(N, 50) > 0.25)
    np.testing.assert_array_equal(layer.backward(x), out)
    np.testing.assert_array_equal(layer.forward(x, train_flg=False), x * np.float32(0.75))
    assert reference.Dropout().dropout_ratio == 0.5
    for ratio in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="dropout_ratio"):
            reference.Dropout(ratio)
