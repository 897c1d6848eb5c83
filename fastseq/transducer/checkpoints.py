"""Checkpoints: the state of a training in one file, and the way back."""

from __future__ import annotations

import os
from typing import Any

from fastseq.transducer import files
from fastseq.transducer.description import Description
from fastseq.transducer.files import Shapes
from fastseq.transducer.parameters import NetworkConfig, parameter_shapes
from fastseq.transducer.training import Training

KIND = "fastseq.checkpoint"

_GROUPS = ("current", "adam.m", "adam.v", "best")
# What may be another when training is resumed: it decides only when training ends.
_FREE = ("epochs", "patience")


def file_name(folder: str | os.PathLike[str]) -> str:
    """The checkpoint file in a folder."""
    return os.path.join(os.fspath(folder), "checkpoint.safetensors")


def save(path: str, training: Training, description: Description) -> None:
    """Write the state of a training.

    Parameters
    ----------
    path : str
    training : Training
    description : Description
        Of the model.

    Raises
    ------
    OSError
        The file cannot be written; the checkpoint before it is still there.
    """
    files.write(
        path, KIND, training.arrays(), description.to_json() | {"training": training.state()}
    )


def restore(path: str, training: Training, description: Description) -> None:
    """Let a new training go on from a file.

    Parameters
    ----------
    path : str
    training : Training
        As it was made when the checkpoint's training began.
    description : Description
        As given to `save`. Only the hyperparameters `epochs` and `patience` may be others.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is no checkpoint, damaged, or of other training: the message says in what they differ.
    """

    def shapes(saved: dict[str, Any]) -> Shapes:
        _require_same(saved, description.to_json())
        return _array_shapes(training.network.config)

    arrays, saved = files.read(path, KIND, (*Description.ENTRIES, "training"), shapes)
    try:
        training.restore(saved["training"], arrays)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: training: damaged ({error!r})") from error
    except ValueError as error:
        raise ValueError(f"{path}: training: {error}") from error


def _array_shapes(config: NetworkConfig) -> Shapes:
    shapes = parameter_shapes(config)
    return {f"{group}.{name}": shape for group in _GROUPS for name, shape in shapes.items()}


def _require_same(saved: dict[str, Any], document: dict[str, Any]) -> None:
    ours, theirs = document["configuration"], saved["configuration"]
    if not isinstance(theirs, dict):
        raise ValueError("configuration: expected an object")
    for name, value in ours.items():
        if name not in _FREE and theirs.get(name) != value:
            raise ValueError(
                f"{name}: expected {theirs.get(name)!r}, with which the training began; "
                f"got {value!r}"
            )
    for name in document:
        if name != "configuration" and saved[name] != document[name]:
            raise ValueError(f"{name}: expected that of the checkpoint; got other pairs")
