"""What training requires of several processes, the ranks, and how they fail together.

All ranks call the same collective functions in the same order. An error on one rank must not leave
the others waiting in the next of them: `together` raises it on all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class RankError(RuntimeError):
    """A rank has failed, and all have ended what they did together; the message says why."""


class RankLost(RuntimeError):
    """Another rank does not answer any more."""


class Communicator(Protocol):
    """The ranks of a training, as one of them knows them.

    Attributes
    ----------
    rank, size : int
        The number of this one, from 0, and of all.
    """

    rank: int
    size: int

    def exchange(self, rows: Array) -> Array:
        """Row k of an array (size, ...) of each rank, on rank k, in the order of the ranks."""
        ...

    def collect(self, array: Array) -> Array:
        """The arrays of all ranks, all of one shape, as the rows of one array, on each rank."""
        ...

    def expect_end(self) -> None:
        """Take note that the job ends: from now on no rank is waited for long."""


class SingleProcess:
    """The only rank of a training in one process."""

    rank = 0
    size = 1

    def exchange(self, rows: Array) -> Array:
        """The array itself."""
        return rows

    def collect(self, array: Array) -> Array:
        """The array as the only row of another."""
        return array[np.newaxis]

    def expect_end(self) -> None:
        """Nothing is waited for."""


SINGLE_PROCESS = SingleProcess()


def gather(ranks: Communicator, value: Any) -> list[Any]:
    """The values of all ranks, which JSON knows, on each."""
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    lengths = ranks.collect(np.array([text.size]))[:, 0]
    padded = np.zeros(lengths.max(), np.uint8)
    padded[: text.size] = text
    texts = ranks.collect(padded)
    return [json.loads(bytes(row[:length])) for row, length in zip(texts, lengths, strict=True)]


def agree(ranks: Communicator, error: BaseException | None) -> None:
    """Raise `RankError` on all ranks where one has an error; a single process raises the error.

    What is no `Exception`, such as KeyboardInterrupt, is raised as it is on its own rank.
    """
    if ranks.size == 1:
        if error is not None:
            raise error
        return
    found = gather(ranks, None if error is None else _text(error))
    if error is not None and not isinstance(error, Exception):
        raise error
    failed = {rank: text for rank, text in enumerate(found) if text is not None}
    if failed:
        rank, text = next(iter(failed.items()))
        is_common = len(failed) == ranks.size and len(set(failed.values())) == 1
        raise RankError(text if is_common else f"rank {rank}: {text}") from error


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, ValueError):
        return str(error)
    return f"{type(error).__name__}: {error}"


@contextmanager
def together(ranks: Communicator) -> Iterator[None]:
    """Leave this context on all ranks, or with an error on all: see `agree`.

    Within it is no collective call.
    """
    error = None
    try:
        yield
    except BaseException as caught:
        error = caught
    agree(ranks, error)


def require_equal(ranks: Communicator, facts: dict[str, Any]) -> None:
    """ValueError, on all ranks, where one has other facts than rank 0; the message says which."""
    first, *others = gather(ranks, facts)
    for rank, own in enumerate(others, start=1):
        for name, value in own.items():
            if value != first[name]:
                raise ValueError(
                    f"rank {rank}: {name}: expected {first[name]}, as on rank 0; got {value}"
                )
