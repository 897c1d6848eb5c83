"""The layers around the recurrent ones: attention, embedding, affine map, softmax with loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastseq.bench.workloads.base import SEED, Layer, LayerData, float32, product


def attention_operations(N: int, Te: int, Td: int, H: int) -> int:
    """Forward: scores ``hs_dec·hs_encᵀ`` and contexts ``weights·hs_enc`` for every row."""
    return N * (product(Td, H, Te) + product(Td, Te, H))


@dataclass(frozen=True)
class AttentionLayer(Layer):
    """A TimeAttention of all decoder steps."""

    N: int
    Te: int
    Td: int
    H: int

    noun = "attention"
    class_name = "TimeAttention"
    results: ClassVar = ("contexts", "dhs_enc", "dhs_dec")

    @property
    def operations(self) -> int:
        """Operations of the layer."""
        return self.passes * attention_operations(self.N, self.Te, self.Td, self.H)

    def data(self) -> LayerData:
        """Encoder states, decoder states, and the gradient of the contexts."""
        N, Te, Td, H = self.N, self.Te, self.Td, self.H
        random = np.random.RandomState(SEED)
        # States of an LSTM lie between -1 and 1; larger ones would leave the softmax one-hot.
        hs_enc, hs_dec = 0.2 * random.randn(N, Te, H), 0.2 * random.randn(N, Td, H)
        return LayerData((), float32(hs_enc, hs_dec), float32(random.randn(N, Td, H)))


@dataclass(frozen=True)
class EmbeddingLayer(Layer):
    """A TimeEmbedding: rows of a table, no product."""

    N: int
    T: int
    V: int
    D: int

    noun = "embedding"
    class_name = "TimeEmbedding"
    results: ClassVar = ("vectors", "dW")
    operations = None

    def data(self) -> LayerData:
        """The table, ids, and the gradient of the vectors."""
        random = np.random.RandomState(SEED)
        (W,) = float32(random.randn(self.V, self.D) / 100)
        ids = random.randint(0, self.V, (self.N, self.T))
        return LayerData((W,), (ids,), float32(random.randn(self.N, self.T, self.D)))


@dataclass(frozen=True)
class AffineLayer(Layer):
    """A TimeAffine from K to M values."""

    N: int
    T: int
    K: int
    M: int

    noun = "affine"
    class_name = "TimeAffine"
    results: ClassVar = ("y", "dx", "dW", "db")

    @property
    def operations(self) -> int:
        """Operations of the layer."""
        return self.passes * product(self.N * self.T, self.K, self.M)

    def data(self) -> LayerData:
        """Weight and bias, input, and the gradient of the output."""
        N, T, K, M = self.N, self.T, self.K, self.M
        random = np.random.RandomState(SEED)
        weights = float32(random.randn(K, M) / np.sqrt(K), np.zeros(M))
        return LayerData(weights, float32(random.randn(N, T, K)), float32(random.randn(N, T, M)))


@dataclass(frozen=True)
class LossLayer(Layer):
    """A TimeSoftmaxWithLoss: no product."""

    N: int
    T: int
    V: int

    noun = "loss"
    class_name = "TimeSoftmaxWithLoss"
    results: ClassVar = ("loss", "dscore")
    operations = None

    def data(self) -> LayerData:
        """Scores and labels."""
        random = np.random.RandomState(SEED)
        (scores,) = float32(random.randn(self.N, self.T, self.V))
        return LayerData((), (scores, random.randint(0, self.V, (self.N, self.T))), ())


ATTENTION = (
    AttentionLayer("attention-forward", backward=False, N=128, Te=29, Td=10, H=256),
    AttentionLayer("attention-both", backward=True, N=128, Te=29, Td=10, H=256),
)
EMBEDDING = (EmbeddingLayer("embedding-both", backward=True, N=128, T=29, V=59, D=16),)
AFFINE = (AffineLayer("affine-both", backward=True, N=128, T=10, K=512, M=59),)
LOSS = (LossLayer("softmax-loss-both", backward=True, N=128, T=10, V=59),)
