"""Training that goes on from a checkpoint: to the same bits, wherever it was left."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastseq
from fastseq.transducer.training.loop import Training
from support.transducer.interrupted import press_in_step, raise_in_epoch
from support.transducer.tiny_transducer import timeless, tiny_pairs, tiny_transducer, weights

PAIRS = tiny_pairs()


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_training_resumed_after_an_epoch_has_the_same_bits(epoch: int, tmp_path: Path) -> None:
    whole = tiny_transducer(epochs=4).fit(*PAIRS, log=tmp_path / "whole.jsonl")
    settings: dict[str, Any] = {"checkpoint": tmp_path, "log": tmp_path / "log.jsonl"}
    with pytest.raises(RuntimeError, match="stopped by the test"):
        tiny_transducer(epochs=4).fit(*PAIRS, **settings, callbacks=[raise_in_epoch(epoch)])
    resumed = tiny_transducer(epochs=4).fit(*PAIRS, **settings, resume=True)
    assert weights(resumed) == weights(whole)
    assert timeless(resumed.history_) == timeless(whole.history_)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == resumed.history_


@pytest.mark.parametrize("changes", [{"schedule": "plateau"}, {"schedule": "warmup_inverse_sqrt"}])
@pytest.mark.parametrize("step", [1, 6, 7, 8, 13, 20])
def test_training_resumed_within_an_epoch_has_the_same_bits(
    step: int, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = tiny_transducer(**changes).fit(*PAIRS)
    press_in_step(monkeypatch, step, times=2)  # aborts within the step
    with pytest.raises(KeyboardInterrupt):
        tiny_transducer(**changes).fit(*PAIRS, checkpoint=tmp_path, checkpoint_every=2)
    monkeypatch.undo()
    resumed = tiny_transducer(**changes).fit(*PAIRS, checkpoint=tmp_path, resume=True)
    assert weights(resumed) == weights(whole)
    assert timeless(resumed.history_) == timeless(whole.history_)


def test_a_checkpoint_that_forgets_anything_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The broken twin of the tests above: each part of the state, left out, changes the bits."""
    whole = tiny_transducer(epochs=4).fit(*PAIRS)
    restore = Training.restore
    losses = {
        "m": lambda state, arrays: zero(arrays, "adam.m"),
        "v": lambda state, arrays: zero(arrays, "adam.v"),
        "updates": lambda state, arrays: state["optimizer"].update(iter=0),
        "dropout": lambda state, arrays: state.update(dropout_state=np.random.PCG64(9).state),
        "order": lambda state, arrays: state["epoch"].update(order_state=np.random.PCG64(9).state),
        "step": lambda state, arrays: state["epoch"].update(steps=0),
    }

    def zero(arrays: dict[str, Any], group: str) -> None:
        for name in arrays:
            if name.startswith(group):
                arrays[name] = np.zeros_like(arrays[name])

    for number, (name, forget) in enumerate(losses.items()):
        folder = tmp_path / str(number)
        press_in_step(monkeypatch, 10)
        tiny_transducer(epochs=4).fit(*PAIRS, checkpoint=folder)
        monkeypatch.undo()

        def forgetful(self: Training, state: Any, arrays: Any, forget: Any = forget) -> None:
            arrays = dict(arrays)
            forget(state, arrays)
            restore(self, state, arrays)

        monkeypatch.setattr(Training, "restore", forgetful)
        resumed = tiny_transducer(epochs=4).fit(*PAIRS, checkpoint=folder, resume=True)
        monkeypatch.undo()
        assert weights(resumed) != weights(whole), name


def test_more_epochs_of_a_training_that_was_over(tmp_path: Path) -> None:
    tiny_transducer(epochs=2).fit(*PAIRS, checkpoint=tmp_path)
    longer = tiny_transducer(epochs=5).fit(*PAIRS, checkpoint=tmp_path, resume=True)
    assert longer.n_epochs_ == 5
    assert weights(longer) == weights(tiny_transducer(epochs=5).fit(*PAIRS))
    again = tiny_transducer(epochs=5).fit(*PAIRS, checkpoint=tmp_path, resume=True)
    assert weights(again) == weights(longer) and again.n_epochs_ == 5


def test_resume_without_a_checkpoint_starts(tmp_path: Path) -> None:
    model = tiny_transducer().fit(*PAIRS, checkpoint=tmp_path / "new" / "er", resume=True)
    assert weights(model) == weights(tiny_transducer().fit(*PAIRS))


def test_a_checkpoint_is_not_replaced_by_training_anew(tmp_path: Path) -> None:
    tiny_transducer().fit(*PAIRS, checkpoint=tmp_path)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(FileExistsError, match="resume it, or remove it"):
        tiny_transducer().fit(*PAIRS, checkpoint=tmp_path)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "pairs", "validation", "message"),
    [
        ({"hidden_size": 14}, PAIRS, 0.1, "hidden_size: expected 12, with which .* began; got 14"),
        ({"seed": 1}, PAIRS, 0.1, "seed: expected 0"),
        ({"learning_rate": 0.1}, PAIRS, 0.1, "learning_rate: expected 0.01"),
        ({}, (PAIRS[0], PAIRS[0]), 0.1, "target_vocabulary: expected that of the checkpoint"),
        ({}, (PAIRS[0][::-1], PAIRS[1][::-1]), 0.1, "pairs: expected those of the checkpoint"),
        ({}, PAIRS, 0.2, "pairs: expected those of the checkpoint"),
        ({}, PAIRS, None, "pairs: expected those of the checkpoint"),
    ],
)
def test_other_training_is_not_resumed(
    changes: dict[str, Any], pairs: Any, validation: Any, message: str, tmp_path: Path
) -> None:
    tiny_transducer(epochs=1).fit(*PAIRS, checkpoint=tmp_path)
    with pytest.raises(ValueError, match=message) as failure:
        tiny_transducer(**changes).fit(
            *pairs, validation=validation, checkpoint=tmp_path, resume=True
        )
    assert str(failure.value).startswith(f"{tmp_path / 'checkpoint.safetensors'}: ")


def test_other_validation_pairs_are_not_resumed(tmp_path: Path) -> None:
    tiny_transducer(epochs=1).fit(*PAIRS, validation=(["a"], ["A"]), checkpoint=tmp_path)
    with pytest.raises(ValueError, match="validation: expected those of the checkpoint"):
        tiny_transducer().fit(*PAIRS, validation=(["b"], ["B"]), checkpoint=tmp_path, resume=True)


KILLED = """
import sys
import time
from pathlib import Path

sys.path[:0] = [{tests!r}, {package!r}]
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer

print("ready", flush=True)
folder = sys.argv[1]
model = tiny_transducer(epochs=12, patience=None).fit(
    *tiny_pairs(), checkpoint=folder, checkpoint_every=2, resume=True, log=folder + "/log.jsonl"
)
model.save(folder + "/model.safetensors")
"""


def test_kill_at_any_moment_then_resume_ends_with_the_same_bits(tmp_path: Path) -> None:
    package = str(Path(fastseq.__file__).parents[1])
    program = KILLED.format(tests=str(Path(__file__).parents[2]), package=package)
    began = time.perf_counter()
    whole = tiny_transducer(epochs=12, patience=None).fit(*tiny_pairs())
    duration = time.perf_counter() - began
    whole.save(tmp_path / "whole.safetensors")

    moments = random.Random(0)
    folder = tmp_path / "killed"
    folder.mkdir()
    kills = 0
    for _ in range(5):
        process = start(program, folder)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            process.wait(moments.uniform(0.05, 0.5) * duration)
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        process.communicate()
    last = start(program, folder)
    _, error = last.communicate(timeout=100)
    assert last.returncode == 0, error
    assert kills, "training was over before it could be killed"
    saved = (folder / "model.safetensors").read_bytes()
    assert saved == (tmp_path / "whole.safetensors").read_bytes()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert timeless(lines) == timeless(whole.history_)


def start(program: str, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
