"""The start of the command line: Ctrl-C while NumPy is imported ends it without a traceback."""

import os
import signal
import sys
from types import FrameType

_PROGRAM = sys.argv[0] if sys.argv else ""
IS_COMMAND = os.path.basename(_PROGRAM) in ("fastseq", "fastseq.exe") or (
    _PROGRAM == "-m" and "fastseq" in sys.orig_argv
)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(130)


def handle_ctrl_c() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again: from here on somebody catches it."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# what a shell starts in the background ignores Ctrl-C, and goes on to do so
if IS_COMMAND and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
