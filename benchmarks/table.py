"""Measurements as figures, as a table on standard output, and as JSON."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from measure import Measurement, Settings
from works import Limit


class Figure(NamedTuple):
    """The median over the rounds, and the smallest and largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """The figure of one number a round."""
        values = list(values)
        return cls(statistics.median(values), min(values), max(values))


def milliseconds(measurement: Measurement, library: str, threads: int) -> Figure:
    """How long a step takes."""
    return Figure.of(1e3 * seconds for seconds in measurement.seconds[library, threads])


def ratio(measurement: Measurement, other: str, threads: int) -> Figure:
    """How many times as long as fastseq another library takes, round by round."""
    theirs, ours = (measurement.seconds[name, threads] for name in (other, "fastseq"))
    return Figure.of(their / our for their, our in zip(theirs, ours, strict=True))


def rate(measurement: Measurement, threads: int) -> Figure:
    """Operations a second of the large product of matrices, in 10^9."""
    return Figure.of(
        Limit().operations / seconds / 1e9 for seconds in measurement.seconds["limit", threads]
    )


def limit_milliseconds(measurement: Measurement, threads: int) -> Figure:
    """How long a step would take at that rate."""
    parts = measurement.work.operations / Limit().operations
    return Figure.of(1e3 * parts * seconds for seconds in measurement.seconds["limit", threads])


def fraction_of_limit(measurement: Measurement, library: str, threads: int) -> Figure:
    """The limit's time over a library's, round by round."""
    parts = measurement.work.operations / Limit().operations
    limits, theirs = (measurement.seconds[name, threads] for name in ("limit", library))
    return Figure.of(parts * limit / their for limit, their in zip(limits, theirs, strict=True))


def format_header(measurement: Measurement, settings: Settings, load: float) -> str:
    """What was measured on: machine, compiler, BLAS, threads, versions."""
    about = measurement.about
    ours = about["fastseq"]
    build = dict(ours["build"])
    versions = [f"fastseq {ours['fastseq']}", f"NumPy {ours['numpy']}"]
    if "torch" in about:
        versions.append(f"PyTorch {about['torch']['torch']}")
    rows = [
        ("cpu", f"{ours['cpu']}, {cores()} cores; load average at the start: {load:.2f}"),
        ("isa", f"{ours['isa']} (available: {', '.join(ours['available_isas'])})"),
        ("compiler", f"{build.pop('compiler')}, {', '.join(map(' '.join, build.items()))}"),
        ("blas", ours["blas"]),
        ("threads", ", ".join(str(threads) for threads in measurement.threads)),
        ("versions", f"{', '.join(versions)}, {ours['python']}"),
        ("platform", ours["platform"]),
        ("rounds", f"{settings.rounds}, in each about {settings.turn_seconds:g} s a process"),
    ]
    return "".join(f"{name:10}{value}\n" for name, value in rows)


def format_table(measurements: Sequence[Measurement]) -> str:
    """One line for each work and number of threads, and a legend."""
    libraries = measurements[0].libraries
    others = [library for library in libraries if library != "fastseq"]
    head = [
        "work",
        "threads",
        *libraries,
        *(f"{other} ÷ fastseq" for other in others),
        "limit",
        "of limit",
    ]
    rows = [head]
    for measurement in measurements:
        for threads in measurement.threads:
            rows.append(
                [
                    measurement.work.name,
                    str(threads),
                    *(_spread(milliseconds(measurement, name, threads)) for name in libraries),
                    *(f"{ratio(measurement, other, threads).median:.2f}" for other in others),
                    _three_digits(limit_milliseconds(measurement, threads).median),
                    f"{fraction_of_limit(measurement, 'fastseq', threads).median:.0%}",
                ]
            )
    lines = ["ms a step: median (lowest–highest) of the rounds", "", *_aligned(rows), ""]
    width = max(len(measurement.work.name) for measurement in measurements)
    for measurement in measurements:
        work = measurement.work
        lines.append(
            f"{work.name:{width}}  {work.title}: {_three_digits(work.operations / 1e6)} million "
            f"operations; results agree to {measurement.parity:.0e}"
        )
    rates = [
        f"{_three_digits(_rate_over_all(measurements, threads))} on {threads}"
        for threads in measurements[0].threads
    ]
    lines.append(
        f"{'limit':{width}}  the operations at the rate of numpy.dot, float32, "
        f"{Limit().size} x {Limit().size}; GFLOP/s by threads: {', '.join(rates)}"
    )
    return "\n".join(lines) + "\n"


def as_json(
    measurements: Sequence[Measurement], settings: Settings, load: float, skipped: Sequence[str]
) -> dict[str, Any]:
    """All that the table says, and the numbers of every round, ready for ``json.dump``."""
    return {
        "format": 1,
        "unit": "ms a step",
        "cores": cores(),
        "load_average": load,
        "rounds": settings.rounds,
        "turn_seconds": settings.turn_seconds,
        "about": measurements[0].about,
        "skipped": list(skipped),
        "results": [
            _result(measurement, threads)
            for measurement in measurements
            for threads in measurement.threads
        ],
    }


def cores() -> int:
    """How many processors these processes may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _result(measurement: Measurement, threads: int) -> dict[str, Any]:
    libraries = measurement.libraries
    return {
        "work": measurement.work.name,
        "title": measurement.work.title,
        "operations": measurement.work.operations,
        "threads": threads,
        "parity": measurement.parity,
        "limit": limit_milliseconds(measurement, threads)._asdict(),
        "limit_gflops": rate(measurement, threads)._asdict(),
        "libraries": {
            library: {
                **milliseconds(measurement, library, threads)._asdict(),
                "steps_a_turn": measurement.steps[library, threads],
                "rounds": [1e3 * seconds for seconds in measurement.seconds[library, threads]],
                "fraction_of_limit": fraction_of_limit(measurement, library, threads)._asdict(),
            }
            for library in libraries
        },
        "ratios": {
            f"{other} / fastseq": ratio(measurement, other, threads)._asdict()
            for other in libraries
            if other != "fastseq"
        },
    }


def _rate_over_all(measurements: Sequence[Measurement], threads: int) -> float:
    return statistics.median(rate(measurement, threads).median for measurement in measurements)


def _spread(figure: Figure) -> str:
    low, high = _three_digits(figure.low), _three_digits(figure.high)
    return f"{_three_digits(figure.median)} ({low}–{high})"


def _three_digits(number: float) -> str:
    """Rounded to three significant digits, or to a whole number if that has more."""
    decimals = 0 if number >= 100 else 1 if number >= 10 else 2 if number >= 1 else 3
    return f"{number:.{decimals}f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width, numbers to the right; a rule under the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(len(line) for line in lines))
    return lines
