"""Encoded pairs in little memory, and the order in which they are trained on.

A batch holds sequences of similar lengths, so that little of it is padding; which ones, and the
order of the batches, are drawn from a generator and repeat with its state.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from fastseq.transducer.data.forms import Text
from fastseq.transducer.data.vocabulary import END, START, Vocabulary
from fastseq.transducer.network.network import Batch

IdArray = npt.NDArray[np.int64]

_BATCHES_IN_A_POOL = 100
_USUAL_LENGTH = 256


class Sequences:
    """Sequences of ids, end to end in one array.

    Parameters
    ----------
    ids : int32 array (sum of the lengths)
    offsets : int64 array (N + 1)
        Sequence k is ``ids[offsets[k] : offsets[k + 1]]``.
    """

    def __init__(self, ids: npt.NDArray[np.int32], offsets: IdArray) -> None:
        self.ids = ids
        self.offsets = offsets

    @classmethod
    def encode(cls, vocabulary: Vocabulary, texts: Sequence[Text]) -> Sequences:
        """The ids of some texts, without start or end."""
        offsets = np.zeros(len(texts) + 1, dtype=np.int64)
        for row, text in enumerate(texts, start=1):
            offsets[row] = offsets[row - 1] + len(vocabulary.split(text))
        ids = np.empty(offsets[-1], dtype=np.int32)
        for row, text in enumerate(texts):
            ids[offsets[row] : offsets[row + 1]] = vocabulary.encode(text)
        return cls(ids, offsets)

    def __len__(self) -> int:
        """How many sequences there are."""
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IdArray:
        """The lengths (N)."""
        return np.diff(self.offsets)

    def row(self, number: int) -> list[int]:
        """The ids of one sequence."""
        ids: list[int] = self.ids[self.offsets[number] : self.offsets[number + 1]].tolist()
        return ids

    def key(self, number: int) -> bytes:
        """The ids of one sequence, to look it up by."""
        return self.ids[self.offsets[number] : self.offsets[number + 1]].tobytes()

    def take(self, rows: IdArray) -> Sequences:
        """New sequences: these rows, in this order."""
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(self.lengths[rows], out=offsets[1:])
        ids = np.empty(offsets[-1], dtype=np.int32)
        for place, row in enumerate(rows):
            begin, end = self.offsets[row], self.offsets[row + 1]
            ids[offsets[place] : offsets[place + 1]] = self.ids[begin:end]
        return Sequences(ids, offsets)

    def ended(self, rows: IdArray) -> tuple[IdArray, IdArray]:
        """These rows, each with the end symbol, 0 past their lengths.

        Returns
        -------
        ids : int64 array (N, T), T the longest row with its end
        lengths : int64 array (N), at least 1
        """
        begins = self.offsets[rows]
        lengths = self.offsets[rows + 1] - begins
        ids = np.zeros((len(rows), int(lengths.max(initial=0)) + 1), dtype=np.int64)
        for row, (begin, length) in enumerate(zip(begins, lengths, strict=True)):
            ids[row, :length] = self.ids[begin : begin + length]
        ids[np.arange(len(rows)), lengths] = END
        return ids, lengths + 1


class Pairs:
    """Sources and the target of each.

    Parameters
    ----------
    sources, targets : Sequences of equal number
    texts : array of int, as many, optional
        A number for each different source text, where texts differ in symbols that have no id; by
        default sources of the same ids are the same.
    weights : float32 array, as many, optional
        How much each pair counts in training; 1 by default.
    numbers : array of int, as many, optional
        Which pair of the user's each is, from 0; by default they are in that order.
    """

    def __init__(
        self,
        sources: Sequences,
        targets: Sequences,
        texts: IdArray | None = None,
        weights: npt.NDArray[np.float32] | None = None,
        numbers: IdArray | None = None,
    ) -> None:
        self.sources = sources
        self.targets = targets
        self.numbers = np.arange(len(sources)) if numbers is None else numbers
        self._texts = texts
        self._weights = weights

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.sources)

    def take(self, rows: IdArray) -> Pairs:
        """New pairs: these rows, in this order."""
        texts = None if self._texts is None else self._texts[rows]
        weights = None if self._weights is None else self._weights[rows]
        sides = self.sources.take(rows), self.targets.take(rows)
        return Pairs(*sides, texts, weights, self.numbers[rows])

    def batch(self, rows: IdArray) -> Batch:
        """What a network trains on: sources with their ends, targets from start and to end."""
        sources, source_lengths = self.sources.ended(rows)
        targets, target_lengths = self.targets.ended(rows)
        inputs = np.zeros_like(targets)
        inputs[:, 0] = START
        inputs[:, 1:] = np.where(targets[:, :-1] == END, 0, targets[:, :-1])
        weights = None if self._weights is None else self._weights[rows]
        return Batch(sources, source_lengths, inputs, targets, target_lengths, weights)

    def target_symbols(self, rows: IdArray) -> IdArray:
        """How many target symbols each of these rows has, its end counted."""
        symbols: IdArray = self.targets.offsets[rows + 1] - self.targets.offsets[rows] + 1
        return symbols

    def longest(self, rows: IdArray) -> str:
        """Which of some rows is the longest, in words."""
        row = rows[np.argmax(self.costs[rows])]
        lengths = self.sources.lengths[row], self.targets.lengths[row]
        return (
            f"whose longest pair is number {self.numbers[row] + 1}, with {lengths[0]:,} source and "
            f"{lengths[1]:,} target symbols; max_length leaves out longer ones"
        )

    def rows_of_sources(self) -> dict[bytes, list[int]]:
        """The rows of each different source, in the order of their first appearance."""
        rows: dict[bytes, list[int]] = {}
        for row in range(len(self)):
            own = self.sources.key(row) if self._texts is None else self._texts[row].tobytes()
            rows.setdefault(own, []).append(row)
        return rows

    def digest(self) -> str:
        """A checksum of everything in here (SHA-256): other pairs have another one."""
        checksum = hashlib.sha256()
        for side in (self.sources, self.targets):
            checksum.update(side.offsets.astype("<i8").tobytes())
            checksum.update(side.ids.astype("<i4").tobytes())
        if self._weights is not None:
            checksum.update(self._weights.astype("<f4").tobytes())
        return checksum.hexdigest()

    @property
    def costs(self) -> IdArray:
        """What a step on each pair takes, as the length of a short pair that takes as much.

        Time and memory grow with the length, and those of the attention with its square.
        """
        lengths = np.maximum(self.sources.lengths, self.targets.lengths)
        costs: IdArray = np.maximum(lengths, lengths**2 // _USUAL_LENGTH)
        return costs

    def long_rows(self) -> npt.NDArray[np.bool_]:
        """Which pairs (N) are far longer than the rest, and would make a whole batch wait."""
        costs = self.costs
        return costs > max(_USUAL_LENGTH, 2 * float(np.median(costs)))


def shuffled_batches(
    pairs: Pairs, batch_size: int, generator: np.random.Generator
) -> list[IdArray]:
    """Draw an epoch: every pair in one batch, pairs of similar lengths together.

    The pairs are shuffled and cut into pools of a hundred batches; each pool is sorted by length
    and cut into batches; the batches of all pools are shuffled. Pairs far longer than the rest are
    in batches of their own, of fewer pairs the longer they are.

    Parameters
    ----------
    pairs : Pairs
    batch_size : int
        The last batch of the last pool may be smaller.
    generator : numpy.random.Generator

    Returns
    -------
    list of int64 arrays
        The rows of each batch; the same number of batches whatever is drawn.
    """
    order = generator.permutation(len(pairs))
    is_long = pairs.long_rows()[order]
    usual, long = order[~is_long], order[is_long]
    source_lengths, target_lengths = pairs.sources.lengths, pairs.targets.lengths
    batches: list[IdArray] = []
    pool_size = _BATCHES_IN_A_POOL * batch_size
    for first in range(0, len(usual), pool_size):
        pool = usual[first : first + pool_size]
        pool = pool[np.lexsort((target_lengths[pool], source_lengths[pool]))]
        batches.extend(
            pool[start : start + batch_size] for start in range(0, len(pool), batch_size)
        )
    batches.extend(long[rows] for rows in batches_by_length(pairs.costs[long], batch_size))
    return [batches[number] for number in generator.permutation(len(batches))]


def count_batches(pairs: Pairs, batch_size: int) -> int:
    """How many batches `shuffled_batches` draws."""
    is_long = pairs.long_rows()
    long_batches = batches_by_length(pairs.costs[is_long], batch_size)
    return math.ceil(np.sum(~is_long) / batch_size) + sum(1 for _ in long_batches)


def batches_by_length(lengths: IdArray, batch_size: int) -> Iterator[IdArray]:
    """Cut all rows, the shortest first, into batches.

    A batch has fewer rows where they are long, because all are padded to the longest: its rows
    times its longest length are at most those of a full batch of rows of 256 symbols.
    """
    order = np.argsort(lengths, kind="stable")
    first = 0
    while first < len(order):
        rows = order[first : first + batch_size]
        padded = np.arange(1, len(rows) + 1) * lengths[rows]
        count = np.searchsorted(padded, batch_size * _USUAL_LENGTH, side="right")
        yield rows[: max(1, int(count))]
        first += max(1, int(count))


def split_by_source(
    pairs: Pairs, share: float, generator: np.random.Generator
) -> tuple[Pairs, Pairs]:
    """Hold a share of the pairs out; the pairs of one source all go to the same side.

    Parameters
    ----------
    pairs : Pairs
    share : float
        Between 0 and 1, both excluded.
    generator : numpy.random.Generator

    Returns
    -------
    kept, held_out : Pairs
        In the order of the input. At least one source is on each side.

    Raises
    ------
    ValueError
        There are fewer than two different sources.
    """
    groups = pairs.rows_of_sources()
    if len(groups) < 2:
        raise ValueError(
            "validation: a share can be held out of at least 2 different sources; "
            f"got {len(groups)} (validation=None, or --valid none, holds out nothing)"
        )
    rows_of = list(groups.values())
    order = generator.permutation(len(rows_of))
    is_held_out = np.zeros(len(pairs), dtype=bool)
    held_out = 0
    for number in order[:-1]:
        is_held_out[rows_of[number]] = True
        held_out += len(rows_of[number])
        if held_out >= share * len(pairs):
            break
    return pairs.take(np.flatnonzero(~is_held_out)), pairs.take(np.flatnonzero(is_held_out))
