"""The command line: exit statuses, where output goes, what the demos write."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastseq
import fastseq.train
from fastseq import _kernels
from fastseq.cli import main
from fastseq.data import addition, dates, sequence
from support.processes import environment, fastseq_process, one_line

Capture = pytest.CaptureFixture[str]

# 90 pairs to train on and 10 held out, in 11 steps, by models that learn nothing
TINY = ["-n", "100", "--batch-size", "8", "--hidden-size", "5", "--embedding-size", "3"]


# exit status


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["unknown"],
        ["demo"],
        ["data", "weather"],
        ["data", "dates", "-n", "-1"],
        ["data", "dates", "-n", "many"],
        ["data", "dates", "--format", "xml"],
        ["demo", "dates", "--epochs", "0"],
        ["demo", "dates", "--learning-rate", "-0.1"],
        ["demo", "dates", "--learning-rate", "nan"],
        ["demo", "dates", "--learning-rate", "fast"],
        ["demo", "dates", "--seed", str(2**32)],
        ["demo", "dates", "-n", "9", "--batch-size", "1"],
        ["demo", "dates", "-n", "140"],
        ["demo", "addition", "--compare"],
        ["info", "--jso"],
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
    assert "--help)" in captured.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [[], ["demo"], ["demo", "dates"], ["demo", "addition"]])
def test_help_shows_the_commands(command: list[str], capsys: Capture) -> None:
    assert main([*command, "--help"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("usage: fastseq")
    assert captured.err == ""


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["demo"],
        ["demo", "dates"],
        ["demo", "addition"],
        *([name] for name in ("data", "train", "predict", "evaluate", "attention")),
        *([name] for name in ("run", "bench", "info", "serve")),
    ],
    ids=" ".join,
)
def test_examples_in_the_help_are_valid(
    command: list[str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastseq.cli import _parser

    monkeypatch.setenv("COLUMNS", "100")
    main([*command, "--help"])
    _, _, examples = capsys.readouterr().out.partition("examples:\n")
    lines = [line.partition("fastseq ")[2] for line in examples.splitlines() if line[:2] == "  "]
    assert len(lines) >= 2
    for line in lines:
        # a comment is set off by several spaces; what follows | < > is the shell's
        words = shlex.split(re.split("  +|[|<>]", line)[0])
        _parser().parse_args(words)


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ("train --hiden-size 3 words.tsv -o m", "--hidden-size"),
        ("train words.tsv -o m --cell grru", "gru"),
        ("trian words.tsv", "train"),
        ("predict m --bem=3 x", "--beam"),
        ("demo datse", "dates"),
        ("info --jso", "--json"),
    ],
)
def test_wrong_names_are_answered_with_the_right_one(
    arguments: str, meant: str, capsys: Capture
) -> None:
    assert main(arguments.split()) == 2
    assert f"; did you mean {meant}?" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train words.tsv", "expected where to save the model: -o words.safetensors"),
        ("train", "expected DATA.tsv, the file of pairs to train on"),
        ("train words.tsv more.tsv -o m", "unexpected argument: more.tsv"),
        ("train words.tsv -o m --delimiter ,,", "--delimiter: expected one character, got ',,'"),
        ("train words.tsv -o m --xyzzy", "there is no option --xyzzy (see fastseq train --help)"),
    ],
)
def test_wrong_usage_is_one_line(arguments: str, message: str, capsys: Capture) -> None:
    assert main(arguments.split()) == 2
    assert message in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_script(shell: str, capsys: Capture) -> None:
    assert main(["--print-completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("train", "evaluate", "hidden-size"):
        assert word in script


def test_completion_without_its_library_names_the_extra(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 1
    assert "fastseq-kernels[completion]" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option: str, capsys: Capture) -> None:
    assert main([option]) == 0
    assert capsys.readouterr().out == f"fastseq {fastseq.__version__}\n"


@pytest.mark.parametrize("arguments", [["--debug", "data"], ["data", "--debug"]])
def test_a_failure_is_one_line_and_1(arguments: list[str], capsys: Capture) -> None:
    too_many = ["addition", "-n", "999999"]
    assert main(["data", *too_many]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert one_line(captured.err).startswith("fastseq: error: count: expected 0 to 500500")

    assert main([*arguments, *too_many]) == 1
    assert capsys.readouterr().err.startswith("Traceback (most recent call last):")


def test_an_unexpected_failure_names_its_kind(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("no\nsuch thing")

    monkeypatch.setattr(dates, "generate", fail)
    assert main(["data", "dates"]) == 1
    error = one_line(capsys.readouterr().err)
    assert error.startswith("fastseq: error: KeyError: ")
    assert "--debug" in error


def test_ctrl_c_is_130(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dates, "generate", lambda *_: signal.raise_signal(signal.SIGINT))
    assert main(["data", "dates"]) == 130
    assert capsys.readouterr().err == "fastseq: interrupted\n"


@pytest.mark.parametrize("name", ["foo", ""])
def test_an_unknown_instruction_set_is_one_line(name: str) -> None:
    done = fastseq_process("info", stdout=subprocess.PIPE, env=environment(FASTSEQ_ISA=name))
    if name == "":  # as if unset
        assert done.returncode == 0
        return
    assert done.returncode == 1
    assert done.stdout == ""
    line = one_line(done.stderr)
    assert line.startswith("fastseq: error: ")
    assert "FASTSEQ_ISA" in line
    assert "baseline" in line


# data


@pytest.mark.parametrize("name", ["dates", "addition"])
def test_data_is_written_as_tsv(name: str, capsys: Capture) -> None:
    assert main(["data", name, "-n", "20", "--seed", "3"]) == 0
    captured = capsys.readouterr()
    pairs = [tuple(line.split("\t")) for line in captured.out.splitlines()]
    assert pairs == {"dates": dates, "addition": addition}[name].generate(20, 3)
    assert captured.err == ""


@pytest.mark.parametrize("name", ["dates", "addition"])
def test_data_is_written_as_the_textbook_reads_it(name: str, tmp_path: Path) -> None:
    file_name = tmp_path / "data.txt"
    arguments = ["data", name, "-n", "50", "--format", "textbook", "-o", str(file_name)]
    assert main(arguments) == 0
    (x_train, t_train), (x_test, _) = sequence.load_data(file_name)
    widths = {"dates": (29, 11), "addition": (7, 5)}[name]
    assert (x_train.shape[1], t_train.shape[1]) == widths
    assert (len(x_train), len(x_test)) == (45, 5)


def test_data_that_cannot_be_written_names_the_file(tmp_path: Path, capsys: Capture) -> None:
    file_name = tmp_path / "missing" / "data.tsv"
    assert main(["data", "dates", "-n", "5", "-o", str(file_name)]) == 1
    assert one_line(capsys.readouterr().err).startswith(f"fastseq: error: {file_name}: ")


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="the system has no /dev/null")
def test_a_device_is_written_to_and_not_replaced() -> None:
    assert main(["data", "dates", "-n", "5", "-o", os.devnull]) == 0
    assert Path(os.devnull).is_char_device()


# info


def test_info_as_json(capsys: Capture) -> None:
    assert main(["info", "--json"]) == 0
    config = json.loads(capsys.readouterr().out)
    assert config["fastseq"] == fastseq.__version__
    assert config["isa"] == _kernels.isa()
    assert config["available_isas"] == _kernels.available_isas()
    assert config["threads"] == _kernels.get_num_threads()
    assert config["build"] == _kernels.build_info()
    assert config["numpy"] == np.__version__
    assert config["blas"]


def test_info_as_a_table_is_show_config(capsys: Capture) -> None:
    assert main(["info"]) == 0
    table = capsys.readouterr().out
    assert f"isa         {_kernels.isa()} (available: " in table
    assert f"numpy       {np.__version__}\n" in table
    fastseq.show_config()
    assert capsys.readouterr().out == table


@pytest.mark.parametrize("isa", _kernels.available_isas())
def test_info_tells_what_the_environment_chose(isa: str) -> None:
    done = fastseq_process(
        *["info", "--json"], stdout=subprocess.PIPE, env=environment(FASTSEQ_ISA=isa)
    )
    assert json.loads(done.stdout)["isa"] == isa
