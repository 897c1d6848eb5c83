"""Greedy search: the most probable symbol of each step, in one call of a kernel for a batch."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from fastseq.transducer.data.vocabulary import END, START
from fastseq.transducer.search.active import Decodable
from fastseq.transducer.search.hypothesis import Hypothesis
from fastseq.transducer.search.limits import check_possible, checked_steps

Array = npt.NDArray[Any]


def greedy(
    network: Decodable, sources: Array, source_lengths: Array, max_steps: int | Array
) -> list[Hypothesis]:
    """Answer every row with the most probable symbol of each step, the lowest id of equals.

    Parameters
    ----------
    network : Network, or what decodes as one and answers at once
    sources : ndarray of int, shape (N, Te)
    source_lengths : ndarray of int, shape (N,)
    max_steps : int, or ndarray of int, shape (N,)
        The most symbols an answer has, ``</s>`` counted.

    Returns
    -------
    list of N Hypothesis
        Their score is their log probability.

    Raises
    ------
    TypeError, ValueError
        ``max_steps`` is of the wrong kind or shape, or below 1.
    FloatingPointError
        The network's log probabilities are NaN, or all are minus infinity.
    """
    limits = checked_steps(max_steps, len(sources))
    # <unk> and <s>, whose ids are below that of </s>, are never chosen
    found = network.answers(sources, source_lengths, START, END, END, limits)
    assert found.log_probabilities is not None
    check_possible(found.log_probabilities)
    answers = []
    for ids, taken, total in zip(found.ids, found.taken, found.log_probabilities, strict=True):
        finished = bool(ids[taken - 1] == END)
        own = ids[: taken - finished].tolist()
        answers.append(Hypothesis(own, float(total), float(total), finished))
    return answers
