"""fastseq train, predict, attention that fail: said early, in one line, and nothing is lost."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from fastseq import Transducer
from fastseq.cli import main
from fastseq.transducer.training.loop import Training
from support.processes import SANITIZED, environment, one_line
from support.transducer.tiny_transducer import OPTIONS, tiny_pairs, tiny_transducer, write_pairs

Capture = pytest.CaptureFixture[str]

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
needs_limits = pytest.mark.skipif(os.name == "nt", reason="needs resource.setrlimit")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs.tsv")


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    tiny_transducer(epochs=1).fit(*tiny_pairs()).save(path)
    return path


def limited(limit: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run fastseq where the system grants no more of something."""
    script = f"import resource, sys; resource.setrlimit(resource.{limit});"
    script += "import fastseq.cli; sys.exit(fastseq.cli.main())"
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=100)


# said before the training


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", ""], "-o: expected a name, got ''"),
        (["-o", "m", "--log", ""], "--log: expected a name, got ''"),
        (["-o", "m", "--curve", "c.xyz"], "expected a name in .png, .svg or .pdf, got 'c.xyz'"),
        (["-o", "pairs.tsv"], "-o: pairs.tsv is DATA.tsv already"),
        (["-o", "./a/../pairs.tsv"], "-o: ./a/../pairs.tsv is DATA.tsv already"),
        (["-o", "link"], "-o: link is DATA.tsv already"),
        (["-o", "m", "--log", "pairs.tsv"], "--log: pairs.tsv is DATA.tsv already"),
        (["-o", "m", "--log", "held", "--valid", "held"], "--log: held is --valid already"),
        (["-o", "m", "--log", "m"], "--log: m is -o already"),
        (["-o", "m.png", "--curve", "m.png"], "--curve: m.png is -o already"),
        (["-o", "m", "--checkpoint", "m"], "-o: m is --checkpoint already"),
        (["-o", "s/checkpoint.safetensors", "--checkpoint", "s"], " is --checkpoint already"),
        (["-o", "m", "--config", "m"], "-o: m is --config already"),
    ],
)
def test_a_file_is_not_written_over_another(
    arguments: list[str],
    message: str,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    Path("link").symlink_to(data)
    if "--config" in arguments:
        Path("m").write_text("")
    before = data.read_bytes()
    assert main(["train", "pairs.tsv", *arguments, *OPTIONS]) == 2
    captured = capsys.readouterr()
    assert message in captured.err.splitlines()[-1]
    assert captured.out == ""
    assert data.read_bytes() == before


def test_a_device_may_be_named_twice(data: Path) -> None:
    nowhere = ["-o", os.devnull, "--log", os.devnull]
    assert main(["train", str(data), *nowhere, *OPTIONS, "--epochs", "1"]) == 0


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that refuses files")
def test_a_checkpoint_that_cannot_be_written(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.delattr(Training, "run")
    arguments = ["train", str(data), "-o", str(tmp_path / "out"), "--checkpoint", "/proc/self"]
    assert main([*arguments, *OPTIONS]) == 1
    error = one_line(capsys.readouterr().err)
    assert error.startswith("fastseq: error: /proc/self/checkpoint.safetensors: ")


def test_one_pair_is_too_few_to_hold_any_out(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "one.tsv"
    path.write_text("a\tb\n")
    arguments = ["train", str(path), "-o", str(tmp_path / "out"), *OPTIONS]
    assert main(arguments) == 1
    assert "--valid none" in one_line(capsys.readouterr().err)
    assert main([*arguments, "--valid", "none"]) == 0


@pytest.mark.parametrize(
    ("line", "side"), [("a\t ", "target"), ("\u3000 \tb", "source"), ("a\t\r", "target")]
)
def test_white_space_is_no_token(line: str, side: str, tmp_path: Path, capsys: Capture) -> None:
    path, output = tmp_path / "space.tsv", str(tmp_path / "out")
    path.write_text(f"a\tb\n{line}\n", encoding="utf-8")
    tokens = ["--source-tokens", "space", "--target-tokens", "space"]
    assert main(["train", str(path), "-o", output, *tokens]) == 1
    expected = f"{path}, line 2: expected a source, a tab and a target, got an empty {side}"
    assert expected in one_line(capsys.readouterr().err)


def test_a_beam_is_not_endless(model_file: Path, capsys: Capture) -> None:
    assert main(["predict", str(model_file), "--beam", str(10**20), "a"]) == 2
    assert "argument --beam: expected a whole number" in capsys.readouterr().err


# no more room


@needs_full
def test_a_log_that_finds_no_room_leaves_the_best(
    data: Path, tmp_path: Path, capsys: Capture
) -> None:
    output = tmp_path / "out"
    arguments = ["train", str(data), "-o", str(output), "--log", "/dev/full", *OPTIONS]
    assert main(arguments) == 1
    saved, error = capsys.readouterr().err.splitlines()
    assert saved == f"fastseq: the best model so far, of epoch 1, is in {output}"
    assert error == "fastseq: error: /dev/full: No space left on device"
    assert Transducer.load(output).n_epochs_ == 1


@needs_limits
def test_a_checkpoint_that_finds_no_room_leaves_the_best(
    data: Path, model_file: Path, tmp_path: Path
) -> None:
    output, state = tmp_path / "out", tmp_path / "state"
    room = 2 * model_file.stat().st_size  # a checkpoint is four times as large
    done = limited(
        f"RLIMIT_FSIZE, ({room}, {room})",
        *["train", str(data), "-o", str(output), "--checkpoint", str(state), *OPTIONS],
    )
    assert done.returncode == 1
    saved, error = done.stderr.splitlines()
    assert saved == f"fastseq: the best model so far, of epoch 1, is in {output}"
    assert error == f"fastseq: error: {state / 'checkpoint.safetensors'}: File too large"
    assert Transducer.load(output).n_epochs_ == 1
    assert list(state.iterdir()) == []


@needs_limits
def test_a_model_that_finds_no_room_leaves_the_one_before(data: Path, model_file: Path) -> None:
    before = model_file.read_bytes()
    arguments = ["train", str(data), "-o", str(model_file), *OPTIONS]
    done = limited("RLIMIT_FSIZE, (1000, 1000)", *arguments)
    assert done.returncode == 1
    assert one_line(done.stderr) == f"fastseq: error: {model_file}: File too large"
    assert model_file.read_bytes() == before
    assert not list(model_file.parent.glob("*.tmp"))


@needs_full
def test_a_picture_that_finds_no_room(model_file: Path, tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "map.png"
    picture.symlink_to("/dev/full")
    model = Transducer.load(model_file)
    model.network_.params["output.b"][:3] = -9  # that it answers anything
    model.save(model_file)
    assert main(["attention", str(model_file), "abc", "-o", str(picture)]) == 1
    error = one_line(capsys.readouterr().err)
    assert error == f"fastseq: error: {picture}: No space left on device"


@needs_limits
@pytest.mark.skipif(SANITIZED, reason="the sanitizer alone has more memory")
def test_a_network_that_finds_no_memory(data: Path, tmp_path: Path) -> None:
    arguments = ["train", str(data), "-o", str(tmp_path / "out"), "--hidden-size", "4096"]
    done = limited(f"RLIMIT_AS, ({2**30}, {2**30})", *arguments)
    assert done.returncode == 1
    assert one_line(done.stderr).startswith("fastseq: error: out of memory")


# NaN


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("options", "what"),
    [
        ([], "the loss on the pairs held out became nan in epoch 1, step 1 of 1"),
        (["--valid", "none"], "the loss after the update became nan in epoch 1, step 1 of 1"),
        (["--checkpoint-every", "1"], "the loss after the update became nan in epoch 1, step 1"),
    ],
)
def test_an_update_that_is_too_large_is_not_kept(
    options: list[str], what: str, data: Path, tmp_path: Path, capsys: Capture
) -> None:
    state = tmp_path / "state"
    files = ["-o", str(tmp_path / "out"), "--checkpoint", str(state)]
    steps = ["--learning-rate", "1e38", "--batch-size", "1000"]
    assert main(["train", str(data), *files, *OPTIONS, *steps, *options]) == 1
    error = one_line(capsys.readouterr().err)
    assert error.startswith(f"fastseq: error: {what}")
    assert error.endswith("training stopped; there is no checkpoint")
    assert list(state.iterdir()) == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("command", ["predict", "evaluate", "attention"])
def test_weights_that_are_no_numbers(
    value: float, command: str, model_file: Path, data: Path, tmp_path: Path, capsys: Capture
) -> None:
    model = Transducer.load(model_file)
    model.network_.params["output.b"][4] = value
    model.save(model_file)
    rest = {"predict": ["a"], "evaluate": [str(data)], "attention": ["a", "-o", "map.png"]}
    assert main([command, str(model_file), *rest[command]]) == 1
    expected = "output.b: expected finite weights, got NaN or inf"
    assert one_line(capsys.readouterr().err) == f"fastseq: error: {model_file}: {expected}"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("search", [[], ["--beam", "2"]])
def test_weights_that_are_too_large(search: list[str], model_file: Path, capsys: Capture) -> None:
    model = Transducer.load(model_file)
    for param in model.network_.params.values():
        param[...] = np.float32(3e38) * np.where(np.arange(param.size) % 2, 1, -1).reshape(
            param.shape
        )
    model.save(model_file)
    assert main(["predict", str(model_file), "abc", *search]) == 1
    assert "log probabilities are NaN" in one_line(capsys.readouterr().err)


# hostile files


def test_an_array_with_a_name_for_the_terminal(model_file: Path, capsys: Capture) -> None:
    with safe_open(model_file, "np") as file:
        metadata = file.metadata()
    arrays = load_file(model_file) | {"\x1b[31mred": np.zeros(1, np.float32)}
    save_file(arrays, model_file, metadata)
    assert main(["predict", str(model_file), "a"]) == 1
    error = one_line(capsys.readouterr().err)
    assert rf"{model_file}: \x1b[31mred: expected no array of this name" in error


@pytest.mark.parametrize("command", [["predict", "m"], ["attention", "-o", "map.png", "m"]])
def test_an_argument_that_is_no_text_is_refused(command: list[str], capsys: Capture) -> None:
    text = os.fsdecode(b"m\xf6glich")
    assert main([*command, text]) == 2
    assert "expected UTF-8 text, got the byte 0xf6" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("depth", [100, 2000, 100_000])
def test_a_config_that_nests_is_refused(depth: int, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f"hidden_size = {'[' * depth}{']' * depth}\n")
    assert main(["train", "--config", str(path), "--print-config"]) == 1
    assert one_line(capsys.readouterr().err).startswith(f"fastseq: error: {path}: ")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (".".join("a" * 20_000) + " = 1", "line 2: expected at most 1000 bytes, got 40003"),
        ("# more\n" * 20_000, "expected at most 65536 bytes, got a larger file"),
    ],
    ids=["parts", "lines"],
)
def test_a_config_that_takes_long_to_parse_is_refused(
    line: str, reason: str, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f"epochs = 3\n{line}\n")
    assert main(["train", "--config", str(path), "--print-config"]) == 1
    assert one_line(capsys.readouterr().err) == f"fastseq: error: {path}: {reason}"
