"""Symbols and their ids: what stands between text and the arrays that a network reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from fastseq.transducer.data.forms import Form, Text, TextForm, Tokens, form_of

Entry = str | tuple[int, str]

UNKNOWN, START, END = 0, 1, 2
SPECIAL_SYMBOLS = ("<unk>", "<s>", "</s>")


class Vocabulary:
    """Numbers the symbols of one side, sources or targets.

    Ids 0, 1 and 2 are `<unk>`, `<s>` (start) and `</s>` (end). They are never found in a text: a
    token of the data that happens to be spelled ``<s>`` has an id of its own. So has a tag, which
    is never the same as a symbol or as a tag of another column.

    Parameters
    ----------
    entries : sequence of str, or of tuples (int, str)
        The symbols of the data, without the special ones, all different; the first gets id 3. A tag
        is a tuple of its column, from 0, and its text.
    form : TextForm, or {"char", "space", "list"}
        What a text is: see `TextForm`.

    Attributes
    ----------
    entries : tuple
        As given.
    symbols : tuple of str
        The symbol of each id, the special ones first; a tag is shown in angle brackets.
    form : str
    text_form : TextForm

    Raises
    ------
    ValueError
        The form is unknown, or a symbol is empty, repeated, or cannot be in a text of this form.
    """

    def __init__(self, entries: Iterable[Entry], form: Form | TextForm = "char") -> None:
        self.text_form = form if isinstance(form, TextForm) else TextForm(form)
        self.form = self.text_form.tokens
        self.entries = tuple(entries)
        self.symbols = (*SPECIAL_SYMBOLS, *map(_shown, self.entries))
        self._ids: dict[str, int] = {}
        self._tag_ids: list[dict[str, int]] = [{} for _ in range(self.text_form.tag_columns)]
        for id, entry in enumerate(self.entries, start=len(SPECIAL_SYMBOLS)):
            ids, symbol = self._place_of(entry)
            if symbol in ids:
                raise ValueError(f"symbols: expected different ones, got {symbol!r} twice")
            ids[symbol] = id

    def _place_of(self, entry: Entry) -> tuple[dict[str, int], str]:
        """Where the id of an entry is kept, and under which key."""
        if isinstance(entry, str):
            if self.form != "list" and self.text_form.cut(entry) != [entry]:
                raise ValueError(f"symbols: {entry!r} is no symbol of a text of form {self.form!r}")
            return self._ids, entry
        column, tag = entry
        if not 0 <= column < len(self._tag_ids) or not tag:
            raise ValueError(f"symbols: {entry!r} is no tag of {len(self._tag_ids)} columns")
        return self._tag_ids[column], tag

    @classmethod
    def build(cls, texts: Sequence[Text], tokens: Tokens | TextForm = "char") -> Vocabulary:
        """Number the symbols of some texts, the most frequent first, ties by code point.

        Parameters
        ----------
        texts : sequence of str, or of lists of str
            Lists are symbols already, and `tokens` is not asked then.
        tokens : {"char", "space"}, or TextForm
            What the symbols of a string are; or all of what a text is.

        Returns
        -------
        Vocabulary

        Raises
        ------
        TypeError
            Strings and lists are mixed, or a list holds anything but strings.
        """
        form = tokens if isinstance(tokens, TextForm) else TextForm(form_of(texts, tokens))
        counts: Counter[str] = Counter()
        tag_counts: list[Counter[str]] = [Counter() for _ in range(form.tag_columns)]
        for text in texts:
            counts.update(form.split(text))
            for column, tags in zip(tag_counts, form.tags(text), strict=True):
                column.update(tags)
        entries: list[Entry] = [*_by_count(counts)]
        for number, column in enumerate(tag_counts):
            entries += [(number, tag) for tag in _by_count(column)]
        return cls(entries, form)

    def __len__(self) -> int:
        """How many ids there are, with the special ones."""
        return len(self.symbols)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self.text_form == other.text_form and self.entries == other.entries

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Vocabulary of {len(self)} symbols, form {self.form!r}>"

    def split(self, text: Text) -> list[str]:
        """The symbols of a text, known ones or not; tags in angle brackets.

        Raises
        ------
        TypeError
            The text is a list where this vocabulary is of strings, or the reverse.
        """
        symbols = self.text_form.split(text)
        return symbols + [f"<{tag}>" for column in self.text_form.tags(text) for tag in column]

    def join(self, symbols: Sequence[str]) -> Any:
        """The text of these symbols: a string, or for the form "list" a list."""
        return self.text_form.join(symbols)

    def encode(self, text: Text) -> list[int]:
        """The ids of a text's symbols, `UNKNOWN` for those that are not in the vocabulary."""
        ids = [self._ids.get(symbol, UNKNOWN) for symbol in self.text_form.split(text)]
        for known, column in zip(self._tag_ids, self.text_form.tags(text), strict=True):
            ids += [known.get(tag, UNKNOWN) for tag in column]
        return ids

    def ids(self) -> dict[str, int]:
        """The id of each symbol of a text that is no tag."""
        return dict(self._ids)

    def tag_ids(self) -> list[dict[str, int]]:
        """The id of each tag, for each column of tags."""
        return [dict(column) for column in self._tag_ids]

    def spelled(self, ids: Iterable[int], unseen: Sequence[str] = ()) -> list[str]:
        """The symbols of some ids, which go on with those of `unseen`."""
        symbols = (*self.symbols, *unseen) if unseen else self.symbols
        return [symbols[id] for id in ids]

    def decode(self, ids: Iterable[int], unseen: Sequence[str] = ()) -> Any:
        """The text of some ids; special ones appear as they are spelled in `SPECIAL_SYMBOLS`."""
        return self.join(self.spelled(ids, unseen))

    def to_json(self) -> dict[str, Any]:
        """What `from_json` makes the same vocabulary of, in the types that JSON knows."""
        entries = [entry if isinstance(entry, str) else list(entry) for entry in self.entries]
        return self.text_form.to_json() | {"symbols": entries}

    @classmethod
    def from_json(cls, data: Any) -> Vocabulary:
        """Rebuild a vocabulary from the result of `to_json`, which is not trusted.

        Raises
        ------
        ValueError
            It is something else.
        """
        if not isinstance(data, dict) or not {"form", "symbols"} <= set(data):
            raise ValueError("expected an object with form and symbols")
        form = dict(data)
        symbols = form.pop("symbols")
        if not isinstance(symbols, list) or not all(map(_is_entry, symbols)):
            raise ValueError("symbols: expected a list of strings, or of columns with tags")
        entries: list[Entry] = [
            entry if isinstance(entry, str) else (entry[0], entry[1]) for entry in symbols
        ]
        return cls(entries, TextForm.from_json(form))


def _by_count(counts: Counter[str]) -> list[str]:
    return sorted(counts, key=lambda symbol: (-counts[symbol], symbol))


def _shown(entry: Entry) -> str:
    return entry if isinstance(entry, str) else f"<{entry[1]}>"


def _is_entry(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and len(value) == 2 and [*map(type, value)] == [int, str]
    )
