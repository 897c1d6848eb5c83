"""Files of parameters that cannot be written, or not to the end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from fastseq.files import replace_file
from support.models.parameter_files import Two

# ---- writing that fails ----


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "a.pkl"
    model = Two()
    model.save_params(path)
    content = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    model.params[0][...] = 7
    with pytest.raises(OSError, match=r"No space left on device: .*a\.pkl") as caught:
        model.save_params(path)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["a.pkl"]


def test_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pkl"
    model = Two()
    model.save_params(path)
    content = path.read_bytes()

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.save_params(path)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["a.pkl"]


def test_file_is_flushed_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor: int) -> None:
        calls.append("fsync")
        fsync(descriptor)

    def watched_replace(source: str, target: str) -> None:
        calls.append("replace")
        assert os.path.dirname(source) == os.path.dirname(target)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    Two().save_params(tmp_path / "a.pkl")
    assert calls == ["fsync", "replace", "fsync"]  # the file; the folder with its new name


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing/a\.pkl|missing.*a\.pkl"):
        Two().save_params(tmp_path / "missing" / "a.pkl")
    (tmp_path / "folder.pkl").mkdir()
    with pytest.raises(OSError, match=r"folder\.pkl"):
        Two().save_params(tmp_path / "folder.pkl")
    with pytest.raises(OSError, match=r"folder\.pkl"):
        Two().load_params(tmp_path / "folder.pkl")
    assert os.listdir(tmp_path) == ["folder.pkl"]


@pytest.mark.skipif(os.name != "posix", reason="symbolic links and modes as POSIX has them")
def test_link_and_mode(tmp_path: Path) -> None:
    (tmp_path / "link.pkl").symlink_to(tmp_path / "target.pkl")
    Two().save_params(tmp_path / "link.pkl")
    assert (tmp_path / "link.pkl").is_symlink()
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "target.pkl").stat().st_mode == (tmp_path / "plain").stat().st_mode
    Two().load_params(tmp_path / "link.pkl")


@pytest.mark.skipif(os.name != "posix", reason="modes as POSIX has them")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_a_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    path.chmod(mode)
    replace_file(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(os.name != "posix", reason="modes as POSIX has them")
def test_content_is_never_more_readable_than_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    path.chmod(0o600)
    seen: list[int] = []

    def sync(descriptor: int) -> None:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))

    monkeypatch.setattr(os, "fsync", sync)
    replace_file(str(path), b"new")
    assert seen[0] == 0o600
    assert len(seen) == 2  # the file, and the folder with its new name


@pytest.mark.skipif(os.name != "posix", reason="modes as POSIX has them")
def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    replace_file(str(tmp_path / "new"), b"new")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "other").stat().st_mode
