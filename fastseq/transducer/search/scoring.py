"""How probable given answers are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.transducer.data.batches import Sequences, batches_by_length
from fastseq.transducer.data.vocabulary import END, START, UNKNOWN
from fastseq.transducer.search.active import ActiveHypotheses, Decodable

Array = npt.NDArray[Any]

_ANSWERS_AT_ONCE = 256


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
    symbols = np.full((len(lengths), limits.max(initial=0)), END)
    for row, target in enumerate(targets):
        symbols[row, : len(target)] = target

    active = ActiveHypotheses(network, sources, source_lengths)
    active.take(np.flatnonzero(limits > 0))
    totals = np.zeros(len(limits))
    ids = np.full(len(active.rows), START)
    steps = 0
    while active.rows.size:
        log_probabilities, _ = active.step(ids)
        ids = symbols[active.rows, steps]
        _check_ids(active.rows, steps, ids, log_probabilities.shape[1])
        totals[active.rows] += log_probabilities[np.arange(len(ids)), ids]
        steps += 1
        going_on = np.flatnonzero(steps < limits[active.rows])
        active.take(going_on)
        ids = ids[going_on]
    return totals


def log_probabilities(network: Decodable, sources: Sequences, targets: Sequences) -> Array:
    """Log probabilities of given answers and their ends, in batches of similar lengths.

    Parameters
    ----------
    network : Network, or what decodes as one
    sources, targets : Sequences of equal number

    Returns
    -------
    ndarray of float64, shape (N,)
        Minus infinity for a target with `UNKNOWN`, which is no answer.
    """
    totals = np.full(len(sources), -np.inf)
    known = np.array([UNKNOWN not in targets.row(row) for row in range(len(targets))], dtype=bool)
    candidates = np.flatnonzero(known)
    lengths = np.maximum(sources.lengths, targets.lengths)[candidates]
    for places in batches_by_length(lengths, _ANSWERS_AT_ONCE):
        rows = candidates[places]
        totals[rows] = forced(network, *sources.ended(rows), [targets.row(row) for row in rows])
    return totals


def _check_ids(rows: Array, step: int, ids: Array, vocabulary_size: int) -> None:
    wrong = np.flatnonzero((ids < 0) | (ids >= vocabulary_size))
    if wrong.size:
        raise IndexError(
            f"targets: expected ids from 0 to {vocabulary_size - 1}, "
            f"got {ids[wrong[0]]} at ({rows[wrong[0]]}, {step})"
        )
