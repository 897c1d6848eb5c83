"""The network of the Transducer: an encoder, a decoder with attention, and the loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq._kernels import Decoded
from fastseq.layers.base import checked
from fastseq.layers.packed import Steps
from fastseq.transducer.network.copying import SourceIds
from fastseq.transducer.network.decoder import Decoder, State
from fastseq.transducer.network.encoder import Encoded, Encoder
from fastseq.transducer.network.loss import SmoothedLoss
from fastseq.transducer.network.parameters import (
    NetworkConfig,
    gradients_by_name,
    initial_parameters,
    parameter_shapes,
)
from fastseq.transducer.network.rows import check_ids, reversed_rows

Array = npt.NDArray[Any]

__all__ = ["Batch", "Encoded", "Network", "NetworkConfig", "State", "parameter_shapes"]


@dataclass(frozen=True)
class Batch:
    """Pairs of sequences of ids, padded to one length.

    Values past a length are not read.

    Attributes
    ----------
    sources : ndarray of int, shape (N, Te)
    source_lengths : ndarray of int, shape (N,)
        Each at least 1.
    inputs : ndarray of int, shape (N, Td)
        The start symbol, then the target.
    targets : ndarray of int, shape (N, Td)
        The target, then the end symbol.
    target_lengths : ndarray of int, shape (N,)
        Of the inputs and of the targets, each at least 1.
    weights : ndarray of float32, shape (N,), optional
        How much each pair counts, 1 being usual.
    """

    sources: Array
    source_lengths: Array
    inputs: Array
    targets: Array
    target_lengths: Array
    weights: Array | None = None


class Network:
    """An encoder and a decoder, with attention or without.

    A row gives the same numbers alone, padded, or anywhere in a batch. Copies and pickles hold the
    parameters; not the gradients, nor what a backward pass would need.

    Parameters
    ----------
    config : NetworkConfig
    generator : numpy.random.Generator
        Draws the first values of the parameters.

    Attributes
    ----------
    config : NetworkConfig
    source_ids : SourceIds or None
        Of a network that copies symbols.
    params, grads : dict of str to ndarray of float32
        The parameters, and their gradients after `backward`. The arrays stay the same objects, and
        may be written to between two calls.
    """

    def __init__(self, config: NetworkConfig, generator: np.random.Generator) -> None:
        self.config = config
        self.params = initial_parameters(config, generator)
        self._encoder = Encoder(config, self.params)
        self._decoder = Decoder(config, self.params)
        self._loss = SmoothedLoss()
        self.source_ids = None if config.copies is None else SourceIds(config)
        self._has_loss = False
        self.grads = gradients_by_name(self.params, self._encoder.layers + self._decoder.layers)

    @classmethod
    def of(cls, config: NetworkConfig, params: Mapping[str, Array]) -> Self:
        """The network with these parameters, which are copied.

        Parameters
        ----------
        config : NetworkConfig
        params : mapping of str to ndarray of float
            As the attribute `params`.
        """
        network = cls(config, np.random.default_rng(0))
        for name, param in network.params.items():
            param[...] = params[name]
        return network

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).of, (self.config, self.params)

    @property
    def has_attention(self) -> bool:
        """Whether `step` returns attention weights."""
        return self.config.attention != "none"

    @property
    def answers_at_once(self) -> bool:
        """Whether there is `answers`: always."""
        return True

    @property
    def copies(self) -> bool:
        """Whether symbols of a source may be copied, those that the network has no id of too."""
        return self.source_ids is not None

    @property
    def sizes(self) -> tuple[int, int]:
        """How many symbols there are on either side."""
        return self.config.source_size, self.config.target_size

    def loss(
        self,
        batch: Batch,
        *,
        label_smoothing: float = 0.0,
        training: bool = False,
        generator: np.random.Generator | None = None,
    ) -> float:
        """The mean loss of a batch's real target symbols, of each given those before it.

        Parameters
        ----------
        batch : Batch
            With weights, each symbol's loss is multiplied by its pair's before the mean is taken.
        label_smoothing : float
            The share, at least 0 and below 1, of the loss that is the mean over all symbols
            (Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016).
        training : bool
            Whether there is dropout.
        generator : numpy.random.Generator, optional
            Draws the masks of the dropout.

        Returns
        -------
        float

        Raises
        ------
        IndexError
            An id is out of range.
        TypeError, ValueError
            An argument is of the wrong kind or shape, or out of range; or there is dropout but no
            generator.
        """
        self._has_loss = False
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"label_smoothing: expected at least 0 and below 1, got {label_smoothing}"
            )
        if training and self.config.dropout and generator is None:
            raise ValueError("generator: expected one to draw the masks of the dropout, got None")
        if not training:
            generator = None
        sources, source_lengths = self._checked_sources(batch.sources, batch.source_lengths)
        size, lengths = self.config.target_size, batch.target_lengths
        inputs, lengths = check_ids("inputs", batch.inputs, size, lengths)
        targets, _ = check_ids("targets", batch.targets, size, lengths)
        if not len(sources) == len(inputs) or inputs.shape != targets.shape:
            raise ValueError(
                "batch: expected as many rows of sources, inputs and targets, the last two of one "
                f"shape, got shapes {sources.shape}, {inputs.shape} and {targets.shape}"
            )
        encoded = self._encoder.forward(self._read(sources), source_lengths, generator)
        encoded = self._with_copied(encoded, sources)
        scores = self._decoder.forward(inputs, lengths, encoded, generator)
        steps = Steps(lengths, targets.shape[1])
        weights = None
        if batch.weights is not None:
            weights = steps.gather(np.broadcast_to(batch.weights[:, np.newaxis], targets.shape))
        loss = self._loss.forward(scores, steps.gather(targets), label_smoothing, weights)
        self._has_loss = True
        return loss

    def backward(self) -> None:
        """Overwrite `grads` with the gradients of the last `loss`.

        Raises
        ------
        RuntimeError
            There was no `loss`.
        """
        if not self._has_loss:
            raise RuntimeError("Network.backward was called before loss")
        self._encoder.backward(*self._decoder.backward(self._loss.backward()))

    def encode(self, sources: Array, source_lengths: Array) -> Encoded:
        """The encoder's result for some sources. Nothing is kept, and there is no dropout.

        Parameters
        ----------
        sources : ndarray of int, shape (N, Te)
        source_lengths : ndarray of int, shape (N,)

        Returns
        -------
        Encoded

        Raises
        ------
        IndexError, TypeError, ValueError
            As `loss`.
        """
        sources, source_lengths = self._checked_sources(sources, source_lengths)
        encoded = self._encoder.encode(self._read(sources), source_lengths)
        encoded = self._with_copied(encoded, sources)
        attention = self._decoder.hard or self._decoder.attention
        if attention is None:
            return encoded
        return replace(encoded, keys=attention.keys(encoded.outputs))

    def first_state(self, encoded: Encoded) -> State:
        """The initial state of the decoder."""
        return State(encoded.h, encoded.c)

    def step(self, encoded: Encoded, state: State, ids: Array) -> tuple[Array, State, Array | None]:
        """Give each row one more symbol. Nothing is kept, and there is no dropout.

        Parameters
        ----------
        encoded : Encoded
        state : State
            Of as many rows.
        ids : ndarray of int, shape (N,)
            The start symbol at first.

        Returns
        -------
        log_probabilities : ndarray of float32, shape (N, V)
            Of the next symbol. Where symbols are copied there are columns for further ids.
        state : State
            The next.
        weights : ndarray of float32, shape (N, Te), or None
            How much each row attends to each step of its source, in the order of its symbols; None
            without attention.

        Raises
        ------
        IndexError, TypeError, ValueError
            An id is out of range, or of the wrong kind, or there are more or fewer than rows.
        """
        ids = checked("ids", ids, "(N,)", len(encoded.lengths), kinds="iu")
        log_probabilities, state, weights = self._decoder.step(encoded, state, ids)
        if weights is not None and self.config.reverse:
            weights = reversed_rows(weights, encoded.lengths)
        return log_probabilities, state, weights

    def answers(
        self,
        sources: Array,
        source_lengths: Array,
        start_id: int,
        first_id: int,
        end_id: int,
        limits: Array,
    ) -> Decoded:
        """The most probable symbol of each step, read by the next step.

        The ids and the bits are those of as many calls of `step`, in a fraction of their time.

        Parameters
        ----------
        sources : ndarray of int, shape (N, Te)
        source_lengths : ndarray of int, shape (N,)
        start_id, first_id, end_id : int
            The first input, the lowest id that may be chosen, and the id that ends an answer.
        limits : ndarray of int, shape (N,)
            The most symbols of each answer, `end_id` counted.

        Returns
        -------
        Decoded
            ``ids`` (N, steps), of which ``taken`` (N,) belong to each answer: `end_id` is the
            last, unless there was no room for it. ``log_probabilities`` (N,) are the sums over
            these; NaN or minus infinity where the network's are.
        """
        encoded = self.encode(sources, source_lengths)
        if self.copies:
            return self._decoder.answers_by_steps(encoded, start_id, first_id, end_id, limits)
        return _kernels.decode(
            start_id=start_id,
            steps=int(limits.max(initial=0)),
            first_id=first_id,
            end_id=end_id,
            limits=limits,
            encoder_lengths=encoded.lengths if self.has_attention else None,
            **self.for_decoding(encoded),
        )

    def best_answers(self, sources: Array, source_lengths: Array, **search: Any) -> _kernels.Found:
        """The best answers of a beam search, unless the network copies.

        The ids and the bits are those of as many calls of `step`.

        Parameters
        ----------
        sources : ndarray of int, shape (N, Te)
        source_lengths : ndarray of int, shape (N,)
        search
            The arguments of `_kernels.beam_search` that are not the network's.
        """
        encoded = self.encode(sources, source_lengths)
        lengths = encoded.lengths if self.has_attention else None
        return _kernels.beam_search([self.for_decoding(encoded)], encoder_lengths=lengths, **search)

    def for_decoding(self, encoded: Encoded) -> dict[str, Any]:
        """The arguments of `_kernels.decode` that are this network's, for some sources."""
        return self._decoder.for_decoding(encoded)

    def _checked_sources(self, sources: Array, lengths: Array) -> tuple[Array, Array]:
        size = self.config.source_size
        if self.source_ids is not None:
            size += self.config.target_size + np.size(sources)  # any number of unseen ones
        return check_ids("sources", sources, size, lengths)

    def _read(self, sources: Array) -> Array:
        """The ids that the encoder reads."""
        return sources if self.source_ids is None else self.source_ids.read(sources)

    def _with_copied(self, encoded: Encoded, sources: Array) -> Encoded:
        """The same with what may be copied of the sources."""
        if self.source_ids is None:
            return encoded
        copied = self.source_ids.copied(sources, encoded.lengths)
        if self.config.reverse:
            copied = reversed_rows(copied, encoded.lengths)
        return replace(encoded, copied=copied)
