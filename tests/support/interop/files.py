"""Stored networks, files of PyTorch made without PyTorch, and files damaged at random."""

from __future__ import annotations

import io
import pickle
import random
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DATA = Path(__file__).parents[2] / "interop" / "data"


def stored(name: str) -> Path:
    """The path of a stored network."""
    return DATA / name


def expected(name: str) -> dict[str, Array]:
    """The inputs and outputs of stored networks."""
    with np.load(DATA / f"{name}.npz") as arrays:
        return dict(arrays)


def run_all(layers: Mapping[str, Any], ids: Array) -> Array:
    """The outputs of layers that each take those of the one before; the first takes ids."""
    outputs = ids
    for layer in layers.values():
        outputs = layer.run(outputs)[0] if hasattr(layer, "run") else layer.forward(outputs)
    return outputs


# ---- pickles of PyTorch ----


class Opcodes(bytes):
    """Instructions of pickle that stand for a value."""


def instructions(value: Any) -> bytes:
    """The instructions that push a value; of containers, those of their items."""
    if isinstance(value, Opcodes):
        return value
    if isinstance(value, tuple):
        return b"(" + b"".join(map(instructions, value)) + b"t"
    if isinstance(value, dict):
        items = b"".join(instructions(key) + instructions(item) for key, item in value.items())
        return b"}(" + items + b"u"
    return pickle.dumps(value, 2)[2:-1]


def named(module: str, name: str) -> Opcodes:
    """A function or class."""
    return Opcodes(f"c{module}\n{name}\n".encode())


def call(module: str, name: str, *arguments: Any) -> Opcodes:
    """The call of a function."""
    return Opcodes(named(module, name) + instructions(arguments) + b"R")


def storage(kind: str, key: str, size: Any) -> Opcodes:
    """A storage, whose content is an entry of the zip file."""
    return Opcodes(instructions(("storage", named("torch", kind), key, "cpu", size)) + b"Q")


def tensor(of: Opcodes, shape: Any, strides: Any, offset: Any = 0) -> Opcodes:
    """A tensor."""
    hooks = call("collections", "OrderedDict")
    return call("torch._utils", "_rebuild_tensor_v2", of, offset, shape, strides, False, hooks)


def pickled(value: Any) -> bytes:
    """A whole pickle."""
    return b"\x80\x02" + instructions(value) + b"."


def pt_file(content: bytes, compression: int = zipfile.ZIP_STORED, **storages: bytes) -> bytes:
    """A file as torch.save writes it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/byteorder", "little")
        for key, raw in storages.items():
            archive.writestr(f"archive/data/{key}", raw)
    return file.getvalue()


# ---- damage ----


def damaged(content: bytes, seed: int) -> bytes:
    """The content with some bytes changed, removed or added."""
    generator = random.Random(seed)
    changed = bytearray(content)
    for _ in range(generator.choice((1, 1, 2, 5, 20))):
        at = generator.randrange(len(changed))
        match generator.randrange(6):
            case 0:
                changed[at] = generator.randrange(256)
            case 1:
                changed[at] ^= 1 << generator.randrange(8)
            case 2:
                changed[at : at + 4] = b"\xff\xff\xff\x7f"
            case 3:
                changed[at : at + 4] = bytes(4)
            case 4:
                changed[at:at] = generator.randbytes(generator.randrange(1, 20))
            case 5:
                del changed[at : at + generator.randrange(1, 20)]
        changed = changed or bytearray(1)
    return bytes(changed)


def with_damaged_entry(content: bytes, entry: str, seed: int) -> bytes:
    """A zip file with one damaged entry, whose checksum is right."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            raw = old.read(name)
            new.writestr(name, damaged(raw, seed) if name.endswith(entry) else raw)
    return file.getvalue()


def refusal(read: Callable[[Path], Any], path: Path) -> str | None:
    """What the error for a damaged file says, or None if there is none.

    Any error but a ValueError of one line that names the file fails the test.
    """
    try:
        read(path)
    except ValueError as error:
        message = str(error)
        assert message.startswith(f"{path}: "), message
        assert message.isprintable(), message
        assert len(message) < len(str(path)) + 400
        return message.removeprefix(f"{path}: ")
    return None
