"""Decoding: the answers a network finds most probable, and how probable a given answer is.

Greedy decoding is one call of a kernel. The other two functions advance every hypothesis of every
row by one symbol with one call of the network; a finished one leaves the batch. No row's answer
depends on the other rows.

An answer is made of symbols of the vocabulary; ``<unk>`` and ``<s>`` are never produced. They are
barred, but the probabilities of the others are the network's own: nothing is renormalised.

An answer ends in two ways: with ``</s>``, which then is its last symbol though not among its `ids`;
or at ``max_steps`` symbols without it. Such an answer is unfinished. Its log probability is the sum
over its ids alone, and by this it is ranked among the finished ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastseq.models.base import check_sizes
from fastseq.transducer.network.network import Network
from fastseq.transducer.search.active import END_ID, START_ID, Decodable, Live

Array = npt.NDArray[Any]

# Far above any use; its power of the longest answer's length is a float64 still.
_LARGEST_PENALTY = 64


@dataclass(frozen=True)
class Hypothesis:
    """One answer.

    Attributes
    ----------
    ids : list of int
        Its symbols, without ``</s>``.
    score : float
        What it is ranked by: `log_probability` after the length penalty.
    log_probability : float
        The sum over its symbols, ``</s>`` included if it is finished.
    finished : bool
        Whether it ended with ``</s>``.
    weights : ndarray of float32, shape (len(ids), source length), or None
        Attention weights of the step that produced each id.
    """

    ids: list[int]
    score: float
    log_probability: float
    finished: bool
    weights: Array | None = None


def greedy(
    network: Network, sources: Array, source_lengths: Array, max_steps: int | Array
) -> list[tuple[list[int], float]]:
    """Answer every row with the most probable symbol of each step, the lowest id of equals.

    Parameters
    ----------
    network : Network
    sources : ndarray of int, shape (N, Te)
    source_lengths : ndarray of int, shape (N,)
    max_steps : int, or ndarray of int, shape (N,)
        The most symbols an answer has, ``</s>`` counted.

    Returns
    -------
    list of (ids, log_probability)
        For each row the ids without ``</s>``, and the sum of the log probabilities. An answer of
        ``max_steps`` ids is unfinished.

    Raises
    ------
    TypeError, ValueError
        ``max_steps`` is of the wrong kind or shape, or below 1.
    FloatingPointError
        The network's log probabilities are NaN, or all are minus infinity.
    """
    limits = _limits(max_steps, len(sources))
    # <unk> and <s>, whose ids are below that of </s>, are never chosen
    found = network.answers(sources, source_lengths, START_ID, END_ID, END_ID, limits)
    assert found.log_probabilities is not None
    check_possible(found.log_probabilities)
    return [
        (ids[: taken - (ids[taken - 1] == END_ID)].tolist(), float(total))
        for ids, taken, total in zip(found.ids, found.taken, found.log_probabilities, strict=True)
    ]


def forced(
    network: Decodable,
    sources: Array,
    source_lengths: Array,
    targets: Sequence[Sequence[int]],
    finished: bool | Array = True,
) -> Array:
    """Log probabilities of given answers.

    Parameters
    ----------
    network : Network
    sources : ndarray of int, shape (N, Te)
    source_lengths : ndarray of int, shape (N,)
    targets : sequence of N sequences of int
        The ids of each answer, without ``</s>``. They may be any symbol, ``<unk>`` too.
    finished : bool, or ndarray of bool, shape (N,)
        Whether ``</s>`` follows the ids, and counts. For an answer that ended at ``max_steps`` it
        does not, and what is returned is the log probability that the answer begins with these ids.

    Returns
    -------
    ndarray of float64, shape (N,)

    Raises
    ------
    ValueError
        There are not as many targets as sources.
    IndexError
        An id of a target is negative, or not in the vocabulary.
    """
    if len(targets) != len(sources):
        raise ValueError(f"targets: expected {len(sources)} answers, got {len(targets)}")
    lengths = np.array([len(target) for target in targets], dtype=np.int64)
    limits = lengths + np.broadcast_to(finished, lengths.shape)
    symbols = np.full((len(lengths), limits.max(initial=0)), END_ID)
    for row, target in enumerate(targets):
        symbols[row, : len(target)] = target

    live = Live(network, sources, source_lengths)
    live.take(np.flatnonzero(limits > 0))
    totals = np.zeros(len(limits))
    ids = np.full(len(live.rows), START_ID)
    steps = 0
    while live.rows.size:
        log_probabilities, _ = live.step(ids)
        ids = symbols[live.rows, steps]
        _check_ids(live.rows, steps, ids, log_probabilities.shape[1])
        totals[live.rows] += log_probabilities[np.arange(len(ids)), ids]
        steps += 1
        going_on = np.flatnonzero(steps < limits[live.rows])
        live.take(going_on)
        ids = ids[going_on]
    return totals


def beam_search(
    network: Decodable,
    sources: Array,
    source_lengths: Array,
    max_steps: int | Array,
    beam_size: int,
    n_best: int = 1,
    length_penalty: float = 0.0,
    *,
    with_weights: bool = False,
) -> list[list[Hypothesis]]:
    """Search the best answers to every row, with the `beam_size` most probable beginnings kept.

    At each step the most probable extensions of all beginnings of a row, `beam_size` of them, are
    chosen; those that end are set aside, the others are extended. A beginning is given up when it
    cannot lead to one of the row's `n_best` any more: a log probability only falls, and is divided
    by no more than the penalty of ``max_steps``. So the search finds the same answers as one that
    always goes on to ``max_steps``.

    Parameters
    ----------
    network : Network
    sources : ndarray of int, shape (N, Te)
    source_lengths : ndarray of int, shape (N,)
    max_steps : int, or ndarray of int, shape (N,)
        The most symbols an answer has, ``</s>`` counted.
    beam_size : int
        1 gives the answers of `greedy`.
    n_best : int
        How many answers to give, at most `beam_size`.
    length_penalty : float, 0 to 64
        Alpha of Wu et al., "Google's Neural Machine Translation System", 2016, equation 14:
        ``score = log_probability / ((5 + length) / 6) ** alpha``, where the length counts every
        symbol, ``</s>`` too. 0 ranks by probability; the larger, the better for long answers.
    with_weights : bool
        Give the attention weights too, if the network has attention.

    Returns
    -------
    list of N lists of Hypothesis
        Best score first. Of equal scores the shorter answer is first, then the one whose beginning
        ranked higher, then the one with the lower id. A list is shorter than `n_best` only where
        the search met fewer answers, as over a vocabulary of two or three symbols.

    Raises
    ------
    TypeError, ValueError
        A number is of the wrong kind or shape, or out of its range.
    FloatingPointError
        The network's log probabilities are NaN, or all are minus infinity.
    """
    limits = _limits(max_steps, len(sources))
    check_search(beam_size, n_best, length_penalty)
    live = Live(network, sources, source_lengths)
    ended = _no_ended(len(limits), n_best)
    history: list[_Step] = []
    ids = np.full(len(limits), START_ID)
    totals = np.zeros(len(limits))
    places = np.zeros(len(limits), dtype=np.int64)
    while live.rows.size:
        log_probabilities, weights = live.step(ids)
        _bar(log_probabilities)
        log_probabilities += totals[:, np.newaxis]
        chosen, ids, totals = _most_probable(live.rows, log_probabilities, beam_size)
        rows = live.rows[chosen]
        kept_weights = weights[chosen] if with_weights and weights is not None else None
        history.append(_Step(ids, places[chosen], kept_weights))

        ends = (ids == END_ID) | (limits[rows] == len(history))
        scores = totals / _penalty(len(history), length_penalty)
        ended = _merge(ended, beam_size, rows, ends, scores, totals, len(history))
        best_possible = totals / _penalty(limits[rows], length_penalty)
        # Not worse is not enough: of equal scores the answer that ended first is kept. What has no
        # chance leaves alone; it could only have pushed out what has none either.
        has_a_chance = best_possible > ended["score"][rows, -1]
        places = np.flatnonzero(has_a_chance & ~ends)
        live.take(chosen[places])
        ids, totals = ids[places], totals[places]
    return _hypotheses(ended, history, np.asarray(source_lengths))


class _Step(NamedTuple):
    """The hypotheses chosen at one step: last id, place among those of the step before, weights."""

    ids: Array
    parents: Array
    weights: Array | None


# One hypothesis that ended: after how many steps, and its place among those chosen at the last.
_ENDED = np.dtype(
    [
        ("score", np.float64),
        ("log_probability", np.float64),
        ("steps", np.int64),
        ("place", np.int64),
    ]
)


def _no_ended(rows: int, count: int) -> Array:
    ended = np.zeros((rows, count), dtype=_ENDED)
    ended["score"] = -np.inf
    return ended


def _merge(
    ended: Array,
    beam_size: int,
    rows: Array,
    ends: Array,
    scores: Array,
    totals: Array,
    steps: int,
) -> Array:
    """The best hypotheses of each row, best first, among those in ``ended`` and those that end."""
    places = np.flatnonzero(ends)
    here = rows[places], _rank_in_run(rows[places])
    new = _no_ended(len(ended), beam_size)
    new["score"][here] = scores[places]
    new["log_probability"][here] = totals[places]
    new["steps"][here] = steps
    new["place"][here] = places
    candidates = np.concatenate((ended, new), axis=1)
    order = np.argsort(-candidates["score"], axis=1, kind="stable")[:, : ended.shape[1]]
    best: Array = np.take_along_axis(candidates, order, axis=1)
    return best


def _most_probable(
    rows: Array, log_probabilities: Array, beam_size: int
) -> tuple[Array, Array, Array]:
    """The ``beam_size`` best extensions in each row, best first.

    Parameters
    ----------
    rows : ndarray of int, shape (L,), ascending
    log_probabilities : ndarray of float64, shape (L, V)
        Of every hypothesis extended by every symbol; minus infinity is never chosen.
    beam_size : int

    Returns
    -------
    chosen, ids : ndarray of int
        Hypothesis and symbol of each extension; of equal ones the earlier hypothesis is first, then
        the lower id.
    totals : ndarray of float64
    """
    V = log_probabilities.shape[1]
    rank = _rank_in_run(rows)
    starts = np.flatnonzero(rank == 0)
    run = np.cumsum(rank == 0) - 1
    width = int(rank.max()) + 1
    by_rank = np.full((len(starts), width, V), -np.inf)
    by_rank[run, rank] = log_probabilities
    table = by_rank.reshape(len(starts), width * V)

    count = min(beam_size, width * V)
    threshold = np.partition(table, -count, axis=1)[:, -count, np.newaxis]
    # More than `count` where several are equal to the threshold.
    run, extension = np.nonzero((table >= threshold) & (table > -np.inf))
    totals = table[run, extension]
    # Stable, so equal ones stay in the order of hypothesis and symbol.
    order = np.lexsort((-totals, run))
    order = order[_rank_in_run(run[order]) < count]
    run, extension, totals = run[order], extension[order], totals[order]
    return starts[run] + extension // V, extension % V, totals


def _rank_in_run(values: Array) -> Array:
    """0, 1, 2, … within each run of equal values; ``values`` ascend."""
    rank: Array = np.arange(len(values)) - np.searchsorted(values, values)
    return rank


def _hypotheses(
    ended: Array, history: list[_Step], source_lengths: Array
) -> list[list[Hypothesis]]:
    """Spell out what ended, by going back from its last step to its first."""
    rows, _ = np.nonzero(ended["score"] > -np.inf)
    found = ended[ended["score"] > -np.inf]
    symbols = np.full((len(found), len(history)), END_ID)
    weights = None
    if history and history[0].weights is not None:
        weights = np.zeros((*symbols.shape, history[0].weights.shape[1]), dtype=np.float32)
    places = found["place"].copy()
    for index, step in reversed(list(enumerate(history))):
        there = np.flatnonzero(found["steps"] > index)
        symbols[there, index] = step.ids[places[there]]
        if weights is not None and step.weights is not None:
            weights[there, index] = step.weights[places[there]]
        places[there] = step.parents[places[there]]

    answers: list[list[Hypothesis]] = [[] for _ in ended]
    for index, row in enumerate(rows):
        ids = symbols[index][symbols[index] != END_ID].tolist()
        own_weights = None
        if weights is not None:
            own_weights = weights[index, : len(ids), : source_lengths[row]].copy()
        answers[row].append(
            Hypothesis(
                ids=ids,
                score=float(found["score"][index]),
                log_probability=float(found["log_probability"][index]),
                finished=bool(len(ids) < found["steps"][index]),
                weights=own_weights,
            )
        )
    return answers


def _penalty(lengths: int | Array, alpha: float) -> Any:
    return ((5 + lengths) / 6) ** alpha


def _bar(log_probabilities: Array) -> None:
    """Make <unk> and <s>, whose ids are below that of </s>, impossible, in place."""
    log_probabilities[:, :END_ID] = -np.inf
    check_possible(log_probabilities.max(axis=1))


def check_possible(log_probabilities: float | Array) -> None:
    """FloatingPointError unless these, the best that there are, are numbers above -inf."""
    # False for NaN too.
    if not np.all(np.greater(log_probabilities, -np.inf)):
        raise FloatingPointError("the network's log probabilities are NaN or all minus infinity")


def _limits(max_steps: int | Array, rows: int) -> Array:
    limits = np.asarray(max_steps)
    if limits.dtype.kind not in "iu":
        raise TypeError(f"max_steps: expected integers, got {limits.dtype}")
    if limits.shape not in ((), (rows,)):
        raise ValueError(f"max_steps: expected a number or shape ({rows},), got {limits.shape}")
    if (limits < 1).any():
        raise ValueError(f"max_steps: expected at least 1, got {limits.min()}")
    return np.full(rows, limits, dtype=np.int64)


def check_search(beam_size: int, n_best: int, length_penalty: float) -> None:
    """TypeError or ValueError, naming the argument, unless `beam_search` takes these."""
    check_sizes(beam_size=beam_size, n_best=n_best)
    if n_best > beam_size:
        raise ValueError(f"n_best: expected at most beam_size = {beam_size}, got {n_best}")
    number = int | float | np.integer | np.floating
    if isinstance(length_penalty, bool) or not isinstance(length_penalty, number):
        kind = type(length_penalty).__name__
        raise TypeError(f"length_penalty: expected a number, got {kind}")
    # False for NaN too.
    if not 0 <= length_penalty <= _LARGEST_PENALTY:
        raise ValueError(f"length_penalty: expected 0 to {_LARGEST_PENALTY}, got {length_penalty}")


def _check_ids(rows: Array, step: int, ids: Array, vocabulary_size: int) -> None:
    wrong = np.flatnonzero((ids < 0) | (ids >= vocabulary_size))
    if wrong.size:
        raise IndexError(
            f"targets: expected ids from 0 to {vocabulary_size - 1}, "
            f"got {ids[wrong[0]]} at ({rows[wrong[0]]}, {step})"
        )
