"""The result of a benchmark run in memory: `measure` returns it, `record` stores it as JSON.

The entries of one group were measured in turn, within seconds of each other. So a ratio is taken
within each round, and its median, lowest and highest over the rounds are what is reported: a drift
of the machine's speed cancels out, which it would not in a ratio of two medians.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastseq.bench.workloads.base import FLOAT32, Curve

OURS, PEAK = "fastseq", "peak"

# A virtual machine may be slower for some seconds, then as fast as before: a round whose large
# product takes this many times as long as in the median round was measured in such a mode.
SLOW_PEAK = 1.2


def group_name(workload: str, threads: int) -> str:
    """The name of the group of a workload and a number of threads."""
    return f"{workload}, {threads} thread{'' if threads == 1 else 's'}"


class Figure(NamedTuple):
    """The median over the rounds, and the lowest and highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """The figure of one number a round."""
        values = list(values)
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Entry:
    """One workload, carried out by one backend on a number of threads.

    Attributes
    ----------
    workload, noun, kind, title, sizes, curve
        Those of the `Workload`; `workload` is its name.
    backend : str
        The backend's name; "peak" is the large product of matrices.
    isa : str or None
        The instruction set of fastseq's kernels; None for every other backend.
    threads : int
    operations : int or None
        Of the workload's matrix products; None where it has none.
    parity : float or None
        The largest relative difference from the reference's results; None where none was taken.
    peak_bytes : int or None
        The most memory that was resident in the process; None if unknown.
    seconds : tuple of float
        The median step of each round.
    precision : str
        Of the operands of products: "float32", "bfloat16" or "int8".
    """

    workload: str
    noun: str
    kind: str
    title: str
    sizes: Mapping[str, int]
    curve: Curve | None
    backend: str
    isa: str | None
    threads: int
    operations: int | None
    parity: float | None
    peak_bytes: int | None
    seconds: tuple[float, ...]
    precision: str = FLOAT32

    @property
    def label(self) -> str:
        """The backend, with the instruction set where there is one."""
        return f"{self.backend} {self.isa}" if self.isa else self.backend

    @property
    def milliseconds(self) -> Figure:
        """How long one step takes."""
        return Figure.of(1e3 * seconds for seconds in self.seconds)

    def ratio(self, other: Entry) -> Figure:
        """How many times as long as this entry another of its group takes, round by round.

        Where one has fewer rounds, those that both have are paired.
        """
        pairs = zip(other.seconds, self.seconds, strict=False)
        return Figure.of(their / our for their, our in pairs)


@dataclass(frozen=True)
class Group:
    """The entries of one workload and number of threads, measured in turn.

    Attributes
    ----------
    entries : tuple of Entry
    isas : sequence of str
        The instruction sets of the machine, from the plainest to the widest, which is what runs by
        default. One that is not among them counts as plainer than all of them.
    """

    entries: tuple[Entry, ...]
    isas: Sequence[str]

    @property
    def name(self) -> str:
        """The workload and the number of threads."""
        return group_name(self.entries[0].workload, self.entries[0].threads)

    @property
    def ours(self) -> Entry:
        """The entry of fastseq with its widest instruction set; the first of several equals."""
        return max(self._of(OURS), key=self._rank)

    @property
    def narrower(self) -> list[Entry]:
        """The entries of fastseq with other instruction sets, the widest first."""
        return sorted(self._of(OURS), key=self._rank, reverse=True)[1:]

    @property
    def peak(self) -> Entry | None:
        """The entry of the large product of matrices."""
        return self.find(PEAK)

    def find(self, backend: str) -> Entry | None:
        """The entry of a backend, if it was measured."""
        return next(iter(self._of(backend)), None)

    @property
    def slow_rounds(self) -> int:
        """The rounds in which the peak took more than 1.2 times its median: a slower machine."""
        if self.peak is None:
            return 0
        limit = SLOW_PEAK * statistics.median(self.peak.seconds)
        return sum(seconds > limit for seconds in self.peak.seconds)

    def speedup(self, backend: str) -> Figure | None:
        """How many times as long as fastseq a backend takes."""
        other = self.find(backend)
        return None if other is None else self.ours.ratio(other)

    def fraction_of_peak(self, entry: Entry) -> Figure | None:
        """The rate of an entry's operations over that of the large product, round by round."""
        peak = self.peak
        if peak is None or not peak.operations or not entry.operations:
            return None
        parts = entry.operations / peak.operations
        return Figure(*(parts * number for number in entry.ratio(peak)))

    def _of(self, backend: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.backend == backend]

    def _rank(self, entry: Entry) -> int:
        return self.isas.index(entry.isa) if entry.isa in self.isas else -1


@dataclass(frozen=True)
class Run:
    """A whole run.

    Attributes
    ----------
    groups : tuple of Group
        Those in which fastseq was measured, in the order of measurement.
    machine : mapping
        As `machine.describe` returns it.
    commit : mapping
        What pytest-benchmark records of the checkout; empty without one.
    date : str
        In ISO 8601; empty if unknown.
    """

    groups: tuple[Group, ...]
    machine: Mapping[str, Any]
    commit: Mapping[str, Any]
    date: str

    def backends(self) -> list[str]:
        """What else was measured, in a fixed order: the reference and the peers; not the peak."""
        found = dict.fromkeys(entry.backend for group in self.groups for entry in group.entries)
        known = [name for name in ("reference", "torch", "jax", "numpy") if name in found]
        return known + [name for name in found if name not in (OURS, PEAK, *known)]
