"""The hyperparameters of a Transducer: what each may be, said once for Python and command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np

from fastseq.transducer.data.columns import Columns
from fastseq.transducer.hyperparameters.hyperparameter import AUTO, Hyperparameter
from fastseq.transducer.network.parameters import check_copy, check_reset_after

# The choices of HYPERPARAMETERS, for type checkers; those of tokens are in forms.Tokens.
Auto = Literal["auto"]
Normalization = Literal["auto", "none", "NFC", "NFD", "NFKC"]
Cell = Literal["lstm", "gru"]
Encoder = Literal["bidirectional", "unidirectional"]
AttentionKind = Literal["none", "dot", "scaled_dot", "general", "additive", "hard", "auto"]
ScheduleKind = Literal["constant", "plateau", "warmup_inverse_sqrt"]
Monitor = Literal["accuracy", "loss"]
Precision = Literal["default", "float32", "bfloat16"]

# The limits above are far beyond what a CPU trains; they keep a hostile file from asking for more.
_LARGEST_SIZE = 2**15
_LARGEST_COUNT = 2**40
_SMALLEST_NUMBER = 1e-12

HYPERPARAMETERS = (
    Hyperparameter(
        "source_tokens",
        "char",
        "symbols of a source: its characters, or what white space separates",
        choices=("char", "space"),
    ),
    Hyperparameter(
        "target_tokens", "char", "symbols of a target, in the same way", choices=("char", "space")
    ),
    Hyperparameter(
        "columns",
        "source,target",
        "what the columns of a file are: source, target, features, weight, - for one to skip; "
        "or where, as source=2,target=1",
        check_text=Columns.parse,
    ),
    Hyperparameter(
        "feature_separators",
        ";|,() ",
        "characters that separate the tags in a column of features",
        check_text=str,
    ),
    Hyperparameter(
        "normalize",
        "auto",
        "Unicode form that texts are read in; auto takes NFD where it makes symbols much fewer",
        choices=("auto", "none", "NFC", "NFD", "NFKC"),
    ),
    Hyperparameter("lowercase", False, "read sources in lower case"),
    Hyperparameter(
        "max_length",
        None,
        "leave out pairs of which a side has more symbols",
        least=1,
        most=_LARGEST_COUNT,
        optional=True,
        kind=int,
    ),
    Hyperparameter("embedding_size", 64, "width of a symbol's vector", least=1, most=_LARGEST_SIZE),
    Hyperparameter("hidden_size", 256, "width of the recurrent state", least=1, most=_LARGEST_SIZE),
    Hyperparameter(
        "layers", 2, "recurrent layers in encoder and decoder", least=1, most=64, automatic=True
    ),
    Hyperparameter("cell", "lstm", "kind of the recurrent layers", choices=("lstm", "gru")),
    Hyperparameter(
        "reset_after",
        False,
        "let the GRU's reset gate act after the product, as in cuDNN, PyTorch and Keras",
    ),
    Hyperparameter(
        "encoder",
        "bidirectional",
        "read the source in both directions, each with half the state, or in one",
        choices=("bidirectional", "unidirectional"),
    ),
    Hyperparameter(
        "attention",
        "dot",
        "how the decoder scores the parts of the source",
        choices=("none", "dot", "scaled_dot", "general", "additive", "hard"),
        automatic=True,
    ),
    Hyperparameter(
        "copy",
        False,
        "let the decoder copy symbols of the source, also those that it has never seen; not with "
        "the attention none or hard",
    ),
    Hyperparameter("peeky", False, "show the encoder's final state to every step of the decoder"),
    Hyperparameter("reverse", False, "read the source from its end"),
    Hyperparameter(
        "dropout",
        0.2,
        "share of the layers' outputs dropped in training",
        most=1.0,
        below=True,
        automatic=True,
    ),
    Hyperparameter(
        "unknown_rate",
        1.0,
        "how many times an epoch, about, each symbol of the sources is read as unknown, so that an "
        "unknown one is read as a symbol",
        most=_LARGEST_COUNT,
        automatic=True,
    ),
    Hyperparameter(
        "label_smoothing",
        0.0,
        "share of the target's probability given to all symbols alike",
        most=1.0,
        below=True,
        automatic=True,
    ),
    Hyperparameter("epochs", 100, "train so many epochs at most", least=1, most=_LARGEST_COUNT),
    Hyperparameter(
        "final_epochs",
        0,
        "where a share of the pairs is held out, go on from the best weights for so many epochs on "
        "all pairs, at 0.3 of the learning rate",
        most=_LARGEST_COUNT,
        automatic=True,
    ),
    Hyperparameter(
        "batch_size", 32, "pairs in a training step", least=1, most=_LARGEST_COUNT, automatic=True
    ),
    Hyperparameter(
        "shards",
        1,
        "parts of a batch whose gradients are summed, for several processes (mpiexec)",
        least=1,
        most=2**16,
    ),
    Hyperparameter("learning_rate", 0.001, "Adam's, at its highest", least=_SMALLEST_NUMBER),
    Hyperparameter(
        "schedule",
        "plateau",
        "how the learning rate changes: not; halved when epochs bring nothing better; up, then "
        "down with the root of the steps",
        choices=("constant", "plateau", "warmup_inverse_sqrt"),
    ),
    Hyperparameter(
        "plateau_patience",
        2,
        "epochs without a better one before the rate is halved (plateau)",
        least=1,
        most=_LARGEST_COUNT,
        automatic=True,
    ),
    Hyperparameter(
        "warmup_steps",
        1000,
        "steps up to the highest rate (warmup_inverse_sqrt)",
        least=1,
        most=_LARGEST_COUNT,
    ),
    Hyperparameter(
        "averaging",
        0.99,
        "share of the past in the running average of the weights, which is tried and kept; 0 for "
        "the weights themselves",
        most=1.0,
        below=True,
        automatic=True,
    ),
    Hyperparameter(
        "max_grad", 5.0, "largest norm of the gradients; above it they are scaled", least=1e-6
    ),
    Hyperparameter(
        "monitor",
        "accuracy",
        "what makes an epoch the best: exact matches or loss on the pairs held out",
        choices=("accuracy", "loss"),
    ),
    Hyperparameter(
        "patience",
        5,
        "stop after so many epochs without a better one",
        least=1,
        most=_LARGEST_COUNT,
        optional=True,
        automatic=True,
    ),
    Hyperparameter(
        "precision",
        "default",
        "what operands of products are rounded to: that of fastseq.set_precision, or one of these",
        choices=("default", "float32", "bfloat16"),
    ),
    Hyperparameter("seed", 0, "of the weights, the order, dropout and the split", most=2**63 - 1),
)
BY_NAME = {each.name: each for each in HYPERPARAMETERS}


def is_undecided(name: str, value: Any) -> bool:
    """Whether `fit` has yet to choose the value of this hyperparameter."""
    return bool(BY_NAME[name].automatic and value == AUTO)


def check(values: Mapping[str, Any], *, chosen: bool = False) -> None:
    """Require values that a Transducer can be trained with.

    Parameters
    ----------
    values : mapping
        Of every hyperparameter.
    chosen : bool
        Whether those that may be "auto" have been chosen, and may not be that any more.

    Raises
    ------
    TypeError, ValueError
        One is of the wrong kind or out of its range; the message names it.
    """
    for each in HYPERPARAMETERS:
        if chosen and is_undecided(each.name, values[each.name]):
            raise ValueError(f"{each.name}: expected a value that was trained with, got {AUTO!r}")
        each.check(values[each.name])
    check_reset_after(values["reset_after"], values["cell"])
    check_copy(values["copy"], values["attention"])
    if values["encoder"] == "bidirectional" and values["hidden_size"] % 2:
        raise ValueError(
            "hidden_size: expected an even number, half for each direction of the bidirectional "
            f"encoder; got {values['hidden_size']}"
        )


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values, NumPy's numbers as Python's: what JSON knows."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in values.items()
    }


def check_names(names: Iterable[str]) -> None:
    """Require names of hyperparameters.

    Raises
    ------
    ValueError
        One is none; the message lists those that there are.
    """
    for name in names:
        if name not in BY_NAME:
            raise ValueError(f"{name}: no such hyperparameter; there are {', '.join(BY_NAME)}")
