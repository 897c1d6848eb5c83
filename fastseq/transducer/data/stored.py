"""The files of a store of encoded pairs: of the ids in them a batch alone is read into memory.

The lengths are in memory, a byte or two for each sequence; a file that were mapped would take as
much memory as has ever been read of it. What the files hold is not trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.files import reason_of
from fastseq.transducer.data.batches import IdArray, Sequences
from fastseq.transducer.data.vocabulary import Vocabulary

# Of every so many sequences the place in the file is known; between them lengths are summed.
_BLOCK = 256
# The files of a side of the pairs: all ids end to end, the longest sequence and the lengths of all,
# and how often each id is there.
IDS, _LENGTHS, _COUNTS = ".ids", ".lengths", ".counts"
_NUMBER = np.dtype("<i8")
_LONGEST = 2**31 - 1


def id_type(count: int) -> np.dtype[Any]:
    """The smallest type of numbers from 0 to below `count`."""
    return np.min_scalar_type(count - 1)


def write_numbers(path: str, lengths: npt.NDArray[Any], counts: IdArray) -> None:
    """Write the lengths and the counts of the ids of a side."""
    longest = int(lengths.max(initial=0))
    stored = (
        np.asarray([longest], _NUMBER).tobytes() + lengths.astype(id_type(longest + 1)).tobytes()
    )
    _write(path + _LENGTHS, stored)
    _write(path + _COUNTS, counts.astype(_NUMBER).tobytes())


def _write(path: str, content: bytes) -> None:
    """Write a file to the disk."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _says_which(path: str) -> Iterator[None]:
    """Within this context an error about what a file holds names it, and says what to do."""
    try:
        yield
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(
            f"{path}: damaged: {reason_of(error)}; without its folder, the pairs are encoded anew"
        ) from error


@dataclass(frozen=True)
class StoreDocument:
    """What a store says of itself: see `PairStore`."""

    settings: dict[str, Any]
    vocabularies: list[Vocabulary]
    lengths: list[int]
    left_out: int
    held_out: bool

    def write(self, path: str) -> None:
        """Write it to the disk as JSON."""
        vocabularies = [vocabulary.to_json() for vocabulary in self.vocabularies]
        _write(path, json.dumps(vars(self) | {"vocabularies": vocabularies}).encode())

    @classmethod
    def read(cls, path: str) -> StoreDocument:
        """Read what `write` has written.

        Raises
        ------
        OSError, ValueError
            It cannot be read, or is something else.
        """
        with open(path, "rb") as file, _says_which(path):
            found = json.loads(file.read().decode())
            if not isinstance(found, dict) or set(found) != set(cls.__dataclass_fields__):
                raise ValueError(f"expected an object with {', '.join(cls.__dataclass_fields__)}")
            vocabularies = [Vocabulary.from_json(each) for each in _list(found["vocabularies"])]
            document = cls(**found | {"vocabularies": vocabularies})
            numbers = [*_list(document.lengths), document.left_out]
            if (
                len(vocabularies) != 2
                or len(numbers) != 3
                or not all(type(each) is int and 0 <= each <= _LONGEST for each in numbers)
                or type(document.held_out) is not bool
                or not isinstance(document.settings, dict)
            ):
                raise ValueError("expected two vocabularies, two lengths, and what is left out")
            return document


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"expected a list, got {type(value).__name__}")
    return value


class StoredSequences(Sequences):
    """Sequences of ids, end to end in one file.

    Parameters
    ----------
    path : str
        Of the files of this side, without their endings.
    vocabulary_size : int
    checksum : str
        Of all of this.

    Raises
    ------
    OSError, ValueError
        A file cannot be read, or does not fit the others.
    """

    def __init__(self, path: str, vocabulary_size: int, checksum: str) -> None:
        self._lock = threading.Lock()
        self._dtype = id_type(vocabulary_size)
        self._checksum = checksum
        self._counts = _read_counts(path + _COUNTS, vocabulary_size)
        self._lengths = _read_lengths(path + _LENGTHS)
        self._file = open(path + IDS, "rb", buffering=0)  # noqa: SIM115  # as long as this is there
        with _says_which(path + IDS):
            starts = np.arange(0, len(self._lengths), _BLOCK)
            blocks = np.add.reduceat(self._lengths, starts, dtype=np.int64)
            self._block_starts = np.concatenate([[0], np.cumsum(blocks)])
            expected = int(self._block_starts[-1]) * self._dtype.itemsize
            size = os.fstat(self._file.fileno()).st_size
            if size != expected or self._block_starts[-1] != self._counts.sum():
                raise ValueError(f"expected {expected:,} bytes, got {size:,}, or other counts")

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def lengths(self) -> npt.NDArray[Any]:
        """The lengths (N), of an unsigned type."""
        return self._lengths

    def counts(self, size: int) -> IdArray:
        """How often each of so many ids is there."""
        return self._counts[:size]

    def row(self, number: int) -> list[int]:
        """The ids of one sequence."""
        ids = self._read(number)
        self._check(ids)
        listed: list[int] = ids.tolist()
        return listed

    def key(self, number: int) -> bytes:
        """The ids of one sequence, to look it up by."""
        return self._read(number).astype(np.int32).tobytes()

    def take(self, rows: IdArray) -> Sequences:
        """Sequences in memory: these rows, in this order."""
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(self._lengths[rows], out=offsets[1:])
        ids = np.empty(offsets[-1], dtype=np.int32)
        for place, row in enumerate(rows):
            ids[offsets[place] : offsets[place + 1]] = self._read(int(row))
        self._check(ids)
        return Sequences(ids, offsets)

    def ended(self, rows: IdArray) -> tuple[IdArray, IdArray]:
        """As `Sequences.ended`."""
        return self.take(rows).ended(np.arange(len(rows)))

    def update(self, checksum: hashlib._Hash) -> None:
        """Add all of this to a checksum."""
        checksum.update(self._checksum.encode())

    def _read(self, row: int) -> npt.NDArray[Any]:
        block, length = row // _BLOCK, int(self._lengths[row])
        before = self._lengths[block * _BLOCK : row].sum(dtype=np.int64)
        start = int(self._block_starts[block] + before) * self._dtype.itemsize
        with self._lock:  # the place in the file is that of all threads
            self._file.seek(start)
            data = self._file.read(length * self._dtype.itemsize)
        if len(data) != length * self._dtype.itemsize:
            raise ValueError(f"{self._file.name}: expected {start + length:,} bytes at least")
        return np.frombuffer(data, self._dtype)

    def _check(self, ids: npt.NDArray[Any]) -> None:
        """Require ids of the vocabulary: the file may be damaged."""
        most = int(ids.max(initial=0))
        if most >= len(self._counts):
            with _says_which(str(self._file.name)):
                raise ValueError(f"expected ids below {len(self._counts)}, got {most}")


def _read_counts(path: str, size: int) -> IdArray:
    with open(path, "rb") as file, _says_which(path):
        counts = np.frombuffer(file.read(), _NUMBER).astype(np.int64)
        if len(counts) != size or counts.min(initial=0) < 0 or counts.max(initial=0) > 2**40:
            raise ValueError(f"expected {size} counts")
        return counts


def _read_lengths(path: str) -> npt.NDArray[Any]:
    with open(path, "rb") as file, _says_which(path):
        longest = int.from_bytes(file.read(_NUMBER.itemsize), "little")
        if longest > _LONGEST:
            raise ValueError(f"expected sequences of at most {_LONGEST}, got {longest}")
        lengths = np.frombuffer(file.read(), id_type(longest + 1))
        if len(lengths) == 0 or lengths.max() != longest:
            raise ValueError(f"expected lengths of at most {longest}, at least one")
        return lengths
