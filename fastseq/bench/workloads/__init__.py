"""The workloads that are measured: shapes, data, and how many operations each needs.

Workloads do not depend on any backend; the modules of `fastseq.bench.backends` carry them out.
Letters: N batch, T time steps (Te of the encoder, Td of the decoder), D input size, H hidden size,
V vocabulary size; an affine map goes from K to M values.

Operations
----------
An operation is a floating-point addition or multiplication. Counted are the matrix products that
the algorithm needs, 2·m·k·n each, and nothing else: no gates, no softmax, no update of the
weights. A backward pass needs two products for each of the forward pass (the gradient of either
factor) and counts twice. The products are those of the formulas as they stand: a product that an
implementation avoids (a first step whose state is zero, rows of a small embedding, the repeated
state of the Peeky decoder) is counted all the same. A workload without a product has no count and
is not compared with the peak.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

from fastseq.bench.workloads import decoding, layers, models, recurrent
from fastseq.bench.workloads.base import FLOAT32, Peak, Workload

__all__ = ["KINDS", "WORKLOADS", "Peak", "Workload", "as_message", "from_message", "in_precisions"]

WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        *models.MODELS,
        *recurrent.RECURRENT,
        *layers.ATTENTION,
        *layers.EMBEDDING,
        *layers.AFFINE,
        *layers.LOSS,
        *decoding.DECODING,
        *decoding.IMPORT,
        *recurrent.SCALING,
    )
}
KINDS = tuple(dict.fromkeys(workload.kind for workload in WORKLOADS.values()))

_CLASSES: dict[str, type] = {
    work_class.__name__: work_class
    for work_class in (
        models.Seq2seqStep,
        models.BusyStep,
        models.LanguageModelStep,
        recurrent.RecurrentLayer,
        recurrent.ScalingPoint,
        layers.AttentionLayer,
        layers.EmbeddingLayer,
        layers.AffineLayer,
        layers.LossLayer,
        decoding.Decoding,
        decoding.Evaluation,
        decoding.Import,
        Peak,
    )
}


def in_precisions(
    workloads: Iterable[Workload], precisions: Sequence[str] = (FLOAT32,)
) -> list[Workload]:
    """The workloads in each precision; those without a product, and curves, in float32 alone."""
    return [
        workload
        if precision == FLOAT32
        else replace(workload, name=f"{workload.name}-{precision}", precision=precision)
        for workload in workloads
        for precision in precisions
        if precision == FLOAT32 or (workload.operations is not None and workload.curve is None)
    ]


def as_message(workload: Workload | Peak) -> dict[str, Any]:
    """A workload as a dict that can be stored as JSON."""
    values = {field.name: getattr(workload, field.name) for field in fields(workload)}
    return {"class": type(workload).__name__, "values": values}


def from_message(message: dict[str, Any]) -> Any:
    """The workload, or the `Peak`, of a dict that `as_message` made."""
    return _CLASSES[message["class"]](**message["values"])
