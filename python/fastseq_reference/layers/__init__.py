"""Layers: ``params`` and ``grads``, ``forward`` and ``backward``.

Symbols in all shapes: N batch, T time steps, D input size, H hidden size, V vocabulary size,
M output size.
"""

from fastseq_reference.layers.affine import TimeAffine
from fastseq_reference.layers.attention import (
    Attention,
    AttentionWeight,
    TimeAttention,
    WeightSum,
)
from fastseq_reference.layers.dropout import TimeDropout
from fastseq_reference.layers.embedding import TimeEmbedding
from fastseq_reference.layers.loss import TimeSoftmaxWithLoss
from fastseq_reference.layers.recurrent import LSTM, TimeLSTM

__all__ = [
    "LSTM",
    "Attention",
    "AttentionWeight",
    "TimeAffine",
    "TimeAttention",
    "TimeDropout",
    "TimeEmbedding",
    "TimeLSTM",
    "TimeSoftmaxWithLoss",
    "WeightSum",
]
