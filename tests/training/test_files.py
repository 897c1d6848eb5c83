"""Files that are replaced whole: what a killed process left is removed, all else stays."""

import os
import time
from pathlib import Path

import pytest

from fastseq.files import replace_file


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
