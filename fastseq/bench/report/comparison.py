"""What got faster or slower between two runs, beyond the noise of their rounds.

Every time of fastseq is counted in units of its own run's peak (the time of the large product of
matrices in the same round), so that a faster or slower machine cancels out; where either run lacks
the peak, in seconds. A change is beyond noise when the lowest–highest intervals of the two runs'
rounds do not overlap. That is strict on purpose: with five rounds each, two equal entries look
different once in 126 comparisons, and a report holds about as many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fastseq.bench.report import words
from fastseq.bench.result import OURS, Entry, Figure, Group, Run
from fastseq.bench.workloads.base import Curve

FASTER, SLOWER, WITHIN_NOISE = "faster", "slower", "within noise"


class _Key(NamedTuple):
    workload: str
    isa: str | None
    threads: int
    curve: Curve | None


class Change(NamedTuple):
    """An entry of fastseq in the newer run, and its time over that in the older one."""

    new: Entry
    ratio: float
    verdict: str
    normalised: bool


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` finds.

    Attributes
    ----------
    changes : tuple of Change
        Of the entries that both runs have, the slowest first.
    added, removed : tuple of str
        The entries that one run lacks.
    regression : float
        By how many percent an entry may be slower.
    """

    changes: tuple[Change, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    regression: float

    @property
    def beyond_noise(self) -> list[Change]:
        """The entries that got faster or slower."""
        return [change for change in self.changes if change.verdict != WITHIN_NOISE]

    @property
    def regressions(self) -> list[Change]:
        """The entries that are slower beyond noise, by more than `regression` percent."""
        return [
            change
            for change in self.changes
            if change.verdict == SLOWER and change.ratio > 1 + self.regression / 100
        ]

    def summary(self) -> str:
        """One sentence."""
        counts = [
            f"{sum(change.verdict == verdict for change in self.changes)} {verdict}"
            for verdict in (FASTER, SLOWER, WITHIN_NOISE)
        ]
        return (
            f"{', '.join(counts)}; {len(self.regressions)} slower by more than "
            f"{self.regression:g} %."
        )

    def notes(self) -> list[str]:
        """How the times were compared, and which entries could not be."""
        notes = [
            "Each number is the ratio of two medians, of times counted in units of their own "
            "run's peak, so that another speed of the machine cancels out. Faster or slower "
            "means that the lowest–highest intervals of the rounds do not overlap."
        ]
        raw = sum(not change.normalised for change in self.changes)
        if raw:
            notes.append(
                f"{raw} of {len(self.changes)} are compared in seconds, as a run lacks the peak "
                "there."
            )
        for entries, runs in ((self.added, "newer"), (self.removed, "older")):
            if entries:
                notes.append(f"Only in the {runs} run: {', '.join(entries)}.")
        return notes


def compare(new: Run, old: Run, regression: float = 10.0) -> Comparison:
    """Find what got faster or slower between two runs, beyond the noise of their rounds.

    Parameters
    ----------
    new, old : Run
    regression : float
        By how many percent an entry of fastseq may be slower.

    Returns
    -------
    Comparison
        Its ``regressions`` are the entries that are slower than that, beyond noise.

    Raises
    ------
    ValueError
        When the runs have no workload of fastseq in common.
    """
    ours, theirs = _entries(new), _entries(old)
    common = [key for key in ours if key in theirs]
    if not common:
        raise ValueError("the two runs have no workload of fastseq in common")
    changes = [_change(*ours[key], *theirs[key]) for key in common]
    return Comparison(
        tuple(sorted(changes, key=lambda change: change.ratio, reverse=True)),
        tuple(words.variant(ours[key][1]) for key in ours if key not in theirs),
        tuple(words.variant(theirs[key][1]) for key in theirs if key not in ours),
        regression,
    )


def _entries(run: Run) -> dict[_Key, tuple[Group, Entry]]:
    return {
        _Key(entry.workload, entry.isa, entry.threads, entry.curve): (group, entry)
        for group in run.groups
        for entry in group.entries
        if entry.backend == OURS
    }


def _change(new_group: Group, new: Entry, old_group: Group, old: Entry) -> Change:
    now, before = _in_peaks(new_group, new), _in_peaks(old_group, old)
    normalised = now is not None and before is not None
    if now is None or before is None:
        now, before = Figure.of(new.seconds), Figure.of(old.seconds)
    if now.high < before.low:
        verdict = FASTER
    elif now.low > before.high:
        verdict = SLOWER
    else:
        verdict = WITHIN_NOISE
    return Change(new, now.median / before.median, verdict, normalised)


def _in_peaks(group: Group, entry: Entry) -> Figure | None:
    """An entry's time in operations at the peak, round by round."""
    peak = group.peak
    if peak is None or not peak.operations:
        return None
    return Figure(*(peak.operations * number for number in peak.ratio(entry)))
