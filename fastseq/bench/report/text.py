"""A run as a table of plain text: one line for each work and number of threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastseq.bench.machine import format_machine
from fastseq.bench.report.run import LIMIT, OURS, Entry, Figure, Group, Run

_ORDER = ("reference", "numpy", "fastseq", "torch", "jax")


def format_run(run: Mapping[str, Any]) -> str:
    """The machine, the table, and what its works are.

    Parameters
    ----------
    run : mapping
        As `record.as_run` or pytest-benchmark writes it.
    """
    groups = Run.of(run).groups
    found = {_label(entry) for group in groups for entry in group.entries}
    labels = sorted((label for label in found if label != LIMIT), key=_place)
    others = [label for label in labels if not label.startswith(OURS)]

    head = ["work", "threads", *labels, *(f"{other} ÷ fastseq" for other in others), "of limit"]
    rows = [head]
    for group in groups:
        entries = {_label(entry): entry for entry in group.entries}
        fraction = group.fraction_of_limit(group.ours)
        rows.append(
            [
                group.ours.work,
                str(group.ours.threads),
                *(
                    _spread(entries[name].milliseconds) if name in entries else ""
                    for name in labels
                ),
                *(_median(group.speedup(other), ".2f") for other in others),
                _median(fraction, ".0%"),
            ]
        )
    lines = ["ms: median (lowest–highest) of the rounds", "", *_aligned(rows), ""]
    return "\n".join([format_machine(run["machine_info"]["fastseq"]), *lines, *_legend(groups)])


def _label(entry: Entry) -> str:
    return f"{entry.library} {entry.isa}" if entry.isa else entry.library


def _place(label: str) -> int:
    return _ORDER.index(label.partition(" ")[0])


def _median(figure: Figure | None, form: str) -> str:
    return "" if figure is None else format(figure.median, form)


def _legend(groups: Sequence[Group]) -> list[str]:
    """What each work is, and how far the results were apart."""
    titles: dict[str, str] = {}
    parities: dict[str, list[float]] = {}
    for group in groups:
        for entry in group.entries:
            titles[entry.work] = entry.title
            if entry.parity is not None:
                parities.setdefault(entry.work, []).append(entry.parity)
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
