"""fastseq train and predict in a pipe, on a terminal, killed: what comes out, and when."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastseq import Transducer
from fastseq.cli import main
from support.processes import FASTSEQ, environment, fastseq_process, start_fastseq
from support.transducer.tiny_transducer import OPTIONS, tiny_pairs, tiny_transducer, write_pairs

Capture = pytest.CaptureFixture[str]

needs_posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs.tsv")


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    tiny_transducer().fit(*tiny_pairs()).save(path)
    return path


# predict


def test_a_line_is_answered_when_it_arrives(model_file: Path) -> None:
    first, second = Transducer.load(model_file).predict(["abc", "fed"])
    with start_fastseq("predict", str(model_file)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for question, answer in ((b"abc\nfe", first), (b"d\n", second)):
            process.stdin.write(question)
            process.stdin.flush()
            assert process.stdout.readline().decode() == f"{answer}\n"
        process.stdin.write(b"abc")  # a last line without an end
        process.stdin.close()
        assert process.stdout.read().decode() == f"{first}\n"
        assert process.wait(timeout=60) == 0


def test_lines_are_numbered_through_all_that_was_read(
    model_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    content = b"abc\n" * 5_000 + b"\xff\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert main(["predict", str(model_file)]) == 1
    assert "<stdin>, line 5001: expected UTF-8 text" in capsys.readouterr().err


def test_who_has_read_enough_of_the_answers(model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "many").write_text("abc\n" * 50_000)
    with (
        open(tmp_path / "many", "rb") as questions,
        start_fastseq("predict", str(model_file), stdin=questions) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


def test_an_answer_is_one_line_whatever_it_is_made_of(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "model"
    model = tiny_transducer(epochs=40, hidden_size=32, learning_rate=0.02, dropout=0.0)
    model.fit(["a", "b"] * 20, ["\n\r\t", "\\n"] * 20, validation=None).save(path)
    assert main(["predict", str(path), "a", "b"]) == 0
    assert capsys.readouterr().out == "\\n\\r\\t\n\\n\n"
    assert main(["predict", str(path), "--json", "a", "b"]) == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["answers"][0]["text"] for each in objects] == ["\n\r\t", "\\n"]


def test_texts_may_follow_the_options(model_file: Path, capsys: Capture) -> None:
    for arguments in (["abc", "--json"], ["--json", "abc"]):
        assert main(["predict", str(model_file), *arguments]) == 0
        assert json.loads(capsys.readouterr().out)["input"] == "abc"
    assert main(["predict", str(model_file), "--json", "--", "-x"]) == 0
    assert json.loads(capsys.readouterr().out)["input"] == "-x"


# train


@needs_posix
def test_the_bar_on_a_terminal(data: Path, tmp_path: Path) -> None:
    import pty

    master, slave = pty.openpty()
    try:
        subprocess.run(
            [*FASTSEQ, "train", str(data), "-o", str(tmp_path / "out"), *OPTIONS],
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
    assert "epoch 1/3   0% |" in bar
    # what is known of the pairs held out is shown from the second epoch on
    assert re.search(r"epoch 1/3 .*\| 00:0\d left, loss \d\.\d{4}, [\d,]+ words/s", bar)
    shown = r"\| 00:0\d left, loss \d\.\d{4}, accuracy \d+\.\d\d %, [\d,]+ words/s"
    assert re.search(rf"epoch 2/3 .*{shown}", bar)


@needs_posix
def test_ctrl_c_that_has_ended_the_reader_too(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    long = ["--epochs", "100000", "--patience", "none"]
    with start_fastseq("train", str(data), "-o", str(output), *OPTIONS, *long) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(4):
            process.stdout.readline()
        process.stdout.close()
        process.stderr.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert Transducer.load(output).n_epochs_ >= 2


def test_a_killed_training_is_resumed_to_the_same_bytes(data: Path, tmp_path: Path) -> None:
    whole, resumed, state = tmp_path / "whole", tmp_path / "resumed", tmp_path / "state"
    options = [*OPTIONS, "--epochs", "20", "--patience", "none"]
    assert main(["train", str(data), "-o", str(whole), *options]) == 0
    arguments = ["train", str(data), "-o", str(resumed), *options]
    arguments += ["--checkpoint", str(state), "--checkpoint-every", "2", "--resume"]
    with start_fastseq(*arguments) as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        time.sleep(0.05)  # to be somewhere within an epoch
        process.kill()
    assert process.returncode not in (0, 1) and not resumed.exists()
    done = fastseq_process(*arguments, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")
    assert 0 < done.stdout.count("\nepoch") <= 20 - 3
    assert resumed.read_bytes() == whole.read_bytes()


def test_the_curve_is_drawn(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    curve = tmp_path / "curve.png"
    arguments = ["train", str(data), "-o", str(tmp_path / "out"), "--curve", str(curve)]
    assert main([*arguments, *OPTIONS]) == 0
    assert curve.read_bytes().startswith(b"\x89PNG")
