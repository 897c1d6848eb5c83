"""Several networks that decode as one: at each step, the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.precision import products_in
from fastseq.transducer.data.vocabulary import UNKNOWN
from fastseq.transducer.network.network import Network

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Parts:
    """What each network knows of the same rows: its result of `encode`, or its state."""

    of: Sequence[Any]

    def take(self, rows: Array) -> Parts:
        """These rows of each, in this order; a row may be taken more than once."""
        return Parts([each.take(rows) for each in self.of])


class Mixture:
    """Networks over the same symbols, which a search decodes as one network.

    The probability of a symbol is the mean of its probabilities in all networks, after the same
    beginning. Each row is computed for itself.

    Parameters
    ----------
    networks : sequence of networks, at least one
        With vocabularies of the same sizes.
    precisions : sequence of str, optional
        What the operands of products are rounded to in each, as in `fastseq.precision`.
    """

    def __init__(
        self, networks: Sequence[Network], precisions: Sequence[str] | None = None
    ) -> None:
        self.networks = tuple(networks)
        self._precisions = ["default"] * len(networks) if precisions is None else precisions

    @property
    def has_attention(self) -> bool:
        """Whether all networks have attention weights."""
        return all(network.has_attention for network in self.networks)

    @property
    def copies(self) -> bool:
        """Whether a network copies symbols."""
        return any(network.copies for network in self.networks)

    @property
    def sizes(self) -> tuple[int, int]:
        """How many symbols there are on either side, for all networks."""
        return self.networks[0].sizes

    def encode(self, sources: Array, source_lengths: Array) -> Parts:
        """Read the sources (N, Te)."""
        parts = []
        for network, precision in zip(self.networks, self._precisions, strict=True):
            own = sources
            if self.copies and not network.copies:
                own = np.where(sources < network.sizes[0], sources, UNKNOWN)
            with products_in(precision):
                parts.append(network.encode(own, source_lengths))
        return Parts(parts)

    def first_state(self, encoded: Parts) -> Parts:
        """The decoders' states before the first symbol."""
        pairs = zip(self.networks, encoded.of, strict=True)
        return Parts([network.first_state(part) for network, part in pairs])

    def step(self, encoded: Parts, state: Parts, ids: Array) -> tuple[Array, Parts, Array | None]:
        """Give each row one more symbol, as `Network.step`.

        Returns
        -------
        log_probabilities : ndarray of float32, shape (N, V)
            Logarithms of the mean probabilities.
        state : Parts
        weights : ndarray of float32, shape (N, Te), or None
            The mean of the networks' attention weights; None where one has no attention.
        """
        steps = []
        for network, precision, part, own in zip(
            self.networks, self._precisions, encoded.of, state.of, strict=True
        ):
            read = ids
            if self.copies and not network.copies:
                read = np.where(ids < network.sizes[1], ids, UNKNOWN)
            with products_in(precision):
                steps.append(network.step(part, own, read))
        size = max(log_probabilities.shape[1] for log_probabilities, _, _ in steps)
        # minus infinity of what only others copy
        each = np.full((len(steps), len(ids), size), -np.inf, dtype=np.float32)
        for place, (log_probabilities, _, _) in enumerate(steps):
            each[place, :, : log_probabilities.shape[1]] = log_probabilities
        mean = _kernels.log_mean_exp(each)
        weights = [own for _, _, own in steps if own is not None]
        shown = np.mean(weights, axis=0) if len(weights) == len(steps) else None
        return mean, Parts([own for _, own, _ in steps]), shown

    @property
    def answers_at_once(self) -> bool:
        """Whether there is `answers`: for networks of one precision that copy nothing."""
        return len(set(self._precisions)) == 1 and not self.copies

    def answers(
        self,
        sources: Array,
        source_lengths: Array,
        start_id: int,
        first_id: int,
        end_id: int,
        limits: Array,
    ) -> _kernels.Decoded:
        """The most probable symbol of each step, read by the next step, as `Network.answers`."""
        decoders, lengths = self._decoders(sources, source_lengths)
        with products_in(self._precisions[0]):
            return _kernels.decode_together(
                decoders,
                start_id,
                int(limits.max(initial=0)),
                first_id=first_id,
                end_id=end_id,
                limits=limits,
                encoder_lengths=lengths,
            )

    def best_answers(self, sources: Array, source_lengths: Array, **search: Any) -> _kernels.Found:
        """The best answers of a beam search, as `Network.best_answers`."""
        decoders, lengths = self._decoders(sources, source_lengths)
        with products_in(self._precisions[0]):
            return _kernels.beam_search(decoders, encoder_lengths=lengths, **search)

    def _decoders(
        self, sources: Array, source_lengths: Array
    ) -> tuple[list[dict[str, Any]], Array | None]:
        """The networks for these sources as the kernels take them, and lengths if one attends."""
        encoded = self.encode(sources, source_lengths)
        attends = any(network.has_attention for network in self.networks)
        pairs = zip(self.networks, encoded.of, strict=True)
        return (
            [network.for_decoding(part) for network, part in pairs],
            encoded.of[0].lengths if attends else None,
        )
