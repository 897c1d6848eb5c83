"""The training step, and the layers under it: fastseq against its NumPy reference and the limit.

Each library and number of threads works in a process of its own; the processes are asked in turn,
so that all are measured in the same minutes. That they compute the same is checked before anything
is timed. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from pathlib import Path

from libraries import MODULES
from measure import Measurement, ParityError, Settings, measure
from table import as_json, cores, format_header, format_table
from workers import WorkerError
from works import WORKS, Work

PEERS = ("torch",)
STEPS = [name for name, work in WORKS.items() if work.group == "step"]
QUICK = Settings(rounds=3, turn_seconds=0.1)

EXAMPLES = """\
examples:
  python benchmarks/training_step.py                        all three models, 1 and 2 threads
  python benchmarks/training_step.py --quick --model dates  a first impression
  python benchmarks/training_step.py --work layer --peers torch
  python benchmarks/training_step.py --work all --rounds 21 --json build/training_step.json
  FASTSEQ_ISA=avx2 python benchmarks/training_step.py       fastseq with another instruction set

Exit status: 0; 1 when a library does not compute what the reference does, or a process failed; 2
for wrong usage; 130 after Ctrl-C.
"""


def main(arguments: list[str] | None = None) -> int:
    """Measure what the command line asks for."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.model and options.work == "layer":
        parser.error("--model: chooses training steps; not with --work layer")
    if options.json and not options.json.resolve().parent.is_dir():
        parser.error(f"--json: no folder {options.json.parent}")
    threads = list(dict.fromkeys(options.threads))
    settings = QUICK if options.quick else Settings()
    if options.rounds is not None:
        settings = Settings(options.rounds, settings.turn_seconds)

    libraries = ["fastseq", "reference"]
    skipped = []
    for peer in options.peers:
        if importlib.util.find_spec(MODULES[peer]) is None:
            skipped.append(peer)
            print(f"{peer}: skipped, it is not installed here (pip install {peer})", flush=True)
        else:
            libraries.append(peer)
    if max(threads) > cores():
        print(f"note: more threads than the {cores()} cores of this machine", flush=True)

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    measurements: list[Measurement] = []
    progress = _Progress()
    try:
        for work in _chosen(options.work, options.model):
            measurement = measure(work, libraries, threads, settings, progress)
            if not measurements:
                progress.clear()
                print(format_header(measurement, settings, load), flush=True)
            measurements.append(measurement)
    except (ParityError, WorkerError) as error:
        progress.clear()
        print(f"training_step.py: {work.name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        progress.clear()
        return 130
    progress.clear()
    print(format_table(measurements), end="", flush=True)

    if options.json:
        report = as_json(measurements, settings, load, skipped)
        try:
            options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            print(f"training_step.py: --json: {error}", file=sys.stderr)
            return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--work",
        choices=("step", "layer", "all"),
        default="step",
        help="training steps of whole models (default), single layers, or both",
    )
    parser.add_argument(
        "--model",
        nargs="+",
        choices=STEPS,
        metavar="NAME",
        help=f"only these models: {', '.join(STEPS)}",
    )
    parser.add_argument(
        "--threads",
        nargs="+",
        type=_positive,
        default=[1, 2],
        metavar="COUNT",
        help="numbers of threads (default: 1 2)",
    )
    parser.add_argument(
        "--rounds",
        type=_positive,
        metavar="COUNT",
        help=f"turns of each process (default: {Settings.rounds}; with --quick {QUICK.rounds})",
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds of shorter turns")
    parser.add_argument(
        "--peers", nargs="+", choices=PEERS, default=[], help="other libraries, where installed"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the same, and every round, as JSON"
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {number}")
    return number


def _chosen(group: str, models: list[str] | None) -> list[Work]:
    return [
        work
        for work in WORKS.values()
        if group in ("all", work.group)
        and (models is None or work.group != "step" or work.name in models)
    ]


class _Progress:
    """Says on one line of the terminal what is being done; nothing where there is no terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def __call__(self, text: str) -> None:
        if self._shown:
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()

    def clear(self) -> None:
        self("")


if __name__ == "__main__":
    sys.exit(main())
