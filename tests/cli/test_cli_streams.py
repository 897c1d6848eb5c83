"""The command line's standard streams: closed, full, of another encoding; and Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fastseq.cli import main
from support.processes import environment, fastseq_process, one_line, start_fastseq
from support.transducer.tiny_transducer import OPTIONS, tiny_pairs, tiny_transducer, write_pairs

Capture = pytest.CaptureFixture[str]

needs_posix = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    tiny_transducer(epochs=1).fit(*tiny_pairs()).save(path)
    return path


# without a reader


def test_a_pipe_that_closes_early_is_silent() -> None:
    with start_fastseq("data", "dates") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().count(b"\t") == 1
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


def test_training_goes_on_when_nobody_reads_of_it(tmp_path: Path) -> None:
    data, output = write_pairs(tmp_path / "pairs.tsv"), tmp_path / "out"
    with start_fastseq("train", str(data), "-o", str(output), *OPTIONS) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0
    expected = tmp_path / "expected"
    assert main(["train", str(data), "-o", str(expected), *OPTIONS]) == 0
    assert output.read_bytes() == expected.read_bytes()


def test_a_demo_goes_on_when_nobody_reads_of_it(tmp_path: Path) -> None:
    sizes = ["-n", "100", "--batch-size", "8", "--hidden-size", "5", "--epochs", "1"]
    with start_fastseq("demo", "dates", *sizes, "-o", str(tmp_path)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0
    assert (tmp_path / "dates-attention.png").exists()


# nothing can be written


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("count", ["5", "50000"])
def test_a_full_disk_is_a_failure(count: str) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = fastseq_process("data", "addition", "-n", count, stdout=full)
    assert done.returncode == 1
    assert one_line(done.stderr) == "fastseq: error: No space left on device"


@needs_posix
def test_a_reader_that_leaves_a_named_pipe_is_a_failure(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # more than a pipe holds
    with start_fastseq("data", "dates", "-n", "9000", "-o", str(fifo)) as process:
        fifo.open("rb").close()
        assert process.stderr is not None
        assert process.stderr.read().decode() == f"fastseq: error: {fifo}: Broken pipe\n"
        assert process.wait(timeout=60) == 1


# closed streams


def in_a_shell(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command, "sh", sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=100,
    )


@needs_posix
@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_like_no_device(closed: str, model_file: Path) -> None:
    done = in_a_shell(f'"$1" -m fastseq predict "$2" abc {closed}', str(model_file))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ""


@needs_posix
def test_without_standard_input_there_is_nothing_to_answer(model_file: Path) -> None:
    done = in_a_shell('"$1" -m fastseq predict "$2" <&-', str(model_file))
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


@needs_posix
def test_an_error_is_not_printed_among_the_results() -> None:
    done = in_a_shell('"$1" -m fastseq predict missing abc 2>&-')
    assert (done.returncode, done.stderr, done.stdout) == (1, "", "")


@needs_posix
def test_training_without_any_stream(tmp_path: Path) -> None:
    data, output = write_pairs(tmp_path / "pairs.tsv"), tmp_path / "out"
    arguments = ["train", str(data), "-o", str(output), *OPTIONS]
    done = in_a_shell('"$@" <&- >&- 2>&-', "-m", "fastseq", *arguments)
    assert done.returncode == 0
    assert output.exists()


# what is printed


def test_results_are_utf_8_whatever_the_locale() -> None:
    script = "import sys, fastseq.cli, fastseq.data.dates as dates;"
    script += "dates.generate = lambda *_: [('→', '☑')]; sys.exit(fastseq.cli.main())"
    done = subprocess.run(
        [sys.executable, "-c", script, "data", "dates"],
        capture_output=True,
        check=True,
        env=environment(PYTHONIOENCODING="ascii"),
    )
    assert (done.stdout, done.stderr) == ("→\t☑\n".encode(), b"")


def test_an_error_does_not_reach_into_the_terminal(capsys: Capture) -> None:
    assert main(["predict", "漢\x1b[2J\u202e\udcff.x", "abc"]) == 1
    error = one_line(capsys.readouterr().err)
    assert error == r"fastseq: error: 漢\x1b[2J\u202e\udcff.x: No such file or directory"


# Ctrl-C


@needs_posix
def test_ctrl_c_while_it_starts_is_silent(tmp_path: Path) -> None:
    # a NumPy that stands for the time its import takes
    (tmp_path / "numpy.py").write_text(
        "import os, signal; os.kill(os.getpid(), signal.SIGINT)\nraise SystemExit('not ended')\n"
    )
    done = fastseq_process(
        "info", stdout=subprocess.PIPE, env=environment(PYTHONPATH=str(tmp_path))
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@needs_posix
def test_ctrl_c_in_a_program_that_imports_fastseq_is_its_own() -> None:
    script = "import fastseq, signal; signal.raise_signal(signal.SIGINT)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment())
    assert b"KeyboardInterrupt" in done.stderr


@needs_posix
def test_ctrl_c_ends_predict(model_file: Path) -> None:
    with start_fastseq("predict", str(model_file)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"abc\n")
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b"fastseq: interrupted\n"
        assert process.wait(timeout=60) == 130
