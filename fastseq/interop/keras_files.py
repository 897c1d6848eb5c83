"""The configuration and the weights in a file that Keras has saved.

There are two formats. ``.keras`` is a zip file of ``config.json`` and ``model.weights.h5``, in
which a layer's arrays are found by its class; ``.h5`` is one HDF5 file, in which they are found by
name.
"""

from __future__ import annotations

import json
import re
from typing import Any, BinaryIO, NamedTuple

from fastseq.interop.hdf5 import Array, Hdf5
from fastseq.interop.sources import StoredEntries

_ZIP = b"PK\x03\x04"
_LARGEST_CONFIG = 2**24  # reading JSON takes up to 30 times its size
# The group with all layers. Keras before 2.15 counts each layer of a class twice: gru, gru_2.
_ROOT, _OLD_ROOT = "layers", "_layer_checkpoint_dependencies"
_MODELS = ("Sequential", "Functional", "Model")


class KerasLayer(NamedTuple):
    """A layer in a model's configuration.

    Attributes
    ----------
    name, kind : str
        The name that its user has chosen, and its class.
    config : dict
    number : int
        How many layers of its class are before it.
    """

    name: str
    kind: str
    config: dict[str, Any]
    number: int

    def key(self, step: int) -> str:
        """Its name in the weights of a ``.keras`` file, which counts the layers of a class."""
        name = _snake_case(self.kind)
        return f"{name}_{step * self.number}" if self.number else name


class KerasFile:
    """The content of a file of Keras.

    Parameters
    ----------
    file : BinaryIO
        Open for reading.

    Attributes
    ----------
    layers : list of KerasLayer

    Raises
    ------
    ValueError
        Here and in `arrays`: the file is damaged or something else.
    """

    def __init__(self, file: BinaryIO) -> None:
        is_zip = file.read(len(_ZIP)) == _ZIP
        if is_zip:
            entries = StoredEntries(file)
            self.layers = _read_config(entries.read("config.json"))
            self._file = Hdf5(bytes(entries.read("model.weights.h5")))
            self._weights = self._file.root
        else:
            file.seek(0)
            self._file = Hdf5(file.read())
            config = self._file.texts(self._file.root, "model_config")
            if not config:
                raise ValueError(
                    "expected a whole model, as model.save() writes it, got weights without "
                    "model_config"
                )
            self.layers = _read_config(config[0].encode())
            self._weights = self._file.find(self._file.root, "model_weights")
        self._is_legacy = not is_zip

    def arrays(self, layer: KerasLayer, part: str) -> list[Array]:
        """The arrays of a layer, or of a part of it, in the order in which Keras makes them.

        Parameters
        ----------
        layer : KerasLayer
        part : str
            "vars", or where they are in a layer that holds others, as "forward_layer/cell/vars".
        """
        file = self._file
        if not self._is_legacy:
            is_old = _OLD_ROOT in file.links(self._weights)
            path = f"{_OLD_ROOT}/{layer.key(2)}" if is_old else f"{_ROOT}/{layer.key(1)}"
            group = file.find(self._weights, f"{path}/{part}")
            own = file.texts(file.find(self._weights, f"{path}/vars"), "name")
            if own not in (None, [layer.name]):
                raise ValueError(f"damaged: {path!r} has the arrays of another layer")
            names = [str(number) for number in range(len(file.links(group)))]
        else:
            group = file.find(self._weights, layer.name)
            names = file.texts(group, "weight_names") or []
            half = len(names) // 2
            if part.startswith("forward_layer"):
                names = names[:half]
            elif part.startswith("backward_layer"):
                names = names[half:]
        return [self._array(group, name) for name in names]

    def _array(self, group: int, name: str) -> Array:
        address = self._file.find(group, name)
        try:
            return self._file.array(address)
        except ValueError as error:
            raise ValueError(f"{name!r}: {error}") from error


def _read_config(content: bytes | bytearray) -> list[KerasLayer]:
    """The layers of a model's configuration."""
    if len(content) > _LARGEST_CONFIG:
        raise ValueError(
            f"expected a configuration of at most {_LARGEST_CONFIG} bytes, got {len(content)}"
        )
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("damaged: its configuration is no JSON") from None
    kind = document.get("class_name") if isinstance(document, dict) else None
    if kind not in _MODELS:
        got = repr(kind)[:40] if isinstance(kind, str) else "none"
        raise ValueError(f"expected a Sequential or functional model, got the class {got}")
    config = document.get("config")
    entries = config.get("layers") if isinstance(config, dict) else config
    if not isinstance(entries, list):
        raise ValueError("damaged: the configuration has no list of layers")
    layers: list[KerasLayer] = []
    counts: dict[str, int] = {}
    for entry in entries:
        match entry:
            case {"class_name": str(kind), "config": dict(inner)}:
                counts[kind] = number = counts.get(kind, -1) + 1
                name = inner.get("name")
                name = name if isinstance(name, str) else kind
                layers.append(KerasLayer(name, kind, inner, number))
            case _:
                raise ValueError("damaged: a layer of the configuration is no layer")
    return layers


def _snake_case(name: str) -> str:
    """The name of a class as Keras writes it: SimpleRNN becomes simple_rnn."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
