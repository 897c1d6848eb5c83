"""The tables of a report, as texts in cells: the page and Markdown lay them out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from fastseq.bench.report import words
from fastseq.bench.report.run import OURS, Entry, Figure, Group, Run


class Cell(NamedTuple):
    """A median and its lowest–highest; `slower` where another library is faster than fastseq."""

    text: str = ""
    spread: str = ""
    slower: bool = False


class Row(NamedTuple):
    """One work and number of threads."""

    entry: Entry
    cells: Sequence[Cell]


class Table(NamedTuple):
    """`columns` are the headings of the cells; a row begins with its work and threads."""

    columns: Sequence[str]
    rows: Sequence[Row]


def ratios(run: Run) -> Table:
    """Milliseconds of fastseq, how many times as long others take, and the fraction of the limit.

    A column for which there is nothing is left out.
    """
    return _ratios(run, words.works(run))


def scaling(run: Run) -> Table:
    """The same for the points of the curves."""
    return _ratios(run, [group for group in run.groups if group.ours.kind == "scaling"])


def _ratios(run: Run, groups: Sequence[Group]) -> Table:
    columns = [f"{OURS}, ms", *map(words.ratio_name, run.libraries()), "of the limit"]
    rows = [
        Row(
            group.ours,
            [
                _cell(group.ours.milliseconds, words.three_digits),
                *(_ratio_cell(group.speedup(library)) for library in run.libraries()),
                _cell(group.fraction_of_limit(group.ours), words.percent),
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
    libraries = list(dict.fromkeys(entry.library for group in groups for entry in group.entries))
    rows = []
    for group in groups:
        entries = map(group.find, libraries)
        times = [entry.milliseconds if entry else None for entry in entries]
        rows.append(Row(group.ours, [_cell(time, words.three_digits) for time in times]))
    return _without_empty_columns(
        [f"{words.library_name(library)}, ms" for library in libraries], rows
    )


def memory(run: Run) -> Table:
    """The peak resident size of each library's process, on the fewest threads."""
    groups = words.works(run)
    fewest = min((group.ours.threads for group in groups), default=1)
    libraries = [OURS, *run.libraries()]
    rows = []
    for group in groups:
        if group.ours.threads == fewest:
            entries = [group.ours, *map(group.find, libraries[1:])]
            cells = [
                Cell(words.megabytes(entry.peak_bytes) if entry and entry.peak_bytes else "")
                for entry in entries
            ]
            rows.append(Row(group.ours, cells))
    rows = [row for row in rows if any(cell.text for cell in row.cells)]
    return _without_empty_columns([words.library_name(name) for name in libraries], rows)


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
