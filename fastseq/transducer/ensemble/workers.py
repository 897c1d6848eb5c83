"""Training several models at once: a process for each, which is controlled over pipes.

A worker reads one `Job` from its standard input, trains, and writes messages to its standard
output: the logs of each epoch, then the model. The end of its input, also that of a parent which
was killed, ends its training after the current step. All of it is pickled; both ends are this
module, and `serve` is a worker.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from fastseq._kernels import set_num_threads, set_precision
from fastseq.transducer.training.interrupt import ends_cleanly

if TYPE_CHECKING:
    from fastseq.transducer.estimator import Transducer

_SECONDS_BETWEEN_LOOKS = 0.2


class Job(NamedTuple):
    """One model to train: it, the arguments of its `fit`, on how many threads, how precisely."""

    model: Transducer
    pairs: tuple[Any, Any]
    options: dict[str, Any]
    threads: int
    precision: str


class Result(NamedTuple):
    """What has become of a job: its model, as far as there is one, and what has ended it."""

    model: Transducer | None = None
    error: Exception | None = None


class Workers:
    """Trains models in processes of their own, some at a time.

    Parameters
    ----------
    jobs : sequence of Job
    processes : int
        How many at a time.

    Attributes
    ----------
    results : list of Result
        One for each job, in their order.
    interrupted : bool
        Whether Ctrl-C has ended the training; set from outside, it does.
    """

    def __init__(self, jobs: Sequence[Job], processes: int) -> None:
        self.results = [Result() for _ in jobs]
        self.interrupted = False
        self._waiting = list(enumerate(jobs))
        self._processes = processes
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._messages: queue.Queue[tuple[int, Any]] = queue.Queue()
        self._stopped = False

    def run(self, end_epoch: Callable[[int, dict[str, Any]], None]) -> None:
        """Train until all models are trained, one fails, or Ctrl-C.

        Ctrl-C and a failure end the others after their current step; their models are kept.

        Parameters
        ----------
        end_epoch : callable
            Called with the number of the job and the logs of each epoch, as they come.
        """
        try:
            with ends_cleanly(self):
                self._start()
                while self._running:
                    if self.interrupted and not self._stopped:
                        self._stop()
                    with contextlib.suppress(queue.Empty):
                        number, message = self._messages.get(timeout=_SECONDS_BETWEEN_LOOKS)
                        if isinstance(message, Result):
                            self._finish(number, message)
                        else:
                            end_epoch(number, message)
        finally:
            for process in self._running.values():
                process.kill()
            for process in self._running.values():
                _close(process)

    def _start(self) -> None:
        """Fill the free places with the next jobs."""
        started = []
        while self._waiting and len(self._running) < self._processes and not self._stopped:
            number, job = self._waiting.pop(0)
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", f"from {__name__} import serve; serve()"],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C reaches only the parent, which ends the worker
            )
            self._running[number] = process
            started.append((number, process, job))
        for number, process, job in started:
            assert process.stdin is not None
            with contextlib.suppress(OSError):  # ended already, which `_listen` finds too
                _send(process.stdin, job)
            threading.Thread(target=self._listen, args=(number, process), daemon=True).start()

    def _listen(self, number: int, process: subprocess.Popen[bytes]) -> None:
        """Pass on what a process writes."""
        assert process.stdout is not None
        message: Any = None
        try:
            while not isinstance(message, Result):
                message = pickle.load(process.stdout)
                self._messages.put((number, message))
        except Exception as error:  # whatever the pickles are: `run` waits for a result
            process.kill()
            if self._stopped:
                self._messages.put((number, Result()))
                return
            lost = RuntimeError(f"the process that trained model {number + 1} was lost: {error!r}")
            self._messages.put((number, Result(error=lost)))

    def _finish(self, number: int, result: Result) -> None:
        """Take a result; go on with the next job, or end the others where this one failed."""
        self.results[number] = result
        _close(self._running.pop(number))
        if result.error is not None:
            self._stop()
        self._start()

    def _stop(self) -> None:
        """Let no job begin, and end those that are running after their current step."""
        self._stopped = True
        for process in self._running.values():
            assert process.stdin is not None
            with contextlib.suppress(OSError):  # it has ended
                process.stdin.close()


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):  # a message was still unread
                stream.close()
    process.wait()


def _send(stream: IO[bytes], message: Any) -> None:
    pickle.dump(message, stream)
    stream.flush()


class _Messenger:
    """Tells the parent of each epoch."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def on_epoch_end(self, _: Transducer, logs: dict[str, Any]) -> None:
        _send(self._stream, logs)

    on_final_epoch_end = on_epoch_end


def _train(job: Job, stream: IO[bytes], ended: threading.Event) -> Result:
    model, error = job.model, None
    start = getattr(model, "network_", None)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if ended.is_set():
            return Result()
        model.fit(*job.pairs, callbacks=[_Messenger(stream)], progress=False, **job.options)
    except KeyboardInterrupt:  # before the first step
        return Result()
    except Exception as caught:
        error = caught
    return Result(model if getattr(model, "network_", None) is not start else None, error)


def serve() -> None:
    """Be a worker."""
    # Only while it trains is the end of the input a Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What is printed goes to standard error, not among the messages.
    messages = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    job: Job = pickle.load(sys.stdin.buffer)
    set_num_threads(job.threads)
    set_precision(job.precision)
    ended = threading.Event()

    def end_with_the_input() -> None:
        while os.read(0, 1):
            pass
        ended.set()
        _thread.interrupt_main()

    threading.Thread(target=end_with_the_input, daemon=True).start()
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # the parent says it
    with contextlib.suppress(BrokenPipeError):  # the parent was killed
        result = _train(job, messages, ended)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # or the message would be cut
        _send(messages, result)
        messages.close()
