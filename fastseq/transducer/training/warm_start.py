"""Training that goes on from a trained model, also on pairs with symbols that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy.typing as npt

from fastseq.transducer.data.forms import TextForm
from fastseq.transducer.data.vocabulary import Vocabulary
from fastseq.transducer.model_config import Lengths, ModelConfig, Vocabularies
from fastseq.transducer.network.parameters import NetworkConfig

Array = npt.NDArray[Any]

# Those of a network that its weights do not depend on.
_FREE = ("source_size", "target_size", "dropout", "copies")

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
        The network is another; the message names the hyperparameter.
    """
    copy = start.config.params["copy"]
    if new.params["copy"] != copy:
        raise ValueError(
            f"copy: expected {copy}, as in the model to go on from; got {new.params['copy']}"
        )
    before, now = start.config.network_config(), new.network_config()
    for field in fields(NetworkConfig):
        expected, got = getattr(before, field.name), getattr(now, field.name)
        if field.name not in _FREE and got != expected:
            raise ValueError(
                f"{field.name}: expected {expected!r}, as in the model to go on from; got {got!r}"
            )
    sides = zip(start.config.vocabulary, new.vocabulary, strict=True)
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


def kept_forms(start: Start, forms: tuple[TextForm, TextForm]) -> tuple[TextForm, TextForm]:
    """The forms in which a trained model reads texts, for new ones.

    Raises
    ------
    ValueError
        The new texts are of another kind; the message names the hyperparameter.
    """
    for side, vocabulary, new in zip(
        ("source", "target"), start.config.vocabulary, forms, strict=True
    ):
        known = vocabulary.text_form
        if new.tokens != known.tokens:
            raise ValueError(
                f"{side}_tokens: expected texts of form {known.tokens!r}, as in the model to go on "
                f"from; got {new.tokens!r}"
            )
        if new.tag_columns != known.tag_columns:
            raise ValueError(
                f"columns: expected {known.tag_columns} of features, as in the model to go on "
                f"from; got {new.tag_columns}"
            )
    source, target = start.config.vocabulary
    return source.text_form, target.text_form


def _extended(known: Vocabulary, new: Vocabulary) -> Vocabulary:
    """The known symbols, then those that are new."""
    added = [entry for entry in new.entries if entry not in known.entries]
    return Vocabulary((*known.entries, *added), known.text_form)
