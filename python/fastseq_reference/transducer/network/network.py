"""The network of the Transducer: an encoder, a decoder with attention, and the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.transducer.network.copying import copied_ids
from fastseq_reference.transducer.network.decoder import Decoder
from fastseq_reference.transducer.network.encoder import Encoder
from fastseq_reference.transducer.network.parameters import NetworkConfig, initial_parameters

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Batch:
    """Ids (N, Te) and (N, Td) and lengths (N), as in `fastseq`."""

    sources: Array
    source_lengths: Array
    inputs: Array
    targets: Array
    target_lengths: Array


@dataclass(frozen=True)
class Encoded:
    """Outputs (N, Te, H), 0 past the lengths (N); the final states (N, H) of each layer."""

    outputs: Array
    lengths: Array
    h: list[Array]
    c: list[Array | None]
    copied: list[list[int]]

    def take(self, rows: Array) -> Encoded:
        """These rows, in this order."""
        state = State(self.h, self.c).take(rows)
        copied = [self.copied[row] for row in rows]
        return Encoded(self.outputs[rows], self.lengths[rows], state.h, state.c, copied)


@dataclass(frozen=True)
class State:
    """The decoder's states (N, H) of each layer; of hard attention each row's joint (te, V)."""

    h: list[Array]
    c: list[Array | None]
    joint: list[Array] | None = None

    def take(self, rows: Array) -> State:
        """These rows, in this order."""
        return State(
            [h[rows] for h in self.h],
            [None if c is None else c[rows] for c in self.c],
            None if self.joint is None else [self.joint[row] for row in rows],
        )


def _log_softmax(x: Array) -> Array:
    x = x - x.max(axis=1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))


class Network:
    """An encoder and a decoder for each pair of a batch, all with the same parameters.

    Parameters
    ----------
    config : NetworkConfig
    generator : numpy.random.Generator
        Draws the initial parameters.
    dtype : floating dtype
        Of the parameters and the computation.

    Attributes
    ----------
    params, grads : dict of str to array
    """

    def __init__(
        self,
        config: NetworkConfig,
        generator: np.random.Generator,
        dtype: npt.DTypeLike = np.float64,
    ) -> None:
        self.config = config
        self.params = initial_parameters(config, generator, dtype)
        self.grads = {name: np.zeros_like(param) for name, param in self.params.items()}
        self.pairs: list[tuple[Encoder, Decoder, Array]] | None = None

    def loss(
        self,
        batch: Batch,
        *,
        label_smoothing: float = 0.0,
        training: bool = False,
        generator: np.random.Generator | None = None,
    ) -> float:
        """The mean loss of all target symbols that are not padding.

        The loss of a symbol is ``(1 - eps) (-log p[target]) + eps mean_v(-log p[v])`` with the
        label smoothing eps (C. Szegedy et al., "Rethinking the Inception architecture for computer
        vision", 2016).
        """
        V = self.config.target_size
        real = int(batch.target_lengths.sum())
        masks = self._draw_masks(batch, generator if training else None)
        total = 0.0
        self.pairs = []
        for n, (te, td) in enumerate(zip(batch.source_lengths, batch.target_lengths, strict=True)):
            encoder_masks, decoder_masks = masks[n]
            encoder, decoder = (
                Encoder(self.config, self.params),
                Decoder(self.config, self.params),
            )
            source, copied = self._read(batch.sources[n, :te])
            outputs, h, c = encoder.forward(source, encoder_masks)
            scores, _, _ = decoder.forward(
                batch.inputs[n, :td], outputs, h[-1], (h, c), decoder_masks, None, (copied, V)
            )
            log_p = _log_softmax(scores)
            wanted = np.eye(V, dtype=log_p.dtype)[batch.targets[n, :td]]
            wanted = (1 - label_smoothing) * wanted + label_smoothing / V
            total += float(-np.sum(wanted * log_p))
            self.pairs.append((encoder, decoder, (np.exp(log_p) - wanted) / real))
        return total / real

    def backward(self) -> None:
        """Overwrite ``grads``.

        Raises
        ------
        RuntimeError
            Without a call of `loss` before.
        """
        if self.pairs is None:
            raise RuntimeError("Network.backward was called before loss")
        for grad in self.grads.values():
            grad[...] = 0
        for encoder, decoder, dscores in self.pairs:
            encoder.backward(*decoder.backward(dscores))
            for layer in encoder.layers + decoder.layers:
                for param, grad in zip(layer.params, layer.grads, strict=True):
                    self.grads[self._name_of(param)] += grad

    def encode(self, sources: Array, source_lengths: Array) -> Encoded:
        """The encoder's outputs and states for sources (N, Te) with lengths (N)."""
        H, layers = self.config.hidden_size, range(self.config.layers)
        read = [self._read(row[:te]) for row, te in zip(sources, source_lengths, strict=True)]
        rows = [
            Encoder(self.config, self.params).forward(source, [1] * len(layers))
            for source, _ in read
        ]
        outputs = np.zeros((*sources.shape, H), dtype=self.params["output.b"].dtype)
        for n, (output, _, _) in enumerate(rows):
            outputs[n, : source_lengths[n]] = output[0]
        h = [np.vstack([row[1][layer] for row in rows]) for layer in layers]
        c = self._stack_c([row[2] for row in rows])
        return Encoded(outputs, source_lengths, h, c, [copied for _, copied in read])

    def first_state(self, encoded: Encoded) -> State:
        """The initial state of the decoder."""
        return State(encoded.h, encoded.c)

    def step(self, encoded: Encoded, state: State, ids: Array) -> tuple[Array, State, Array | None]:
        """Log probabilities (N, V) of the ids after ids (N), the next state, weights (N, Te)."""
        layers = range(self.config.layers)
        log_p: list[Array] = []
        all_h: list[list[Array]] = []
        all_c: list[list[Array | None]] = []
        joint: list[Array] = []
        weights = np.zeros(encoded.outputs.shape[:2], dtype=encoded.outputs.dtype)
        size = max(self.config.target_size, *(max(copied) + 1 for copied in encoded.copied))
        for n in range(len(ids)):
            te, row = int(encoded.lengths[n]), slice(n, n + 1)
            decoder = Decoder(self.config, self.params)
            here = state.take(np.array([n]))
            scores, h, c = decoder.forward(
                np.where(ids[row] < self.config.target_size, ids[row], 0),
                encoded.outputs[row, :te],
                encoded.h[-1][row],
                (here.h, here.c),
                [1] * (len(layers) + 1),
                None if here.joint is None else here.joint[0],
                (encoded.copied[n], size),
            )
            log_p.append(_log_softmax(scores))
            all_h.append(h)
            all_c.append(c)
            if decoder.hard is not None:
                joint.append(decoder.hard.joint)
                read = decoder.hard.weights[0]
            elif decoder.attention is not None:
                assert decoder.attention.attention_weights is not None
                read = decoder.attention.attention_weights[0, 0]
            if self.config.attention != "none":
                weights[n, :te] = read[::-1] if self.config.reverse else read
        new_h = [np.vstack([h[layer] for h in all_h]) for layer in layers]
        attends = self.config.attention != "none"
        next_state = State(new_h, self._stack_c(all_c), joint or None)
        return np.vstack(log_p), next_state, weights if attends else None

    def _read(self, ids: Array) -> tuple[Array, list[int]]:
        """What is read of a source (te), and the ids that are copied, in the order of reading."""
        if self.config.copies is None:
            return ids, [-1] * len(ids)
        copied = copied_ids(self.config, ids)
        known = np.where(ids < self.config.source_size, ids, 0)
        return known, copied[::-1] if self.config.reverse else copied

    def _stack_c(self, rows: list[list[Any]]) -> list[Array | None]:
        if self.config.cell != "lstm":
            return [None] * self.config.layers
        return [np.vstack([c[layer] for c in rows]) for layer in range(self.config.layers)]

    def _draw_masks(
        self, batch: Batch, generator: np.random.Generator | None
    ) -> list[tuple[list[Any], list[Any]]]:
        """Masks of the encoder and of the decoder for each pair: 1 where there is no dropout.

        They are drawn in this order: for the encoder's layers (N, Te, H), the decoder's layers
        (N, Td, H), and the input of the output layer, with one row for each target symbol.
        """
        N, layers = len(batch.sources), self.config.layers
        if generator is None or self.config.dropout == 0:
            return [([1] * layers, [1] * (layers + 1))] * N

        def draw(*shape: int) -> Array:
            kept = generator.random(shape, dtype=np.float32) >= self.config.dropout
            return (kept / (1 - self.config.dropout)).astype(dtype)

        H, dtype = self.config.hidden_size, self.params["output.b"].dtype
        encoder = [draw(*batch.sources.shape, H) for _ in range(layers)]
        decoder = [draw(*batch.inputs.shape, H) for _ in range(layers)]
        output = draw(int(batch.target_lengths.sum()), len(self.params["output.W"]))
        ends = np.cumsum(batch.target_lengths)
        masks = []
        for n, (te, td) in enumerate(zip(batch.source_lengths, batch.target_lengths, strict=True)):
            own = [mask[n, :td] for mask in decoder] + [output[ends[n] - td : ends[n]]]
            masks.append(([mask[n, :te] for mask in encoder], own))
        return masks

    def _name_of(self, param: Array) -> str:
        return next(name for name, value in self.params.items() if value is param)
