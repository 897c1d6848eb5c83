"""Language models: generated ids, and the state that generation goes on from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastseq
import fastseq_reference
from support.models.language_models import GENERATORS, MODELS, Array, build


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    """Run the test once for each model."""
    return request.param


# --------------------------------------------------------------------------------------- generation


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("skip_ids", [None, [1, 4, 7], np.array([0, 3])])
def test_writes_what_the_reference_writes(isa: str, name: str, skip_ids: Any) -> None:
    results = []
    for package in (fastseq, fastseq_reference):
        model = build(package, name, 9, 8, 8, scale=100)
        np.random.seed(1)
        results.append([model.generate(2, skip_ids, 60), np.random.rand()])
        results[-1].append(model.generate(5))
    assert results[0] == results[1]
    written = results[0][0]
    assert len(written) == 60
    assert len(results[0][2]) == 100
    assert written[0] == 2
    assert all(type(word_id) is int for word_id in written)
    assert not set(written) & set([] if skip_ids is None else list(skip_ids))
    assert len(set(written)) >= 5
    other = build(fastseq_reference, name, 9, 8, 8, scale=150)
    np.random.seed(1)
    assert other.generate(2, skip_ids, 60) != written


@pytest.mark.parametrize("name", GENERATORS)
def test_draws_have_the_softmax_probabilities(name: str) -> None:
    model = build(fastseq, name, 4, 8, 8, scale=100)
    model.params[-1][...] = [0, 0.5, 1, -0.5]
    score = model.predict(np.array([[1]])).ravel().astype(np.float64)
    p = np.exp(score) / np.exp(score).sum()
    counts = np.zeros(4)
    for _ in range(2000):
        model.reset_state()
        counts[model.generate(1, sample_size=2)[1]] += 1
    # five standard deviations of each count
    assert np.all(np.abs(counts - 2000 * p) < 5 * np.sqrt(2000 * p * (1 - p)))
    assert np.abs(counts - 500).max() > 5 * np.sqrt(375)  # far from equal chances


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("sample_size", [0, 1])
def test_the_first_id_is_always_there(name: str, sample_size: int) -> None:
    model = build(fastseq, name, 9, 8, 8)
    assert model.generate(3, sample_size=sample_size) == [3]


@pytest.mark.parametrize("package", [fastseq, fastseq_reference])
@pytest.mark.parametrize("name", GENERATORS)
def test_goes_on_from_a_state(package: Any, name: str) -> None:
    model = build(package, name, 9, 8, 8, scale=100)
    model.generate(1, sample_size=5)
    state = model.get_state()
    pairs = [state] if name == "RnnlmGen" else state
    assert [[part.shape for part in pair] for pair in pairs] == len(pairs) * [[(1, 8), (1, 8)]]

    def go_on() -> tuple[Array, list[int]]:
        np.random.seed(0)
        return model.predict(np.array([[2]])), model.generate(2, sample_size=30)

    first, elsewhere = go_on(), go_on()
    model.set_state(state)
    again = go_on()
    np.testing.assert_array_equal(again[0], first[0])
    assert again[1] == first[1]
    assert np.abs(elsewhere[0] - first[0]).max() > 0.01


@pytest.mark.parametrize("name", GENERATORS)
def test_an_empty_state_is_a_state(name: str) -> None:
    model = build(fastseq, name, 9, 8, 8)
    state = model.get_state()
    first = model.predict(np.array([[1]]))
    model.set_state(state)
    np.testing.assert_array_equal(model.predict(np.array([[1]])), first)


@pytest.mark.parametrize("name", GENERATORS)
def test_what_cannot_be_generated(name: str) -> None:
    model = build(fastseq, name, 5, 4, 4)
    with pytest.raises(ValueError, match="skip_ids: expected to leave an id; all 5"):
        model.generate(1, skip_ids=range(6))
    with pytest.raises(IndexError, match="5"):
        model.generate(5)
    for wrong in ("1", 2.5, 1j, np.zeros(3)):
        for argument in ("start_id", "sample_size"):
            with pytest.raises(TypeError, match=f"^{argument}: expected an integer"):
                model.generate(**({"start_id": 1} | {argument: wrong}))
        with pytest.raises(TypeError, match="^skip_ids: expected an integer"):
            model.generate(1, [wrong])
    with pytest.raises(TypeError, match="^skip_ids: expected a sequence, got int"):
        model.generate(1, 3)
    model.reset_state()
    model.predict(np.zeros((3, 2), dtype=int))
    with pytest.raises(ValueError, match="reset_state"):
        model.generate(1)
