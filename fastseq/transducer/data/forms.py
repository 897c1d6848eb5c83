"""What a text of one side is: its Unicode form, how it is cut into symbols, and its tags."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

Text = str | Sequence[str]
Tokens = Literal["char", "space"]
Form = Literal["char", "space", "list"]
UnicodeForm = Literal["none", "NFC", "NFD", "NFKC"]

# "Much smaller": decomposed, the texts have at most so many symbols for each composed one.
_MUCH_SMALLER = 0.7
_MOST_TAG_COLUMNS = 1000
_MANY_MARKS = 100
_LONG_RUN = re.compile(rb"[^\0]{%d,}" % _MANY_MARKS)


def normalized(form: UnicodeForm, text: str) -> str:
    """A text in a Unicode normalization form, in time proportional to its length.

    `unicodedata.normalize` sorts a run of combining marks in time that is quadratic in its length:
    minutes for a hostile line of a megabyte. A run that is in order already is left as it is.
    """
    if form == "none":
        return text
    if len(text) > _MANY_MARKS and not text.isascii():
        text = _with_ordered_marks(text)
    return unicodedata.normalize(form, text)


def _with_ordered_marks(text: str) -> str:
    """The same text, with each run of many marks decomposed, in the canonical order."""
    classes = bytes(map(unicodedata.combining, text))  # 0 of all but marks
    parts, end = [], 0
    for run in _LONG_RUN.finditer(classes):
        marks = (unicodedata.normalize("NFD", mark) for mark in text[run.start() : run.end()])
        parts += [text[end : run.start()], *sorted("".join(marks), key=unicodedata.combining)]
        end = run.end()
    return "".join([*parts, text[end:]])


def as_string(text: Text) -> str:
    """A text as one string: a list of symbols with spaces between them."""
    return text if isinstance(text, str) else " ".join(text)


@dataclass(frozen=True)
class TextForm:
    """How a text becomes symbols, and symbols a text.

    Attributes
    ----------
    tokens : {"char", "space", "list"}
        A string whose characters (Unicode code points) are the symbols, a string of symbols with
        white space between them, or a list of symbols.
    normalize : {"none", "NFC", "NFD", "NFKC"}
        The Unicode normalization form that strings are brought to before they are cut.
    lowercase : bool
        Whether strings are written in lower case before that.
    compose : bool
        Whether the text of some symbols is brought to NFC.
    tag_columns : int
        With 1 or more a text is a tuple: a string, and so many strings of tags.
    tag_separators : str
        Each of these characters separates tags.
    """

    tokens: Form = "char"
    normalize: UnicodeForm = "none"
    lowercase: bool = False
    compose: bool = False
    tag_columns: int = 0
    tag_separators: str = ""

    def __post_init__(self) -> None:
        for name, kind in (("tokens", Form), ("normalize", UnicodeForm)):
            value, choices = getattr(self, name), get_args(kind)
            if value not in choices:
                name = "form" if name == "tokens" else name
                raise ValueError(f"{name}: expected one of {', '.join(choices)}; got {value!r}")
        # more columns than this no file has, and a hostile one must not ask for the memory
        if not 0 <= self.tag_columns <= _MOST_TAG_COLUMNS:
            least = "at least 0" if self.tag_columns < 0 else f"at most {_MOST_TAG_COLUMNS}"
            raise ValueError(f"tag_columns: expected {least}, got {self.tag_columns}")

    def split(self, text: Text) -> list[str]:
        """The symbols of a text, without its tags.

        Raises
        ------
        TypeError
            The text is a list where it should be a string, or the reverse.
        """
        if self.tag_columns:
            return self._split(self._columns(text)[0])
        return self._split(text)

    def tags(self, text: Text) -> list[list[str]]:
        """The tags of each of its columns; an empty list where there are none."""
        if not self.tag_columns:
            return []
        columns = self._columns(text)[1:]
        return [[tag for tag in re.split(self.tag_pattern, column) if tag] for column in columns]

    @property
    def tag_pattern(self) -> str:
        """The regular expression of what separates tags."""
        return f"[{re.escape(self.tag_separators)}]" if self.tag_separators else "$"

    def length(self, text: Text) -> int:
        """How many symbols a text has, its tags among them."""
        return len(self.split(text)) + sum(map(len, self.tags(text)))

    def join(self, symbols: Sequence[str]) -> Any:
        """The text of these symbols: a string, or where texts are lists a list."""
        if self.tokens == "list":
            return list(symbols)
        text = ("" if self.tokens == "char" else " ").join(symbols)
        return normalized("NFC", text) if self.compose else text

    def cut(self, text: str) -> list[str]:
        """The symbols of a string as it is."""
        return list(text) if self.tokens == "char" else text.split()

    def _split(self, text: Text) -> list[str]:
        if isinstance(text, str) and self.tokens != "list":
            text = text.lower() if self.lowercase else text
            return self.cut(normalized(self.normalize, text))
        if self.tokens != "list":
            raise TypeError(f"expected a string, got {type(text).__name__}")
        if isinstance(text, str):
            raise TypeError("expected a list of symbols as in the training data, got a string")
        symbols = list(text)
        for symbol in symbols:
            if not isinstance(symbol, str):
                raise TypeError(f"expected a list of strings, got one of {type(symbol).__name__}")
        return symbols

    def _columns(self, text: Text) -> Sequence[str]:
        if isinstance(text, str) or len(text) != 1 + self.tag_columns:
            raise TypeError(f"expected {self.description()}, got {text!r}")
        return text

    def description(self) -> str:
        """What a text is, in a few words."""
        if self.tag_columns:
            columns = "1 column" if self.tag_columns == 1 else f"{self.tag_columns} columns"
            return f"a tuple of a text and {columns} of features"
        return "a list of strings" if self.tokens == "list" else "a string"

    def to_json(self) -> dict[str, Any]:
        """What `from_json` makes the same form of; what is as by default is left out."""
        default = TextForm()
        entries = {name: value for name, value in vars(self).items() if name != "tokens"}
        return {"form": self.tokens} | {
            name: value for name, value in entries.items() if value != getattr(default, name)
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TextForm:
        """Rebuild a form from the result of `to_json`, which is not trusted.

        Raises
        ------
        ValueError
            It is something else.
        """
        entries = dict(data)
        tokens = entries.pop("form", None)
        default = vars(TextForm())
        for name, value in entries.items():
            if name not in default or name == "tokens" or type(value) is not type(default[name]):
                raise ValueError(f"{name[:60]}: expected no such entry, got {str(value)[:60]}")
        if not isinstance(tokens, str):
            raise ValueError(f"form: expected one of {', '.join(get_args(Form))}")
        return cls(tokens=tokens, **entries)  # type: ignore[arg-type]  # checked above


def form_of(texts: Sequence[Text], tokens: Tokens) -> Form:
    """The form of some texts: lists are symbols already, and `tokens` is not used then."""
    if tokens not in get_args(Tokens):
        raise ValueError(f"tokens: expected char or space, got {tokens!r}")
    return "list" if len(texts) and not isinstance(texts[0], str) else tokens


def choose_forms(
    sources: Sequence[Text],
    targets: Sequence[Text],
    params: Mapping[str, Any],
    tag_columns: int,
) -> tuple[TextForm, TextForm]:
    """The forms of both sides of some pairs, at least one: see `FormChoice`."""
    choice = FormChoice(params, tag_columns)
    choice.add(sources, targets)
    return choice.forms()


class FormChoice:
    """Chooses the forms of both sides of pairs, which may come in parts.

    Parameters
    ----------
    params : mapping
        The hyperparameters source_tokens, target_tokens, normalize, lowercase, feature_separators.
    tag_columns : int
        How many columns of tags a source has.
    """

    def __init__(self, params: Mapping[str, Any], tag_columns: int) -> None:
        self._params = params
        self._tag_columns = tag_columns
        self._sides: tuple[_Symbols, _Symbols] | None = None

    def add(self, sources: Sequence[Text], targets: Sequence[Text]) -> None:
        """Take as many texts of both sides, at least one, into account."""
        params, has_tags = self._params, bool(self._tag_columns)
        if self._sides is None:
            self._sides = (
                _Symbols(form_of([] if has_tags else sources, params["source_tokens"])),
                _Symbols(form_of(targets, params["target_tokens"])),
            )
        self._sides[0].add([text[0] for text in sources] if has_tags else sources)
        self._sides[1].add(targets)

    def forms(self) -> tuple[TextForm, TextForm]:
        """The forms of the sources and of the targets."""
        assert self._sides is not None
        sources, targets = self._sides
        normalize = self._params["normalize"]
        # not NFKC, which would change the answers
        target_form = targets.unicode_form("NFC" if normalize == "NFKC" else normalize)
        compose = target_form == "NFD" and targets.are_composed
        separators = self._params["feature_separators"] if self._tag_columns else ""
        source_form = TextForm(
            sources.tokens,
            sources.unicode_form(normalize),
            self._params["lowercase"],
            tag_columns=self._tag_columns,
            tag_separators=separators,
        )
        return source_form, TextForm(targets.tokens, target_form, compose=compose)


class _Symbols:
    """The symbols of texts, and whether all texts are as composed and as decomposed."""

    def __init__(self, tokens: Form) -> None:
        self.tokens = tokens
        self.are_composed = self.are_decomposed = True
        self._raw: set[str] = set()
        self._composed: set[str] = set()
        self._decomposed: set[str] = set()

    def add(self, texts: Sequence[Any]) -> None:
        if self.tokens == "list":
            return
        cut = TextForm(self.tokens).cut
        raw = {symbol for text in texts for symbol in cut(text)}
        self._raw |= raw
        if all(map(str.isascii, raw)):
            self._composed |= raw
            self._decomposed |= raw
            return
        for text in texts:
            self._composed.update(cut(normalized("NFC", text)))
            self._decomposed.update(cut(normalized("NFD", text)))
        is_in = unicodedata.is_normalized
        self.are_composed &= all(is_in("NFC", text) for text in texts)
        self.are_decomposed &= all(is_in("NFD", text) for text in texts)

    def unicode_form(self, normalize: str) -> UnicodeForm:
        """The normalization form that a hyperparameter stands for; of "auto", that of these texts.

        NFD where it makes the inventory of symbols much smaller, as Hangul syllables fall into
        letters; else the form that the texts are in, so that they stay as they are and later ones
        are brought to it; or NFC where they mix two forms of the same symbols. Texts that no form
        changes: "none".
        """
        if self.tokens == "list":
            return "none"
        if normalize != "auto":
            return cast("UnicodeForm", normalize)
        if self.are_composed and self.are_decomposed:
            return "none"
        if len(self._decomposed) <= _MUCH_SMALLER * len(self._composed):
            return "NFD"
        if self.are_composed:
            return "NFC"
        if self.are_decomposed:
            return "NFD"
        return "NFC" if len(self._composed) < len(self._raw) else "none"
