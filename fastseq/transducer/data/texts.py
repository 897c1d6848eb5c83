"""The texts that a user gives, checked: what is wrong is said with its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set, Sized
from typing import Any

from fastseq.transducer.data.vocabulary import Text, Vocabulary


def checked_texts(name: str, texts: Iterable[Text], vocabulary: Vocabulary | None) -> list[Text]:
    """The texts as a list: all strings, or all lists of strings.

    Parameters
    ----------
    name : str
        What error messages call them.
    texts : iterable of str, or of lists of str
    vocabulary : Vocabulary, optional
        Of which form they must be; that of the first text by default.

    Raises
    ------
    TypeError
        They are one string, or one of them is of another kind; the message gives its place.
    """
    _check_list(name, texts)
    listed = list(texts)
    if not listed:
        return listed
    strings = isinstance(listed[0], str) if vocabulary is None else vocabulary.form != "list"
    for place, text in enumerate(listed):
        if not (isinstance(text, str) if strings else _is_list_of_strings(text)):
            expected = "a string" if strings else "a list of strings"
            raise TypeError(f"{name}[{place}]: expected {expected}, got {_kind(text)}")
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
        odd = next((item for item in value if not isinstance(item, str)), None)
        suffix = "" if odd is None else f" that holds {type(odd).__name__}"
        return f"a {type(value).__name__}{suffix}"
    return "one string" if isinstance(value, str) else type(value).__name__
