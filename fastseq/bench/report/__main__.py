"""``python -m fastseq.bench.report``: a benchmark run as a page, as Markdown or as JSON.

The exit status is 0, or 1 for a failure that is said in one line and for a regression, 2 for wrong
usage.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import sys
from collections.abc import Sequence

from fastseq.bench import report
from fastseq.bench.report import words
from fastseq.files import replace_file

_EXAMPLES = """\
examples:
  python -m fastseq.bench.report run.json                          tables, as Markdown
  python -m fastseq.bench.report run.json -o report.html           the page, with charts
  python -m fastseq.bench.report run.json --format json            the figures, for a program
  python -m fastseq.bench.report new.json --compare old.json --regression 5
"""
_FORMATS = {"html": report.as_html, "markdown": report.as_markdown, "json": report.as_json}


def main(argv: Sequence[str] | None = None) -> int:
    """Make one report.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        The exit status.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may not know ÷
    try:
        parser = _parser()
        arguments = parser.parse_args(argv)
        if arguments.regression is not None and arguments.compare is None:
            parser.error("--regression needs --compare OLD.json")
        return _report(arguments)
    except SystemExit as stop:  # from argparse, which has said why
        return stop.code if isinstance(stop.code, int) else 0
    except BrokenPipeError:  # `| head`: the reader has what it wanted
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # for what the interpreter flushes at its end
        os.close(nowhere)
        return 0
    except OSError as error:
        place = "" if error.filename is None else f"{error.filename}: "
        _say(f"error: {place}{error.strerror or error}")
    except (ImportError, ValueError) as error:
        _say(f"error: {' '.join(str(error).split())}")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fastseq.bench.report",
        description="Report a benchmark run: how fast fastseq is against the reference, its peers "
        "and the limit.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("run", metavar="RUN.json", help="what the benchmark has written")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where to write (default: standard output)"
    )
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        help="default: html where the output's name ends in .html, else markdown",
    )
    parser.add_argument(
        "--compare",
        metavar="OLD.json",
        help="an older run: show what got faster or slower beyond noise, and exit with status 1 "
        "where an entry of fastseq regressed",
    )
    parser.add_argument(
        "--regression",
        type=_percentage,
        metavar="PERCENT",
        help="by how much an entry may be slower than in OLD.json (default: 10)",
    )
    return parser


def _percentage(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return number


def _report(arguments: argparse.Namespace) -> int:
    comparison = None
    run = report.load(arguments.run)
    if arguments.compare is not None:
        allowed = 10.0 if arguments.regression is None else arguments.regression
        comparison = report.compare(run, report.load(arguments.compare), allowed)
    is_page = arguments.output is not None and arguments.output.lower().endswith(".html")
    text = _FORMATS[arguments.format or ("html" if is_page else "markdown")](run, comparison)
    if arguments.output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        replace_file(arguments.output, text.encode())
    if comparison is None or not comparison.regressions:
        return 0
    for change in comparison.regressions:
        _say(
            f"{words.variant(change.new)} takes {words.three_digits(change.ratio)} times as long "
            f"as in {arguments.compare}"
        )
    return 1


def _say(message: str) -> None:
    print(f"fastseq.bench.report: {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
