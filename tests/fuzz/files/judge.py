"""Reads one file, and watches time, memory, and what is run and written."""

import contextlib
import io
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .kinds import Read
from .pickles import CANARY

SECONDS = 1.0  # of processor time, for a file below a megabyte
MEGABYTES = 64  # of memory beside what is in proportion to the file
TIMES = 40  # the memory that a byte of a file may take: a text of one symbol is an object
LONGEST = 1000  # characters of a message
# What no file may make the process do. Modules are imported by valid files first.
_FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn"),
    *("subprocess.Popen", "socket.connect", "socket.bind", "pickle.find_class", "ftplib.connect"),
    *("urllib.Request", "webbrowser.open", "code.__new__", "os.kill", "signal.pthread_kill"),
)
_WRITING = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.link", "os.symlink")


class Watch:
    """Notes the events of the interpreter that no file may cause."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._active = False
        self._events: list[str] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._active:
            return
        if event in _FORBIDDEN or (
            event in ("compile", "exec", "import") and _is_canary(arguments)
        ):
            self._events.append(f"{event} {arguments!r}"[:200])
        elif event == "open" or event in _WRITING:
            path = arguments[0]
            writes = event != "open" or _writes(arguments)
            inside = isinstance(path, int) or str(os.fsdecode(path)).startswith(self._folder)
            if CANARY in str(path) or (writes and not inside):
                self._events.append(f"{event} {arguments!r}"[:200])

    @contextlib.contextmanager
    def watching(self) -> Iterator[list[str]]:
        """The events within this context."""
        self._events = []
        self._active = True
        try:
            yield self._events
        finally:
            self._active = False


def _is_canary(arguments: tuple[Any, ...]) -> bool:
    return any(CANARY in repr(each) for each in arguments[:2])


def _writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _most_resident() -> int:
    """The most memory that was resident since `_start_counting`, in bytes; 0 where unknown."""
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _start_counting() -> int:
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return _most_resident()


def judge(read: Read, path: Path, samples: Path, watch: Watch) -> tuple[str, str | None]:
    """The outcome of reading a file, and the finding if it is not a documented one."""
    size = path.stat().st_size
    out, error = io.StringIO(), io.StringIO()
    before, start = _start_counting(), time.process_time()
    with watch.watching() as events:
        outcome, message = _outcome(read, path, samples, out, error)
    seconds = time.process_time() - start
    grown = _most_resident() - before
    if events:
        return outcome, f"ran or wrote: {'; '.join(events)}"
    if seconds > SECONDS:
        return outcome, f"took {seconds:.1f} s for {size} bytes"
    if grown > MEGABYTES * 2**20 + TIMES * size:
        return outcome, f"took {grown / 2**20:.0f} MB for {size} bytes"
    return outcome, message


def _outcome(
    read: Read, path: Path, samples: Path, out: io.StringIO, error: io.StringIO
) -> tuple[str, str | None]:
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            status = read(path, samples)
    except (ValueError, OSError) as refusal:
        text = f"{refusal}" if isinstance(refusal, ValueError) else f"{refusal.filename}"
        return type(refusal).__name__, _unclear([text], path)
    except MemoryError:
        return "MemoryError", "memory for what is not in the file"
    except Exception as undocumented:
        return "crash", f"undocumented {type(undocumented).__name__}: {undocumented}"[:LONGEST]
    if not status:
        return "read", None
    lines = [line for line in error.getvalue().splitlines() if "header (--no-header" not in line]
    if status != 1:
        return f"status {status}", "\n".join(lines)[:LONGEST] or "another status than 0 and 1"
    return "refused", _unclear(lines, path)


def _unclear(lines: list[str], path: Path) -> str | None:
    """What is wrong with a message, which is one line that names the file."""
    text = "\n".join(lines)[:LONGEST]
    if len(lines) != 1 or "\n" in lines[0]:
        return f"a message of {len(lines)} lines: {text}"
    if "--debug shows where" in text or "out of memory" in text:
        return f"undocumented: {text}"
    if path.name not in text and f"{path.parent}{os.sep}cache" not in text:
        return f"does not name the file: {text}"
    if len(lines[0]) > LONGEST or not lines[0].isprintable():
        return f"not a line to read: {text!a}"
    return None
