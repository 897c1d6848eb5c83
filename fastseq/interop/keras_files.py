"""The configuration and the weights in a file that Keras has saved; Keras is not needed, h5py is.

There are two formats. ``.keras`` is a zip file of ``config.json`` and ``model.weights.h5``, in
which a layer's arrays are found by its class; ``.h5`` is one HDF5 file, in which they are found by
name. HDF5 can refer to other files; such references are refused, as are arrays that are larger
than the file.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy.typing as npt

from fastseq.interop.sources import StoredEntries, open_source, size_of

Array = npt.NDArray[Any]

_ZIP = b"PK\x03\x04"
_LARGEST_CONFIG = 2**24  # reading JSON takes up to 30 times its size
_ROOTS = ("layers", "_layer_checkpoint_dependencies")  # of Keras 3, of Keras 2.12 to 2.15
_MODELS = ("Sequential", "Functional", "Model")


class KerasLayer(NamedTuple):
    """A layer in a model's configuration.

    Attributes
    ----------
    name, kind : str
        The name that its user has chosen, and its class.
    config : dict
    key : str
        Its name in the weights of a ``.keras`` file.
    """

    name: str
    kind: str
    config: dict[str, Any]
    key: str


class KerasFile:
    """An open file of Keras.

    Parameters
    ----------
    config : bytes
        The JSON of the model's configuration.
    weights : h5py.Group
    is_legacy : bool
        Whether the format is ``.h5``.
    size : int
        That of the file.
    """

    def __init__(self, config: bytes, weights: Any, is_legacy: bool, size: int) -> None:
        self.layers = _read_config(config)
        self._weights = weights
        self._is_legacy = is_legacy
        self._size = size

    def arrays(self, layer: KerasLayer, part: str) -> list[Array]:
        """The arrays of a layer, or of a part of it, in the order in which Keras makes them.

        Parameters
        ----------
        layer : KerasLayer
        part : str
            "vars", or where they are in a layer that holds others, as "forward_layer/cell/vars".
        """
        if not self._is_legacy:
            root = next((root for root in _ROOTS if root in self._weights), _ROOTS[0])
            group = self._group(self._weights, f"{root}/{layer.key}/{part}")
            own = self._group(self._weights, f"{root}/{layer.key}/vars")
            if _text(own.attrs.get("name", layer.name)) != layer.name:
                raise ValueError(f"damaged: its arrays are those of another layer: {layer.key!r}")
            return [self._array(group, str(number)) for number in range(len(group))]
        group = self._group(self._weights, layer.name)
        names = [_text(name) for name in _attribute(group, "weight_names", self._size)]
        half = len(names) // 2
        if part.startswith("forward_layer"):
            names = names[:half]
        elif part.startswith("backward_layer"):
            names = names[half:]
        return [self._array(group, name) for name in names]

    def _group(self, node: Any, path: str) -> Any:
        found = _follow(node, path)
        if not hasattr(found, "keys"):
            raise ValueError(f"damaged: {path!r} is no group")
        return found

    def _array(self, group: Any, path: str) -> Array:
        dataset = _follow(group, path)
        if not hasattr(dataset, "chunks"):
            raise ValueError(f"damaged: {path!r} is no array")
        if dataset.chunks is not None or dataset.external or dataset.is_virtual:
            raise ValueError(f"{path!r}: expected an array stored as it is, in this file")
        if not dataset.nbytes == dataset.id.get_storage_size() <= self._size:
            raise ValueError(f"{path!r}: damaged: its {dataset.nbytes} bytes are not in the file")
        array: Array = dataset[()]
        return array


@contextlib.contextmanager
def open_keras(path: str | os.PathLike[str]) -> Iterator[KerasFile]:
    """Open a file that ``model.save`` has written.

    Raises
    ------
    ImportError
        h5py is not installed.
    OSError
        The file cannot be opened.
    ValueError
        It is damaged or something else; or an error of the caller, who then need not name the file.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            'reading files of Keras needs h5py: pip install "fastseq-kernels[keras]"'
        ) from error
    with open_source(path) as file:
        is_zip = file.read(len(_ZIP)) == _ZIP
        if is_zip:
            entries = StoredEntries(file)
            _check_size(entries.size("config.json"))
            config = entries.read("config.json")
            content: BinaryIO = io.BytesIO(entries.read("model.weights.h5"))
        else:
            content = file
        with h5py.File(content, "r") as weights:
            root: Any = weights
            if not is_zip:
                config = _config_of(weights, size_of(file))
                root = _follow(weights, "model_weights")
            yield KerasFile(config, root, not is_zip, size_of(file))


def _config_of(weights: Any, size: int) -> bytes:
    if "model_config" not in weights.attrs:
        raise ValueError(
            "expected a whole model, as model.save() writes it, got weights without model_config"
        )
    _check_size(weights.attrs.get_id("model_config").get_storage_size())
    return _text(_attribute(weights, "model_config", size)).encode(errors="replace")


def _check_size(size: int) -> None:
    if size > _LARGEST_CONFIG:
        raise ValueError(f"expected a configuration of at most {_LARGEST_CONFIG} bytes, got {size}")


def _attribute(node: Any, name: str, size: int) -> Any:
    if name not in node.attrs:
        raise ValueError(f"damaged: there is no {name!r}")
    if node.attrs.get_id(name).get_storage_size() > size:
        raise ValueError(f"damaged: {name!r} is larger than the file")
    return node.attrs[name]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _follow(node: Any, path: str) -> Any:
    """What is at a path below a group, without a link to another place or file."""
    import h5py

    for part in path.split("/"):
        link = node.get(part, getlink=True) if hasattr(node, "keys") else None
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"damaged: there is no {path!r} in the file itself")
        node = node[part]
    return node


def _read_config(content: bytes) -> list[KerasLayer]:
    """The layers of a model's configuration."""
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
                key = _snake_case(kind)
                counts[key] = number = counts.get(key, -1) + 1
                name = inner.get("name")
                name = name if isinstance(name, str) else key
                layers.append(KerasLayer(name, kind, inner, f"{key}_{number}" if number else key))
            case _:
                raise ValueError("damaged: a layer of the configuration is no layer")
    return layers


def _snake_case(name: str) -> str:
    """The name of a class as Keras writes it: SimpleRNN becomes simple_rnn."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
