"""The encoder: embedding, then recurrent layers over the whole source, in one direction or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers import RecurrentLayer
from fastseq.transducer.network.embedded import EmbeddedLayer
from fastseq.transducer.network.parameters import Layer, NetworkConfig, recurrent_parameters
from fastseq.transducer.network.rows import Dropout, Steps, reversed_rows

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Encoded:
    """What the decoder sees of N sources.

    Attributes
    ----------
    outputs : ndarray of float32, shape (N, Te, H)
        The top layer's states after each step, in the order in which the source is read.
    lengths : ndarray of int, shape (N,)
        How many steps each source has.
    h : list of ndarray of float32, shape (N, H)
        Each layer's states after the last step.
    c : list of ndarray of float32, shape (N, H), or of None
        The LSTM's other states.
    keys : ndarray of float32, shape (N, Te, H), or None
        What additive attention makes of the outputs, once for all steps of the decoder.
    """

    outputs: Array
    lengths: Array
    h: list[Array]
    c: list[Array | None]
    keys: Array | None = None

    def take(self, rows: Array) -> Encoded:
        """These rows, in this order; a row may be taken more than once."""
        return Encoded(
            outputs=self.outputs[rows],
            lengths=self.lengths[rows],
            h=[h[rows] for h in self.h],
            c=[None if c is None else c[rows] for c in self.c],
            keys=None if self.keys is None else self.keys[rows],
        )


class Encoder:
    """From the ids of the sources to states.

    Parameters
    ----------
    config : NetworkConfig
    params : dict of str to ndarray of float32
        Those of the network; the encoder holds its own of them.

    Attributes
    ----------
    layers : list
        Everything that has parameters.
    """

    def __init__(self, config: NetworkConfig, params: dict[str, Array]) -> None:
        cell = config.recurrent_cell
        self._reverse = config.reverse
        first, *others = (
            recurrent_parameters(
                cell, params, *(f"encoder.{layer}.{k}" for k in range(config.directions))
            )
            for layer in range(config.layers)
        )
        self._first = EmbeddedLayer(params["source_embedding"], cell, first)
        self._others = [RecurrentLayer(cell, weights) for weights in others]
        self._dropouts = [Dropout(config.dropout) for _ in range(config.layers)]
        self.layers: list[Layer] = [self._first, *self._others]

    def forward(
        self, sources: Array, lengths: Array, generator: np.random.Generator | None
    ) -> Encoded:
        """Read the sources, and keep what `backward` needs.

        Parameters
        ----------
        sources : ndarray of int, shape (N, Te)
        lengths : ndarray of int, shape (N,)
        generator : numpy.random.Generator or None
            For the masks of the dropout; None for no dropout.

        Returns
        -------
        Encoded
            Without keys.
        """
        first_dropout, *dropouts = self._dropouts
        xs, *state = self._first.forward(self._as_read(sources, lengths), lengths)
        xs = first_dropout.forward(xs, generator)
        states = [state]
        for layer, dropout in zip(self._others, dropouts, strict=True):
            xs, *state = layer.forward(xs, lengths=lengths)
            xs = dropout.forward(xs, generator)
            states.append(state)
        return Encoded(xs, lengths, *_by_kind(states))

    def backward(self, doutputs: Array, dh: list[Array], dc: list[Array | None]) -> None:
        """Fill the gradients from those of the result's outputs, h and c."""
        first_dropout, *dropouts = self._dropouts
        dxs = doutputs
        stack = list(zip(self._others, dropouts, dh[1:], dc[1:], strict=True))
        for layer, dropout, dh_last, dc_last in reversed(stack):
            # forward was: xs = dropout(layer(xs))
            dxs, _, _ = layer.backward(dropout.backward(dxs), dh_last, dc_last)
        self._first.backward(first_dropout.backward(dxs), dh[0], dc[0])

    def encode(self, sources: Array, lengths: Array) -> Encoded:
        """The result of `forward` without dropout, and without touching what is kept."""
        padded = lengths.min() < sources.shape[1]
        ids = self._as_read(sources, lengths) if padded or self._reverse else sources
        own_lengths = lengths if padded else None
        xs, *state = self._first.run(ids, own_lengths)
        states = [state]
        for layer in self._others:
            xs, *state = _kernels.recurrent_forward(
                None, layer.cell, xs, layer.params, lengths=own_lengths
            )
            states.append(state)
        return Encoded(xs, lengths, *_by_kind(states))

    def _as_read(self, sources: Array, lengths: Array) -> Array:
        """The ids in the order of reading, 0 past a row's length."""
        steps = Steps(lengths, sources.shape[1])
        ids = reversed_rows(sources, lengths) if self._reverse else sources
        return steps.scatter(steps.gather(ids))


def _by_kind(states: list[list[Any]]) -> tuple[list[Any], list[Any]]:
    """From ``[h, c]`` of each layer to all h and all c."""
    return [h for h, _ in states], [c for _, c in states]
