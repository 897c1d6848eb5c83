"""Writing a file: the order of the system calls, and each of them failing or the last one."""

import errno
import os
import random
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastseq.files import replace_file
from support import interposed
from support.processes import fastseq_process, one_line
from support.transducer.tiny_transducer import OPTIONS, tiny_pairs, tiny_transducer, write_pairs

pytestmark = pytest.mark.skipif(interposed.why_not() is not None, reason=str(interposed.why_not()))
KILLS = 500  # of saving a model, and as many of training with checkpoints
ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EACCES)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return interposed.build(tmp_path_factory.mktemp("library"))


def programs(folder: str) -> dict[str, tuple[Path, Callable[[], None]]]:
    """What writes a file: the file, and how it is written. The file is there already."""
    from support.models.parameter_files import Two

    pairs = tiny_pairs()
    model = tiny_transducer(epochs=1).fit(*pairs)
    path = Path(folder)
    places = {name: path / name / "file" for name in ("pkl", "model")}
    for place in places.values():
        place.parent.mkdir()
    checkpoint = path / "checkpoint"

    def save_checkpoint() -> None:
        tiny_transducer(epochs=2).fit(*pairs, checkpoint=checkpoint, resume=True)

    tiny_transducer(epochs=1).fit(*pairs, checkpoint=checkpoint)
    two = Two()
    two.save_params(places["pkl"])
    model.save(places["model"])
    two.params[0] += 1
    for array in model.network_.params.values():
        array += 1
    return {
        "pkl": (places["pkl"], lambda: two.save_params(places["pkl"])),
        "model": (places["model"], lambda: model.save(places["model"])),
        "checkpoint": (checkpoint / "checkpoint.safetensors", save_checkpoint),
    }


# ---- the order of calls ----


def print_calls(folder: str) -> None:
    for name, (_, write) in programs(folder).items():
        interposed.plan(0, 0)
        write()
        print("\n".join(f"{name}: {line}" for line in interposed.log()))


def test_a_file_is_on_the_disk_before_its_name_is(library: Path, tmp_path: Path) -> None:
    printed = interposed.run(library, __file__, "print_calls", tmp_path)
    for name in ("pkl", "model", "checkpoint"):
        lines = [line for line in printed.splitlines() if line.startswith(f"{name}: ")]
        calls = [line.split(" ", 2)[1:] for line in lines if f"{tmp_path}/{name}" in line]
        last = max(place for place, (call, _) in enumerate(calls) if call == "open")
        (_, temporary), *writing = calls[last:]
        target = re.sub(r"\.[0-9a-f]{16}\.tmp$", "", temporary)
        assert target != temporary
        assert {call for call, _ in writing[:-3]} == {"fchmod", "write"}
        assert writing[-3:] == [
            ["fsync", temporary],
            ["rename", target],
            ["fsync", str(tmp_path / name)],
        ]


# ---- calls that fail ----


def fail_each_call(folder: str, name: str) -> None:
    """Let each call of writing a file fail in turn: the old file is there, and nothing beside it.

    The last call, which flushes the folder when the file has its new name, may fail unnoticed.
    """
    path, write = programs(folder)[name]
    old = path.read_bytes()
    interposed.plan(0, 0)
    write()
    count, new = interposed.calls(), path.read_bytes()
    assert new != old
    for call in range(1, count + 1):
        for error in ERRORS:
            path.write_bytes(old)
            interposed.plan(call, error)
            if call == count:
                write()
            else:
                with pytest.raises(OSError) as raised:
                    write()
                assert raised.value.errno == error
                assert raised.value.filename == str(path)
            interposed.plan(0, 0)
            assert path.read_bytes() == (new if call == count else old), (call, error)
            assert os.listdir(path.parent) == [path.name]
    print(count)


@pytest.mark.parametrize("name", ["pkl", "model"])
def test_a_call_that_fails_leaves_the_old_file(name: str, library: Path, tmp_path: Path) -> None:
    count = interposed.run(library, __file__, "fail_each_call", tmp_path, name)
    assert int(count) >= 4


# ---- SIGKILL ----


def in_a_child(work: Callable[[], Any], seconds: float | None = None) -> int:
    """Fork, and work in the child, which is killed after so many seconds; its status."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def kill_at_each_call(folder: str, name: str) -> None:
    path, write = programs(folder)[name]
    old = path.read_bytes()
    interposed.plan(0, 0)
    write()
    count, new = interposed.calls(), path.read_bytes()
    for call in range(1, count + 1):
        path.write_bytes(old)

        def killed(call: int = call) -> None:
            interposed.plan(call, interposed.KILL)
            write()

        assert os.WIFSIGNALED(in_a_child(killed))
        assert path.read_bytes() == (new if call == count else old), call
    _next_save_cleans_up(path, write, new)


def _next_save_cleans_up(path: Path, write: Callable[[], None], new: bytes) -> None:
    """What killed processes have left is removed by the first save after an hour."""
    left = [each for each in path.parent.iterdir() if each != path]
    assert left
    for each in left:
        os.utime(each, (time.time() - 7200, time.time() - 7200))
    write()
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == new


@pytest.mark.parametrize("name", ["pkl", "model"])
def test_sigkill_at_each_call(name: str, library: Path, tmp_path: Path) -> None:
    interposed.run(library, __file__, "kill_at_each_call", tmp_path, name)


def kill_saving(folder: str, kills: str) -> None:
    """Kill at random times a process that saves one of two models again and again."""
    from fastseq import Transducer

    path = Path(folder) / "model"
    rng = random.Random(0)
    models = [tiny_transducer(epochs=1, seed=seed).fit(*tiny_pairs()) for seed in (0, 1)]
    contents = set()
    for model in models:
        model.save(path)
        contents.add(path.read_bytes())

    def save_again_and_again() -> None:
        while True:
            for model in models:
                model.save(path)

    for _ in range(int(kills)):
        in_a_child(save_again_and_again, rng.uniform(0, 0.02))
        assert path.read_bytes() in contents
    Transducer.load(path)
    print(len(list(path.parent.iterdir())) - 1)


def kill_training(folder: str, kills: str) -> None:
    """Kill at random times a training that writes a checkpoint after each step."""
    from safetensors.numpy import load_file

    from fastseq.transducer.training.checkpoints import KIND, file_name

    pairs, place = tiny_pairs(), Path(folder)
    path = Path(file_name(folder))
    rng = random.Random(1)

    def train() -> None:
        model = tiny_transducer(epochs=10**6, patience=None)
        model.fit(*pairs, checkpoint=place, checkpoint_every=1, resume=True)

    steps = 0
    for _ in range(int(kills)):
        in_a_child(train, rng.uniform(0.01, 0.15))
        if path.exists():
            assert load_file(path)
            steps += 1
    assert KIND in path.read_bytes().decode("latin-1")
    print(steps)


@pytest.mark.slow
def test_a_killed_save_leaves_a_whole_model(library: Path, tmp_path: Path) -> None:
    left = interposed.run(library, __file__, "kill_saving", tmp_path, KILLS)
    assert int(left) > KILLS // 20  # kills did hit the writing


@pytest.mark.slow
def test_a_killed_training_leaves_a_whole_checkpoint(library: Path, tmp_path: Path) -> None:
    whole = interposed.run(library, __file__, "kill_training", tmp_path, KILLS)
    assert int(whole) > KILLS // 2


# ---- disks and folders ----


@pytest.mark.slow
def test_a_full_disk_leaves_the_old_model(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted: {done.stderr.strip()}")
    try:
        path = disk / "model"
        model = tiny_transducer(epochs=1).fit(*tiny_pairs())
        model.save(path)
        old = path.read_bytes()
        (disk / "other").write_bytes(bytes(64 * 1024 - 4096 - -(-len(old) // 4096) * 4096))
        with pytest.raises(OSError, match="No space left on device"):
            model.save(path)
        assert path.read_bytes() == old
        assert sorted(os.listdir(disk)) == ["model", "other"]
        data = write_pairs(tmp_path / "pairs.tsv")
        done = fastseq_process("train", str(data), "-o", str(path), *OPTIONS)
        assert done.returncode == 1
        assert one_line(done.stderr) == f"fastseq: error: {path}: No space left on device"
        assert path.read_bytes() == old
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    """In a process without root's rights, which ignore permissions."""
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "model"
    path.write_bytes(b"old")
    for place in (folder, *tmp_path.parents[:2], tmp_path):
        place.chmod(0o555 if place == folder else 0o755)

    def write() -> None:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        with pytest.raises(PermissionError) as raised:
            replace_file(str(path), b"new")
        assert raised.value.filename == str(path)

    assert in_a_child(write) == 0
    assert path.read_bytes() == b"old"
    assert os.listdir(folder) == ["model"]
    folder.chmod(0o755)


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="needs root")
def test_a_file_keeps_its_owner_and_permissions(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"old")
    os.chown(path, 1234, 2345)
    path.chmod(0o640)
    replace_file(str(path), b"new")
    found = path.stat()
    assert (found.st_uid, found.st_gid) == (1234, 2345)
    assert stat.S_IMODE(found.st_mode) == 0o640
    assert path.read_bytes() == b"new"
