"""A process for each library, instruction set and number of threads, asked over pipes.

Thread pools of two libraries in one process keep spinning after a call and slow whoever runs next,
and an allocator remembers what the other library freed. So each library works in a process of its
own, which sleeps, blocked on reading its standard input, until it is asked.

The protocol: one line of JSON a message. The worker is first told the work (`works.as_message`).
It says once that it is ready, and what runs in it; then it answers each of

    {"do": "results", "file": PATH}     run the work, store what must agree between libraries
                                        -> {"done": true}
    {"do": "run", "steps": K}           one step untimed, then K steps
                                        -> {"seconds": [K numbers]}
    {"do": "peak"}                      -> {"bytes": the most memory that was resident, or null}

and ends when its standard input does. ``python -m fastseq.bench.workers LIBRARY`` is a worker.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastseq.bench.workloads import Limit, Work, as_message, from_message

Array = npt.NDArray[Any]

THREAD_VARIABLES = (
    "FASTSEQ_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NPROC",  # XLA's
)

# What a worker does not inherit: without bytecode each import would be compiled anew, and OpenBLAS
# bound to the kernels of an older processor would make the reference slow, and the limit none.
_DROPPED_VARIABLES = ("PYTHONDONTWRITEBYTECODE", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


class WorkerError(Exception):
    """A worker ended, or said something else than an answer."""


class Contestant(NamedTuple):
    """Who carries a work out.

    Attributes
    ----------
    library : str
        A key of `libraries.MODULES`, or "limit".
    isa : str or None
        The instruction set of fastseq's kernels; None for every other library.
    """

    library: str
    isa: str | None = None

    def __str__(self) -> str:
        return f"{self.library} {self.isa}" if self.isa else self.library


class Worker:
    """One contestant, one work, one number of threads, in a process of its own.

    Parameters
    ----------
    contestant : Contestant
    work : Work or Limit
    threads : int
        Set in the environment of the process, so that it holds before NumPy is imported.
    folder : Path
        Where results may be stored; theirs who made it to remove, after `close`.

    Attributes
    ----------
    about : dict
        What the worker said of itself; filled by `wait_until_ready`.
    """

    def __init__(
        self, contestant: Contestant, work: Work | Limit, threads: int, folder: Path
    ) -> None:
        self.contestant, self.work, self.threads = contestant, work, threads
        self._folder = folder
        self.about: dict[str, Any] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fastseq.bench.workers", contestant.library],
            env=_environment(contestant, threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the parent, which then ends the worker
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already; waiting tells
            _send(self._process.stdin, as_message(work))

    def wait_until_ready(self) -> None:
        """Let the process import its library and build the work.

        Raises
        ------
        WorkerError
            It ended instead.
        """
        self.about = self._answer()["about"]

    def results(self) -> dict[str, Array]:
        """Run the work as often as the comparison needs; what it gave, by name."""
        file = self._folder / f"{self.contestant}.npz"
        self._ask({"do": "results", "file": str(file)})
        with np.load(file) as arrays:
            return dict(arrays)

    def run(self, steps: int) -> list[float]:
        """Do one step untimed, then some steps; the seconds that each of these took."""
        seconds: list[float] = self._ask({"do": "run", "steps": steps})["seconds"]
        return seconds

    def peak_bytes(self) -> int | None:
        """The most memory that was resident in the process so far; None where nothing tells."""
        peak: int | None = self._ask({"do": "peak"})["bytes"]
        return peak

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):  # where a message of ours is still unread
            self._process.stdin.close()
        self._process.stdout.close()

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            _send(self._process.stdin, message)
        except BrokenPipeError as error:
            raise self._ended() from error
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ended(self) -> WorkerError:
        status = self._process.wait()
        return WorkerError(
            f"the worker of {self.contestant} ({self.work.name}, threads: {self.threads}) ended "
            f"with status {status}; its own message is above"
        )


def _environment(contestant: Contestant, threads: int) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if k not in _DROPPED_VARIABLES}
    environment = inherited | dict.fromkeys(THREAD_VARIABLES, str(threads))
    if contestant.isa is not None:
        environment["FASTSEQ_ISA"] = contestant.isa
    return environment


def _send(stream: IO[str], message: dict[str, Any]) -> None:
    stream.write(json.dumps(message) + "\n")
    stream.flush()


def _main(library: str) -> None:
    """Be a worker."""
    # Whatever a library prints must not get among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    from fastseq.bench.backends.numpy_layers import prepare
    from fastseq.bench.memory import forget_peak

    prepared = prepare(library, from_message(json.loads(sys.stdin.readline())))
    _send(answers, {"about": prepared.about})

    for line in sys.stdin:
        message = json.loads(line)
        if message["do"] == "results":
            np.savez(message["file"], **prepared.results())
            forget_peak()  # what was kept for the comparison is no part of the work
            _send(answers, {"done": True})
        elif message["do"] == "run":
            _send(answers, {"seconds": _timed(prepared.step, message["steps"])})
        else:
            _send(answers, {"bytes": prepared.peak_bytes()})


def _timed(step: Callable[[], Any], steps: int) -> list[float]:
    step()  # the caches are another process's
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    _main(*sys.argv[1:])
