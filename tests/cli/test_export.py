"""fastseq export."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from fastseq.cli import EXIT_FAILURE, EXIT_OK, EXIT_USAGE, main
from support.processes import one_line
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer

Capture = pytest.CaptureFixture[str]

NAMES = ["encoder.onnx", "step.onnx", "greedy.onnx", "model.json", "run.py", "README.txt"]


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    tiny_transducer(attention="dot").fit(*tiny_pairs()).save(path)
    return str(path)


@pytest.fixture
def _onnx() -> None:
    pytest.importorskip("onnx")


@pytest.mark.usefixtures("_onnx")
def test_what_was_written_is_printed(model_file: str, tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "exported"
    assert main(["export", model_file, "-o", str(folder)]) == EXIT_OK
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == NAMES
    for line in lines:
        name, size, unit = line.split()
        assert (int(size.replace(",", "")), unit) == ((folder / name).stat().st_size, "bytes")
    assert last == f"6 files in {folder}"


@pytest.mark.usefixtures("_onnx")
def test_the_check_says_what_it_found(model_file: str, tmp_path: Path, capsys: Capture) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    arguments = ["export", model_file, "-o", str(tmp_path), "--format", "onnx", "--check"]
    assert main(arguments) == EXIT_OK
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(
        rf"onnxruntime {re.escape(onnxruntime.__version__)}: 200 random sources have the same "
        r"answers, log probabilities differ by at most \de-0\d",
        last,
    )


@pytest.mark.usefixtures("_onnx")
def test_nothing_is_written_where_the_check_fails(
    model_file: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("fastseq.interop.export.graphs.MORE_STEPS", 1)
    monkeypatch.setattr("fastseq.interop.export.graphs.START", 3)
    folder = tmp_path / "exported"
    assert main(["export", model_file, "-o", str(folder), "--check"]) == EXIT_FAILURE
    assert one_line(capsys.readouterr().err).startswith("fastseq: error: greedy.onnx: expected ids")
    assert not folder.exists()


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(
    package: str,
    model_file: str,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if package == "onnxruntime":
        pytest.importorskip("onnx")
    monkeypatch.setitem(sys.modules, package, None)
    folder = tmp_path / "exported"
    assert main(["export", model_file, "-o", str(folder), "--check"]) == EXIT_FAILURE
    message = one_line(capsys.readouterr().err)
    assert message.endswith(f'needs {package}: pip install "fastseq-kernels[{package}]"')
    assert not folder.exists()


@pytest.mark.usefixtures("_onnx")
def test_a_file_in_the_folder_s_place_is_kept(
    model_file: str, tmp_path: Path, capsys: Capture
) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    assert main(["export", model_file, "-o", str(taken)]) == EXIT_FAILURE
    assert one_line(capsys.readouterr().err) == f"fastseq: error: {taken}: Not a directory"
    assert taken.read_text() == "mine"


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, capsys: Capture) -> None:
    model = tiny_transducer().fit(*tiny_pairs())
    model.network_.params["output.b"][0] = np.nan
    model.save(tmp_path / "model")
    arguments = ["export", str(tmp_path / "model"), "-o", str(tmp_path / "exported")]
    assert main(arguments) == EXIT_FAILURE
    assert "output.b: expected finite weights" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m"], "the following arguments are required: -o/--output"),
        (["m", "-o", "f", "--format", "onxx"], "did you mean onnx?"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], message: str, capsys: Capture) -> None:
    assert main(["export", *arguments]) == EXIT_USAGE
    assert message in one_line(capsys.readouterr().err)


def test_the_help_has_an_example(capsys: Capture) -> None:
    assert main(["export", "--help"]) == EXIT_OK
    printed = capsys.readouterr().out
    assert "fastseq export words.safetensors -o exported" in printed
    assert "{onnx}" in printed
