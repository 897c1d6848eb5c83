"""A process for each library and number of threads, asked over pipes.

Thread pools of two libraries in one process keep spinning after a call and slow whoever runs next,
and an allocator remembers what the other library freed. So each library works in a process of its
own, which sleeps, blocked on reading its standard input, until it is asked.

The protocol: one line of JSON a message. The worker says once that it is ready, and what runs in
it; then it answers each of

    {"do": "results", "file": PATH}     run the work, store what must agree between libraries
                                        -> {"done": true}
    {"do": "run", "steps": K}           one step untimed, then K steps
                                        -> {"seconds": [K numbers]}

and ends when its standard input does. This file is run as a script to be a worker.
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
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class WorkerError(Exception):
    """A worker ended, or said something else than an answer."""


class Worker:
    """One library, one work, one number of threads, in a process of its own.

    Parameters
    ----------
    library, work : str
        Names, as in `libraries.py` and `works.py`.
    threads : int
        Set in the environment of the process, so that it holds before NumPy is imported.
    folder : Path
        Where results may be stored; theirs who made it to remove, after `close`.

    Attributes
    ----------
    about : dict
        What the worker said of itself; filled by `wait_until_ready`.
    """

    def __init__(self, library: str, work: str, threads: int, folder: Path) -> None:
        self.library, self.work, self.threads = library, work, threads
        self._folder = folder
        self.about: dict[str, Any] = {}
        self._process = subprocess.Popen(
            [sys.executable, __file__, library, work],
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the parent, which then ends the worker
        )

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
        file = self._folder / f"{self.library}-{self.threads}.npz"
        self._ask({"do": "results", "file": str(file)})
        with np.load(file) as arrays:
            return dict(arrays)

    def run(self, steps: int) -> list[float]:
        """Do one step untimed, then some steps; the seconds that each of these took."""
        seconds: list[float] = self._ask({"do": "run", "steps": steps})["seconds"]
        return seconds

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
            f"the worker of {self.library} ({self.work}, threads: {self.threads}) ended "
            f"with status {status}; its own message is above"
        )


def _send(stream: IO[str], message: dict[str, Any]) -> None:
    stream.write(json.dumps(message) + "\n")
    stream.flush()


def _main(library: str, work_name: str) -> None:
    """Be a worker."""
    # Whatever a library prints must not get among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    import libraries
    from works import WORKS, Limit

    work = Limit() if library == "limit" else WORKS[work_name]
    prepared = libraries.prepare(library, work)
    _send(answers, {"about": prepared.about})

    for line in sys.stdin:
        message = json.loads(line)
        if message["do"] == "results":
            np.savez(message["file"], **prepared.results())
            _send(answers, {"done": True})
        else:
            _send(answers, {"seconds": _timed(prepared.step, message["steps"])})


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
