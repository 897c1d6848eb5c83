"""Gradients of the shards of a batch, computed by one process or by several ranks, and summed.

A batch is cut into as many shards as the hyperparameter `shards` says, whatever the number of
ranks. Each rank computes the gradients of consecutive shards; these are summed in the order of the
shards, each element by one rank: the bits do not depend on which rank has computed what.

With R ranks and P parameters a rank receives P shards / R numbers before the sum, and P after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastseq.parallel.communicator import Communicator, agree

Array = npt.NDArray[Any]
IdArray = npt.NDArray[np.int64]

# Behind the gradients of a shard: its loss, its symbols, whether its rank was interrupted or has
# failed, as float64 in the places of two float32 each.
_NOTES = 4


class Sum(NamedTuple):
    """The loss of a batch, and whether a rank was interrupted."""

    loss: float
    interrupted: bool


def check_shards(shards: int, ranks: Communicator) -> None:
    """Require as many shards on each rank.

    Raises
    ------
    ValueError
        There are not.
    """
    if shards % ranks.size:
        raise ValueError(
            f"shards: expected a multiple of {ranks.size}, the number of processes; got {shards}"
        )


class Shards:
    """Computes the gradients of a batch in shards.

    Parameters
    ----------
    grads : sequence of ndarray of float32
        Where the gradients of a shard are found, and those of the batch are left.
    count : int
        How many shards there are: a multiple of the number of ranks.
    ranks : Communicator
    """

    def __init__(self, grads: Sequence[Array], count: int, ranks: Communicator) -> None:
        check_shards(count, ranks)
        self._grads = grads
        self._count = count
        self._ranks = ranks
        own = count // ranks.size
        self._own = range(ranks.rank * own, (ranks.rank + 1) * own)
        self._size = sum(grad.size for grad in grads)
        # of an even number of float32, so that the notes behind them are aligned
        self._chunk = 2 * math.ceil(self._size / (2 * ranks.size))
        self._flat = np.zeros(self._chunk * ranks.size, np.float32)
        self._rows = np.zeros((ranks.size, own, self._chunk + 2 * _NOTES), np.float32)

    def sum(
        self,
        rows: IdArray,
        symbols: IdArray,
        number: int,
        compute: Callable[[IdArray, np.random.Generator], float],
        interrupted: bool,
    ) -> Sum:
        """Compute the shards of this rank, and the sum over all of them.

        Parameters
        ----------
        rows, symbols : int64 array (N)
            The rows of the batch, and how many target symbols each has.
        number : int
            The same on all ranks, for the draws of this step; each shard has its own.
        compute : callable
            Given rows and a generator, fills the gradients and returns the mean loss of a symbol.
        interrupted : bool
            Whether this rank is.

        Returns
        -------
        Sum
            The gradients are those of the mean loss of the batch's symbols.

        Raises
        ------
        RankError
            Another rank has failed. What fails here is raised here.
        """
        error = None
        try:
            for place, shard in enumerate(self._own):
                # every so many rows: the batch is sorted by length, and the shards are alike
                part = slice(shard, None, self._count)
                self._compute(place, rows[part], symbols[part], symbols.sum(), number, compute)
        except BaseException as caught:
            error = caught
        self._note(2, interrupted)
        self._note(3, error is not None)
        received = self._ranks.exchange(self._rows).reshape(self._count, -1)
        notes = np.ascontiguousarray(received[:, self._chunk :]).view(np.float64)
        if notes[:, 3].any():
            agree(self._ranks, error)
        total = received[0, : self._chunk].copy()
        for row in received[1:, : self._chunk]:
            total += row
        self._take(self._ranks.collect(total).ravel())
        losses = sum(float(loss * count) for loss, count in notes[:, :2] if count)
        return Sum(losses / float(symbols.sum()), bool(notes[:, 2].any()))

    def _compute(
        self,
        place: int,
        rows: IdArray,
        symbols: IdArray,
        all_symbols: int,
        number: int,
        compute: Callable[[IdArray, np.random.Generator], float],
    ) -> None:
        """Compute one shard, and put its share of the sum into its row."""
        loss = 0.0
        self._flat[:] = 0  # the sum of a batch of fewer rows than shards
        if len(rows):
            loss = compute(rows, np.random.default_rng([number, self._own[place]]))
            share = np.float32(symbols.sum() / all_symbols)
            start = 0
            for grad in self._grads:
                end = start + grad.size
                np.multiply(grad.ravel(), share, out=self._flat[start:end])
                start = end
        self._rows[:, place, : self._chunk] = self._flat.reshape(self._ranks.size, -1)
        self._note(0, loss, place)
        self._note(1, float(symbols.sum()), place)

    def _note(self, column: int, value: float, place: int | slice = slice(None)) -> None:
        first = self._chunk + 2 * column
        self._rows[:, place, first : first + 2] = np.array([value], np.float64).view(np.float32)

    def _take(self, flat: Array) -> None:
        """Leave the sums where the gradients are found."""
        start = 0
        for grad in self._grads:
            grad[...] = flat[start : start + grad.size].reshape(grad.shape)
            start += grad.size
