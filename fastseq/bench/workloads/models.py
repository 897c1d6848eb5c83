"""Training steps of whole models: what a trainer does in one iteration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastseq.bench.workloads.base import ONE_THREAD, SEED, Array, Operations, Workload, product
from fastseq.bench.workloads.layers import attention_operations
from fastseq.bench.workloads.recurrent import recurrent_operations

BATCHES = 8  # a training step takes the next of these batches, in turn


@dataclass(frozen=True)
class TrainingStep(Workload):
    """Forward, backward, remove_duplicate, clip_grads, update of the weights.

    Attributes
    ----------
    model : str
        The class, of the same name in every backend.
    optimizer : str
        The class, of the same name in fastseq and in the reference.
    learning_rate, max_norm : float
        Of the optimizer, and of the clipping.
    """

    model: str

    noun = "models"
    kind = "step"
    optimizer: ClassVar[str]
    learning_rate: ClassVar[float]
    max_norm: ClassVar[float]

    @property
    def arguments(self) -> tuple[int, ...]:
        """For the model's constructor."""
        raise NotImplementedError

    def batches(self) -> list[tuple[Array, Array]]:
        """Random ids: inputs and targets."""
        raise NotImplementedError


@dataclass(frozen=True)
class Seq2seqStep(TrainingStep):
    """A training step of a sequence-to-sequence model, with Adam."""

    N: int
    V: int
    D: int
    H: int
    Te: int
    Td: int  # the targets have one column more: the start symbol

    optimizer = "Adam"
    learning_rate = 0.001
    max_norm = 5.0

    @property
    def backends(self) -> tuple[str, ...]:
        """All."""
        return ("reference", "fastseq", "torch", "jax")

    @property
    def title(self) -> str:
        """The model and the sizes."""
        N, V, D, H = self.N, self.V, self.D, self.H
        return f"{self.model} N{N} V{V} D{D} H{H}, {self.Te} to {self.Td} steps, training step"

    @property
    def operations(self) -> Operations:
        """Operations of the encoder, the decoder, its affine layer and its attention."""
        return 3 * seq2seq_operations(self.model, self.N, self.V, self.D, self.H, self.Te, self.Td)

    @property
    def arguments(self) -> tuple[int, ...]:
        """V, D and H."""
        return self.V, self.D, self.H

    def batches(self) -> list[tuple[Array, Array]]:
        """Questions (N, Te) and targets (N, Td + 1)."""
        random = np.random.RandomState(SEED)
        return [
            (
                random.randint(0, self.V, (self.N, self.Te)),
                random.randint(0, self.V, (self.N, self.Td + 1)),
            )
            for _ in range(BATCHES)
        ]


@dataclass(frozen=True)
class LanguageModelStep(TrainingStep):
    """A training step of a language model with dropout, with SGD: Zaremba et al. 2014."""

    N: int
    V: int
    D: int
    H: int
    T: int

    optimizer = "SGD"
    learning_rate = 20.0
    max_norm = 0.25

    @property
    def backends(self) -> tuple[str, ...]:
        """Those with dropout masks of their own can take the reference's for the comparison."""
        return ("reference", "fastseq", "torch")

    @property
    def title(self) -> str:
        """The model and the sizes."""
        return f"{self.model} {self.shapes}, dropout 0.5, training step"

    @property
    def operations(self) -> int:
        """Operations of the two LSTM layers and of the affine layer."""
        N, V, D, H, T = self.N, self.V, self.D, self.H, self.T
        layers = recurrent_operations(N, T, D, H) + recurrent_operations(N, T, H, H)
        return 3 * (layers + product(N * T, H, V))

    @property
    def arguments(self) -> tuple[int, ...]:
        """V, D and H."""
        return self.V, self.D, self.H

    def batches(self) -> list[tuple[Array, Array]]:
        """Words (N, T), and for each the word that follows."""
        random = np.random.RandomState(SEED)
        texts = [random.randint(0, self.V, (self.N, self.T + 1)) for _ in range(BATCHES)]
        return [(text[:, :-1], text[:, 1:]) for text in texts]


@dataclass(frozen=True)
class BusyStep(Seq2seqStep):
    """A training step while other processes keep every core busy: on all cores, and on one.

    It has no count of operations: the peak would be that of a machine that is idle otherwise.
    """

    kind = "busy"
    beside = True

    @property
    def backends(self) -> tuple[str, ...]:
        """PyTorch and fastseq, and each on one thread."""
        return ("fastseq", f"fastseq {ONE_THREAD}", "torch", f"torch {ONE_THREAD}")

    @property
    def title(self) -> str:
        """The model, the sizes, and what runs beside it."""
        return f"{super().title}, beside a busy process on each core"

    @property
    def operations(self) -> None:
        """None."""
        return None

    def numbers_of_threads(self, wanted: Sequence[int]) -> list[int]:
        """Those above one, which each is compared with."""
        return [threads for threads in wanted if threads > 1]


def seq2seq_operations(model: str, N: int, V: int, D: int, H: int, Te: int, Td: int) -> int:
    """Forward: the encoder, the decoder, its affine layer and its attention."""
    decoder_input, affine_input, attention = D, H, 0
    if model == "PeekySeq2seq":
        decoder_input, affine_input = H + D, 2 * H
    elif model == "AttentionSeq2seq":
        affine_input, attention = 2 * H, attention_operations(N, Te, Td, H)
    return (
        recurrent_operations(N, Te, D, H)
        + recurrent_operations(N, Td, decoder_input, H)
        + product(N * Td, affine_input, V)
        + attention
    )


MODELS = (
    Seq2seqStep("dates", "AttentionSeq2seq", N=128, V=59, D=16, H=256, Te=29, Td=10),
    Seq2seqStep("addition", "Seq2seq", N=128, V=13, D=16, H=128, Te=7, Td=4),
    Seq2seqStep("peeky", "PeekySeq2seq", N=128, V=13, D=16, H=128, Te=7, Td=4),
    LanguageModelStep("better-rnnlm", "BetterRnnlm", N=20, V=10_000, D=650, H=650, T=35),
    BusyStep("dates-busy", "AttentionSeq2seq", N=128, V=59, D=16, H=256, Te=29, Td=10),
)
