"""fastseq train, predict, evaluate, attention: what they print, write and refuse."""

import io
import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import fastseq
from fastseq import Transducer
from fastseq.cli import main
from fastseq.transducer.hyperparameters import HYPERPARAMETERS
from fastseq.transducer.metrics.evaluation import evaluate
from fastseq.transducer.network.network import Network
from support.processes import one_line
from support.transducer.tiny_transducer import (
    OPTIONS,
    tiny_pairs,
    tiny_transducer,
    weights,
    write_pairs,
)

Capture = pytest.CaptureFixture[str]
Run = Any

PAIRS = tiny_pairs()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs.tsv")


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    tiny_transducer(attention="dot").fit(*PAIRS).save(path)
    return path


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))


# train


def test_train_writes_the_model_that_fit_makes(data: Path, tmp_path: Path, capsys: Capture) -> None:
    output, log = tmp_path / "out.safetensors", tmp_path / "log.jsonl"
    assert main(["train", str(data), "-o", str(output), "--log", str(log), *OPTIONS]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert lines[0] == f"60 pairs in {data}"
    assert lines[1].startswith("chosen for these pairs: layers 1, attention hard, unknown_rate 1.0")
    del lines[1]
    assert [line[:9] for line in lines[1:4]] == ["epoch   1", "epoch   2", "epoch   3"]
    assert lines[4].startswith("model of epoch ") and lines[4].endswith(f" in {output}")
    expected = tiny_transducer().fit(*PAIRS)
    assert weights(Transducer.load(output)) == weights(expected)
    assert len(log.read_text().splitlines()) == 3


@pytest.mark.parametrize("valid", ["0.3", "none", "file"])
def test_what_is_held_out(valid: str, data: Path, tmp_path: Path, capsys: Capture) -> None:
    output = tmp_path / "out"
    given = str(data) if valid == "file" else valid
    assert main(["train", str(data), "-o", str(output), "--valid", given, *OPTIONS]) == 0
    validation: Any = {"0.3": 0.3, "none": None, "file": PAIRS}[valid]
    expected = tiny_transducer().fit(*PAIRS, validation)
    assert weights(Transducer.load(output)) == weights(expected)
    assert ("right" in capsys.readouterr().out) == (valid != "none")


def test_every_hyperparameter_is_an_option_with_help_and_default(capsys: Capture) -> None:
    assert main(["train", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for each in HYPERPARAMETERS:
        assert f"--{each.name.replace('_', '-')}" in text
        default = "none" if each.initial is None else each.initial
        assert f"{' '.join(each.help.split())} (default: {default})" in text


def test_the_printed_configuration_is_read_back(tmp_path: Path, capsys: Capture) -> None:
    assert main(["train", "--print-config", "--peeky", "--patience", "none", *OPTIONS]) == 0
    text = capsys.readouterr().out
    params = tiny_transducer(peeky=True, patience=None).get_params()
    assert tomllib.loads(text) == params | {"patience": "none", "max_length": "none"}
    config = tmp_path / "config.toml"
    config.write_text(text, encoding="utf-8")
    assert main(["train", "--config", str(config), "--print-config"]) == 0
    assert capsys.readouterr().out == text
    # what is on the command line overrules the file
    again = ["--config", str(config), "--no-peeky", "--layers", "2", "--print-config"]
    assert main(["train", *again]) == 0
    overruled = tomllib.loads(capsys.readouterr().out)
    assert overruled == params | {
        "patience": "none",
        "max_length": "none",
        "peeky": False,
        "layers": 2,
    }


def test_the_variant_of_the_gru_is_an_option(capsys: Capture) -> None:
    command = ["train", "--print-config", "--reset-after"]
    assert main([*command, "--cell", "gru"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["reset_after"] is True
    assert main(command) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("error: reset_after: expected False with the cell lstm, got True")


def test_training_is_resumed(data: Path, tmp_path: Path) -> None:
    arguments = ["train", str(data), "--checkpoint", str(tmp_path / "state"), *OPTIONS]
    first, whole = tmp_path / "first", tmp_path / "whole"
    assert main([*arguments, "-o", str(first), "--epochs", "1"]) == 0
    assert main([*arguments, "-o", str(first), "--resume", "--checkpoint-every", "2"]) == 0
    assert main(["train", str(data), "-o", str(whole), *OPTIONS]) == 0
    assert first.read_bytes() == whole.read_bytes()


def test_ctrl_c_saves_the_best_so_far(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.safetensors"
    command = [sys.executable, "-m", "fastseq", "train", str(data), "-o", str(output), *OPTIONS]
    package = str(Path(fastseq.__file__).parents[1])
    process = subprocess.Popen(
        [*command, "--epochs", "100000", "--patience", "none"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": package, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"is in {output}" in error.splitlines()[-1]
    assert "Traceback" not in error
    assert Transducer.load(output).n_epochs_ >= 3


def test_nan_ends_in_one_line_and_the_best_so_far_is_saved(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    steps = 0
    backward = Network.backward

    def spoilt(self: Network) -> None:
        nonlocal steps
        backward(self)
        steps += 1
        if steps == 10:
            self.grads["output.b"][0] = float("nan")

    monkeypatch.setattr(Network, "backward", spoilt)
    output = tmp_path / "out"
    assert main(["train", str(data), "-o", str(output), *OPTIONS]) == 1
    saved, failed = capsys.readouterr().err.splitlines()
    assert saved == f"fastseq: the best model so far, of epoch 1, is in {output}"
    assert "became nan in epoch 2, step 3 of 7: training stopped" in failed
    assert Transducer.load(output).n_epochs_ == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["train"],
        ["train", "x.tsv"],
        ["train", "x.tsv", "-o", "m", "--resume"],
        ["train", "x.tsv", "-o", "m", "--checkpoint-every", "3"],
        ["train", "x.tsv", "-o", "m", "--valid", "1.5"],
        ["train", "x.tsv", "-o", "m", "--hidden-size", "0"],
        ["train", "x.tsv", "-o", "m", "--hidden-size", "large"],
        ["train", "x.tsv", "-o", "m", "--dropout", "1"],
        ["train", "x.tsv", "-o", "m", "--dropout", "nan"],
        ["train", "x.tsv", "-o", "m", "--cell", "rnn"],
        ["train", "x.tsv", "-o", "m", "--patience", "0"],
        ["predict"],
        ["predict", "m", "--beam", "0"],
        ["predict", "m", "--n-best", "2"],
        ["predict", "m", "--length-penalty", "-1"],
        ["evaluate", "m"],
        ["attention", "m", "text"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(
    arguments: list[str], capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert one_line(captured.err).startswith("fastseq: error: ")
    assert list(tmp_path.iterdir()) == []


def one_error(arguments: list[str], capsys: Capture) -> str:
    """The line on standard error of a command that fails and prints nothing else."""
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("fastseq: error: ")
    return line.removeprefix("fastseq: error: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\tb\nx\n", "line 2: expected a source, a tab and a target, got a line without a tab"),
        (b"a\tb\tc\n", "line 1: expected a source, a tab and a target, got 2 tabs"),
        (b"a\tb\n\tc\n", "line 2: expected a source, a tab and a target, got an empty source"),
        (b"a\t\n", "line 1: expected a source, a tab and a target, got an empty target"),
        (b"a\tb\n\xff\tc\n", "line 2: expected UTF-8 text, got the byte 0xff"),
        (b"", "expected at least one line, got an empty file"),
    ],
)
def test_bad_data_is_one_line(
    content: bytes, message: str, tmp_path: Path, model_file: Path, capsys: Capture
) -> None:
    path, output = tmp_path / "bad.tsv", str(tmp_path / "out")
    path.write_bytes(content)
    assert message in one_error(["train", str(path), "-o", output], capsys)
    assert message in one_error(["evaluate", str(model_file), str(path)], capsys)
    assert not Path(output).exists()


def test_harmless_data_is_read(tmp_path: Path) -> None:
    lines = [f"{source}\t{target}" for source, target in zip(*PAIRS, strict=True)]
    path, output = tmp_path / "data.tsv", tmp_path / "out"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert main(["train", str(path), "-o", str(output), *OPTIONS]) == 0
    assert weights(Transducer.load(output)) == weights(tiny_transducer().fit(*PAIRS))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hidden_size = 0", "hidden_size: expected 1 to 32768, got 0"),
        ("hidden_size = 'x'", "hidden_size: expected an integer, got str"),
        ("heads = 2", "heads: no such hyperparameter"),
        ("hidden_size = ", "Invalid value"),
    ],
)
def test_a_bad_configuration_is_one_line(
    text: str, message: str, data: Path, tmp_path: Path, capsys: Capture
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text, encoding="utf-8")
    error = one_error(["train", str(data), "-o", "m", "--config", str(config)], capsys)
    assert error.startswith(f"{config}: ") and message in error


def test_files_that_cannot_be_read_or_written(
    data: Path, tmp_path: Path, model_file: Path, capsys: Capture
) -> None:
    nowhere = str(tmp_path / "no" / "file")
    text = f"{nowhere}: No such file or directory"
    assert one_error(["train", nowhere, "-o", "m"], capsys) == text
    assert one_error(["predict", nowhere, "a"], capsys) == text
    assert one_error(["evaluate", str(model_file), nowhere], capsys) == text
    # said before the training, which would be for nothing
    assert one_error(["train", str(data), "-o", nowhere], capsys) == text


def test_a_checkpoint_is_not_replaced(data: Path, tmp_path: Path, capsys: Capture) -> None:
    arguments = ["train", str(data), "-o", str(tmp_path / "m"), *OPTIONS]
    arguments += ["--checkpoint", str(tmp_path / "state")]
    assert main(arguments) == 0
    capsys.readouterr()
    assert main(arguments) == 1
    assert "there is a checkpoint already: resume it, or remove it" in capsys.readouterr().err


# predict


def test_predict_prints_a_line_for_each_text(model_file: Path, capsys: Capture) -> None:
    texts = ["abc", "f", "fed", "abc"]
    assert main(["predict", str(model_file), *texts]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == Transducer.load(model_file).predict(texts)
    assert captured.err == ""


@pytest.mark.parametrize("content", [b"abc\nf\n", b"abc\nf", b"\xef\xbb\xbfabc\r\nf\r\n"])
def test_predict_reads_standard_input(
    content: bytes, model_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    feed(monkeypatch, content)
    assert main(["predict", str(model_file)]) == 0
    expected = Transducer.load(model_file).predict(["abc", "f"])
    assert capsys.readouterr().out.splitlines() == expected


def test_many_lines_keep_their_order(
    model_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    texts = [*tiny_pairs(1500, seed=3)[0], ""]
    feed(monkeypatch, "".join(f"{text}\n" for text in texts).encode())
    assert main(["predict", str(model_file)]) == 0
    printed = capsys.readouterr().out.split("\n")
    assert printed == [*Transducer.load(model_file).predict(texts), ""]


def test_standard_input_that_is_no_text(
    model_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    feed(monkeypatch, b"abc\n\xff\n")
    error = one_error(["predict", str(model_file)], capsys)
    assert error == "<stdin>, line 2: expected UTF-8 text, got the byte 0xff"


def test_several_answers_with_scores(model_file: Path, capsys: Capture) -> None:
    search = ["--beam", "4", "--n-best", "2", "--length-penalty", "0.5", "--scores"]
    assert main(["predict", str(model_file), "abc", "f", *search]) == 0
    lines = capsys.readouterr().out.splitlines()
    answers, scores = Transducer.load(model_file).predict(
        ["abc", "f"], 4, 2, return_scores=True, length_penalty=0.5
    )
    for line, listed, values in zip(lines, answers, scores, strict=True):
        fields = [f"{text}\t{value:.6f}" for text, value in zip(listed, values, strict=True)]
        assert line == "\t".join(fields)
    assert main(["predict", str(model_file), "abc", "f", *search, "--json"]) == 0
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["input"] for each in objects] == ["abc", "f"]
    for each, listed, values in zip(objects, answers, scores, strict=True):
        assert [answer["text"] for answer in each["answers"]] == listed
        assert [answer["score"] for answer in each["answers"]] == values


def test_a_model_of_lists_takes_symbols_with_spaces_between(
    tmp_path: Path, capsys: Capture
) -> None:
    path, data = tmp_path / "lists", tmp_path / "pairs.tsv"
    lists = [[[*text] for text in side] for side in PAIRS]
    model = tiny_transducer().fit(*lists)
    model.save(path)
    assert main(["predict", str(path), "a b c"]) == 0
    [answer] = model.predict([["a", "b", "c"]])
    assert capsys.readouterr().out == " ".join(answer) + "\n"
    data.write_text(f"a b c\t{' '.join(answer)}\n", encoding="utf-8")
    assert main(["evaluate", str(path), str(data)]) == 0
    assert "accuracy           100.00 %" in capsys.readouterr().out


# evaluate


def test_evaluate_counts_words_and_symbols(
    model_file: Path, tmp_path: Path, capsys: Capture
) -> None:
    model = Transducer.load(model_file)
    first, second = model.predict(["abcdef", "f"])
    assert first
    pairs = [("abcdef", "zzzz"), ("abcdef", first), ("f", f"{second}z"), ("f", "zzzzzzzz")]
    path = tmp_path / "test.tsv"
    path.write_text("".join(f"{a}\t{b}\n" for a, b in pairs), encoding="utf-8")
    assert main(["evaluate", str(model_file), str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["words"], result["accuracy"]) == (2, 0.5)
    assert result["symbol_error_rate"] == 1 / (len(first) + len(second) + 1)
    assert result["words_per_second"] > 0
    assert main(["evaluate", str(model_file), str(path), "--beam", "2"]) == 0
    names = [line.rpartition("  ")[0].rstrip() for line in capsys.readouterr().out.splitlines()]
    assert names == ["words", "accuracy", "symbol error rate", "words a second"]


def test_there_must_be_something_to_evaluate(model_file: Path) -> None:
    with pytest.raises(ValueError, match="expected at least one, got none"):
        evaluate(Transducer.load(model_file), [], [])


def test_attention_draws_a_picture(model_file: Path, tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "map.png"
    assert main(["attention", str(model_file), "abcfed", "-o", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    captured = capsys.readouterr()
    assert captured.out.splitlines() == Transducer.load(model_file).predict(["abcfed"])
    assert captured.err == ""


def test_a_model_without_attention_has_no_picture(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "plain"
    tiny_transducer(attention="none").fit(*PAIRS).save(path)
    error = one_error(["attention", str(path), "abc", "-o", str(tmp_path / "map.png")], capsys)
    assert "trained without" in error
