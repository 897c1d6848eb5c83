"""The edit distance between two sequences: how many symbols were inserted, left out or changed."""

from __future__ import annotations

from collections.abc import Sequence


def edit_distance(one: Sequence[object], other: Sequence[object]) -> int:
    """The least number of insertions, deletions and substitutions that turn one into the other.

    Levenshtein 1966, by the rows of Wagner and Fischer 1974, "The string-to-string correction
    problem". With d(i, 0) = i and d(0, j) = j::

        d(i, j) = min(d(i - 1, j) + 1, d(i, j - 1) + 1, d(i - 1, j - 1) + (one[i] != other[j]))

    Parameters
    ----------
    one, other : sequences of symbols

    Returns
    -------
    int
    """
    above = list(range(len(other) + 1))
    for i, symbol in enumerate(one, start=1):
        row = [i]
        for j, partner in enumerate(other, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (symbol != partner)))
        above = row
    return above[-1]


def symbol_error_rate(
    answers: Sequence[Sequence[object]], accepted: Sequence[Sequence[Sequence[object]]]
) -> float:
    """The wrong symbols of answers, as edit distances, for each symbol of the right ones.

    Parameters
    ----------
    answers : sequence of sequences of symbols
    accepted : sequence of as many sequences of right answers
        Of several the closest counts; of these the shortest.

    Returns
    -------
    float
        At least 0; above 1 where answers are much too long.
    """
    wrong = symbols = 0
    for answer, known in zip(answers, accepted, strict=True):
        distance, length = min((edit_distance(answer, right), len(right)) for right in known)
        wrong += distance
        symbols += length
    return wrong / max(1, symbols)
