"""The numbers that a search takes, and the bounds of its answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.models.base import check_sizes
from fastseq.transducer.model_config import Lengths

Array = npt.NDArray[Any]

# Far above any use; its power of the longest answer's length is a float64 still.
_LARGEST_PENALTY = 64
MORE_STEPS = 10
# However long the sources are, and whatever a model file says of the lengths it has seen.
MOST_STEPS = 2**16


def check_search(beam_size: int, n_best: int, length_penalty: float) -> None:
    """TypeError or ValueError, naming the argument, unless `beam_search` takes these."""
    check_sizes(beam_size=beam_size, n_best=n_best)
    if n_best > beam_size:
        raise ValueError(f"n_best: expected at most beam_size = {beam_size}, got {n_best}")
    number = int | float | np.integer | np.floating
    if isinstance(length_penalty, bool) or not isinstance(length_penalty, number):
        kind = type(length_penalty).__name__
        raise TypeError(f"length_penalty: expected a number, got {kind}")
    # False for NaN too.
    if not 0 <= length_penalty <= _LARGEST_PENALTY:
        raise ValueError(f"length_penalty: expected 0 to {_LARGEST_PENALTY}, got {length_penalty}")


def checked_steps(max_steps: int | Array, rows: int) -> Array:
    """The most symbols of the answer to each row, `max_steps` checked and repeated."""
    limits = np.asarray(max_steps)
    if limits.dtype.kind not in "iu":
        raise TypeError(f"max_steps: expected integers, got {limits.dtype}")
    if limits.shape not in ((), (rows,)):
        raise ValueError(f"max_steps: expected a number or shape ({rows},), got {limits.shape}")
    if (limits < 1).any():
        raise ValueError(f"max_steps: expected at least 1, got {limits.min()}")
    return np.full(rows, limits, dtype=np.int64)


def check_possible(log_probabilities: float | Array) -> None:
    """FloatingPointError unless these, the best that there are, are numbers above -inf."""
    # False for NaN too.
    if not np.all(np.greater(log_probabilities, -np.inf)):
        raise FloatingPointError("the network's log probabilities are NaN or all minus infinity")


def default_steps(lengths: npt.NDArray[np.int64], seen: Lengths) -> npt.NDArray[np.int64]:
    """After how many symbols an answer is cut: more than any target of the training data has.

    Where the source is longer than any there, as many times more; but `MOST_STEPS` at most.
    """
    factor = np.maximum(1.0, lengths / max(1, seen.source))
    limits: npt.NDArray[np.float64] = np.ceil(seen.target * factor) + MORE_STEPS
    return np.minimum(limits, MOST_STEPS).astype(np.int64)
