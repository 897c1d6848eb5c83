"""The hyperparameters of a Transducer: what each may be, said once for Python and command line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from fastseq.transducer.data.columns import Columns
from fastseq.transducer.network.parameters import check_copy, check_reset_after

# What an automatic hyperparameter is until `fit` chooses a value.
AUTO = "auto"

# The choices of HYPERPARAMETERS, for type checkers; those of tokens are in forms.Tokens.
Auto = Literal["auto"]
Normalization = Literal["auto", "none", "NFC", "NFD", "NFKC"]
Cell = Literal["lstm", "gru"]
Encoder = Literal["bidirectional", "unidirectional"]
AttentionKind = Literal["none", "dot", "scaled_dot", "general", "additive", "hard", "auto"]
ScheduleKind = Literal["constant", "plateau", "warmup_inverse_sqrt"]
Monitor = Literal["accuracy", "loss"]
Precision = Literal["default", "float32", "bfloat16"]


class Hyperparameter(NamedTuple):
    """One of them: its default and kind, the values it takes, and what it is for.

    Numbers lie from `least` to `most`, where `below` leaves `most` itself out. `optional` lets None
    stand for "never"; the kind of a number is then `kind`, unless the default shows it. A string is
    one of `choices`, or what `check_text` accepts. Where it is `automatic`, it may be "auto" and is
    that unless it is given: `training.automatic` then chooses a value for the pairs; the default is
    the one for many pairs.
    """

    name: str
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    least: float = 0
    most: float = math.inf
    below: bool = False
    optional: bool = False
    automatic: bool = False
    kind: type | None = None
    check_text: Callable[[str], object] | None = None

    @property
    def initial(self) -> Any:
        """Its value in a Transducer that is not given one."""
        return AUTO if self.automatic else self.default

    @property
    def value_type(self) -> type:
        """The type of its values other than None."""
        return self.kind or type(self.default)

    def check(self, value: Any) -> None:
        """TypeError or ValueError, naming the hyperparameter, unless the value is allowed."""
        if (value is None and self.optional) or (self.automatic and value == AUTO):
            return
        kind = self.value_type
        if kind is bool or kind is str:
            fits = isinstance(value, np.bool_ | bool if kind is bool else str)
        else:
            whole = int | np.integer
            fits = isinstance(value, whole if kind is int else whole | float | np.floating)
            fits = fits and not isinstance(value, bool)
        if not fits:
            raise TypeError(
                f"{self.name}: expected {_KINDS[kind]}{self._others()}, got {type(value).__name__}"
            )
        if self.check_text is not None:
            self.check_text(value)
        elif kind is str and value not in self.choices:
            raise ValueError(
                f"{self.name}: expected one of {', '.join(self.choices)}; got {value!r}"
            )
        if kind in (int, float) and not self._in_range(value):
            raise ValueError(f"{self.name}: expected {self.range_text()}, got {value}")

    def _others(self) -> str:
        return f" or {AUTO!r}" * self.automatic + " or None" * self.optional

    def range_text(self) -> str:
        """The range of a number, in words."""
        if math.isinf(self.most):
            return f"at least {self.least}"
        return f"{self.least} to {'below ' * self.below}{self.most}"

    def _in_range(self, value: float) -> bool:
        # false for NaN
        return self.least <= value < math.inf and (
            value < self.most if self.below else value <= self.most
        )


_KINDS = {int: "an integer", float: "a number", bool: "True or False", str: "a string"}

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
    ),
    Hyperparameter("epochs", 100, "train so many epochs at most", least=1, most=_LARGEST_COUNT),
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


class Configurable:
    """scikit-learn's methods over the attributes that hold hyperparameters."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The hyperparameters, as given to the constructor: "auto" stays that after `fit`.

        Parameters
        ----------
        deep : bool
            Without effect; scikit-learn passes it.

        Returns
        -------
        dict of str to value

        Examples
        --------
        >>> from fastseq import Transducer
        >>> Transducer(hidden_size=64).get_params()["hidden_size"]
        64
        """
        return {each.name: getattr(self, _attribute(each.name)) for each in HYPERPARAMETERS}

    def set_params(self, **params: Any) -> Self:
        """Change hyperparameters; what was trained stays until the next `fit`.

        Parameters
        ----------
        **params
            New values by name; they are checked by `fit`.

        Returns
        -------
        The object itself.

        Raises
        ------
        ValueError
            There is no hyperparameter of such a name. None is changed then.

        Examples
        --------
        >>> from fastseq import Transducer
        >>> Transducer(cell="gru").set_params(hidden_size=64)
        Transducer(hidden_size=64, cell='gru')
        """
        check_names(params)
        for name, value in params.items():
            setattr(self, _attribute(name), value)
        return self

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn requires of an estimator; it is installed where this is called."""
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=True),
            input_tags=InputTags(two_d_array=False, string=True),
        )

    def __repr__(self) -> str:
        defaults = {each.name: each.initial for each in HYPERPARAMETERS}
        changed = {k: v for k, v in self.get_params().items() if v != defaults[k]}
        arguments = ", ".join(f"{name}={value!r}" for name, value in changed.items())
        return f"{type(self).__name__}({arguments})"


def _attribute(name: str) -> str:
    """Where a hyperparameter is stored: `attention` is the name of a method already."""
    return "attention_kind" if name == "attention" else name
