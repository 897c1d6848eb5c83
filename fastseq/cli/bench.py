"""``fastseq bench``: how fast fastseq is on this machine."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fastseq.cli import EXIT_OK, whole_number

_DESCRIPTION = """\
Time fastseq against its reference, the same classes in plain NumPy, for each layer and for the
training steps of whole models, and against PyTorch and JAX where they are installed. Each library
works in a process of its own, and nothing is timed before the results were found to agree.
"""
_EXAMPLES = """\
examples:
  fastseq bench --quick                           a first impression, in about a minute
  fastseq bench -o bench.html                     everything, also as a page with pictures
  fastseq bench --works dates lstm-both --threads 1
  fastseq bench --works layer --json bench.json

Leave the machine alone meanwhile. Milliseconds belong to one machine and one hour; quote ratios.
"""

_FORMATS = ("table", "markdown", "json")
_DEFAULT_KINDS = ("step", "layer", "decoding")
_QUICK_WORKS = (
    *("dates", "addition", "lstm-both", "gru-both"),
    *("attention-both", "affine-both", "decode-one"),
)


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "bench",
        help="the speed of this machine: fastseq against the same in NumPy, and PyTorch",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
        allow_abbrev=False,
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few works, all cores, fewer rounds of shorter turns"
    )
    parser.add_argument(
        "--works",
        nargs="+",
        metavar="WORK",
        default=[],
        help="names or kinds of works (default: step, layer and decoding); a wrong one lists all",
    )
    parser.add_argument(
        "--threads",
        nargs="+",
        type=whole_number(1),
        metavar="COUNT",
        help="numbers of threads (default: 1, and as many as there are cores)",
    )
    parser.add_argument(
        "-o", dest="page", type=Path, metavar="FILE.html", help="write a page with pictures"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the numbers of every round"
    )
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        default="table",
        help="what to print on standard output (default: table)",
    )
    parser.set_defaults(run=run, usage_error=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, write."""
    from fastseq.bench import machine, measure, record

    works = _chosen(arguments)
    for path in (arguments.page, arguments.json):
        if path is not None and not path.resolve().parent.is_dir():
            arguments.usage_error(f"{path}: there is no such folder")
    if arguments.page is not None:
        from fastseq import plot

        plot.require_matplotlib()  # before the minutes of measuring, not after them

    skipped = measure.absent(measure.PEERS)
    libraries = [name for name in ("reference", "fastseq", *measure.PEERS) if name not in skipped]
    here = machine.describe(libraries, skipped)
    settings = measure.QUICK if arguments.quick else measure.Settings()
    progress = _Progress()
    measurements = []
    try:
        for work in works:
            for threads in _threads(arguments, work, here["cores"]):
                contestants = measure.contestants(work, libraries, measure.isas()[:1])
                measurements.append(measure.measure(work, contestants, threads, settings, progress))
    finally:
        progress.clear()

    result = record.as_run(measurements, here)
    print(_formatted(result, arguments.format), end="")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if arguments.page is not None:
        from fastseq.bench import report

        report.write_html(result, arguments.page)
    return EXIT_OK


def _chosen(arguments: argparse.Namespace) -> list[Any]:
    """The works to measure, in the order of `works.WORKS`."""
    from fastseq.bench.workloads import KINDS, WORKS

    names = arguments.works or (_QUICK_WORKS if arguments.quick else _DEFAULT_KINDS)
    for name in names:
        if name not in WORKS and name not in KINDS:
            arguments.usage_error(
                f"--works: there is no {name!r}; kinds: {', '.join(KINDS)}; "
                f"works: {', '.join(WORKS)}"
            )
    return [work for work in WORKS.values() if work.name in names or work.kind in names]


def _threads(arguments: argparse.Namespace, work: Any, cores: int) -> list[int]:
    if not work.threaded:
        return [1]
    if arguments.threads:
        return list(dict.fromkeys(arguments.threads))
    return [cores] if arguments.quick else sorted({1, cores})


def _formatted(result: dict[str, Any], form: str) -> str:
    if form == "json":
        return json.dumps(result, indent=2) + "\n"
    if form == "markdown":
        from fastseq.bench import report

        return str(report.as_markdown(result))
    from fastseq.bench.report import text as table

    return table.format_run(result)


class _Progress:
    """Says on one line of the terminal what is being done; nothing where there is no terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr is not None and sys.stderr.isatty()

    def __call__(self, text: str) -> None:
        if self._shown:
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Leave an empty line."""
        self("")
