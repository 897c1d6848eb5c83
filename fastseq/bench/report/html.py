"""A run as one self-contained page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby

from fastseq.bench.report import charts, table, words
from fastseq.bench.report.comparison import FASTER, SLOWER, Comparison
from fastseq.bench.result import OURS, Group, Run
from fastseq.files import replace_file
from fastseq.page import body, definitions, page, section
from fastseq.page import table as in_box

_PEERS = (
    "reference",
    "torch",
    "torch int8",
    "fastseq float32",
)  # those that have charts of their own
_BLOCKS = 5  # workloads in a picture: few enough that columns come out even
_LETTERS = {
    "N": "batch size",
    "T": "time steps",
    "D": "input size",
    "H": "hidden size",
    "V": "vocabulary size",
}

_MARKS = {SLOWER: "▼", FASTER: "▲"}  # the verdicts are also classes of the style sheet


def as_html(run: Run, comparison: Comparison | None = None) -> str:
    """Format a run as one self-contained page; a section without content is left out.

    Parameters
    ----------
    run : Run
        Returned by :func:`fastseq.bench.report.load`, or just measured.
    comparison : Comparison, optional
        With an older run; it follows the headline.

    Returns
    -------
    str

    Raises
    ------
    ImportError
        Where matplotlib is missing; the message names the extra to install.
    """
    sections = [
        _comparison(comparison),
        *(_speedups(run, backend) for backend in _PEERS),
        _fractions(run),
        _instruction_sets(run),
        _scaling(run),
        _ratios(run),
        _memory(run),
        _imports(run),
        _machine(run),
        files(__package__).joinpath("method.html").read_text("utf-8"),
    ]
    return page("fastseq benchmark", _headline(run), _summary(run), sections)


def write_html(
    run: Run, path: str | os.PathLike[str], comparison: Comparison | None = None
) -> None:
    """Write :func:`as_html` to a file, atomically.

    Raises
    ------
    ImportError
        Where matplotlib is missing.
    OSError
        When the file cannot be written.
    """
    replace_file(os.fspath(path), as_html(run, comparison).encode())


def _headline(run: Run) -> str:
    return "".join(
        f"<strong>{escape(text)}</strong>" if emphasised else escape(text)
        for text, emphasised in words.headline(run)
    )


def _summary(run: Run) -> str:
    """The processor and the date, in a line."""
    rows = dict(words.machine(run))
    return ", ".join(rows[name] for name in ("CPU", "measured") if name in rows)


def _ratios(run: Run) -> str:
    figures = table.ratios(run)
    if not figures.rows:
        return ""
    explanation = (
        "Medians over the rounds, with the lowest–highest round. Ratios are taken within each "
        "round: <b>reference ÷ fastseq</b> is how many times as long the reference takes. The "
        "<b>peak</b> is the rate of one large <code>numpy.dot</code> on as many threads; only "
        "the workload's matrix products count. "
        '<span class="slower">▼&nbsp;marks a ratio below 1: the other backend is faster.</span>'
    )
    bodies = []
    width = len(figures.columns) + 1
    for kind, of_kind in groupby(figures.rows, key=lambda row: row.entry.kind):
        bodies.append(body("kind", [_heading(escape(words.kind_name(kind)), width)]))
        for _, of_workload in groupby(of_kind, key=lambda row: row.entry.workload):
            rows = list(of_workload)
            ours = rows[0].entry
            heading = f"{escape(ours.workload)} <small>{escape(ours.title)}</small>"
            lines = [
                _line(words.threads(row.entry.threads), row.cells, figures.columns) for row in rows
            ]
            bodies.append(body("workload", [_heading(heading, width), *lines]))
    content = in_box("Time and ratios", ["threads", *figures.columns], bodies)
    return section("ratios", "Time and ratios", explanation, content)


def _heading(content: str, width: int) -> str:
    """A heading across the table, which stays visible when the table is scrolled; HTML."""
    return (
        f'<tr><th class="heading" scope="rowgroup" colspan="{width}"><div>{content}</div></th></tr>'
    )


def _line(label: str, cells: Iterable[table.Cell], columns: Sequence[str]) -> str:
    filled = "".join(map(_cell, cells, columns))
    return f'<tr><th scope="row">{escape(label)}</th>{filled}</tr>'


def _cell(cell: table.Cell, column: str) -> str:
    """A cell, with its column's heading for screens too narrow for columns."""
    if not cell.text:
        return "<td></td>"
    kind, mark = (' class="slower"', "▼ ") if cell.slower else ("", "")
    spread = f" <small>{escape(cell.spread)}</small>" if cell.spread else ""
    text = f"<span>{mark}{escape(cell.text)}{spread}</span>"
    return f'<td{kind} data-column="{escape(column)}">{text}</td>'


def _figures(pictures: Iterable[tuple[str, str]], layout: str = "columns") -> str:
    """Charts with captions, several abreast on a wide screen: by columns, or in rows."""
    return f'<div class="{layout}">' + "\n{}\n</div>".format(
        "\n".join(
            f"<figure>\n<figcaption>{escape(caption)}</figcaption>\n{picture}\n</figure>"
            for caption, picture in pictures
        )
    )


def _bar_charts(
    name: str,
    groups: Sequence[Group],
    bars_of: Callable[[Group], Sequence[charts.Bar]],
    words_of: tuple[Callable[[float], str], Callable[[float], str]],
    shown: str,
) -> str:
    """Charts of each kind of workloads, all on the same scale; workloads without bars are left out.

    `words_of` formats the numbers of the alternative text, and those of the axis.
    """
    found = [(group, bars) for group in groups if (bars := bars_of(group))]
    if not found:
        return ""
    scale = charts.Scale.of([bar.figure for _, bars in found for bar in bars], line=1.0)
    pictures: list[tuple[str, str]] = []
    for kind, of_kind in groupby(found, key=lambda pair: pair[0].ours.kind):
        blocks = []
        for _, of_workload in groupby(of_kind, key=lambda pair: pair[0].ours.workload):
            pairs = list(of_workload)
            ours = pairs[0][0].ours
            bars = [bar for _, bars in pairs for bar in bars]
            blocks.append(charts.Block(ours.workload, bars, ours.title))
        for start in range(0, len(blocks), _BLOCKS):
            part = blocks[start : start + _BLOCKS]
            heading = words.kind_name(kind) + (", continued" if start else "")
            medians = [bar.figure.median for block in part for bar in block.bars]
            low, high = map(words_of[0], (min(medians), max(medians)))
            alt = f"{heading}: {shown}, from {low} to {high}."
            label = f"{name}-{len(pictures)}"
            pictures.append((heading, charts.bars(part, scale, words_of[1], label, alt)))
    return _figures(pictures)


def _speedups(run: Run, backend: str) -> str:
    def bars_of(group: Group) -> list[charts.Bar]:
        ratio = group.speedup(backend)
        if ratio is None:
            return []
        slower = ratio.median < 1
        text = words.times(ratio.median) + (", slower" if slower else "")
        color = charts.color_of(backend if slower else OURS)
        return [charts.Bar(words.threads(group.ours.threads), ratio, text, color, slower)]

    name, who = f"speedup-{backend.replace(' ', '-')}", words.named(backend)
    shown = f"how many times as long as fastseq {who} takes"
    pictures = _bar_charts(
        name, words.workloads(run), bars_of, (words.times, words.round_times), shown
    )
    explanation = (
        f"How many times as long as fastseq {who} takes, on as many threads. The line stands at "
        "1, where both are equally fast; a workload in which fastseq is slower ends left of it, "
        "has the other backend's colour and says “slower”. Thin lines are the range of the rounds. "
        "Where the ratios span a wide range, the axis is logarithmic, and bars start at 1."
    )
    return section(name, f"Against {who}", explanation, pictures) if pictures else ""


def _fractions(run: Run) -> str:
    def bars_of(group: Group) -> list[charts.Bar]:
        fraction = group.fraction_of_peak(group.ours)
        if fraction is None:
            return []
        text = words.percent(fraction.median)
        return [charts.Bar(words.threads(group.ours.threads), fraction, text, OURS)]

    shown = "the fraction of the peak that fastseq reaches"
    pictures = _bar_charts("peak", words.workloads(run), bars_of, (words.percent,) * 2, shown)
    explanation = (
        "The line stands at 100&nbsp;%: the workload's matrix products at the speed of one large "
        "<code>numpy.dot</code>, and everything else in no time. Small workloads and those bound "
        "by memory stay below; products that fastseq avoids are counted all the same, so more than "
        "100&nbsp;% is possible."
    )
    return section("peak", "Fraction of the peak", explanation, pictures) if pictures else ""


def _instruction_sets(run: Run) -> str:
    groups, widest = words.instruction_sets(run)
    if not groups:
        return ""
    fewest = min(group.ours.threads for group in groups)

    def bars_of(group: Group) -> list[charts.Bar]:
        if group.ours.threads != fewest:
            return []
        ratios = [(str(entry.isa), group.ours.ratio(entry)) for entry in group.narrower]
        return [charts.Bar(isa, ratio, words.times(ratio.median), OURS) for isa, ratio in ratios]

    shown = f"how many times as long as with {widest} fastseq takes with narrower instruction sets"
    pictures = _bar_charts("isa", groups, bars_of, (words.times, words.round_times), shown)
    explanation = (
        f"How many times as long fastseq takes when it may use narrower instruction sets only, "
        f"against {escape(widest)}, the widest measured; on {words.threads(fewest)}. The line "
        "stands at 1."
    )
    return section("isa", "Instruction sets", explanation, pictures)


def _scaling(run: Run) -> str:
    panels: dict[tuple[str, str, int], list[Group]] = {}
    for group in run.groups:
        curve = group.ours.curve
        if group.ours.kind == "scaling" and curve is not None:
            panels.setdefault((curve.of, curve.letter, group.ours.threads), []).append(group)
    pictures: list[tuple[str, str]] = []
    for (workload, letter, threads), groups in panels.items():
        lines = []
        for backend in (OURS, *run.backends()):
            points = sorted(_points(groups, backend))
            if points:
                label = words.backend_name(backend)
                lines.append(charts.Line(label, points, charts.color_of(backend)))
        meaning = _LETTERS.get(letter, "")
        caption = f"{workload} against {letter}, {words.threads(threads)}"
        alt = (
            f"Curves of milliseconds against {letter} {meaning} for "
            f"{', '.join(line.label for line in lines)}; {workload} on {words.threads(threads)}."
        )
        label = f"{letter}, {meaning}" if meaning else letter
        pictures.append((caption, charts.curves(lines, label, f"scaling-{len(pictures)}", alt)))
    explanation = (
        "How the time grows with one size while the others stay. Both axes are logarithmic: "
        "a straight line of slope 1 is proportional growth; equal distances are equal ratios."
    )
    return (
        section("scaling", "Scaling", explanation, _figures(pictures, "rows")) if pictures else ""
    )


def _points(groups: Sequence[Group], backend: str) -> Iterable[tuple[float, float]]:
    for group in groups:
        entry = group.ours if backend == OURS else group.find(backend)
        if entry is not None and entry.curve is not None:
            yield entry.curve.value, entry.milliseconds.median


def _memory(run: Run) -> str:
    figures = table.memory(run)
    if not figures.rows:
        return ""
    explanation = (
        "The largest resident size that each backend's process reached, on "
        f"{words.threads(figures.rows[0].entry.threads)}: interpreter, libraries and data, "
        "in units of 10<sup>6</sup> bytes."
    )
    lines = [_line(row.entry.workload, row.cells, figures.columns) for row in figures.rows]
    content = in_box("Peak memory", ["workload", *figures.columns], [body("plain", lines)])
    return section("memory", "Peak memory", explanation, content)


def _imports(run: Run) -> str:
    bars = [
        charts.Bar(
            words.backend_name(entry.backend),
            entry.milliseconds,
            words.milliseconds(entry.milliseconds),
            charts.color_of(entry.backend),
        )
        for group in run.groups
        if group.ours.kind == "import"
        for entry in sorted(group.entries, key=lambda entry: entry.milliseconds.median)
    ]
    if not bars:
        return ""
    alt = "Import times: " + ", ".join(f"{bar.name} {bar.text}" for bar in bars) + "."
    scale = charts.Scale.of([bar.figure for bar in bars])
    picture = charts.bars(
        [charts.Block("import, in a new process", bars)], scale, words.round_number, "import", alt
    )
    explanation = (
        "The time from the start of a script to its first line: the import of each library."
    )
    return section("import", "Import time", explanation, _figures([("Milliseconds", picture)]))


def _comparison(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    lines = [
        f'<tr><th scope="row">{escape(words.variant(change.new))}</th>'
        f"<td>{words.three_digits(change.ratio)}</td>"
        f'<td class="{change.verdict}">{_MARKS[change.verdict]} {change.verdict}</td></tr>'
        for change in comparison.beyond_noise
    ]
    title, columns = "Compared with the older run", ["workload", "now ÷ before", "verdict"]
    explanation = " ".join(map(escape, [comparison.summary(), *comparison.notes()]))
    content = in_box(title, columns, [body("plain", lines)]) if lines else ""
    return section("compared", title, explanation, content)


def _machine(run: Run) -> str:
    rows = words.machine(run)
    if not rows:
        return ""
    explanation = (
        "Milliseconds belong to one machine and one hour. Quote ratios, and these lines with them."
    )
    return section("machine", "The machine", explanation, definitions(rows))
