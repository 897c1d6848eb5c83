"""The content of a request: its document, every field checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastseq.serve.limits import Limits, Refused, shown
from fastseq.serve.model import Model, Search
from fastseq.transducer.data.forms import Text

FIELDS = ("text", "texts", "model", "beam", "n_best", "scores", "attention")


@dataclass(frozen=True)
class Query:
    """Texts to answer.

    Attributes
    ----------
    search : Search
        Which model answers, and how.
    texts : list of str
        As they came.
    sources : list of str, or of sequences of str
        The same as the model takes them.
    scores : bool
        Whether the log probabilities of answers are to be returned.
    """

    search: Search
    texts: list[str]
    sources: list[Text]
    scores: bool


def read(document: Any, models: Mapping[str, Model], limits: Limits) -> Query:
    """Check a document.

    Parameters
    ----------
    document : any value of JSON
    models : mapping of str to Model
        The first is the one that answers where the document names none.
    limits : Limits

    Raises
    ------
    Refused
        A field is wrong: the error names it, what was expected, and what came.
    """
    if not isinstance(document, dict):
        raise Refused.field("body", "a JSON object", shown(document))
    for name in document:
        if name not in FIELDS:
            raise Refused.field(
                _in_message(name), f"one of the fields {', '.join(FIELDS)}", "another field"
            )
    model = _model(document, models)
    beam = _whole_number(document, "beam", limits.beam, f"1 to {limits.beam}")
    n_best = _whole_number(document, "n_best", beam, f"1 to beam = {beam}")
    attention = _switch(document, "attention")
    if attention and not model.has_attention:
        raise Refused.field("attention", f"false of the model {shown(model.name)}", "true")
    texts = _texts(document, limits)
    if attention:
        characters = sum(len(text) for _, text in texts)
        if characters > limits.text:
            expected = f"false of texts of more than {limits.text:,} characters in all"
            raise Refused.field("attention", expected, f"{characters:,}", status=413)
    sources: list[Text] = []
    for field, text in texts:
        try:
            sources.append(model.source_of(text))
        except ValueError as error:
            raise Refused(422, f"{field}: {error}", field=field) from None
    return Query(
        Search(model, beam, n_best, attention),
        [text for _, text in texts],
        sources,
        _switch(document, "scores"),
    )


def _model(document: dict[str, Any], models: Mapping[str, Model]) -> Model:
    name = document.get("model", next(iter(models)))
    if not isinstance(name, str) or name not in models:
        raise Refused.field("model", f"one of {', '.join(map(shown, models))}", shown(name))
    return models[name]


def _texts(document: dict[str, Any], limits: Limits) -> list[tuple[str, str]]:
    """Each text, after the name of its field."""
    if "text" in document and "texts" in document:
        raise Refused.field("texts", "text or texts", "both")
    if "text" in document:
        named = [("text", document["text"])]
    elif "texts" in document:
        texts = document["texts"]
        if not isinstance(texts, list):
            raise Refused.field("texts", "a list of strings", shown(texts))
        if len(texts) > limits.texts:
            got = f"{len(texts):,}"
            raise Refused.field("texts", f"at most {limits.texts:,} texts", got, status=413)
        named = [(f"texts[{place}]", text) for place, text in enumerate(texts)]
    else:
        raise Refused.field("text", "a string, or texts, a list of strings", "neither")
    for field, text in named:
        _check_text(field, text, limits)
    return named


def _check_text(field: str, text: Any, limits: Limits) -> None:
    if not isinstance(text, str):
        raise Refused.field(field, "a string", shown(text))
    if len(text) > limits.text:
        got = f"{len(text):,}"
        raise Refused.field(field, f"at most {limits.text:,} characters", got, status=413)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        got = f"the lone surrogate \\u{ord(text[error.start]):04x} at position {error.start}"
        raise Refused.field(field, "Unicode text", got) from None
    if not text.strip():
        raise Refused.field(field, "a text that is not blank", shown(text))


def _whole_number(document: dict[str, Any], field: str, most: int, in_range: str) -> int:
    number = document.get(field, 1)
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= most:
        raise Refused.field(field, f"a whole number from {in_range}", shown(number))
    return number


def _switch(document: dict[str, Any], field: str) -> bool:
    value = document.get(field, False)
    if not isinstance(value, bool):
        raise Refused.field(field, "true or false", shown(value))
    return value


def _in_message(name: str) -> str:
    return name if name.isidentifier() and len(name) <= 60 else shown(name)
