"""The Transducer: scikit-learn's conventions, what it answers, and what it refuses."""

import inspect
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import fastseq
from fastseq import Transducer
from fastseq.transducer.data.vocabulary import END
from fastseq.transducer.hyperparameters import HYPERPARAMETERS
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer, weights

PAIRS = tiny_pairs()
TESTED = [*PAIRS[0][:20], "", "a", "abcdefabcdefabcdef", "x?"]
# the last has unknown symbols; tests/transducer/test_texts.py is about their warning
pytestmark = pytest.mark.filterwarnings("ignore::fastseq.UnknownSymbolWarning")


@pytest.fixture(scope="module")
def trained() -> Transducer:
    """One that is right now and then, so that its answers differ."""
    return tiny_transducer(hidden_size=32, epochs=20, learning_rate=0.02, dropout=0.0).fit(
        *tiny_pairs(300)
    )


# scikit-learn's conventions


def test_the_constructor_only_stores() -> None:
    given = {each.name: object() for each in HYPERPARAMETERS}
    model = Transducer(**given)  # type: ignore[arg-type]
    params = model.get_params()
    assert params.keys() == given.keys()
    assert all(params[name] is given[name] for name in given)
    assert not [name for name in vars(model) if name.endswith("_")]


def test_the_constructor_has_every_hyperparameter_and_its_default() -> None:
    signature = inspect.signature(Transducer)
    assert {name: p.default for name, p in signature.parameters.items()} == {
        each.name: each.initial for each in HYPERPARAMETERS
    }
    assert Transducer().get_params() == {each.name: each.initial for each in HYPERPARAMETERS}
    assert Transducer.__doc__ is not None
    for each in HYPERPARAMETERS:
        assert each.name in Transducer.__doc__
        each.check(each.default)


def test_it_can_be_cloned_as_scikit_learn_does() -> None:
    model = tiny_transducer(attention="additive").fit(*PAIRS)
    params = model.get_params(deep=False)
    clone = type(model)(**params)
    assert all(clone.get_params(deep=False)[name] is params[name] for name in params)
    with pytest.raises(RuntimeError, match="fit or load it first"):
        clone.predict(["a"])


def test_parameters_are_set_by_name() -> None:
    model = Transducer()
    assert model.set_params(hidden_size=3, attention="none") is model
    assert (model.hidden_size, model.get_params()["attention"]) == (3, "none")
    with pytest.raises(ValueError, match="heads: no such hyperparameter; there are source_tokens"):
        model.set_params(layers=2, heads=4)
    assert model.layers == "auto"
    assert repr(model) == "Transducer(hidden_size=3, attention='none')"


def test_parameters_set_after_training_change_nothing_until_fit(tmp_path: Any) -> None:
    model = tiny_transducer().fit(*PAIRS)
    answers = model.predict(TESTED)
    model.set_params(hidden_size=50)
    model.save(tmp_path / "model")
    assert model.predict(TESTED) == Transducer.load(tmp_path / "model").predict(TESTED) == answers


def test_fit_returns_the_model_and_fitted_attributes_appear() -> None:
    model = tiny_transducer()
    assert model.fit(*PAIRS) is model
    assert len(model.vocabulary_.source) == len(model.vocabulary_.target) == 3 + 6
    assert model.lengths_ == (6, 6)
    assert model.interrupted_ is False


@pytest.mark.parametrize(
    "use",
    [
        lambda model: model.predict(["a"]),
        lambda model: model.score(["a"], ["A"]),
        lambda model: model.attention("a"),
        lambda model: model.save("nowhere"),
    ],
)
def test_what_is_not_trained_says_so(use: Any) -> None:
    with pytest.raises(RuntimeError, match="not trained: fit or load it first"):
        use(Transducer())


def test_importing_fastseq_does_not_bring_it() -> None:
    program = """
import sys
import fastseq
assert not [name for name in sys.modules if name.startswith("fastseq.transducer")]
from fastseq import Transducer
assert "Transducer" in fastseq.__all__ and "Transducer" in dir(fastseq)
print(sorted({"safetensors", "tqdm", "matplotlib"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="no attribute 'Transducers'"):
        _ = fastseq.Transducers


# answers


def test_answers_come_in_the_order_of_the_sources(trained: Transducer) -> None:
    answers = trained.predict(TESTED)
    assert answers == [trained.predict([text])[0] for text in TESTED]
    assert answers[::-1] == trained.predict(TESTED[::-1])
    assert trained.predict([]) == []
    assert trained.predict(text for text in TESTED) == answers
    assert trained.predict(np.array(TESTED)) == answers


@pytest.mark.parametrize("beam_size", [1, 3])
def test_an_answer_does_not_depend_on_the_others(trained: Transducer, beam_size: int) -> None:
    texts = tiny_pairs(600, seed=5)[0]
    together = trained.predict(texts, beam_size=beam_size, return_scores=True)
    for start in (0, 333):
        alone = trained.predict(texts[start : start + 1], beam_size=beam_size, return_scores=True)
        assert [part[start] for part in together] == [part[0] for part in alone]


def test_the_best_answers_and_their_scores(trained: Transducer) -> None:
    answers, scores = trained.predict(TESTED, beam_size=4, n_best=3, return_scores=True)
    for listed, values in zip(answers, scores, strict=True):
        assert len(listed) == len(set(listed)) == len(values) == 3
        assert values == sorted(values, reverse=True)
        assert all(isinstance(answer, str) for answer in listed)
        assert all(value <= 0 and math.isfinite(value) for value in values)
    first = trained.predict(TESTED, beam_size=4)
    assert first == [listed[0] for listed in answers]


def test_greedy_is_a_beam_of_one(trained: Transducer) -> None:
    greedy = trained.predict(TESTED, return_scores=True)
    penalized = trained.predict(TESTED, length_penalty=0.6, return_scores=True)
    assert greedy[0] == penalized[0]
    for score, divided, answer in zip(greedy[1], penalized[1], greedy[0], strict=True):
        assert divided == pytest.approx(score / ((5 + len(answer) + 1) / 6) ** 0.6)


def test_an_answer_that_never_ends_is_cut() -> None:
    model = tiny_transducer().fit(*PAIRS)
    model.network_.params["output.b"][END] = -1e9
    answers = model.predict(["a", "abcdef", "abcdefabcdef"])
    assert [len(answer) for answer in answers] == [16, 16, 22]


def test_score_counts_exact_answers(trained: Transducer) -> None:
    answers = trained.predict(TESTED)
    assert trained.score(TESTED, answers) == 1
    assert trained.score(TESTED, ["no" for _ in TESTED]) == 0
    half = [answer if k % 2 else "no" for k, answer in enumerate(answers)]
    assert trained.score(TESTED, half) == 0.5


def test_a_target_may_list_several_right_answers(trained: Transducer) -> None:
    [answer] = trained.predict(["abc"])
    assert trained.score(["abc"], [["no", answer]]) == 1
    assert trained.score(["abc"], [("no", answer)]) == 1
    assert trained.score(["abc"], [["no", "nor"]]) == 0
    assert trained.score(["abc"], [[]]) == 0


def test_attention_has_a_row_for_each_symbol_of_the_answer(trained: Transducer) -> None:
    weights, symbols, answer = trained.attention("abcd")
    assert symbols == [*"abcd", "</s>"]
    assert "".join(answer) == trained.predict(["abcd"])[0]
    assert weights.shape == (len(answer), 5)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
def test_attention_is_in_the_order_of_the_text(reverse: bool) -> None:
    # with an embedding this wide and no context, the decoder must look at what it copies
    words, capitals = tiny_pairs(400)
    model = Transducer(
        embedding_size=16,
        hidden_size=32,
        epochs=25,
        batch_size=64,
        learning_rate=0.02,
        dropout=0.0,
        reverse=reverse,
    ).fit(words, capitals)
    text = "abcfed"
    looks, _, answer = model.attention(text)
    assert "".join(answer) == "ABCFED"
    assert looks.shape == (6, 7)
    places = looks @ np.arange(7)
    assert np.corrcoef(places, np.arange(6))[0, 1] > 0.5


def test_without_attention_there_is_none_to_show() -> None:
    model = tiny_transducer(attention="none").fit(*PAIRS)
    with pytest.raises(ValueError, match="trained without"):
        model.attention("abc")


# every kind of network and text


@pytest.mark.parametrize(
    "changes",
    [
        *[{"cell": "gru", "reset_after": after} for after in (False, True)],
        {"layers": 2},
        {"encoder": "unidirectional", "hidden_size": 7},
        {"attention": "none"},
        {"attention": "scaled_dot"},
        {"attention": "general"},
        {"attention": "additive"},
        {"attention": "hard"},
        {"peeky": True},
        {"reverse": True},
        {"label_smoothing": 0.1},
        {"schedule": "warmup_inverse_sqrt", "warmup_steps": 10},
        {"schedule": "constant"},
        {"batch_size": 1000},
        {"hidden_size": np.int64(12), "dropout": np.float32(0.5), "peeky": np.True_},
    ],
    ids=str,
)
def test_every_kind_trains_answers_and_is_saved(changes: dict[str, Any], tmp_path: Any) -> None:
    model = tiny_transducer(**changes).fit(*PAIRS)
    model.save(tmp_path / "model.safetensors")
    again = Transducer.load(tmp_path / "model.safetensors")
    assert weights(again) == weights(model)
    assert again.get_params() == model.params_
    for beam_size in (1, 2):
        assert again.predict(TESTED, beam_size) == model.predict(TESTED, beam_size)


def test_words_are_symbols_on_the_side_that_says_so() -> None:
    words, capitals = PAIRS
    spaced = [" ".join(word) for word in capitals]
    model = tiny_transducer(target_tokens="space").fit(words, spaced)
    assert len(model.vocabulary_.target) == 3 + 6
    [answer] = model.predict(["abc"])
    assert " ".join(answer.split()) == answer
    assert model.attention("ab")[2] == model.predict(["ab"])[0].split()


def test_lists_of_symbols(tmp_path: Any) -> None:
    words, capitals = PAIRS
    model = tiny_transducer().fit([[*word] for word in words], [[*word] for word in capitals])
    plain = tiny_transducer().fit(words, capitals)
    assert weights(model) == weights(plain)
    assert model.predict([["a", "b"]]) == [[*plain.predict(["ab"])[0]]]
    assert model.score([["a", "b"]], model.predict([["a", "b"]])) == 1
    assert model.score([["a", "b"]], [[["X"], model.predict([["a", "b"]])[0]]]) == 1
    model.save(tmp_path / "model")
    assert Transducer.load(tmp_path / "model").predict([["a", "b"]]) == model.predict([["a", "b"]])


def test_sources_may_be_empty_and_unknown(trained: Transducer) -> None:
    assert len(trained.predict(["", "漢字", "a漢b"])) == 3
    model = tiny_transducer().fit(["", "a", "b", ""], ["x", "", "", "y"], validation=None)
    assert len(model.predict(["", "a"])) == 2


def test_two_pairs_are_enough() -> None:
    assert tiny_transducer().fit(["a", "b"], ["1", "2"]).n_epochs_ == 3
    assert tiny_transducer().fit(["a"], ["1"], validation=None).n_epochs_ == 3


# what is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 0}, "hidden_size: expected 1 to 32768, got 0"),
        ({"hidden_size": 13}, "hidden_size: expected an even number"),
        ({"layers": -1}, "layers: expected 1 to 64, got -1"),
        ({"cell": "rnn"}, "cell: expected one of lstm, gru; got 'rnn'"),
        ({"encoder": "both"}, "encoder: expected one of bidirectional, unidirectional"),
        ({"attention": "loud"}, "attention: expected one of none, dot, scaled_dot"),
        ({"dropout": 1.0}, "dropout: expected 0 to below 1.0, got 1.0"),
        ({"dropout": -0.1}, "dropout: expected 0 to below 1.0, got -0.1"),
        ({"label_smoothing": math.nan}, "label_smoothing: expected 0 to below 1.0, got nan"),
        ({"learning_rate": 0.0}, "learning_rate: expected at least 1e-12, got 0.0"),
        ({"learning_rate": math.inf}, "learning_rate: expected at least 1e-12, got inf"),
        ({"max_grad": -5}, "max_grad: expected at least 1e-06, got -5"),
        ({"schedule": "cosine"}, "schedule: expected one of constant, plateau"),
        ({"monitor": "luck"}, "monitor: expected one of accuracy, loss"),
        ({"patience": 0}, "patience: expected 1 to"),
        ({"seed": -1}, "seed: expected 0 to"),
        ({"epochs": 0}, "epochs: expected 1 to"),
        ({"source_tokens": "word"}, "source_tokens: expected one of char, space"),
    ],
)
def test_a_wrong_hyperparameter_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_transducer(**changes).fit(*PAIRS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 16.0}, "hidden_size: expected an integer, got float"),
        ({"hidden_size": "16"}, "hidden_size: expected an integer, got str"),
        ({"hidden_size": True}, "hidden_size: expected an integer, got bool"),
        ({"hidden_size": None}, "hidden_size: expected an integer, got NoneType"),
        ({"peeky": 1}, "peeky: expected True or False, got int"),
        ({"cell": 3}, "cell: expected a string, got int"),
        ({"dropout": "0.1"}, "dropout: expected a number or 'auto', got str"),
        ({"patience": 2.5}, "patience: expected an integer or 'auto' or None, got float"),
    ],
)
def test_a_hyperparameter_of_a_wrong_kind_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        tiny_transducer(**changes).fit(*PAIRS)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("abc", "abc"), TypeError, "sources: expected a list of texts, got one string"),
        ((3, ["a"]), TypeError, "sources: expected a list of texts, got int"),
        ((["a", "b"], ["a"]), ValueError, "expected as many of both; got 2 and 1"),
        (([], []), ValueError, "sources: expected at least one pair"),
        ((["a", 3], ["a", "b"]), TypeError, r"sources\[1\]: expected a string, got int"),
        ((["a"], [b"a"]), TypeError, r"targets\[0\]: expected a list of strings, got bytes"),
        ((["a", ["b"]], ["a", "b"]), TypeError, r"sources\[1\]: expected a string, got a list"),
        (([["a"], "b"], ["a", "b"]), TypeError, r"sources\[1\]: .*list of strings, got one string"),
        (([["a", 1]], ["a"]), TypeError, r"sources\[0\]: .* got a list that holds int"),
        ((["a", "b"], ["a", "b"], 0.0), ValueError, "validation: .* between 0 and 1, got 0.0"),
        ((["a", "b"], ["a", "b"], 1), ValueError, "validation: .* between 0 and 1, got 1"),
        ((["a"], ["b"], 0.5), ValueError, "at least 2 different sources; got 1"),
        ((["a"], ["b"], "x.tsv"), TypeError, r"validation: expected a share, \(sources, targets\)"),
        ((["a"], ["b"], ([], [])), ValueError, "validation: expected at least one pair"),
        ((["a"], ["b"], (["a"], [])), ValueError, "expected as many of both"),
        ((["a"], ["b"], ([3], ["a"])), TypeError, r"validation sources\[0\]: expected a string"),
    ],
)
def test_wrong_data_is_named(arguments: Any, error: type[Exception], message: str) -> None:
    model = tiny_transducer()
    with pytest.raises(error, match=message):
        model.fit(*arguments)
    assert not hasattr(model, "network_")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("abc",), TypeError, "sources: expected a list of texts, got one string"),
        (([3],), TypeError, r"sources\[0\]: expected a string, got int"),
        (([["a"]],), TypeError, r"sources\[0\]: expected a string, got a list"),
        ((["a"], 0), ValueError, "beam_size: expected at least 1, got 0"),
        ((["a"], 1.5), TypeError, "beam_size: expected an integer"),
        ((["a"], 2, 3), ValueError, "n_best: expected at most beam_size = 2, got 3"),
        ((["a"], 2, 0), ValueError, "n_best: expected at least 1, got 0"),
    ],
)
def test_a_wrong_question_is_named(
    trained: Transducer, arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        trained.predict(*arguments)


def test_a_wrong_score_is_named(trained: Transducer) -> None:
    with pytest.raises(ValueError, match="expected as many of both; got 2 and 1"):
        trained.score(["a", "b"], ["A"])
    with pytest.raises(ValueError, match="expected at least one, got none"):
        trained.score([], [])
    with pytest.raises(TypeError, match=r"targets\[1\]: expected a list of texts, got int"):
        trained.score(["a", "b"], ["A", 3])
    with pytest.raises(TypeError, match=r"targets\[0\]\[1\]: expected a string, got int"):
        trained.score(["a"], [["A", 3]])


def test_weights_that_are_nan_are_not_answered_with() -> None:
    model = tiny_transducer().fit(*PAIRS)
    model.network_.params["output.b"][...] = math.nan
    with pytest.raises(FloatingPointError, match="NaN"):
        model.predict(["abc"])
