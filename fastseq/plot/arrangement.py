"""What fits into a picture: labels that are apart, and no more cells than can be seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fastseq.plot.glyphs import width

PADDING = "pad"
_LONGEST_LABEL = 30  # characters
_MOST_CELLS = 3000  # along a side: as many as there are pixels


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Move ascending heights between 0 and 1 apart until neighbours are `gap` or more apart."""
    spread: list[float] = []
    for height in heights:
        lowest = spread[-1] + gap if spread else 0.0
        spread.append(max(min(height, 1.0), lowest))
    ceiling = 1.0
    for index in reversed(range(len(spread))):
        spread[index] = min(spread[index], ceiling)
        ceiling = spread[index] - gap
    return spread


def overhang(labels: Sequence[str]) -> float:
    """How many inches the longest label of an axis takes, beyond those of a few characters."""
    return 0.09 * max(0, max(map(width, labels), default=0) - 3)


def coarse(
    weights: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], tuple[float, float, float, float]]:
    """At most so many cells as can be seen, the largest of their neighbours; left to top edge."""
    edges = []
    for axis, length in enumerate(weights.shape):
        block = max(1, math.ceil(length / _MOST_CELLS))
        if block > 1:
            weights = np.maximum.reduceat(weights, range(0, length, block), axis=axis)
        edges.append(block * weights.shape[axis] - 0.5)
    return weights, (-0.5, edges[1], edges[0], -0.5)


def shortened(label: str) -> str:
    """The beginning of a label, with an ellipsis, where it is long."""
    return label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"


def merge_padding(
    weights: npt.NDArray[np.float64], symbols: Sequence[str]
) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Sum the columns of the trailing spaces into one."""
    length = len(symbols)
    while length and symbols[length - 1] == " ":
        length -= 1
    columns = list(symbols[:length])
    if length == len(symbols):
        return weights, columns
    padding = weights[:, length:].sum(axis=1, keepdims=True)
    return np.hstack([weights[:, :length], padding]), [*columns, PADDING]
