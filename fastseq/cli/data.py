"""``fastseq data``: write a generated data set."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from fastseq.cli import EXIT_OK
from fastseq.cli.parser import whole_number

_DESCRIPTION = """\
Write a generated data set, by default to standard output.

  dates      a date as people write it, and its ISO form:  "Sep 27, 1994"  "1994-09-27"
  addition   a sum of numbers of 1 to 3 digits, and its result:  "16+75"  "91"
"""
_EXAMPLES = """\
examples:
  fastseq data dates | head
  fastseq data dates -n 1000 --seed 7 -o dates.tsv
  fastseq data addition --format textbook -o addition.txt
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "data",
        help="write a generated data set",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument("task", choices=["dates", "addition"], help="which data set")
    parser.add_argument(
        "-n",
        dest="count",
        type=whole_number(0),
        default=50_000,
        metavar="N",
        help="how many pairs (default: 50000)",
    )
    parser.add_argument(
        "--seed",
        type=whole_number(0),
        default=0,
        metavar="S",
        help="the same seed gives the same pairs (default: 0)",
    )
    parser.add_argument(
        "--format",
        choices=["tsv", "textbook"],
        default="tsv",
        help="question, tab, answer (tsv, the default); or question_answer, padded with spaces to "
        "equal widths (textbook)",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write to a file instead of standard output"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Generate the pairs and write them."""
    from fastseq.data import addition, dates, sequence
    from fastseq.files import replace_file

    task = {"addition": addition, "dates": dates}[arguments.task]
    pairs = task.generate(arguments.count, arguments.seed)
    if arguments.format == "textbook":
        lines = sequence.textbook_lines(pairs, task.QUESTION_WIDTH, task.ANSWER_WIDTH)
    else:
        lines = sequence.tsv_lines(pairs)
    text = "".join(f"{line}\n" for line in lines)

    if arguments.output is None:
        sys.stdout.write(text)
    else:
        replace_file(arguments.output, text.encode())
    return EXIT_OK
