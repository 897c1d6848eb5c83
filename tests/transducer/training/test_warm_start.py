"""Training that goes on from a trained model: weights, symbols, and what must be the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastseq import Ensemble, Transducer
from fastseq.cli import main
from support.processes import one_line
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer, weights, write_pairs

PAIRS = tiny_pairs()
NO_CHANGE = {"learning_rate": 1e-12, "epochs": 1}


def trained(**changes: Any) -> Transducer:
    return tiny_transducer(**changes).fit(*PAIRS)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_known_symbols_keep_their_weights_and_new_ones_are_added(cell: str) -> None:
    model = trained(cell=cell)
    before = {name: param.copy() for name, param in model.network_.params.items()}
    known = model.vocabulary_
    sources, targets = ["za", "ay", "zz"], ["ZA", "AY", "QQ"]
    model.set_params(**NO_CHANGE).fit(sources, targets, None, warm_start=True)
    # the most frequent first, as in a vocabulary of these pairs alone
    assert model.vocabulary_.source.symbols == (*known.source.symbols, "z", "y")
    assert model.vocabulary_.target.symbols == (*known.target.symbols, "Q", "Y", "Z")
    after = model.network_.params
    V = len(known.target)
    kept = {name: param[tuple(map(slice, before[name].shape))] for name, param in after.items()}
    for name, param in before.items():
        np.testing.assert_allclose(kept[name], param, atol=1e-9, err_msg=name)
    assert after["source_embedding"].shape[0] == len(known.source) + 2
    assert after["output.W"].shape[1] == after["output.b"].shape[0] == V + 3
    assert np.abs(after["target_embedding"][V:]).min() > 0
    assert np.abs(after["output.W"][:, V:]).max() > 0
    assert model.lengths_ == (6, 6)


@pytest.mark.filterwarnings("ignore::fastseq.UnknownSymbolWarning")
def test_answers_to_known_symbols_stay_and_new_pairs_are_learnt() -> None:
    model = tiny_transducer(hidden_size=32, epochs=40, learning_rate=0.02, dropout=0.0)
    model.fit(*tiny_pairs(300), validation=None)
    words = ["ax", "xb", "cx", "xx", "abx"] * 4
    before = model.score(words, [word.upper() for word in words])
    model.set_params(epochs=30).fit(words, [word.upper() for word in words], None, warm_start=True)
    assert before == 0
    assert model.score(words, [word.upper() for word in words]) == 1


def test_without_a_trained_model_it_begins_as_ever() -> None:
    assert weights(tiny_transducer().fit(*PAIRS, warm_start=True)) == weights(trained())
    model = trained()
    again = weights(model.fit(*PAIRS, warm_start=True))
    assert again != weights(trained()) == weights(model.fit(*PAIRS))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 14}, "hidden_size: expected 12, as in the model to go on from; got 14"),
        ({"attention": "general"}, "attention: expected 'hard'"),
        ({"source_tokens": "space"}, "source_tokens: expected texts of form 'char'"),
    ],
)
def test_the_network_and_the_texts_must_be_the_same(changes: dict[str, Any], message: str) -> None:
    model = trained()
    before = weights(model)
    with pytest.raises(ValueError, match=message):
        model.set_params(**changes).fit(*PAIRS, warm_start=True)
    assert weights(model) == before
    model = trained().set_params(dropout=0.3, batch_size=4, epochs=1)
    assert model.fit(*PAIRS, warm_start=True).n_epochs_ == 1


def test_a_resumed_fine_tuning_has_the_bits_of_a_whole_one(tmp_path: Path) -> None:
    pairs = [*PAIRS[0], "xyz"], [*PAIRS[1], "XYZ"]

    def tuned(epochs: int, **options: Any) -> Transducer:
        return trained().set_params(epochs=epochs).fit(*pairs, warm_start=True, **options)

    tuned(1, checkpoint=tmp_path)
    resumed = tuned(3, checkpoint=tmp_path, resume=True)
    assert weights(resumed) == weights(tuned(3))


def test_an_ensemble_goes_on_from_its_members() -> None:
    members = [trained(seed=seed) for seed in (1, 2)]
    tuned = Ensemble(members).fit([*PAIRS[0], "x"], [*PAIRS[1], "X"], warm_start=True)
    expected = [
        trained(seed=seed).fit([*PAIRS[0], "x"], [*PAIRS[1], "X"], warm_start=True)
        for seed in (1, 2)
    ]
    assert list(map(weights, tuned.members_)) == list(map(weights, expected))


# the command line


def test_train_from_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, old, new = write_pairs(tmp_path / "pairs.tsv"), tmp_path / "old", tmp_path / "new"
    trained().save(old)
    command = ["train", str(data), "-o", str(new), "--from", str(old)]
    assert main([*command, "--epochs", "2"]) == 0
    expected = trained().set_params(epochs=2, learning_rate=0.3 * 0.01)
    expected.fit(*PAIRS, warm_start=True)
    assert weights(Transducer.load(new)) == weights(expected)
    assert main([*command, "--learning-rate", "0.02"]) == 0
    expected = trained().set_params(learning_rate=0.02).fit(*PAIRS, warm_start=True)
    assert weights(Transducer.load(new)) == weights(expected)
    capsys.readouterr()
    assert main([*command, "--hidden-size", "14"]) == 1
    assert one_line(capsys.readouterr().err).endswith(
        "error: hidden_size: expected 12, as in the model to go on from; got 14"
    )
    assert main(["train", str(data), "-o", str(old), "--from", str(old)]) == 2
    assert "is --from already" in one_line(capsys.readouterr().err)


def test_train_an_ensemble_from_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, old, new = write_pairs(tmp_path / "pairs.tsv"), tmp_path / "old", tmp_path / "new"
    trained(seed=7).save(old)
    command = ["train", str(data), "-o", str(new), "--from", str(old), "--epochs", "1"]
    assert main([*command, "--ensemble", "2"]) == 0
    loaded = Ensemble.load(new).members_
    assert [member.seed for member in loaded] == [7, 8]
    assert weights(loaded[0]) != weights(loaded[1])
    again = ["train", str(data), "-o", str(old), "--from", str(new), "--epochs", "1"]
    assert main(again) == 0
    assert [member.seed for member in Ensemble.load(old).members_] == [7, 8]
    capsys.readouterr()
    assert main([*again, "--ensemble", "3"]) == 2
    assert "--ensemble 3: expected 2, the models in" in one_line(capsys.readouterr().err)
