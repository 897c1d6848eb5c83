"""The file of an ensemble: the arrays of all models, what they share once, the rest for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastseq.transducer import model_file
from fastseq.transducer.model_config import ModelConfig, params_from_json
from fastseq.transducer.model_file import Shapes
from fastseq.transducer.network.parameters import parameter_shapes

Array = npt.NDArray[np.float32]

MOST_MODELS = 100
_OWN = "configuration"
_SHARED = tuple(name for name in ModelConfig.ENTRIES if name != _OWN)


class Part(NamedTuple):
    """One model of an ensemble: what it is, its parameters, the logs of its epochs."""

    config: ModelConfig
    params: Mapping[str, Array]
    history: list[dict[str, Any]]


def write(path: str, parts: Sequence[Part], dtype: str) -> None:
    """Write models, which have the same vocabularies and lengths, to one file."""
    documents = [part.config.to_json() for part in parts]
    document: dict[str, Any] = {name: documents[0][name] for name in _SHARED}
    document["models"] = [
        {_OWN: own[_OWN], "history": model_file.saved_history(part.history)}
        for own, part in zip(documents, parts, strict=True)
    ]
    arrays = {
        _array_name(number, name): param
        for number, part in enumerate(parts)
        for name, param in part.params.items()
    }
    model_file.write(path, model_file.ENSEMBLE, arrays, document, dtype)


def read(path: str) -> list[Part]:
    """Read what `write` has written; it raises what `fastseq.transducer.model_file.read` raises."""
    configs: list[ModelConfig] = []

    def shapes(document: dict[str, Any]) -> Shapes:
        expected: dict[str, tuple[int, ...]] = {}
        models = _models(document)
        # the vocabularies, which may be large, are there once
        shared = ModelConfig.from_json({name: document[name] for name in _SHARED} | models[0])
        for number, own in enumerate(models):
            config = replace(shared, params=params_from_json(own[_OWN]))
            configs.append(config)
            for name, shape in parameter_shapes(config.network_config()).items():
                expected[_array_name(number, name)] = shape
        return expected

    arrays, document = model_file.read(path, model_file.ENSEMBLE, (*_SHARED, "models"), shapes)
    parts = []
    for number, (config, own) in enumerate(zip(configs, document["models"], strict=True)):
        names = parameter_shapes(config.network_config())
        params = {name: arrays[_array_name(number, name)] for name in names}
        parts.append(Part(config, params, own["history"]))
    return parts


def _array_name(number: int, name: str) -> str:
    return f"{number}.{name}"


def _models(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of the models, which are not trusted."""
    models = document["models"]
    if not isinstance(models, list) or not 1 <= len(models) <= MOST_MODELS:
        raise ValueError(f"models: expected a list of 1 to {MOST_MODELS}")
    for number, own in enumerate(models):
        if not isinstance(own, dict) or not {_OWN, "history"} <= own.keys():
            raise ValueError(f"models[{number}]: expected an object with {_OWN} and history")
        model_file.check_history(own["history"])
    return models
