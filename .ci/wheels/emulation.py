"""Runs a wheel for AArch64 on another machine: Debian's Python for it, in QEMU's user mode.

The packages are unpacked into a folder under build/; the system is left as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from common import FOLDER, Unpacked, find_sdist, remove_sources, run

TOOLS = ("qemu-aarch64", "apt-get", "dpkg-deb")
PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
# The oldest glibc of each is not newer than Debian's; pip takes none that is not listed.
TAGS = ("manylinux2014", "manylinux_2_17", "manylinux_2_27", "manylinux_2_28")
TESTS = ("tests/kernels/test_kernels.py", "tests/layers")
# Measures the memory of the process, which here is the emulator's.
LEFT_OUT = "not freed_memory_is_limited"


def run_tests(wheel: Path, version: str, python: Path) -> None:
    """Run the tests of kernels and layers, and train once; or say in a line why not."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        print(f"{wheel.name}: not run: needs Debian with qemu-user; missing: {', '.join(missing)}")
        return
    folder = FOLDER / "aarch64"
    if not (folder / "complete").exists():
        unpack_debian(folder)
        (folder / "complete").touch()
    root = folder / "root"
    if not (root / "usr" / "bin" / f"python{version}").exists():
        print(f"{wheel.name}: not run: Debian has no CPython {version} here")
        return
    interpreter = folder / "python"
    interpreter.write_text(
        f'#!/bin/sh\nexec qemu-aarch64 -L "{root}" "{root}/usr/bin/python{version}" "$@"\n'
    )
    interpreter.chmod(0o755)
    site = folder / "site"
    install(wheel, version, python, site)
    # Tests start further interpreters, which need the emulator, too.
    (site / "sitecustomize.py").write_text(f'import sys\nsys.executable = "{interpreter}"\n')
    settings = os.environ | {"PYTHONPATH": str(site)}
    with Unpacked(find_sdist()) as source:
        remove_sources(source)
        print(f"{wheel.name}: training on CPython {version}, emulated", flush=True)
        pairs = source / "pairs.tsv"
        pairs.write_text("".join(f"{n}\t{n % 7}\n" for n in range(200)), encoding="utf-8")
        train = (
            "train",
            pairs,
            "-o",
            source / "model.safetensors",
            "--epochs",
            "2",
            "--hidden-size",
            "16",
        )
        run(interpreter, "-m", "fastseq", *train, cwd=source, env=settings)
        print(f"{wheel.name}: tests on CPython {version}, emulated", flush=True)
        pytest = ("-m", "pytest", "-q", "-k", LEFT_OUT, *TESTS)
        run(interpreter, *pytest, cwd=source, env=settings)


def unpack_debian(folder: Path) -> None:
    """Download Debian's Python for AArch64 and what it needs, and unpack it below root/."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("lists/partial", "archives/partial", "root"):
        (folder / name).mkdir(parents=True)
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "root",
        "Dir::State::status": "/dev/null",
        "Dir::State::extended_states": "/dev/null",
        "Dir::State::lists": str(folder / "lists"),
        "Dir::Cache": str(folder),
        "Debug::NoLocking": "1",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    run(*apt, "update")
    get = (*apt, "install", "-y", "--no-install-recommends", "--download-only", *PACKAGES)
    subprocess.run(get, check=True, stdout=subprocess.DEVNULL)
    for package in sorted(folder.glob("archives/*.deb")):
        run("dpkg-deb", "-x", package, folder / "root")


def install(wheel: Path, version: str, python: Path, site: Path) -> None:
    """Install a wheel and what it needs for AArch64 into a folder."""
    shutil.rmtree(site, ignore_errors=True)
    platforms = [f"--platform={tag}_aarch64" for tag in TAGS]
    options = ("--only-binary=:all:", "--python-version", version, "--target", site, *platforms)
    pip = (python, "-m", "pip", "install", "-qq", "--disable-pip-version-check")
    run(*pip, *options, wheel, "pytest", "hypothesis")
