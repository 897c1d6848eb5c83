"""Tensors from the files of PyTorch and of safetensors; PyTorch is not needed."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastseq.float_formats import from_storage
from fastseq.interop.plain_pickle import Name, PlainUnpickler
from fastseq.interop.sources import StoredEntries, open_source

Array = npt.NDArray[Any]

_BFLOAT16 = "bfloat16"
_STORAGES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_SAFETENSORS = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    "BF16": _BFLOAT16,
    "I64": "i8",
    "I32": "i4",
    "I16": "i2",
    "I8": "i1",
    "U64": "u8",
    "U32": "u4",
    "U16": "u2",
    "U8": "u1",
    "BOOL": "?",
}
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_MOST_DIMENSIONS = 64  # NumPy's own limit
_LONGEST_NAME = 1000
_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the pickle of a number, first in the file


class _Storage(NamedTuple):
    dtype: str
    key: str
    size: int


class _Tensor(NamedTuple):
    """A tensor as a file describes it; nothing in it is checked."""

    storage: Any
    offset: Any
    shape: Any
    strides: Any


def load_pt(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Read the tensors of a file that `torch.save` has written, without PyTorch.

    The file is a state dict, or a checkpoint that has one under "state_dict", "model_state_dict" or
    "model". Of another checkpoint, each state dict in it is read, and its name put before the names
    of its tensors ("encoder.weight_ih_l0"). Nothing in the file is run.

    Parameters
    ----------
    path : path
        Usually ``.pt``, ``.pth`` or ``.bin``, in the zip format of PyTorch 1.6 and newer.

    Returns
    -------
    dict of str to ndarray
        In the order of the file, of the file's dtypes; bfloat16 becomes float32. Tensors that have
        their memory in common in the file have it in common here.

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        It is damaged, of another format, or holds more than tensors and plain containers, as a
        whole pickled module does: the message, one line, names the file and what was found.

    Examples
    --------
    >>> from fastseq.interop import load_pt
    >>> load_pt("model.pt")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'model.pt'
    """
    with open_source(path) as file:
        if file.read(len(_LEGACY)) == _LEGACY:
            raise ValueError(
                "expected the zip format of PyTorch 1.6 and newer, got the legacy one: load the "
                "file with PyTorch and save it again"
            )
        return _tensors_of_zip(StoredEntries(file))


def load_safetensors(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Read the tensors of a safetensors file, without PyTorch.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict of str to ndarray
        Of the file's dtypes; bfloat16 becomes float32.

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        It is damaged, something else, or has a tensor whose dtype NumPy does not have: the message,
        one line, names the file and what was found.

    Examples
    --------
    >>> import numpy as np
    >>> from safetensors.numpy import save_file
    >>> from fastseq.interop import load_safetensors
    >>> save_file({"fc.bias": np.ones(3, "f")}, "model.safetensors")
    >>> load_safetensors("model.safetensors")["fc.bias"].tolist()
    [1.0, 1.0, 1.0]
    """
    from safetensors import deserialize  # on first use

    arrays = {}
    with open_source(path) as file:
        for name, tensor in deserialize(file.read()):  # type: ignore[no-untyped-call]
            dtype, shape = str(tensor["dtype"]), tuple(tensor["shape"])
            if dtype not in _SAFETENSORS:
                raise ValueError(f"{name!r}: expected a dtype that NumPy has, got {dtype}")
            arrays[name] = _numbers(tensor["data"], _SAFETENSORS[dtype], "<").reshape(shape)
    return arrays


def find_state_dict(document: Any, is_tensor: Callable[[object], bool]) -> dict[str, Any]:
    """The tensors of a state dict, or of those in a checkpoint, as `load_pt` describes it.

    Raises
    ------
    ValueError
        There are none.
    """
    if not isinstance(document, Mapping):
        raise ValueError(f"expected a dict of tensors, got a {type(document).__name__}")
    for name in _WRAPPERS:
        inner = document.get(name)
        if isinstance(inner, Mapping) and any(map(is_tensor, inner.values())):
            document = inner
            break
    found = {}
    for name, value in document.items():
        if is_tensor(value):
            found[_short(name)] = value
        elif isinstance(value, Mapping):
            prefix = _short(name)
            for key, tensor in value.items():
                if is_tensor(tensor):
                    found[f"{prefix}.{_short(key)}"] = tensor
    if not found:
        names = ", ".join(str(name)[:40] for name in list(document)[:5])
        raise ValueError(f"expected a dict of tensors, got one of {names or 'nothing'}")
    return found


def _short(name: object) -> str:
    """A name as text; a hostile file repeats a long one many times."""
    text = str(name)
    if len(text) > _LONGEST_NAME:
        raise ValueError(f"expected names of at most {_LONGEST_NAME} letters, got {len(text)}")
    return text


def _tensors_of_zip(entries: StoredEntries) -> dict[str, Array]:
    pickles = [
        name for name in entries.names if name.count("/") == 1 and name.endswith("/data.pkl")
    ]
    if len(pickles) != 1:
        raise ValueError("expected a file of torch.save, got a zip file without data.pkl")
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in entries.names:
        raise ValueError("expected a state dict, got a TorchScript module: save its state_dict()")
    order = "<"
    if f"{root}byteorder" in entries.names:
        order = {b"little": "<", b"big": ">"}.get(bytes(entries.read(f"{root}byteorder")), "")
        if not order:
            raise ValueError("damaged: the byte order is neither little nor big")
    document = PlainUnpickler(_NAMES, _as_storage).load(entries.read(pickles[0]))
    tensors = find_state_dict(document, lambda value: isinstance(value, _Tensor))
    storages: dict[_Storage, Array] = {}
    arrays = {}
    for name, tensor in tensors.items():
        storage = tensor.storage
        if not isinstance(storage, _Storage):
            raise ValueError(f"{name!r}: damaged: it has no storage")
        if storage not in storages:
            storages[storage] = _read_storage(entries, f"{root}data/{storage.key}", storage, order)
        arrays[name] = _view(name, storages[storage], tensor)
    return arrays


def _as_storage(persistent_id: Any) -> _Storage:
    match persistent_id:
        case ("storage", Name("torch", kind), str(key), str(_), int(size)) if kind in _STORAGES:
            return _Storage(_STORAGES[kind], key, size)
    raise ValueError("damaged: the pickle refers to something else than a storage")


def _read_storage(entries: StoredEntries, entry: str, storage: _Storage, order: str) -> Array:
    bytes_each = 2 if storage.dtype == _BFLOAT16 else np.dtype(storage.dtype).itemsize
    if entries.size(entry) != storage.size * bytes_each:
        raise ValueError(
            f"entry {entry!r}: expected {storage.size * bytes_each} bytes, got "
            f"{entries.size(entry)}"
        )
    return _numbers(entries.read(entry), storage.dtype, order)


def _numbers(content: bytearray, dtype: str, order: str) -> Array:
    """A writable array of the numbers in memory."""
    if dtype == _BFLOAT16:
        return from_storage(np.frombuffer(content, f"{order}u2"), dtype)
    numbers = np.frombuffer(content, f"{order}{dtype}")
    return numbers.astype(numbers.dtype.newbyteorder("="), copy=False)


def _view(name: str, storage: Array, tensor: _Tensor) -> Array:
    """The part of its storage that a tensor is, once it is known to be inside."""
    _, offset, shape, strides = tensor
    if (
        not isinstance(shape, tuple)
        or not isinstance(strides, tuple)
        or len(shape) != len(strides)
        or len(shape) > _MOST_DIMENSIONS
        or not all(type(number) is int and number >= 0 for number in (offset, *shape, *strides))
    ):
        raise ValueError(f"{name!r}: damaged: it has no valid shape")
    count = math.prod(shape)
    last = offset + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    if count > storage.size or (count and last >= storage.size):
        raise ValueError(f"{name!r}: shape {shape} is not inside its storage of {storage.size}")
    if not count:
        return np.empty(shape, storage.dtype)
    steps = tuple(step * storage.itemsize for step in strides)
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps)


def _empty_dict() -> dict[Any, Any]:
    """A dict of nothing: the keys of another would be hashed, which nested tuples make endless."""
    return {}


_NAMES: dict[Name, Callable[..., Any] | None] = {
    Name("collections", "OrderedDict"): _empty_dict,
    Name("torch", "Size"): lambda sizes: tuple(sizes),
    Name("torch._utils", "_rebuild_parameter"): lambda data, requires_grad, hooks: data,
    Name("torch._utils", "_rebuild_tensor_v2"): (
        lambda storage, offset, shape, strides, requires_grad, hooks, metadata=None: _Tensor(
            storage, offset, shape, strides
        )
    ),
    **{Name("torch", kind): None for kind in _STORAGES},
}
