"""Hyperparameters that are "auto": what is chosen for the pairs, saved and resumed."""

from pathlib import Path
from typing import Any

import pytest

from fastseq import Transducer
from fastseq.transducer.hyperparameters import AUTO, HYPERPARAMETERS, is_undecided
from fastseq.transducer.model_config import Lengths
from fastseq.transducer.training import loop
from fastseq.transducer.training.automatic import chosen
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer, weights

PAIRS = tiny_pairs()
AUTOMATIC = [each.name for each in HYPERPARAMETERS if each.automatic]
SHORT = Lengths(source=20, target=20)


def choose(pairs: int, lengths: Lengths = SHORT, member: int = 0, **given: Any) -> dict[str, Any]:
    params = {each.name: each.initial for each in HYPERPARAMETERS} | given
    values = chosen(params, pairs, lengths, member)
    assert list(values) == list(params)
    others = [name for name in params if name not in AUTOMATIC]
    assert all(values[name] == params[name] for name in [*others, *given])
    return {name: values[name] for name in AUTOMATIC}


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        (720, (1, "hard", 0.4, 0.1, 8, 8, 6, 0.99, 14, 1.0)),
        (1_999, (1, "hard", 0.4, 0.1, 8, 8, 2, 0.99, 5, 1.0)),
        (2_000, (1, "hard", 0.3, 0.0, 8, 16, 4, 0.99, 10, 1.0)),
        (4_999, (1, "hard", 0.3, 0.0, 8, 16, 2, 0.99, 5, 1.0)),
        (5_000, (2, "dot", 0.3, 0.0, 8, 16, 2, 0.99, 5, 1.0)),
        (20_000, (2, "dot", 0.2, 0.0, 0, 32, 2, 0.99, 5, 1.0)),
    ],
)
def test_what_is_chosen(pairs: int, expected: tuple[Any, ...]) -> None:
    names = "layers attention dropout label_smoothing final_epochs batch_size plateau_patience "
    names += "averaging patience unknown_rate"
    assert choose(pairs) == dict(zip(names.split(), expected, strict=True))


def test_a_pair_that_is_too_long_for_hard_attention() -> None:
    assert choose(720, Lengths(50, 50))["attention"] == "hard"
    assert choose(720, Lengths(50, 51))["attention"] == "dot"


def test_every_second_model_of_an_ensemble_has_hard_attention() -> None:
    for pairs, expected in {
        720: ["hard"] * 5,
        5_000: ["dot", "hard", "dot", "hard", "dot"],
        19_999: ["dot", "hard", "dot", "hard", "dot"],
        20_000: ["dot"] * 5,
    }.items():
        models = [choose(pairs, member=member) for member in range(5)]
        assert [model.pop("attention") for model in models] == expected
        assert all(model == models[0] for model in models)
    assert choose(5_000, Lengths(50, 51), member=1)["attention"] == "dot"
    assert choose(5_000, member=1, copy=True)["attention"] == "dot"
    assert choose(5_000, member=1, attention="general")["attention"] == "general"


def test_what_was_given_stays_and_decides() -> None:
    assert choose(720, peeky=True)["attention"] == "dot"
    # 23 updates an epoch: 1,250 and 500 are 55 and 22 epochs
    wide = choose(720, batch_size=32)
    assert (wide["patience"], wide["plateau_patience"]) == (55, 22)
    assert choose(720, patience=None, plateau_patience=1)["patience"] is None


def test_the_model_has_what_was_chosen(tmp_path: Path) -> None:
    model = Transducer(epochs=1, hidden_size=4).fit(*PAIRS, None)
    given = model.get_params()
    assert [name for name, value in given.items() if is_undecided(name, value)] == AUTOMATIC
    assert repr(model) == "Transducer(hidden_size=4, epochs=1)"
    expected = choose(60) | {"final_epochs": 0}  # nothing is held out
    assert {name: model.params_[name] for name in AUTOMATIC} == expected
    assert model.network_.config.attention == "hard"
    model.save(tmp_path / "model")
    loaded = Transducer.load(tmp_path / "model")
    assert loaded.get_params() == loaded.params_ == given | expected
    same = Transducer(**loaded.get_params()).fit(*PAIRS, None)
    assert weights(same) == weights(model)


def test_a_training_of_few_pairs_goes_on_for_a_thousand_updates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # no epoch is better than the first on the pairs held out
    monkeypatch.setattr(loop, "accuracy", lambda *_: 0.0)
    monkeypatch.setattr(loop, "mean_loss", lambda *_: 1.0)
    model = Transducer(hidden_size=2, embedding_size=2, attention="none").fit(*tiny_pairs(800))
    assert len(model.history_) == 1 + model.params_["patience"]
    updates = len(model.history_) * 720 / model.params_["batch_size"]
    assert 1_000 < updates < 2_000


def test_a_training_goes_on_with_what_was_chosen_for_it(tmp_path: Path) -> None:
    settings = {"attention": "dot", "patience": 3, "averaging": 0.0}
    tiny_transducer(epochs=1, **settings).fit(*PAIRS, checkpoint=tmp_path)
    resumed = tiny_transducer(epochs=2, averaging=AUTO)
    resumed.fit(*PAIRS, checkpoint=tmp_path, resume=True)
    assert {name: resumed.params_[name] for name in settings} == settings
    assert weights(resumed) == weights(tiny_transducer(epochs=2, **settings).fit(*PAIRS))


@pytest.mark.parametrize("name", ["epochs", "hidden_size", "learning_rate"])
def test_others_are_not_automatic(name: str) -> None:
    with pytest.raises(TypeError, match=f"^{name}: expected a"):
        Transducer(**{name: AUTO}).fit(*PAIRS)
