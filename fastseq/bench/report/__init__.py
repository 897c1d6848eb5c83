"""Reports of a benchmark run: as text, Markdown, a page or JSON; and comparisons of two runs.

Speeds are ratios taken within each round; see :mod:`fastseq.bench.result`. The charts of the page
need matplotlib; the other forms do not.
"""

from __future__ import annotations

from fastseq.bench.record import load
from fastseq.bench.report.comparison import Change, Comparison, compare
from fastseq.bench.report.document import as_json
from fastseq.bench.report.html import as_html, write_html
from fastseq.bench.report.markdown import as_markdown
from fastseq.bench.report.picture import as_svg
from fastseq.bench.report.text import as_text

__all__ = [
    "Change",
    "Comparison",
    "as_html",
    "as_json",
    "as_markdown",
    "as_svg",
    "as_text",
    "compare",
    "load",
    "write_html",
]
