"""Copying of one target sequence: the formulas of `fastseq`, one symbol after the other.

In shapes, te and td are the lengths of the source and of the target, V is the number of symbols
that the output layer knows, and of those that may be copied besides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.layers import Affine
from fastseq_reference.layers.functions import softmax

Array = npt.NDArray[Any]


def copied_ids(config: Any, ids: Array) -> list[int]:
    """The target symbol of each id (te) of a source, negative for none."""
    size = config.source_size
    return [int(id) - size if id >= size else config.copies[id] for id in ids]


class Copying:
    """From scores and attention weights to log probabilities."""

    def __init__(self, params: dict[str, Array]) -> None:
        self.gate = Affine(params["copy.W"], params["copy.b"])
        self.layers: list[Any] = [self.gate]

    def forward(
        self, scores: Array, a: Array, weights: Array, copied: list[int], size: int
    ) -> Array:
        """Log probabilities (td, size) of scores (td, V), inputs (td, C), weights (td, te).

        A symbol that is copied but not among those of that size counts as the unknown one, 0.
        """
        td, V = scores.shape
        self.copied = [id if id < size else 0 for id in copied]
        self.softmax = np.zeros((td, size), dtype=scores.dtype)
        self.softmax[:, :V] = softmax(scores)
        self.g = 1 / (1 + np.exp(-self.gate.forward(a)))
        self.taken = np.zeros_like(self.softmax)
        for j, id in enumerate(self.copied):
            if id >= 0:
                self.taken[:, id] += weights[:, j]
        self.total = self.taken.sum(axis=1, keepdims=True)
        self.p = (1 - self.g * self.total) * self.softmax + self.g * self.taken
        with np.errstate(divide="ignore"):
            return np.log(self.p)

    def backward(self, dlog_p: Array) -> tuple[Array, Array, Array]:
        """Gradients of the scores, of a and of the weights."""
        # forward was: p = (1 - g total) softmax + g taken
        dp = dlog_p / self.p
        dsoftmax = (1 - self.g * self.total) * dp
        dtotal = -self.g * np.sum(dp * self.softmax, axis=1, keepdims=True)
        dg = np.sum(dp * (self.taken - self.total * self.softmax), axis=1, keepdims=True)
        # forward was: taken[id] = sum of the weights of its positions, total = sum(taken)
        dtaken = self.g * dp + dtotal
        dweights = np.zeros((len(dp), len(self.copied)), dtype=dp.dtype)
        for j, id in enumerate(self.copied):
            if id >= 0:
                dweights[:, j] = dtaken[:, id]
        # forward was: g = sigmoid(gate(a))
        da = self.gate.backward(dg * self.g * (1 - self.g))
        # forward was: softmax(scores)
        dscores = self.softmax * (dsoftmax - np.sum(self.softmax * dsoftmax, axis=1, keepdims=True))
        return dscores, da, dweights
