"""Judgements: the answer to each source beside those that are right, and what they show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from fastseq.transducer.metrics.edit_distance import alignment


class Judgement(NamedTuple):
    """The answer to one source, judged.

    Attributes
    ----------
    source : sequence of str
        Its symbols, as those of all that follow.
    accepted : sequence of sequences of str
        The right answers.
    answer : sequence of str
        The best of those that were found.
    score : float
    edits : int
        The edit distance between the answer and the closest of the right ones.
    closest : sequence of str
        That one.
    rank : int or None
        The place of the first right answer among those that were found, from 1; None if none is.
    cut : bool
        Whether the answer reached the longest length that is searched before it ended.
    """

    source: Sequence[str]
    accepted: Sequence[Sequence[str]]
    answer: Sequence[str]
    score: float
    edits: int
    closest: Sequence[str]
    rank: int | None
    cut: bool

    @property
    def is_right(self) -> bool:
        """Whether the best answer is right."""
        return self.rank == 1


class LengthClass(NamedTuple):
    """The sources of some lengths: from `least` to `most` symbols, and how many are right."""

    least: int
    most: int
    words: int
    right: int


class Confusion(NamedTuple):
    """What came for what was expected, "" for nothing, and how often."""

    expected: str
    got: str
    times: int


_CLASSES = 10


def accuracy_by_length(judgements: Sequence[Judgement]) -> list[LengthClass]:
    """Count right answers by the lengths of the sources, in at most ten classes of equal width."""
    lengths = [len(judgement.source) for judgement in judgements]
    if not lengths:
        return []
    least = min(lengths)
    width = (max(lengths) - least) // _CLASSES + 1
    words: Counter[int] = Counter((length - least) // width for length in lengths)
    right: Counter[int] = Counter(
        (length - least) // width
        for length, judgement in zip(lengths, judgements, strict=True)
        if judgement.is_right
    )
    return [
        LengthClass(least + k * width, least + (k + 1) * width - 1, words[k], right[k])
        for k in sorted(words)
    ]


def confusions(judgements: Sequence[Judgement]) -> list[Confusion]:
    """Count the edits between wrong answers and the closest right ones, the most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    for judgement in judgements:
        if not judgement.is_right:
            pairs = alignment(judgement.closest, judgement.answer)
            counts.update((expected, got) for expected, got in pairs if expected != got)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Confusion(expected, got, count) for (expected, got), count in ordered]
