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
    return _distances(one, other)[-1][-1]


def alignment(expected: Sequence[str], got: Sequence[str]) -> list[tuple[str, str]]:
    """A shortest way from one sequence to the other, symbol by symbol.

    Parameters
    ----------
    expected, got : sequences of symbols

    Returns
    -------
    list of pairs of str
        What was expected and what came: equal symbols, two for a substitution, and "" for what is
        missing on one side.

    Examples
    --------
    >>> alignment("abd", "bcde")
    [('a', ''), ('b', 'b'), ('', 'c'), ('d', 'd'), ('', 'e')]
    """
    distances = _distances(expected, got)
    pairs = []
    i, j = len(expected), len(got)
    while i or j:
        here = distances[i][j]
        if i and j and here == distances[i - 1][j - 1] + (expected[i - 1] != got[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((expected[i], got[j]))
        elif i and here == distances[i - 1][j] + 1:
            i -= 1
            pairs.append((expected[i], ""))
        else:
            j -= 1
            pairs.append(("", got[j]))
    return pairs[::-1]


def closest(
    answer: Sequence[object], accepted: Sequence[Sequence[str]]
) -> tuple[int, Sequence[str]]:
    """The right answer that is closest to an answer, of several the shortest.

    Parameters
    ----------
    answer : sequence of symbols
    accepted : sequence of right answers, at least one

    Returns
    -------
    distance : int
    right : sequence of symbols
    """
    distances = [(edit_distance(answer, right), len(right)) for right in accepted]
    best = min(distances)
    return best[0], accepted[distances.index(best)]


def _distances(one: Sequence[object], other: Sequence[object]) -> list[list[int]]:
    """Row i: distances between the first i symbols of one and each beginning of the other."""
    rows = [list(range(len(other) + 1))]
    for i, symbol in enumerate(one, start=1):
        above, row = rows[-1], [i]
        for j, partner in enumerate(other, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (symbol != partner)))
        rows.append(row)
    return rows
