"""fastseq: LSTM sequence-to-sequence models with attention, fast on the CPU, for NumPy.

The layers, models, optimizers and trainer of the textbook "Deep Learning from Scratch 2" under
their own names, computed by compiled kernels. `fastseq_reference` holds the same classes in plain
NumPy.
"""

from typing import TYPE_CHECKING, Any

from fastseq import startup  # first, to handle Ctrl-C while the others are imported

if TYPE_CHECKING:
    from fastseq.transducer.estimator import Transducer

try:
    from fastseq._kernels import (
        get_num_threads,
        get_precision,
        set_num_threads,
        set_precision,
    )
except (ValueError, RuntimeError) as error:
    # FASTSEQ_ISA or FASTSEQ_PRECISION is wrong, and a user of the command line wants one line
    if startup.IS_COMMAND:
        raise SystemExit(f"fastseq: error: {error}") from None
    raise
from fastseq.layers import (
    GRU,
    LSTM,
    RNN,
    Affine,
    Attention,
    AttentionWeight,
    Dropout,
    Embedding,
    MatMul,
    RecurrentLayer,
    RecurrentStack,
    ScoredAttention,
    Sigmoid,
    SigmoidWithLoss,
    Simple_TimeAffine,
    Simple_TimeSoftmaxWithLoss,
    Softmax,
    SoftmaxWithLoss,
    TimeAffine,
    TimeAttention,
    TimeBiLSTM,
    TimeDropout,
    TimeEmbedding,
    TimeGRU,
    TimeLSTM,
    TimeRNN,
    TimeSigmoidWithLoss,
    TimeSoftmaxWithLoss,
    WeightSum,
    cross_entropy_error,
    relu,
    sigmoid,
    softmax,
)
from fastseq.models import (
    AttentionBiEncoder,
    AttentionBiSeq2seq,
    AttentionDecoder,
    AttentionEncoder,
    AttentionSeq2seq,
    BaseModel,
    BetterRnnlm,
    BetterRnnlmGen,
    Decoder,
    Encoder,
    PeekyDecoder,
    PeekySeq2seq,
    Rnnlm,
    RnnlmGen,
    Seq2seq,
)
from fastseq.optim import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop
from fastseq.train import RnnlmTrainer, Trainer, remove_duplicate
from fastseq.util import (
    analogy,
    clip_grads,
    convert_one_hot,
    cos_similarity,
    create_co_matrix,
    create_contexts_target,
    eval_perplexity,
    eval_seq2seq,
    most_similar,
    normalize,
    ppmi,
    preprocess,
    to_cpu,
    to_gpu,
)
from fastseq.version import __version__ as __version__


def show_config() -> None:
    """Print what runs here: version, instruction set, threads, compiler, NumPy and its BLAS.

    Examples
    --------
    >>> import fastseq
    >>> fastseq.show_config()
    fastseq  ...
    isa      ... (available: ...)
    threads  ...
    """
    from fastseq import config  # on first use: it brings half a dozen modules

    config.show_config()


def __getattr__(name: str) -> Any:
    if name == "Transducer":  # on first use: most programs that import fastseq train something else
        from fastseq.transducer.estimator import Transducer

        return Transducer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "SGD",
    "AdaGrad",
    "Adam",
    "Affine",
    "Attention",
    "AttentionBiEncoder",
    "AttentionBiSeq2seq",
    "AttentionDecoder",
    "AttentionEncoder",
    "AttentionSeq2seq",
    "AttentionWeight",
    "BaseModel",
    "BetterRnnlm",
    "BetterRnnlmGen",
    "Decoder",
    "Dropout",
    "Embedding",
    "Encoder",
    "MatMul",
    "Momentum",
    "Nesterov",
    "PeekyDecoder",
    "PeekySeq2seq",
    "RMSprop",
    "RecurrentLayer",
    "RecurrentStack",
    "Rnnlm",
    "RnnlmGen",
    "RnnlmTrainer",
    "ScoredAttention",
    "Seq2seq",
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
    "Trainer",
    "Transducer",
    "WeightSum",
    "analogy",
    "clip_grads",
    "convert_one_hot",
    "cos_similarity",
    "create_co_matrix",
    "create_contexts_target",
    "cross_entropy_error",
    "eval_perplexity",
    "eval_seq2seq",
    "get_num_threads",
    "get_precision",
    "most_similar",
    "normalize",
    "ppmi",
    "preprocess",
    "relu",
    "remove_duplicate",
    "set_num_threads",
    "set_precision",
    "show_config",
    "sigmoid",
    "softmax",
    "to_cpu",
    "to_gpu",
]
