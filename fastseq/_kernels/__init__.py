"""The boundary between Python and the C kernels: converts, checks, allocates, releases the GIL.

There is one module per topic, named as in ``csrc/kernels``. Signatures, shapes and types are in the
``.pyi`` files, the operations in ``csrc/fastseq.h``. Every function has the same steps:

1. *convert* every argument, once, to an array or number that only the function refers to;
2. *check* the converted arguments;
3. take a *snapshot* of the settings: table, threads and pool;
4. *claim* the workspace, if there is one;
5. *call* the kernel without the GIL, and release the claim.

Only conversion runs code of the caller (such as ``__array__``). After it, neither such code nor
another thread can change the values that were checked.

Errors are TypeError, ValueError, IndexError, MemoryError or RuntimeError, and name the argument.
"""

# NumPy is imported first, because it cannot be loaded in a second interpreter of the process. The
# modules below would otherwise be bound to that interpreter, and fail to load in the first.
from importlib.util import find_spec

import numpy  # noqa: F401

if find_spec(f"{__name__}.runtime") is None:
    raise ImportError(
        f"{__path__[0]} holds the sources of fastseq and no compiled modules: start Python in "
        "another folder, where the installed package is found, or `pip install -e .` here"
    )

from fastseq._kernels.attention import (
    additive_weight_backward,
    additive_weight_forward,
    attention_backward,
    attention_forward,
    attention_weight_backward,
    attention_weight_forward,
    weight_sum_backward,
    weight_sum_forward,
)
from fastseq._kernels.cells import CELLS, Cell
from fastseq._kernels.decoding import Decoded, Found, beam_search, decode, decode_together
from fastseq._kernels.dense import (
    affine_backward,
    affine_forward,
    embedding_backward,
    embedding_forward,
    exp,
    log_mean_exp,
    log_softmax,
    sigmoid,
    softmax,
    softmax_loss_backward,
    softmax_loss_forward,
    tanh,
)
from fastseq._kernels.hard_attention import (
    JUMPS,
    hard_attention_backward,
    hard_attention_forward,
    position_features_backward,
    position_features_forward,
)
from fastseq._kernels.optim import (
    adagrad_step,
    adam_step,
    global_norm,
    momentum_step,
    nesterov_step,
    rmsprop_step,
    scale,
    sgd_step,
)
from fastseq._kernels.recurrent import Workspace, recurrent_backward, recurrent_forward
from fastseq._kernels.runtime import (
    available_isas,
    bfloat16_isas,
    build_info,
    exchange_thread_precision,
    get_num_threads,
    get_precision,
    isa,
    set_isa,
    set_num_threads,
    set_precision,
)

__all__ = [
    "CELLS",
    "JUMPS",
    "Cell",
    "Decoded",
    "Found",
    "Workspace",
    "adagrad_step",
    "adam_step",
    "additive_weight_backward",
    "additive_weight_forward",
    "affine_backward",
    "affine_forward",
    "attention_backward",
    "attention_forward",
    "attention_weight_backward",
    "attention_weight_forward",
    "available_isas",
    "beam_search",
    "bfloat16_isas",
    "build_info",
    "decode",
    "decode_together",
    "embedding_backward",
    "embedding_forward",
    "exchange_thread_precision",
    "exp",
    "get_num_threads",
    "get_precision",
    "global_norm",
    "hard_attention_backward",
    "hard_attention_forward",
    "isa",
    "log_mean_exp",
    "log_softmax",
    "momentum_step",
    "nesterov_step",
    "position_features_backward",
    "position_features_forward",
    "recurrent_backward",
    "recurrent_forward",
    "rmsprop_step",
    "scale",
    "set_isa",
    "set_num_threads",
    "set_precision",
    "sgd_step",
    "sigmoid",
    "softmax",
    "softmax_loss_backward",
    "softmax_loss_forward",
    "tanh",
    "weight_sum_backward",
    "weight_sum_forward",
]
