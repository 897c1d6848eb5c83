"""Checkpoints: the state of a training in one file, and the way back."""

from __future__ import annotations

import os
from typing import Any

from fastseq.transducer import model_file as files
from fastseq.transducer.hyperparameters import BY_NAME, is_undecided
from fastseq.transducer.model_config import ModelConfig
from fastseq.transducer.model_file import Shapes
from fastseq.transducer.training.loop import Training

KIND = "fastseq.checkpoint"

# What may be another when training is resumed: it decides only when training ends; or what it
# makes of the data is compared as such, with the vocabularies.
_FREE = ("epochs", "final_epochs", "patience", "normalize", "lowercase", "max_length")
# What a training had before a hyperparameter was there, if not what is the default for many pairs.
_BEFORE = {"averaging": 0.0, "unknown_rate": 0.0}
# No step takes less; speeds are divided by it.
_LEAST_SECONDS = 1e-9


def file_name(folder: str | os.PathLike[str]) -> str:
    """The checkpoint file in a folder."""
    return os.path.join(os.fspath(folder), "checkpoint.safetensors")


def save(path: str, training: Training, config: ModelConfig) -> None:
    """Write the state of a training.

    Parameters
    ----------
    path : str
    training : Training
    config : ModelConfig
        Of the model.

    Raises
    ------
    OSError
        The file cannot be written; the checkpoint before it is still there.
    """
    files.write(path, KIND, training.arrays(), config.to_json() | {"training": training.state()})


def restore(path: str, training: Training, config: ModelConfig) -> None:
    """Let a new training go on from a file.

    Parameters
    ----------
    path : str
    training : Training
        As it was made when the checkpoint's training began.
    config : ModelConfig
        As given to `save`. Only the hyperparameters `epochs` and `patience` may be others.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is no checkpoint, damaged, or of other training: the message says in what they differ.
    """

    def shapes(saved: dict[str, Any]) -> Shapes:
        _require_same(saved, config.to_json())
        return {name: array.shape for name, array in training.arrays().items()}

    arrays, saved = files.read(path, KIND, (*ModelConfig.ENTRIES, "training"), shapes)
    try:
        _check_state(saved["training"], training)
        training.restore(saved["training"], arrays)
    except (KeyError, TypeError, AttributeError, OverflowError) as error:  # from the generators
        raise ValueError(f"{path}: training: damaged ({error!r})") from error
    except ValueError as error:
        raise ValueError(f"{path}: training: {error}") from error


def trained_with(path: str, params: dict[str, Any]) -> dict[str, Any]:
    """The hyperparameters, where they are "auto" those of the training that a checkpoint is of.

    Parameters
    ----------
    path : str
    params : dict

    Returns
    -------
    dict

    Raises
    ------
    OSError, ValueError
        As for `restore`.
    """
    saved = files.read_document(path, KIND, ModelConfig.ENTRIES)["configuration"]
    if not isinstance(saved, dict):
        raise ValueError(f"{path}: configuration: expected an object")
    undecided = [name for name, value in params.items() if is_undecided(name, value)]
    decided = {name: _saved_value(saved, name) for name in undecided}
    for name, value in decided.items():
        try:
            BY_NAME[name].check(value)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error
    return params | decided


def _saved_value(saved: dict[str, Any], name: str) -> Any:
    return saved.get(name, _BEFORE.get(name, BY_NAME[name].default))


def _require_same(saved: dict[str, Any], document: dict[str, Any]) -> None:
    ours, theirs = document["configuration"], saved["configuration"]
    if not isinstance(theirs, dict):
        raise ValueError("configuration: expected an object")
    for name, value in ours.items():
        saved_value = _saved_value(theirs, name)
        if name not in _FREE and saved_value != value:
            raise ValueError(
                f"{name}: expected {saved_value!r}, with which the training began; got {value!r}"
            )
    for name in document:
        if name != "configuration" and saved[name] != document[name]:
            raise ValueError(
                f"{name}: expected that of the checkpoint; got other pairs, or another normalize, "
                "lowercase or max_length"
            )


def _check_state(state: Any, training: Training) -> None:
    """ValueError, naming the entry, where a state is none that this training can come to.

    The states of the generators are left to NumPy, which checks them when it takes them.
    """
    ours = training.state()
    files.check_object("state", state, [name for name in ours if name != "optimizer"])
    # a checkpoint of version 0.1 has no entry of the optimizer's, which was Adam
    state.setdefault("optimizer", {"iter": state["updates"]})
    files.check_object("optimizer", state["optimizer"], ours["optimizer"])
    for name in ("pairs", "validation"):
        if state[name] != ours[name]:
            raise ValueError(f"{name}: expected those of the checkpoint, got others")
    history, epoch, schedule = state["history"], state["epoch"], state["schedule"]
    files.check_history(history)
    entries = ["learning_rate", "best"]
    if ours["validation"] is not None:
        entries += ["validation_loss", "validation_accuracy"]
    for place, logs in enumerate(history):
        files.check_object(f"history[{place}]", logs, entries)
        files.check_number(f"history[{place}].learning_rate", logs["learning_rate"])
    files.check_number("best_epoch", state["best_epoch"], 0, len(history), int)

    files.check_object("epoch", epoch, ours["epoch"])
    steps = epoch["steps"]
    files.check_number("epoch.steps", steps, 0, training.steps_per_epoch, int)
    files.check_number("epoch.symbols", epoch["symbols"], steps, kind=int)
    files.check_number("epoch.loss_sum", epoch["loss_sum"], 0)
    files.check_number("epoch.seconds", epoch["seconds"], _LEAST_SECONDS if steps else 0)
    updates = len(history) * training.steps_per_epoch + steps
    files.check_number("updates", state["updates"], updates, updates, int)
    for name in ours["optimizer"]:
        files.check_number(f"optimizer.{name}", state["optimizer"][name], updates, updates, int)
    files.check_object("schedule", schedule, ours["schedule"])
    files.check_number("schedule.factor", schedule["factor"], 0, 1)
    waited = training.plan.plateau_patience
    files.check_number("schedule.epochs_waited", schedule["epochs_waited"], 0, waited, int)
