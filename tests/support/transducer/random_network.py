"""A network whose probabilities are drawn from a hash, and searches over it in plain Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.transducer.data.vocabulary import END as END_ID
from fastseq.transducer.data.vocabulary import START as START_ID
from fastseq.transducer.search.hypothesis import Hypothesis

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Encoded:
    sources: list[tuple[int, ...]]
    width: int

    def take(self, rows: Array) -> Encoded:
        return Encoded([self.sources[row] for row in rows], self.width)


@dataclass(frozen=True)
class State:
    prefixes: list[tuple[int, ...]]

    def take(self, rows: Array) -> State:
        return State([self.prefixes[row] for row in rows])


class RandomNetwork:
    """Probabilities and weights that depend on the row's source and what was read, by a hash.

    `calls` notes how many rows each step had. With `ties` the logarithms are small whole numbers,
    so many sums are equal; `end_bias` makes the end symbol likelier.
    """

    answers_at_once = False
    copies = False

    def __init__(self, vocabulary_size: int, *, ties: bool = False, end_bias: float = 0.0) -> None:
        self.vocabulary_size = vocabulary_size
        self.ties = ties
        self.end_bias = end_bias
        self.calls: list[int] = []

    def encode(self, sources: Array, source_lengths: Array) -> Encoded:
        rows = zip(sources.tolist(), source_lengths, strict=True)
        return Encoded([tuple(row[:length]) for row, length in rows], sources.shape[1])

    def first_state(self, encoded: Encoded) -> State:
        return State([() for _ in encoded.sources])

    def step(self, encoded: Encoded, state: State, ids: Array) -> tuple[Array, State, Array]:
        prefixes = [
            (*prefix, int(symbol)) for prefix, symbol in zip(state.prefixes, ids, strict=True)
        ]
        self.calls.append(len(prefixes))
        pairs = list(zip(encoded.sources, prefixes, strict=True))
        log_probabilities = np.array([self.log_probabilities(*pair) for pair in pairs])
        weights = np.zeros((len(pairs), encoded.width), dtype=np.float32)
        for row, pair in enumerate(pairs):
            weights[row, : len(pair[0])] = self.weights(*pair)
        return log_probabilities, State(prefixes), weights

    def log_probabilities(self, source: tuple[int, ...], prefix: tuple[int, ...]) -> Array:
        logits = 2 * np.random.default_rng([1, *source, 0, *prefix]).normal(
            size=self.vocabulary_size
        )
        logits[END_ID] += self.end_bias
        if self.ties:
            return -np.round(np.abs(logits)).astype(np.float32)
        return (logits - np.log(np.exp(logits).sum())).astype(np.float32)

    def weights(self, source: tuple[int, ...], prefix: tuple[int, ...]) -> Array:
        return np.random.default_rng([2, *source, 0, *prefix]).random(len(source), dtype=np.float32)


def batch(rows: int, seed: int = 0) -> tuple[Array, Array]:
    """Sources of different lengths; what lies past a length is junk."""
    rng = np.random.default_rng(seed)
    return rng.integers(3, 20, size=(rows, 6)), rng.integers(1, 7, size=rows)


def score_of(log_probability: float, length: int, alpha: float) -> float:
    return log_probability / ((5 + length) / 6) ** alpha


def exhaustive(
    network: RandomNetwork, source: tuple[int, ...], max_steps: int, alpha: float
) -> list[Hypothesis]:
    """Every answer there is, best first."""
    answers = []
    open_beginnings: list[tuple[list[int], float]] = [([], 0.0)]
    for length in range(1, max_steps + 1):
        longer = []
        for ids, total in open_beginnings:
            table = network.log_probabilities(source, (START_ID, *ids))
            for symbol in range(END_ID, network.vocabulary_size):
                sum_ = total + float(table[symbol])
                if symbol == END_ID:
                    answers.append(Hypothesis(ids, score_of(sum_, length, alpha), sum_, True))
                else:
                    longer.append(([*ids, symbol], sum_))
        open_beginnings = longer
    for ids, total in open_beginnings:
        answers.append(Hypothesis(ids, score_of(total, max_steps, alpha), total, False))
    return sorted(answers, key=lambda answer: -answer.score)


def textbook_beam(
    network: RandomNetwork, source: tuple[int, ...], max_steps: int, beam_size: int, alpha: float
) -> list[Hypothesis]:
    """The search as one would write it for one row, with lists, and without stopping early."""
    ended: list[Hypothesis] = []
    beam: list[tuple[list[int], float]] = [([], 0.0)]
    for length in range(1, max_steps + 1):
        extensions = []
        for ids, total in beam:
            table = network.log_probabilities(source, (START_ID, *ids))
            for symbol in range(END_ID, network.vocabulary_size):
                extensions.append(([*ids, symbol], total + float(table[symbol])))
        extensions.sort(key=lambda extension: -extension[1])  # stable
        beam = []
        for ids, total in extensions[:beam_size]:
            score = score_of(total, length, alpha)
            if ids[-1] == END_ID:
                ended.append(Hypothesis(ids[:-1], score, total, True))
            elif length == max_steps:
                ended.append(Hypothesis(ids, score, total, False))
            else:
                beam.append((ids, total))
    return sorted(ended, key=lambda answer: -answer.score)  # stable


def rows_of(sources: Array, lengths: Array) -> list[tuple[int, ...]]:
    return [
        tuple(row[:length]) for row, length in zip(sources.tolist(), lengths.tolist(), strict=True)
    ]
