"""Pronunciation lexicons in the form of CMUdict: a word, spaces, its symbols with spaces between.

A line that begins with ``;;;`` is a comment, and so is what follows a number sign at the end of
one. ``WORD(2)`` is another pronunciation of ``WORD``.
"""

from __future__ import annotations

import os
import re

from fastseq.transducer.data.columns import Columns
from fastseq.transducer.data.forms import Text
from fastseq.transducer.data.tsv import PairFile, text_lines

_ALTERNATIVE = re.compile(r"(?<=.)\(\d+\)$")
_COMMENT = re.compile(r"\s#(\s.*)?$")


def read_lexicon(path: str | os.PathLike[str]) -> PairFile:
    """Read a lexicon.

    Parameters
    ----------
    path : path

    Returns
    -------
    PairFile
        Each pronunciation as one string.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It holds no word, or a word has no symbols: the message gives the file and the line.
    """
    name = os.fspath(path)
    words: list[Text] = []
    pronunciations: list[Text] = []
    with open(path, "rb") as file:
        for number, line in enumerate(text_lines(file, name), start=1):
            fields = _COMMENT.sub("", line).split()
            if line.startswith(";;;") or not fields:
                continue
            word, *symbols = fields
            if not symbols:
                raise ValueError(
                    f"{name}, line {number}: expected a word, spaces and its symbols, got "
                    f"{line[:60]!r}"
                )
            words.append(_ALTERNATIVE.sub("", word))
            pronunciations.append(" ".join(symbols))
    if not words:
        raise ValueError(f"{name}: expected at least one word, got none")
    return PairFile(words, pronunciations, None, Columns.parse("source,target"), has_header=False)
