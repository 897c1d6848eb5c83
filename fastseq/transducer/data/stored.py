"""Sequences of ids in a file, of which a batch alone is read into memory.

The lengths are in memory, a byte or two for each sequence; a file that were mapped would take as
much memory as has ever been read of it.
"""

from __future__ import annotations

import hashlib
import os
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.transducer.data.batches import IdArray, Sequences

# Of every so many sequences the place in the file is known; between them lengths are summed.
_BLOCK = 256


class StoredSequences(Sequences):
    """Sequences of ids, end to end in one file.

    Parameters
    ----------
    path : path
        Of the ids.
    dtype : dtype
        Of an id in the file.
    lengths : array of unsigned int (N)
    counts : int64 array (V)
        How often each id is there.
    checksum : str
        Of all of this.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        dtype: npt.DTypeLike,
        lengths: npt.NDArray[Any],
        counts: IdArray,
        checksum: str,
    ) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  # as long as this is there
        self._lock = threading.Lock()
        self._dtype = np.dtype(dtype)
        self._lengths = lengths
        self._counts = counts
        self._checksum = checksum
        blocks = np.add.reduceat(lengths, np.arange(0, len(lengths), _BLOCK), dtype=np.int64)
        self._block_starts = np.concatenate([[0], np.cumsum(blocks)])

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
        ids: list[int] = self._read(number).tolist()
        return ids

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
