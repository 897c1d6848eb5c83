"""A Transducer that copies: symbols that it has never seen are in its answers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastseq import Ensemble, Transducer
from fastseq.interop import to_onnx
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer

WORDS = ["abαde", "βa", "cabcγ", "δδ", "fed", "αβa"]


def copied_pairs() -> tuple[list[str], list[str]]:
    words, _ = tiny_pairs(300)
    return words, [f"{word}z" for word in words]


def copying(**changes: Any) -> Transducer:
    settings = {"copy": True, "attention": "dot", "hidden_size": 32, "epochs": 12, "dropout": 0.0}
    return tiny_transducer(**(settings | changes))


@pytest.fixture(scope="module")
def model() -> Transducer:
    return copying().fit(*copied_pairs())


pytestmark = pytest.mark.filterwarnings("ignore::fastseq.UnknownSymbolWarning")


def test_unseen_symbols_are_copied(model: Transducer) -> None:
    assert model.predict(["abαde", "cabγ"]) == ["abαdez", "cabγz"]
    without = copying(copy=False).fit(*copied_pairs())
    assert not set("".join(without.predict(WORDS))) & set("αβγδ")
    assert "α" in model.attention("abαde")[2]
    assert model.predict(["abαde"], unknown="drop") == ["abdez"]


def test_a_symbol_that_only_targets_have_is_copied_as_itself(model: Transducer) -> None:
    # no source has z, so it is read as unknown, but it is no new symbol
    assert model.predict(["abzde"]) == ["abzdez"]
    [listed] = model.answers(["abzde"], beam_size=5, n_best=5)
    assert len({each.text for each in listed}) == 5


@pytest.mark.parametrize("beam_size", [1, 3])
def test_scores_are_log_probabilities(model: Transducer, beam_size: int) -> None:
    found = model.answers(WORDS, beam_size, beam_size)
    assert set("".join(each.text for listed in found for each in listed)) & set("αβγδ")
    for word, listed in zip(WORDS, found, strict=True):
        whole = [each for each in listed if not each.cut]
        texts = [each.text for each in whole]
        expected = model.log_probability([word] * len(whole), texts)
        assert np.allclose([each.log_probability for each in whole], expected, rtol=1e-5, atol=1e-6)
    # a symbol that neither the vocabulary nor this source has is never produced
    assert model.log_probability(["abα"], ["abβz"])[0] == -np.inf


@pytest.mark.parametrize("beam_size", [1, 3])
def test_an_answer_does_not_depend_on_the_others(model: Transducer, beam_size: int) -> None:
    together = model.answers(WORDS, beam_size, beam_size)
    assert together == [model.answers([word], beam_size, beam_size)[0] for word in WORDS]
    assert together[::-1] == model.answers(WORDS[::-1], beam_size, beam_size)


def test_greedy_answers_are_those_of_a_beam_of_one(model: Transducer) -> None:
    greedy = model.predict(WORDS)
    assert greedy == model.predict(WORDS, length_penalty=0.1)  # is searched step by step


def test_a_file_remembers(model: Transducer, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model.save(path)
    again = Transducer.load(path)
    assert again.params_["copy"] is True
    assert again.answers(WORDS, 3, 3) == model.answers(WORDS, 3, 3)


def test_a_file_from_before_copies_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    old = copying(copy=False).fit(*copied_pairs())
    config = old.model_config.to_json()
    del config["configuration"]["copy"]
    again = type(old.model_config).from_json(json.loads(json.dumps(config)))
    assert again.params["copy"] is False
    old.save(path)
    assert Transducer.load(path).predict(WORDS) == old.predict(WORDS)


def test_an_ensemble_copies_where_one_of_its_models_does(model: Transducer) -> None:
    without = copying(copy=False, seed=1).fit(*copied_pairs())
    both = Ensemble([without, model])
    assert "abαdez" in both.predict(WORDS[:1], beam_size=5, n_best=5)[0]
    answers, scores = both.predict(WORDS, beam_size=3, return_scores=True)
    whole = [place for place, answer in enumerate(answers) if answer.endswith("z")]
    expected = both.log_probability([WORDS[k] for k in whole], [answers[k] for k in whole])
    assert np.allclose([scores[k] for k in whole], expected, rtol=1e-5, atol=1e-6)
    mean = np.mean([np.exp(each.log_probability(["ab"], ["abz"])) for each in (without, model)])
    assert np.exp(both.log_probability(["ab"], ["abz"])) == pytest.approx(mean, rel=0.1)
    alone = Ensemble([without, without]).predict(WORDS)
    assert alone == without.predict(WORDS)


def test_tags_and_lists() -> None:
    words, targets = copied_pairs()
    sources = [(word, "V;PST") for word in words]
    model = copying(columns="source,features,target").fit(sources, targets)
    assert model.predict([("abαd", "V;FUT")]) == ["abαdz"]
    lists = copying().fit([list(word) for word in words], [list(target) for target in targets])
    assert lists.predict([["a", "new", "b"]]) == [["a", "new", "b", "z"]]


def test_fine_tuning_keeps_what_is_copied(model: Transducer) -> None:
    again = Transducer.of(model.model_config, model.network_.params, model.history_)
    again.set_params(epochs=2).fit(["agb", "gag"] * 10, ["agbz", "gagz"] * 10, warm_start=True)
    assert again.vocabulary_.source.symbols[-1] == again.vocabulary_.target.symbols[-1] == "g"
    assert "α" in again.predict(["abαde"])[0]
    with pytest.raises(ValueError, match=r"^copy: expected True, as in the model .*; got False"):
        again.set_params(copy=False).fit(["ab"] * 9, ["abz"] * 9, warm_start=True, validation=None)


def test_auto_attention_is_not_hard() -> None:
    model = copying(attention="auto", epochs=1).fit(*copied_pairs())
    assert model.params_["attention"] == "dot"
    for attention in ("hard", "none"):
        with pytest.raises(ValueError, match=f"^copy: .*the attention {attention}"):
            copying(attention=attention).fit(*copied_pairs())


def test_it_is_not_exported(model: Transducer, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match="^copy: expected False, what copies symbols"):
        to_onnx(model, tmp_path / "folder")
