"""The active hypotheses of a search: those that are extended, and the network's state of each."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fastseq._kernels import Decoded, Found

Array = npt.NDArray[Any]


class Decodable(Protocol):
    """What a search needs of a network.

    `encode` gives what it knows of the sources, `first_state` the decoder's state before the first
    symbol. Both have a method ``take(rows)`` that gives a new object with these rows, repeats
    allowed. `step` reads one id a row, and returns log probabilities (N, V), the next state, and
    attention weights (N, Te) or None.
    """

    @property
    def has_attention(self) -> bool:
        """Whether `step` returns attention weights."""

    @property
    def copies(self) -> bool:
        """Whether ids go on where the network's end, for what is copied from a source."""

    @property
    def sizes(self) -> tuple[int, int]:
        """How many symbols of sources and of targets the network knows."""

    def encode(self, sources: Array, source_lengths: Array) -> Any:
        """Read the sources (N, Te)."""

    def first_state(self, encoded: Any) -> Any:
        """The decoder's state before the first symbol."""

    def step(self, encoded: Any, state: Any, ids: Array) -> tuple[Array, Any, Array | None]:
        """Log probabilities of the symbol after ``ids`` (N,), the state, attention weights."""

    @property
    def answers_at_once(self) -> bool:
        """Whether it searches in one call: has `answers`, and unless it copies `best_answers`."""

    def answers(
        self,
        sources: Array,
        source_lengths: Array,
        start_id: int,
        first_id: int,
        end_id: int,
        limits: Array,
    ) -> Decoded:
        """As `fastseq.transducer.network.network.Network.answers`."""

    def best_answers(self, sources: Array, source_lengths: Array, **search: Any) -> Found:
        """As `fastseq.transducer.network.network.Network.best_answers`."""


class ActiveHypotheses:
    """The hypotheses of a batch that are still extended, with one row of network state for each.

    Attributes
    ----------
    rows : ndarray of int, ascending
        The row of the batch that each hypothesis belongs to.
    """

    def __init__(self, network: Decodable, sources: Array, source_lengths: Array) -> None:
        self._network = network
        self._encoded = network.encode(sources, source_lengths)
        self._state = network.first_state(self._encoded)
        self.rows: Array = np.arange(len(sources))

    def step(self, ids: Array) -> tuple[Array, Array | None]:
        """Read one id a hypothesis: log probabilities (float64, to be changed), weights."""
        log_probabilities, self._state, weights = self._network.step(
            self._encoded, self._state, ids
        )
        return log_probabilities.astype(np.float64), weights

    def take(self, chosen: Array) -> None:
        """Go on with these hypotheses; one may be chosen several times."""
        if np.array_equal(chosen, np.arange(len(self.rows))):
            return
        rows = self.rows[chosen]
        self._state = self._state.take(chosen)
        # The encoder's result is large, and the same for all hypotheses of a row.
        if not np.array_equal(rows, self.rows):
            self._encoded = self._encoded.take(chosen)
        self.rows = rows
