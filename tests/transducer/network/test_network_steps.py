"""Decoding with the Transducer's network, step by step: against the reference, and row by row."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq_reference.transducer as reference
from fastseq._kernels import log_softmax
from fastseq.transducer.network.network import Network
from support.helpers import assert_close
from support.transducer.networks import (
    CONFIGS,
    assert_results_close,
    assert_same_bits,
    decode,
    generator,
    large_case,
    large_params,
    rows_of,
    small_batch,
    with_params,
)

Array = npt.NDArray[Any]


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("name", CONFIGS)
def test_steps_are_the_reference(isa: str, name: str) -> None:
    config, batch = large_case(name)
    ours = with_params(Network(config, generator()), large_params(config))
    twin = with_params(reference.Network(config, generator()), ours.params)
    results = zip(decode(ours, batch, 3), decode(twin, batch, 3), strict=True)
    for actual, expected in results:
        assert len(actual) == len(expected) == (1 if config.attention == "none" else 2)
        for one, other in zip(actual, expected, strict=True):
            assert one.dtype == np.float32
            assert_results_close({"": one}, {"": other}, config)
            wrong = other.copy()
            wrong.flat[np.abs(wrong).argmax()] *= 0.999
            with pytest.raises(AssertionError):
                assert_results_close({"": one}, {"": wrong}, config)


@pytest.mark.parametrize("name", CONFIGS)
def test_steps_and_loss_agree(isa: str, name: str) -> None:
    config, batch = large_case(name)
    network = with_params(Network(config, generator()), large_params(config))
    total = 0.0
    for t, (log_p, *_) in enumerate(decode(network, batch, batch.inputs.shape[1])):
        rows = np.flatnonzero(t < batch.target_lengths)
        total -= log_p[rows, batch.targets[rows, t]].sum(dtype=np.float64)
    mean = total / batch.target_lengths.sum()
    # scores have the same bits; log p is rounded to float32
    assert_close(network.loss(batch), mean, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_row_decodes_alike_alone_padded_and_anywhere(isa: str, name: str) -> None:
    config, batch = large_case(name)
    network = with_params(Network(config, generator()), large_params(config))
    expected = decode(network, batch, 2)
    for rows in (*([n] for n in range(7)), [4, 2, 0, 6, 1, 5, 3], [1, 1, 3]):
        actual = decode(network, rows_of(batch, rows, padding=2), 2)
        for step, expected_step in zip(actual, expected, strict=True):
            for one, other in zip(step, expected_step, strict=True):
                columns = min(one.shape[1], other.shape[1])
                assert_same_bits(one[:, :columns], other[rows, :columns])
                assert not one[:, columns:].any()
                assert not other[rows, columns:].any()


@pytest.mark.parametrize("name", CONFIGS)
def test_taken_rows_go_on_alike(isa: str, name: str) -> None:
    config, batch = large_case(name)
    network = with_params(Network(config, generator()), large_params(config))
    encoded = network.encode(batch.sources, batch.source_lengths)
    _, state, _ = network.step(encoded, network.first_state(encoded), batch.inputs[:, 0])
    kept = [array.copy() for array in (*state.h, *state.c) if array is not None]
    ids = generator().integers(0, config.target_size, 7)
    log_p, next_state, weights = network.step(encoded, state, ids)
    rows = np.array([5, 5, 0, 3, 5])
    taken = network.step(encoded.take(rows), state.take(rows), ids[rows])
    assert_same_bits(taken[0], log_p[rows])
    for one, other in zip(taken[1].h, next_state.take(rows).h, strict=True):
        assert_same_bits(one, other)
    assert (taken[2] is None) == (weights is None)
    if weights is not None:
        assert_same_bits(taken[2], weights[rows])
    # a step leaves the state it starts from as it was
    arrays = [array for array in (*state.h, *state.c) if array is not None]
    assert all(np.array_equal(array, copy) for array, copy in zip(arrays, kept, strict=True))
    assert all(array is None for array in state.c) == (config.cell == "gru")


def test_weights_are_in_the_order_of_the_symbols() -> None:
    config = dataclasses.replace(CONFIGS["dot"], encoder="unidirectional", layers=1)
    params = large_params(config)
    # so the first symbols that are read have no influence on the later ones
    params["encoder.0.0.Wh"][...] = 0
    params["encoder.0.0.b"][:4] = -100
    params["source_embedding"] *= 10
    source, lengths = np.array([[1, 2, 3, 4, 0]]), np.array([4])
    weights = {}
    for reverse in (False, True):
        network = Network(dataclasses.replace(config, reverse=reverse), generator())
        encoded = with_params(network, params).encode(source, lengths)
        state = network.first_state(encoded)
        same = dataclasses.replace(state, h=[0 * state.h[0]], c=[0 * state.c[0]])
        _, _, weights[reverse] = network.step(encoded, same, np.array([1]))
    assert weights[False][0, :4].std() > 0.01
    assert_close(weights[True], weights[False], rtol=1e-6, atol=1e-7)


def test_log_probabilities_are_finite_and_sum_to_one(isa: str) -> None:
    scores = np.array([[0, -1000, 3], [80, 80, 80], [-1e30, 0, 1e30]], np.float32)
    log_p = log_softmax(scores)
    with np.errstate(over="ignore"):
        wide = scores.astype(np.float64)
        expected = wide - wide.max(axis=1, keepdims=True)
        expected -= np.log(np.exp(expected).sum(axis=1, keepdims=True))
    assert_close(log_p, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (np.array([0, 6, 0]), IndexError, r"ids\[1\].*0 to 5.*got 6"),
        (np.array([0, 1]), ValueError, r"ids: expected shape \(N,\).*got \(2,\)"),
        (np.zeros(3), TypeError, "ids: expected an array of integers"),
    ],
)
def test_wrong_step(ids: Array, error: type[Exception], message: str) -> None:
    batch = small_batch(CONFIGS["dot"])
    network = Network(CONFIGS["dot"], generator())
    encoded = network.encode(batch.sources, batch.source_lengths)
    with pytest.raises(error, match=f"^{message}"):
        network.step(encoded, network.first_state(encoded), ids)
