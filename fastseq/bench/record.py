"""What was measured, in the JSON form of pytest-benchmark.

The seconds of each round are an entry's ``stats.data``; ``extra_info`` says what was measured.
``benchmarks/`` fills the same entries through pytest-benchmark itself.
"""

from __future__ import annotations

import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fastseq.bench.measure import LIMIT, Measurement
from fastseq.bench.workers import Contestant
from fastseq.bench.workloads import Limit, Work
from fastseq.version import __version__


def group_name(work: Work, threads: int) -> str:
    """What the entries have in common that were measured in turn."""
    return f"{work.name}, {threads} thread{'' if threads == 1 else 's'}"


def extra_info(measurement: Measurement, contestant: Contestant) -> dict[str, Any]:
    """What an entry is about."""
    work = measurement.work
    return {
        "work": work.name,
        "noun": work.noun,
        "kind": work.kind,
        "title": work.title,
        "sizes": work.sizes,
        "library": contestant.library,
        "isa": contestant.isa,
        "threads": measurement.threads,
        "operations": Limit().operations if contestant == LIMIT else work.operations,
        "parity": measurement.parity.get(contestant),
        "peak_bytes": measurement.peak_bytes[contestant],
        "curve": work.curve,
    }


def as_run(measurements: Iterable[Measurement], machine: Mapping[str, Any]) -> dict[str, Any]:
    """A whole run, ready for ``json.dump``.

    Parameters
    ----------
    measurements : iterable of Measurement
    machine : mapping
        As `machine.describe` gives it.
    """
    return {
        "machine_info": {
            "node": platform.node(),
            "machine": platform.machine(),
            "system": platform.system(),
            "release": platform.release(),
            "python_implementation": platform.python_implementation(),
            "python_version": platform.python_version(),
            "fastseq": dict(machine),
        },
        "commit_info": {},
        "benchmarks": [
            _entry(measurement, contestant)
            for measurement in measurements
            for contestant in measurement.seconds
        ],
        "datetime": datetime.now(UTC).isoformat(),
        "version": f"fastseq {__version__}",
    }


def _entry(measurement: Measurement, contestant: Contestant) -> dict[str, Any]:
    work, threads = measurement.work, measurement.threads
    name = f"{work.name}[{contestant}-{threads}]"
    return {
        "group": group_name(work, threads),
        "name": name,
        "fullname": f"fastseq bench::{name}",
        "params": {
            "work": work.name,
            "library": contestant.library,
            "isa": contestant.isa,
            "threads": threads,
        },
        "param": f"{contestant}-{threads}",
        "extra_info": extra_info(measurement, contestant),
        "options": {},
        "stats": _stats(measurement.seconds[contestant]),
    }


def _stats(seconds: Sequence[float]) -> dict[str, Any]:
    several = len(seconds) > 1
    first, median, third = statistics.quantiles(seconds) if several else 3 * [seconds[0]]
    mean = statistics.fmean(seconds)
    return {
        "min": min(seconds),
        "max": max(seconds),
        "mean": mean,
        "stddev": statistics.stdev(seconds) if several else 0.0,
        "rounds": len(seconds),
        "median": median,
        "q1": first,
        "q3": third,
        "iqr": third - first,
        "ops": 1 / mean,
        "total": sum(seconds),
        "data": list(seconds),
        "iterations": 1,
    }
