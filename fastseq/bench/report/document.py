"""The figures of a run as one JSON object, for programs that read reports."""

from __future__ import annotations

import json
from typing import Any

from fastseq.bench.report import words
from fastseq.bench.report.comparison import Change, Comparison
from fastseq.bench.result import OURS, PEAK, Figure, Group, Run


def as_json(run: Run, comparison: Comparison | None = None) -> str:
    """The figures of a run.

    Parameters
    ----------
    run : Run
        Returned by :func:`fastseq.bench.report.load`, or just measured.
    comparison : Comparison, optional
        With an older run.

    Returns
    -------
    str
        One JSON object. "results" has an entry for each workload and number of threads:
        milliseconds, "speedup" over the others (their time over fastseq's), "fraction_of_peak",
        each with "median", "low" and "high" over the rounds; and "slow_rounds", how many of the
        "rounds" had a peak that took more than 1.2 times its median.
    """
    document: dict[str, Any] = {
        "format": 2,
        "headline": "".join(text for text, _ in words.headline(run)),
        "date": run.date,
        "machine": dict(run.machine),
        "commit": dict(run.commit),
        "results": [_group(group) for group in run.groups],
    }
    if comparison is not None:
        document["comparison"] = _comparison(comparison)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _group(group: Group) -> dict[str, Any]:
    ours = group.ours
    others = [entry for entry in group.entries if entry.backend not in (OURS, PEAK)]
    return {
        "workload": ours.workload,
        "kind": ours.kind,
        "title": ours.title,
        "curve": None if ours.curve is None else ours.curve._asdict(),
        "threads": ours.threads,
        "isa": ours.isa,
        "precision": ours.precision,
        "milliseconds": {
            OURS: _figure(ours.milliseconds),
            **{entry.backend: _figure(entry.milliseconds) for entry in others},
        },
        "speedup": {entry.backend: _figure(ours.ratio(entry)) for entry in others},
        "fraction_of_peak": _figure(group.fraction_of_peak(ours)),
        "narrower_isas": {str(entry.isa): _figure(ours.ratio(entry)) for entry in group.narrower},
        "peak_bytes": {entry.backend: entry.peak_bytes for entry in (ours, *others)},
        "parity": {entry.backend: entry.parity for entry in (ours, *others)},
        "rounds": len(ours.seconds),
        "slow_rounds": group.slow_rounds,
    }


def _figure(figure: Figure | None) -> dict[str, float] | None:
    return None if figure is None else figure._asdict()


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "regression_percent": comparison.regression,
        "regressions": [words.variant(change.new) for change in comparison.regressions],
        "changes": [_change(change) for change in comparison.changes],
        "added": list(comparison.added),
        "removed": list(comparison.removed),
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "workload": change.new.workload,
        "isa": change.new.isa,
        "threads": change.new.threads,
        "ratio": change.ratio,
        "verdict": change.verdict,
        "normalised": change.normalised,
    }
