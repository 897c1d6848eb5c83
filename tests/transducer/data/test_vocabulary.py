"""Vocabularies: ids in a fixed order, text to ids and back, and what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastseq.transducer.data.vocabulary import END, SPECIAL_SYMBOLS, START, UNKNOWN, Vocabulary


def test_the_most_frequent_symbols_come_first_ties_by_code_point() -> None:
    vocabulary = Vocabulary.build(["banana", "é", "cab"])
    assert vocabulary.symbols == (*SPECIAL_SYMBOLS, "a", "b", "n", "c", "é")
    assert (UNKNOWN, START, END) == (0, 1, 2)
    assert len(vocabulary) == 8
    assert Vocabulary.build([]).symbols == SPECIAL_SYMBOLS


@given(st.lists(st.text(), min_size=1))
def test_a_text_survives_its_ids(texts: list[str]) -> None:
    vocabulary = Vocabulary.build(texts)
    for text in texts:
        assert vocabulary.decode(vocabulary.encode(text)) == text


@given(st.lists(st.lists(st.text()), min_size=1))
def test_a_list_survives_its_ids(texts: list[list[str]]) -> None:
    vocabulary = Vocabulary.build(texts)
    for text in texts:
        assert vocabulary.decode(vocabulary.encode(text)) == text


def test_words_are_what_white_space_separates() -> None:
    vocabulary = Vocabulary.build(["to  be or\tnot", "to be"], tokens="space")
    assert vocabulary.symbols[3:] == ("be", "to", "not", "or")
    assert vocabulary.encode("not to") == [5, 4]
    assert vocabulary.decode([5, 4]) == "not to"
    assert vocabulary.encode(" ") == []


def test_what_is_not_in_the_vocabulary_is_unknown() -> None:
    vocabulary = Vocabulary.build(["ab"])
    assert vocabulary.encode("axb") == [3, UNKNOWN, 4]
    assert vocabulary.decode([3, UNKNOWN]) == "a<unk>"


def test_a_token_spelled_like_a_special_symbol_is_a_token() -> None:
    vocabulary = Vocabulary.build(["<s> a </s> <unk>"], tokens="space")
    assert START not in vocabulary.encode("<s>")
    assert vocabulary.decode(vocabulary.encode("<s> </s>")) == "<s> </s>"


@pytest.mark.parametrize("texts", [["añ 漢", "\ud800"], ["a b"], [["a b", ""]]])
def test_a_vocabulary_survives_json(texts: Any) -> None:
    for tokens in ("char", "space"):
        vocabulary = Vocabulary.build(texts, tokens)
        again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
        assert again == vocabulary
        assert again.encode(texts[0]) == vocabulary.encode(texts[0])
        assert again != Vocabulary.build(["other"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "expected an object"),
        ({"form": "char"}, "expected an object"),
        ({"form": "char", "symbols": "abc"}, "symbols: expected a list of strings"),
        ({"form": "char", "symbols": ["a", 1]}, "symbols: expected a list of strings"),
        ({"form": "char", "symbols": ["a", "a"]}, "got 'a' twice"),
        ({"form": "char", "symbols": ["ab"]}, "'ab' is no symbol"),
        ({"form": "char", "symbols": [""]}, "'' is no symbol"),
        ({"form": "space", "symbols": ["a b"]}, "'a b' is no symbol"),
        ({"form": "word", "symbols": []}, "form: expected one of char, space, list; got 'word'"),
        ({"form": ["char"], "symbols": []}, "form: expected one of"),
    ],
)
def test_anything_else_is_refused(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vocabulary.from_json(data)


def test_wrong_kinds_of_text_are_refused() -> None:
    strings, lists = Vocabulary.build(["ab"]), Vocabulary.build([["ab"]])
    with pytest.raises(TypeError, match="expected a string, got list"):
        strings.encode(["a"])
    with pytest.raises(TypeError, match="expected a list of symbols"):
        lists.encode("ab")
    with pytest.raises(TypeError, match="expected a list of strings, got one of int"):
        lists.encode([3])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="expected a string, got list"):
        Vocabulary.build(["a", ["b"]])
    with pytest.raises(ValueError, match="tokens: expected char or space, got 'word'"):
        Vocabulary.build(["a"], tokens="word")  # type: ignore[arg-type]
