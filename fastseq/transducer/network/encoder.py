"""The encoder: embedding, then recurrent layers over the whole source, in one direction or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.layers.packed import Steps
from fastseq.transducer.network.parameters import Layer, NetworkConfig, recurrent_parameters
from fastseq.transducer.network.rows import reversed_rows
from fastseq.transducer.network.stack import EmbeddedStack

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Encoded:
    """The encoder's result for N sources.

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
        The projected outputs that additive and hard attention compare, once for all steps of the
        decoder.
    copied : ndarray of int, shape (N, Te), or None
        Where symbols are copied, the target symbol of each step; negative for none.
    """

    outputs: Array
    lengths: Array
    h: list[Array]
    c: list[Array | None]
    keys: Array | None = None
    copied: Array | None = None

    def take(self, rows: Array) -> Encoded:
        """These rows, in this order; a row may be taken more than once."""
        return Encoded(
            outputs=self.outputs[rows],
            lengths=self.lengths[rows],
            h=[h[rows] for h in self.h],
            c=[None if c is None else c[rows] for c in self.c],
            keys=None if self.keys is None else self.keys[rows],
            copied=None if self.copied is None else self.copied[rows],
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
        The parts that have parameters.
    """

    def __init__(self, config: NetworkConfig, params: dict[str, Array]) -> None:
        cell = config.recurrent_cell
        self._reverse = config.reverse
        weights = [
            recurrent_parameters(
                cell, params, *(f"encoder.{layer}.{k}" for k in range(config.directions))
            )
            for layer in range(config.layers)
        ]
        self._stack = EmbeddedStack(cell, params["source_embedding"], weights, config.dropout)
        self.layers: list[Layer] = [self._stack]

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
        xs, h, c = self._stack.forward(self._as_read(sources, lengths), lengths, generator)
        return Encoded(xs, lengths, h, c)

    def backward(self, doutputs: Array, dh: list[Array], dc: list[Array | None]) -> None:
        """Fill the gradients from those of the result's outputs, h and c."""
        self._stack.backward(doutputs, dh, dc)

    def encode(self, sources: Array, lengths: Array) -> Encoded:
        """The result of `forward` without dropout, and without touching what is kept."""
        padded = lengths.min() < sources.shape[1]
        ids = self._as_read(sources, lengths) if padded or self._reverse else sources
        xs, h, c = self._stack.run(ids, lengths if padded else None)
        return Encoded(xs, lengths, h, c)

    def _as_read(self, sources: Array, lengths: Array) -> Array:
        """The ids in the order of reading, 0 past a row's length."""
        steps = Steps(lengths, sources.shape[1])
        ids = reversed_rows(sources, lengths) if self._reverse else sources
        return steps.scatter(steps.gather(ids))
