"""Validation of a network on pairs: its mean loss and its accuracy."""

from __future__ import annotations

import numpy as np

from fastseq.transducer.data.batches import Pairs, batches_by_length
from fastseq.transducer.metrics.exact_match import exact_match
from fastseq.transducer.network.network import Network
from fastseq.transducer.search.answers import search

_BATCH_SIZE = 256


def mean_loss(network: Network, pairs: Pairs) -> float:
    """The mean of -log p over all target symbols, their ends included, without smoothing.

    Parameters
    ----------
    network : Network
    pairs : Pairs, at least one

    Returns
    -------
    float
    """
    total, symbols = 0.0, 0
    for rows in batches_by_length(pairs.costs, _BATCH_SIZE):
        batch = pairs.batch(rows)
        count = int(batch.target_lengths.sum())
        try:
            total += network.loss(batch) * count
        except MemoryError as error:
            raise MemoryError(f"validation, {pairs.longest(rows)}") from error
        symbols += count
    return total / symbols


def accuracy(network: Network, pairs: Pairs) -> float:
    """The share of the different sources whose greedy answer is one of their targets.

    Parameters
    ----------
    network : Network
    pairs : Pairs, at least one
        A source with several right answers is there several times.

    Returns
    -------
    float
        Between 0 and 1.
    """
    groups = list(pairs.rows_of_sources().values())
    accepted = [[pairs.targets.row(row) for row in rows] for rows in groups]
    sources = pairs.sources.take(np.array([rows[0] for rows in groups], dtype=np.int64))
    # A right answer is not longer than the longest accepted one: no longer one is searched.
    longest = [max(map(len, targets)) for targets in accepted]
    found = search(network, sources, np.array(longest, dtype=np.int64) + 1)
    return exact_match([best.ids for [best] in found], accepted)
