"""Reports of a benchmark run: ``python -m fastseq.bench.report RUN.json -o report.html``.

Speeds are ratios taken within each round; see :mod:`fastseq.bench.report.run`. The charts of the
page need matplotlib; Markdown and JSON need nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from fastseq.bench.report import comparison as _comparison
from fastseq.bench.report import document, html, markdown
from fastseq.bench.report.comparison import Change, Comparison
from fastseq.bench.report.run import Run, load
from fastseq.files import replace_file

__all__ = [
    "Change",
    "Comparison",
    "as_html",
    "as_json",
    "as_markdown",
    "compare",
    "load",
    "write_html",
]


def as_markdown(run: Mapping[str, Any], comparison: Comparison | None = None) -> str:
    """Word a run as Markdown: the headline, the tables, the machine.

    Parameters
    ----------
    run : dict
        What :func:`load` returns.
    comparison : Comparison, optional
        With an older run, from :func:`compare`; it follows the headline.

    Returns
    -------
    str
    """
    return markdown.render(Run.of(run), comparison)


def as_json(run: Mapping[str, Any], comparison: Comparison | None = None) -> str:
    """Give the figures of a run as JSON; the parameters are those of :func:`as_markdown`.

    Returns
    -------
    str
        One object. "results" has an entry for each work and number of threads: milliseconds,
        "speedup" over the others (their time over fastseq's), "fraction_of_limit"; each with
        "median", "low" and "high" over the rounds.
    """
    return document.render(Run.of(run), comparison)


def as_html(run: Mapping[str, Any], comparison: Comparison | None = None) -> str:
    """Lay a run out as one self-contained page; the parameters are those of :func:`as_markdown`.

    Returns
    -------
    str

    Raises
    ------
    ImportError
        Where matplotlib is missing; the message names the extra to install.
    """
    return html.render(Run.of(run), comparison)


def write_html(
    run: Mapping[str, Any], path: str | os.PathLike[str], comparison: Comparison | None = None
) -> None:
    """Write :func:`as_html` to a file, which holds the old page or the new one, never half of it.

    Raises
    ------
    ImportError
        Where matplotlib is missing.
    OSError
        When the file cannot be written.
    """
    replace_file(os.fspath(path), as_html(run, comparison).encode())


def compare(new: Mapping[str, Any], old: Mapping[str, Any], regression: float = 10.0) -> Comparison:
    """Find what got faster or slower between two runs, beyond the noise of their rounds.

    Parameters
    ----------
    new, old : dict
        What :func:`load` returns.
    regression : float
        By how many percent an entry of fastseq may be slower.

    Returns
    -------
    Comparison
        Its ``regressions`` are the entries that are slower than that, beyond noise.

    Raises
    ------
    ValueError
        When the runs have no work of fastseq in common.
    """
    return _comparison.compare(Run.of(new), Run.of(old), regression)
