"""``fastseq info``: what runs here."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from fastseq.cli import EXIT_OK

_DESCRIPTION = """\
Print the version, the instruction set in use and those available, the number of threads, how the
kernels were built, and NumPy with its BLAS.
"""
_EXAMPLES = """\
examples:
  fastseq info
  FASTSEQ_ISA=baseline fastseq info         choose another instruction set
  FASTSEQ_NUM_THREADS=1 fastseq info --json
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "info",
        help="version, instruction set, threads, compiler, NumPy and BLAS",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the configuration."""
    from fastseq import config

    if arguments.json:
        json.dump(config.get_config(), sys.stdout, indent=2)
        print()
    else:
        config.show_config()
    return EXIT_OK
