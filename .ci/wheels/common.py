"""What the steps share: the platforms, the Pythons, the folders, and commands that are run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
FOLDER = ROOT / "build" / "wheels"  # of environments
OLDEST = (3, 11)


class Platform(NamedTuple):
    """A platform that wheels are built for."""

    tag: str  # of the wheel
    target: str  # as Clang spells it, with the oldest version of its C library
    machine: str
    c_library: str  # what a loaded module says that it needs

    @property
    def triplet(self) -> str:
        """As the file names of extension modules spell it."""
        return f"{self.machine}-linux-{'musl' if 'musl' in self.target else 'gnu'}"


PLATFORMS = (
    Platform("manylinux_2_17_x86_64", "x86_64-linux-gnu.2.17", "x86_64", "libc.so.6"),
    Platform("manylinux_2_17_aarch64", "aarch64-linux-gnu.2.17", "aarch64", "libc.so.6"),
    Platform("musllinux_1_2_x86_64", "x86_64-linux-musl", "x86_64", "libc.musl-x86_64.so.1"),
    Platform("musllinux_1_2_aarch64", "aarch64-linux-musl", "aarch64", "libc.musl-aarch64.so.1"),
)


def find_pythons() -> dict[str, Path]:
    """Each CPython that is new enough, by its version ``3.N``, on PATH or installed by pyenv."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    folders += sorted(Path.home().glob(".pyenv/versions/*/bin"))
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("python3.*")):
            match = re.fullmatch(r"python3\.(\d+)", path.name)
            if not match or (3, int(match[1])) < OLDEST or f"3.{match[1]}" in found:
                continue
            if subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
                found[f"3.{match[1]}"] = path
    return dict(sorted(found.items(), key=lambda item: int(item[0].partition(".")[2])))


def environment(name: str, python: Path, packages: Sequence[str]) -> Path:
    """The interpreter of a virtual environment under build/, made if need be."""
    folder = FOLDER / name
    interpreter = folder / "bin" / "python"
    complete = folder / "complete"  # absent after an interrupted installation
    if not complete.exists():
        run(python, "-m", "venv", "--clear", folder)
        run(interpreter, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *packages)
        complete.touch()
    return interpreter


def run(
    *command: str | Path, cwd: str | Path | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Run a command and show its output; CalledProcessError if it fails."""
    subprocess.run([str(each) for each in command], check=True, cwd=cwd, env=env)


def find_sdist() -> Path:
    """The sdist in dist/; there must be one."""
    found = list(DIST.glob("*.tar.gz"))
    if len(found) != 1:
        raise SystemExit(
            f"dist/: expected one sdist, got {len(found)}: run `python .ci/wheels build` first"
        )
    return found[0]


class Unpacked:
    """The folder of an unpacked sdist, for the length of a ``with``."""

    def __init__(self, sdist: Path) -> None:
        self._sdist = sdist
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> Path:
        with tarfile.open(self._sdist) as archive:
            archive.extractall(self._folder.name, filter="data")
        (source,) = Path(self._folder.name).iterdir()
        return source

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def remove_sources(source: Path) -> None:
    """Remove the package from an unpacked sdist, so that the installed one is imported."""
    for name in ("fastseq", "python"):
        shutil.rmtree(source / name)
