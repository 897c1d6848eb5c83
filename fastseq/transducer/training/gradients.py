"""The loss and the gradients of a batch, as training takes them: with dropout, in shards."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.parallel.communicator import Communicator
from fastseq.transducer.data.batches import Pairs
from fastseq.transducer.data.vocabulary import SPECIAL_SYMBOLS, UNKNOWN
from fastseq.transducer.network.network import Batch, Network
from fastseq.transducer.training.shards import Shards, Sum

Array = npt.NDArray[Any]
IdArray = npt.NDArray[np.int64]


class Gradients:
    """Computes the loss of batches, and the gradients of a network.

    Parameters
    ----------
    network : Network
    pairs : Pairs
    dropout : numpy.random.Generator
        Of what is dropped or read as unknown.
    ranks : Communicator
        What computes shards.
    label_smoothing, unknown_rate, shards
        The hyperparameters.
    """

    def __init__(
        self,
        network: Network,
        pairs: Pairs,
        dropout: np.random.Generator,
        ranks: Communicator,
        *,
        label_smoothing: float,
        unknown_rate: float,
        shards: int,
    ) -> None:
        self._network = network
        self._label_smoothing = label_smoothing
        self._pairs = pairs
        self._dropout = dropout
        self._shards = Shards(list(network.grads.values()), shards, ranks) if shards > 1 else None
        counts = np.bincount(pairs.sources.ids, minlength=network.config.source_size)
        self._unknown_rate = unknown_rate
        self._unknown_shares = unknown_rate / np.maximum(unknown_rate + counts, 1)
        self._unknown_shares[: len(SPECIAL_SYMBOLS)] = 0
        self._as_unknown = np.full(network.config.source_size, UNKNOWN)
        if network.source_ids is not None:
            self._as_unknown = network.source_ids.as_unknown

    def of(self, rows: IdArray, interrupted: bool) -> Sum:
        """Fill the network's gradients, unless the loss is NaN or infinite.

        Parameters
        ----------
        rows : int64 array (N)
        interrupted : bool
            Whether this process is.

        Returns
        -------
        Sum
            The mean loss of the target symbols, and whether any process is interrupted.

        Raises
        ------
        RankError
            Another rank has failed.
        """
        if self._shards is None:
            return Sum(self._compute(rows, self._dropout), interrupted)
        # the generator stays the same on all ranks, and is kept in checkpoints
        number = int(self._dropout.integers(2**63))
        symbols = self._pairs.target_symbols(rows)
        return self._shards.sum(rows, symbols, number, self._compute, interrupted)

    def _compute(self, rows: IdArray, generator: np.random.Generator) -> float:
        batch = self._with_unknown(self._pairs.batch(rows), generator)
        smoothing = self._label_smoothing
        loss = self._network.loss(
            batch, label_smoothing=smoothing, training=True, generator=generator
        )
        if math.isfinite(loss):
            self._network.backward()
        return loss

    def _with_unknown(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """A batch some of whose source symbols are unknown, the rare ones more often.

        The share is that of Kiperwasser and Goldberg, "Simple and Accurate Dependency Parsing Using
        Bidirectional LSTM Feature Representations", 2016, section 5.1.
        """
        if not self._unknown_rate:
            return batch
        draws = generator.random(batch.sources.shape, dtype=np.float32)
        is_unknown = draws < self._unknown_shares[batch.sources]
        as_unknown = self._as_unknown[batch.sources]
        return replace(batch, sources=np.where(is_unknown, as_unknown, batch.sources))
