"""fastseq: LSTM sequence-to-sequence models with attention, fast on the CPU, for NumPy.

The layers, models, optimizers and trainer of the textbook "Deep Learning from Scratch 2" under
their own names, computed by compiled kernels. `fastseq_reference` holds the same classes in plain
NumPy.
"""

import os
import sys

try:
    from fastseq._kernels import get_num_threads, set_num_threads
except ValueError as error:  # FASTSEQ_ISA is wrong, and a user of the command line wants one line
    if sys.argv[0] == "-m" or os.path.basename(sys.argv[0]) in ("fastseq", "fastseq.exe"):
        raise SystemExit(f"fastseq: error: {error}") from None
    raise
from fastseq.layers import (
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
from fastseq.models import (
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
from fastseq.optim import SGD, Adam
from fastseq.train import Trainer, remove_duplicate
from fastseq.util import clip_grads, eval_seq2seq

__version__ = "0.1.0"


def show_config() -> None:
    """Print what runs here: version, instruction set, threads, compiler, NumPy and its BLAS."""
    from fastseq import config  # on first use: it brings half a dozen modules

    config.show_config()


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
    "get_num_threads",
    "remove_duplicate",
    "set_num_threads",
    "show_config",
]
