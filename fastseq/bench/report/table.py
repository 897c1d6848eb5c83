"""The tables of a report, as texts in cells; `html` and `markdown` format them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from fastseq.bench.report import words
from fastseq.bench.result import OURS, Entry, Figure, Group, Run


class Cell(NamedTuple):
    """A median and its lowest–highest; `slower` where another backend is faster than fastseq."""

    text: str = ""
    spread: str = ""
    slower: bool = False


class Row(NamedTuple):
    """One workload and number of threads."""

    entry: Entry
    cells: Sequence[Cell]


class Table(NamedTuple):
    """`columns` are the headings of the cells; a row begins with its workload and threads."""

    columns: Sequence[str]
    rows: Sequence[Row]


def ratios(run: Run) -> Table:
    """Milliseconds of fastseq, the ratios to the other backends, and the fraction of the peak.

    Empty columns are left out.
    """
    return _ratios(run, words.workloads(run))


def scaling(run: Run) -> Table:
    """The same for the points of the curves."""
    return _ratios(run, [group for group in run.groups if group.ours.kind == "scaling"])


def _ratios(run: Run, groups: Sequence[Group]) -> Table:
    columns = [f"{OURS}, ms", *map(words.ratio_name, run.backends()), "of the peak"]
    rows = [
        Row(
            group.ours,
            [
                _cell(group.ours.milliseconds, words.three_digits),
                *(_ratio_cell(group.speedup(backend)) for backend in run.backends()),
                _cell(group.fraction_of_peak(group.ours), words.percent),
            ],
        )
        for group in groups
    ]
    return _without_empty_columns(columns, rows)


def instruction_sets(run: Run) -> Table:
    """How many times as long fastseq takes with narrower instruction sets."""
    groups, widest = words.instruction_sets(run)
    isas = list(dict.fromkeys(str(entry.isa) for group in groups for entry in group.narrower))
    rows = []
    for group in groups:
        ratios = {str(entry.isa): group.ours.ratio(entry) for entry in group.narrower}
        rows.append(Row(group.ours, [_cell(ratios.get(isa), words.three_digits) for isa in isas]))
    return _without_empty_columns([f"{isa} ÷ {widest}" for isa in isas], rows)


def imports(run: Run) -> Table:
    """Milliseconds of a new process that imports a library and ends."""
    groups = [group for group in run.groups if group.ours.kind == "import"]
    backends = list(dict.fromkeys(entry.backend for group in groups for entry in group.entries))
    rows = []
    for group in groups:
        entries = map(group.find, backends)
        times = [entry.milliseconds if entry else None for entry in entries]
        rows.append(Row(group.ours, [_cell(time, words.three_digits) for time in times]))
    return _without_empty_columns(
        [f"{words.backend_name(backend)}, ms" for backend in backends], rows
    )


def memory(run: Run) -> Table:
    """The peak resident size of each backend's process, on the fewest threads."""
    groups = words.workloads(run)
    fewest = min((group.ours.threads for group in groups), default=1)
    backends = [OURS, *run.backends()]
    rows = []
    for group in groups:
        if group.ours.threads == fewest:
            entries = [group.ours, *map(group.find, backends[1:])]
            cells = [
                Cell(words.megabytes(entry.peak_bytes) if entry and entry.peak_bytes else "")
                for entry in entries
            ]
            rows.append(Row(group.ours, cells))
    rows = [row for row in rows if any(cell.text for cell in row.cells)]
    return _without_empty_columns([words.backend_name(name) for name in backends], rows)


def _cell(figure: Figure | None, word: Callable[[float], str]) -> Cell:
    if figure is None:
        return Cell()
    return Cell(word(figure.median), words.spread(figure, word))


def _ratio_cell(ratio: Figure | None) -> Cell:
    slower = ratio is not None and ratio.median < 1
    return _cell(ratio, words.three_digits)._replace(slower=slower)


def _without_empty_columns(columns: Sequence[str], rows: Sequence[Row]) -> Table:
    kept = [number for number in range(len(columns)) if any(row.cells[number].text for row in rows)]
    return Table(
        [columns[number] for number in kept],
        [Row(row.entry, [row.cells[number] for number in kept]) for row in rows],
    )
