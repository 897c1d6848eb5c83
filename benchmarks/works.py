"""The works that are measured: shapes, data, and how many operations each needs.

A work says nothing about any library; `libraries.py` and `peer_torch.py` carry the works out.
Letters: N batch, T time steps (Te of the encoder, Td of the decoder), D input size, H hidden size,
V vocabulary size.

Operations
----------
An operation is a floating-point addition or multiplication. Counted are the matrix products that
the algorithm needs, 2·m·k·n each, and nothing else: no gates, no softmax, no update of the
weights. A backward pass needs two products for each of the forward pass (the gradient of either
factor) and counts twice. The products are those of the formulas as they stand: a product that an
implementation finds a way to spare (a first step whose state is zero, rows of a small embedding,
the repeated state of the Peeky decoder) is counted all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SEED = 1984
BATCHES = 8  # a training step takes the next of these batches, in turn
LEARNING_RATE = 0.001
MAX_NORM = 5.0


def product(m: int, k: int, n: int) -> int:
    """Operations of a product of matrices (m, k) and (k, n)."""
    return 2 * m * k * n


def lstm_operations(N: int, T: int, D: int, H: int) -> int:
    """Forward: ``x·Wx`` and ``h·Wh`` at every step."""
    return T * (product(N, D, 4 * H) + product(N, H, 4 * H))


def attention_operations(N: int, Te: int, Td: int, H: int) -> int:
    """Forward: scores ``hs_dec·hs_encᵀ`` and contexts ``weights·hs_enc`` for every row."""
    return N * (product(Td, H, Te) + product(Td, Te, H))


@dataclass(frozen=True)
class TrainingStep:
    """Forward, backward, remove_duplicate, clip_grads, Adam: one iteration of a trainer."""

    name: str
    model: str  # the class, of the same name in every library
    N: int
    V: int
    D: int
    H: int
    Te: int
    Td: int  # the targets have one column more: the start symbol

    group = "step"

    @property
    def title(self) -> str:
        """The shapes."""
        N, V, D, H = self.N, self.V, self.D, self.H
        return f"{self.model} N{N} V{V} D{D} H{H}, {self.Te} to {self.Td} steps"

    @property
    def operations(self) -> int:
        """Operations of the encoder, the decoder, its affine layer and its attention."""
        N, V, D, H, Te, Td = self.N, self.V, self.D, self.H, self.Te, self.Td
        decoder_input, affine_input, attention = D, H, 0
        if self.model == "PeekySeq2seq":
            decoder_input, affine_input = H + D, 2 * H
        elif self.model == "AttentionSeq2seq":
            affine_input, attention = 2 * H, attention_operations(N, Te, Td, H)
        forward = (
            lstm_operations(N, Te, D, H)
            + lstm_operations(N, Td, decoder_input, H)
            + product(N * Td, affine_input, V)
            + attention
        )
        return 3 * forward

    def batches(self) -> list[tuple[Array, Array]]:
        """Random ids: questions (N, Te) and targets (N, Td + 1)."""
        random = np.random.RandomState(SEED)
        return [
            (
                random.randint(0, self.V, (self.N, self.Te)),
                random.randint(0, self.V, (self.N, self.Td + 1)),
            )
            for _ in range(BATCHES)
        ]


@dataclass(frozen=True)
class LstmLayer:
    """A TimeLSTM over a sequence, forward, and backward if asked."""

    name: str
    N: int
    T: int
    D: int
    H: int
    backward: bool

    group = "layer"

    @property
    def title(self) -> str:
        """The shapes."""
        passes = "forward and backward" if self.backward else "forward"
        return f"TimeLSTM N{self.N} T{self.T} D{self.D} H{self.H}, {passes}"

    @property
    def operations(self) -> int:
        """Operations of the layer."""
        return (3 if self.backward else 1) * lstm_operations(self.N, self.T, self.D, self.H)

    def arrays(self) -> dict[str, Array]:
        """Weights Wx, Wh, b as the models draw them, input xs and gradient dhs, in float32."""
        N, T, D, H = self.N, self.T, self.D, self.H
        random = np.random.RandomState(SEED)
        arrays = {
            "Wx": random.randn(D, 4 * H) / np.sqrt(D),
            "Wh": random.randn(H, 4 * H) / np.sqrt(H),
            "b": np.zeros(4 * H),
            "xs": random.randn(N, T, D),
            "dhs": random.randn(N, T, H),
        }
        return {name: array.astype(np.float32) for name, array in arrays.items()}


@dataclass(frozen=True)
class AttentionLayer:
    """A TimeAttention of all decoder steps, forward and backward."""

    name: str
    N: int
    Te: int
    Td: int
    H: int

    group = "layer"

    @property
    def title(self) -> str:
        """The shapes."""
        return f"TimeAttention N{self.N} Te{self.Te} Td{self.Td} H{self.H}, forward and backward"

    @property
    def operations(self) -> int:
        """Operations of the layer."""
        return 3 * attention_operations(self.N, self.Te, self.Td, self.H)

    def arrays(self) -> dict[str, Array]:
        """Encoder states, decoder states, and the gradient of the contexts, in float32."""
        N, Te, Td, H = self.N, self.Te, self.Td, self.H
        random = np.random.RandomState(SEED)
        # States of an LSTM lie between -1 and 1; larger ones would leave the softmax one-hot.
        arrays = {
            "hs_enc": 0.2 * random.randn(N, Te, H),
            "hs_dec": 0.2 * random.randn(N, Td, H),
            "dout": random.randn(N, Td, H),
        }
        return {name: array.astype(np.float32) for name, array in arrays.items()}


@dataclass(frozen=True)
class Limit:
    """A product of two large float32 matrices: how fast this machine multiplies."""

    name: str = "limit"
    size: int = 2048

    @property
    def operations(self) -> int:
        """Operations of the product."""
        return product(self.size, self.size, self.size)


Work = TrainingStep | LstmLayer | AttentionLayer

WORKS: dict[str, Work] = {
    work.name: work
    for work in (
        TrainingStep("dates", "AttentionSeq2seq", N=128, V=59, D=16, H=256, Te=29, Td=10),
        TrainingStep("addition", "Seq2seq", N=128, V=13, D=16, H=128, Te=7, Td=4),
        TrainingStep("peeky", "PeekySeq2seq", N=128, V=13, D=16, H=128, Te=7, Td=4),
        LstmLayer("lstm-forward", N=128, T=29, D=16, H=256, backward=False),
        LstmLayer("lstm-both", N=128, T=29, D=16, H=256, backward=True),
        LstmLayer("lstm-row", N=1, T=30, D=16, H=256, backward=False),
        AttentionLayer("attention-both", N=128, Te=29, Td=10, H=256),
    )
}
