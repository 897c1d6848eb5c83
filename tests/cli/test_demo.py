"""fastseq demo: what it writes and shows, how it ends, and what it refuses."""

import os
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import fastseq
import fastseq.train
from fastseq import _kernels
from fastseq.cli import main
from fastseq.data import dates, sequence
from support.processes import environment, one_line

Capture = pytest.CaptureFixture[str]

# 90 pairs to train on and 10 held out, in 11 steps, by models that learn nothing
TINY = ["-n", "100", "--batch-size", "8", "--hidden-size", "5", "--embedding-size", "3"]


def assert_is_png(file_name: Path) -> None:
    content = file_name.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    assert 500 <= width <= 2500
    assert 300 <= height <= 1500


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let matplotlib seem missing."""
    for name in list(sys.modules):
        if name.partition(".")[0] == "matplotlib":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)


def test_demo_dates_writes_everything(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "new" / "dates"
    assert main(["demo", "dates", "--epochs", "2", *TINY, "-o", str(folder)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert [line.split()[:2] for line in lines if line.startswith("epoch")] == [
        ["epoch", "1"],
        ["epoch", "2"],
    ]
    assert sum(" → " in line for line in lines) == 10
    assert lines[-3:] == [
        f"model      {folder / 'dates.safetensors'}",
        f"curve      {folder / 'dates-accuracy.png'}",
        f"attention  {folder / 'dates-attention.png'}",
    ]
    assert files(folder) == [
        "dates-accuracy.png",
        "dates-attention.png",
        "dates.safetensors",
        "dates.txt",
    ]
    assert_is_png(folder / "dates-accuracy.png")
    assert_is_png(folder / "dates-attention.png")

    sequence.load_data(folder / "dates.txt")
    vocab_size = len(sequence.get_vocab()[0])
    model = fastseq.AttentionSeq2seq(vocab_size, 3, 5)
    model.load_params(folder / "dates.safetensors")
    assert all(np.isfinite(param).all() for param in model.params)


@pytest.mark.usefixtures("no_pictures")
def test_a_textbook_script_on_the_file_of_a_demo_gives_the_same_weights(tmp_path: Path) -> None:
    assert main(["demo", "dates", "--epochs", "2", *TINY, "-o", str(tmp_path)]) == 0

    (x_train, t_train), _ = sequence.load_data(tmp_path / "dates.txt")
    char_to_id, _ = sequence.get_vocab()
    model = fastseq.AttentionSeq2seq(len(char_to_id), 3, 5)
    trainer = fastseq.Trainer(model, fastseq.Adam())
    trainer.fit(x_train[:, ::-1], t_train, max_epoch=2, batch_size=8, max_grad=5.0)

    saved = load_file(tmp_path / "dates.safetensors")
    assert len(saved) == len(model.params)
    for index, param in enumerate(model.params):
        np.testing.assert_array_equal(saved[f"params.{index}"], param)


def test_demo_dates_compares_three_models(tmp_path: Path, capsys: Capture) -> None:
    assert main(["demo", "dates", "--compare", "--epochs", "1", *TINY, "-o", str(tmp_path)]) == 0
    assert files(tmp_path) == [
        "dates-accuracy.png",
        "dates-attention.png",
        "dates-peeky.safetensors",
        "dates-plain.safetensors",
        "dates.safetensors",
        "dates.txt",
    ]
    out = capsys.readouterr().out
    table = out.partition("\nmodel  ")[2].splitlines()[1:4]
    assert [line.split()[0] for line in table] == ["attention", "Peeky", "plain"]
    assert "answered by attention" in out


def test_demo_addition_draws_three_curves(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastseq import plot

    drawn: list[Any] = []
    draw = plot.accuracy_curve
    monkeypatch.setattr(
        plot, "accuracy_curve", lambda series, **k: drawn.append(series) or draw(series, **k)
    )
    assert main(["demo", "addition", "--epochs", "2", *TINY, "-o", str(tmp_path)]) == 0
    assert [list(series) for series in drawn] == [["plain", "reversed", "reversed + Peeky"]]
    assert all(len(accuracies) == 2 for accuracies in drawn[0].values())
    assert files(tmp_path) == [
        "addition-accuracy.png",
        "addition-peeky.safetensors",
        "addition-plain.safetensors",
        "addition-reversed.safetensors",
        "addition.txt",
    ]
    assert_is_png(tmp_path / "addition-accuracy.png")
    assert "answered by reversed + Peeky" in capsys.readouterr().out


@pytest.mark.usefixtures("no_pictures")
def test_only_the_plain_model_reads_forwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def record(model: Any, questions: Any, corrects: Any) -> float:
        asked.append(np.array(questions))
        return 0.0

    monkeypatch.setattr(fastseq.train, "exact_match", record)
    assert main(["demo", "addition", "--epochs", "1", *TINY, "-o", str(tmp_path)]) == 0
    plain, reverse, peeky = asked
    np.testing.assert_array_equal(plain[:, ::-1], reverse)
    np.testing.assert_array_equal(reverse, peeky)
    assert not np.array_equal(plain, reverse)


@pytest.mark.usefixtures("no_pictures")
def test_the_seed_decides_everything_but_not_the_threads(tmp_path: Path) -> None:
    contents, weights = [], []
    for number, options in enumerate(
        [["--seed", "1"], ["--seed", "1", "--threads", "1"], ["--seed", "2"]]
    ):
        folder = tmp_path / str(number)
        before = _kernels.get_num_threads()
        assert main(["demo", "addition", "--epochs", "1", *TINY, *options, "-o", str(folder)]) == 0
        _kernels.set_num_threads(before)
        contents.append({name: (folder / name).read_bytes() for name in files(folder)})
        weights.append(load_file(folder / "addition-plain.safetensors")["params.2"])
    first, same, other = contents
    assert len(first) == 4
    assert first == same
    assert first["addition.txt"] != other["addition.txt"]
    # eleven small steps on other data alone do not bring weights this far apart
    assert np.abs(weights[0] - weights[2]).max() > 0.5


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(("accuracy", "epochs"), [(0.995, 1), (0.9949, 3)])
def test_a_demo_stops_when_the_model_is_good(
    accuracy: float, epochs: int, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastseq.train, "exact_match", lambda *_: accuracy)
    assert main(["demo", "dates", "--epochs", "3", *TINY, "-o", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("\nepoch") == epochs


def test_ctrl_c_keeps_the_model(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Any] = []

    def interrupt(model: Any, *_: object) -> float:
        trained.append(model)
        if len(trained) == 2:
            signal.raise_signal(signal.SIGINT)
        return 0.25

    monkeypatch.setattr(fastseq.train, "exact_match", interrupt)
    assert main(["demo", "dates", "--epochs", "5", *TINY, "-o", str(tmp_path)]) == 130
    error = one_line(capsys.readouterr().err)
    file_name = tmp_path / "dates.safetensors"
    assert error.startswith("fastseq: interrupted: attention, epoch 2;")
    assert error.endswith(str(file_name))
    assert files(tmp_path) == ["dates-accuracy.png", "dates.safetensors", "dates.txt"]
    saved = fastseq.AttentionSeq2seq(len(trained[0].encoder.params[0]), 3, 5)
    saved.load_params(file_name)
    for param, expected in zip(saved.params, trained[1].params, strict=True):
        np.testing.assert_array_equal(param, expected)


def test_ctrl_c_before_the_first_model(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dates, "generate", lambda *_: signal.raise_signal(signal.SIGINT))
    assert main(["demo", "dates", *TINY, "-o", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "fastseq: interrupted\n"


def test_a_diverging_demo_says_where(tmp_path: Path, capsys: Capture) -> None:
    arguments = ["--learning-rate", "1e38", "--epochs", "2", *TINY, "-o", str(tmp_path)]
    assert main(["demo", "dates", *arguments]) == 1
    error = one_line(capsys.readouterr().err)
    assert error.startswith("fastseq: error: the loss became ")
    assert "epoch 1, step " in error


@pytest.mark.parametrize("task", ["dates", "addition"])
def test_an_unwritable_folder_is_found_before_the_training(
    task: str, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    folder = tmp_path / "file" / "results"
    assert main(["demo", task, *TINY, "-o", str(folder)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert one_line(captured.err).startswith(f"fastseq: error: {folder}: ")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind root")
def test_a_read_only_folder_is_found_before_the_training(tmp_path: Path, capsys: Capture) -> None:
    tmp_path.chmod(0o500)
    assert main(["demo", "dates", *TINY, "-o", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Permission denied" in one_line(captured.err)


@pytest.mark.usefixtures("no_pictures")
def test_without_matplotlib_a_demo_still_trains(tmp_path: Path, capsys: Capture) -> None:
    assert main(["demo", "dates", "--epochs", "1", *TINY, "-o", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert 'pip install "fastseq-kernels[plot]"' in one_line(captured.err)
    assert files(tmp_path) == ["dates.safetensors", "dates.txt"]
    assert captured.out.splitlines()[-1] == f"model      {tmp_path / 'dates.safetensors'}"


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_progress_bars_are_for_terminals(tmp_path: Path) -> None:
    import pty

    master, slave = pty.openpty()
    try:
        command = [sys.executable, "-m", "fastseq", "demo", "dates", "--epochs", "1", *TINY]
        done = subprocess.run(
            [*command, "-o", str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=slave,
            check=True,
            env=environment(TQDM_MININTERVAL="0"),
        )
        os.set_blocking(master, False)
        bar = os.read(master, 100_000).decode()
    finally:
        os.close(master)
        os.close(slave)
    assert "epoch  1:   0%|" in bar
    assert re.search(r"examples/s, loss \d\.\d{4}\]", bar)
    assert "accuracy" not in bar
    assert "\r" not in done.stdout.decode()
