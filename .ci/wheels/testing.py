"""Installs the wheels, and runs the tests of the sdist on them, without the package's sources."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import emulation
from common import (
    DIST,
    FOLDER,
    Platform,
    Unpacked,
    environment,
    find_sdist,
    remove_sources,
    run,
)

# Without these the tests of setup.py and of the estimator's interface are skipped.
TEST_TOOLS = ("setuptools>=77", "scikit-learn>=1.6")


def test(pythons: dict[str, Path], platforms: Sequence[Platform]) -> None:
    """Run all tests on the wheels for x86-64 and glibc, and some, emulated, on those for AArch64.

    The wheels for musl need a Python that is built with musl, which only a system based on it has.
    """
    for platform in platforms:
        for version, path in pythons.items():
            pattern = f"*-cp{version.replace('.', '')}-*{platform.tag}.whl"
            for wheel in sorted(DIST.glob(pattern)):
                if "musl" in platform.target:
                    print(f"{wheel.name}: not run: needs a Python that is built with musl")
                elif platform.machine == "x86_64":
                    run_tests(wheel, version, path)
                else:
                    emulation.run_tests(wheel, version, path)


def run_tests(wheel: Path, version: str, python: Path) -> None:
    """Run all tests on a wheel in a new environment."""
    shutil.rmtree(FOLDER / f"test-{version}", ignore_errors=True)
    tester = environment(f"test-{version}", python, [f"{wheel}[test]", *TEST_TOOLS])
    with Unpacked(find_sdist()) as source:
        remove_sources(source)
        print(f"{wheel.name}: the tests on CPython {version}", flush=True)
        run(tester, "-m", "fastseq", "info", cwd=source)
        run(tester, "-m", "pytest", "-q", cwd=source)
