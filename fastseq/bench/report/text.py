"""A run as a table of plain text: one line for each workload and number of threads."""

from __future__ import annotations

from collections.abc import Sequence

from fastseq.bench.machine import format_machine
from fastseq.bench.report import words
from fastseq.bench.result import OURS, PEAK, Entry, Figure, Run


def as_text(run: Run) -> str:
    """Format a run: the machine, the table, and a line about each workload."""
    entries = [entry for group in run.groups for entry in group.entries]
    labels = list(dict.fromkeys(entry.label for entry in entries if entry.backend != PEAK))
    others = list(dict.fromkeys(e.backend for e in entries if e.backend not in (OURS, PEAK)))

    head = ["workload", "threads", *labels, *(f"{other} ÷ fastseq" for other in others), "of peak"]
    rows = [head]
    for group in run.groups:
        times = {entry.label: _spread(entry.milliseconds) for entry in group.entries}
        rows.append(
            [
                group.ours.workload,
                str(group.ours.threads),
                *(times.get(label, "") for label in labels),
                *(_median(group.speedup(other), ".2f") for other in others),
                _median(group.fraction_of_peak(group.ours), ".0%"),
            ]
        )
    lines = ["ms: median (lowest–highest) of the rounds", "", *_aligned(rows), ""]
    modes = words.mixed_modes(run)
    if modes:
        lines += [f"mixed modes: {modes}", ""]
    return "\n".join([format_machine(run.machine), *lines, *_legend(entries)])


def _median(figure: Figure | None, form: str) -> str:
    return "" if figure is None else format(figure.median, form)


def _legend(entries: Sequence[Entry]) -> list[str]:
    """What each workload is, and how much the results differed."""
    titles = {entry.workload: entry.title for entry in entries}
    parities: dict[str, list[float]] = {}
    for entry in entries:
        if entry.parity is not None:
            parities.setdefault(entry.workload, []).append(entry.parity)
    width = max(map(len, titles), default=0)
    return [
        f"{name:{width}}  {title}{_agreement(parities.get(name))}" for name, title in titles.items()
    ] + [f"{'peak':{width}}  the operations at the speed of one large numpy.dot in float32", ""]


def _agreement(parities: Sequence[float] | None) -> str:
    if parities is None:
        return ""
    largest = max(parities)
    return f"; results agree to {largest:.0e}" if largest else "; results are equal"


def _spread(figure: Figure) -> str:
    spread = words.spread(figure, words.three_digits)
    return f"{words.three_digits(figure.median)} ({spread})"


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
