"""Search over many sources: in batches of similar lengths, put back in the sources' order."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.transducer.data.batches import Sequences, batches_by_length
from fastseq.transducer.search.active import Decodable
from fastseq.transducer.search.beam_search import beam_search, searches_at_once
from fastseq.transducer.search.greedy import greedy
from fastseq.transducer.search.hypothesis import Hypothesis
from fastseq.transducer.search.limits import check_search

Array = npt.NDArray[Any]

_HYPOTHESES_AT_ONCE = 256


def search(
    network: Decodable,
    sources: Sequences,
    max_steps: npt.NDArray[np.int64],
    beam_size: int = 1,
    n_best: int = 1,
    length_penalty: float = 0.0,
    *,
    with_weights: bool = False,
) -> list[list[Hypothesis]]:
    """The best answers to each source, in the order of the sources.

    Parameters
    ----------
    network : Network, or what decodes as one
    sources : Sequences
    max_steps : int64 array (N)
        The most symbols of the answer to each source, its end counted.
    beam_size, n_best, length_penalty, with_weights
        As in `fastseq.transducer.search.beam_search.beam_search`. Greedy answers of a network that
        answers at once are those of `fastseq.transducer.search.greedy.greedy`, in less time.

    Returns
    -------
    list of lists of Hypothesis

    Raises
    ------
    TypeError, ValueError
        A number is of the wrong kind, or out of its range.
    FloatingPointError
        The network's log probabilities are NaN, or all are minus infinity.
    """
    check_search(beam_size, n_best, length_penalty)
    is_greedy = beam_size == n_best == 1 and not (length_penalty or with_weights)
    found: list[list[Hypothesis]] = [[] for _ in range(len(sources))]
    # A kernel has few hypotheses at once, whatever the batch.
    rows_at_once = _HYPOTHESES_AT_ONCE
    if not searches_at_once(network, with_weights):
        rows_at_once = max(1, rows_at_once // int(beam_size))
    for rows in batches_by_length(sources.lengths, rows_at_once):
        batch = (*sources.ended(rows), max_steps[rows])
        if is_greedy and network.answers_at_once:
            answers = [[best] for best in greedy(network, *batch)]
        else:
            answers = beam_search(
                network, *batch, beam_size, n_best, length_penalty, with_weights=with_weights
            )
        for row, listed in zip(rows, answers, strict=True):
            found[row] = listed
    return found
