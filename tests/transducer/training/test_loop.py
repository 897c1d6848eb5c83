"""Training: what is kept, when it ends, what it writes, and that it goes on where it was left."""

import json
import math
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastseq import Transducer
from fastseq.transducer.network.network import Network
from fastseq.transducer.training import loop as training
from fastseq.transducer.training.interrupt import ends_cleanly
from fastseq.transducer.training.loop import Training
from fastseq.transducer.training.schedules import Schedule
from support.transducer.interrupted import Call, fail_at, press_in_step, raise_in_epoch
from support.transducer.tiny_transducer import timeless, tiny_pairs, tiny_transducer, weights

PAIRS = tiny_pairs()


# learning, and what is kept


def test_a_model_learns() -> None:
    words, capitals = tiny_pairs(300)
    model = tiny_transducer(hidden_size=32, epochs=40, learning_rate=0.02, dropout=0.0)
    model.fit(words, capitals)
    assert model.history_[-1]["loss"] < 0.2 * model.history_[0]["loss"]
    assert model.score(words, capitals) > 0.9


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    model, again, other = (tiny_transducer(seed=seed).fit(*PAIRS) for seed in (1, 1, 2))
    assert weights(model) == weights(again)
    assert timeless(model.history_) == timeless(again.history_)
    assert weights(model) != weights(other)


def test_the_number_of_threads_changes_nothing(set_threads: Any) -> None:
    set_threads(1)
    one = weights(tiny_transducer().fit(*PAIRS))
    set_threads(3)
    assert weights(tiny_transducer().fit(*PAIRS)) == one


def test_fit_twice_starts_anew() -> None:
    model = tiny_transducer().fit(*PAIRS)
    first = weights(model)
    assert weights(model.fit(*PAIRS)) == first
    assert model.n_epochs_ == 3


def test_the_history_has_every_epoch() -> None:
    model = tiny_transducer().fit(*PAIRS)
    assert model.n_epochs_ == len(model.history_) == 3
    assert [logs["epoch"] for logs in model.history_] == [1, 2, 3]
    for logs in model.history_:
        assert set(logs) == {
            "epoch",
            "loss",
            "validation_loss",
            "validation_accuracy",
            "learning_rate",
            "best",
            "seconds",
            "words_per_second",
        }
        assert 0 <= logs["validation_accuracy"] <= 1
        assert logs["seconds"] > 0 and logs["words_per_second"] > 0
    assert model.history_[0]["best"]


def measure(monkeypatch: pytest.MonkeyPatch, accuracies: list[float], losses: list[float]) -> None:
    """Let the epochs have these results on the pairs held out, whatever was learnt."""
    results = {"accuracy": iter(accuracies), "mean_loss": iter(losses)}
    for name, values in results.items():
        monkeypatch.setattr(training, name, lambda *_, values=values: next(values))


@pytest.mark.parametrize(("monitor", "best"), [("accuracy", 2), ("loss", 3)])
def test_the_best_weights_are_kept(
    monitor: str, best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(monkeypatch, [0.2, 0.5, 0.3, 0.4], [4.0, 3.0, 1.0, 2.0])
    seen: list[bytes] = []
    model = tiny_transducer(monitor=monitor, epochs=4)
    model.fit(*PAIRS, callbacks=[Call(lambda model, logs: seen.append(weights(model)))])
    assert len(set(seen)) == 4
    assert weights(model) == seen[best - 1]
    assert [logs["epoch"] for logs in model.history_ if logs["best"]][-1] == best


def logs(accuracy: float, loss: float) -> dict[str, Any]:
    return {"validation_accuracy": accuracy, "validation_loss": loss, "loss": loss}


@pytest.mark.parametrize(
    ("monitor", "new", "best", "better"),
    [
        ("accuracy", logs(0.6, 9.0), logs(0.5, 1.0), True),
        ("accuracy", logs(0.4, 0.1), logs(0.5, 1.0), False),
        ("accuracy", logs(0.0, 0.9), logs(0.0, 1.0), True),
        ("accuracy", logs(0.0, 1.0), logs(0.0, 1.0), False),
        ("accuracy", logs(1.0, 0.1), logs(1.0, 1.0), False),
        ("loss", logs(0.0, 0.9), logs(0.5, 1.0), True),
        ("loss", logs(1.0, 1.0), logs(0.5, 1.0), False),
    ],
)
def test_what_makes_an_epoch_better(
    monitor: str, new: dict[str, Any], best: dict[str, Any], better: bool
) -> None:
    state = a_training(monitor=monitor)
    assert state._is_better(new, best) is better


def a_training(**changes: Any) -> Training:
    from fastseq.transducer.training.preparation import prepare

    made, _ = prepare(tiny_transducer(**changes).get_params(), *PAIRS, validation=0.1)
    return made


@pytest.mark.parametrize(("patience", "epochs"), [(1, 2), (2, 6), (3, 7), (None, 8)])
def test_training_stops_when_nothing_gets_better(
    patience: int | None, epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(monkeypatch, [0.5, 0.4, 0.6, 0.7, 0.7, 0.6, 0.1, 0.1], 8 * [1.0])
    model = tiny_transducer(epochs=8, patience=patience).fit(*PAIRS)
    assert model.n_epochs_ == epochs


def test_without_validation_the_training_loss_counts() -> None:
    model = tiny_transducer().fit(*PAIRS, validation=None)
    assert "validation_loss" not in model.history_[0]
    assert [logs["best"] for logs in model.history_] == [True, True, True]


def test_validation_pairs_of_ones_own() -> None:
    model = tiny_transducer().fit(*PAIRS, validation=(["abc", "x", ""], ["ABC", "Y", ""]))
    assert model.history_[-1]["validation_accuracy"] in (0, 1 / 3, 2 / 3, 1)
    assert len(model.vocabulary_.source) == 3 + 6  # x is not known


def test_dropout_and_label_smoothing_reach_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    original = Network.loss

    def loss(self: Network, batch: Any, **settings: Any) -> float:
        calls.append(settings)
        return original(self, batch, **settings)

    monkeypatch.setattr(Network, "loss", loss)
    model = tiny_transducer(label_smoothing=0.1, dropout=0.3, epochs=1).fit(*PAIRS)
    assert model.network_.config.dropout == 0.3
    trained = [call for call in calls if call.get("training")]
    assert len(trained) == math.ceil(54 / 8)
    for call in trained:
        assert call["label_smoothing"] == 0.1
        assert isinstance(call["generator"], np.random.Generator)
    assert [call for call in calls if not call.get("training")] == [{}]  # the validation


# learning rates


def test_a_constant_rate() -> None:
    schedule = Schedule("constant", 0.5, 1, 1)
    schedule.end_epoch(better=False)
    assert [schedule.rate(step) for step in (1, 100)] == [0.5, 0.5]


def test_a_plateau_halves_the_rate() -> None:
    schedule = Schedule("plateau", 1.0, 2, 1)
    rates = []
    for better in (True, False, False, False, True, False, False):
        schedule.end_epoch(better)
        rates.append(schedule.rate(1))
    assert rates == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]
    for _ in range(100):
        schedule.end_epoch(better=False)
    assert schedule.rate(1) == 2**-10


def test_a_warm_up_and_the_inverse_root() -> None:
    schedule = Schedule("warmup_inverse_sqrt", 0.2, 1, 100)
    schedule.end_epoch(better=False)
    rates = [schedule.rate(step) for step in (1, 50, 100, 400)]
    np.testing.assert_allclose(rates, [0.002, 0.1, 0.2, 0.1], rtol=1e-15)


def test_the_rate_of_the_schedule_is_adams() -> None:
    model = tiny_transducer(schedule="warmup_inverse_sqrt", warmup_steps=14, epochs=2).fit(*PAIRS)
    assert model.history_[1]["learning_rate"] == pytest.approx(0.01)  # 7 steps an epoch
    assert model.history_[0]["learning_rate"] == pytest.approx(0.005)


# what goes wrong


@pytest.mark.parametrize(
    ("what", "value", "message"),
    [
        ("loss", math.nan, "the loss became nan in epoch 2, step 3 of 7: training stopped"),
        ("loss", math.inf, "the loss became inf in epoch 2, step 3 of 7"),
        ("gradients", math.nan, "the norm of the gradients became nan in epoch 2, step 3 of 7"),
        ("gradients", math.inf, "the norm of the gradients became inf in epoch 2, step 3 of 7"),
    ],
)
def test_nan_stops_the_training(
    what: str, value: float, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = weights(tiny_transducer(epochs=1).fit(*PAIRS))
    fail_at(monkeypatch, 7 + 3, what, value)
    model = tiny_transducer()
    folder = tmp_path / "checkpoints"
    with pytest.raises(FloatingPointError, match=message) as failure:
        model.fit(*PAIRS, checkpoint=folder)
    path = folder / "checkpoint.safetensors"
    assert str(failure.value).endswith(f"; the last good checkpoint is {path}")
    assert path.is_file()
    assert weights(model) == expected
    assert model.n_epochs_ == 1


def test_nan_without_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_at(monkeypatch, 1, "loss")
    with pytest.raises(FloatingPointError, match="epoch 1, step 1 of 7.*; there is no checkpoint$"):
        tiny_transducer().fit(*PAIRS)


def test_what_a_callback_raises_ends_the_training() -> None:
    model = tiny_transducer(epochs=5)
    with pytest.raises(RuntimeError, match="stopped by the test"):
        model.fit(*PAIRS, callbacks=[raise_in_epoch(2)])
    assert model.n_epochs_ == 2
    assert weights(model) == weights(tiny_transducer(epochs=2).fit(*PAIRS))


def test_callbacks_are_called_in_order_with_a_model_that_predicts() -> None:
    heard: list[Any] = []
    model = tiny_transducer()
    model.fit(
        *PAIRS,
        callbacks=[
            Call(lambda given, logs: heard.append((given is model, logs["epoch"]))),
            Call(lambda given, logs: heard.append(len(given.predict(["abc", "d"])))),
            Call(lambda given, logs: heard.append(logs is given.history_[-1])),
        ],
    )
    assert heard == [(True, 1), 2, True, (True, 2), 2, True, (True, 3), 2, True]


# Ctrl-C


def test_ctrl_c_ends_cleanly_with_the_best_weights(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    model = tiny_transducer(epochs=9)

    def press(given: Transducer, logs: dict[str, Any]) -> None:
        if logs["epoch"] == 2:
            signal.raise_signal(signal.SIGINT)

    assert model.fit(*PAIRS, callbacks=[Call(press)]) is model
    assert model.interrupted_
    assert model.n_epochs_ == 2
    assert weights(model) == weights(tiny_transducer(epochs=2).fit(*PAIRS))
    assert "interrupted" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_within_an_epoch_ends_after_the_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = weights(tiny_transducer().fit(*PAIRS))
    press_in_step(monkeypatch, 4)
    model = tiny_transducer().fit(*PAIRS, checkpoint=tmp_path)
    assert model.interrupted_ and model.n_epochs_ == 0
    assert model.predict(["a"])
    monkeypatch.undo()
    # what was interrupted goes on to the same bits
    resumed = tiny_transducer().fit(*PAIRS, checkpoint=tmp_path, resume=True)
    assert not resumed.interrupted_
    assert weights(resumed) == expected


def test_a_second_ctrl_c_aborts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    press_in_step(monkeypatch, 9, times=2)
    model = tiny_transducer()
    with pytest.raises(KeyboardInterrupt):
        model.fit(*PAIRS)
    assert signal.getsignal(signal.SIGINT) is before
    assert weights(model) == weights(tiny_transducer(epochs=1).fit(*PAIRS))


def test_a_handler_of_the_programs_own_stays() -> None:
    def own(number: int, frame: Any) -> None:
        pass

    before = signal.signal(signal.SIGINT, own)
    try:
        with ends_cleanly(a_training()):
            assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)


def test_training_runs_in_any_thread() -> None:
    trained: list[Transducer] = []
    thread = threading.Thread(target=lambda: trained.append(tiny_transducer().fit(*PAIRS)))
    thread.start()
    thread.join()
    assert weights(trained[0]) == weights(tiny_transducer().fit(*PAIRS))


# the log


def test_the_log_has_a_line_for_each_epoch(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    lines_seen: list[int] = []
    path.write_text("of an earlier training\n")
    model = tiny_transducer()
    model.fit(
        *PAIRS,
        log=path,
        callbacks=[Call(lambda m, logs: lines_seen.append(len(path.read_text().splitlines())))],
    )
    assert [json.loads(line) for line in path.read_text().splitlines()] == model.history_
    assert lines_seen == [1, 2, 3]


def test_a_log_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    called: list[int] = []
    with pytest.raises(OSError, match="no/log"):
        tiny_transducer().fit(
            *PAIRS,
            log=tmp_path / "no" / "log",
            callbacks=[Call(lambda m, logs: called.append(1))],
        )
    assert called == []
