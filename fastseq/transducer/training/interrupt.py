"""Ctrl-C during training: the first ends it cleanly, the second at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol


class Interruptible(Protocol):
    """What can be told to end."""

    interrupted: bool


@contextmanager
def ends_cleanly(training: Interruptible) -> Iterator[None]:
    """Within this context the first Ctrl-C sets `interrupted`, a second raises KeyboardInterrupt.

    Where Ctrl-C does something else already, or in another thread than the main one, which alone
    hears signals, nothing changes.
    """
    before = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or before is not signal.default_int_handler:
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        training.interrupted = True
        with suppress(OSError):  # closed in `| tee`, which Ctrl-C has ended too
            print(
                "\nfastseq: interrupted: ending after this step (Ctrl-C again: at once)",
                file=sys.stderr,
                flush=True,
            )

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
