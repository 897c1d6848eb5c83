"""Training that goes on from a trained model, also on pairs with symbols that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy.typing as npt

from fastseq.transducer.data.vocabulary import SPECIAL_SYMBOLS, Vocabulary
from fastseq.transducer.model_config import Lengths, ModelConfig, Vocabularies
from fastseq.transducer.network.parameters import NetworkConfig

Array = npt.NDArray[Any]

# Those of a network that its weights do not depend on.
_FREE = ("source_size", "target_size", "dropout")

# The axis of the symbols in the parameters that have one.
_SYMBOL_AXES = {"source_embedding": 0, "target_embedding": 0, "output.W": 1, "output.b": 0}


class Start(NamedTuple):
    """A trained model to go on from."""

    config: ModelConfig
    params: Mapping[str, Array]


def extended_config(start: Start, new: ModelConfig) -> ModelConfig:
    """What a model is that goes on from another on new pairs.

    Parameters
    ----------
    start : Start
    new : ModelConfig
        Of a model trained on the new pairs alone.

    Returns
    -------
    ModelConfig
        Symbols keep their ids, those that are new follow. Lengths are the larger ones.

    Raises
    ------
    ValueError
        The network, or the form of the texts, is another; the message names the hyperparameter.
    """
    before, now = start.config.network_config(), new.network_config()
    for field in fields(NetworkConfig):
        expected, got = getattr(before, field.name), getattr(now, field.name)
        if field.name not in _FREE and got != expected:
            raise ValueError(
                f"{field.name}: expected {expected!r}, as in the model to go on from; got {got!r}"
            )
    sides = zip(("source", "target"), start.config.vocabulary, new.vocabulary, strict=True)
    return ModelConfig(
        new.params,
        Vocabularies(*(_extended(*side) for side in sides)),
        Lengths(*map(max, start.config.lengths, new.lengths)),
    )


def take_weights(start: Start, params: Mapping[str, Array]) -> None:
    """Overwrite initial parameters by trained ones; those of new symbols stay as drawn."""
    for name, param in params.items():
        trained = start.params[name]
        known = [slice(None)] * param.ndim
        if name in _SYMBOL_AXES:
            known[_SYMBOL_AXES[name]] = slice(trained.shape[_SYMBOL_AXES[name]])
        param[tuple(known)] = trained


def _extended(side: str, known: Vocabulary, new: Vocabulary) -> Vocabulary:
    """The known symbols, then those that are new."""
    if new.form != known.form:
        raise ValueError(
            f"{side}_tokens: expected texts of form {known.form!r}, as in the model to go on from; "
            f"got {new.form!r}"
        )
    first = len(SPECIAL_SYMBOLS)
    added = [symbol for symbol in new.symbols[first:] if symbol not in known.symbols]
    return Vocabulary((*known.symbols[first:], *added), known.form)
