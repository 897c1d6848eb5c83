"""``fastseq train`` under mpiexec: the bytes of one process, through kills and resumption."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.processes import environment, fastseq_process, one_line
from support.ranks import needs_mpi, start_ranks
from support.transducer.tiny_transducer import OPTIONS, write_pairs

LONG = ["--epochs", "12", "--patience", "none"]


def command(folder: Path, name: str, *options: str) -> list[str]:
    pairs = write_pairs(folder / "pairs.tsv")
    model = str(folder / f"{name}.safetensors")
    return ["train", str(pairs), "-o", model, *OPTIONS, "--shards", "4", *options]


def trained(folder: Path, name: str) -> bytes:
    return (folder / f"{name}.safetensors").read_bytes()


@needs_mpi
def test_any_number_of_ranks_writes_the_same_bytes(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    alone = fastseq_process(*command(tmp_path, "1"), stdout=subprocess.PIPE)
    assert alone.returncode == 0, alone.stderr
    for count in (2, 4):
        ranks = start_ranks(count, *command(tmp_path, str(count), "--log", str(log)))
        output, error = ranks.communicate(timeout=100)
        assert ranks.returncode == 0, error
        assert trained(tmp_path, str(count)) == trained(tmp_path, "1")
        # rank 0 alone speaks
        assert [line.split()[:2] for line in output.splitlines()] == [
            line.replace("/1.", f"/{count}.").split()[:2] for line in alone.stdout.splitlines()
        ]
        assert [json.loads(line)["epoch"] for line in log.read_text().splitlines()] == [1, 2, 3]


@needs_mpi
def test_killed_and_resumed_with_other_numbers_of_ranks(tmp_path: Path) -> None:
    whole = fastseq_process(*command(tmp_path, "whole", *LONG))
    assert whole.returncode == 0, whole.stderr
    state = ["--checkpoint", str(tmp_path / "state"), "--checkpoint-every", "2", "--resume"]
    resumed = command(tmp_path, "resumed", *LONG, *state)
    moments = random.Random(0)
    for count in (2, 4, 2):
        ranks = start_ranks(count, *resumed)
        if wait_for_line(ranks, "epoch"):
            time.sleep(moments.uniform(0, 0.2))
            os.kill(process_of_rank(moments.randrange(count), tmp_path), signal.SIGKILL)
            began = time.perf_counter()
            _, error = ranks.communicate(timeout=60)
            assert time.perf_counter() - began < 10
            assert ranks.returncode != 0
            assert "signal 9" in error or "lost" in error
    last = fastseq_process(*resumed)
    assert last.returncode == 0, last.stderr
    assert trained(tmp_path, "resumed") == trained(tmp_path, "whole")


@needs_mpi
def test_ctrl_c_ends_all_ranks_and_saves(tmp_path: Path) -> None:
    state = ["--checkpoint", str(tmp_path / "state"), "--resume"]
    endless = command(tmp_path, "ended", "--epochs", "100000", "--patience", "none", *state)
    ranks = start_ranks(2, *endless)
    assert wait_for_line(ranks, "epoch")
    ranks.send_signal(signal.SIGINT)
    ranks.communicate(timeout=30)
    assert trained(tmp_path, "ended")
    assert (tmp_path / "state" / "checkpoint.safetensors").is_file()


@needs_mpi
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shards", "3"], "shards: expected a multiple of 2, the number of processes; got 3"),
        (["--ensemble", "2"], "--ensemble: several processes train one model at a time"),
        (["--log", "/no/log"], "/no/log"),
    ],
)
def test_an_error_is_said_once(options: list[str], message: str, tmp_path: Path) -> None:
    ranks = start_ranks(2, *command(tmp_path, "model", *options))
    _, error = ranks.communicate(timeout=60)
    assert ranks.returncode != 0
    own = [line for line in error.splitlines() if line.startswith("fastseq:")]
    assert message in one_line("\n".join(own))


def test_without_mpi4py_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "mpi4py.py").write_text("raise ImportError('none here')")
    settings = environment(OMPI_COMM_WORLD_SIZE="2", PYTHONPATH=str(tmp_path))
    done = fastseq_process(*command(tmp_path, "model"), env=settings)
    assert done.returncode == 1
    assert 'pip install "fastseq-kernels[mpi]" (none here)' in one_line(done.stderr)
    done = fastseq_process(
        *command(tmp_path, "model"), env=settings | {"OMPI_COMM_WORLD_SIZE": "1"}
    )
    assert done.returncode == 0


def wait_for_line(process: "subprocess.Popen[str]", start: str) -> bool:
    """Whether the process prints a line with this start before it ends."""
    assert process.stdout is not None
    return any(line.startswith(start) for line in process.stdout)


def process_of_rank(rank: int, folder: Path) -> int:
    """The process of a rank that trains on the pairs of this folder."""
    wanted = f"OMPI_COMM_WORLD_RANK={rank}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes()
                variables = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if str(folder).encode() in words and wanted in variables:
                return int(entry.name)
    raise AssertionError(f"no process of rank {rank}")
