"""The default number of threads: the number of processors that this process may use.

It is limited by the CPU affinity of the process and by the CPU quota of its control groups (of a
container): more threads than that would only wait for each other.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath


def default_threads(environment: Mapping[str, str], root: Path = Path("/")) -> int:
    """The number of threads from the environment, or else from the system.

    Parameters
    ----------
    environment : mapping of str to str
        ``FASTSEQ_NUM_THREADS``, or else ``OMP_NUM_THREADS``, of which the first number is used
        and anything else is ignored.
    root : Path
        The root of the file system.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ValueError
        ``FASTSEQ_NUM_THREADS`` is not a whole number above 0.
    """
    wanted = environment.get("FASTSEQ_NUM_THREADS", "").strip()
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise ValueError(f"FASTSEQ_NUM_THREADS: expected an integer >= 1, got {wanted!r}")
        return int(wanted)
    inherited = environment.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if inherited.isdecimal() and int(inherited) >= 1:
        return int(inherited)
    return min([_affinity(), *_quotas(root)])


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[int]:
    """The CPU quota of each control group of the process, in whole processors."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        controllers, _, name = line.partition(":")[2].partition(":")
        if not controllers:  # version 2
            for folder in _with_parents(root / "sys/fs/cgroup", name):
                quota, _, period = _read(folder / "cpu.max").partition(" ")
                yield from _quota(quota, period)
        elif "cpu" in controllers.split(","):
            for folder in _with_parents(root / "sys/fs/cgroup/cpu", name):
                quota = _read(folder / "cpu.cfs_quota_us")
                yield from _quota(quota, _read(folder / "cpu.cfs_period_us"))


def _with_parents(mount: Path, name: str) -> Iterator[Path]:
    """The folders of a group and of its parents; in a container, the first may not exist."""
    path = PurePosixPath("/", name)
    for each in (path, *path.parents):
        yield mount / each.relative_to("/")


def _quota(quota: str, period: str) -> Iterator[int]:
    """A quota in microseconds per period, in processors; nothing for "max" and -1."""
    quota, period = quota.strip(), period.strip()
    if quota.isdecimal() and period.isdecimal() and int(period) > 0:
        yield max(1, int(quota) // int(period))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
