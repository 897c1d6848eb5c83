"""Layers: ``params`` and ``grads``, ``forward`` and ``backward``.

Symbols in all shapes: N batch, T time steps, D input size, H hidden size, V vocabulary size,
M output size.
"""

from fastseq_reference.layers.affine import Affine, MatMul, Simple_TimeAffine, TimeAffine
from fastseq_reference.layers.attention import (
    Attention,
    AttentionWeight,
    TimeAttention,
    WeightSum,
)
from fastseq_reference.layers.dropout import Dropout, TimeDropout
from fastseq_reference.layers.embedding import Embedding, TimeEmbedding
from fastseq_reference.layers.functions import (
    Sigmoid,
    Softmax,
    cross_entropy_error,
    relu,
    sigmoid,
    softmax,
)
from fastseq_reference.layers.loss import (
    SigmoidWithLoss,
    Simple_TimeSoftmaxWithLoss,
    SoftmaxWithLoss,
    TimeSigmoidWithLoss,
    TimeSoftmaxWithLoss,
)
from fastseq_reference.layers.recurrent import (
    GRU,
    LSTM,
    RNN,
    RecurrentLayer,
    RecurrentStack,
    TimeBiLSTM,
    TimeGRU,
    TimeLSTM,
    TimeRNN,
)
from fastseq_reference.layers.scored_attention import ScoredAttention

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Affine",
    "Attention",
    "AttentionWeight",
    "Dropout",
    "Embedding",
    "MatMul",
    "RecurrentLayer",
    "RecurrentStack",
    "ScoredAttention",
    "Sigmoid",
    "SigmoidWithLoss",
    "Simple_TimeAffine",
    "Simple_TimeSoftmaxWithLoss",
    "Softmax",
    "SoftmaxWithLoss",
    "TimeAffine",
    "TimeAttention",
    "TimeBiLSTM",
    "TimeDropout",
    "TimeEmbedding",
    "TimeGRU",
    "TimeLSTM",
    "TimeRNN",
    "TimeSigmoidWithLoss",
    "TimeSoftmaxWithLoss",
    "WeightSum",
    "cross_entropy_error",
    "relu",
    "sigmoid",
    "softmax",
]
