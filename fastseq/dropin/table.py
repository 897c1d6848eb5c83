"""What stands under each of the textbook's module names: the one place that says so."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GPU = False
"""The textbook's switch. fastseq computes on the CPU, whatever a script sets."""


@dataclass(frozen=True)
class Module:
    """What one module has.

    Attributes
    ----------
    names : the names that come from fastseq, in one string for each module that holds them
    modules : the whole modules it has, as ``{"np": "numpy"}``; they are imported on first use
    includes : served modules whose names it has too, as the textbook's has by its star imports
    settings : names whose value in the user's own file of this name is used
    """

    names: Mapping[str, str] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    includes: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


_COMMON = {
    "common.config": Module({__name__: "GPU"}, settings=("GPU",)),
    "common.np": Module(modules={"np": "numpy"}, includes=("common.config",)),
    "common.functions": Module(
        {"fastseq.layers": "sigmoid relu softmax cross_entropy_error"},
        includes=("common.np",),
    ),
    "common.layers": Module(
        {
            "fastseq.layers": "MatMul Affine Softmax SoftmaxWithLoss Sigmoid SigmoidWithLoss "
            "Dropout Embedding"
        },
        includes=("common.functions",),
    ),
    "common.time_layers": Module(
        {
            "fastseq.layers": "RNN TimeRNN LSTM TimeLSTM GRU TimeGRU TimeBiLSTM TimeEmbedding "
            "TimeAffine TimeDropout TimeSoftmaxWithLoss TimeSigmoidWithLoss "
            "Simple_TimeSoftmaxWithLoss Simple_TimeAffine"
        },
        includes=("common.layers",),
    ),
    "common.base_model": Module(
        {"fastseq.models": "BaseModel", "fastseq.util": "to_cpu to_gpu"},
        modules={"os": "os", "pickle": "pickle"},
        includes=("common.np",),
    ),
    "common.optimizer": Module(
        {"fastseq.optim": "SGD Momentum Nesterov AdaGrad RMSprop Adam"},
        includes=("common.np",),
    ),
    "common.trainer": Module(
        {"fastseq.train": "Trainer RnnlmTrainer remove_duplicate", "fastseq.util": "clip_grads"},
        modules={"numpy": "numpy", "time": "time", "plt": "matplotlib.pyplot"},
        includes=("common.np",),
    ),
    "common.util": Module(
        {
            "fastseq.util": "clip_grads eval_seq2seq eval_perplexity preprocess cos_similarity "
            "most_similar analogy normalize convert_one_hot create_co_matrix ppmi "
            "create_contexts_target to_cpu to_gpu"
        },
        modules={"os": "os", "sys": "sys"},
        includes=("common.np",),
    ),
    "dataset.sequence": Module(
        {"fastseq.dropin.data": "load_data get_vocab char_to_id id_to_char"},
        modules={"numpy": "numpy", "os": "os"},
    ),
}

_CHAPTERS = {
    "rnnlm": Module(
        {"fastseq.models": "Rnnlm"}, includes=("common.time_layers", "common.base_model")
    ),
    "better_rnnlm": Module(
        {"fastseq.models": "BetterRnnlm"}, includes=("common.time_layers", "common.base_model")
    ),
    "rnnlm_gen": Module(
        {"fastseq.models": "RnnlmGen BetterRnnlmGen Rnnlm BetterRnnlm"},
        includes=("common.functions",),
    ),
    "seq2seq": Module(
        {"fastseq.models": "Encoder Decoder Seq2seq"},
        includes=("common.time_layers", "common.base_model"),
    ),
    "peeky_seq2seq": Module(
        {"fastseq.models": "PeekyDecoder PeekySeq2seq Encoder Seq2seq"},
        includes=("common.time_layers",),
    ),
    "attention_layer": Module(
        {"fastseq.layers": "WeightSum AttentionWeight Attention TimeAttention Softmax"},
        includes=("common.np",),
    ),
    "attention_seq2seq": Module(
        {
            "fastseq.models": "AttentionEncoder AttentionDecoder AttentionSeq2seq "
            "AttentionBiEncoder AttentionBiSeq2seq Encoder Seq2seq",
            "fastseq.layers": "TimeAttention",
        },
        includes=("common.time_layers",),
    ),
}

PACKAGES = ("common", "dataset", "ch06", "ch07", "ch08")
"""The packages of the served modules. They have no names of their own."""

MODULES: Mapping[str, Module] = (
    _COMMON
    | _CHAPTERS
    | {
        f"{chapter}.{name}": module
        for chapter in ("ch06", "ch07", "ch08")
        for name, module in _CHAPTERS.items()
    }
)
"""Every served module by its full name."""


def is_served(module: str) -> bool:
    """Whether fastseq stands behind a module or package of this name."""
    return module in MODULES or module in PACKAGES


def sources(module: str) -> dict[str, str]:
    """Every fastseq name of a served module, and the module of fastseq that should hold it."""
    entry = MODULES.get(module, Module())
    found = {name: source for source, names in entry.names.items() for name in names.split()}
    for other in entry.includes:
        found = sources(other) | found
    return found


def whole_modules(module: str) -> dict[str, str]:
    """The names of a served module that are modules themselves, and which they are.

    Those that are not installed are left out.
    """
    entry = MODULES.get(module, Module())
    found = {
        name: target
        for name, target in entry.modules.items()
        if importlib.util.find_spec(target.partition(".")[0]) is not None
    }
    for other in entry.includes:
        found = whole_modules(other) | found
    return found


def load(module: str) -> dict[str, Any]:
    """The fastseq names of a served module with their values; what fastseq lacks is left out."""
    values = {}
    for name, source in sources(module).items():
        holder = importlib.import_module(source)
        if hasattr(holder, name):
            values[name] = getattr(holder, name)
    return values
