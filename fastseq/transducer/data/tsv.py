"""Pairs as tab-separated values: a line for each, source, tab, target; UTF-8, nothing quoted.

A byte order mark, CRLF and a missing end of the last line are harmless. Anything else that is not a
pair is an error with its line. With another delimiter a file is read as CSV, with its quotes.
"""

from __future__ import annotations

import codecs
import csv
import os
from collections.abc import Iterable, Iterator

_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "vertical bar"}


def text_lines(content: Iterable[bytes], name: str, first: int = 1) -> Iterator[str]:
    """Decode lines, one by one: a file that goes on growing, a pipe, gives them as they come.

    Parameters
    ----------
    content : iterable of bytes
        Lines with or without their ends, as a file opened in binary mode gives them.
    name : str
        What error messages call them.
    first : int
        The number of the first line.

    Yields
    ------
    str
        Each line without its end.

    Raises
    ------
    ValueError
        A line is not UTF-8: the message gives its number and the byte.
    """
    for number, line in enumerate(content, start=first):
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            byte = line[error.start]
            raise ValueError(
                f"{name}, line {number}: expected UTF-8 text, got the byte 0x{byte:02x}"
            ) from None


def read_pairs(
    path: str | os.PathLike[str],
    source_form: str = "char",
    target_form: str = "char",
    delimiter: str = "\t",
) -> tuple[list[str], list[str]]:
    """Read a file of pairs.

    Parameters
    ----------
    path : path
    source_form, target_form : str
        As those of a `Vocabulary`: white space is a text of characters, but none of tokens.
    delimiter : str
        One character. Any but a tab makes the file CSV (RFC 4180): a field that holds the delimiter
        is in double quotes.

    Returns
    -------
    sources, targets : lists of as many str

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is empty, or a line is no pair: the message gives the file, the line and the reason.
    """
    name = os.fspath(path)
    sources, targets = [], []
    with open(path, "rb") as file:
        for number, fields in _rows(file, name, delimiter):
            problem = _problem(fields, source_form, target_form, _name(delimiter))
            if problem:
                raise ValueError(f"{name}, line {number}: {_refusal(fields, delimiter, problem)}")
            sources.append(fields[0])
            targets.append(fields[1])
    if not sources:
        raise ValueError(f"{name}: expected at least one line, got an empty file")
    return sources, targets


def _rows(file: Iterable[bytes], name: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The fields of each row, with the number of the line it ends in."""
    lines = text_lines(file, name)
    if delimiter == "\t":
        yield from enumerate((line.split("\t") if line else [] for line in lines), start=1)
        return
    rows = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, strict=True)
    try:
        for fields in rows:
            yield rows.line_num, fields
    except csv.Error as error:
        raise ValueError(f"{name}, line {rows.line_num}: {error}") from error


def _problem(fields: list[str], source_form: str, target_form: str, separator: str) -> str:
    """What keeps a row from being a pair, "" for nothing."""
    if not fields:
        return "an empty line"
    if len(fields) == 1:
        return f"a line without a {separator}"
    if len(fields) > 2:
        return f"{len(fields) - 1} {separator}s"
    if _is_empty(fields[0], source_form):
        return "an empty source"
    if _is_empty(fields[1], target_form):
        return "an empty target"
    return ""


def _refusal(fields: list[str], delimiter: str, problem: str) -> str:
    line = delimiter.join(fields)
    excerpt = f": {line[:60]!r}{'…' * (len(line) > 60)}" if line else ""
    hint = ""
    other = next((each for each in _NAMES if line.count(each) == 1), None)
    if len(fields) == 1 and other is not None:
        hint = f"; where a {_name(other)} separates them, say --delimiter {other!r}"
    return f"expected a source, a {_name(delimiter)} and a target, got {problem}{excerpt}{hint}"


def _name(delimiter: str) -> str:
    return _NAMES.get(delimiter, repr(delimiter))


def _is_empty(text: str, form: str) -> bool:
    return not (text if form == "char" else text.strip())
