"""The layers and models of fastseq in plain textbook NumPy.

This package is the slow and obvious twin of ``fastseq``: the same classes with the same signatures,
one NumPy line per formula and a Python loop over time. Tests use it as the oracle, benchmarks as
the baseline. It computes in the dtype of the weights it is given, so that central differences in
float64 can pin every gradient.
"""

from fastseq_reference.layers import (
    LSTM,
    Attention,
    AttentionWeight,
    TimeAffine,
    TimeAttention,
    TimeDropout,
    TimeEmbedding,
    TimeLSTM,
    TimeSoftmaxWithLoss,
    WeightSum,
)
from fastseq_reference.models import (
    AttentionDecoder,
    AttentionEncoder,
    AttentionSeq2seq,
    BaseModel,
    Decoder,
    Encoder,
    PeekyDecoder,
    PeekySeq2seq,
    Seq2seq,
)
from fastseq_reference.optim import SGD, Adam
from fastseq_reference.train import Trainer, remove_duplicate
from fastseq_reference.util import clip_grads, eval_seq2seq

__all__ = [
    "LSTM",
    "SGD",
    "Adam",
    "Attention",
    "AttentionDecoder",
    "AttentionEncoder",
    "AttentionSeq2seq",
    "AttentionWeight",
    "BaseModel",
    "Decoder",
    "Encoder",
    "PeekyDecoder",
    "PeekySeq2seq",
    "Seq2seq",
    "TimeAffine",
    "TimeAttention",
    "TimeDropout",
    "TimeEmbedding",
    "TimeLSTM",
    "TimeSoftmaxWithLoss",
    "Trainer",
    "WeightSum",
    "clip_grads",
    "eval_seq2seq",
    "remove_duplicate",
]
