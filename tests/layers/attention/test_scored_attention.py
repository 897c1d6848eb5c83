"""`ScoredAttention`: the numbers of the reference, which central differences confirm."""

from __future__ import annotations

import numpy as np
import pytest

import fastseq_reference
from fastseq.layers import ScoredAttention, TimeAttention
from support.helpers import (
    CENTRAL_DIFFERENCES,
    assert_close,
    numerical_gradient,
)
from support.layers.scored_attention import (
    CASES,
    KINDS,
    arguments,
    assert_results_close,
    draw_lengths,
    draw_params,
    padded,
    run,
    run_both,
)

# ---- the reference ----


@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_reference_are_central_differences(kind: str, with_lengths: bool) -> None:
    N, Te, Td, H, A = 4, 3, 4, 3, 2
    hs_enc, hs_dec, dout = (array.astype(np.float64) for array in arguments(N, Te, Td, H))
    params = [param.astype(np.float64) for param in draw_params(kind, H, A)]
    lengths = draw_lengths(N, Te, Td) if with_lengths else (None, None)
    layer = fastseq_reference.ScoredAttention(kind, params)

    def loss() -> float:
        return float(np.sum(layer.forward(hs_enc, hs_dec, *lengths) * dout))

    loss()
    dhs_enc, dhs_dec = layer.backward(dout)
    grads = [grad.copy() for grad in layer.grads]
    gradients = [dhs_enc, dhs_dec, *grads]
    for x, gradient in zip([hs_enc, hs_dec, *params], gradients, strict=True):
        assert gradient.any()
        assert_close(gradient, numerical_gradient(loss, x), **CENTRAL_DIFFERENCES)
        with pytest.raises(AssertionError):
            assert_close(0.999 * gradient, numerical_gradient(loss, x), **CENTRAL_DIFFERENCES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reference_keeps_the_dtype(kind: str, dtype: type) -> None:
    params = [param.astype(dtype) for param in draw_params(kind, 5, 4)]
    layer = fastseq_reference.ScoredAttention(kind, params)
    arrays = [array.astype(dtype) for array in arguments(3, 4, 3, 5)]
    results = run(layer, *arrays, draw_lengths(3, 4, 3))
    assert {value.dtype for value in results.values()} == {np.dtype(dtype)}


def test_reference_of_dot_is_time_attention() -> None:
    hs_enc, hs_dec, dout = (array.astype(np.float64) for array in arguments(3, 5, 4, 9))
    one, other = fastseq_reference.ScoredAttention("dot", []), fastseq_reference.TimeAttention()
    tolerance = {"rtol": 1e-12, "atol": 1e-12}
    assert_close(one.forward(hs_enc, hs_dec), other.forward(hs_enc, hs_dec), **tolerance)
    for mine, theirs in zip(one.backward(dout), other.backward(dout), strict=True):
        assert_close(mine, theirs, **tolerance)


# ---- the layer against the reference ----


@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_is_the_reference(
    isa: str, kind: str, case: tuple[int, int, int, int, int], with_lengths: bool
) -> None:
    actual, expected = run_both(kind, case, with_lengths)
    assert all(value.dtype == np.float32 for value in actual.values())
    assert_results_close(actual, expected, case)


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_comparison_notices_one_wrong_element(isa: str, kind: str, factor: float) -> None:
    case = (4, 5, 4, 9, 7)
    actual, expected = run_both(kind, case, with_lengths=True)
    for name, value in expected.items():
        broken = value.copy()
        broken.flat[np.abs(broken).argmax()] *= factor
        with pytest.raises(AssertionError):
            assert_results_close(actual, {**expected, name: broken}, case)


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("kind", KINDS)
def test_comparison_notices_a_gradient_without_the_scores(isa: str, kind: str) -> None:
    case = N, Te, Td, H, _ = 4, 5, 4, 9, 7
    actual, expected = run_both(kind, case, with_lengths=True)
    dout = padded(arguments(N, Te, Td, H)[2], draw_lengths(N, Te, Td)[1], value=0)
    weights = expected["weights"]
    expected["dhs_enc"] = np.einsum("nde,ndh->neh", weights, dout)  # through the sum only
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, case)


def test_dot_is_time_attention(isa: str) -> None:
    hs_enc, hs_dec, dout = arguments(3, 5, 4, 17)
    one, other = ScoredAttention("dot", []), TimeAttention()
    assert np.array_equal(one.forward(hs_enc, hs_dec), other.forward(hs_enc, hs_dec))
    assert np.array_equal(one.attention_weights, np.stack(other.attention_weights, axis=1))
    for mine, theirs in zip(one.backward(dout), other.backward(dout), strict=True):
        assert np.array_equal(mine, theirs)
