"""How good a network is on pairs: its loss, and the share of sources it answers exactly."""

from __future__ import annotations

import numpy as np

from fastseq.transducer.data.batches import Pairs, batches_by_length
from fastseq.transducer.network.network import Network
from fastseq.transducer.search.beam_search import greedy

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
    lengths = np.maximum(pairs.sources.lengths, pairs.targets.lengths)
    for rows in batches_by_length(lengths, _BATCH_SIZE):
        batch = pairs.batch(rows)
        count = int(batch.target_lengths.sum())
        total += network.loss(batch) * count
        symbols += count
    return total / symbols


def exact_match(network: Network, pairs: Pairs) -> float:
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
    accepted = list(pairs.rows_of_sources().values())
    lengths = pairs.targets.lengths
    # A right answer is not longer than the longest accepted one; there is no need to see more.
    longest = np.array([lengths[rows].max() for rows in accepted], dtype=np.int64)
    sources = pairs.sources.take(np.array([rows[0] for rows in accepted], dtype=np.int64))
    right = 0
    for batch in batches_by_length(sources.lengths, _BATCH_SIZE):
        answers = greedy(network, *sources.ended(batch), longest[batch] + 1)
        for number, (ids, _) in zip(batch, answers, strict=True):
            right += any(ids == pairs.targets.row(row) for row in accepted[number])
    return right / len(accepted)
