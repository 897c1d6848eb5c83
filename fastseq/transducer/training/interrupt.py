"""Ctrl-C during training: the first ends it cleanly, the second at once.

Several ranks end after the same step. A launcher such as mpiexec passes Ctrl-C on as SIGTERM, and
sends that to the ranks that are left, too, when one was lost.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Protocol

from fastseq.parallel.communicator import SINGLE_PROCESS, Communicator


class Interruptible(Protocol):
    """What can be told to end."""

    interrupted: bool


@contextmanager
def ends_cleanly(training: Interruptible, ranks: Communicator = SINGLE_PROCESS) -> Iterator[None]:
    """Within this context the first Ctrl-C sets `interrupted`, a second raises KeyboardInterrupt.

    Of one of several ranks SIGTERM is as Ctrl-C. Where a signal does something else already, or in
    another thread than the main one, which alone hears signals, nothing changes.
    """
    watched: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler}
    if ranks.size > 1:
        watched[signal.SIGTERM] = signal.SIG_DFL
    is_main = threading.current_thread() is threading.main_thread()
    before = {each: signal.getsignal(each) for each in watched if is_main}
    heard = [each for each in before if before[each] is watched[each]]

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, before[signal.Signals(number)])
        training.interrupted = True
        if number != signal.SIGINT:
            ranks.expect_end()
        elif ranks.rank == 0:
            with suppress(OSError):  # closed in `| tee`, which Ctrl-C has ended too
                print(
                    "\nfastseq: interrupted: ending after this step (Ctrl-C again: at once)",
                    file=sys.stderr,
                    flush=True,
                )

    for each in heard:
        signal.signal(each, handle)
    try:
        yield
    finally:
        for each in heard:
            signal.signal(each, before[each])
