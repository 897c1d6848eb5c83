"""Model files: what is in them, an old one that is still read, hostile ones that are refused."""

import errno
import json
import math
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from fastseq import Transducer, __version__
from fastseq.cli import main
from support.helpers import operand_rounding
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer, weights

PAIRS = tiny_pairs()
VERSION_1 = Path(__file__).parents[1] / "data" / "transducer-v1.safetensors"


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    tiny_transducer(epochs=1).fit(*PAIRS).save(path)
    return path


def test_a_file_holds_the_weights_and_what_gives_them_a_meaning(model_file: Path) -> None:
    model = Transducer.load(model_file)
    with safe_open(model_file, framework="numpy") as file:
        assert set(file.keys()) == set(model.network_.params)
        for name, param in model.network_.params.items():
            stored = file.get_tensor(name)
            assert stored.dtype == np.float32
            np.testing.assert_array_equal(stored, param)
        document = json.loads(file.metadata()["fastseq"])
    assert (document["format"], document["format_version"]) == ("fastseq.transducer", 1)
    assert document["package_version"] == __version__
    assert document["configuration"] == model.get_params()
    assert [logs["epoch"] for logs in document["history"]] == [1]


def test_the_same_training_gives_the_same_file(model_file: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    tiny_transducer(epochs=1).fit(*PAIRS).save(again)
    assert again.read_bytes() == model_file.read_bytes()
    Transducer.load(again).save(again)
    assert again.read_bytes() == model_file.read_bytes()


def test_a_loaded_model_can_be_trained_anew(model_file: Path) -> None:
    model = Transducer.load(model_file)
    assert model.n_epochs_ == 1
    before = weights(model)
    assert weights(model.fit(*PAIRS)) == before


def test_weights_of_every_bit_pattern_survive(model_file: Path, tmp_path: Path) -> None:
    model = Transducer.load(model_file)
    bias = model.network_.params["output.b"]
    bias[:4] = [math.nan, -math.inf, -0.0, 1e-45]
    model.save(tmp_path / "odd")
    assert weights(Transducer.load(tmp_path / "odd")) == weights(model)


def test_a_file_of_format_1_is_read_for_ever() -> None:
    assert VERSION_1.stat().st_size < 100_000
    model = Transducer.load(VERSION_1)
    sources = ["kiosk", "toast", "a sea", "zoo", ""]  # there was no z
    answers, scores = model.predict(sources, beam_size=3, return_scores=True, unknown="ignore")
    assert (
        model.predict(sources, unknown="ignore")
        == answers
        == ["KSOIK", "TSAOT", "AES A", "OOU", ""]
    )
    recorded = [-0.07189743, -0.03929913, -0.05995065, -0.12859330, -0.01587994]
    np.testing.assert_allclose(scores, recorded, atol=1e-4 + operand_rounding())
    assert model.attention("kiosk")[1] == [*"kiosk", "</s>"]
    assert model.n_epochs_ == len(model.history_) == 9
    assert model.reset_after is False  # the file is older


# what is refused: each through load, and the command line says it in one line


def refused(path: Path, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=message) as failure:
        Transducer.load(path)
    text = str(failure.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text and len(text) < 700
    assert main(["predict", str(path), "a"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line == f"fastseq: error: {text}"


class Hostile:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("harm",)


SOMETHING_ELSE = "expected a model file, got something else or only its beginning"
NO_MODEL = "expected a file of the format fastseq.transducer, got another safetensors file"
FOREIGN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", SOMETHING_ELSE),
    "three bytes": (b"\x01\x00\x00", SOMETHING_ELSE),
    "text": (b"one\ttwo\n" * 99, SOMETHING_ELSE),
    "pickle": (pickle.dumps([Hostile()], protocol=4) + bytes(64), SOMETHING_ELSE),
    "a huge header": (struct.pack("<Q", 2**63) + b"{}", SOMETHING_ELSE),
    "a header past the end": (struct.pack("<Q", 100) + b"{}", SOMETHING_ELSE),
    "no JSON": (struct.pack("<Q", 4) + b"{a:}", "whose header is no JSON"),
    "no UTF-8": (struct.pack("<Q", 4) + b"\xff\xfe{}", "whose header is no JSON"),
    "a list": (struct.pack("<Q", 2) + b"[]", "whose header is no object"),
    "deep": (struct.pack("<Q", 200_000) + b"[" * 200_000, "whose header is no JSON"),
    "another model": (save({"W": np.zeros(3, "f")}), NO_MODEL),
    "other metadata": (save({"W": np.zeros(3, "f")}, {"fastseq": "[1]"}), NO_MODEL),
    "bad metadata": (save({"W": np.zeros(3, "f")}, {"fastseq": "{"}), NO_MODEL),
    "deep metadata": (save({"W": np.zeros(3, "f")}, {"fastseq": "[" * 99_999}), NO_MODEL),
}


@pytest.mark.parametrize(("content", "message"), FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_is_refused(
    content: bytes,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    refused(path, message, capsys)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("kept", [7, 8, 100, 0.5, -4, -1])
def test_a_truncated_file_is_refused(
    kept: float, model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = model_file.read_bytes()
    end = int(kept * len(content)) if isinstance(kept, float) else kept
    path = tmp_path / "part.safetensors"
    path.write_bytes(content[:end])
    refused(path, "only its beginning|damaged or not complete", capsys)


def test_a_file_with_more_behind_it_is_refused(
    model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "more.safetensors"
    path.write_bytes(model_file.read_bytes() + b"\x00")
    refused(path, r"expected \d+ bytes, got \d+: damaged or not complete", capsys)


def edited(path: Path, edit: Callable[[dict[str, Any], dict[str, Any]], None]) -> bytes:
    """A file with another header and document; the arrays' bytes stay."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    document = json.loads(header["__metadata__"]["fastseq"])
    edit(header, document)
    header["__metadata__"]["fastseq"] = json.dumps(document)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def set_config(**values: Any) -> Callable[[Any, Any], None]:
    return lambda header, document: document["configuration"].update(values)


def set_entry(name: str, value: Any) -> Callable[[Any, Any], None]:
    return lambda header, document: document.update({name: value})


def set_array(name: str, **values: Any) -> Callable[[Any, Any], None]:
    return lambda header, document: header[name].update(values)


EDITS: dict[str, tuple[Callable[[Any, Any], None], str]] = {
    "larger": (
        set_config(hidden_size=14),
        r"encoder\.0\.0\.Wx: expected F32, F16 or BF16 of shape \(8, 28\), .*\[8, 24\]",
    ),
    "more layers": (set_config(layers=2), r"encoder\.1\.0\.Wx: expected shape .*no such array"),
    "fewer parts": (
        set_config(attention="none"),
        r"attention\.general: expected no array of this name",
    ),
    "far too large": (set_config(hidden_size=10**12), "hidden_size: expected 1 to 32768"),
    "far too many": (set_config(layers=10**12), "layers: expected 1 to 64"),
    "larger than is trained": (
        set_config(hidden_size=2**15, layers=64),
        "hidden_size, embedding_size, layers: expected a network of at most 2,147,483,648 bytes",
    ),
    "a kind": (set_config(hidden_size="12"), "hidden_size: expected an integer, got str"),
    "NaN": (set_config(dropout=math.nan), "dropout: expected 0 to below 1.0, got nan"),
    "another cell": (set_config(cell="gru"), r"encoder\.0\.0\.Wx: .* \(8, 18\), got .* \[8, 24\]"),
    "no such variant": (set_config(reset_after=True), "reset_after: expected False with the cell"),
    "an unknown name": (set_config(heads=4), "heads: no such hyperparameter"),
    "no configuration": (set_entry("configuration", [1]), "configuration: expected an object"),
    "another format": (set_entry("format", "fastseq.checkpoint"), NO_MODEL),
    "a later version": (
        set_entry("format_version", 2),
        f"format_version: expected 1, got 2, written by fastseq {__version__}",
    ),
    "no vocabulary": (
        lambda header, document: document.pop("source_vocabulary"),
        "source_vocabulary: expected such an entry in the metadata, got none",
    ),
    "another vocabulary": (
        lambda header, document: document["target_vocabulary"]["symbols"].append("x"),
        r"target_embedding: expected F32, F16 or BF16 of shape \(10, 8\), .*\[9, 8\]",
    ),
    "a bad vocabulary": (
        set_entry("source_vocabulary", {"form": "char", "symbols": ["ab"]}),
        "source_vocabulary: symbols: 'ab' is no symbol",
    ),
    "bad lengths": (set_entry("lengths", [1, -1]), "lengths: expected two whole numbers"),
    "huge lengths": (set_entry("lengths", [1, 10**18]), "lengths: expected two whole numbers"),
    "bad history": (set_entry("history", [3]), r"history\[0\]: expected an object, got int"),
    "history that is no list": (set_entry("history", {}), "history: expected a list, got dict"),
    "accuracy that is text": (
        set_entry("history", [{"epoch": 1, "loss": 1.0, "validation_accuracy": "0.1"}]),
        r"history\[0\].validation_accuracy: expected a number from 0 to 1e\+300, got 0.1",
    ),
    "loss that no float holds": (
        set_entry("history", [{"epoch": 1, "loss": 10**400}]),
        r"history\[0\].loss: expected a number from 0 to 1e\+300, got 1000",
    ),
    "epoch without a loss": (
        set_entry("history", [{"epoch": 1}]),
        r"history\[0\]: expected an entry loss, got none",
    ),
    "a type": (
        set_array("output.b", dtype="I32"),
        r"output\.b: expected F32, F16 or BF16 of shape \(9,\), got I32",
    ),
    "a shape": (set_array("output.b", shape=[3, 3]), r"output\.b: .* got F32 of shape \[3, 3\]"),
    "overlaps": (set_array("output.b", data_offsets=[0, 36]), "damaged"),
    "offsets past the end": (set_array("output.b", data_offsets=[10**9, 10**9 + 36]), "damaged"),
    "no entry": (lambda header, document: header.update({"output.b": 3}), r"output\.b: expected"),
    "one more": (
        lambda header, document: header.update(x={"dtype": "F32", "shape": [0]}),
        "x: expected no array of this name",
    ),
}


@pytest.mark.parametrize(("edit", "message"), EDITS.values(), ids=EDITS)
def test_an_inconsistent_file_is_refused(
    edit: Callable[[Any, Any], None],
    message: str,
    model_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "edited.safetensors"
    path.write_bytes(edited(model_file, edit))
    refused(path, message, capsys)


def test_an_edit_of_nothing_is_read(model_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "edited.safetensors"
    path.write_bytes(edited(model_file, lambda header, document: None))
    assert weights(Transducer.load(path)) == weights(Transducer.load(model_file))


def test_a_file_holds_the_bias_of_the_reset_after_gru(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_transducer(cell="gru", reset_after=True, epochs=1).fit(*PAIRS)
    biases = {"encoder.0.0.bh": 6, "encoder.0.1.bh": 6, "decoder.0.bh": 12}
    path, other = tmp_path / "model.safetensors", tmp_path / "other.safetensors"
    model.save(path)
    with safe_open(path, framework="numpy") as file:
        stored = {name: len(file.get_tensor(name)) for name in sorted(file.keys())}
    assert stored.items() >= biases.items()
    again = Transducer.load(path)
    assert again.get_params() == model.params_
    assert weights(again) == weights(model)
    assert all(again.network_.params[name].any() for name in biases)
    other.write_bytes(edited(path, set_config(reset_after=False)))
    refused(other, r"\.bh: expected no array of this name", capsys)
    tiny_transducer(cell="gru", epochs=1).fit(*PAIRS).save(path)
    other.write_bytes(edited(path, set_config(reset_after=True)))
    refused(other, r"encoder\.0\.0\.bh: expected shape \(6,\), got no such array", capsys)


def test_a_hyperparameter_newer_than_the_file_has_its_default(
    model_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "older.safetensors"
    path.write_bytes(edited(model_file, lambda _, document: document["configuration"].pop("seed")))
    assert Transducer.load(path).seed == 0


def test_a_checkpoint_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_transducer(epochs=1).fit(*PAIRS, checkpoint=tmp_path)
    refused(tmp_path / "checkpoint.safetensors", NO_MODEL, capsys)


def test_what_cannot_be_opened_is_said_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        Transducer.load(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        Transducer.load(tmp_path)
    with pytest.raises(ValueError, match="no regular file"):
        Transducer.load("/dev/null")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EDQUOT])
def test_a_failed_write_leaves_the_file_before_it(
    number: int, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"the one before")

    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    model = Transducer.load(model_file)
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=os.strerror(number)) as failure:
        model.save(path)
    assert failure.value.filename == str(path)
    assert path.read_bytes() == b"the one before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]
