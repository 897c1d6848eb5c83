"""Damaged checkpoints: a message with file and entry; one of the last version is resumed."""

import json
import math
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastseq import Transducer
from fastseq.cli import main
from support.transducer.tiny_transducer import SMALL, tiny_pairs, tiny_transducer, weights

PAIRS = tiny_pairs()
DATA = Path(__file__).parents[2] / "data"
State = dict[str, Any]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Of a training of two epochs of 7 steps."""
    folder = tmp_path_factory.mktemp("state")
    tiny_transducer(epochs=2).fit(*PAIRS, checkpoint=folder)
    return (folder / "checkpoint.safetensors").read_bytes()


def unchanged(state: State) -> None:
    """Edit nothing."""


def write_edited(
    content: bytes,
    edit: Callable[[State], Any],
    folder: Path,
    edit_configuration: Callable[[State], Any] = unchanged,
) -> Path:
    """A checkpoint with another state; the arrays' bytes stay."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    document = json.loads(header["__metadata__"]["fastseq"])
    edit(document["training"])
    edit_configuration(document["configuration"])
    header["__metadata__"]["fastseq"] = json.dumps(document)
    text = json.dumps(header).encode()
    path = folder / "checkpoint.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    return path


def put(value: Any, *names: str | int) -> Callable[[State], None]:
    """Set an entry of an entry."""

    def edit(state: Any) -> None:
        *parents, last = names
        for name in parents:
            state = state[name]
        state[last] = value

    return edit


EDITS: dict[str, tuple[Callable[[State], Any], str]] = {
    "no history": (lambda state: state.pop("history"), "state: expected an entry history"),
    "a history of text": (put("x", "history"), "history: expected a list, got str"),
    "text in the history": (put("x", "history", 0), r"history\[0\]: expected an object, got str"),
    "empty epochs": (put([{}, {}], "history"), r"history\[0\]: expected an entry epoch, got none"),
    "an epoch not measured": (
        lambda state: state["history"][1].pop("validation_loss"),
        r"history\[1\]: expected an entry validation_loss, got none",
    ),
    "a loss of text": (
        put("low", "history", 1, "loss"),
        r"history\[1\]\.loss: expected a number from 0 to 1e\+300, got low",
    ),
    "a best epoch to come": (
        put(3, "best_epoch"),
        "best_epoch: expected a whole number from 0 to 2, got 3",
    ),
    "a best epoch of text": (put("x", "best_epoch"), "best_epoch: expected a whole number"),
    "no epoch": (put(None, "epoch"), "epoch: expected an object, got NoneType"),
    "steps of text": (
        put("1", "epoch", "steps"),
        r"epoch\.steps: expected a whole number from 0 to 7, got 1",
    ),
    "more steps than there are": (put(999, "epoch", "steps"), r"epoch\.steps: .* 0 to 7, got 999"),
    "fewer steps than none": (put(-1, "epoch", "steps"), r"epoch\.steps: .* 0 to 7, got -1"),
    "steps without symbols": (put(3, "epoch", "steps"), r"epoch\.symbols: expected .* from 3"),
    "a sum of NaN": (put(math.nan, "epoch", "loss_sum"), r"epoch\.loss_sum: .* got nan"),
    "negative seconds": (
        put(-1.0, "epoch", "seconds"),
        r"epoch\.seconds: .* from 0 to inf, got -1",
    ),
    "steps in no time": (
        lambda state: state["epoch"].update(steps=3, symbols=9, seconds=0.0),
        r"epoch\.seconds: .* from 1e-09 to inf, got 0\.0",
    ),
    "something more": (put(1, "epoch", "more"), "training: damaged"),
    "negative updates": (
        put(-5, "updates"),
        "updates: expected a whole number from 14 to 14, got -5",
    ),
    "updates that are true": (put(True, "updates"), "updates: expected a whole number"),
    "no schedule": (put([], "schedule"), "schedule: expected an object, got list"),
    "a growing rate": (put(2.0, "schedule", "factor"), r"schedule\.factor: .* 0 to 1, got 2\.0"),
    "a wait of text": (put("x", "schedule", "epochs_waited"), r"schedule\.epochs_waited: expected"),
    "no generator": (put(None, "dropout_state"), "training: "),
    "another generator": (put("MT19937", "dropout_state", "bit_generator"), "training: "),
    "a generator of text": (put("x", "epoch", "order_state"), "training: "),
    "a huge generator": (put(2**200, "dropout_state", "state", "state"), "training: "),
    "other pairs": (put("x", "pairs"), "pairs: expected those of the checkpoint, got others"),
}


@pytest.mark.parametrize(("edit", "message"), EDITS.values(), ids=EDITS)
def test_a_damaged_checkpoint_is_refused(
    edit: Callable[[State], Any], message: str, checkpoint: bytes, tmp_path: Path
) -> None:
    path = write_edited(checkpoint, edit, tmp_path)
    with pytest.raises(ValueError, match=message) as failure:
        tiny_transducer().fit(*PAIRS, checkpoint=tmp_path, resume=True)
    text = str(failure.value)
    assert text.startswith(f"{path}: training: ")
    assert "\n" not in text and len(text) < 300


def test_an_edit_of_nothing_is_resumed(checkpoint: bytes, tmp_path: Path) -> None:
    write_edited(checkpoint, unchanged, tmp_path)
    resumed = tiny_transducer().fit(*PAIRS, checkpoint=tmp_path, resume=True)
    assert weights(resumed) == weights(tiny_transducer().fit(*PAIRS))


def test_a_hyperparameter_newer_than_the_checkpoint_had_its_default(
    checkpoint: bytes, tmp_path: Path
) -> None:
    def as_of_a_gru(saved: State) -> None:
        del saved["reset_after"]
        saved["cell"] = "gru"

    write_edited(checkpoint, unchanged, tmp_path, as_of_a_gru)
    with pytest.raises(ValueError, match="reset_after: expected False, with which .* got True"):
        tiny_transducer(cell="gru", reset_after=True).fit(*PAIRS, checkpoint=tmp_path, resume=True)
    write_edited(checkpoint, unchanged, tmp_path, lambda saved: saved.pop("reset_after"))
    resumed = tiny_transducer().fit(*PAIRS, checkpoint=tmp_path, resume=True)
    assert weights(resumed) == weights(tiny_transducer().fit(*PAIRS))


def test_train_says_in_one_line_that_a_checkpoint_is_damaged(
    checkpoint: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, state, model = tmp_path / "pairs.tsv", tmp_path / "state", tmp_path / "model"
    data.write_text("".join(f"{s}\t{t}\n" for s, t in zip(*PAIRS, strict=True)), encoding="utf-8")
    state.mkdir()
    options = [
        word
        for name, value in SMALL.items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    arguments = ["train", str(data), "-o", str(model), "--checkpoint", str(state), "--resume"]

    def error() -> str:
        assert main([*arguments, *options]) == 1
        [line] = capsys.readouterr().err.splitlines()
        assert not model.exists()
        return line

    path = write_edited(checkpoint, put("1", "epoch", "steps"), state)
    expected = "training: epoch.steps: expected a whole number from 0 to 7, got 1"
    assert error() == f"fastseq: error: {path}: {expected}"
    expected = "unknown_rate: expected 0 to 1099511627776, got -1.0"
    write_edited(checkpoint, unchanged, state, put(-1.0, "unknown_rate"))
    assert error() == f"fastseq: error: {path}: {expected}"
    path.write_bytes(checkpoint[:-4])
    assert "damaged or not complete" in error()
    path.write_bytes(b"no checkpoint")
    assert "expected a model file, got something else" in error()
    path.write_bytes(checkpoint)
    assert main([*arguments, *options]) == 0


@pytest.mark.usefixtures("float32_products")  # the precision in which it led there
def test_a_checkpoint_of_the_last_version_is_resumed(tmp_path: Path) -> None:
    """Written when the state of Adam had no entry of its own; the other file is where it led."""
    shutil.copy(DATA / "checkpoint-v1.safetensors", tmp_path / "checkpoint.safetensors")
    # what is "auto" is what it was then
    options: dict[str, Any] = {"embedding_size": 4, "hidden_size": 4, "epochs": 4, "patience": None}
    model = tiny_transducer(**options, averaging="auto").fit(
        *tiny_pairs(24), checkpoint=tmp_path, resume=True
    )
    assert model.params_["attention"] == "dot"
    assert model.params_["averaging"] == 0
    then = Transducer.load(DATA / "resumed-v1.safetensors")
    assert [logs["epoch"] for logs in model.history_] == [1, 2, 3, 4]
    for name, param in model.network_.params.items():  # not to the bit on every instruction set
        np.testing.assert_allclose(param, then.network_.params[name], rtol=1e-4, atol=1e-6)
    for now, logs in zip(model.history_, then.history_, strict=True):
        assert now["loss"] == pytest.approx(logs["loss"], rel=1e-4)
