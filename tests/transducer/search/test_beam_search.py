"""Beam search, and given answers, over a network whose probabilities are drawn from a hash."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastseq.transducer.data.vocabulary import END as END_ID
from fastseq.transducer.data.vocabulary import START as START_ID
from fastseq.transducer.search import beam_search as decoding
from fastseq.transducer.search.beam_search import beam_search
from fastseq.transducer.search.scoring import forced
from support.transducer.random_network import (
    Encoded,
    RandomNetwork,
    State,
    batch,
    exhaustive,
    rows_of,
    score_of,
    textbook_beam,
)

Array = npt.NDArray[Any]
PENALTIES = [0.0, 0.6, 1.0, 3.0]


# ---- a beam of one ----


def beam_of_one(
    network: Any, sources: Array, lengths: Array, max_steps: int | Array, alpha: float = 0.0
) -> list[tuple[list[int], float]]:
    """The answer of each row and its log probability."""
    found = beam_search(network, sources, lengths, max_steps, 1, length_penalty=alpha)
    return [(best.ids, best.log_probability) for [best] in found]


@pytest.mark.parametrize("max_steps", [1, 2, 9])
def test_it_takes_the_most_probable_symbol_of_each_step(max_steps: int) -> None:
    network = RandomNetwork(12)
    sources, lengths = batch(30)
    answers = beam_of_one(network, sources, lengths, max_steps)
    assert {type(number) for ids, total in answers for number in (*ids, total)} <= {int, float}
    for source, (ids, total) in zip(rows_of(sources, lengths), answers, strict=True):
        expected: list[int] = []
        sum_ = 0.0
        while len(expected) < max_steps:
            table = network.log_probabilities(source, (START_ID, *expected))
            symbol = END_ID + int(table[END_ID:].argmax())
            sum_ += float(table[symbol])
            if symbol == END_ID:
                break
            expected.append(symbol)
        assert (ids, total) == (expected, sum_)


@pytest.mark.parametrize("alpha", PENALTIES)
def test_a_penalty_does_not_change_a_beam_of_one(alpha: float) -> None:
    network = RandomNetwork(12)
    sources, lengths = batch(50)
    answers = beam_of_one(network, sources, lengths, 9, alpha)
    assert answers == beam_of_one(network, sources, lengths, 9)
    assert {len(ids) < 9 for ids, _ in answers} == {True, False}


# ---- beam search against searches in plain Python ----


@pytest.mark.parametrize("alpha", PENALTIES)
@pytest.mark.parametrize("vocabulary_size", [3, 4, 5])
def test_a_beam_that_holds_the_whole_tree_finds_the_best_answers(
    vocabulary_size: int, alpha: float
) -> None:
    network = RandomNetwork(vocabulary_size)
    sources, lengths = batch(12)
    found = beam_search(network, sources, lengths, 4, 100, n_best=100, length_penalty=alpha)
    for source, answers in zip(rows_of(sources, lengths), found, strict=True):
        assert answers == exhaustive(network, source, 4, alpha)


def test_comparison_with_the_whole_tree_can_fail() -> None:
    network = RandomNetwork(5)
    sources, lengths = batch(12)
    best = [exhaustive(network, source, 4, 1.0)[0] for source in rows_of(sources, lengths)]
    narrow = beam_search(network, sources, lengths, 4, 1, length_penalty=1.0)
    other_penalty = beam_search(network, sources, lengths, 4, 100, length_penalty=0.0)
    assert [answer for [answer] in narrow] != best
    assert [answer.ids for [answer] in other_penalty] != [answer.ids for answer in best]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("alpha", PENALTIES)
@pytest.mark.parametrize("beam_size", [2, 3, 7])
def test_search_is_the_textbook_one(beam_size: int, alpha: float, ties: bool) -> None:
    network = RandomNetwork(9, ties=ties)
    sources, lengths = batch(25, seed=1)
    found = beam_search(network, sources, lengths, 7, beam_size, beam_size, alpha)
    for source, answers in zip(rows_of(sources, lengths), found, strict=True):
        expected = textbook_beam(network, source, 7, beam_size, alpha)
        assert answers == expected[:beam_size]


def test_ties_go_to_the_shorter_answer_then_the_lower_id() -> None:
    class Uniform(RandomNetwork):
        def log_probabilities(self, source: tuple[int, ...], prefix: tuple[int, ...]) -> Array:
            # certain of every symbol: no answer is better than another
            return np.zeros(self.vocabulary_size, dtype=np.float32)

    sources, lengths = batch(3)
    assert beam_of_one(Uniform(6), sources, lengths, 3) == [([], 0.0)] * 3
    for answers in beam_search(Uniform(6), sources, lengths, 3, 4, 4):
        assert [answer.ids for answer in answers] == [[], [3], [3, 3], [3, 3, 3]]

    # what can at best be as good as an answer that has ended is not looked for
    network = Uniform(6)
    beam_search(network, sources, lengths, 3, 4)
    assert network.calls == [3]


# ---- what holds for every answer ----


@pytest.mark.parametrize("end_bias", [0.0, 2.0])
def test_log_probabilities_are_those_of_forced_decoding(end_bias: float) -> None:
    network = RandomNetwork(9, end_bias=end_bias)
    sources, lengths = batch(20)
    found = beam_search(network, sources, lengths, 6, 4, 4, 0.8)
    for rank in range(4):
        answers = [row[rank] for row in found]
        targets = [answer.ids for answer in answers]
        finished = np.array([answer.finished for answer in answers])
        expected = [answer.log_probability for answer in answers]
        assert forced(network, sources, lengths, targets, finished).tolist() == expected
        with_end = forced(network, sources, lengths, targets)
        assert (with_end[~finished] < np.array(expected)[~finished]).all()
    assert {answer.finished for row in found for answer in row} == {True, False}


def test_score_divides_by_the_length_that_counts_the_end() -> None:
    sources, lengths = batch(20)
    for [answer] in beam_search(RandomNetwork(9), sources, lengths, 6, 3, length_penalty=0.7):
        assert answer.finished == (len(answer.ids) < 6)
        length = len(answer.ids) + answer.finished
        assert answer.score == score_of(answer.log_probability, length, 0.7)


@pytest.mark.parametrize("rows", [1, 2, 11])
def test_a_row_does_not_depend_on_the_others(rows: int) -> None:
    network = RandomNetwork(9)
    sources, lengths = batch(rows)
    limits = np.arange(rows) % 5 + 1
    together = beam_search(network, sources, lengths, limits, 4, 3, 0.5)
    short = beam_of_one(network, sources, lengths, limits)
    targets = [answers[0].ids for answers in together]
    scores = forced(network, sources, lengths, targets)
    for row in range(rows):
        alone = sources[row : row + 1, : lengths[row]], lengths[row : row + 1]
        assert beam_search(network, *alone, int(limits[row]), 4, 3, 0.5) == [together[row]]
        assert beam_of_one(network, *alone, int(limits[row])) == [short[row]]
        assert forced(network, *alone, targets[row : row + 1]) == scores[row]


def test_fewer_answers_are_the_first_of_more() -> None:
    network = RandomNetwork(9, end_bias=1.0)
    sources, lengths = batch(30)
    many = beam_search(network, sources, lengths, 8, 5, 5, 0.5)
    for n_best in range(1, 5):
        few = beam_search(network, sources, lengths, 8, 5, n_best, 0.5)
        assert few == [answers[:n_best] for answers in many]


def test_symbols_that_are_barred_are_never_produced() -> None:
    class Insistent(RandomNetwork):
        def log_probabilities(self, source: tuple[int, ...], prefix: tuple[int, ...]) -> Array:
            table = super().log_probabilities(source, prefix) - np.float32(5)
            table[:END_ID] = np.float32(-0.01)
            return table

    network = Insistent(7)
    sources, lengths = batch(10)
    found = beam_search(network, sources, lengths, 5, 4, 4)
    produced = {symbol for row in found for answer in row for symbol in answer.ids}
    produced |= {symbol for ids, _ in beam_of_one(network, sources, lengths, 5) for symbol in ids}
    assert produced <= set(range(3, 7))
    # the probabilities are the network's own, not those of the other symbols alone
    assert max(row[0].log_probability for row in found) < -4


def test_weights_are_those_of_the_steps_that_gave_the_ids() -> None:
    network = RandomNetwork(9)
    sources, lengths = batch(15)
    found = beam_search(network, sources, lengths, 6, 4, 3, 0.5, with_weights=True)
    for source, answers in zip(rows_of(sources, lengths), found, strict=True):
        for answer in answers:
            expected = [
                network.weights(source, (START_ID, *answer.ids[:step]))
                for step in range(len(answer.ids))
            ]
            assert answer.weights is not None
            assert answer.weights.shape == (len(answer.ids), len(source))
            assert answer.weights.tolist() == [row.tolist() for row in expected]
    for [answer] in beam_search(network, sources, lengths, 6, 4):
        assert answer.weights is None


def test_a_network_without_attention_has_no_weights() -> None:
    class Plain(RandomNetwork):
        def step(self, encoded: Encoded, state: State, ids: Array) -> Any:
            log_probabilities, state, _ = super().step(encoded, state, ids)
            return log_probabilities, state, None

    for [answer] in beam_search(Plain(9), *batch(3), 6, 4, with_weights=True):
        assert answer.weights is None


# ---- what the network is asked for ----


def test_finished_rows_leave_the_batch() -> None:
    network = RandomNetwork(9, end_bias=1.0)
    sources, lengths = batch(20)
    lengths_of_answers = [len(ids) + 1 for ids, _ in beam_of_one(network, sources, lengths, 50)]
    expected = [
        sum(length > step for length in lengths_of_answers)
        for step in range(max(lengths_of_answers))
    ]
    assert len(set(expected)) > 3
    assert network.calls == expected

    network.calls.clear()
    answers = beam_of_one(network, sources, lengths, 50)
    forced(network, sources, lengths, [ids for ids, _ in answers])
    assert network.calls == 2 * expected


def test_a_beam_asks_only_for_what_can_still_win() -> None:
    network = RandomNetwork(9, end_bias=1.5)
    sources, lengths = batch(20)
    beam_search(network, sources, lengths, 50, 3)
    assert network.calls[0] == 20
    assert max(network.calls[1:]) <= 60
    assert len(network.calls) < 50
    assert network.calls[-1] < 20


def test_the_bound_is_as_tight_as_it_may_be() -> None:
    """With a penalty a longer answer may still win: the row must go on, and no longer than that."""

    class Chain(RandomNetwork):
        def log_probabilities(self, source: tuple[int, ...], prefix: tuple[int, ...]) -> Array:
            # one step: -1. Otherwise the first symbol costs 1.1, and the rest is free.
            first, rest = [-1.0, -1.1], [-50.0, 0.0]
            table = np.full(4, -100, dtype=np.float32)
            table[END_ID:] = first if len(prefix) == 1 else rest
            return table

    sources, lengths = batch(1)
    for max_steps, alpha, steps in [(9, 0.0, 1), (9, 1.0, 9), (2, 0.5, 1), (3, 0.5, 3)]:
        network = Chain(4)
        [[answer]] = beam_search(network, sources, lengths, max_steps, 2, length_penalty=alpha)
        assert len(network.calls) == steps
        assert len(answer.ids) == (0 if steps == 1 else max_steps)


# ---- edges and wrong input ----


def test_no_rows() -> None:
    network = RandomNetwork(9)
    nothing = np.zeros((0, 5), dtype=np.int64), np.zeros(0, dtype=np.int64)
    assert beam_search(network, *nothing, 5, 3, 2) == []
    assert forced(network, *nothing, []).shape == (0,)


def test_forced_of_nothing_is_certain() -> None:
    sources, lengths = batch(3)
    network = RandomNetwork(9)
    assert forced(network, sources, lengths, [[]] * 3, finished=False).tolist() == [0, 0, 0]
    some = forced(network, sources, lengths, [[], [4], []], finished=np.array([False, True, False]))
    assert some[0] == some[2] == 0
    assert some[1] < 0
    assert network.calls == [1, 1]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_best": 4}, r"n_best: expected at most beam_size = 3, got 4"),
        ({"n_best": 0}, r"n_best: expected at least 1, got 0"),
        ({"beam_size": 0}, r"beam_size: expected at least 1, got 0"),
        ({"max_steps": 0}, r"max_steps: expected at least 1, got 0"),
        ({"max_steps": np.array([1, 2, -1, 3])}, r"max_steps: expected at least 1, got -1"),
        ({"max_steps": np.array([1, 2])}, r"max_steps: .* shape \(4,\), got \(2,\)"),
        ({"length_penalty": -0.1}, r"length_penalty: expected 0 to 64, got -0.1"),
        ({"length_penalty": 1e308}, r"length_penalty: expected 0 to 64, got 1e\+308"),
        ({"length_penalty": math.nan}, r"length_penalty: .* got nan"),
        ({"length_penalty": math.inf}, r"length_penalty: .* got inf"),
    ],
)
def test_wrong_numbers(changed: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"max_steps": 5, "beam_size": 3} | changed
    with pytest.raises(ValueError, match=message):
        beam_search(RandomNetwork(9), *batch(4), **arguments)


@pytest.mark.parametrize("changed", [{"beam_size": 2.0}, {"n_best": 1.0}, {"max_steps": 5.0}])
def test_wrong_kinds(changed: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"max_steps": 5, "beam_size": 3} | changed
    with pytest.raises(TypeError, match=next(iter(changed))):
        beam_search(RandomNetwork(9), *batch(4), **arguments)


def test_wrong_targets() -> None:
    sources, lengths = batch(3)
    with pytest.raises(ValueError, match="targets: expected 3 answers, got 2"):
        forced(RandomNetwork(9), sources, lengths, [[3], [4]])
    for wrong in (-1, 9):
        with pytest.raises(IndexError, match=rf"targets: .* 0 to 8, got {wrong} at \(1, 2\)"):
            forced(RandomNetwork(9), sources, lengths, [[3], [4, 5, wrong], []])


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_network_without_an_answer_is_an_error(value: float) -> None:
    class Broken(RandomNetwork):
        def log_probabilities(self, source: tuple[int, ...], prefix: tuple[int, ...]) -> Array:
            table = super().log_probabilities(source, prefix)
            if len(prefix) == 2:
                table[END_ID:] = value
            return table

    network = Broken(9, end_bias=-50.0)
    with pytest.raises(FloatingPointError, match="log probabilities"):
        beam_search(network, *batch(3), 5, 2)


# ---- the tests can fail ----


def test_an_early_stop_that_ignores_the_penalty_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = RandomNetwork(9, end_bias=1.0)
    sources, lengths = batch(40)
    right = beam_search(network, sources, lengths, 8, 3, length_penalty=3.0)
    penalties = decoding._penalties

    class Unbounded(np.ndarray):  # type: ignore[type-arg]
        def __getitem__(self, key: Any) -> Any:
            # only the bound reads the penalties of an array
            return 1.0 if isinstance(key, np.ndarray) else super().__getitem__(key)

    def wrong(longest: int, alpha: float) -> Array:
        return penalties(longest, alpha).view(Unbounded)

    monkeypatch.setattr(decoding, "_penalties", wrong)
    assert beam_search(network, sources, lengths, 8, 3, length_penalty=3.0) != right
