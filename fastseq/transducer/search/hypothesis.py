"""A hypothesis: one answer of a search, whole or in the making.

An answer is made of symbols of the vocabulary; ``<unk>`` and ``<s>`` are never produced. They are
barred, but the probabilities of the others are the network's own: nothing is renormalised.

An answer ends in two ways: with ``</s>``, which then is its last symbol though not among its `ids`;
or at ``max_steps`` symbols without it. Such an answer is unfinished. Its log probability is the sum
over its ids alone, and by this it is ranked among the finished ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Hypothesis:
    """One answer.

    Attributes
    ----------
    ids : list of int
        Its symbols, without ``</s>``.
    score : float
        What it is ranked by: `log_probability` after the length penalty.
    log_probability : float
        The sum over its symbols, ``</s>`` included if it is finished.
    finished : bool
        Whether it ended with ``</s>``.
    weights : ndarray of float32, shape (len(ids), source length), or None
        Attention weights of the step that produced each id.
    """

    ids: list[int]
    score: float
    log_probability: float
    finished: bool
    weights: Array | None = None

    def attention(self, source_length: int) -> Array:
        """The attention weights (len(ids), source_length), also of an answer without symbols."""
        if self.weights is None or not self.ids:
            return np.zeros((0, source_length), np.float32)
        return np.asarray(self.weights, dtype=np.float32)


Output = Any  # str where the targets of `fit` were, else list of str


class Answer(NamedTuple):
    """One answer, with all that is known of it.

    Attributes
    ----------
    text : str, or list of str
        As the targets in `fit`.
    score : float
        What it is ranked by: `log_probability` after the length penalty.
    log_probability : float
        Of its symbols, and of its end unless it was cut.
    cut : bool
        Whether it reached the longest length that is searched before it ended.
    """

    text: Output
    score: float
    log_probability: float
    cut: bool
