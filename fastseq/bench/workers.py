"""A process for each backend, instruction set and number of threads, controlled over pipes.

The threads of a pool keep spinning for a while after a call and slow other backends in the same
process, and so does an allocator's state. So each backend has a process of its own, which sleeps,
blocked on reading its standard input, until it gets a request.

The protocol: one line of JSON a message. The first is the workload (`workloads.as_message`). The
worker sends one message when it is ready, with its number of threads and precision; then it
responds to each of

    {"do": "results", "file": PATH}     run the workload, store what must agree between backends
                                        -> {"done": true}
    {"do": "run", "steps": K}           one step untimed, then K steps
                                        -> {"seconds": [K numbers]}
    {"do": "peak"}                      -> {"bytes": the most memory that was resident, or null}

and ends with its standard input. ``python -m fastseq.bench.workers BACKEND`` is a worker.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from fastseq.bench.backends import Backend
from fastseq.bench.workloads import Peak, Workload, as_message, from_message

Array = npt.NDArray[Any]

THREAD_VARIABLES = (
    "FASTSEQ_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NPROC",  # XLA's
)

# What a worker does not inherit: without bytecode each import would compile again, and OpenBLAS
# bound to the kernels of an older processor would slow the reference and lower the peak. Those of
# fastseq are set where fastseq is the backend.
_DROPPED_VARIABLES = (
    *("PYTHONDONTWRITEBYTECODE", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"),
    *("FASTSEQ_ISA", "FASTSEQ_PRECISION"),
)


class WorkerError(Exception):
    """A worker ended, or uses another number of threads."""


class Worker:
    """One backend, one workload, one number of threads, in a process of its own.

    Parameters
    ----------
    backend : Backend
    workload : Workload or Peak
    threads : int
        Set in the environment of the process, so that it holds before NumPy is imported; 1 for a
        backend of one thread.
    folder : Path
        For the results; the caller removes it after `close`.

    Attributes
    ----------
    about : dict
        The number of threads and the precision, where the backend reports them; filled by
        `wait_until_ready`.
    """

    def __init__(
        self, backend: Backend, workload: Workload | Peak, threads: int, folder: Path
    ) -> None:
        self.backend, self.workload, self.threads = backend, workload, backend.threads(threads)
        self._folder = folder
        self.about: dict[str, Any] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fastseq.bench.workers", backend.name],
            env=_environment(backend, workload, self.threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C reaches only the parent, which ends the worker
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # ended already: `wait_until_ready` raises
            _send(self._process.stdin, as_message(workload))

    def wait_until_ready(self) -> None:
        """Wait until the process has imported its backend and built the workload.

        Raises
        ------
        WorkerError
            The process ended.
        """
        self.about = self._answer()["about"]

    def results(self) -> dict[str, Array]:
        """Run the workload as often as the comparison needs; its results, by name."""
        file = self._folder / f"{self.backend}.npz"
        self._ask({"do": "results", "file": str(file)})
        with np.load(file) as arrays:
            return dict(arrays)

    def run(self, steps: int) -> list[float]:
        """Do one step untimed, then some steps; the seconds that each of these took."""
        seconds: list[float] = self._ask({"do": "run", "steps": steps})["seconds"]
        return seconds

    def peak_bytes(self) -> int | None:
        """The most memory that was resident in the process so far; None if unknown."""
        peak: int | None = self._ask({"do": "peak"})["bytes"]
        return peak

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):  # a message was still unread
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
            f"the worker of {self.backend} ({self.workload.name}, threads: {self.threads}) ended "
            f"with status {status}; its own message is above"
        )


@contextlib.contextmanager
def busy_cores(count: int) -> Iterator[None]:
    """Keep this many cores busy, with a process for each, while the block runs."""
    spinning = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def _environment(backend: Backend, workload: Workload | Peak, threads: int) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if k not in _DROPPED_VARIABLES}
    environment = inherited | dict.fromkeys(THREAD_VARIABLES, str(threads))
    if backend.library == "fastseq":
        environment["FASTSEQ_PRECISION"] = backend.precision(workload)
    if backend.isa is not None:
        environment["FASTSEQ_ISA"] = backend.isa
    return environment


def _send(stream: IO[str], message: dict[str, Any]) -> None:
    stream.write(json.dumps(message) + "\n")
    stream.flush()


def _main(backend: str) -> None:
    """Run as a worker."""
    # What a backend prints goes to standard error, not among the responses.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    from fastseq.bench.backends.numpy_layers import prepare
    from fastseq.bench.memory import forget_peak

    prepared = prepare(backend, from_message(json.loads(sys.stdin.readline())))
    _send(answers, {"about": prepared.about})

    for line in sys.stdin:
        message = json.loads(line)
        if message["do"] == "results":
            np.savez(message["file"], **prepared.results())
            forget_peak()  # the comparison's memory is not the workload's
            _send(answers, {"done": True})
        elif message["do"] == "run":
            _send(answers, {"seconds": _timed(prepared.step, message["steps"])})
        else:
            _send(answers, {"bytes": prepared.peak_bytes()})


def _timed(step: Callable[[], Any], steps: int) -> list[float]:
    step()  # fills the caches after another process's turn
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    _main(*sys.argv[1:])
