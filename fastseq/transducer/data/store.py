"""Pairs in files: a folder of pair files, encoded once, from which training reads batch by batch.

A store is a folder in the cache, whose name is a checksum of the parts (name, size and time of
each) and of all that decides how they are read. It is written beside its place and then moved
there: what is there is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastseq.transducer.data.batches import Pairs, Sequences
from fastseq.transducer.data.columns import Columns
from fastseq.transducer.data.forms import FormChoice, Text
from fastseq.transducer.data.stored import (
    IDS,
    StoreDocument,
    StoredSequences,
    id_type,
    write_numbers,
)
from fastseq.transducer.data.vocabulary import SymbolCounts, Vocabulary

# The hyperparameters that decide how texts become ids, and what is held out.
_SETTINGS = (
    *("source_tokens", "target_tokens", "columns", "feature_separators", "normalize"),
    *("lowercase", "max_length", "seed"),
)
_FORMAT = 2
_AN_HOUR = 3600
_DOCUMENT = "document.json"
_SIDES = ("source", "target")

Texts = tuple[list[Text], list[Text]]


class PairStore:
    """Pairs that are encoded in the files of a folder.

    Parameters
    ----------
    folder : path
        As `build` has written it.

    Attributes
    ----------
    vocabularies : list of Vocabulary
        Of the sources and of the targets.
    lengths : list of int
        The most symbols of a source and of a target.
    left_out : int
        How many pairs `max_length` has left out.
    pairs : Pairs
        To train on, in the files.
    held_out : Pairs or None
        In memory.
    """

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, _DOCUMENT)
        document = StoreDocument.read(self._path)
        self._settings = document.settings
        self.vocabularies, self.lengths = document.vocabularies, document.lengths
        self.left_out = document.left_out
        sources, targets = self._opened(folder, "train")
        self.pairs = Pairs(sources, targets)
        self.held_out = None
        if document.held_out:
            sources, targets = self._opened(folder, "held_out")
            rows = np.arange(len(sources))
            self.held_out = Pairs(sources.take(rows), targets.take(rows))

    def __len__(self) -> int:
        """How many pairs there are, those held out and left out among them."""
        held_out = 0 if self.held_out is None else len(self.held_out)
        return len(self.pairs) + held_out + self.left_out

    def require(self, params: Mapping[str, Any]) -> None:
        """Require the hyperparameters that the pairs were encoded with.

        Raises
        ------
        ValueError
            One is another; the message names it.
        """
        for name, value in self._settings.items():
            if params[name] != value:
                raise ValueError(
                    f"{self._path}: {name}: expected {value!r}, as in the cache of pairs; got "
                    f"{params[name]!r}"
                )

    def _opened(self, folder: str, group: str) -> list[StoredSequences]:
        checksum = os.path.basename(folder) + group
        sides = [
            StoredSequences(os.path.join(folder, f"{group}.{side}"), len(vocabulary), checksum)
            for side, vocabulary in zip(_SIDES, self.vocabularies, strict=True)
        ]
        if len(sides[0]) != len(sides[1]):
            raise ValueError(
                f"{os.path.join(folder, group)}: damaged: expected as many sources as targets, got "
                f"{len(sides[0])} and {len(sides[1])}"
            )
        return sides


def store_of(
    folder: str,
    cache: str,
    params: Mapping[str, Any],
    share: float | None,
    read: Callable[[str], Texts],
    how: Any = None,
    *,
    write: bool = True,
) -> str:
    """The folder of the store of a folder's pairs, which is written if it is not there.

    Parameters
    ----------
    folder, cache : str
    params : mapping
        Every hyperparameter.
    share : float or None
        Of the sources to hold out, with all their pairs.
    read : callable
        Gives the sources and targets of one file of the folder: as much as is in memory at a time.
    how : what JSON knows
        What else decides how the files are read.
    write : bool
        Whether it is written, or another process does so.

    Raises
    ------
    OSError, ValueError
        There are no files, or one cannot be read.
    """
    parts = sorted(
        entry.path for entry in os.scandir(folder) if entry.is_file() and entry.name[0] != "."
    )
    if not parts:
        raise ValueError(f"{folder}: expected files of pairs, got none")
    settings = {name: params[name] for name in _SETTINGS}
    stamps = [
        (os.path.basename(part), os.stat(part).st_size, os.stat(part).st_mtime_ns) for part in parts
    ]
    facts = json.dumps([_FORMAT, settings, share, how, stamps]).encode()
    target = os.path.join(cache, hashlib.sha256(facts).hexdigest()[:32])
    if write and not os.path.exists(os.path.join(target, _DOCUMENT)):
        os.makedirs(cache, exist_ok=True)
        _remove_abandoned(target)
        beside = f"{target}.{os.urandom(8).hex()}"
        os.makedirs(beside)
        try:
            _Encoding(parts, params, share, read).write(beside, settings)
            shutil.rmtree(target, ignore_errors=True)
            os.rename(beside, target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return target


def _remove_abandoned(target: str) -> None:
    """Remove what killed processes have left of this store: folders not written to for an hour."""
    cache, name = os.path.split(target)
    left = [entry.path for entry in os.scandir(cache) if entry.name.startswith(f"{name}.")]
    for folder in left:
        with suppress(OSError):  # another process may be removing it
            times = [entry.stat().st_mtime for entry in os.scandir(folder)]
            if time.time() - max(times, default=os.stat(folder).st_mtime) > _AN_HOUR:
                shutil.rmtree(folder)


class _Encoding:
    """Reads the parts three times: for the Unicode forms, the symbols, and the ids."""

    def __init__(
        self,
        parts: list[str],
        params: Mapping[str, Any],
        share: float | None,
        read: Callable[[str], Texts],
    ) -> None:
        self._parts, self._share, self._read = parts, share, read
        self._most = params["max_length"]
        self._seed = int(params["seed"]).to_bytes(8, "little")
        self._left_out = 0
        choice = FormChoice(params, len(Columns.parse(params["columns"]).features))
        for part in parts:
            choice.add(*read(part))
        self._forms = choice.forms()

    def write(self, folder: str, settings: dict[str, Any]) -> None:
        """Write all files of a store."""
        counts = [SymbolCounts(form) for form in self._forms]
        for texts in self._kept_parts():
            for count, side in zip(counts, texts, strict=True):
                count.add(side)
        vocabularies = [count.vocabulary() for count in counts]
        groups = {"train": _Writer(folder, "train", vocabularies)}
        if self._share is not None:
            groups["held_out"] = _Writer(folder, "held_out", vocabularies)
        self._left_out = 0
        for texts in self._kept_parts():
            sides = [Sequences.encode(v, t) for v, t in zip(vocabularies, texts, strict=True)]
            is_held_out = self._is_held_out(sides[0])
            for name, writer in groups.items():
                rows = np.flatnonzero(is_held_out == (name == "held_out"))
                writer.write([side.take(rows) for side in sides])
        written = {name: writer.close() for name, writer in groups.items()}
        for name, pairs in written.items():
            if not pairs:
                raise ValueError(
                    f"{os.path.dirname(self._parts[0])}: expected pairs to train on and to hold "
                    f"out, got none ({name})"
                )
        lengths = [max(writer.longest[side] for writer in groups.values()) for side in (0, 1)]
        has_held_out = self._share is not None
        document = StoreDocument(settings, vocabularies, lengths, self._left_out, has_held_out)
        document.write(os.path.join(folder, _DOCUMENT))

    def _kept_parts(self) -> Iterator[Texts]:
        for part in self._parts:
            sources, targets = self._read(part)
            if self._most is not None:
                fits = [
                    max(map(_length, self._forms, pair)) <= self._most
                    for pair in zip(sources, targets, strict=True)
                ]
                self._left_out += fits.count(False)
                sources, targets = (
                    [text for text, kept in zip(side, fits, strict=True) if kept]
                    for side in (sources, targets)
                )
            yield sources, targets

    def _is_held_out(self, sources: Sequences) -> npt.NDArray[np.bool_]:
        """Which sources are, by a checksum of their ids: all pairs of a source go together."""
        if self._share is None:
            return np.zeros(len(sources), dtype=bool)
        most = int(self._share * 2**64)
        return np.array(
            [
                int.from_bytes(
                    hashlib.blake2b(sources.key(row), digest_size=8, key=self._seed).digest()
                )
                < most
                for row in range(len(sources))
            ],
            dtype=bool,
        )


def _length(form: Any, text: Text) -> int:
    return int(form.length(text))


class _Written(NamedTuple):
    """What was written of a side."""

    ids: Any
    lengths: list[npt.NDArray[Any]]
    counts: npt.NDArray[np.int64]


class _Writer:
    """Writes the ids of pairs as they come, and at the end their lengths and counts."""

    def __init__(self, folder: str, group: str, vocabularies: list[Vocabulary]) -> None:
        self._paths = [os.path.join(folder, f"{group}.{side}") for side in _SIDES]
        self._sides = [
            # closed by `close`, when all sides are written
            _Written(open(f"{path}{IDS}", "wb"), [], np.zeros(len(vocabulary), np.int64))  # noqa: SIM115
            for path, vocabulary in zip(self._paths, vocabularies, strict=True)
        ]
        self.longest = [0, 0]

    def write(self, sides: list[Sequences]) -> None:
        """Add the rows of both sides."""
        for number, (written, side) in enumerate(zip(self._sides, sides, strict=True)):
            size = len(written.counts)
            written.ids.write(side.ids.astype(id_type(size)).tobytes())
            longest = int(side.lengths.max(initial=0))
            written.lengths.append(side.lengths.astype(id_type(longest + 1)))
            self.longest[number] = max(self.longest[number], longest)
            written.counts[:] += side.counts(size)

    def close(self) -> int:
        """Flush all to the disk; how many pairs there are."""
        count = 0
        for path, side in zip(self._paths, self._sides, strict=True):
            side.ids.flush()
            os.fsync(side.ids.fileno())
            side.ids.close()
            lengths = np.concatenate(side.lengths)
            count = len(lengths)
            write_numbers(path, lengths, side.counts)
        return count
