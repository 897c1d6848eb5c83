"""``fastseq serve``: its arguments, and what is said where it cannot begin."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fastseq.cli import main, serve
from support.processes import one_line
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: MODEL"),
        (["m", "--port", "65536"], "argument --port: expected a whole number from 0 to 65535"),
        (["m", "--timeout", "0"], "argument --timeout: expected a number above 0, got '0'"),
        (["m", "--max-beam", "0"], "argument --max-beam: expected a whole number of at least 1"),
        (["m", "--max-queue", "9"], "--max-queue: expected at least --max-texts = 1000, got 9"),
        (["a/m.safetensors", "b/m"], "MODEL: expected different names, got 'm' twice"),
        (["x=m", "x=n"], "MODEL: expected different names, got 'x' twice"),
        (["=m"], "MODEL: expected FILE or NAME=FILE, got '=m'"),
        (["x="], "MODEL: expected FILE or NAME=FILE, got 'x='"),
        (["a/"], "MODEL: expected FILE or NAME=FILE, got 'a/'"),
    ],
)
def test_wrong_usage_is_2(arguments: list[str], message: str, capsys: Capture) -> None:
    pytest.importorskip("uvicorn")
    pytest.importorskip("starlette")
    assert main(["serve", *arguments]) == 2
    assert one_line(capsys.readouterr().err).startswith(f"fastseq: error: {message}")


def test_a_missing_model_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("uvicorn")
    pytest.importorskip("starlette")
    path = str(tmp_path / "none.safetensors")
    assert main(["serve", path]) == 1
    assert one_line(capsys.readouterr().err) == f"fastseq: error: {path}: No such file or directory"


def test_a_host_without_an_address_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("uvicorn")
    pytest.importorskip("starlette")
    path = str(tmp_path / "m.safetensors")
    tiny_transducer(epochs=1).fit(*tiny_pairs(), validation=None).save(path)
    assert main(["serve", path, "--host", "300.1.1.1", "--port", "0"]) == 1
    line = one_line(capsys.readouterr().err)
    assert line.startswith("fastseq: error: --host 300.1.1.1 --port 0: ")


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_without_the_extra_its_name_is_said(package: str) -> None:
    script = (
        f"import sys; sys.modules['{package}'] = None\n"
        "from fastseq.cli import main; sys.exit(main(['serve', 'm.safetensors']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert one_line(done.stderr) == (
        f'fastseq: error: fastseq serve needs {package}: pip install "fastseq-kernels[serve]"'
    )


def test_a_failure_is_said_in_one_line(capsys: Capture) -> None:
    serve._report(ValueError("first\nsecond"))
    assert one_line(capsys.readouterr().err) == (
        "fastseq: error: 500: ValueError: first second (--debug shows where)"
    )


def test_the_help_has_the_default_of_each_limit(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["serve", "--help"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"--max-body BYTES +the largest request \(default: 1,048,576\)", shown)
    assert "(default: 30)" in shown
