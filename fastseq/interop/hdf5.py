"""Reads the HDF5 files that Keras writes: groups, arrays of floats, attributes of text.

The HDF5 library is not made for files that are not trusted: some damaged ones keep it busy for
ever, and an array can be in another file. What Keras writes is a small part of the format, its
oldest: superblock version 0, groups as B-trees of version 1, arrays in one piece. Numbers of
sections are those of the "HDF5 File Format Specification", version 3.0. Every address is checked
against the size of the file, and the steps of a reader are counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MOST_STEPS = 1_000_000
_LONGEST_NAME = 1024

# Messages of an object header (IV.A.2).
_DATASPACE, _DATATYPE, _LAYOUT, _ATTRIBUTE = 0x01, 0x03, 0x08, 0x0C
_CONTINUATION, _SYMBOL_TABLE = 0x10, 0x11

# Size, precision, and place and size of exponent and mantissa of IEEE 754's (IV.A.2.d).
_FLOATS = {
    2: (0, 16, 10, 5, 0, 10, 15),
    4: (0, 32, 23, 8, 0, 23, 127),
    8: (0, 64, 52, 11, 0, 52, 1023),
}
_STRING, _FLOAT, _VARIABLE = 3, 1, 9


class Hdf5:
    """A file that is wholly in memory.

    Parameters
    ----------
    content : bytes

    Attributes
    ----------
    root : int
        The address of the group at the top.

    Raises
    ------
    ValueError
        Here and in all methods: the content is damaged, or of another part of HDF5.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._steps = 0
        self._links: dict[int, dict[str, int]] = {}
        if content[:8] != _SIGNATURE:
            raise ValueError("expected a file of Keras, got one that is neither zip nor HDF5")
        # II.A: versions of the superblock, then sizes of addresses and of lengths
        if self._read(8, 1)[0] != 0 or self._read(13, 2) != b"\x08\x08" or self._number(24, 8):
            raise ValueError("expected HDF5 with a superblock of version 0, as Keras writes it")
        if self._number(40, 8) > len(content):
            raise ValueError("damaged: the end of the file is missing")
        self.root = self._number(64, 8)

    def links(self, address: int) -> dict[str, int]:
        """The names in a group and the addresses of what they name, in this file (III.A to C)."""
        if address not in self._links:
            found: dict[str, int] = {}
            for kind, at, _ in self._messages(address):
                if kind == _SYMBOL_TABLE:
                    heap = self._number(at + 8, 8)
                    self._expect(heap, b"HEAP")
                    names = self._number(heap + 24, 8)
                    for node in self._leaves(self._number(at, 8), None):
                        self._expect(node, b"SNOD")
                        for index in range(self._number(node + 6, 2)):
                            entry = node + 8 + 40 * index
                            if self._number(entry + 16, 4) != 2:  # a symbolic link
                                name = self._name(names + self._number(entry, 8))
                                found[name] = self._number(entry + 8, 8)
            self._links[address] = found
        return self._links[address]

    def find(self, address: int, path: str) -> int:
        """The address of what is at a path below a group."""
        for part in path.split("/"):
            links = self.links(address)
            if part not in links:
                raise ValueError(f"damaged: there is no {path!r} in the file itself")
            address = links[part]
        return address

    def array(self, address: int) -> Array:
        """An array of floats; a view of the file's content."""
        messages = {kind: (at, size) for kind, at, size in self._messages(address)}
        for kind in (_DATASPACE, _DATATYPE, _LAYOUT):
            if kind not in messages:
                raise ValueError("expected an array, got something else")
        shape = self._shape(messages[_DATASPACE][0])
        dtype = self._float(messages[_DATATYPE][0])
        size = math.prod(shape) * dtype.itemsize
        at, _ = messages[_LAYOUT]
        version, kind = self._read(at, 2)
        if version not in (3, 4) or kind not in (0, 1):  # compact, contiguous
            raise ValueError("expected an array stored as it is, in this file")
        start = at + 4 if kind == 0 else self._number(at + 2, 8)
        stored = self._number(at + 2, 2) if kind == 0 else self._number(at + 10, 8)
        if stored != size:
            raise ValueError(f"damaged: an array of shape {shape} has {stored} bytes")
        return np.frombuffer(self._read(start, size), dtype).reshape(shape)

    def texts(self, address: int, name: str) -> list[str] | None:
        """The texts of an attribute; None if the object has none of this name (IV.A.2.m)."""
        for kind, at, _ in self._messages(address):
            if kind != _ATTRIBUTE:
                continue
            version, flags = self._read(at, 2)
            sizes = [self._number(at + index, 2) for index in (2, 4, 6)]
            if version not in (1, 2, 3) or (version > 1 and flags):
                raise ValueError("expected an attribute as Keras writes it")
            own = at + (9 if version == 3 else 8)
            if self._read(own, sizes[0]).rstrip(b"\0") != name.encode():
                continue
            if version == 1:
                sizes = [(size + 7) // 8 * 8 for size in sizes]
            datatype = own + sizes[0]
            dataspace = datatype + sizes[1]
            count = math.prod(self._shape(dataspace))
            return self._texts_at(dataspace + sizes[2], count, datatype)
        return None

    # ---- parts ----

    def _read(self, at: int, size: int) -> bytes:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise ValueError(f"expected at most {_MOST_STEPS} parts in the file")
        if at < 0 or size < 0 or at + size > len(self._content):
            raise ValueError("damaged: it refers to what is not in the file")
        return self._content[at : at + size]

    def _number(self, at: int, size: int) -> int:
        return int.from_bytes(self._read(at, size), "little")

    def _expect(self, at: int, signature: bytes) -> None:
        if self._read(at, 4) != signature:
            raise ValueError(f"damaged: expected {signature.decode()} at {at}")

    def _name(self, at: int) -> str:
        end = self._content.find(b"\0", at, at + _LONGEST_NAME)
        if end < 0:
            raise ValueError("damaged: a name has no end")
        return self._read(at, end - at).decode()

    def _leaves(self, address: int, level: int | None) -> Iterator[int]:
        """The addresses at the lowest level of a B-tree of version 1 (III.A.1)."""
        self._expect(address, b"TREE")
        kind, own = self._read(address + 4, 2)
        if kind != 0 or (level is not None and own != level - 1):
            raise ValueError("damaged: a B-tree is none of groups")
        for index in range(self._number(address + 6, 2)):
            child = self._number(address + 32 + 16 * index, 8)
            if own == 0:
                yield child
            else:
                yield from self._leaves(child, own)

    def _messages(self, address: int) -> Iterator[tuple[int, int, int]]:
        """Type, address and size of the messages in an object header of version 1 (IV.A.1.a)."""
        if self._read(address, 1) != b"\x01":
            raise ValueError("expected an object header of version 1, as Keras writes it")
        count = self._number(address + 2, 2)
        blocks = [(address + 16, self._number(address + 8, 4))]
        while blocks and count:
            at, size = blocks.pop(0)
            end = at + size
            while count and at + 8 <= end:
                kind, size, flags = (
                    self._number(at, 2),
                    self._number(at + 2, 2),
                    self._read(at + 4, 1)[0],
                )
                count -= 1
                if kind == _CONTINUATION:
                    blocks.append((self._number(at + 8, 8), self._number(at + 16, 8)))
                elif not flags & 2:  # shared with other objects, which Keras does not write
                    yield kind, at + 8, size
                at += 8 + size

    def _shape(self, at: int) -> tuple[int, ...]:
        """IV.A.2.b."""
        version, rank = self._read(at, 2)
        if version not in (1, 2) or rank > 32:
            raise ValueError("damaged: a dataspace is of no known version")
        start = at + (8 if version == 1 else 4)
        return tuple(self._number(start + 8 * index, 8) for index in range(rank))

    def _float(self, at: int) -> np.dtype[np.floating]:
        kind, order = self._read(at, 2)
        size = self._number(at + 4, 4)
        sizes = (2, 2, 1, 1, 1, 1, 4)
        starts = (8, 10, 12, 13, 14, 15, 16)
        if kind & 15 == _FLOAT and order & 64 == 0:
            layout = tuple(
                self._number(at + start, each) for start, each in zip(starts, sizes, strict=True)
            )
            if _FLOATS.get(size) == layout:
                return np.dtype(f"{'>' if order & 1 else '<'}f{size}")
        raise ValueError("expected an array of floats")

    def _texts_at(self, at: int, count: int, datatype: int) -> list[str]:
        if not count:
            return []
        kind, flags = self._read(datatype, 2)
        size = self._number(datatype + 4, 4)
        if count > len(self._content):
            raise ValueError("damaged: an attribute is larger than the file")
        if kind & 15 == _STRING:
            return [
                self._read(at + size * index, size).rstrip(b"\0").decode() for index in range(count)
            ]
        if kind & 15 == _VARIABLE and flags & 15 == 1 and size == 16:
            return [self._heap_text(at + size * index) for index in range(count)]
        raise ValueError("expected an attribute of text")

    def _heap_text(self, at: int) -> str:
        """A text of the global heap (III.E), by length, address of a collection and index."""
        length, collection = self._number(at, 4), self._number(at + 4, 8)
        wanted = self._number(at + 12, 4)
        self._expect(collection, b"GCOL")
        place, end = collection + 16, collection + self._number(collection + 8, 8)
        while place + 16 <= end:
            index, size = self._number(place, 2), self._number(place + 8, 8)
            if index == wanted and index:
                return self._read(place + 16, min(length, size)).decode()
            if index == 0:
                break
            place += 16 + (size + 7) // 8 * 8
        raise ValueError("damaged: a text is not in the file")
