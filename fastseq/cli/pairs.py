"""Files of pairs, and lines of sources, as the commands read them."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fastseq.cli import say

if TYPE_CHECKING:
    from fastseq import Ensemble, Transducer
    from fastseq.cli.parser import Parser
    from fastseq.transducer.data.forms import Text
    from fastseq.transducer.data.tsv import PairFile
    from fastseq.transducer.data.unknown import Unknown

_LEXICON = "lexicon"


def add_pair_file(parser: Parser) -> None:
    """Add the options that say how a file of pairs is to be read, but for its columns."""
    parser.add_argument(
        "--delimiter",
        type=_delimiter,
        default="\t",
        metavar="CHAR",
        help="what separates the columns in the files of pairs (default: a tab); with any other "
        "they are read as CSV",
    )
    parser.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="the first line names the columns (default: where it holds such words as source, "
        "target, lemma, features)",
    )
    parser.add_argument(
        "--format",
        choices=("columns", _LEXICON),
        default="columns",
        help="of the files of pairs: columns (default); or lexicon, as CMUdict: WORD, spaces, its "
        "symbols, with ;;; and # before comments, and WORD(2) for another pronunciation",
    )


def add_columns(parser: Parser) -> None:
    """Add the option for a file whose columns are not those that a model was trained on."""
    parser.add_argument(
        "--columns",
        type=_columns,
        metavar="TEXT",
        help="what the columns are, as for fastseq train (default: as the model was trained)",
    )


def add_unknown(parser: Parser) -> None:
    """Add the option for symbols that the training data did not have."""
    parser.add_argument(
        "--unknown",
        choices=("warn", "ignore", "error", "drop"),
        default="warn",
        help="symbols that were not in the training data: read them as unknown and say how many "
        "(warn, the default) or not (ignore), end with an error, or leave them out (drop)",
    )


def is_lexicon(arguments: argparse.Namespace) -> bool:
    """Whether the files of pairs are lexicons."""
    return bool(arguments.format == _LEXICON)


def read_file(
    arguments: argparse.Namespace, path: str, source_form: str, target_form: str, columns: str
) -> PairFile:
    """Read a file of pairs as the options say; a header is said."""
    from fastseq.transducer.data.lexicon import read_lexicon
    from fastseq.transducer.data.tsv import read_pairs

    if is_lexicon(arguments):
        return read_lexicon(path)
    found = read_pairs(
        path, source_form, target_form, arguments.delimiter, columns, arguments.header
    )
    if found.has_header and arguments.header is None:
        say(f"{path}: the first line is a header (--no-header reads it as a pair)")
    return found


def source_of_line(model: Transducer | Ensemble, line: str) -> Text:
    """A line as the model takes it.

    Raises
    ------
    ValueError
        There are more or fewer columns.
    """
    from fastseq.transducer.data.columns import Columns

    return Columns.parse(model.columns).source_of_line(line, model.vocabulary_.source.form)


def count_unknown(
    model: Transducer | Ensemble, sources: Iterable[Text], arguments: argparse.Namespace
) -> Unknown:
    """Say how many unknown symbols a file's sources have; what the model is to do with them."""
    counted = UnknownSymbols(model, arguments.unknown)
    for number, source in enumerate(sources, start=1):
        counted.of(source, f"{arguments.data}, pair {number}")
    counted.say()
    return counted.how


class UnknownSymbols:
    """Counts the symbols of sources that a model has not seen.

    Parameters
    ----------
    model : Transducer or Ensemble
    how : str
        The value of ``--unknown``.

    Attributes
    ----------
    how : str
        What the model is to do with them, after they were counted here.
    """

    def __init__(self, model: Transducer | Ensemble, how: Unknown) -> None:
        self._vocabulary, self._how = model.vocabulary_.source, how
        self.how: Unknown = "ignore" if how == "warn" else how
        self._found: Counter[str] = Counter()
        self._rows = self._all = 0

    def of(self, source: Text, place: str) -> list[str]:
        """Those of one source, in their order.

        Raises
        ------
        ValueError
            There are some, and they are to be an error; the message begins with the place.
        """
        from fastseq.transducer.data.unknown import not_in_training, unknown_symbols

        symbols = unknown_symbols(self._vocabulary, source)
        if symbols and self._how == "error":
            raise ValueError(f"{place}: {not_in_training(symbols)}")
        self._found.update(symbols)
        self._rows += bool(symbols)
        self._all += 1
        return symbols

    def say(self) -> None:
        """Say how many there were, if any."""
        from fastseq.transducer.data.unknown import unknown_message

        if self._found and self._how != "ignore":
            done = "left out" if self._how == "drop" else "read as unknown"
            say(f"{unknown_message(self._found, self._rows, self._all)}; {done}")


def _columns(text: str) -> str:
    from fastseq.transducer.data.columns import Columns

    try:
        Columns.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("columns: ")) from None
    return text


def _delimiter(text: str) -> str:
    """Read an argument: one character; a tab may be written as a backslash and a t."""
    text = "\t" if text == r"\t" else text
    if len(text) != 1 or text in '"\r\n':
        raise argparse.ArgumentTypeError(f"expected one character, got {text!r}")
    return text
