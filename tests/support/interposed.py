"""Runs Python programs whose system calls are logged, fail or kill: see interposed.c."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[1] / "processes" / "interposed.c"
KILL = -1


def why_not() -> str | None:
    """Why such programs do not run here; None where they do."""
    if sys.platform != "linux":
        return "needs LD_PRELOAD and /proc"
    return None if shutil.which("cc") else "needs a C compiler"


def build(folder: Path) -> Path:
    """Compile the library into a folder."""
    library = folder / "interposed.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE)]
    subprocess.run([*command, "-ldl"], check=True, timeout=60)
    return library


def run(library: Path, file: str, function: str, *arguments: Any, timeout: float = 600) -> str:
    """Call a function of a test file in a process with the library; what it prints."""
    # behind a sanitizer, which has to come first
    preloaded = ":".join(filter(None, (os.environ.get("LD_PRELOAD"), str(library))))
    program = (
        f"import sys; sys.path[:0] = {sys.path!r}; import runpy; "
        f"runpy.run_path({file!r})[{function!r}](*{tuple(map(str, arguments))!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"LD_PRELOAD": preloaded, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def plan(call: int, error: int) -> None:
    """In such a program: let the call of this number fail with an errno, or KILL."""
    ctypes.CDLL(None).interposed_plan(call, error)


def calls() -> int:
    """In such a program: how many calls there were since `plan`."""
    return int(ctypes.CDLL(None).interposed_calls())


def log() -> list[str]:
    """In such a program: the calls since `plan`, each with its file."""
    function = ctypes.CDLL(None).interposed_log
    function.restype = ctypes.c_char_p
    return [*function().decode().splitlines()]
