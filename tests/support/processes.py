"""Processes: the command line of fastseq, other programs, and the address sanitizer around them."""

import os
import subprocess
import sys
from typing import Any

FASTSEQ = [sys.executable, "-m", "fastseq"]
# Whether the address sanitizer has been preloaded, as `make test-sanitize` does.
SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")


def environment(**changes: str) -> dict[str, str]:
    """The environment of a process with buffered output, the default."""
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    return inherited | {"OMP_NUM_THREADS": "1"} | changes


def without_preloaded() -> dict[str, str]:
    """The environment of a program without fastseq: some wait for ever beneath the sanitizer."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def fastseq_process(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run fastseq and wait for its end."""
    settings = {"stderr": subprocess.PIPE, "env": environment(), "timeout": 100} | settings
    return subprocess.run([*FASTSEQ, *arguments], text=True, encoding="utf-8", **settings)


def start_fastseq(*arguments: str, **settings: Any) -> "subprocess.Popen[bytes]":
    """Start fastseq with its standard streams as pipes."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*FASTSEQ, *arguments], env=environment(), **(pipes | settings))


def one_line(error: str) -> str:
    """The only line of a message on standard error."""
    [line] = error.splitlines()
    return line
