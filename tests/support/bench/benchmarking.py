"""Shared by the benchmark tests: a small workload of every kind, a fake worker, a path."""

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import fastseq
import fastseq_reference
from fastseq import _kernels
from fastseq.bench.backends import Backend
from fastseq.bench.workloads import Workload, decoding, layers, models
from fastseq.bench.workloads.recurrent import RecurrentLayer, ScalingPoint

FASTSEQ = Backend("fastseq", _kernels.isa())

_SMALL_MODEL = {"V": 5, "D": 3, "H": 4, "Te": 3, "Td": 2}
TINY: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        RecurrentLayer("lstm", True, "TimeLSTM", N=2, T=3, D=4, H=5),
        RecurrentLayer("lstm-forward", False, "TimeLSTM", N=2, T=3, D=4, H=5),
        RecurrentLayer("gru", True, "TimeGRU", N=2, T=3, D=4, H=5),
        RecurrentLayer("rnn", True, "TimeRNN", N=2, T=3, D=4, H=5),
        RecurrentLayer("bilstm", True, "TimeBiLSTM", N=2, T=3, D=4, H=5),
        ScalingPoint("lstm-N2", True, "TimeLSTM", N=2, T=3, D=4, H=5, of="lstm", letter="N"),
        layers.AttentionLayer("attention", True, N=2, Te=4, Td=3, H=5),
        layers.EmbeddingLayer("embedding", True, N=2, T=3, V=5, D=4),
        layers.AffineLayer("affine", True, N=2, T=3, K=4, M=5),
        layers.LossLayer("loss", True, N=2, T=3, V=5),
        models.Seq2seqStep("seq2seq", "Seq2seq", N=2, **_SMALL_MODEL),
        models.Seq2seqStep("peeky", "PeekySeq2seq", N=2, **_SMALL_MODEL),
        models.Seq2seqStep("attention-model", "AttentionSeq2seq", N=2, **_SMALL_MODEL),
        models.BusyStep("busy", "AttentionSeq2seq", N=2, **_SMALL_MODEL),
        models.LanguageModelStep("rnnlm", "BetterRnnlm", N=2, V=5, D=4, H=4, T=3),
        decoding.Decoding("one", N=1, **_SMALL_MODEL),
        decoding.Decoding("many", N=3, **_SMALL_MODEL),
        decoding.Evaluation("evaluation", N=3, **_SMALL_MODEL),
    )
}


def python_path(*folders: str) -> str:
    """Where new processes find what this one imports, and what is in some more folders."""
    packages = {str(Path(module.__file__).parents[1]) for module in (fastseq, fastseq_reference)}
    return os.pathsep.join(filter(None, [*folders, *packages, os.environ.get("PYTHONPATH", "")]))


class FakeWorker:
    """A worker whose results and seconds are given; the runs are logged."""

    about: ClassVar[dict[str, Any]] = {}
    log: ClassVar[list[str]] = []
    results_of: ClassVar[dict[str, dict[str, Any]]] = {}
    seconds_of: ClassVar[dict[str, float]] = {}

    def __init__(self, backend: Backend, *_: Any) -> None:
        self.name = str(backend)
        self.backend = backend.name

    def wait_until_ready(self) -> None:
        pass

    def results(self) -> dict[str, Any]:
        return self.results_of.get(self.backend, {"hs": np.ones(2, dtype=np.float32)})

    def run(self, steps: int) -> list[float]:
        self.log.append(self.name)
        return [self.seconds_of.get(self.backend, 0.25)] * steps

    def peak_bytes(self) -> int:
        return 1000

    def close(self) -> None:
        pass
