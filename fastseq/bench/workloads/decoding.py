"""Decoding with a model, and the import that precedes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastseq.bench.workloads.base import SEED, Array, Workload
from fastseq.bench.workloads.models import seq2seq_operations

START_ID = 0


@dataclass(frozen=True)
class Decoding(Workload):
    """Greedy decoding of N questions by an AttentionSeq2seq.

    The weights are drawn as for training, but the embeddings are a hundred times as large: with
    those of a new model all questions would have nearly the same answer.
    """

    N: int
    V: int
    D: int
    H: int
    Te: int
    Td: int

    noun = "decoding"
    kind = "decoding"
    model = "AttentionSeq2seq"

    @property
    def inference(self) -> bool:
        """A model answers."""
        return True

    @property
    def backends(self) -> tuple[str, ...]:
        """The reference decodes one question at a time, so it is timed with N = 1 only."""
        return ("reference", "fastseq", "torch") if self.N == 1 else ("fastseq", "torch")

    @property
    def title(self) -> str:
        """The model, the sizes, and how many answers."""
        V, D, H = self.V, self.D, self.H
        answers = "one answer" if self.N == 1 else f"{self.N:,} answers in a batch"
        return f"{self.model} V{V} D{D} H{H}, {self.Te} to {self.Td} steps, {answers}"

    @property
    def operations(self) -> int:
        """Operations of the encoder and of the decoder's steps."""
        return seq2seq_operations(self.model, self.N, self.V, self.D, self.H, self.Te, self.Td)

    def questions(self) -> Array:
        """Random ids (N, Te)."""
        return np.random.RandomState(SEED).randint(0, self.V, (self.N, self.Te))


@dataclass(frozen=True)
class Evaluation(Decoding):
    """The exact-match accuracy of a model on N questions.

    The reference decodes them one by one (``eval_seq2seq``), as the textbook's training loop does;
    the others in a batch.
    """

    kind = "evaluation"

    @property
    def backends(self) -> tuple[str, ...]:
        """The reference is timed, too: `eval_seq2seq` has no batched form."""
        return ("reference", "fastseq", "torch")

    @property
    def title(self) -> str:
        """The model, the sizes, and how many questions."""
        V, D, H = self.V, self.D, self.H
        steps = f"{self.Te} to {self.Td} steps"
        return f"{self.model} V{V} D{D} H{H}, {steps}, evaluation of {self.N:,} questions"

    def corrects(self) -> Array:
        """Random ids (N, Td + 1); the first of each row is the start symbol."""
        ids = np.random.RandomState(SEED + 1).randint(0, self.V, (self.N, self.Td + 1))
        ids[:, 0] = START_ID
        return ids


@dataclass(frozen=True)
class Import(Workload):
    """A new interpreter that imports one library and ends."""

    noun = "import"
    kind = "import"
    compared = False
    operations = None
    title = "a new Python process that imports the library and ends"

    @property
    def backends(self) -> tuple[str, ...]:
        """NumPy is one of them: fastseq's own import includes it."""
        return ("numpy", "fastseq", "torch")

    def numbers_of_threads(self, wanted: Sequence[int]) -> list[int]:
        """One: an import has no threads."""
        return [1]


_DATES: dict[str, Any] = {"V": 59, "D": 16, "H": 256, "Te": 29, "Td": 10}
DECODING = (
    Decoding("decode-one", N=1, **_DATES),
    Decoding("decode-many", N=1000, **_DATES),
    # A tenth of the date demo's 5,000, for every backend, as the reference takes ms for each.
    Evaluation("evaluate", N=500, **_DATES),
)
IMPORT = (Import("import"),)
