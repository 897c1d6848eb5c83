"""The works that are measured: shapes, data, and how many operations each needs.

A work says nothing about any library; `libraries`, `peer_torch` and `peer_jax` carry the works out.
Letters: N batch, T time steps (Te of the encoder, Td of the decoder), D input size, H hidden size,
V vocabulary size; an affine map goes from K to M values.

Operations
----------
An operation is a floating-point addition or multiplication. Counted are the matrix products that
the algorithm needs, 2·m·k·n each, and nothing else: no gates, no softmax, no update of the
weights. A backward pass needs two products for each of the forward pass (the gradient of either
factor) and counts twice. The products are those of the formulas as they stand: a product that an
implementation finds a way to spare (a first step whose state is zero, rows of a small embedding,
the repeated state of the Peeky decoder) is counted all the same. A work without a product has no
count and no limit.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from fastseq.bench.workloads import decoding, layers, models, recurrent
from fastseq.bench.workloads.base import Limit, Work

__all__ = ["KINDS", "WORKS", "Limit", "Work", "as_message", "from_message"]

WORKS: dict[str, Work] = {
    work.name: work
    for work in (
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
KINDS = tuple(dict.fromkeys(work.kind for work in WORKS.values()))

_CLASSES: dict[str, type] = {
    work_class.__name__: work_class
    for work_class in (
        models.Seq2seqStep,
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
        Limit,
    )
}


def as_message(work: Work | Limit) -> dict[str, Any]:
    """A work as a dict that goes through JSON."""
    values = {field.name: getattr(work, field.name) for field in fields(work)}
    return {"class": type(work).__name__, "values": values}


def from_message(message: dict[str, Any]) -> Any:
    """The work, or the `Limit`, of a dict that `as_message` made."""
    return _CLASSES[message["class"]](**message["values"])
