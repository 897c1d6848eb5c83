"""The peak memory of a process, as Linux reports it; unknown on other systems.

``getrusage`` is no substitute: its maximum starts at that of the parent process.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_CLEAR_PEAK = "5"  # proc_pid_clear_refs(5): reset the peak to the present size


def peak_bytes(status: str | None = None) -> int | None:
    """The high-water mark of the resident size.

    Parameters
    ----------
    status : str, optional
        The text of a process's status file; this process's by default.

    Returns
    -------
    int or None
        None where the system has no such file.
    """
    if status is None:
        try:
            status = STATUS.read_text(encoding="utf-8")
        except OSError:
            return None
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return 1024 * int(value.split()[0])
    return None


def forget_peak() -> None:
    """Reset the high-water mark of this process to its present size, where the system can."""
    with contextlib.suppress(OSError):
        _CLEAR.write_text(_CLEAR_PEAK, encoding="ascii")
