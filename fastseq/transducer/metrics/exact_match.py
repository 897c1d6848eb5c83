"""Exact match: the share of answers that are right to the last symbol."""

from __future__ import annotations

from collections.abc import Sequence


def exact_match(
    answers: Sequence[Sequence[object]], accepted: Sequence[Sequence[Sequence[object]]]
) -> float:
    """The share of answers that are one of those accepted.

    Parameters
    ----------
    answers : sequence of sequences of symbols or ids, at least one
    accepted : sequence of as many sequences of right answers

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> exact_match([[3, 4], [5]], [[[4, 3], [3, 4]], [[6]]])
    0.5
    """
    return matches(answers, accepted) / len(answers)


def matches(
    answers: Sequence[Sequence[object]], accepted: Sequence[Sequence[Sequence[object]]]
) -> int:
    """How many answers are one of those accepted."""
    return sum(answer in known for answer, known in zip(answers, accepted, strict=True))
