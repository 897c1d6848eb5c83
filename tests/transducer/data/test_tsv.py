"""Tab-separated pairs: what is harmless is read, the rest is refused with its line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastseq.transducer.data.tsv import read_pairs, text_lines


def pairs(path: Path, *how: str, **options: Any) -> tuple[list[Any], list[Any]]:
    """Sources and targets of a file."""
    found = read_pairs(path, *how, **options)
    return found.sources, found.targets


HARMLESS = {
    "plain": b"a\t1\nb c\t2\n",
    "no final newline": b"a\t1\nb c\t2",
    "CRLF": b"a\t1\r\nb c\t2\r\n",
    "CRLF without the last": b"a\t1\r\nb c\t2",
    "byte order mark": b"\xef\xbb\xbfa\t1\nb c\t2\n",
}
REFUSED = {
    "no tab": (b"a\t1\nb2\n", "line 2: expected .* got a line without a tab: 'b2'"),
    "two tabs": (b"a\t1\tx\n", r"line 1: expected .* got 2 tabs: 'a\\t1\\tx'"),
    "many tabs": (b"a\t1\n\t\t\t\t\n", "line 2: expected .* got 4 tabs"),
    "no source": (b"a\t1\nb\t2\n\t3\n", "line 3: expected .* got an empty source"),
    "no target": (b"a\t\n", "line 1: expected .* got an empty target"),
    "an empty line": (b"a\t1\n\nb\t2\n", "line 2: expected .* got an empty line$"),
    "an empty last line": (b"a\t1\n\n", "line 2: expected .* got an empty line$"),
    "bad UTF-8": (b"a\t1\nb\t\xff2\n", "line 2: expected UTF-8 text, got the byte 0xff"),
    "Latin-1": (b"caf\xe9\t1\n", "line 1: expected UTF-8 text, got the byte 0xe9"),
    "UTF-16": ("a\t1\n".encode("utf-16"), "line 1: expected UTF-8 text, got the byte 0x"),
    "empty": (b"", "expected at least one line, got an empty file"),
    "a long line": (b"x" * 10_000, f"got a line without a tab: '{'x' * 60}'…$"),
}


@pytest.mark.parametrize("content", HARMLESS.values(), ids=HARMLESS)
def test_what_is_harmless_is_read(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_bytes(content)
    assert pairs(path) == (["a", "b c"], ["1", "2"])


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_the_rest_is_refused_with_line_and_reason(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as failure:
        read_pairs(path)
    assert str(failure.value).startswith(str(path))
    assert "\n" not in str(failure.value)


def test_other_line_separators_are_symbols(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("a\u2028b\u0085\x0b\t1\n", encoding="utf-8")
    assert pairs(path) == (["a\u2028b\u0085\x0b"], ["1"])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.tsv"):
        read_pairs(tmp_path / "none.tsv")
    with pytest.raises(IsADirectoryError):
        read_pairs(tmp_path)


def test_lines_come_one_by_one() -> None:
    taken = []

    def source() -> Iterator[bytes]:
        for line in (b"\xef\xbb\xbfone\n", b"\xef\xbb\xbftwo\r\n", b"three"):
            taken.append(line)
            yield line

    lines = text_lines(source(), "<test>")
    assert next(lines) == "one" and len(taken) == 1
    assert list(lines) == ["\ufefftwo", "three"]


def test_white_space_is_a_text_of_characters_but_none_of_tokens(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_bytes(b"a\t \n")
    assert pairs(path) == (["a"], [" "])
    for form in ("space", "list"):
        with pytest.raises(ValueError, match="line 1: .* got an empty target"):
            read_pairs(path, "char", form)


CSV = {
    "commas": (b"a,b\nc,d\n", ",", ["a", "c"], ["b", "d"]),
    "quotes": (b'"a,b","say ""x"""\r\nc,d', ",", ["a,b", "c"], ['say "x"', "d"]),
    "semicolons": (b"a;b,c\n", ";", ["a"], ["b,c"]),
}


@pytest.mark.parametrize(("content", "delimiter", "sources", "targets"), CSV.values(), ids=CSV)
def test_another_delimiter_reads_csv(
    content: bytes, delimiter: str, sources: list[str], targets: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes(content)
    assert pairs(path, delimiter=delimiter) == (sources, targets)


@pytest.mark.parametrize(
    ("content", "delimiter", "message"),
    [
        (b"a,b\n", "\t", "line 1: expected a source, a tab .*a comma .* say --delimiter ','"),
        (b"a,b\nc;d\n", ",", "line 2: expected a source, a comma .* say --delimiter ';'"),
        (b"a,b\nc,d,e\n", ",", "line 2: .* got 2 commas: 'c,d,e'"),
        (b'a,b\n"c,d\n', ",", "line 2: unexpected end of data"),
        (b"a,b\n\n", ",", "line 2: .* got an empty line"),
        (b"a,b\nc,\n", ",", "line 2: .* got an empty target"),
    ],
)
def test_what_is_no_csv_is_refused(
    content: bytes, delimiter: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_pairs(path, delimiter=delimiter)
