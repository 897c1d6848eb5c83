"""Ranks for tests: threads of this process, and processes that mpiexec starts."""

import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.processes import FASTSEQ, environment

MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")

needs_mpi = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
    reason="no mpiexec, or no mpi4py",
)


class ThreadRanks:
    """One of several ranks, each a thread."""

    def __init__(self, rank: int, size: int, barrier: threading.Barrier, board: list[Any]) -> None:
        self.rank, self.size = rank, size
        self._barrier, self._board = barrier, board

    def exchange(self, rows: Any) -> Any:
        return np.stack([rows_of_one[self.rank] for rows_of_one in self._all(rows)])

    def collect(self, array: Any) -> Any:
        return np.stack(self._all(array))

    def expect_end(self) -> None:
        pass

    def _all(self, value: Any) -> list[Any]:
        self._board[self.rank] = value.copy()
        self._barrier.wait(60)
        found = list(self._board)
        self._barrier.wait(60)
        return found


def on_threads(
    size: int, function: Callable[[Any], Any], kind: type[ThreadRanks] = ThreadRanks
) -> list[Any]:
    """The result of a function of each rank, or what it has raised."""
    results: list[Any] = [None] * size
    barrier, board = threading.Barrier(size), [None] * size

    def run(rank: int) -> None:
        try:
            results[rank] = function(kind(rank, size, barrier, board))
        except Exception as error:
            results[rank] = error

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def start_ranks(count: int, *arguments: Any, **settings: Any) -> "subprocess.Popen[str]":
    """Start fastseq on several ranks, more of them than there may be cores."""
    # a container's user is often root, whom Open MPI wants to be sure
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    assert MPIEXEC is not None
    command = [MPIEXEC, "-n", str(count), "--oversubscribe", *FASTSEQ, *map(str, arguments)]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=environment(**root), **(pipes | settings))
