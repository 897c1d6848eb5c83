"""The texts that a user gives, checked: what is wrong is said with its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set, Sized
from typing import Any

from fastseq.transducer.data.forms import Text, TextForm
from fastseq.transducer.data.vocabulary import Vocabulary


def checked_texts(
    name: str, texts: Iterable[Text], vocabulary: Vocabulary | None, tag_columns: int = 0
) -> list[Text]:
    """The texts as a list: all strings, all lists of strings, or all with columns of tags.

    Parameters
    ----------
    name : str
        What error messages call them.
    texts : iterable of str, or of lists of str
    vocabulary : Vocabulary, optional
        Of which form they must be; that of the first text by default.
    tag_columns : int
        Where there is no vocabulary: how many columns of tags a text has.

    Raises
    ------
    TypeError
        They are one string, or one of them is of another kind; the message gives its place.
    """
    _check_list(name, texts)
    listed = list(texts)
    if not listed:
        return listed
    if vocabulary is None:
        tokens = "char" if tag_columns or isinstance(listed[0], str) else "list"
        form = TextForm(tokens, tag_columns=tag_columns)  # type: ignore[arg-type]  # as above
    else:
        form = vocabulary.text_form
    for place, text in enumerate(listed):
        if form.tag_columns:
            fits = _is_list_of_strings(text) and len(text) == 1 + form.tag_columns
        else:
            fits = isinstance(text, str) if form.tokens != "list" else _is_list_of_strings(text)
        if not fits:
            raise TypeError(f"{name}[{place}]: expected {form.description()}, got {_kind(text)}")
    return listed


def accepted_answers(targets: Iterable[Any], vocabulary: Vocabulary) -> list[list[Text]]:
    """For each target the texts that are right: itself, or what it lists.

    Raises
    ------
    TypeError
        They are one string, or a target is neither a text of the vocabulary's form nor a list of
        such texts.
    """
    _check_list("targets", targets)
    answers: list[list[Text]] = []
    for place, target in enumerate(targets):
        is_text = isinstance(target, str) or (
            vocabulary.form == "list" and _is_list_of_strings(target)
        )
        listed = [target] if is_text else target
        answers.append(checked_texts(f"targets[{place}]", listed, vocabulary))
    return answers


def check_equal_length(sources: Sized, targets: Sized) -> None:
    """Require as many sources as targets.

    Raises
    ------
    ValueError
        There are not.
    """
    if len(sources) != len(targets):
        raise ValueError(
            f"sources and targets: expected as many of both; got {len(sources)} and {len(targets)}"
        )


def _check_list(name: str, texts: object) -> None:
    """Require something that holds texts in an order."""
    if hasattr(texts, "columns"):  # iteration would give their names
        raise TypeError(
            f"{name}: expected a list of texts, got a {type(texts).__name__}; one column of it "
            "will do"
        )
    if isinstance(texts, str | bytes | Mapping | Set) or not isinstance(texts, Iterable):
        raise TypeError(f"{name}: expected a list of texts, got {_kind(texts)}")


def _is_list_of_strings(text: object) -> bool:
    return (
        isinstance(text, Sequence)
        and not isinstance(text, str)
        and all(isinstance(symbol, str) for symbol in text)
    )


def _kind(value: object) -> str:
    if isinstance(value, list | tuple):
        if value and all(isinstance(item, str) for item in value):
            return f"a {type(value).__name__} of {len(value)}"
        odd = next((item for item in value if not isinstance(item, str)), None)
        suffix = "" if odd is None else f" that holds {type(odd).__name__}"
        return f"a {type(value).__name__}{suffix}"
    return "one string" if isinstance(value, str) else type(value).__name__
