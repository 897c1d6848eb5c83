"""Symbols that a model has never seen: read as unknown and said, refused, or left out."""

from __future__ import annotations

import inspect
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from fastseq.transducer.data.batches import Sequences
from fastseq.transducer.data.forms import Text
from fastseq.transducer.data.vocabulary import UNKNOWN, Vocabulary

Unknown = Literal["warn", "ignore", "error", "drop"]

_MOST_SHOWN = 10
_PACKAGE = "fastseq."


class UnknownSymbolWarning(UserWarning):
    """Sources have symbols that the training data did not have: see `Transducer.predict`.

    Examples
    --------
    >>> import warnings
    >>> from fastseq import Transducer, UnknownSymbolWarning
    >>> model = Transducer(hidden_size=8, epochs=1).fit(["a", "b"], ["A", "B"], validation=None)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", UnknownSymbolWarning)
    ...     model.predict(["ax"])
    Traceback (most recent call last):
    ...
    fastseq.transducer.data.unknown.UnknownSymbolWarning: 1 unknown symbol in 1 of 1 sources, ...
    """


def encode_sources(vocabulary: Vocabulary, texts: Sequence[Text], unknown: Unknown) -> Sequences:
    """The ids of some sources.

    Parameters
    ----------
    vocabulary : Vocabulary
    texts : sequence of str, or of lists of str
    unknown : {"warn", "ignore", "error", "drop"}
        What becomes of symbols that are not in the vocabulary: read as `UNKNOWN`, with one warning
        for all of them or without; an error; left out.

    Raises
    ------
    ValueError
        There is such a symbol, and it is to be an error; or there is no such way.
    """
    if unknown not in get_args(Unknown):
        raise ValueError(
            f"unknown: expected one of {', '.join(get_args(Unknown))}; got {unknown!r}"
        )
    sources = Sequences.encode(vocabulary, texts)
    if unknown == "ignore" or not (sources.ids == UNKNOWN).any():
        return sources
    rows = [row for row in range(len(sources)) if UNKNOWN in sources.row(row)]
    if unknown == "error":
        symbols = unknown_symbols(vocabulary, texts[rows[0]])
        raise ValueError(f"sources[{rows[0]}]: {not_in_training(symbols)}")
    if unknown == "drop":
        kept = sources.ids != UNKNOWN
        counts = np.concatenate([[0], np.cumsum(kept)])
        return Sequences(sources.ids[kept], counts[sources.offsets])
    found = Counter(symbol for row in rows for symbol in unknown_symbols(vocabulary, texts[row]))
    message = unknown_message(found, len(rows), len(sources))
    warnings.warn(message, UnknownSymbolWarning, stacklevel=_frames_of_the_package())
    return sources


def _frames_of_the_package() -> int:
    """The stack level of a warning that is to show where the user has called the package."""
    level, frame = 0, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level


def unknown_symbols(vocabulary: Vocabulary, text: Text) -> list[str]:
    """The symbols of a text that are not in the vocabulary, in their order."""
    ids = vocabulary.encode(text)
    if UNKNOWN not in ids:
        return []
    symbols = vocabulary.split(text)
    return [symbol for symbol, id in zip(symbols, ids, strict=True) if id == UNKNOWN]


def not_in_training(symbols: Sequence[str]) -> str:
    """An error's text: these symbols of a source are unknown."""
    listed = ", ".join(map(repr, dict.fromkeys(symbols)))
    return f"expected symbols that the training data had, got {listed}"


def unknown_message(found: Counter[str], rows: int, of_rows: int) -> str:
    """What is said of the unknown symbols of some sources."""
    shown = ", ".join(f"{symbol!r} ({count})" for symbol, count in found.most_common(_MOST_SHOWN))
    more = ", …" * (len(found) > _MOST_SHOWN)
    symbols = "symbol" if found.total() == 1 else "symbols"
    return (
        f"{found.total():,} unknown {symbols} in {rows:,} of {of_rows:,} sources, which the "
        f"training data did not have: {shown}{more}"
    )
