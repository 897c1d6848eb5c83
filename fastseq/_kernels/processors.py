"""How many threads a call may use by default: as many processors as this process may use.

A process may be bound to some processors (its affinity), and a control group may limit its share of
them (the CPU quota of a container): threads beyond it would only wait for each other.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath


def default_threads(environment: Mapping[str, str], root: Path = Path("/")) -> int:
    """The number of threads that the environment, or else the system, allows.

    Parameters
    ----------
    environment : mapping of str to str
        ``FASTSEQ_NUM_THREADS`` decides; without it ``OMP_NUM_THREADS``, whose first number counts
        and which is ignored where it is none.
    root : Path
        Where the files of the system lie.

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
            raise ValueError(f"FASTSEQ_NUM_THREADS: expected a number from 1 on, got {wanted!r}")
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
    """The quota of each control group that the process is in, in whole processors."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        controllers, _, name = line.partition(":")[2].partition(":")
        if not controllers:  # version 2
            for folder in _and_above(root / "sys/fs/cgroup", name):
                quota, _, period = _read(folder / "cpu.max").partition(" ")
                yield from _quota(quota, period)
        elif "cpu" in controllers.split(","):
            for folder in _and_above(root / "sys/fs/cgroup/cpu", name):
                quota = _read(folder / "cpu.cfs_quota_us")
                yield from _quota(quota, _read(folder / "cpu.cfs_period_us"))


def _and_above(mount: Path, name: str) -> Iterator[Path]:
    """The folder of a group and of those around it; in a container the name may not exist."""
    path = PurePosixPath("/", name)
    for each in (path, *path.parents):
        yield mount / each.relative_to("/")


def _quota(quota: str, period: str) -> Iterator[int]:
    """A quota of so many microseconds in each period; "max" and -1 mean none."""
    quota, period = quota.strip(), period.strip()
    if quota.isdecimal() and period.isdecimal() and int(period) > 0:
        yield max(1, int(quota) // int(period))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
