"""Answers to many sources: batched by length, decoded, and put back in the sources' order."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.transducer.data.batches import Sequences, batches_by_length
from fastseq.transducer.model_config import Lengths
from fastseq.transducer.network.network import Network
from fastseq.transducer.search.beam_search import (
    Hypothesis,
    beam_search,
    check_search,
    greedy,
)

Array = npt.NDArray[Any]

_HYPOTHESES_AT_ONCE = 256
_MORE_STEPS = 10
# However long the sources are, and whatever a model file says of the lengths it has seen.
_MOST_STEPS = 2**16


def search(
    network: Network,
    sources: Sequences,
    seen: Lengths,
    beam_size: int = 1,
    n_best: int = 1,
    length_penalty: float = 0.0,
    *,
    with_weights: bool = False,
) -> list[list[Hypothesis]]:
    """The best answers to each source, in the order of the sources.

    Parameters
    ----------
    network : Network
    sources : Sequences
    seen : Lengths
        Of the training data: they decide when an answer that does not end is cut.
    beam_size, n_best, length_penalty, with_weights
        As in `fastseq.transducer.search.beam_search.beam_search`; greedy where that is the same.

    Returns
    -------
    list of lists of Hypothesis

    Raises
    ------
    TypeError, ValueError
        A number is of the wrong kind, or out of its range.
    """
    check_search(beam_size, n_best, length_penalty)
    limits = _step_limits(sources.lengths, seen)
    is_greedy = beam_size == n_best == 1 and not (length_penalty or with_weights)
    rows_at_once = max(1, _HYPOTHESES_AT_ONCE // int(beam_size))
    found: list[list[Hypothesis]] = [[] for _ in range(len(sources))]
    for rows in batches_by_length(sources.lengths, rows_at_once):
        batch = sources.ended(rows)
        if is_greedy:
            answers = [
                [Hypothesis(ids, score, score, len(ids) < limit)]
                for (ids, score), limit in zip(
                    greedy(network, *batch, limits[rows]), limits[rows], strict=True
                )
            ]
        else:
            answers = beam_search(
                network,
                *batch,
                limits[rows],
                beam_size,
                n_best,
                length_penalty,
                with_weights=with_weights,
            )
        for row, listed in zip(rows, answers, strict=True):
            found[row] = listed
    return found


def _step_limits(lengths: npt.NDArray[np.int64], seen: Lengths) -> npt.NDArray[np.int64]:
    """After how many symbols an answer is cut: more than any target of the training data has.

    Where the source is longer than any there, as many times more; but `_MOST_STEPS` at most.
    """
    factor = np.maximum(1.0, lengths / max(1, seen.source))
    limits: npt.NDArray[np.float64] = np.ceil(seen.target * factor) + _MORE_STEPS
    return np.minimum(limits, _MOST_STEPS).astype(np.int64)
