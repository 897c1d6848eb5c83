"""The final epochs: on all pairs, those held out too, from the best weights on."""

import json
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastseq import Ensemble, Transducer
from fastseq.cli import main
from fastseq.transducer.training.loop import Training
from support.ranks import on_threads
from support.transducer.interrupted import Call, fail_at, press_in_step, raise_in_epoch
from support.transducer.tiny_transducer import (
    OPTIONS,
    timeless,
    tiny_pairs,
    tiny_transducer,
    weights,
    write_pairs,
)

PAIRS = tiny_pairs()
# 52 pairs are trained on and 8 held out: 7 steps of 8 pairs, and with these 8
STEPS, FINAL_STEPS = 3 * 7, 2 * 8


class Calls:
    """A callback that keeps what it is called with."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, Any]] = []
        self.final: list[dict[str, Any]] = []

    def on_epoch_end(self, _: Any, logs: dict[str, Any]) -> None:
        self.epochs.append(logs)

    def on_final_epoch_end(self, _: Any, logs: dict[str, Any]) -> None:
        self.final.append(logs)


def final(**changes: Any) -> Transducer:
    return tiny_transducer(**({"final_epochs": 2} | changes))


@pytest.fixture(scope="module")
def before() -> Transducer:
    return tiny_transducer().fit(*PAIRS)


@pytest.fixture(scope="module")
def whole() -> Transducer:
    return final().fit(*PAIRS)


def test_they_are_on_all_pairs_at_a_lower_rate(
    before: Transducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[tuple[int, float]] = []
    begun: list[bytes] = []
    step = Training._step

    def noted(self: Training, batch: Any, place: str) -> Any:
        begun.append(b"".join(param.tobytes() for param in self.network.params.values()))
        result = step(self, batch, place)
        rows.append((len(batch), self._optimizer.lr))
        return result

    monkeypatch.setattr(Training, "_step", noted)
    final().fit(*PAIRS)
    assert begun[STEPS] == weights(before)  # the best
    assert len(rows) == STEPS + FINAL_STEPS
    assert sum(count for count, _ in rows[:STEPS]) == 3 * 52
    assert sum(count for count, _ in rows[STEPS:]) == 2 * 60
    assert {rate for _, rate in rows[STEPS:]} == {0.01 * 0.3}


def test_the_pairs_held_out_are_learned() -> None:
    """What cannot be guessed from the others: any letter may stand for any other."""
    generator = np.random.default_rng(0)
    sources = [chr(ord("A") + number) for number in range(40)]
    targets = [sources[number] for number in generator.permutation(40)]
    changes = {"hidden_size": 32, "epochs": 60, "learning_rate": 0.02, "dropout": 0.0}
    changes |= {"unknown_rate": 0.0, "patience": None, "monitor": "loss", "averaging": 0.0}
    right = [
        tiny_transducer(**changes, final_epochs=epochs).fit(sources, targets, 0.2)
        for epochs in (0, 60)
    ]
    assert right[0].score(sources, targets) <= 0.8 < 0.95 < right[1].score(sources, targets)


def test_what_was_before_stays(before: Transducer, whole: Transducer, tmp_path: Path) -> None:
    assert timeless(whole.history_) == timeless(before.history_)
    assert whole.n_epochs_ == 3
    assert weights(whole) != weights(before)
    assert whole.params_["final_epochs"] == 2
    assert "% of the held-out answers right; then 2 on all pairs" in whole.summary()[1]
    assert "on all pairs" not in before.summary()[1]
    path = tmp_path / "model"
    whole.save(path)
    assert Transducer.load(path).summary() == whole.summary()


def test_there_are_no_more_than_before(whole: Transducer) -> None:
    model = final(epochs=2, final_epochs=9).fit(*PAIRS)
    assert model.params_["final_epochs"] == 2
    assert model.final_epochs == 9
    assert final(final_epochs="auto").fit(*PAIRS).params_["final_epochs"] == 3


@pytest.mark.parametrize("validation", [None, tiny_pairs(10, seed=1)], ids=["none", "own"])
def test_they_need_a_share_that_is_held_out(validation: Any) -> None:
    class Seen(Calls):
        def on_fit_begin(self, model: Transducer) -> None:
            self.epochs.append(model.params_)

    seen = Seen()
    model = final().fit(*PAIRS, validation, callbacks=[seen])
    assert seen.epochs[0]["final_epochs"] == model.params_["final_epochs"] == 0
    assert weights(model) == weights(tiny_transducer().fit(*PAIRS, validation))


def test_weights_of_pairs_are_theirs_too(whole: Transducer) -> None:
    equal = final().fit(*PAIRS, sample_weight=[7] * 60)
    other = final().fit(*PAIRS, sample_weight=[1] * 59 + [9])
    assert weights(equal) == weights(whole) != weights(other)


# what ends them early


def test_ctrl_c_leaves_the_best_before(
    before: Transducer, whole: Transducer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    press_in_step(monkeypatch, STEPS + FINAL_STEPS)
    model = final().fit(*PAIRS, checkpoint=tmp_path)
    assert model.interrupted_
    assert weights(model) == weights(before)
    assert model.params_["final_epochs"] == 0
    monkeypatch.undo()
    resumed = final().fit(*PAIRS, checkpoint=tmp_path, resume=True)
    assert not resumed.interrupted_
    assert weights(resumed) == weights(whole)


def test_ctrl_c_before_them_leaves_them_out(
    before: Transducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Training | None] = []
    prepared = Training.final_training

    def noted(self: Training) -> Training | None:
        made.append(prepared(self))
        return made[-1]

    monkeypatch.setattr(Training, "final_training", noted)

    def press(model: Any, logs: dict[str, Any]) -> None:
        if logs["epoch"] == 3:
            signal.raise_signal(signal.SIGINT)

    model = final().fit(*PAIRS, callbacks=[Call(press)])
    assert made == [None]
    assert model.interrupted_
    assert weights(model) == weights(before)


def test_ctrl_c_while_they_are_prepared(
    before: Transducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = Training.final_training

    def pressing(self: Training) -> Any:
        training = prepared(self)
        signal.raise_signal(signal.SIGINT)
        return training

    monkeypatch.setattr(Training, "final_training", pressing)
    model = final().fit(*PAIRS)
    assert model.interrupted_
    assert weights(model) == weights(before)


def test_nan_leaves_the_best_before(before: Transducer, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_at(monkeypatch, STEPS + 10, "loss", math.nan)
    model = final()
    message = "epoch 2, step 2 of 8: training stopped in the final epochs; there is no checkpoint$"
    with pytest.raises(FloatingPointError, match=message):
        model.fit(*PAIRS)
    assert weights(model) == weights(before)
    assert model.params_["final_epochs"] == 0


# what is resumed, or shared


def test_a_break_before_them_changes_nothing(whole: Transducer, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stopped by the test"):
        final().fit(*PAIRS, checkpoint=tmp_path, callbacks=[raise_in_epoch(2)])
    resumed = final().fit(*PAIRS, checkpoint=tmp_path, resume=True)
    assert weights(resumed) == weights(whole)
    # once more, and with another number of them
    assert weights(final().fit(*PAIRS, checkpoint=tmp_path, resume=True)) == weights(whole)
    other = final(final_epochs=1).fit(*PAIRS, checkpoint=tmp_path, resume=True)
    assert weights(other) == weights(final(final_epochs=1).fit(*PAIRS)) != weights(whole)


def test_ranks_come_to_the_bits_of_one_process() -> None:
    def fit(ranks: Any = None) -> Transducer:
        return final(shards=4).fit(*PAIRS, communicator=ranks)

    expected = weights(fit())
    assert [weights(model) for model in on_threads(2, fit)] == [expected] * 2


def test_members_of_an_ensemble_have_them(whole: Transducer) -> None:
    calls = Calls()
    ensemble = Ensemble([final(), final(seed=1)]).fit(*PAIRS, callbacks=[calls], processes=2)
    assert weights(ensemble.members_[0]) == weights(whole)
    assert sorted((logs["model"], logs["final_epoch"]) for logs in calls.final) == [
        (1, 1),
        (1, 2),
        (2, 1),
        (2, 2),
    ]


# what is told


def test_callbacks_and_log(whole: Transducer, tmp_path: Path) -> None:
    calls, log = Calls(), tmp_path / "log.jsonl"
    final().fit(*PAIRS, callbacks=[calls, raise_in_epoch(9)], log=log)
    assert timeless(calls.epochs) == timeless(whole.history_)
    assert [list(logs) for logs in calls.final] == [
        ["final_epoch", "loss", "learning_rate", "seconds", "words_per_second"]
    ] * 2
    assert [logs["final_epoch"] for logs in calls.final] == [1, 2]
    assert [json.loads(line)["epoch"] for line in log.read_text().splitlines()] == [1, 2, 3]


def test_a_callback_that_raises_leaves_the_best_before(before: Transducer) -> None:
    class Raising(Calls):
        def on_final_epoch_end(self, _: Any, logs: dict[str, Any]) -> None:
            raise RuntimeError("stopped by the test")

    model = final()
    with pytest.raises(RuntimeError, match="stopped by the test"):
        model.fit(*PAIRS, callbacks=[Raising()])
    assert weights(model) == weights(before)


def test_the_bar_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    final(epochs=2, final_epochs=1).fit(*PAIRS, progress=True)
    shown = capsys.readouterr().err
    assert "final epoch 1/1" in shown
    lines = [line for line in shown.splitlines() if "words/s" in line and "|" not in line]
    assert [line.split("   loss")[0].split() for line in lines] == [
        ["epoch", "1"],
        ["epoch", "2"],
        ["final", "epoch", "1"],
    ]


# what the command says


def test_train_tells_of_the_final_epochs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pairs(tmp_path / "pairs.tsv")
    output, curve = tmp_path / "out.safetensors", tmp_path / "curve.svg"
    options = [*OPTIONS, "--final-epochs", "2", "--curve", str(curve)]
    assert main(["train", str(data), "-o", str(output), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:15] for line in lines[-3:-1]] == ["final epoch   1", "final epoch   2"]
    assert lines[-1].startswith("model of epoch ")
    assert lines[-1].endswith(f" and 2 on all pairs in {output}")
    assert weights(Transducer.load(output)) == weights(tiny_transducer(final_epochs=2).fit(*PAIRS))
    assert main(["info", str(output)]) == 0
    assert capsys.readouterr().out.endswith("; then 2 on all pairs\n")


def test_an_ensemble_tells_of_those_of_each_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, output = write_pairs(tmp_path / "pairs.tsv"), tmp_path / "two"
    options = [*OPTIONS, "--final-epochs", "1", "--ensemble", "2"]
    assert main(["train", str(data), "-o", str(output), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    final = [line.split("   loss")[0] for line in lines if "final epoch " in line]
    assert sorted(final) == ["model 1   final epoch   1", "model 2   final epoch   1"]
    assert lines[-1].startswith("ensemble of 2 models of epochs ")
    assert lines[-1].endswith(f" and 1 on all pairs in {output}")
    first = Ensemble.load(output).members_[0]
    assert weights(first) == weights(tiny_transducer(final_epochs=1).fit(*PAIRS))


def test_pairs_of_ones_own_leave_them_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, output = write_pairs(tmp_path / "pairs.tsv"), tmp_path / "model"
    options = [*OPTIONS, "--final-epochs", "auto", "--valid", str(data)]
    assert main(["train", str(data), "-o", str(output), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "final_epochs 0" in lines[1]
    assert "on all pairs" not in lines[-1]
    assert main(["info", str(output), "--json"]) == 0
    [model] = json.loads(capsys.readouterr().out)["models"]
    assert model["hyperparameters"]["final_epochs"] == 0
