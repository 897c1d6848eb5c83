"""Validation of a network on pairs: its mean loss and its accuracy.

Several ranks take turns, and all of them have the results, which are the same for any number.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastseq.parallel.communicator import SINGLE_PROCESS, Communicator, together
from fastseq.transducer.data.batches import Pairs, batches_by_length
from fastseq.transducer.metrics.exact_match import matches
from fastseq.transducer.network.network import Network
from fastseq.transducer.search.answers import search

_BATCH_SIZE = 256


def mean_loss(network: Network, pairs: Pairs, ranks: Communicator = SINGLE_PROCESS) -> float:
    """The mean of -log p over all target symbols, their ends included, without smoothing.

    Parameters
    ----------
    network : Network
    pairs : Pairs, at least one
    ranks : Communicator

    Returns
    -------
    float
    """
    batches = list(batches_by_length(pairs.costs, _BATCH_SIZE))
    symbols = [int(pairs.target_symbols(rows).sum()) for rows in batches]
    losses = np.zeros(-(-len(batches) // ranks.size))
    with together(ranks):
        for place, number in enumerate(range(ranks.rank, len(batches), ranks.size)):
            rows = batches[number]
            try:
                losses[place] = network.loss(pairs.batch(rows))
            except MemoryError as error:
                raise MemoryError(f"validation, {pairs.longest(rows)}") from error
    in_order = ranks.collect(losses).T.ravel().tolist()
    # in the order of the batches, so that the sum has the same bits for any number of ranks
    total = sum(loss * count for loss, count in zip(in_order, symbols, strict=False))
    return float(total / sum(symbols))


def accuracy(network: Network, pairs: Pairs, ranks: Communicator = SINGLE_PROCESS) -> float:
    """The share of the different sources whose greedy answer is one of their targets.

    Parameters
    ----------
    network : Network
    pairs : Pairs, at least one
        A source with several right answers is there several times.
    ranks : Communicator

    Returns
    -------
    float
        Between 0 and 1.
    """
    groups = list(pairs.rows_of_sources().values())
    right = np.zeros(1, dtype=np.int64)
    with together(ranks):
        right[0] = _right(network, pairs, groups[ranks.rank :: ranks.size])
    return float(ranks.collect(right).sum() / len(groups))


def _right(network: Network, pairs: Pairs, groups: list[list[int]]) -> int:
    """How many sources, each with the rows of its pairs, are answered right."""
    accepted = [[pairs.targets.row(row) for row in rows] for rows in groups]
    first: npt.NDArray[np.int64] = np.array([rows[0] for rows in groups], dtype=np.int64)
    sources = pairs.sources.take(first)
    # A right answer is not longer than the longest accepted one: no longer one is searched.
    longest = [max(map(len, targets)) for targets in accepted]
    found = search(network, sources, np.array(longest, dtype=np.int64) + 1)
    return matches([best.ids for [best] in found], accepted)
