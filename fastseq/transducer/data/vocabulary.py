"""Symbols and their ids: what stands between text and the arrays that a network reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

Text = str | Sequence[str]
Tokens = Literal["char", "space"]
Form = Literal["char", "space", "list"]

UNKNOWN, START, END = 0, 1, 2
SPECIAL_SYMBOLS = ("<unk>", "<s>", "</s>")


class Vocabulary:
    """Numbers the symbols of one side, sources or targets.

    Ids 0, 1 and 2 are `<unk>`, `<s>` (start) and `</s>` (end). They are never found in a text: a
    token of the data that happens to be spelled ``<s>`` has an id of its own.

    Parameters
    ----------
    symbols : sequence of str
        Those of the data, without the special ones, all different; the first gets id 3.
    form : {"char", "space", "list"}
        What a text is: a string whose characters (Unicode code points) are the symbols, a string of
        symbols with white space between them, or a list of symbols.

    Attributes
    ----------
    symbols : tuple of str
        The symbol of each id, the special ones first.
    form : str

    Raises
    ------
    ValueError
        The form is unknown, or a symbol is empty, repeated, or cannot be in a text of this form.
    """

    def __init__(self, symbols: Iterable[str], form: Form = "char") -> None:
        if form not in get_args(Form):
            raise ValueError(f"form: expected one of {', '.join(get_args(Form))}; got {form!r}")
        self.form = form
        self.symbols = (*SPECIAL_SYMBOLS, *symbols)
        first = len(SPECIAL_SYMBOLS)
        self._ids = {symbol: id for id, symbol in enumerate(self.symbols[first:], start=first)}
        if len(self._ids) != len(self.symbols) - first:
            repeated = next(s for s, count in Counter(self.symbols[first:]).items() if count > 1)
            raise ValueError(f"symbols: expected different ones, got {repeated!r} twice")
        for symbol in self._ids:
            if form != "list" and self.split(symbol) != [symbol]:
                raise ValueError(f"symbols: {symbol!r} is no symbol of a text of form {form!r}")

    @classmethod
    def build(cls, texts: Sequence[Text], tokens: Tokens = "char") -> Vocabulary:
        """Number the symbols of some texts, the most frequent first, ties by code point.

        Parameters
        ----------
        texts : sequence of str, or of lists of str
            Lists are symbols already, and `tokens` is not asked then.
        tokens : {"char", "space"}
            What the symbols of a string are.

        Returns
        -------
        Vocabulary

        Raises
        ------
        TypeError
            Strings and lists are mixed, or a list holds anything but strings.
        """
        if tokens not in get_args(Tokens):
            raise ValueError(f"tokens: expected char or space, got {tokens!r}")
        form: Form = "list" if len(texts) and not isinstance(texts[0], str) else tokens
        empty = cls((), form)
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(empty.split(text))
        return cls(sorted(counts, key=lambda symbol: (-counts[symbol], symbol)), form)

    def __len__(self) -> int:
        """How many ids there are, with the special ones."""
        return len(self.symbols)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self.form == other.form and self.symbols == other.symbols

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Vocabulary of {len(self)} symbols, form {self.form!r}>"

    def split(self, text: Text) -> list[str]:
        """The symbols of a text, known ones or not.

        Raises
        ------
        TypeError
            The text is a list where this vocabulary is of strings, or the reverse.
        """
        if isinstance(text, str) and self.form != "list":
            return list(text) if self.form == "char" else text.split()
        if self.form != "list":
            raise TypeError(f"expected a string, got {type(text).__name__}")
        if isinstance(text, str):
            raise TypeError("expected a list of symbols as in the training data, got a string")
        symbols = list(text)
        for symbol in symbols:
            if not isinstance(symbol, str):
                raise TypeError(f"expected a list of strings, got one of {type(symbol).__name__}")
        return symbols

    def join(self, symbols: Sequence[str]) -> Any:
        """The text of these symbols: a string, or for the form "list" a list."""
        if self.form == "list":
            return list(symbols)
        return ("" if self.form == "char" else " ").join(symbols)

    def encode(self, text: Text) -> list[int]:
        """The ids of a text's symbols, `UNKNOWN` for those that are not in the vocabulary."""
        return [self._ids.get(symbol, UNKNOWN) for symbol in self.split(text)]

    def decode(self, ids: Iterable[int]) -> Any:
        """The text of some ids; special ones appear as they are spelled in `SPECIAL_SYMBOLS`."""
        return self.join([self.symbols[id] for id in ids])

    def to_json(self) -> dict[str, Any]:
        """What `from_json` makes the same vocabulary of, in the types that JSON knows."""
        return {"form": self.form, "symbols": list(self.symbols[len(SPECIAL_SYMBOLS) :])}

    @classmethod
    def from_json(cls, data: Any) -> Vocabulary:
        """Rebuild a vocabulary from the result of `to_json`, which is not trusted.

        Raises
        ------
        ValueError
            It is something else.
        """
        if not isinstance(data, dict) or set(data) != {"form", "symbols"}:
            raise ValueError("expected an object with form and symbols")
        symbols = data["symbols"]
        if not isinstance(symbols, list) or not all(isinstance(item, str) for item in symbols):
            raise ValueError("symbols: expected a list of strings")
        return cls(symbols, data["form"])
