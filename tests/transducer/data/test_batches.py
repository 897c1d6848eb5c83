"""Encoded pairs: what a batch holds, how it is drawn, and how little memory it takes."""

import tracemalloc

import numpy as np
import pytest

from fastseq.transducer.data.batches import (
    Pairs,
    Sequences,
    batches_by_length,
    count_batches,
    shuffled_batches,
    split_by_source,
)
from fastseq.transducer.data.vocabulary import Vocabulary


def encoded(sources: list[str], targets: list[str]) -> Pairs:
    return Pairs(
        Sequences.encode(Vocabulary.build(sources), sources),
        Sequences.encode(Vocabulary.build(targets), targets),
    )


def random_pairs(count: int, longest: int = 20) -> Pairs:
    generator = np.random.default_rng(0)
    texts = ["abcdefghijklmnopqrst"[:length] for length in generator.integers(1, longest, count)]
    return encoded(texts, texts[::-1])


def test_a_batch_has_start_and_end_and_zeros_past_the_lengths() -> None:
    batch = encoded(["aab", "", "c"], ["x", "yxx", ""]).batch(np.array([0, 1, 2]))
    assert batch.sources.tolist() == [[3, 3, 4, 2], [2, 0, 0, 0], [5, 2, 0, 0]]
    assert batch.source_lengths.tolist() == [4, 1, 2]
    assert batch.inputs.tolist() == [[1, 3, 0, 0], [1, 4, 3, 3], [1, 0, 0, 0]]
    assert batch.targets.tolist() == [[3, 2, 0, 0], [4, 3, 3, 2], [2, 0, 0, 0]]
    assert batch.target_lengths.tolist() == [2, 4, 1]
    arrays = [value for value in vars(batch).values() if value is not None]
    assert [array.dtype for array in arrays] == 5 * [np.int64]


def test_rows_are_taken_in_the_order_asked_for() -> None:
    pairs = encoded(["ab", "", "b"], ["1", "2", "3"])
    taken = pairs.take(np.array([2, 0]))
    assert len(taken) == 2
    assert taken.sources.row(0) == pairs.sources.row(2)
    assert taken.targets.row(1) == pairs.targets.row(0)


def test_every_pair_is_in_one_batch() -> None:
    pairs = random_pairs(1003)
    batches = shuffled_batches(pairs, 8, np.random.default_rng(1))
    assert sorted(np.concatenate(batches).tolist()) == list(range(1003))
    assert sorted(len(batch) for batch in batches) == [3] + 125 * [8]


def test_a_batch_holds_similar_lengths() -> None:
    pairs = random_pairs(5000)
    batches = shuffled_batches(pairs, 10, np.random.default_rng(1))
    lengths = pairs.sources.lengths
    padding = sum(np.sum(lengths[batch].max() - lengths[batch]) for batch in batches)
    assert padding < 0.02 * lengths.sum()


def test_the_order_repeats_with_the_generator_and_differs_otherwise() -> None:
    pairs = random_pairs(500)

    def draw(seed: int) -> list[list[int]]:
        batches = shuffled_batches(pairs, 8, np.random.default_rng(seed))
        return [batch.tolist() for batch in batches]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    lengths = [pairs.sources.lengths[batch[0]] for batch in draw(1)]
    assert lengths != sorted(lengths)


def test_prediction_goes_from_short_to_long() -> None:
    sequences = random_pairs(50).sources
    rows = np.concatenate(list(batches_by_length(sequences.lengths, 8)))
    assert sorted(rows.tolist()) == list(range(50))
    assert (np.diff(sequences.lengths[rows]) >= 0).all()


def test_a_batch_of_long_rows_has_fewer() -> None:
    lengths = np.array([0, 300, 30_000, 5, 5, 5, 5, 5, 300, 30_000])
    batches = [batch.tolist() for batch in batches_by_length(lengths, 4)]
    assert batches == [[0, 3, 4, 5], [6, 7, 1], [8], [2], [9]]
    assert [len(batch) for batch in batches_by_length(np.full(600, 256), 256)] == [256, 256, 88]
    assert list(batches_by_length(np.zeros(0, np.int64), 4)) == []


def test_a_long_pair_is_in_a_batch_of_its_own() -> None:
    texts = ["abcdef"] * 100 + ["a" * 5000] + ["ab" * 300] * 3
    pairs = encoded(texts, texts)
    for seed in range(3):
        batches = shuffled_batches(pairs, 32, np.random.default_rng(seed))
        assert len(batches) == count_batches(pairs, 32) == 6
        assert sorted(np.concatenate(batches).tolist()) == list(range(104))
        by_longest = {int(pairs.costs[rows].max()): len(rows) for rows in batches}
        assert by_longest == {6: by_longest[6], 600**2 // 256: 3, 5000**2 // 256: 1}


def test_the_longest_of_a_batch_is_named_by_its_place_in_the_data() -> None:
    pairs = encoded(["a", "ab", "abc", "b"], ["A", "B" * 9, "C", "D"]).take(np.array([3, 2, 1]))
    named = pairs.longest(np.arange(3))
    assert "number 2, with 2 source and 9 target symbols;" in named


def test_without_a_long_pair_batches_are_those_of_the_lengths_alone() -> None:
    pairs = random_pairs(500)
    generator = np.random.default_rng(3)
    order = generator.permutation(500)
    order = order[np.lexsort((pairs.targets.lengths[order], pairs.sources.lengths[order]))]
    expected = [order[start : start + 8].tolist() for start in range(0, 500, 8)]
    expected = [expected[number] for number in generator.permutation(len(expected))]
    drawn = shuffled_batches(pairs, 8, np.random.default_rng(3))
    assert [rows.tolist() for rows in drawn] == expected


def test_where_all_pairs_are_long_batches_are_full() -> None:
    texts = ["a" * length for length in range(1000, 1100)]
    pairs = encoded(texts, texts)
    assert count_batches(pairs, 10) == 10


def test_the_pairs_of_a_source_stay_together() -> None:
    sources = [str(number % 40) for number in range(400)]
    pairs = encoded(sources, sources)
    kept, held_out = split_by_source(pairs, 0.1, np.random.default_rng(0))
    assert (len(kept), len(held_out)) == (360, 40)
    assert not set(kept.rows_of_sources()) & set(held_out.rows_of_sources())


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_each_side_gets_a_source(share: float) -> None:
    pairs = encoded(["a", "b", "c"], ["1", "2", "3"])
    kept, held_out = split_by_source(pairs, share, np.random.default_rng(0))
    assert len(kept) >= 1 and len(held_out) >= 1 and len(kept) + len(held_out) == 3


def test_one_source_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="at least 2 different sources; got 1"):
        split_by_source(encoded(["a", "a"], ["1", "2"]), 0.5, np.random.default_rng(0))


def test_the_digest_tells_pairs_apart() -> None:
    pairs = encoded(["ab", "c"], ["1", "2"])
    assert pairs.digest() == encoded(["ab", "c"], ["1", "2"]).digest()
    assert pairs.digest() != pairs.take(np.array([1, 0])).digest()
    shifted = Pairs(Sequences(pairs.sources.ids, np.array([0, 1, 3])), pairs.targets)
    assert pairs.digest() != shifted.digest()


def test_a_hundred_thousand_pairs_are_small() -> None:
    texts = [f"{number:020}" for number in range(100_000)]
    vocabulary = Vocabulary.build(texts)
    tracemalloc.start()
    try:
        pairs = Pairs(Sequences.encode(vocabulary, texts), Sequences.encode(vocabulary, texts))
        shuffled_batches(pairs, 64, np.random.default_rng(0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 2 x 20 ids of 4 bytes a pair are 16 MB; offsets, lengths and the order are a few more
    assert peak < 30e6
