"""Opening the files of other libraries, which are not trusted."""

from __future__ import annotations

import contextlib
import os
import stat
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

from fastseq.files import open_at_once, reason_of

_CHUNK = 2**20


@contextlib.contextmanager
def open_source(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file, open for reading; what goes wrong with its content is a ValueError that names it.

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        It is no regular file, or reading it raised an error: one line says which file and why.
    """
    with open(path, "rb", opener=open_at_once) as file:
        try:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError("expected a regular file")
            yield file
        except (ImportError, MemoryError):
            raise
        except Exception as error:  # libraries raise many kinds of errors for damaged files
            raise ValueError(f"{os.fspath(path)}: {reason_of(error)}") from error


def size_of(file: BinaryIO) -> int:
    """The size of an open file."""
    return os.fstat(file.fileno()).st_size


class StoredEntries:
    """The entries of a zip file whose writer compresses nothing, as PyTorch and Keras do.

    So no entry is larger than the file, nor are all of them together.
    """

    def __init__(self, file: BinaryIO) -> None:
        try:
            self._archive = zipfile.ZipFile(file)
            entries = self._archive.infolist()
        except Exception as error:
            raise ValueError(f"damaged, or no zip file: {reason_of(error)}") from error
        self._entries = {entry.filename: entry for entry in entries}
        if len(self._entries) != len(entries):
            raise ValueError("damaged: two entries have the same name")
        total, size = sum(entry.compress_size for entry in entries), size_of(file)
        if total > size:
            raise ValueError(f"expected entries of at most {size} bytes together, got {total}")

    @property
    def names(self) -> list[str]:
        """The names of all entries."""
        return list(self._entries)

    def size(self, name: str) -> int:
        """The number of bytes of an entry.

        Raises
        ------
        ValueError
            There is none of this name, or it is compressed.
        """
        if name not in self._entries:
            raise ValueError(f"damaged: there is no entry {name!r}")
        entry = self._entries[name]
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise ValueError(f"entry {name!r}: expected one without compression")
        return entry.file_size

    def read(self, name: str) -> bytearray:
        """The content of an entry.

        Raises
        ------
        ValueError
            There is none of this name, or it is compressed, or its checksum is wrong.
        """
        content, at = bytearray(self.size(name)), 0
        try:
            with self._archive.open(name) as entry:  # which compares the checksum at the end
                while part := entry.read(_CHUNK):
                    content[at : at + len(part)] = part
                    at += len(part)
        except Exception as error:
            raise ValueError(f"damaged: {reason_of(error)}") from error
        if at != len(content):
            raise ValueError(f"entry {name!r}: damaged: {at} of {len(content)} bytes")
        return content
