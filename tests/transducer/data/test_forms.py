"""What a text is: its Unicode form, its symbols, its tags; and what "auto" chooses."""

import random
import time
import unicodedata
from typing import Any

import pytest

from fastseq.transducer.data.forms import TextForm, choose_forms, normalized
from fastseq.transducer.data.vocabulary import UNKNOWN, Vocabulary
from fastseq.transducer.hyperparameters import HYPERPARAMETERS

# every syllable of 19 x 4 letters
HANGUL = [chr(0xAC00 + 588 * first + 28 * second) for first in range(19) for second in range(4)]


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def chosen(sources: Any, targets: Any = ("a",), **params: Any) -> tuple[str, str, bool]:
    """The Unicode forms of both sides, and whether answers are composed."""
    defaults = {each.name: each.default for each in HYPERPARAMETERS}
    source, target = choose_forms(sources, targets, defaults | params, 0)
    assert not source.compose
    return source.normalize, target.normalize, target.compose


CHOICES = {
    "nothing decomposes": (["abc", "漢字"], "none"),
    "syllables become letters": (HANGUL, "NFD"),
    "a few accents stay": (["abcdefghijé"], "NFC"),
    "texts are decomposed": ([decomposed("abcdefghijé")], "NFD"),
    "two forms of one letter": (["abcdefghijé", decomposed("aé")], "NFC"),
}


@pytest.mark.parametrize(("texts", "form"), CHOICES.values(), ids=CHOICES)
def test_auto_decomposes_where_symbols_become_much_fewer(texts: list[str], form: str) -> None:
    assert chosen(texts)[0] == form
    assert chosen(["a"], texts)[1] == form


def test_answers_are_composed_if_the_targets_were() -> None:
    assert chosen(["a"], HANGUL) == ("none", "NFD", True)
    assert chosen(["a"], [*HANGUL, decomposed(HANGUL[0])]) == ("none", "NFD", False)
    assert chosen(["a"], [decomposed("é")]) == ("none", "NFD", False)
    assert chosen(["a"], [list(text) for text in HANGUL]) == ("none", "none", False)


def test_a_form_that_is_given_is_taken() -> None:
    assert chosen(HANGUL, HANGUL, normalize="none") == ("none", "none", False)
    assert chosen(["é"], ["é"], normalize="NFD") == ("NFD", "NFD", True)
    # a target is never changed for another
    assert chosen(["①"], ["①"], normalize="NFKC") == ("NFKC", "NFC", False)


def test_a_text_is_read_in_its_form_and_joined_again() -> None:
    form = TextForm("char", "NFD", compose=True)
    assert form.split("한é") == ["ᄒ", "ᅡ", "ᆫ", "e", "\u0301"]
    assert form.join(form.split("한é")) == "한é"
    assert TextForm("char", "NFKC").split("①") == ["1"]
    assert TextForm("space", "NFC").split(decomposed("é à")) == ["é", "à"]
    # lower case first: it may decompose
    assert TextForm("char", "NFC", lowercase=True).split("İÉ") == ["i̇"[0], "i̇"[1], "é"]
    assert TextForm("list", "NFD").split(["é"]) == ["é"]


def test_tags_are_symbols_of_their_own() -> None:
    form = TextForm("char", tag_columns=2, tag_separators=";()")
    texts = [("VN", "V;NOM(2)", "N"), ("<V>", "", "V")]
    assert form.tags(texts[0]) == [["V", "NOM", "2"], ["N"]]
    vocabulary = Vocabulary.build(texts, form)
    ids = [vocabulary.encode(text) for text in texts]
    assert UNKNOWN not in ids[0] + ids[1]
    # the character V, the tag V of the first column, and that of the second
    assert len({ids[0][0], ids[0][2], ids[1][-1]}) == 3
    assert vocabulary.split(texts[0]) == ["V", "N", "<V>", "<NOM>", "<2>", "<N>"]
    again = Vocabulary.from_json(vocabulary.to_json())
    assert again == vocabulary and again.encode(texts[0]) == ids[0]
    assert vocabulary.encode(("x", "N;", "NOM")) == 3 * [UNKNOWN]
    assert form.length(texts[0]) == 6


def test_a_token_spelled_like_a_tag_is_another_symbol() -> None:
    vocabulary = Vocabulary.build(
        [("<PL> a", "PL")], TextForm("space", "none", False, False, 1, ";")
    )
    token, _, tag = vocabulary.encode(("<PL> a", "PL"))
    assert token != tag


def test_a_plain_form_is_written_as_before() -> None:
    assert Vocabulary(["a"]).to_json() == {"form": "char", "symbols": ["a"]}
    document = {"form": "char", "normalize": "NFD", "compose": True, "symbols": ["a"]}
    assert Vocabulary.from_json(document).to_json() == document


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalize": "NFX"}, "normalize: expected one of none, NFC, NFD, NFKC; got 'NFX'"),
        ({"normalize": ["NFC"]}, "normalize: expected no such entry"),
        ({"lowercase": 1}, "lowercase: expected no such entry"),
        ({"tokens": "char"}, "tokens: expected no such entry"),
        ({"else": 1}, "else: expected no such entry"),
        ({"tags": ["a"]}, "tags: expected no such entry"),
        ({"symbols": [[0, "a"]]}, r"\(0, 'a'\) is no tag of 0 columns"),
        ({"symbols": [[-1, "a"]], "tag_columns": 1}, r"\(-1, 'a'\) is no tag of 1 columns"),
        ({"symbols": [[0, ""]], "tag_columns": 1}, r"\(0, ''\) is no tag of 1 columns"),
        ({"symbols": [["a", "a"]], "tag_columns": 1}, "symbols: expected a list of strings, or"),
        ({"symbols": [[0, "a"], [0, "a"]], "tag_columns": 1}, "different ones, got 'a' twice"),
        ({"symbols": [], "tag_columns": -1}, "tag_columns: expected at least 0, got -1"),
    ],
)
def test_a_form_of_a_file_is_not_trusted(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vocabulary.from_json({"form": "char", "symbols": ["b"]} | changes)


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC"])
def test_long_runs_of_marks_are_normalized_as_short_ones(form: Any) -> None:
    rng = random.Random(0)
    marks = ["\u0300", "\u0315", "\u0327", "\u0344", "\u0345", "\u05b0", "\u3099", "\U0001d165"]
    for _ in range(50):
        run = "".join(rng.choices(marks, k=rng.choice((1, 99, 100, 101, 300))))
        after = rng.choice(("", "\u00e9" + run, "\u1161"))
        text = rng.choice("ae\u00e9\uac00\ufb03x") + run + after
        assert normalized(form, text) == unicodedata.normalize(form, text)


def test_a_line_of_marks_is_read_at_once() -> None:
    """`unicodedata.normalize` takes minutes for it, and neither a signal nor a thread ends it."""
    text = "a" + "\u0315\u0300\u0327" * 100_000
    start = time.process_time()
    assert len(chosen([text], normalize="auto")) == 3
    assert len(TextForm(normalize="NFC").split(text)) > 290_000
    assert time.process_time() - start < 10
