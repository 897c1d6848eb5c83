"""fastseq predict --jobs: in several processes the output of one."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from fastseq import Ensemble
from support.processes import fastseq_process, one_line, start_fastseq
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer

PAIRS = tiny_pairs()
WORDS = tiny_pairs(9000, seed=1)[0]  # several blocks of input


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jobs") / "model.safetensors"
    tiny_transducer(epochs=1).fit(*PAIRS).save(path)
    return path


def answered(model: Path, text: str, *options: str) -> "subprocess.CompletedProcess[str]":
    return fastseq_process("predict", str(model), *options, input=text, stdout=subprocess.PIPE)


@pytest.mark.parametrize("options", [[], ["--json", "--scores", "--beam", "2"]])
def test_the_output_is_that_of_one_process(options: list[str], model_file: Path) -> None:
    text = "".join(f"{word}\n" for word in WORDS) + "x\tno\n?a\n"
    alone, jobs = (answered(model_file, text, *options, *more) for more in ([], ["--jobs", "3"]))
    assert alone.returncode == jobs.returncode == 0, jobs.stderr
    assert jobs.stdout == alone.stdout
    assert jobs.stderr == alone.stderr
    assert len(jobs.stdout.splitlines()) == len(WORDS) + 2


def test_an_ensemble_and_texts_as_arguments(model_file: Path, tmp_path: Path) -> None:
    members = [tiny_transducer(epochs=1, seed=seed).fit(*PAIRS, None) for seed in range(2)]
    path = tmp_path / "ensemble.safetensors"
    Ensemble(members).save(path)
    alone, jobs = (
        fastseq_process("predict", str(path), "abc", "fed", *more, stdout=subprocess.PIPE)
        for more in ([], ["--jobs", "2"])
    )
    assert jobs.stdout == alone.stdout and len(jobs.stdout.splitlines()) == 2


def test_an_error_comes_after_the_answers_before_it(model_file: Path) -> None:
    text = "".join(f"{word}\n" for word in WORDS)
    done = answered(model_file, f"{text}?\n", "--jobs", "2", "--unknown", "error")
    assert done.returncode == 1
    assert f"<stdin>, line {len(WORDS) + 1}: expected symbols" in one_line(done.stderr)
    alone = answered(model_file, f"{text}?\n", "--unknown", "error")
    assert done.stdout == alone.stdout != ""


def test_answers_come_before_the_input_ends(model_file: Path) -> None:
    process = start_fastseq("predict", str(model_file), "--jobs", "2")
    assert process.stdin is not None and process.stdout is not None
    for _ in range(2):
        process.stdin.write(b"abc\n")
        process.stdin.flush()
        assert process.stdout.readline()
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds children in /proc")
def test_a_killed_process_is_said(model_file: Path) -> None:
    process = start_fastseq("predict", str(model_file), "--jobs", "2")
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"abc\n")
    process.stdin.flush()
    assert process.stdout.readline()
    for child in children(process.pid):
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            os.kill(child, signal.SIGKILL)
    _, error = process.communicate(b"abc\n" * 100, timeout=60)
    assert process.returncode == 1
    assert one_line(error.decode()) == (
        "fastseq: error: a process of --jobs was killed, perhaps for want of memory"
    )


def test_ctrl_c_ends_all_processes(model_file: Path) -> None:
    process = start_fastseq("predict", str(model_file), "--jobs", "2")
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"abc\n")
    process.stdin.flush()
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)  # of the children too, which have standard error
    assert process.returncode == 130
    assert one_line(error.decode()) == "fastseq: interrupted"


def children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(word) for thread in threads for word in (thread / "children").read_text().split()]
