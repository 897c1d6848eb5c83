"""An embedding and the recurrent layers above it, each followed by dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.layers.base import zero_gradients
from fastseq.layers.recurrent.engine import Recurrence
from fastseq.transducer.network.rows import Dropout

Array = npt.NDArray[Any]

# One state of each layer; None where a cell has no c, or for zeros.
States = Sequence[Array | None]


class EmbeddedStack:
    """Recurrent layers of one cell, over packed sequences of ids.

    Parameters
    ----------
    cell : {"gru", "gru_reset_after", "lstm"}
    embedding : ndarray of float32, shape (V, D)
    weights : sequence of list of ndarray of float32
        Those of each layer, for one direction or two. The first ``Wx`` is (C + D, G H), with C = 0
        without a context.
    dropout : float
        The share of values that are zeroed in training.

    Attributes
    ----------
    cell : str
    embedding : ndarray of float32, shape (V, D)
    weights : list of list of ndarray of float32
    params, grads : list of ndarray
        The embedding and all weights, and their gradients after `backward`.
    """

    def __init__(
        self, cell: str, embedding: Array, weights: Sequence[list[Array]], dropout: float
    ) -> None:
        self.cell = cell
        self.embedding = embedding
        self.weights = list(weights)
        self.params = [embedding, *(weight for layer in self.weights for weight in layer)]
        self._dembedding = np.zeros_like(embedding)
        self._gradients = [zero_gradients(layer) for layer in self.weights]
        self.grads = [self._dembedding, *(grad for layer in self._gradients for grad in layer)]
        self._recurrences = [Recurrence(cell) for _ in self.weights]
        self._dropouts = [Dropout(dropout) for _ in self.weights]

    def forward(
        self,
        ids: Array,
        lengths: Array,
        generator: np.random.Generator | None,
        h0: States | None = None,
        c0: States | None = None,
        context: Array | None = None,
    ) -> tuple[Array, list[Array], list[Array | None]]:
        """Run the sequences, and keep what `backward` needs.

        Parameters
        ----------
        ids : ndarray of int, shape (N, T)
            In range even past a row's length.
        lengths : ndarray of int, shape (N,)
        generator : numpy.random.Generator or None
            For the masks of the dropout; None for no dropout.
        h0, c0 : sequence of ndarray of float32, shape (N, K H), or of None
            The initial states of the layers; zeros by default.
        context : ndarray of float32, shape (N, C), optional
            What the first layer sees besides the embedding at every step.

        Returns
        -------
        hs : ndarray of float32, shape (N, T, K H)
            Of the top layer.
        h, c : list of ndarray of float32, shape (N, K H), or of None
            The last states of the layers.
        """
        first: dict[str, Any] = {"embedding": self.embedding, "context": context}
        return self._run(ids, lengths, h0, c0, generator=generator, **first)

    def run(
        self, ids: Array, lengths: Array | None = None
    ) -> tuple[Array, list[Array], list[Array | None]]:
        """The result of `forward` without dropout and context, from zeros; nothing is kept."""
        return self._run(ids, lengths, keep=False, embedding=self.embedding)

    def step(
        self, ids: Array, h0: States, c0: States, context: Array | None
    ) -> tuple[list[Array], list[Array | None]]:
        """The states of the layers after one step, from ids (N,); nothing is kept."""
        x = _kernels.embedding_forward(self.embedding, ids)
        if context is not None:
            # side by side, not apart: the sums then have the order of `_kernels.decode`
            x = np.concatenate((context, x), axis=1)
        _, h, c = self._run(x[:, np.newaxis], None, h0, c0, keep=False)
        return h, c

    def backward(
        self, dhs: Array, dh: States, dc: States
    ) -> tuple[Array | None, list[Array], list[Array | None]]:
        """Fill the gradients, and return those of the context, of h0 and of c0."""
        dh0: list[Array] = []
        dc0: list[Array | None] = []
        dcontext = None
        for i in reversed(range(len(self.weights))):
            # forward was: xs = dropout(layer(xs, h0, c0))
            dxs, dcontext, dh_first, dc_first = self._recurrences[i].backward(
                self.weights[i],
                self._gradients[i],
                self._dropouts[i].backward(dhs),
                dh[i],
                dc[i],
                dembedding=None if i else self._dembedding,
            )
            dh0.insert(0, dh_first)
            dc0.insert(0, dc_first)
            if dxs is not None:
                dhs = dxs
        return dcontext, dh0, dc0

    def _run(
        self,
        xs: Array,
        lengths: Array | None,
        h0: States | None = None,
        c0: States | None = None,
        *,
        keep: bool = True,
        generator: np.random.Generator | None = None,
        **first: Any,
    ) -> tuple[Array, list[Array], list[Array | None]]:
        """The others are for the first layer alone."""
        nothing: States = [None] * len(self.weights)
        h: list[Array] = []
        c: list[Array | None] = []
        states = h0 or nothing, c0 or nothing
        layers = zip(self._recurrences, self._dropouts, self.weights, *states, strict=True)
        for recurrence, dropout, weights, h_first, c_first in layers:
            xs, h_last, c_last = recurrence.forward(
                weights, xs, h_first, c_first, lengths, keep=keep, **first
            )
            first = {}
            if keep:
                xs = dropout.forward(xs, generator)
            h.append(h_last)
            c.append(c_last)
        return xs, h, c
