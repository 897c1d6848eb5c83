"""Layers of Keras as layers of fastseq; neither Keras nor h5py is needed."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.interop.dense import Dense
from fastseq.interop.gates import KERAS, Weights
from fastseq.interop.keras_files import KerasFile, KerasLayer
from fastseq.interop.sources import open_source
from fastseq.interop.stacks import make_stack
from fastseq.layers import Affine, Embedding, MatMul
from fastseq.layers.base import checked
from fastseq.layers.recurrent.stack import RecurrentStack

Array = npt.NDArray[Any]
Layer = RecurrentStack | Embedding | MatMul

_CELLS = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "rnn"}


class _Unknown(ValueError):
    """A layer is of no kind that fastseq has."""


def from_keras(path: str | os.PathLike[str], name: str | None = None) -> Layer | dict[str, Layer]:
    """Layers of fastseq with the weights of a model that Keras has saved.

    Neither Keras nor h5py need be installed.

    ================================  ========================================================
    Keras                             fastseq
    ================================  ========================================================
    ``LSTM``, ``GRU``, ``SimpleRNN``  `RecurrentStack` of one layer
    ``Bidirectional`` of one of them  the same, of two directions
    ``Embedding``                     `Embedding`
    ``Dense``                         `Affine`; with activation `Dense`; without bias `MatMul`
    ``TimeDistributed`` of a Dense    as the Dense
    ================================  ========================================================

    Parameters
    ----------
    path : path
        A whole model that ``model.save`` of Keras 2 or 3 has written, ``.keras`` or ``.h5``, of the
        class Sequential or functional.
    name : str, optional
        Of the one layer that is wanted.

    Returns
    -------
    layer, or dict of str to layer
        The layer of that name; else each by its name, in the model's order. Layers of other kinds
        are left out.

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        It is damaged, or holds weights alone; there is no such layer; or it cannot be computed, as
        ``recurrent_activation="hard_sigmoid"``. The message, one line, names the file, the layer
        and the option.

    Notes
    -----
    A `RecurrentStack` returns the outputs of all steps and the last states, whatever
    ``return_sequences`` and ``return_state`` are. The mask of Keras, as of
    ``Embedding(mask_zero=True)``, becomes ``lengths``; past a row's length the outputs are 0 here,
    and in Keras those of the last step unless ``zero_output_for_mask``. Dropout belongs to training
    and is left out.

    Examples
    --------
    >>> from fastseq.interop import from_keras
    >>> layers = from_keras("model.keras")  # doctest: +SKIP
    >>> hs, state = layers["encoder"].run(xs)  # doctest: +SKIP
    """
    with open_source(path) as opened:
        file = KerasFile(opened)
        if name is not None:
            found = [layer for layer in file.layers if layer.name == name]
            if not found:
                known = ", ".join(repr(layer.name) for layer in file.layers[:10])
                raise ValueError(f"name: expected one of the layers {known}, got {name!r}")
            try:
                return _layer(file, found[0])
            except _Unknown as error:
                raise ValueError(str(error)) from error
        layers = {}
        for layer in file.layers:
            try:
                layers[layer.name] = _layer(file, layer)
            except _Unknown:
                continue
        if not layers:
            raise ValueError("expected an LSTM, GRU, SimpleRNN, Embedding or Dense, got none")
        return layers


def _layer(file: KerasFile, layer: KerasLayer) -> Layer:
    """One layer; errors begin with its name."""
    config = layer.config
    try:
        if layer.kind in _CELLS:
            weights = _weights(layer.kind, config, file.arrays(layer, "cell/vars"), False)
            return make_stack(KERAS, _cell(layer.kind, config), [[weights]])
        match layer.kind:
            case "Bidirectional":
                return _bidirectional(file, layer)
            case "Embedding":
                (table,) = _expect(file.arrays(layer, "vars"), ["embeddings"])
                return Embedding(_floats("embeddings", table, "(V, D)", None, None))
            case "Dense":
                return _dense(config, file.arrays(layer, "vars"))
            case "TimeDistributed":
                kind, inner = _inner(config, "layer")
                if kind == "Dense":
                    return _dense(inner, file.arrays(layer, "layer/vars"))
        raise _Unknown(f"fastseq has no layer like {layer.kind[:40]}")
    except (TypeError, ValueError) as error:
        kind_of_error = _Unknown if isinstance(error, _Unknown) else ValueError
        raise kind_of_error(f"layer {layer.name!r}: {error}") from error


def _bidirectional(file: KerasFile, layer: KerasLayer) -> RecurrentStack:
    config = layer.config
    _require(config, "merge_mode", "concat")
    kind, forward = _inner(config, "layer")
    if kind not in _CELLS:
        raise ValueError(f"layer: expected {', '.join(_CELLS)}, got {kind[:40]}")
    # Keras 2 says nothing of the backward layer where it is made of the forward one
    backward_kind, backward = kind, forward | {"go_backwards": True}
    if config.get("backward_layer") is not None:
        backward_kind, backward = _inner(config, "backward_layer")
    for option in ("units", "use_bias", "reset_after"):
        if kind != backward_kind or forward.get(option) != backward.get(option):
            raise ValueError(f"expected two directions of the same {option} and class")
    directions = [
        _weights(kind, forward, file.arrays(layer, "forward_layer/cell/vars"), False),
        _weights(kind, backward, file.arrays(layer, "backward_layer/cell/vars"), True),
    ]
    return make_stack(KERAS, _cell(kind, forward), [directions])


def _cell(kind: str, config: dict[str, Any]) -> str:
    # Keras 1 and 2.0 have no such option, and the gate before the product
    reset_after = kind == "GRU" and config.get("reset_after", False) is True
    return "gru_reset_after" if reset_after else _CELLS[kind]


def _weights(kind: str, config: dict[str, Any], arrays: list[Array], backwards: bool) -> Weights:
    """The weights of one direction, whose options are those that fastseq computes."""
    _require(config, "activation", "tanh")
    if kind != "SimpleRNN":
        _require(config, "recurrent_activation", "sigmoid")
    _require(config, "go_backwards", backwards)
    _require(config, "time_major", False)
    use_bias = config.get("use_bias", True) is True
    names = ["kernel", "recurrent_kernel", *(["bias"] if use_bias else [])]
    kernel, recurrent, *bias = _expect(arrays, names)
    cell = _cell(kind, config)
    G = _kernels.CELLS[cell].gates
    recurrent = _floats("recurrent_kernel", recurrent, "(H, G H)", None, None)
    H = len(recurrent)
    recurrent = _floats("recurrent_kernel", recurrent, "(H, G H)", H, G * H)
    kernel = _floats("kernel", kernel, "(D, G H)", None, G * H)
    if cell == "gru_reset_after" and bias:
        return Weights(kernel, recurrent, *_floats("bias", bias[0], "(2, G H)", 2, G * H))
    return Weights(kernel, recurrent, *(_floats("bias", b, "(G H,)", G * H) for b in bias))


def _dense(config: dict[str, Any], arrays: list[Array]) -> MatMul:
    use_bias = config.get("use_bias", True) is True
    kernel, *bias = _expect(arrays, ["kernel", *(["bias"] if use_bias else [])])
    W = _floats("kernel", kernel, "(K, M)", None, None)
    activation = _name_of(config.get("activation", "linear"))
    if activation in ("linear", "None") and not bias:
        return MatMul(W)
    M = W.shape[1]
    b = _floats("bias", bias[0], "(M,)", M) if bias else np.zeros(M, np.float32)
    return Affine(W, b) if activation in ("linear", "None") else Dense(W, b, activation)


def _inner(config: dict[str, Any], name: str) -> tuple[str, dict[str, Any]]:
    """Class and configuration of a layer inside another."""
    match config.get(name):
        case {"class_name": str(kind), "config": dict(inner)}:
            return kind, inner
    raise ValueError(f"damaged: its configuration has no {name}")


def _name_of(function: Any) -> str:
    """The name of an activation, which Keras writes as it is or as an object."""
    if isinstance(function, dict):
        inner = function.get("config")
        function = inner if isinstance(inner, str) else function.get("class_name")
    return str(function)[:40]


def _require(config: dict[str, Any], option: str, expected: str | bool) -> None:
    got = config.get(option, expected)
    name = got if isinstance(got, bool) else _name_of(got)
    if name != expected:
        raise ValueError(f"{option}: expected {expected}, got {name}")


def _expect(arrays: list[Array], names: list[str]) -> list[Array]:
    if len(arrays) != len(names):
        raise ValueError(f"expected {' and '.join(names)}, got {len(arrays)} arrays")
    return arrays


def _floats(name: str, array: Array, letters: str, *sizes: int | None) -> Array:
    return checked(name, array, letters, *sizes, kinds="f").astype(np.float32)
