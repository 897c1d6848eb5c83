"""Pairs as tab-separated values: a line for each, source, tab, target; UTF-8, nothing quoted.

A byte order mark, CRLF and a missing end of the last line are harmless. Anything else that is not a
pair is an error with its line.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Iterator


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
    path: str | os.PathLike[str], source_form: str = "char", target_form: str = "char"
) -> tuple[list[str], list[str]]:
    """Read a file of pairs.

    Parameters
    ----------
    path : path
    source_form, target_form : str
        As those of a `Vocabulary`: white space is a text of characters, but none of tokens.

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
        for number, line in enumerate(text_lines(file, name), start=1):
            source, target = _split(line, f"{name}, line {number}", source_form, target_form)
            sources.append(source)
            targets.append(target)
    if not sources:
        raise ValueError(f"{name}: expected at least one line, got an empty file")
    return sources, targets


def _split(line: str, place: str, source_form: str, target_form: str) -> tuple[str, str]:
    fields = line.split("\t")
    if not line:
        problem = "an empty line"
    elif len(fields) == 1:
        problem = "a line without a tab"
    elif len(fields) > 2:
        problem = f"{len(fields) - 1} tabs"
    elif _is_empty(fields[0], source_form):
        problem = "an empty source"
    elif _is_empty(fields[1], target_form):
        problem = "an empty target"
    else:
        return fields[0], fields[1]
    excerpt = f": {line[:60]!r}{'…' * (len(line) > 60)}" if line else ""
    raise ValueError(f"{place}: expected a source, a tab and a target, got {problem}{excerpt}")


def _is_empty(text: str, form: str) -> bool:
    return not (text if form == "char" else text.strip())
