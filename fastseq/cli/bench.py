"""``fastseq bench`` measures the speed of this machine; ``fastseq report`` shows a stored run."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastseq.cli import EXIT_FAILURE, EXIT_OK, say
from fastseq.cli.parser import whole_number

if TYPE_CHECKING:
    from fastseq.bench.result import Run
    from fastseq.bench.workloads import Workload

_DESCRIPTION = """\
Time fastseq against its reference, the same classes in plain NumPy, for each layer and for the
training steps of whole models, and against PyTorch and JAX where they are installed. Each backend
has a process of its own, and nothing is timed before the results were found to agree.
"""
_EXAMPLES = """\
examples:
  fastseq bench --quick                           a first impression, in about a minute
  fastseq bench -o bench.html                     everything, also as a page with charts
  fastseq bench --workloads dates lstm-both --threads 1
  fastseq bench --workloads layer --json bench.json
  fastseq bench --precision float32 bfloat16      all of it in both
  fastseq bench --workloads dates-busy            on cores that other processes keep busy

The machine must be idle otherwise. Milliseconds belong to one machine and one hour; quote ratios.
"""
_REPORT_DESCRIPTION = """\
Report a stored benchmark run: how fast fastseq is against the reference, its peers and the peak.
The exit status is 1 where an entry of fastseq is slower than in OLD.json, beyond noise and by more
than the percentage allowed.
"""
_REPORT_EXAMPLES = """\
examples:
  fastseq report run.json                         tables, as Markdown
  fastseq report run.json -o report.html          the page, with charts
  fastseq report run.json --format json           the figures, for a program
  fastseq report amd.json intel.json -o speed.svg    one picture, a panel for each run
  fastseq report new.json --compare old.json --regression 5
"""

_PRECISIONS = ("float32", "bfloat16")
_FORMATS = ("table", "markdown", "json")
_REPORT_FORMATS = ("html", "markdown", "json", "svg")
_DEFAULT_KINDS = ("step", "layer", "decoding")
_QUICK_WORKLOADS = (
    *("dates", "addition", "lstm-both", "gru-both"),
    *("attention-both", "affine-both", "decode-one"),
)


def add_parser(commands: Any) -> None:
    """Describe both commands."""
    _describe_bench(
        commands.add_parser(
            "bench",
            help="the speed of this machine: fastseq against the same in NumPy, and PyTorch",
            description=_DESCRIPTION,
            epilog=_EXAMPLES,
        )
    )
    _describe_report(
        commands.add_parser(
            "report",
            help="a stored run of bench as a page, as Markdown or JSON, or against an older one",
            description=_REPORT_DESCRIPTION,
            epilog=_REPORT_EXAMPLES,
        )
    )


def _describe_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick", action="store_true", help="a few workloads, all cores, fewer and shorter rounds"
    )
    parser.add_argument(
        "--workloads",
        nargs="+",
        metavar="WORKLOAD",
        default=[],
        help="names or kinds (default: step, layer and decoding); a wrong one lists all",
    )
    parser.add_argument(  # the option's former name
        "--works",
        nargs="+",
        dest="workloads",
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--precision",
        nargs="+",
        choices=_PRECISIONS,
        metavar="PRECISION",
        default=["float32"],
        help="of products: float32 (default), bfloat16, or both; in bfloat16 against fastseq's own "
        "float32, PyTorch's autocast and, where a model answers, its int8",
    )
    parser.add_argument(
        "--threads",
        nargs="+",
        type=whole_number(1),
        metavar="COUNT",
        help="numbers of threads (default: 1, and as many as there are cores)",
    )
    parser.add_argument(
        "-o", dest="page", type=Path, metavar="FILE.html", help="write a page with charts"
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
    parser.set_defaults(run=run)


def _describe_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="RUN.json",
        help="written by `fastseq bench --json` or `make bench`; only the picture takes several",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where to write (default: standard output)"
    )
    parser.add_argument(
        "--format",
        choices=_REPORT_FORMATS,
        help="default: html or svg where the output's name ends so, else markdown; svg is one "
        "picture of the most telling workloads",
    )
    parser.add_argument(
        "--compare",
        metavar="OLD.json",
        help="an older run: show what got faster or slower beyond noise",
    )
    parser.add_argument(
        "--regression",
        type=_percentage,
        metavar="PERCENT",
        help="by how much an entry may be slower than in OLD.json (default: 10)",
    )
    parser.set_defaults(run=report_run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, print, write."""
    from fastseq.bench import machine, measure, record
    from fastseq.bench.result import Run

    workloads = _chosen(arguments)
    for path in (arguments.page, arguments.json):
        if path is not None and not path.resolve().parent.is_dir():
            arguments.usage_error(f"{path}: there is no such folder")
    if arguments.page is not None:
        if arguments.page.suffix not in (".html", ".htm"):
            arguments.usage_error(f"{arguments.page}: expected a name in .html; --json has numbers")
        from fastseq import plot

        plot.require_matplotlib()  # before the minutes of measuring, not after them

    skipped = measure.absent(measure.PEERS)
    names = [name for name in ("reference", "fastseq", *measure.PEERS) if name not in skipped]
    skipped |= measure.without_bfloat16(names, arguments.precision)
    here = machine.describe(names, skipped)
    settings = measure.QUICK if arguments.quick else measure.Settings()
    date = datetime.now(UTC).isoformat()
    progress = _Progress()
    groups = []
    try:
        for workload in workloads:
            for threads in _threads(arguments, workload, here["cores"]):
                backends = measure.backends_of(
                    workload, names, measure.isas(workload.precision)[:1]
                )
                groups.append(measure.measure(workload, backends, threads, settings, progress))
    finally:
        progress.clear()

    result = Run(tuple(groups), here, {}, date)
    print(_formatted(result, arguments.format), end="")
    if arguments.json is not None:
        document = json.dumps(record.as_document(result), indent=2)
        arguments.json.write_text(document + "\n", encoding="utf-8")
    if arguments.page is not None:
        from fastseq.bench import report

        report.write_html(result, arguments.page)
    return EXIT_OK


def report_run(arguments: argparse.Namespace) -> int:
    """Load a run, print or write its report; EXIT_FAILURE where an entry regressed."""
    from fastseq.bench import report
    from fastseq.bench.report import words
    from fastseq.files import replace_file

    if arguments.regression is not None and arguments.compare is None:
        arguments.usage_error("--regression needs --compare OLD.json")
    output: str | None = arguments.output
    suffix = "" if output is None else Path(output).suffix.lower()
    form = arguments.format or {".html": "html", ".svg": "svg"}.get(suffix, "markdown")
    if len(arguments.files) > 1 and form != "svg":
        arguments.usage_error("several runs are for --format svg; expected one RUN.json")
    runs = [report.load(file) for file in arguments.files]
    comparison = None
    if arguments.compare is not None:
        allowed = 10.0 if arguments.regression is None else arguments.regression
        comparison = report.compare(runs[0], report.load(arguments.compare), allowed)
    if form == "svg":
        text = report.as_svg(runs)
    else:
        as_form: Callable[..., str] = getattr(report, f"as_{form}")
        text = as_form(runs[0], comparison)
    if output is None:
        print(text, end="")
    else:
        replace_file(output, text.encode())
    regressions = [] if comparison is None else comparison.regressions
    for change in regressions:
        ratio = words.three_digits(change.ratio)
        say(f"{words.variant(change.new)} takes {ratio} times as long as in {arguments.compare}")
    return EXIT_FAILURE if regressions else EXIT_OK


def _chosen(arguments: argparse.Namespace) -> list[Workload]:
    """The workloads to measure, in the order of `workloads.WORKLOADS`."""
    from fastseq.bench.workloads import KINDS, WORKLOADS, in_precisions

    names = arguments.workloads or (_QUICK_WORKLOADS if arguments.quick else _DEFAULT_KINDS)
    for name in names:
        if name not in WORKLOADS and name not in KINDS:
            arguments.usage_error(
                f"--workloads: there is no {name!r}; kinds: {', '.join(KINDS)}; "
                f"workloads: {', '.join(WORKLOADS)}"
            )
    chosen = [
        workload
        for workload in WORKLOADS.values()
        if workload.name in names or workload.kind in names
    ]
    return in_precisions(chosen, arguments.precision)


def _threads(arguments: argparse.Namespace, workload: Workload, cores: int) -> list[int]:
    wanted = arguments.threads or ([cores] if arguments.quick else sorted({1, cores}))
    return workload.numbers_of_threads(list(dict.fromkeys(wanted)))


def _formatted(result: Run, form: str) -> str:
    from fastseq.bench import record, report

    if form == "json":
        return json.dumps(record.as_document(result), indent=2) + "\n"
    return report.as_markdown(result) if form == "markdown" else report.as_text(result)


def _percentage(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return number


class _Progress:
    """Shows the current stage on one line of a terminal; silent elsewhere."""

    def __init__(self) -> None:
        self._shown = sys.stderr is not None and sys.stderr.isatty()

    def __call__(self, text: str) -> None:
        if self._shown:
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Erase the line."""
        self("")
