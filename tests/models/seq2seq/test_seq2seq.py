"""Sequence to sequence: the numbers of the reference."""

from __future__ import annotations

import numpy as np
import pytest

import fastseq
import fastseq.models.seq2seq
import fastseq_reference
from support.helpers import convert_model
from support.models.seq2seq_models import (
    CASES,
    MODELS,
    SIZES,
    assert_results_close,
    build,
    length_of,
    run,
    run_both,
    sequences,
)


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    """Run the test once for each model."""
    return request.param


@pytest.mark.parametrize("sizes", CASES)
def test_is_the_reference(isa: str, name: str, sizes: tuple[int, ...]) -> None:
    actual, expected = run_both(name, *sizes)
    assert_results_close(actual, expected, length_of(*sizes))


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("index", [0, 1, 2, 3, 4, 5, 6, 7, 8, -2, -1])
def test_comparison_notices_one_wrong_element(isa: str, name: str, index: int) -> None:
    actual, expected = run_both(name, *SIZES)
    wrong = np.array(expected[index])
    wrong.flat[np.abs(wrong).argmax()] *= 0.999
    expected[index] = wrong
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, length_of(*SIZES))


def test_comparison_notices_a_lost_path_into_the_encoder(isa: str, name: str) -> None:
    actual, expected = run_both(name, *SIZES)
    expected[1:5] = [np.zeros_like(gradient) for gradient in expected[1:5]]
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, length_of(*SIZES))


@pytest.mark.parametrize(("V", "D", "H"), [(13, 16, 128), (59, 16, 33)])
def test_one_seed_gives_the_reference_start(name: str, V: int, D: int, H: int) -> None:
    model = build(fastseq, name, V, D, H)
    after = np.random.rand()
    twin = build(fastseq_reference, name, V, D, H)
    assert np.random.rand() == after
    assert len(model.params) == len(model.grads) == len(twin.params)
    for param, grad, other in zip(model.params, model.grads, twin.params, strict=True):
        assert param.dtype == grad.dtype == np.float32
        assert np.array_equal(param, other)
        assert grad.shape == param.shape


def test_model_holds_the_arrays_of_its_layers(name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    layers = [model.encoder.embed, model.encoder.lstm]
    layers += [model.decoder.embed, model.decoder.lstm, model.decoder.affine]
    params = [param for layer in layers for param in layer.params]
    grads = [grad for layer in layers for grad in layer.grads]
    assert all(one is other for one, other in zip(model.params, params, strict=True))
    assert all(one is other for one, other in zip(model.grads, grads, strict=True))


def test_parts_are_the_reference(isa: str, name: str) -> None:
    N, Te, Td, V, D, H = 5, 6, 4, 13, 7, 17
    xs, ts = sequences(N, Te, Td, V)
    model = build(fastseq, name, V, D, H)
    twin = convert_model(build(fastseq_reference, name, V, D, H), np.float64)
    results = []
    for one, dtype in ((model, np.float32), (twin, np.float64)):
        rng = np.random.default_rng(0)
        encoded = one.encoder.forward(xs)
        score = one.decoder.forward(ts, encoded)
        dencoded = one.decoder.backward(rng.normal(size=score.shape).astype(dtype))
        assert one.encoder.backward(dencoded) is None
        results.append([encoded, score, dencoded, *one.grads])
    assert results[0][0].shape == ((N, Te, H) if name == "AttentionSeq2seq" else (N, H))
    assert_results_close(*results, length_of(N, Te, Td, V, D, H))


def test_decoder_takes_a_state_of_its_own_in_float64(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, ts = sequences(5, 6, 5, 13)
    encoded = model.encoder.forward(xs)
    score = model.decoder.forward(ts, encoded)
    assert score.dtype == np.float32
    again = model.decoder.forward(ts, np.asfortranarray(encoded.astype(np.float64)))
    assert np.array_equal(again, score)


def test_gradient_is_scaled_by_dout(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, ts = sequences(5, 6, 5, 13)
    once = run(model, xs, ts)[1:]
    model.forward(xs, ts)
    model.backward(4)  # a power of two scales without rounding
    assert all(np.array_equal(grad, 4 * one) for grad, one in zip(model.grads, once, strict=True))


def test_gradients_are_overwritten_in_the_same_arrays(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, ts = sequences(5, 6, 5, 13)
    kept = list(model.grads)
    first = run(model, xs, ts)
    run(model, *sequences(3, 9, 4, 13))
    again = run(model, xs, ts)
    model.backward()
    for grad, same, one, two in zip(model.grads, kept, first[1:], again[1:], strict=True):
        assert grad is same
        assert np.array_equal(one, two)
        assert np.array_equal(one, grad)


def test_reversed_and_narrow_ids(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, ts = sequences(5, 6, 5, 13)
    expected = run(model, np.ascontiguousarray(xs[:, ::-1]), ts)
    for dtype in (np.int8, np.uint16, np.int32):
        other = run(model, xs.astype(dtype)[:, ::-1], np.asfortranarray(ts.astype(dtype)))
        assert all(np.array_equal(one, two) for one, two in zip(other, expected, strict=True))


def test_ignored_labels_count_nowhere(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, ts = sequences(5, 6, 5, 13)
    whole = model.forward(xs, ts)
    padded = np.concatenate((ts, np.full((5, 1), -1)), axis=1)
    assert model.forward(xs, padded) == whole
