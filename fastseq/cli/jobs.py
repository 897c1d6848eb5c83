"""Answers by several processes of this machine, in the order of the questions.

The questions are read and sent in the main thread, a bounded number ahead; a second thread takes
the answers in their order, so that an answer is printed as soon as it is there, also while the main
thread waits for more to read.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastseq import Ensemble, Transducer
    from fastseq.transducer.data.forms import Text

    Answers = list[list[Any]]

_AHEAD = 4  # of each process: one to work on, and what evens out long and short ones

_model: Transducer | Ensemble


def answer_in_order(
    model: Transducer | Ensemble,
    options: dict[str, Any],
    blocks: Iterable[tuple[list[Text], Any]],
    take: Callable[[Any, Answers], None],
    jobs: int,
) -> None:
    """Answer blocks of sources, and hand on what comes with each, with its answers, in their order.

    Parameters
    ----------
    model : Transducer or Ensemble
    options : dict
        Of ``model.answers``.
    blocks : iterable of tuples
        Sources, and what comes with them.
    take : callable
        Is given what comes with a block, and the block's answers.
    jobs : int
        How many processes answer; with 1 it is this one.

    Raises
    ------
    ChildProcessError
        A process was killed. What `blocks`, `take` or the model raise is raised in its turn.
    """
    if jobs == 1:
        for sources, more in blocks:
            take(more, model.answers(sources, **options))
        return
    from fastseq import get_num_threads, get_precision

    settings = model, max(1, get_num_threads() // jobs), get_precision()
    # no fork: a forked process would have the locks of threads that it does not have
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=settings)
    taker = _Taker(take, _AHEAD * jobs)
    try:
        for sources, more in blocks:
            if taker.error is not None:
                break
            taker.put(more, pool.submit(_answer, sources, options))
    except Exception as error:  # after the answers to what was read before
        taker.finish()
        raise _said(error) from None
    else:
        taker.finish()
    finally:
        pool.shutdown(cancel_futures=True)
    if taker.error is not None:
        raise _said(taker.error)


def _said(error: Exception) -> Exception:
    if isinstance(error, BrokenProcessPool):
        return ChildProcessError("a process of --jobs was killed, perhaps for want of memory")
    return error


class _Taker:
    """A thread that takes answers in their order.

    Attributes
    ----------
    error : Exception or None
        What has ended it: later answers are dropped.
    """

    def __init__(self, take: Callable[[Any, Answers], None], ahead: int) -> None:
        self.error: Exception | None = None
        self._take = take
        self._queue: queue.Queue[tuple[Any, Future[Answers]] | None] = queue.Queue(ahead)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, more: Any, answers: Future[Answers]) -> None:
        """Add the next; wait while so many are ahead."""
        self._queue.put((more, answers))

    def finish(self) -> None:
        """Wait until all that was put is taken."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            more, answers = item
            if self.error is None:
                try:
                    self._take(more, answers.result())
                except Exception as error:
                    self.error = error


def _begin(model: Transducer | Ensemble, threads: int, precision: str) -> None:
    """Make this process ready to answer."""
    from fastseq import set_num_threads, set_precision

    global _model
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends this one
    set_num_threads(threads)
    set_precision(precision)
    _model = model


def _answer(sources: list[Text], options: dict[str, Any]) -> Answers:
    return _model.answers(sources, **options)
