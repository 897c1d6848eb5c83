"""Scores, probabilities and cut answers of a Transducer."""

import numpy as np
import pytest

from fastseq import Ensemble, Transducer
from fastseq.transducer.metrics.evaluation import evaluate
from fastseq.transducer.metrics.validation import accuracy
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer

TESTED = [*tiny_pairs(20)[0], "", "a", "abcdefabcdefabcdef", "x?"]
# the last has unknown symbols; tests/transducer/test_texts.py is about their warning
pytestmark = pytest.mark.filterwarnings("ignore::fastseq.UnknownSymbolWarning")


@pytest.fixture(scope="module")
def trained() -> Transducer:
    """One that is right now and then."""
    return tiny_transducer(hidden_size=32, epochs=20, learning_rate=0.02, dropout=0.0).fit(
        *tiny_pairs(300)
    )


# one rule of counting


def test_score_evaluate_and_validation_count_each_source_once(trained: Transducer) -> None:
    [right] = trained.predict(["a"])
    [wrong] = trained.predict(["fedcba"])
    # "a" is there twice, and right by one of its targets; "b" is wrong
    sources, targets = ["a", "a", "b"], [wrong, right, "F" * 9]
    assert trained.score(sources, targets) == 0.5
    assert evaluate(trained, sources, targets).accuracy == 0.5
    assert evaluate(trained, sources, targets).words == 2
    pairs = trained.model_config.vocabulary.encode(sources, targets)
    assert accuracy(trained.network_, pairs) == 0.5
    assert trained.score(["a", "b"], [[wrong, right], ["F" * 9]]) == 0.5
    # an empty target is an answer like others
    for targets, expected in ((["", right], 1), (["", "x"], 0)):
        assert trained.score(["a", "a"], targets) == expected
        assert evaluate(trained, ["a", "a"], targets).accuracy == expected


def test_sources_of_the_same_tokens_are_one() -> None:
    pairs = ["a b", "b", "a"], ["A B", "B", "A"]
    model = tiny_transducer(source_tokens="space", target_tokens="space").fit(*pairs, None)
    [answer] = model.predict(["a b"])
    assert model.score(["a b", " a  b "], ["B B B", answer]) == 1
    held_out = ["a b", " a  b "], ["B B B", answer]
    history = model.fit(*pairs, held_out).history_
    best = max(history, key=lambda logs: logs["best"] * logs["epoch"])
    assert best["validation_accuracy"] == model.score(*held_out)
    assert best["validation_accuracy"] in (0, 1)


# probabilities


def test_the_probability_of_an_answer_is_the_score_of_the_search(trained: Transducer) -> None:
    for model in (trained, Ensemble([trained, trained])):
        for beam_size in (1, 3):
            found = model.answers(TESTED, beam_size, beam_size)
            whole = [
                (text, each.text, each.score)
                for text, listed in zip(TESTED, found, strict=True)
                for each in listed
                if not each.cut
            ]
            sources, answers, scores = zip(*whole, strict=True)
            together = model.log_probability(sources, answers)
            assert together.dtype == np.float64
            np.testing.assert_allclose(together, scores, rtol=1e-5, atol=1e-5)
            for row in (0, len(sources) - 1):
                alone = model.log_probability(sources[row : row + 1], answers[row : row + 1])
                assert alone[0] == together[row]


def test_the_probabilities_of_all_answers_add_up_to_one() -> None:
    model = tiny_transducer(epochs=30, learning_rate=0.05).fit(["a", "b"], ["A", "B"], None)
    # answers of up to three symbols; <unk> and <s> and longer answers have the rest
    answers = ["", *"AB", *(x + y for x in "AB" for y in "AB")]
    answers += [x + y for x in answers[3:] for y in "AB"]
    total = np.exp(model.log_probability(["a"] * len(answers), answers)).sum()
    assert 0.98 < total <= 1 + 1e-6


def test_what_log_probability_refuses(trained: Transducer) -> None:
    assert trained.log_probability([], []).tolist() == []
    scores = trained.log_probability(["a", "b"], ["A?", "B"])
    assert scores[0] == -np.inf and np.isfinite(scores[1])
    with pytest.raises(ValueError, match="sources and targets: expected as many of both"):
        trained.log_probability(["a"], [])
    with pytest.raises(TypeError, match=r"targets\[0\]: expected a string, got a list"):
        trained.log_probability(["a"], [["A"]])
    with pytest.raises(RuntimeError, match="not trained"):
        Transducer().log_probability(["a"], ["A"])


# cut answers


def test_an_answer_without_its_end_is_cut(trained: Transducer) -> None:
    found = trained.answers(TESTED, 2, 2)
    assert not any(each.cut for listed in found[:10] for each in listed)
    assert [[each.text for each in listed] for listed in found] == trained.predict(TESTED, 2, 2)
    babbler = tiny_transducer(epochs=1, learning_rate=1e-9).fit(*tiny_pairs())
    babbler.network_.params["output.b"][3] = 20  # the first symbol, always
    for beam_size in (1, 2):
        [[answer]] = babbler.answers(["abc"], beam_size)
        assert answer.cut and len(answer.text) == babbler.lengths_.target + 10
        assert answer.score == answer.log_probability
    assert evaluate(babbler, ["a", "b"], ["A", "B"]).cut == 2
    assert evaluate(trained, ["a", "b"], ["A", "B"]).cut == 0


def test_attention_is_that_of_the_best_answer_of_the_beam() -> None:
    model = tiny_transducer(epochs=4).fit(*tiny_pairs())  # whose answers differ with the beam
    differ = 0
    for text in TESTED:
        answers = [model.predict([text], beam_size, unknown="ignore")[0] for beam_size in (1, 4)]
        for beam_size, answer in zip((1, 4), answers, strict=True):
            weights, _, output = model.attention(text, "ignore", beam_size)
            assert "".join(output) == answer
            assert len(weights) == len(answer)
        differ += answers[0] != answers[1]
    assert differ
