"""What a model is but for its weights: hyperparameters, vocabularies, and lengths it has seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastseq.transducer import hyperparameters
from fastseq.transducer.data.batches import Pairs, Sequences
from fastseq.transducer.data.copies import copied_as
from fastseq.transducer.data.forms import Text
from fastseq.transducer.data.vocabulary import Vocabulary
from fastseq.transducer.hyperparameters import HYPERPARAMETERS
from fastseq.transducer.network.parameters import NetworkConfig, parameter_shapes

_LARGEST_NETWORK = 2**31


class Vocabularies(NamedTuple):
    """The symbols of both sides."""

    source: Vocabulary
    target: Vocabulary

    def encode(self, sources: Sequence[Text], targets: Sequence[Text]) -> Pairs:
        """The ids of some pairs."""
        return Pairs(Sequences.encode(self.source, sources), Sequences.encode(self.target, targets))


class Lengths(NamedTuple):
    """The most symbols that a source and a target of the training data have."""

    source: int
    target: int


@dataclass(frozen=True)
class ModelConfig:
    """Hyperparameters, vocabularies and lengths of a model, together.

    Attributes
    ----------
    params : dict
        Every hyperparameter, in the types that JSON knows.
    vocabulary : Vocabularies
    lengths : Lengths
    """

    params: dict[str, Any]
    vocabulary: Vocabularies
    lengths: Lengths

    # the entries of `to_json`
    ENTRIES = ("configuration", "source_vocabulary", "target_vocabulary", "lengths")

    def network_config(self) -> NetworkConfig:
        """The network that this describes.

        Raises
        ------
        ValueError
            It is too large: nothing of that size is trained, nor is a file believed that promises
            it.
        """
        names = set(NetworkConfig.__dataclass_fields__) & set(self.params)
        config = NetworkConfig(
            source_size=len(self.vocabulary.source),
            target_size=len(self.vocabulary.target),
            copies=copied_as(*self.vocabulary) if self.params["copy"] else None,
            **{name: self.params[name] for name in names},
        )
        size = 4 * sum(math.prod(shape) for shape in parameter_shapes(config).values())
        if size > _LARGEST_NETWORK:
            raise ValueError(
                f"hidden_size, embedding_size, layers: expected a network of at most "
                f"{_LARGEST_NETWORK:,} bytes, got one of {size:,}"
            )
        return config

    def to_json(self) -> dict[str, Any]:
        """What `from_json` makes the same description of, in the types that JSON knows."""
        return {
            "configuration": self.params,
            "source_vocabulary": self.vocabulary.source.to_json(),
            "target_vocabulary": self.vocabulary.target.to_json(),
            "lengths": list(self.lengths),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> ModelConfig:
        """Rebuild a description from the result of `to_json`, which is not trusted.

        A hyperparameter that is missing, because it is newer than the file, has its default.

        Raises
        ------
        TypeError, ValueError
            An entry is something else; the message names it.
        """
        params = params_from_json(document["configuration"])
        sides = []
        for name in ("source_vocabulary", "target_vocabulary"):
            try:
                sides.append(Vocabulary.from_json(document[name]))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        lengths = document["lengths"]
        if not _are_lengths(lengths):
            raise ValueError(f"lengths: expected two whole numbers, got {str(lengths)[:60]}")
        return cls(params, Vocabularies(*sides), Lengths(*lengths))


def params_from_json(configuration: Any) -> dict[str, Any]:
    """Every hyperparameter, from an entry that is not trusted; see `ModelConfig.from_json`."""
    if not isinstance(configuration, dict):
        raise ValueError("configuration: expected an object")
    hyperparameters.check_names(configuration)
    params = {each.name: each.default for each in HYPERPARAMETERS} | configuration
    hyperparameters.check(params, chosen=True)
    return params


def _are_lengths(lengths: object) -> bool:
    return (
        isinstance(lengths, list)
        and len(lengths) == 2
        and all(type(length) is int and 0 <= length < 2**31 for length in lengths)
    )
