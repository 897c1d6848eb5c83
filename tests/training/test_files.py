"""Files that are replaced whole: what a killed process left is removed, all else stays."""

import errno
import os
import time
from pathlib import Path

import pytest

from fastseq.files import replace_file, replace_files


def leave(path: Path, hours: float) -> Path:
    path.write_bytes(b"half of it")
    then = time.time() - 3600 * hours
    os.utime(path, (then, then))
    return path


def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path: Path) -> None:
    target = tmp_path / "check[1].safetensors"
    abandoned = leave(tmp_path / f"{target.name}.0123456789abcdef.tmp", hours=2)
    kept = [
        leave(tmp_path / f"{target.name}.fedcba9876543210.tmp", hours=0.5),  # may be written now
        leave(tmp_path / f"{target.name}.0123.tmp", hours=2),
        leave(tmp_path / f"{target.name}.0123456789abcdef.tmp.gz", hours=2),
        leave(tmp_path / "other.0123456789abcdef.tmp", hours=2),
        leave(tmp_path / f"x{target.name}.0123456789abcdef.tmp", hours=2),
    ]
    replace_file(str(target), b"new")
    assert target.read_bytes() == b"new"
    assert not abandoned.exists()
    assert sorted(tmp_path.iterdir()) == sorted([target, *kept])


def test_what_cannot_be_removed_hinders_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "model.0123456789abcdef.tmp"
    folder.mkdir()
    then = time.time() - 7200
    os.utime(folder, (then, then))
    replace_file(str(tmp_path / "model"), b"new")
    assert (tmp_path / "model").read_bytes() == b"new"


def test_a_relative_name_is_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    abandoned = leave(tmp_path / "model.0123456789abcdef.tmp", hours=2)
    replace_file("model", b"new")
    assert not abandoned.exists()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_several_files_are_written_to_a_new_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    replace_files(str(folder), {"one": b"1", "two": b"2"})
    assert contents(folder) == {"one": b"1", "two": b"2"}


def test_of_several_files_all_appear_or_none(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"old")
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "two").mkdir()
    with pytest.raises(IsADirectoryError, match="directory: two"):
        replace_files(str(tmp_path), {"one": b"1", "two": b"2"})
    assert contents(tmp_path) == {"one": b"old", "other": b"other"}
    (tmp_path / "two").rmdir()
    abandoned = leave(tmp_path / "two.0123456789abcdef.tmp", hours=2)
    replace_files(str(tmp_path), {"one": b"1", "two": b"2"})
    assert contents(tmp_path) == {"one": b"1", "two": b"2", "other": b"other"}
    assert not abandoned.exists()


def test_a_disk_that_fills_up_leaves_the_earlier_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").write_bytes(b"old")
    synced = []

    def full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        replace_files(str(tmp_path), {"one": b"1", "two": b"2"})
    assert raised.value.filename == str(tmp_path)
    assert contents(tmp_path) == {"one": b"old"}
    synced.clear()
    with pytest.raises(OSError, match="No space left on device"):
        replace_files(str(tmp_path / "new"), {"one": b"1", "two": b"2"})
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"mine")
    with pytest.raises(NotADirectoryError) as raised:
        replace_files(str(tmp_path / "taken"), {"one": b"1"})
    assert raised.value.filename == str(tmp_path / "taken")
    assert contents(tmp_path) == {"taken": b"mine"}
