"""The layers: thin classes over the compiled kernels.

Each has `params` and `grads`, `forward` and `backward`. Letters in shapes: N batch, T time steps,
D input size, H hidden size, V vocabulary size, K and M input and output size of an affine map.
"""

from fastseq.layers.affine import TimeAffine
from fastseq.layers.attention import Attention, AttentionWeight, TimeAttention, WeightSum
from fastseq.layers.dropout import TimeDropout
from fastseq.layers.embedding import TimeEmbedding
from fastseq.layers.loss import TimeSoftmaxWithLoss
from fastseq.layers.recurrent import LSTM, TimeLSTM

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
