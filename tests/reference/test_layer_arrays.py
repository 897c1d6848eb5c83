"""Arrays of the reference's layers: aliasing, strides and dtypes."""

import numpy as np
import pytest

import fastseq_reference as reference
from support.helpers import assert_close
from support.layers.cells import ReferenceTimeGRUResetAfter
from support.layers.layer_cases import (
    AFFINE,
    EXACT,
    LABELS,
    Array,
    D,
    H,
    N,
    T,
    V,
    both_directions,
    randn,
    reset_after_weights,
    weights_of,
)


def test_weights_are_read_afresh_and_outputs_are_new() -> None:
    for layer, inputs in (
        (reference.TimeLSTM(**weights_of(4)), randn(4, N, T, D)),
        (reference.TimeAffine(randn(1, D, V), randn(2, V)), randn(4, N, T, D)),
        (reference.TimeEmbedding(randn(1, V, D)), np.array([[0, 1, 2, 3]])),
    ):
        first = layer.forward(inputs)
        kept = first.copy()
        layer.params[0] *= 2
        second = layer.forward(inputs)
        assert not np.shares_memory(first, second)
        np.testing.assert_array_equal(first, kept)
        assert not np.array_equal(first, second)


def test_outputs_may_be_modified_before_backward() -> None:
    weights, xs, dhs = weights_of(4), randn(4, N, T, D), randn(5, N, T, H)
    layer, cell, attention = (
        reference.TimeLSTM(**weights),
        reference.LSTM(**weights),
        reference.AttentionWeight(),
    )
    x, h, c = randn(4, N, D), randn(5, N, H), randn(6, N, H)
    results = []
    for change in (1.0, 0.0):
        outputs = [layer.forward(xs), *cell.forward(x, h, c), attention.forward(dhs, h)]
        for output in outputs:
            output *= change
        results.append(
            [layer.backward(dhs), *cell.backward(h, c), *attention.backward(dhs[:, :, 0])]
        )
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_strided_inputs_give_the_numbers_of_contiguous_ones() -> None:
    xs, hs = randn(1, N, 2 * T, D)[:, ::-2], randn(2, N, T, 2 * H)[:, :, ::2]
    weights = {name: np.asfortranarray(weight) for name, weight in weights_of(4).items()}
    strided, plain = reference.TimeLSTM(**weights), reference.TimeLSTM(**weights_of(4))
    assert_close(strided.forward(xs), plain.forward(xs.copy()), **EXACT)
    assert_close(strided.backward(hs), plain.backward(hs.copy()), **EXACT)
    for grad, expected in zip(strided.grads, plain.grads, strict=True):
        assert_close(grad, expected, **EXACT)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_of_the_weights_passes_through_a_model(dtype: type) -> None:
    ids, cast = (
        np.array([[0, 1, 2], [3, 4, 4]]),
        lambda seed, *shape: randn(seed, *shape).astype(dtype),
    )
    embed = reference.TimeEmbedding(cast(1, V, D))
    lstm = reference.TimeLSTM(*(weight.astype(dtype) for weight in weights_of(4).values()))
    attention, dropout = reference.TimeAttention(), reference.TimeDropout()
    affine, softmax = (
        reference.TimeAffine(cast(2, H, V), cast(3, V)),
        reference.TimeSoftmaxWithLoss(),
    )

    hs = lstm.forward(embed.forward(ids))
    dropped = dropout.forward(attention.forward(hs, hs))
    softmax.forward(affine.forward(dropped), ids)
    dscore = softmax.backward()
    dhs_enc, dhs_dec = attention.backward(dropout.backward(affine.backward(dscore)))
    dxs = lstm.backward(dhs_enc + dhs_dec)
    embed.backward(dxs)
    arrays = [hs, dropped, dscore, dhs_enc, dhs_dec, dxs, lstm.h, lstm.c, lstm.dh, lstm.dc]
    arrays += [*attention.attention_weights, *embed.grads, *lstm.grads, *affine.grads]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_of_the_weights_passes_through(dtype: type) -> None:
    def cast(weights: dict[str, Array]) -> list[Array]:
        return [weight.astype(dtype) for weight in weights.values()]

    xs = randn(1, N, T, D).astype(dtype)
    arrays = []
    for layer, width in (
        (reference.TimeRNN(*cast(weights_of(1))), H),
        (reference.TimeGRU(*cast(weights_of(3))), H),
        (ReferenceTimeGRUResetAfter(*cast(reset_after_weights())), H),
        (reference.TimeBiLSTM(*cast(both_directions())), 2 * H),
        (reference.Simple_TimeAffine(*cast(AFFINE)), V),
        (reference.Affine(*cast(AFFINE)), V),
        (reference.Softmax(), D),
        (reference.Sigmoid(), D),
        (reference.Dropout(), D),
    ):
        arrays += [layer.forward(xs), layer.backward(np.ones((N, T, width), dtype))]
        arrays += getattr(layer, "grads", [])
    for layer, x, t in (
        (reference.SoftmaxWithLoss(), xs[:, 0], LABELS[:, 0] % D),
        (reference.SigmoidWithLoss(), xs[0, :, 0], LABELS[0] % 2),
        (reference.TimeSigmoidWithLoss(), xs[:, :, 0], LABELS % 2),
        (reference.Simple_TimeSoftmaxWithLoss(), xs, LABELS % D),
    ):
        assert isinstance(layer.forward(x, t), float)
        arrays.append(layer.backward())
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}
