"""The two generated tasks: sums and dates."""

import itertools
from collections import Counter
from datetime import date, datetime, timedelta

import numpy as np
import pytest

from fastseq.data import addition, dates, sequence

SUMS = ["16+75  _91  ", "52+607 _659 ", "75+22  _97  "]


@pytest.fixture
def write(tmp_path):
    """Write bytes to a file and return its path."""

    def write(content: bytes):
        path = tmp_path / "examples.txt"
        path.write_bytes(content)
        return path

    return write


@pytest.fixture(autouse=True)
def untouched_global_state():
    """Give back NumPy's global generator and the loaded vocabulary as they were."""
    random_state, vocabulary = np.random.get_state(), sequence._vocabulary
    yield
    np.random.set_state(random_state)
    sequence._vocabulary = vocabulary


# --- both generators -----------------------------------------------------------------------------

TASKS = pytest.mark.parametrize("task", [dates, addition])


@TASKS
def test_the_same_seed_gives_the_same_pairs_and_a_smaller_count_the_first_of_them(task):
    pairs = task.generate(300, seed=5)
    assert task.generate(300, seed=5) == pairs
    assert task.generate(40, seed=5) == pairs[:40]
    assert task.generate(300, seed=6) != pairs
    assert task.generate(300) == task.generate(300, seed=0)
    assert task.generate(0) == []
    assert all(type(text) is str for pair in pairs for text in pair)


@TASKS
def test_generating_leaves_the_global_generator_alone_and_does_not_read_it(task):
    np.random.seed(1)
    before = np.random.get_state()[1].tolist()
    pairs = task.generate(50, seed=5)
    assert np.random.get_state()[1].tolist() == before
    np.random.seed(2)
    assert task.generate(50, seed=5) == pairs


@TASKS
def test_fifty_thousand_questions_are_all_different(task):
    pairs = task.generate(50_000)
    assert len(pairs) == 50_000
    assert len({question for question, _ in pairs}) == 50_000


@TASKS
def test_a_count_that_does_not_exist_is_refused(task):
    for count in (-1, task.MAX_COUNT + 1):
        with pytest.raises(ValueError, match=f"expected 0 to {task.MAX_COUNT}, .* got {count}"):
            task.generate(count)
    with pytest.raises(TypeError):
        task.generate(2.5)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (
            dates,
            [("MAY 11, 1993", "1993-05-11"), ("29.01.2007", "2007-01-29")],
        ),
        (addition, [("145+28", "173"), ("719+1", "720")]),
    ],
)
def test_seed_zero_gives_the_set_that_published_results_were_measured_on(task, expected):
    assert task.generate(2) == expected


# --- sums ----------------------------------------------------------------------------------------


def test_sums_are_right_and_without_leading_zeros():
    pairs = addition.generate(50_000, seed=3)
    for question, answer in pairs:
        left, right = question.split("+")
        assert answer == str(int(left) + int(right))
        for number in (left, right):
            assert number == str(int(number)) and len(number) <= 3
    lengths = [(len(question), len(answer)) for question, answer in pairs]
    assert max(lengths) == (7, 4) and min(lengths) == (3, 1)


def test_a_sum_never_comes_with_its_mirror_image():
    pairs = addition.generate(50_000, seed=3)
    assert len({tuple(sorted(question.split("+"))) for question, _ in pairs}) == 50_000


def test_operand_lengths_are_drawn_evenly():
    """Before repeats matter each combination of lengths has its ninth: no side is favoured."""
    draws = Counter(
        tuple(len(number) for number in question.split("+"))
        for seed in range(12)
        for question, _ in addition.generate(150, seed)
    )
    assert draws.keys() == set(itertools.product((1, 2, 3), repeat=2))
    # 200 ± 13 expected; of the 55 sums of two single digits a few have been drawn already.
    assert all(150 < count < 250 for count in draws.values()), draws


def test_short_sums_are_used_up_before_long_ones():
    """All 55 sums of two single digits are among any 50,000, in either order of operands."""
    questions = {question for question, _ in addition.generate(50_000, seed=3)}
    for left, right in itertools.combinations_with_replacement(range(10), 2):
        assert (f"{left}+{right}" in questions) or (f"{right}+{left}" in questions)
    ascending = sum(int(left) < int(right) for left, right in (q.split("+") for q in questions))
    assert 0.48 < ascending / len(questions) < 0.52


def test_every_sum_can_be_drawn():
    pairs = addition.generate(addition.MAX_COUNT)
    drawn = {tuple(sorted(map(int, question.split("+")))) for question, _ in pairs}
    assert drawn == set(itertools.combinations_with_replacement(range(1000), 2))


# --- dates ---------------------------------------------------------------------------------------

# What each written form means, stated a second time and read by a second implementation.
FORMATS = {
    "%B %d, %Y": "September 7, 1994",
    "%b %d, %Y": "Sep 7, 1994",
    "%A, %B %d, %Y": "Wednesday, September 7, 1994",
    "%B %d %Y": "September 7 1994",
    "%d %B %Y": "7 September 1994",
    "%d %b %Y": "07 Sep 1994",
    "%A, %d %B %Y": "Wednesday, 7 September 1994",
    "%a, %d %b %Y": "Wed, 07 Sep 1994",
    "%m/%d/%y": "9/7/94",
    "%d.%m.%Y": "07.09.1994",
    "%Y/%m/%d": "1994/09/07",
}


def readings(text: str) -> dict[str, str]:
    """Every form in which strptime can read the text, with the ISO date it then means."""
    found = {}
    for format_ in FORMATS:
        try:
            day = datetime.strptime(text, format_)
        except ValueError:
            continue
        found[format_] = day.date().isoformat()
    return found


# These come in UPPER and lower case too.
MIXED = ("%B %d, %Y", "%b %d, %Y", "%A, %B %d, %Y")


def test_one_day_in_every_form():
    """The forms are exactly those listed, three of them in three kinds of letters."""
    day = date(1994, 9, 7)
    expected = set(FORMATS.values())
    for text in (FORMATS[format_] for format_ in MIXED):
        expected |= {text.upper(), text.lower()}
    written = [form.write(day) for form in dates.FORMS]
    assert len(written) == len(set(written)) == len(expected) == 17
    assert set(written) == expected


def test_written_dates_mean_their_iso_form_whichever_form_they_are_read_in():
    pairs = dates.generate(4_000, seed=3)
    used = set()
    for text, iso in pairs:
        found = readings(text)
        assert set(found.values()) == {iso}, text
        used.update(found)
    assert used == set(FORMATS)


def test_weekdays_are_true_and_every_year_month_and_day_occurs():
    pairs = dates.generate(20_000, seed=4)
    weekdays = Counter()
    # 1 January 1970 was a Thursday.
    from_thursday = ("thursday", "friday", "saturday", "sunday", "monday", "tuesday", "wednesday")
    for text, iso in pairs:
        first_word = text.split(",")[0].lower()
        if first_word.endswith("day") or len(first_word) == 3:
            days = (date.fromisoformat(iso) - date(1970, 1, 1)).days
            name = from_thursday[days % 7]
            assert first_word in (name, name[:3]), (text, iso)
            weekdays[name] += 1
    assert len(weekdays) == 7 and min(weekdays.values()) > 300
    assert {iso[:4] for _, iso in pairs} == {str(year) for year in range(1970, 2030)}
    assert {iso[5:7] for _, iso in pairs} == {f"{month:02}" for month in range(1, 13)}
    assert {iso[8:] for _, iso in pairs} == {f"{day:02}" for day in range(1, 32)}


def test_no_text_means_two_dates_and_all_of_them_fit():
    """Over everything that can be drawn: each form of each day."""
    meaning: dict[str, date] = {}
    day, longest = dates.FIRST_DAY, 0
    while day <= dates.LAST_DAY:
        for form in dates.FORMS:
            text = form.write(day)
            assert meaning.setdefault(text, day) == day, text
            longest = max(longest, len(text))
        day += timedelta(days=1)
    assert longest == dates.QUESTION_WIDTH == 29
    assert len(meaning) == dates.MAX_COUNT
    assert dates.LAST_DAY.year - dates.FIRST_DAY.year < 100  # so two digits name the year


def test_forms_come_in_the_proportions_of_their_weights():
    pairs = dates.generate(20_000, seed=4)
    slashes = sum(text.count("/") == 2 and len(text) <= 8 for text, _ in pairs)
    upper = sum(text.isupper() for text, _ in pairs)
    lower = sum(text.islower() for text, _ in pairs)
    # 10 of 100 parts are m/d/yy; a third of the 56 mixed parts are in either kind of letters.
    assert 0.09 < slashes / len(pairs) < 0.11
    assert 0.17 < upper / len(pairs) < 0.21
    assert 0.17 < lower / len(pairs) < 0.21


def test_the_symbols_of_a_full_set():
    """All letters of the English months and weekdays in two cases, digits and six marks."""
    pairs = dates.generate(50_000)
    data = sequence.parse_lines(
        sequence.textbook_lines(pairs, dates.QUESTION_WIDTH, dates.ANSWER_WIDTH)
    )
    letters = set("abcdefghijlmnoprstuvwy")
    expected = letters | {letter.upper() for letter in letters} | set("0123456789 ,./-_")
    assert set(data.char_to_id) == expected
    assert len(expected) == 60
