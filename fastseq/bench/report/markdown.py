"""A run as Markdown: the headline, the tables, the machine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fastseq.bench.report import table, words
from fastseq.bench.report.comparison import Comparison
from fastseq.bench.result import Run

_LEGEND = (
    "Each figure is the median over the rounds, with the lowest–highest round in parentheses. "
    "“reference ÷ fastseq” says how many times as long the reference takes, taken within each "
    "round; below 1, the other backend is faster (▼). “of the peak”: the rate of the workload's "
    "matrix products over that of one large `numpy.dot` on as many threads, in the same round. "
    "Where products are of bfloat16, PyTorch's are so too, by autocast; the others have a "
    "precision of their own. Beside busy processes, “1 thread” is the same on one thread."
)


def as_markdown(run: Run, comparison: Comparison | None = None) -> str:
    """Format a run as Markdown: the headline, the tables, the machine.

    Parameters
    ----------
    run : Run
        Returned by :func:`fastseq.bench.report.load`, or just measured.
    comparison : Comparison, optional
        With an older run; it follows the headline.

    Returns
    -------
    str
    """
    sentence = "".join(
        f"**{_escape(text)}**" if emphasised else _escape(text)
        for text, emphasised in words.headline(run)
    )
    parts = ["# fastseq benchmark", sentence]
    if comparison is not None:
        parts += _comparison(comparison)
    figures = table.ratios(run)
    if figures.rows:
        parts += ["## Time", _table(figures), _titles(figures), _LEGEND]
    for heading, others in (
        ("Instruction sets", table.instruction_sets(run)),
        ("Scaling", table.scaling(run)),
        ("Import time", table.imports(run)),
        ("Peak memory", table.memory(run)),
    ):
        if others.rows:
            parts += [f"## {heading}", _table(others)]
    machine = [f"- {_escape(name)}: {_escape(value)}" for name, value in words.machine(run)]
    if machine:
        parts += ["## Machine", "\n".join(machine)]
    return "\n\n".join(parts) + "\n"


def _table(figures: table.Table) -> str:
    rows = [
        [
            row.entry.workload,
            str(row.entry.threads),
            *(
                f"{'▼ ' if cell.slower else ''}{cell.text}"
                + (f" ({cell.spread})" if cell.spread else "")
                for cell in row.cells
            ),
        ]
        for row in figures.rows
    ]
    return _lines(["workload", "threads", *figures.columns], rows)


def _titles(figures: table.Table) -> str:
    titles = {row.entry.workload: row.entry.title for row in figures.rows}
    return "\n".join(
        f"- {_escape(workload)}: {_escape(title)}" for workload, title in titles.items()
    )


def _comparison(comparison: Comparison) -> list[str]:
    head = ["workload", "fastseq, now ÷ before", "verdict"]
    rows = [
        [words.variant(change.new), words.three_digits(change.ratio), change.verdict]
        for change in comparison.beyond_noise
    ]
    parts = ["## Compared with the older run", _escape(comparison.summary())]
    if rows:
        parts.append(_lines(head, rows))
    return [*parts, *map(_escape, comparison.notes())]


def _lines(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; all columns but the first are aligned to the right."""
    rule = [":--", *["--:"] * (len(head) - 1)]
    lines = [head, rule, *rows]
    return "\n".join(
        f"| {' | '.join(text if line is rule else _escape(text) for text in line)} |"
        for line in lines
    )


def _escape(text: str) -> str:
    """One line, with the special characters of Markdown and HTML escaped."""
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", re.sub(r"\s+", " ", text))
