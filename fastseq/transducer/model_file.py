"""Model files: safetensors that hold float arrays, and as JSON all that gives them a meaning.

Arrays are float32 in memory; a file may hold them in fewer bits. A file that is read is not
trusted. Nothing in it is run, and before an array is made, the names, shapes and types in its
header are compared with what its own configuration requires.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import UnionType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from fastseq.files import open_at_once, reason_of, replace_file
from fastseq.float_formats import (
    FLOAT_FORMATS,
    LENGTH_BYTES,
    METADATA,
    check_float_format,
    from_storage,
    serialize,
)
from fastseq.installed import model_path
from fastseq.transducer.model_config import ModelConfig
from fastseq.transducer.network.parameters import parameter_shapes
from fastseq.version import __version__

Array = npt.NDArray[Any]
Shapes = Mapping[str, tuple[int, ...]]

FORMAT_VERSION = 1
MODEL = "fastseq.transducer"
ENSEMBLE = "fastseq.ensemble"

# Two trainings that are equal but for their speed leave equal files.
_NOT_SAVED = ("seconds", "words_per_second")

# Reading JSON takes up to 30 times its size, so this is half a gigabyte. Vocabularies of half a
# million words are 8 MiB, histories of 40,000 epochs as much.
_LARGEST_HEADER = 2**24
_DOCUMENT = "fastseq"
_LARGEST_LOSS = 1e300  # what a float holds, and text shows
_DTYPES = {float_format.code: dtype for dtype, float_format in FLOAT_FORMATS.items()}


def write_model(
    path: str,
    config: ModelConfig,
    params: Mapping[str, Array],
    history: list[dict[str, Any]],
    dtype: str = "float32",
) -> None:
    """Write a trained model: its weights, its configuration and the logs of its epochs."""
    write(path, MODEL, params, config.to_json() | {"history": saved_history(history)}, dtype)


def read_model(path: str) -> tuple[ModelConfig, dict[str, Array], list[dict[str, Any]]]:
    """Read what `write_model` has written; it raises what `read` raises."""
    configs: list[ModelConfig] = []

    def shapes(document: dict[str, Any]) -> Shapes:
        check_history(document["history"])
        configs.append(ModelConfig.from_json(document))
        return parameter_shapes(configs[0].network_config())

    arrays, document = read(path, MODEL, (*ModelConfig.ENTRIES, "history"), shapes)
    return configs[0], arrays, document["history"]


def saved_history(history: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a file holds of the logs of a training."""
    return [
        {name: value for name, value in logs.items() if name not in _NOT_SAVED} for logs in history
    ]


def check_history(history: object) -> None:
    """ValueError unless this can be what `saved_history` has given."""
    if not isinstance(history, list):
        raise ValueError(f"history: expected a list, got {type(history).__name__}")
    for place, logs in enumerate(history):
        name = f"history[{place}]"
        check_object(name, logs, ("epoch", "loss"))
        check_number(f"{name}.epoch", logs["epoch"], 1, kind=int)
        for entry in ("loss", "validation_loss", "validation_accuracy"):
            check_number(f"{name}.{entry}", logs.get(entry, 0), 0, _LARGEST_LOSS)


def check_object(name: str, value: Any, entries: Iterable[str]) -> None:
    """ValueError unless the value of a document is an object with these entries."""
    if not isinstance(value, dict):
        raise ValueError(f"{name}: expected an object, got {type(value).__name__}")
    for entry in entries:
        if entry not in value:
            raise ValueError(f"{name}: expected an entry {entry}, got none")


def check_number(
    name: str,
    value: Any,
    least: float = -math.inf,
    most: float = math.inf,
    kind: type[int] | UnionType = int | float,
) -> None:
    """ValueError unless the value of a document is a number of this kind and range; never NaN."""
    # false for NaN
    if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
        number = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name}: expected {number} from {least} to {most}, got {str(value)[:60]}")


def write(
    path: str,
    kind: str,
    arrays: Mapping[str, Array],
    document: Mapping[str, Any],
    dtype: str = "float32",
) -> None:
    """Write arrays and a document; the file appears whole or not at all.

    Parameters
    ----------
    path : str
    kind : str
        What `read` must ask for.
    arrays : mapping of str to arrays
    document : mapping of str to what JSON can hold
    dtype : {"float32", "float16", "bfloat16"}
        What the arrays are rounded to in the file; their entries in its header say it.

    Raises
    ------
    OSError
        The file cannot be written; an earlier one of this name is still there.
    OverflowError
        A value is too large for the dtype; the message names the array.
    ValueError
        The document is too large, or there is no such dtype.
    """
    check_float_format(dtype)
    head = {
        "format": kind,
        "format_version": FORMAT_VERSION,
        "package_version": __version__,
    }
    metadata = {_DOCUMENT: json.dumps(head | dict(document), default=_plain)}
    content = serialize(arrays, dtype, metadata)
    length = int.from_bytes(content[:LENGTH_BYTES], "little")
    if length > _LARGEST_HEADER:
        raise ValueError(f"{path}: {_header_too_large(length)}")
    replace_file(path, content)


def check_room(document: Mapping[str, Any]) -> None:
    """Require that a description leaves room in a file for the history.

    Raises
    ------
    ValueError
        It does not.
    """
    size = len(json.dumps(json.dumps(document)))
    if size > _LARGEST_HEADER // 2:
        most = _LARGEST_HEADER // 2
        raise ValueError(f"vocabularies: expected at most {most} bytes in a file, got {size}")


def read(
    path: str,
    kind: str,
    entries: tuple[str, ...],
    shapes: Callable[[dict[str, Any]], Shapes],
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read what `write` has written.

    Parameters
    ----------
    path : str
    kind : str
    entries : tuple of str
        The names in the document, all of which must be there.
    shapes : callable
        Makes of the document, which it does not trust, the name and shape of every array that must
        be there. It raises ValueError or TypeError where the document is wrong.

    Returns
    -------
    arrays : dict of str to float32 arrays
        In the order of the shapes.
    document : dict

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is something else, damaged, or an array is not what it should be: the message, one line,
        names the file, the entry, what was expected and what came.
    """
    with _opened(path) as file:
        header = _read_header(file)
        document = _read_document(header, kind, entries)
        expected = shapes(document)
        dtypes = _check_arrays(header, expected)
        arrays = _read_arrays(file, expected, dtypes)
    return {name: arrays[name] for name in expected}, document


def read_document(path: str, kind: str, entries: tuple[str, ...]) -> dict[str, Any]:
    """The document alone of what `read` reads, which is not to be trusted either."""
    with _opened(path) as file:
        return _read_document(_read_header(file), kind, entries)


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """A file to read, or an installed model; what is wrong in it is raised as one line."""
    path = model_path(path)
    with open(path, "rb", opener=open_at_once) as file:
        try:
            yield file
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {reason_of(error)}") from error


def kind_of(path: str) -> str | None:
    """The kind that `write` was given, None for other safetensors files; it raises as `read`."""
    with _opened(path) as file:
        document = _document(_read_header(file))
    kind = (document or {}).get("format")
    return kind if isinstance(kind, str) else None


def _plain(value: Any) -> Any:
    """What stands for a value that JSON does not know, as a callback may add one to the history.

    It must not cost a training its result.
    """
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)


def _header_too_large(length: int) -> str:
    return f"expected vocabularies and history of at most {_LARGEST_HEADER} bytes, got {length}"


def _read_header(file: BinaryIO) -> dict[str, Any]:
    """The header, once the size of the file allows for what its first bytes promise."""
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("expected a model file, got something that is no regular file")
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    if not 2 <= length <= status.st_size - LENGTH_BYTES:
        raise ValueError("expected a model file, got something else or only its beginning")
    if length > _LARGEST_HEADER:
        raise ValueError(_header_too_large(length))
    try:
        header = json.loads(file.read(length).decode())
    except (ValueError, RecursionError):
        raise ValueError("expected a model file, got one whose header is no JSON") from None
    if not isinstance(header, dict):
        raise ValueError("expected a model file, got one whose header is no object")
    return header


def _document(header: dict[str, Any]) -> dict[str, Any] | None:
    """Take the document out of the header, None where there is none."""
    metadata = header.pop(METADATA, None)
    text = metadata.get(_DOCUMENT) if isinstance(metadata, dict) else None
    try:
        document = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _read_document(header: dict[str, Any], kind: str, entries: tuple[str, ...]) -> dict[str, Any]:
    """Take the document out of the header: of the right kind and version, with all entries."""
    document = _document(header)
    if document is None or document.get("format") != kind:
        got = "another safetensors file"
        if document is not None and document.get("format") == ENSEMBLE:
            got = "an ensemble, which fastseq.Ensemble.load reads"
        raise ValueError(f"expected a file of the format {kind}, got {got}")
    if document.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"format_version: expected {FORMAT_VERSION}, got "
            f"{str(document.get('format_version'))[:20]}, written by fastseq "
            f"{str(document.get('package_version'))[:20]}"
        )
    for name in entries:
        if name not in document:
            raise ValueError(f"{name}: expected such an entry in the metadata, got none")
    return document


def _check_arrays(header: dict[str, Any], expected: Shapes) -> dict[str, str]:
    """Require arrays of the right names and shapes; their dtypes by name."""
    dtypes = {}
    for name, shape in expected.items():
        if name not in header:
            raise ValueError(f"{name}: expected shape {shape}, got no such array")
        entry = header[name]
        got = (entry.get("dtype"), entry.get("shape")) if isinstance(entry, dict) else (None, None)
        if not isinstance(got[0], str) or got[0] not in _DTYPES or got[1] != list(shape):
            raise ValueError(
                f"{name}: expected F32, F16 or BF16 of shape {shape}, got "
                f"{str(got[0])[:20]} of shape {str(got[1])[:60]}"
            )
        dtypes[name] = _DTYPES[got[0]]
    for name in header:
        if name not in expected:
            raise ValueError(f"{name[:60]}: expected no array of this name")
    return dtypes


def _read_arrays(file: BinaryIO, expected: Shapes, dtypes: dict[str, str]) -> dict[str, Array]:
    from safetensors import SafetensorError, deserialize

    sizes = (
        FLOAT_FORMATS[dtypes[name]].storage.itemsize * math.prod(shape)
        for name, shape in expected.items()
    )
    promised = file.tell() + sum(sizes)
    size = os.fstat(file.fileno()).st_size
    if size != promised:
        raise ValueError(f"expected {promised} bytes, got {size}: damaged or not complete")
    file.seek(0)
    try:
        tensors = dict(deserialize(file.read()))  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise ValueError(f"damaged: {error}") from error
    arrays = {}
    for name, shape in expected.items():
        stored = np.frombuffer(tensors[name]["data"], FLOAT_FORMATS[dtypes[name]].storage)
        arrays[name] = from_storage(stored, dtypes[name]).reshape(shape)
    return arrays
