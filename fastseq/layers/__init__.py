"""The layers: thin classes over the compiled kernels.

Each has `params` and `grads`, `forward` and `backward`. Letters in shapes: N batch, T time steps,
D input size, H hidden size, V vocabulary size, K and M input and output size of an affine map.
"""

from fastseq.layers.affine import Affine, MatMul, Simple_TimeAffine, TimeAffine
from fastseq.layers.attention import (
    Attention,
    AttentionWeight,
    TimeAttention,
    WeightSum,
)
from fastseq.layers.dropout import Dropout, TimeDropout
from fastseq.layers.embedding import Embedding, TimeEmbedding
from fastseq.layers.functions import (
    Sigmoid,
    Softmax,
    cross_entropy_error,
    relu,
    sigmoid,
    softmax,
)
from fastseq.layers.loss import (
    SigmoidWithLoss,
    Simple_TimeSoftmaxWithLoss,
    SoftmaxWithLoss,
    TimeSigmoidWithLoss,
    TimeSoftmaxWithLoss,
)
from fastseq.layers.recurrent import (
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
from fastseq.layers.scored_attention import ScoredAttention

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
