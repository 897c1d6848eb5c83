"""Beam search: the best answers of a network, among the most probable beginnings of each.

A kernel searches in one call. Where it cannot, every hypothesis of every row is extended by one
symbol with one call of the network, and a finished one leaves the batch: the answers are the same.
The answer to a row does not depend on the other rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastseq._kernels import Found
from fastseq.transducer.data.vocabulary import END, START
from fastseq.transducer.search.active import ActiveHypotheses, Decodable
from fastseq.transducer.search.hypothesis import Hypothesis
from fastseq.transducer.search.limits import check_possible, check_search, checked_steps

Array = npt.NDArray[Any]


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
    chosen; those that end are set aside, the others are extended. A beginning is pruned when it
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
    limits = checked_steps(max_steps, len(sources))
    check_search(beam_size, n_best, length_penalty)
    longest = int(limits.max(initial=0))
    if searches_at_once(network, with_weights):
        found = network.best_answers(
            sources,
            source_lengths,
            start_id=START,
            steps=longest,
            beam=beam_size,
            n_best=n_best,
            length_penalty=length_penalty,
            # <unk> and <s>, whose ids are below that of </s>, are never chosen
            first_id=END,
            end_id=END,
            limits=limits,
        )
        return _listed(found)
    penalty = _penalties(longest, length_penalty)
    active = ActiveHypotheses(network, sources, source_lengths)
    ended = _no_ended(len(limits), n_best)
    history: list[_Step] = []
    ids = np.full(len(limits), START)
    totals = np.zeros(len(limits))
    places = np.zeros(len(limits), dtype=np.int64)
    while active.rows.size:
        log_probabilities, weights = active.step(ids)
        _bar(log_probabilities)
        log_probabilities += totals[:, np.newaxis]
        chosen, ids, totals = _most_probable(active.rows, log_probabilities, beam_size)
        rows = active.rows[chosen]
        kept_weights = weights[chosen] if with_weights and weights is not None else None
        history.append(_Step(ids, places[chosen], kept_weights))

        ends = (ids == END) | (limits[rows] == len(history))
        scores = totals / penalty[len(history)]
        ended = _merge(ended, beam_size, rows, ends, scores, totals, len(history))
        best_possible = totals / penalty[limits[rows]]
        # Of equal scores the answer that ended first is kept, so a hypothesis must be able to score
        # more. One that is pruned leaves its row's others as they are: only hypotheses that cannot
        # score more either could have had its place in the beam.
        can_improve = best_possible > ended["score"][rows, -1]
        places = np.flatnonzero(can_improve & ~ends)
        active.take(chosen[places])
        ids, totals = ids[places], totals[places]
    return _hypotheses(ended, history, np.asarray(source_lengths))


def searches_at_once(network: Decodable, with_weights: bool) -> bool:
    """Whether a kernel does the whole search."""
    return network.answers_at_once and not (network.copies or with_weights)


def _listed(found: Found) -> list[list[Hypothesis]]:
    """What a kernel has found, without the places of answers that a row does not have."""
    if len(found.scores):
        check_possible(found.scores[:, 0])
    answers: list[list[Hypothesis]] = [[] for _ in found.scores]
    for row, place in np.argwhere(found.scores > -np.inf):
        taken = found.taken[row, place]
        ids = found.ids[row, place, :taken]
        finished = bool(ids[-1] == END)
        answers[row].append(
            Hypothesis(
                ids=ids[: taken - finished].tolist(),
                score=float(found.scores[row, place]),
                log_probability=float(found.log_probabilities[row, place]),
                finished=finished,
            )
        )
    return answers


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
    symbols = np.full((len(found), len(history)), END)
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
        ids = symbols[index][symbols[index] != END].tolist()
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


def _penalties(longest: int, alpha: float) -> Array:
    """What the log probability of an answer is divided by, for each length from 0 on."""
    # powers of Python numbers, which are those of C: NumPy's may differ in the last bit
    return np.array([((5 + length) / 6) ** alpha for length in range(longest + 1)])


def _bar(log_probabilities: Array) -> None:
    """Make <unk> and <s>, whose ids are below that of </s>, impossible, in place."""
    log_probabilities[:, :END] = -np.inf
    check_possible(log_probabilities.max(axis=1))
