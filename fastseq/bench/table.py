"""A run as a table of plain text: one line for each work and number of threads."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from fastseq.bench.machine import format_machine

Entry = Mapping[str, Any]

_ORDER = ("reference", "numpy", "fastseq", "torch", "jax")


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


def milliseconds(entry: Entry) -> Figure:
    """How long a step takes."""
    return Figure.of(1e3 * seconds for seconds in entry["stats"]["data"])


def ratio(theirs: Entry, ours: Entry) -> Figure:
    """How many times as long another library takes, round by round."""
    rounds = zip(theirs["stats"]["data"], ours["stats"]["data"], strict=True)
    return Figure.of(their / our for their, our in rounds)


def fraction_of_limit(entry: Entry, limit: Entry) -> Figure:
    """The time that the operations take at the speed of the limit, over the time they took."""
    parts = entry["extra_info"]["operations"] / limit["extra_info"]["operations"]
    rounds = zip(limit["stats"]["data"], entry["stats"]["data"], strict=True)
    return Figure.of(parts * limit_seconds / seconds for limit_seconds, seconds in rounds)


def format_run(run: Mapping[str, Any]) -> str:
    """The machine, the table, and what its works are.

    Parameters
    ----------
    run : mapping
        As `record.as_run` or pytest-benchmark writes it.
    """
    groups: dict[str, dict[str, Entry]] = {}
    for entry in run["benchmarks"]:
        about = entry["extra_info"]
        label = f"{about['library']} {about['isa']}" if about["isa"] else about["library"]
        groups.setdefault(entry["group"], {})[label] = entry
    found = dict.fromkeys(label for group in groups.values() for label in group)
    labels = sorted((label for label in found if label != "limit"), key=_place)
    ours = [label for label in labels if label.startswith("fastseq")][:1]
    others = [label for label in labels if not label.startswith("fastseq")] if ours else []

    head = ["work", "threads", *labels, *(f"{other} ÷ fastseq" for other in others), "of limit"]
    rows = [head]
    for group in groups.values():
        about = next(iter(group.values()))["extra_info"]
        fastseq = group.get(ours[0]) if ours else None
        rows.append(
            [
                about["work"],
                str(about["threads"]),
                *(_spread(milliseconds(group[name])) if name in group else "" for name in labels),
                *(_ratio(group.get(other), fastseq) for other in others),
                _fraction(fastseq, group.get("limit")),
            ]
        )
    lines = ["ms: median (lowest–highest) of the rounds", "", *_aligned(rows), ""]
    return "\n".join([format_machine(run["machine_info"]["fastseq"]), *lines, *_legend(groups)])


def _place(label: str) -> int:
    return _ORDER.index(label.partition(" ")[0])


def _ratio(theirs: Entry | None, ours: Entry | None) -> str:
    return "" if theirs is None or ours is None else f"{ratio(theirs, ours).median:.2f}"


def _fraction(entry: Entry | None, limit: Entry | None) -> str:
    if entry is None or limit is None:
        return ""
    return f"{fraction_of_limit(entry, limit).median:.0%}"


def _legend(groups: Mapping[str, Mapping[str, Entry]]) -> list[str]:
    """What each work is, and how far the results were apart."""
    titles: dict[str, str] = {}
    parities: dict[str, list[float]] = {}
    for group in groups.values():
        for entry in group.values():
            about = entry["extra_info"]
            name = about["work"]
            titles[name] = about["title"]
            if about["parity"] is not None:
                parities.setdefault(name, []).append(about["parity"])
    width = max(map(len, titles), default=0)
    return [
        f"{name:{width}}  {title}{_agreement(parities.get(name))}" for name, title in titles.items()
    ] + [f"{'limit':{width}}  the operations at the speed of one large numpy.dot in float32", ""]


def _agreement(parities: Sequence[float] | None) -> str:
    if parities is None:
        return ""
    largest = max(parities)
    return f"; results agree to {largest:.0e}" if largest else "; results are equal"


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
