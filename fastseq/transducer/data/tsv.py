"""Pairs as tab-separated values: a line for each, source, tab, target; UTF-8, nothing quoted.

A byte order mark, CRLF and a missing end of the last line are harmless. Anything else that is not a
pair is an error with its line. With another delimiter a file is read as CSV, with its quotes. More
columns, and other orders of them, are described by `Columns`.
"""

from __future__ import annotations

import codecs
import csv
import math
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fastseq.transducer.data.columns import Columns
from fastseq.transducer.data.forms import Text

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


class PairFile(NamedTuple):
    """What a file of pairs holds.

    Attributes
    ----------
    sources : list of str, or of tuples of str
        Tuples where there are features: the text, and each column of them.
    targets : list of str
    weights : list of float, or None
        Where there is such a column.
    columns : Columns
        Where everything stood.
    has_header : bool
        Whether the first line named the columns.
    """

    sources: list[Text]
    targets: list[Text]
    weights: list[float] | None
    columns: Columns
    has_header: bool


def read_pairs(
    path: str | os.PathLike[str],
    source_form: str = "char",
    target_form: str = "char",
    delimiter: str = "\t",
    columns: str = "source,target",
    header: bool | None = None,
) -> PairFile:
    """Read a file of pairs.

    Parameters
    ----------
    path : path
    source_form, target_form : str
        As those of a `Vocabulary`: white space is a text of characters, but none of tokens.
    delimiter : str
        One character. Any but a tab makes the file CSV (RFC 4180): a field that holds the delimiter
        is in double quotes.
    columns : str
        Where source, target, features and weight stand: see `Columns.parse`.
    header : bool, optional
        Whether the first line names the columns. By default it does where all its words are well
        known names of columns, or where `columns` has names.

    Returns
    -------
    PairFile

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is empty, or a line is no pair: the message gives the file, the line and the reason.
    """
    name = os.fspath(path)
    places = Columns.parse(columns)
    if places.names and header is False:
        raise ValueError(f"columns: expected numbers where there is no header, got {columns!r}")
    has_header = False
    sources: list[Text] = []
    targets: list[Text] = []
    weights: list[float] = []
    with open(path, "rb") as file:
        for number, fields in _rows(file, name, delimiter):
            if number == 1 and (places.is_header(fields) if header is None else header):
                has_header = True
                places = places.resolved(fields)
                continue
            row = _Row(places, fields, delimiter, (source_form, target_form))
            problem = row.problem()
            if problem:
                raise ValueError(f"{name}, line {number}: {problem}")
            sources.append(row.source())
            targets.append(row.field(places.target))
            if places.weight is not None:
                weights.append(row.weight())
    if not sources:
        holds = "a header alone" if has_header else "an empty file"
        raise ValueError(f"{name}: expected at least one line, got {holds}")
    return PairFile(
        sources, targets, None if places.weight is None else weights, places, has_header
    )


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


class _Row:
    """The fields of a line, with what each of them is."""

    def __init__(
        self, columns: Columns, fields: list[str], delimiter: str, forms: tuple[str, str]
    ) -> None:
        self._columns, self._fields, self._delimiter, self._forms = (
            columns,
            fields,
            delimiter,
            forms,
        )

    def field(self, place: int | str) -> str:
        """The field in a place."""
        assert isinstance(place, int)  # names are resolved
        return self._fields[place]

    def source(self) -> Text:
        """The source, in a tuple with its features where there are such columns."""
        text, features = self.field(self._columns.source), self._columns.features
        return (text, *map(self.field, features)) if features else text

    def weight(self) -> float:
        """The weight; NaN where the field is none."""
        assert self._columns.weight is not None
        try:
            return float(self.field(self._columns.weight))
        except ValueError:
            return math.nan

    def problem(self) -> str:
        """What keeps the line from being a pair, "" for nothing."""
        fields, columns, separator = self._fields, self._columns, _name(self._delimiter)
        count = columns.width
        if not fields:
            return self._refusal("an empty line")
        if len(fields) == 1:
            return self._refusal(f"a line without a {separator}")
        if count is not None and len(fields) > count:
            return self._refusal(f"{len(fields) - 1} {separator}s")
        if len(fields) < (count or columns.least_width):
            return self._refusal(f"{len(fields)} fields")
        for role, place, form in zip(
            ("source", "target"), (columns.source, columns.target), self._forms, strict=True
        ):
            if not (self.field(place) if form == "char" else self.field(place).strip()):
                return self._refusal(f"an empty {role}")
        if columns.weight is not None and not 0 <= self.weight() < math.inf:
            weight = self.field(columns.weight)
            return f"expected as weight a number of at least 0, got {weight[:60]!r}"
        return ""

    def _refusal(self, problem: str) -> str:
        fields, delimiter, columns = self._fields, self._delimiter, self._columns
        line = delimiter.join(fields)
        excerpt = f": {line[:60]!r}{'…' * (len(line) > 60)}" if line else ""
        hint = ""
        other = next((each for each in _NAMES if line.count(each) == columns.least_width - 1), None)
        if len(fields) == 1 and other is not None:
            hint = f"; where a {_name(other)} separates them, say --delimiter {other!r}"
        expected = f"a source, a {_name(delimiter)} and a target"
        if columns.description() != "source,target":
            expected = f"the columns {columns.description()} with {_name(delimiter)}s between them"
        elif len(fields) > 2:
            hint = "; --columns says which columns to read"
        return f"expected {expected}, got {problem}{excerpt}{hint}"


def _name(delimiter: str) -> str:
    return _NAMES.get(delimiter, repr(delimiter))
