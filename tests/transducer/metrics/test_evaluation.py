"""Evaluations: what is counted, and what the errors show together."""

from html.parser import HTMLParser
from typing import Any

import pytest

from fastseq import Transducer
from fastseq.transducer.metrics.evaluation import evaluate
from fastseq.transducer.metrics.judgement import Judgement, accuracy_by_length, confusions
from fastseq.transducer.metrics.report import as_html
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer


@pytest.fixture(scope="module")
def trained() -> Transducer:
    """One that is right now and then."""
    return tiny_transducer(
        hidden_size=32, epochs=9, learning_rate=0.02, dropout=0.0, attention="dot"
    ).fit(*tiny_pairs(300))


def judged(expected: str, answer: str, source: str = "", rank: int | None = None) -> Judgement:
    return Judgement(source, [expected], answer, -1.0, 1, expected, rank, False)


def test_the_oracle_is_the_share_with_a_right_one_among_the_best(trained: Transducer) -> None:
    sources, targets = tiny_pairs(300, seed=7)
    result = evaluate(trained, sources, targets, beam_size=4, n_best=4)
    lists = dict(zip(sources, trained.predict(sources, 4, 4), strict=True))
    asked = set(sources)
    found = sum(word.upper() in lists[word] for word in asked)
    first = sum(word.upper() == lists[word][0] for word in asked)
    assert first < found < len(asked)
    assert (result.oracle, result.accuracy) == (found / len(asked), first / len(asked))
    for judgement in result.judgements:
        word = "".join(judgement.source)
        ranks = [place for place, each in enumerate(lists[word], 1) if each == word.upper()]
        assert judgement.rank == (ranks[0] if ranks else None)
    summary = result.summary()
    assert (summary["n_best"], summary["oracle"]) == (4, result.oracle)
    assert "oracle" not in evaluate(trained, sources, targets).summary()


def test_lengths_are_counted_in_at_most_ten_classes() -> None:
    made = [judged("", "", "x" * length, 1 if length % 2 else None) for length in range(3, 33)]
    classes = accuracy_by_length(made)
    assert [(each.least, each.most) for each in classes] == [
        (least, least + 2) for least in range(3, 33, 3)
    ]
    assert [each.words for each in classes] == [3] * 10
    assert [each.right for each in classes] == [2, 1] * 5
    assert [tuple(each) for each in accuracy_by_length(made[:1])] == [(3, 3, 1, 1)]
    assert accuracy_by_length([]) == []


def test_confusions_are_those_of_wrong_answers_by_their_number() -> None:
    made = [
        judged("abc", "axc"),
        judged("b", "x"),
        judged("ab", "a"),
        judged("a", "ab"),
        judged("abc", "zzz", rank=1),  # right by another of its answers
    ]
    assert [tuple(each) for each in confusions(made)] == [
        ("b", "x", 2),
        ("", "b", 1),
        ("b", "", 1),
    ]


class Text(HTMLParser):
    """The text of a page, and its tags, which must be closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.opened: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag != "meta":
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_numbers_and_errors_and_escapes_them() -> None:
    words = ["<b>", "a&b", "<b>a"], ["<i>", "A&B", "<i>A"]
    model = tiny_transducer(epochs=1).fit(*words, None)
    result = evaluate(model, *words, beam_size=3, n_best=3)
    content = as_html(result, model.vocabulary_, [("model", "<m>"), ("pairs", "p.tsv")])
    page = Text()
    page.feed(content)
    assert page.opened == []
    assert "0.00 % of 3 words right" in page.text
    assert "among 3 answers a right one for" in page.text
    assert "model: <m>, pairs: p.tsv" in page.text
    for text in (*words[0], *words[1], "Most frequent confusions", "Accuracy by"):
        assert text in page.text
    assert "<b>a" not in content and "http" not in content


def test_the_page_of_a_model_without_errors_has_no_section_of_them(trained: Transducer) -> None:
    [right] = trained.predict(["abc"])
    content = as_html(evaluate(trained, ["abc"], [right]), trained.vocabulary_, [])
    assert "100.00 %" in content
    assert 'id="errors"' not in content and 'id="confusions"' not in content
