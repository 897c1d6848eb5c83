"""Sequence to sequence: generated ids, and bits that do not depend on batch or threads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import fastseq
import fastseq.models.seq2seq
import fastseq_reference
from support.helpers import assert_close, float32_tolerance
from support.models.seq2seq_models import MODELS, build, run, sequences


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    """Run the test once for each model."""
    return request.param


# ---- generation ----


@pytest.mark.usefixtures("float32_products")
def test_generate_is_the_reference(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 33, scale=2)
    twin = build(fastseq_reference, name, 13, 7, 33, scale=2)
    xs, _ = sequences(9, 6, 2, 13)
    for row in range(9):
        guess = model.generate(xs[row : row + 1], 3, 8)
        assert isinstance(guess, list)
        assert all(type(symbol) is int for symbol in guess)
        assert guess == twin.generate(xs[row : row + 1], 3, 8)
    answers = model.generate_batch(xs, 3, 8)
    assert np.array_equal(answers, twin.generate_batch(xs, 3, 8))
    assert len(np.unique(answers)) > 2


def test_decoder_generates_from_one_state(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 33, scale=2)
    xs, _ = sequences(3, 6, 2, 13)
    encoded = model.encoder.forward(xs[:1])
    assert model.decoder.generate(encoded, 3, 8) == model.generate(xs[:1], 3, 8)


def test_generation_continues_as_the_scores_say(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 33, scale=2)
    xs, _ = sequences(9, 6, 2, 13)
    answers = model.generate_batch(xs, 3, 8)
    read = np.concatenate((np.full((9, 1), 3), answers[:, :-1]), axis=1)
    score = model.decoder.forward(read, model.encoder.forward(xs))
    assert np.array_equal(score.argmax(axis=2), answers)


def test_row_is_the_same_alone_and_in_any_batch(
    isa: str, name: str, set_threads: Callable[[int], None]
) -> None:
    model = build(fastseq, name, 13, 7, 130, scale=2)
    xs, ts = sequences(65, 6, 5, 13)
    set_threads(1)
    answers = [model.generate(xs[n : n + 1], 3, 8) for n in range(65)]
    scores = np.concatenate(
        [
            model.decoder.forward(ts[n : n + 1], model.encoder.forward(xs[n : n + 1]))
            for n in range(65)
        ]
    )
    assert len(np.unique(answers, axis=0)) > 3
    for threads in (1, 2, 4):
        set_threads(threads)
        for rows in (slice(0, 1), slice(7, 10), slice(0, 64), slice(1, 65), slice(0, 65)):
            guess = model.generate_batch(xs[rows], 3, 8)
            assert np.array_equal(guess, answers[rows])
            score = model.decoder.forward(ts[rows], model.encoder.forward(xs[rows]))
            assert np.array_equal(score.view(np.uint32), scores[rows].view(np.uint32))


def test_gradients_have_the_same_bits_on_any_number_of_threads(
    isa: str, name: str, set_threads: Callable[[int], None]
) -> None:
    model = build(fastseq, name, 59, 16, 64)
    xs, ts = sequences(128, 15, 9, 59)
    set_threads(1)
    expected = run(model, xs, ts)
    for threads in (2, 3, 4):
        set_threads(threads)
        results = run(model, xs, ts)
        assert all(np.array_equal(one, two) for one, two in zip(results, expected, strict=True))


@pytest.mark.parametrize("rows_at_once", [1, 4, 9, 100])
def test_slices_do_not_change_answers(
    name: str, rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(fastseq, name, 13, 7, 33, scale=2)
    xs, _ = sequences(9, 6, 2, 13)
    expected = model.generate_batch(xs, 3, 8)
    monkeypatch.setattr(fastseq.models.seq2seq, "_ROWS_AT_ONCE", rows_at_once)
    answers = model.generate_batch(xs, 3, 8)
    assert answers.shape == (9, 8)
    assert answers.dtype == np.int64
    assert np.array_equal(answers, expected)


def test_generation_does_not_disturb_training(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, ts = sequences(5, 6, 5, 13)
    expected = run(model, xs, ts)
    first = model.generate(xs[:1], 3, 8)
    assert model.generate(xs[:1], 3, 8) == first
    assert np.array_equal(model.generate_batch(xs, 3, 8)[0], first)
    again = run(model, xs, ts)
    assert all(np.array_equal(one, two) for one, two in zip(again, expected, strict=True))


def test_attention_weights_of_a_forward(isa: str) -> None:
    model = build(fastseq, "AttentionSeq2seq", 13, 7, 17)
    xs, ts = sequences(5, 6, 5, 13)
    model.forward(xs, ts)
    weights = np.array(model.decoder.attention.attention_weights)
    assert weights.shape == (4, 5, 6)
    assert_close(weights.sum(axis=2), np.ones((4, 5)), **float32_tolerance(6))


def test_nothing_to_generate(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, _ = sequences(5, 6, 5, 13)
    assert model.generate(xs[:1], 3, 0) == []
    assert model.generate_batch(xs, 3, 0).shape == (5, 0)
    assert model.generate_batch(xs[:0], 3, 8).shape == (0, 8)
    assert model.generate_batch(xs[:0], 3, 8).dtype == np.int64
