"""The edit distance: known values, and what makes it a metric."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastseq.transducer.metrics.edit_distance import alignment, closest, edit_distance

WORDS = st.text(alphabet="abc", max_size=8)


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("", "", 0),
        ("abc", "", 3),
        ("kitten", "sitting", 3),
        ("saturday", "sunday", 3),
        ("abc", "cab", 2),
        ("ab", "ba", 2),
        (["long", "words"], ["words"], 1),
    ],
)
def test_known_distances(one: str, other: str, distance: int) -> None:
    assert edit_distance(one, other) == edit_distance(other, one) == distance


@given(WORDS, WORDS)
def test_it_is_what_the_definition_says(one: str, other: str) -> None:
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        changed = int(one[i - 1] != other[j - 1])
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + changed)

    one, other = one[:5], other[:5]
    assert edit_distance(one, other) == distance(len(one), len(other))


@given(WORDS, WORDS, WORDS)
def test_it_is_a_metric(one: str, other: str, third: str) -> None:
    assert (edit_distance(one, other) == 0) == (one == other)
    assert edit_distance(one, other) == edit_distance(other, one)
    assert edit_distance(one, third) <= edit_distance(one, other) + edit_distance(other, third)


@given(WORDS, WORDS)
def test_an_alignment_spells_both_and_has_as_many_edits_as_the_distance(
    one: str, other: str
) -> None:
    pairs = alignment(one, other)
    assert "".join(expected for expected, _ in pairs) == one
    assert "".join(got for _, got in pairs) == other
    assert sum(expected != got for expected, got in pairs) == edit_distance(one, other)


def test_the_closest_of_several_is_the_shortest_of_the_nearest() -> None:
    assert closest("abc", ["abcd", "xyz", "ab"]) == (1, "ab")
    assert closest("abc", ["", "abc"]) == (0, "abc")
