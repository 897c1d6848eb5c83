"""Arguments of the Transducer's methods: what they take, and that a wrong one is named."""

import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from fastseq import Transducer
from fastseq.transducer.hyperparameters import AUTO, HYPERPARAMETERS
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer

PAIRS = tiny_pairs(20)


@pytest.fixture(scope="module")
def trained() -> Transducer:
    return tiny_transducer(epochs=1).fit(*PAIRS)


class Recorder:
    """A callback that adds what it sees, as NumPy counts it, to the logs."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def on_epoch_end(self, model: Transducer, logs: dict[str, Any]) -> None:
        self.epochs.append(logs["epoch"])
        params = model.network_.params
        logs["largest"] = max(abs(param).max() for param in params.values())
        logs["bias"] = params["output.b"]
        logs["where"] = Path("here")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"beam_size": "5"}, TypeError, "beam_size: expected an integer, got str"),
        ({"beam_size": None}, TypeError, "beam_size: expected an integer, got NoneType"),
        ({"beam_size": 1.0}, TypeError, "beam_size: expected an integer, got float"),
        ({"beam_size": True}, TypeError, "beam_size: expected an integer, got bool"),
        ({"beam_size": 0}, ValueError, "beam_size: expected at least 1, got 0"),
        ({"n_best": "1"}, TypeError, "n_best: expected an integer, got str"),
        ({"n_best": 2}, ValueError, "n_best: expected at most beam_size = 1, got 2"),
        ({"length_penalty": "x"}, TypeError, "length_penalty: expected a number, got str"),
        ({"length_penalty": None}, TypeError, "length_penalty: expected a number, got NoneType"),
        ({"length_penalty": 1e308}, ValueError, r"length_penalty: expected 0 to 64, got 1e\+308"),
    ],
)
@pytest.mark.parametrize("texts", [["a"], []])
def test_a_wrong_search_is_named(
    trained: Transducer,
    texts: list[str],
    arguments: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        trained.predict(texts, **arguments)


def test_numbers_of_numpy_are_numbers(trained: Transducer) -> None:
    assert trained.predict(["ab"], np.int32(2), length_penalty=np.float32(64)) == trained.predict(
        ["ab"], 2, length_penalty=64
    )


@pytest.mark.parametrize(("targets", "kind"), [("AB", "one string"), (3, "int")])
def test_targets_to_score_are_a_list(trained: Transducer, targets: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=f"targets: expected a list of texts, got {kind}"):
        trained.score(["a", "b"], targets)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"checkpoint_every": 0}, ValueError, "checkpoint_every: expected at least 1, got 0"),
        ({"checkpoint_every": -1}, ValueError, "checkpoint_every: expected at least 1, got -1"),
        ({"checkpoint_every": 2.5}, TypeError, "checkpoint_every: expected an integer, got float"),
        ({"checkpoint_every": "a"}, TypeError, "checkpoint_every: expected an integer, got str"),
        ({"callbacks": [print]}, TypeError, r"callbacks\[0\]: expected an object with on_epoch_"),
        ({"callbacks": [Recorder(), 3]}, TypeError, r"callbacks\[1\]: .*\(model, logs\), got int"),
        ({"callbacks": Recorder()}, TypeError, "callbacks: expected a list of them, got Recorder"),
    ],
)
def test_a_wrong_argument_of_fit_is_named_before_the_training(
    arguments: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    model = tiny_transducer()
    with pytest.raises(error, match=message):
        model.fit(*PAIRS, checkpoint=tmp_path / "state", **arguments)
    assert not hasattr(model, "network_")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [{"checkpoint_every": 3}, {"resume": True}])
def test_what_is_for_checkpoints_needs_one(arguments: dict[str, Any]) -> None:
    [name] = arguments
    with pytest.raises(ValueError, match=f"{name}: expected a checkpoint with it, got none"):
        tiny_transducer().fit(*PAIRS, **arguments)


def test_callbacks_of_an_iterator_are_called_after_every_epoch() -> None:
    recorder = Recorder()
    tiny_transducer().fit(*PAIRS, callbacks=(each for each in [recorder]))
    assert recorder.epochs == [1, 2, 3]


def test_numbers_of_numpy_are_saved(tmp_path: Path) -> None:
    """Those of hyperparameters, and what a callback adds to the history."""
    model = tiny_transducer(
        learning_rate=np.float32(0.01), batch_size=np.int64(8), seed=np.uint8(3)
    )
    state, log, path = tmp_path / "state", tmp_path / "log", tmp_path / "model"
    model.fit(*PAIRS, callbacks=[Recorder()], checkpoint=state, log=log)
    model.save(path)
    again = Transducer.load(path)
    assert again.get_params() == model.params_
    last, saved = model.history_[-1], again.history_[-1]
    assert saved["largest"] == last["largest"]
    assert saved["bias"] == last["bias"].tolist()
    assert saved["where"] == "here"
    assert all(isinstance(logs["learning_rate"], float) for logs in model.history_)
    assert len([json.loads(line) for line in log.read_text().splitlines()]) == 3
    model.set_params(epochs=4).fit(*PAIRS, checkpoint=state, resume=True)
    assert model.n_epochs_ == 4


class Frame(dict):  # type: ignore[type-arg]
    """As a data frame: iteration gives the names of its columns."""

    columns = ("source", "target")


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (Frame(source=["a"], target=["b"]), "a Frame; one column of it will do"),
        ({"a": "b"}, "dict"),
        ({"a", "b"}, "set"),
        (b"ab", "bytes"),
    ],
)
def test_what_holds_no_texts_in_an_order_is_refused(texts: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=f"^sources: expected a list of texts, got {kind}"):
        tiny_transducer(epochs=1).fit(texts, ["a", "b"])
    with pytest.raises(TypeError, match=f"^targets: expected a list of texts, got {kind}"):
        tiny_transducer(epochs=1).fit(["a", "b"], texts)


def test_choices_are_the_same_for_type_checkers() -> None:
    hints = get_type_hints(Transducer.__init__)
    for each in HYPERPARAMETERS:
        if each.choices:
            choices = each.choices + (AUTO,) * each.automatic
            assert get_args(hints[each.name]) == choices


@pytest.mark.filterwarnings("ignore::fastseq.UnknownSymbolWarning")
def test_sources_of_unknown_symbols_are_validated_one_by_one() -> None:
    letters, capitals, unknown = list("abcd"), list("ABCD"), list("éüöß")
    model = Transducer(hidden_size=16, embedding_size=8, epochs=5, learning_rate=0.02, seed=1)
    model.fit(20 * letters, 20 * capitals, (unknown, capitals))
    best = [logs for logs in model.history_ if logs["best"]][-1]
    assert model.score(unknown, capitals) == 0.25  # one answer to all of them
    assert best["validation_accuracy"] == 0.25
