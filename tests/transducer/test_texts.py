"""A Transducer on features, Unicode forms, unknown symbols, long and weighted pairs."""

import unicodedata
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastseq import Transducer, UnknownSymbolWarning
from fastseq.transducer.network.network import Network
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer, weights

WORDS, CAPITALS = tiny_pairs()
ENDINGS = {"V;PST": "di", "V;PRS": "er", "": ""}
FORMS = [(word, tags) for word in WORDS[:20] for tags in ENDINGS]
INFLECTED = [word + ENDINGS[tags] for word, tags in FORMS]


def with_features(**changes: Any) -> Transducer:
    return tiny_transducer(columns="source,features,target", **changes)


def test_features_are_read_saved_and_shown(tmp_path: Path) -> None:
    model = with_features().fit(FORMS, INFLECTED)
    weights_, symbols, _ = model.attention(("ab", "V;PST"))
    assert symbols == ["a", "b", "<V>", "<PST>", "</s>"]
    assert weights_.shape[1] == len(symbols)
    model.save(tmp_path / "model")
    again = Transducer.load(tmp_path / "model")
    assert again.predict(FORMS, beam_size=2) == model.predict(FORMS, beam_size=2)
    assert again.score(FORMS, INFLECTED) == model.score(FORMS, INFLECTED)


@pytest.mark.parametrize("bad", ["ab", ("ab",), ("ab", "V", "N"), ("ab", 1)])
def test_a_source_without_its_features_is_refused(bad: Any) -> None:
    message = r"sources\[1\]: expected a tuple of a text and 1 column of features, got "
    with pytest.raises(TypeError, match=message):
        with_features().fit([FORMS[0], bad], ["a", "b"])
    with pytest.raises(TypeError, match=message):
        with_features().fit(FORMS, INFLECTED).predict([FORMS[0], bad])


def test_ascii_is_trained_as_without_normalization() -> None:
    expected = weights(tiny_transducer(normalize="none").fit(WORDS, CAPITALS))
    assert weights(tiny_transducer().fit(WORDS, CAPITALS)) == expected


def test_texts_of_another_unicode_form_are_the_same(tmp_path: Path) -> None:
    composed = [word.replace("a", "é") for word in WORDS]
    decomposed = [unicodedata.normalize("NFD", word) for word in composed]
    model = tiny_transducer().fit(composed, composed)
    assert weights(model) == weights(tiny_transducer(normalize="none").fit(composed, composed))
    model.save(tmp_path / "model")
    for each in (model, Transducer.load(tmp_path / "model")):
        assert each.predict(decomposed) == each.predict(composed)
        assert each.score(composed, decomposed) == each.score(composed, composed)


def test_hangul_is_read_in_letters_and_answered_in_syllables() -> None:
    table = {
        letter: chr(0xAC00 + 588 * number + 28 * vowel)
        for number, letter in enumerate("abcdef")
        for vowel in (number % 3,)
    }
    # enough syllables for their letters to be fewer
    syllables = [chr(0xAC00 + 588 * first + 28 * vowel) for first in range(6) for vowel in range(6)]
    words = ["".join(table[letter] for letter in word) for word in WORDS] + syllables
    model = tiny_transducer(epochs=20, dropout=0.0).fit(words, words, None)
    assert [v.text_form.normalize for v in model.vocabulary_] == ["NFD", "NFD"]
    answers = model.predict(words)
    assert all(unicodedata.is_normalized("NFC", answer) for answer in answers)
    assert any("가" <= symbol <= "힣" for answer in answers for symbol in answer)


def test_lower_case_is_for_sources_alone() -> None:
    model = tiny_transducer(lowercase=True).fit(CAPITALS, CAPITALS)
    assert set(model.vocabulary_.source.symbols[3:]) == set("abcdef")
    assert set(model.vocabulary_.target.symbols[3:]) == set("ABCDEF")
    assert model.predict(["ABC"]) == model.predict(["abc"])


# unknown symbols


def test_unknown_symbols_are_warned_of_once_a_call() -> None:
    model = tiny_transducer().fit(WORDS, CAPITALS)
    with pytest.warns(UnknownSymbolWarning) as caught:
        model.predict(["aé", "b", "ééx"])
    [warning] = caught
    assert str(warning.message) == (
        "4 unknown symbols in 2 of 3 sources, which the training data did not have: "
        "'é' (3), 'x' (1)"
    )
    assert warning.filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(["abc"])
        model.predict(["é"], unknown="ignore")
        assert model.predict(["aéb"], unknown="drop") == model.predict(["ab"])
        _, symbols, _ = model.attention("aéb", unknown="drop")
    assert symbols == ["a", "b", "</s>"]
    with pytest.raises(ValueError, match=r"sources\[1\]: expected .* training data had, got 'é'"):
        model.predict(["a", "éé"], unknown="error")
    with pytest.raises(ValueError, match="unknown: expected one of warn, .*; got 'no'"):
        model.predict(["a"], unknown="no")  # type: ignore[call-overload]


def test_texts_that_differ_in_unknown_symbols_are_different() -> None:
    model = tiny_transducer(epochs=30, dropout=0.0, patience=None)
    model.fit(list("abcd") * 20, list("ABCD") * 20, validation=(["é", "ü"], ["A", "B"]))
    with pytest.warns(UnknownSymbolWarning):
        score = model.score(["é", "ü"], ["A", "B"])
    assert model.history_[-1]["validation_accuracy"] <= 0.5  # one answer for both
    assert score <= 0.5


# lengths


def test_longer_pairs_are_left_out() -> None:
    short = [word for word in WORDS if len(word) <= 4]
    model = tiny_transducer(max_length=4).fit(WORDS, [w.upper() for w in WORDS], None)
    assert model.left_out_ == len(WORDS) - len(short) > 0
    assert model.lengths_ == (4, 4)
    expected = tiny_transducer().fit(short, [word.upper() for word in short], None)
    assert weights(model) == weights(expected)
    with pytest.raises(ValueError, match="max_length: expected a pair of at most 2 .* among 1"):
        tiny_transducer(max_length=2).fit(["abc"], ["a"], None)


def test_an_answer_ends_at_the_longest_length() -> None:
    model = tiny_transducer(epochs=30, dropout=0.0).fit(WORDS, CAPITALS)
    answers = model.predict(WORDS)
    assert max(map(len, answers)) > 2
    assert model.predict(WORDS, max_length=2) == [answer[:2] for answer in answers]
    assert max(map(len, model.predict(WORDS, beam_size=3, max_length=2))) <= 2
    with pytest.raises(ValueError, match="max_length"):
        model.predict(WORDS, max_length=0)


def test_a_lack_of_memory_names_the_longest_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = Network.loss

    def limited(self: Network, batch: Any, **options: Any) -> float:
        if batch.sources.size > 5000:
            raise MemoryError("no room")
        return loss(self, batch, **options)

    monkeypatch.setattr(Network, "loss", limited)
    sources = [*WORDS[:40], "ab" * 3000, *WORDS[40:]]
    message = (
        r"epoch 1, step \d+ of 9, whose longest pair is number 41, with 6,000 source and 1 tar"
    )
    with pytest.raises(MemoryError, match=message):
        tiny_transducer().fit(sources, ["A"] * len(sources), None)
    message = r"validation, whose longest pair is number 2, with 6,000 source and 1 target symbols"
    with pytest.raises(MemoryError, match=message):
        tiny_transducer().fit(WORDS, CAPITALS, (["a", "ab" * 3000], ["A", "A"]))


# weights


def test_a_pair_of_weight_zero_is_not_learned() -> None:
    wrong = [word[::-1] for word in CAPITALS]
    sample_weight = len(WORDS) * [1.0] + len(WORDS) * [0.0]
    options: dict[str, Any] = {"epochs": 60, "dropout": 0.0, "patience": None, "hidden_size": 24}
    model = tiny_transducer(**options)
    model.fit(WORDS + WORDS, CAPITALS + wrong, None, sample_weight=sample_weight)
    assert model.score(WORDS, CAPITALS) > 0.9
    alike = tiny_transducer(**options).fit(WORDS + WORDS, CAPITALS + wrong, None)
    assert alike.score(WORDS, CAPITALS) < 0.9


def test_equal_weights_are_none() -> None:
    model = tiny_transducer().fit(WORDS, CAPITALS, None, sample_weight=np.full(len(WORDS), 3))
    expected = tiny_transducer().fit(WORDS, CAPITALS, None)
    assert weights(model) == weights(expected)
    losses = [[logs["loss"] for logs in each.history_] for each in (model, expected)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


@pytest.mark.parametrize(
    ("sample_weight", "error", "message"),
    [
        ([1.0], ValueError, r"sample_weight: expected one for each of 60 pairs, got shape \(1,\)"),
        ([*59 * [1.0], -1], ValueError, r"sample_weight\[59\]: expected .* at least 0, got -1.0"),
        ([*59 * [1.0], float("nan")], ValueError, r"sample_weight\[59\]: expected .* got nan"),
        (60 * [0], ValueError, "expected one above 0, got zeros"),
        (60 * ["1"], TypeError, "sample_weight: expected numbers"),
    ],
)
def test_weights_that_are_none(sample_weight: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tiny_transducer().fit(WORDS, CAPITALS, sample_weight=sample_weight)


# going on from a trained model


def test_new_symbols_and_tags_follow_the_known_ones() -> None:
    model = with_features().fit(FORMS, INFLECTED)
    known = model.vocabulary_.source
    sources = [*FORMS, ("zab", "V;FUT")]
    model.set_params(epochs=1).fit(sources, [*INFLECTED, "zabe"], None, warm_start=True)
    now = model.vocabulary_.source
    assert now.symbols == (*known.symbols, "z", "<FUT>")
    assert [now.encode(source) for source in FORMS] == [known.encode(source) for source in FORMS]
    with pytest.raises(ValueError, match="columns: expected 1 of features, .*; got 0"):
        model.set_params(columns="source,target").fit(WORDS, CAPITALS, None, warm_start=True)


def test_new_texts_are_read_in_the_form_of_the_known_ones() -> None:
    composed = [word.replace("a", "é") for word in WORDS]
    model = tiny_transducer(epochs=1).fit(composed, composed)
    assert model.vocabulary_.source.text_form.normalize == "NFC"
    model.fit(WORDS, CAPITALS, warm_start=True)
    assert model.vocabulary_.source.text_form.normalize == "NFC"
    assert model.predict([unicodedata.normalize("NFD", "éb")]) == model.predict(["éb"])
