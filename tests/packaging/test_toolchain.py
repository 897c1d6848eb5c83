"""A build that cannot succeed ends with one line, which says what to install; no traceback.

setup.py is run with compilers that are scripts: each refuses what a real one without its headers or
libraries would refuse.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.skipif(
        not (ROOT / "setup.py").exists() or not (ROOT / "fastseq").is_dir(),
        reason="the sources are not here: only the installed package is",
    ),
    pytest.mark.skipif(os.name == "nt", reason="the compilers are shell scripts"),
]

CompilerThat = Callable[[str], Path]


@pytest.fixture
def compiler_that(tmp_path: Path) -> CompilerThat:
    """Write a compiler: the real one, after the lines of shell given, for each argument $each."""
    real = shutil.which(os.environ.get("CC", "cc").split()[0])
    if real is None:
        pytest.skip("there is no C compiler")

    def write(for_each_argument: str) -> Path:
        script = tmp_path / "compiler"
        script.write_text(
            f'#!/bin/sh\nfor each in "$@"; do {for_each_argument}; done\nexec "{real}" "$@"\n'
        )
        script.chmod(0o755)
        return script

    return write


def build(
    folder: Path, compiler: Path, path: str | None = None, root: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run setup.py with a compiler; its own files are written below `folder`."""
    pytest.importorskip("setuptools.modified", reason="setup.py needs setuptools >= 77")
    pytest.importorskip("Cython", reason="setup.py needs Cython")
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("LDSHARED", "FASTSEQ_DEBUG", "FASTSEQ_SANITIZE", "LD_PRELOAD")
    }
    environment |= {"CC": str(compiler), "PATH": path or os.environ["PATH"]}
    command = [sys.executable, "setup.py", "build_ext"]
    command += ["--build-temp", str(folder / "objects"), "--build-lib", str(folder / "modules")]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """The last line on standard error, of a build that failed without a traceback."""
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("compiler", ["/nonexistent", "cc"])
def test_without_a_compiler_the_last_line_says_how_to_get_one(
    compiler: str, tmp_path: Path
) -> None:
    line = last_line(build(tmp_path, Path(compiler), path=str(tmp_path)))
    assert line.startswith(f"error: fastseq needs a C compiler, and {compiler} compiles nothing; ")
    assert "apt install build-essential python3-dev" in line
    assert "xcode-select --install" in line
    assert "clang-cl" in line


def test_a_compiler_without_the_c_library_is_none(
    compiler_that: CompilerThat, tmp_path: Path
) -> None:
    compiler = compiler_that('[ "$each" = -shared ] && exit 1')
    line = last_line(build(tmp_path, compiler))
    assert line.startswith(f"error: fastseq needs a C compiler, and {compiler} compiles nothing; ")


def test_without_the_headers_of_python_the_last_line_says_how_to_get_them(
    compiler_that: CompilerThat, tmp_path: Path
) -> None:
    line = last_line(build(tmp_path, compiler_that('grep -qs "<Python.h>" -- "$each" && exit 1')))
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert line.startswith(f"error: fastseq needs Python.h, a header of Python {version}, ")
    assert "apt install python3-dev" in line


NO_THREADS = "fastseq: no threads: this compiler does not link POSIX threads (-pthread)"


def test_a_build_without_threads_says_so(compiler_that: CompilerThat, tmp_path: Path) -> None:
    # it stops at the first file of csrc, after the probes
    compiler = compiler_that('case "$each" in -pthread|csrc/*) exit 1;; esac')
    done = build(tmp_path, compiler)
    assert [line for line in done.stdout.splitlines() if line.startswith(NO_THREADS)] != []
    done = build(tmp_path, compiler_that('case "$each" in csrc/*) exit 1;; esac'))
    assert "no threads" not in done.stdout


@pytest.mark.slow
def test_a_build_without_threads_computes(compiler_that: CompilerThat, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("csrc", "fastseq", "python", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("*.so", "*.c") if name == "fastseq" else None
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source)
    compiler = compiler_that('[ "$each" = -pthread ] && exit 1')
    done = build(tmp_path, compiler, root=source)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if re.match("csrc/.*warning:", line)] == []
    shutil.copytree(tmp_path / "modules", source, dirs_exist_ok=True)
    program = (
        "import json, numpy, fastseq, fastseq.config\n"
        "from fastseq.layers import TimeLSTM\n"
        "print(json.dumps(fastseq.config.get_config()))\n"
        "Wx, Wh, b = (numpy.full(s, 0.01, 'f') for s in ((64, 1024), (256, 1024), (1024,)))\n"
        "hs = TimeLSTM(Wx, Wh, b).forward(numpy.ones((64, 5, 64), 'f'))\n"
        "assert numpy.isfinite(hs).all() and hs.any()\n"
        "try:\n"
        "    fastseq.set_num_threads(2)\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    environment = os.environ | {"FASTSEQ_NUM_THREADS": "4"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=source, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    config, refusal = done.stdout.splitlines()
    assert json.loads(config)["threads"] == 1
    assert json.loads(config)["build"]["thread_api"] == "none: every call runs on one"
    assert refusal == "num_threads: expected 1 (this build has no threads), got 2"
