"""fastseq.data: the textbook's loader and formats, and the two generated tasks."""

import errno
import importlib.util
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


# --- parsing -------------------------------------------------------------------------------------


def test_ids_follow_first_appearance_question_then_answer_line_by_line():
    data = sequence.parse_lines(SUMS)
    # By hand: 1 6 + 7 5 blank _ 9 from line 1, then 2 0 from the question of line 2; no 3, 4 or 8.
    assert list(data.char_to_id) == ["1", "6", "+", "7", "5", " ", "_", "9", "2", "0"]
    assert data.char_to_id == {char: number for number, char in data.id_to_char.items()}
    assert data.x.tolist() == [
        [0, 1, 2, 3, 4, 5, 5],
        [4, 8, 2, 1, 9, 3, 5],
        [3, 4, 2, 8, 8, 5, 5],
    ]
    assert data.t.tolist() == [[6, 7, 0, 5, 5], [6, 1, 4, 7, 5], [6, 7, 3, 5, 5]]
    assert data.x.dtype == data.t.dtype == np.int64
    assert data.x.flags.c_contiguous and data.t.flags.c_contiguous
    assert data.x.flags.owndata and data.t.flags.owndata


def test_the_first_start_symbol_divides_the_line():
    data = sequence.parse_lines(["ab_c_", "ba__c"])
    assert data.x.tolist() == [[0, 1], [1, 0]]
    assert data.t.tolist() == [[2, 3, 2], [2, 2, 3]]


def test_symbols_may_be_any_characters():
    data = sequence.parse_lines(["é😀_ü", "\u2028\x0b_é"])
    assert data.x.tolist() == [[0, 1], [4, 5]]
    assert data.t.tolist() == [[2, 3], [2, 0]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "sums.txt: expected at least one question_answer line, got none"),
        (["1+1_2", "1+12"], "sums.txt, line 2: .* without '_': '1\\+12'"),
        (["1+1_2", ""], "sums.txt, line 2: .* without '_': ''"),
        (["_2"], "sums.txt, line 1: .* nothing before '_': '_2'"),
        (["1+1_"], "sums.txt, line 1: .* nothing after '_': '1\\+1_'"),
        (["1+1_2", "1+2_3", "9+1_10"], "line 3: expected .* 3 .* 2 .* line 1, got 3 and 3: '9"),
        (["1+1_2", "10+1_11"], "line 2: expected .* 3 .* 2 .* line 1, got 4 and 3"),
        (["1+1_22", "10+1_3"], "line 2: expected .* 3 .* 3 .* line 1, got 4 and 2"),
        (["x" * 10_000], "line 1: .* 'x{60}…'$"),
    ],
)
def test_a_malformed_line_is_named(lines, message):
    with pytest.raises(ValueError, match=message):
        sequence.parse_lines(lines, name="sums.txt")


# --- the file ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "\n".join(SUMS) + "\n",
        "\n".join(SUMS),
        "\r\n".join(SUMS) + "\r\n",
        "\r\n".join(SUMS),
        "\r".join(SUMS) + "\r",
        "\ufeff" + "\n".join(SUMS) + "\n",
    ],
    ids=["LF", "no last LF", "CRLF", "no last CRLF", "CR", "byte order mark"],
)
def test_any_line_ending_and_a_byte_order_mark_are_read(write, content):
    path = write(content.encode())
    assert sequence.read_lines(path) == SUMS
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = file.read().replace("\r\n", "\n").replace("\r", "\n").splitlines(keepends=True)
    assert sequence.parse_lines(lines).x.tolist() == sequence.parse_lines(SUMS).x.tolist()


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "nowhere.txt"
    with pytest.raises(FileNotFoundError, match=r"no such data file .*nowhere\.txt") as raised:
        sequence.load_data(path)
    assert (raised.value.errno, raised.value.filename) == (errno.ENOENT, str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"examples\.txt: expected at least one question_answer line, got none"),
        (b"\n", r"examples\.txt, line 1: .* without '_': ''"),
        (b"1+1_2\n1+2_3\n\n", r"examples\.txt, line 3: .* without '_': ''"),
        (b"1+1_2\r\n1+2_3\r\n1+\xff_4\n", r"examples\.txt, line 3: expected UTF-8 .* 0xff"),
        (b"1+1_2\n1+2_\xe2\x82", r"examples\.txt, line 2: expected UTF-8 .* 0xe2"),
        ("1+1_2\n".encode("utf-16"), r"examples\.txt, line 1: expected UTF-8"),
        (b"1+1_2\n1+10_11\n", r"examples\.txt, line 2: expected .* got 4 and 3"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_explained_and_changes_nothing(write, content, message):
    path = write("\n".join(SUMS).encode())
    sequence.load_data(str(path))
    vocabulary, after_load = sequence.get_vocab(), np.random.get_state()[1].tolist()
    write(content)
    with pytest.raises(ValueError, match=message):
        sequence.load_data(str(path))
    assert sequence.get_vocab() == vocabulary
    assert np.random.get_state()[1].tolist() == after_load


# --- the split -----------------------------------------------------------------------------------


def numbered_lines(count: int) -> list[str]:
    """Lines whose question is their own number, so that every row can be recognised."""
    return [f"{number:04}_{number * number % 9973:04}" for number in range(count)]


def texts(ids, id_to_char) -> list[str]:
    return ["".join(id_to_char[symbol] for symbol in row) for row in ids.tolist()]


@pytest.mark.parametrize("seed", [1984, 7])
@pytest.mark.parametrize("count", [1, 9, 10, 19, 137])
def test_load_data_splits_as_the_textbook_does(write, count, seed):
    lines = numbered_lines(count)
    path = write("\n".join(lines).encode())
    arguments = {} if seed == 1984 else {"seed": seed}
    (x_train, t_train), (x_test, t_test) = sequence.load_data(path, **arguments)
    next_draw = np.random.randn()

    random = np.random.RandomState(seed)
    indices = list(range(count))
    random.shuffle(indices)
    expected = [lines[index] for index in indices]
    held_out = count // 10

    _, id_to_char = sequence.get_vocab()
    train = texts(np.hstack([x_train, t_train]), id_to_char)
    test = texts(np.hstack([x_test, t_test]), id_to_char)
    assert train == expected[: count - held_out]
    assert test == expected[count - held_out :]
    assert x_train.shape[1] == 4 and t_test.shape[1] == 5
    assert next_draw == random.randn()  # the global generator stands where the textbook leaves it


def test_split_gives_the_rows_of_load_data_and_leaves_the_global_generator_alone(write):
    lines = numbered_lines(53)
    path = write("\n".join(lines).encode())
    for seed in (1984, 3):
        loaded = sequence.load_data(path, seed)
        np.random.seed(12345)
        data = sequence.parse_lines(lines)
        divided = sequence.split(data, seed)
        assert (
            np.random.get_state()[1].tolist()
            == np.random.RandomState(12345).get_state()[1].tolist()
        )
        for ours, theirs in zip(itertools.chain(*divided), itertools.chain(*loaded), strict=True):
            np.testing.assert_array_equal(ours, theirs)
            assert not np.shares_memory(ours, data.x) and not np.shares_memory(ours, data.t)
    assert sequence.split(data)[0][0].tolist() != sequence.split(data, seed=3)[0][0].tolist()


def test_the_vocabulary_is_that_of_the_last_load_and_never_changes_in_the_callers_hands(write):
    sequence._vocabulary = ({}, {})
    assert sequence.get_vocab() == ({}, {})
    sequence.load_data(write("\n".join(SUMS).encode()))
    sums = sequence.get_vocab()
    assert sums[0] == sequence.parse_lines(SUMS).char_to_id
    sequence.load_data(write(b"ab_c\n"))
    assert sequence.get_vocab() == (
        {"a": 0, "b": 1, "_": 2, "c": 3},
        {0: "a", 1: "b", 2: "_", 3: "c"},
    )
    assert sums[0] == sequence.parse_lines(SUMS).char_to_id
    sequence.get_vocab()[0]["z"] = 99
    assert "z" not in sequence.get_vocab()[0]


def test_the_vocabulary_is_empty_before_the_first_load():
    specification = importlib.util.spec_from_file_location("fresh_sequence", sequence.__file__)
    fresh = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(fresh)
    assert fresh.get_vocab() == ({}, {})


# --- writing -------------------------------------------------------------------------------------


def test_both_formats_of_known_pairs():
    pairs = [("16+75", "91"), ("999+999", "1998")]
    assert list(sequence.textbook_lines(pairs, 7, 5)) == ["16+75  _91  ", "999+999_1998"]
    assert list(sequence.tsv_lines(pairs)) == ["16+75\t91", "999+999\t1998"]
    # The widths are the task's, not those of the longest pair at hand.
    assert list(sequence.textbook_lines([("1+1", "2")], 7, 5)) == ["1+1    _2   "]


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("12345678", "1"), "pair 2: expected a question of at most 7 .* got '12345678' and '_1'"),
        (("1", "12345"), "pair 2: .* an answer of at most 5 .* got '1' and '_12345'"),
        (("1_2", "1"), "pair 2: the question may not hold '_', got '1_2'"),
        (("1\n2", "1"), r"pair 2: the question may not hold '\\n'"),
        (("1", "1\r"), r"pair 2: the answer may not hold '\\r'"),
        (("", "1"), "pair 2: the question is empty"),
        (("1", ""), "pair 2: the answer is empty"),
    ],
)
def test_a_pair_that_the_textbook_format_cannot_hold_is_refused(pair, message):
    with pytest.raises(ValueError, match=message):
        list(sequence.textbook_lines([("1+1", "2"), pair], 7, 5))


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("a\tb", "c"), r"pair 1: the source may not hold '\\t'"),
        (("a", "c\td"), r"pair 1: the target may not hold '\\t'"),
        (("a\nb", "c"), r"pair 1: the source may not hold '\\n'"),
        (("a", ""), "pair 1: the target is empty"),
    ],
)
def test_a_pair_that_tsv_cannot_hold_is_refused(pair, message):
    with pytest.raises(ValueError, match=message):
        list(sequence.tsv_lines([pair]))


@pytest.mark.parametrize(("task", "widths"), [(dates, (29, 11)), (addition, (7, 5))])
def test_a_generated_set_survives_the_file(write, task, widths):
    pairs = task.generate(500, seed=2)
    assert (task.QUESTION_WIDTH, task.ANSWER_WIDTH) == widths
    lines = list(sequence.textbook_lines(pairs, *widths))
    (x_train, t_train), (x_test, t_test) = sequence.load_data(write("\n".join(lines).encode()))
    _, id_to_char = sequence.get_vocab()
    read = zip(
        texts(np.concatenate([x_train, x_test]), id_to_char),
        texts(np.concatenate([t_train, t_test]), id_to_char),
        strict=True,
    )
    assert sorted((x.rstrip(), t.rstrip()[1:]) for x, t in read) == sorted(pairs)
    assert (x_train.shape, t_test.shape) == ((450, widths[0]), (50, widths[1]))


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
