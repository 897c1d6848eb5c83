"""fastseq.data: the textbook's loader and formats, and the two generated tasks."""

import errno
import importlib.util
import itertools

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
