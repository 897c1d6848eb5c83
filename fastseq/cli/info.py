"""``fastseq info``: what runs here, and what is in a file of models."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from fastseq.cli import EXIT_OK
from fastseq.cli.predict import MODEL_HELP

_DESCRIPTION = """\
Print the version, the instruction set in use and those available, the number of threads, how the
kernels were built, and NumPy with its BLAS. With MODEL print what is in this file instead: its
models with their hyperparameters, weights, symbols and best epochs.
"""
_EXAMPLES = """\
examples:
  fastseq info
  FASTSEQ_ISA=baseline fastseq info         choose another instruction set
  FASTSEQ_NUM_THREADS=1 fastseq info --json
  fastseq info words.safetensors            what is in this file
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "info",
        help="version, instruction set, threads, compiler, NumPy and BLAS; or what a model is",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the configuration, or the models."""
    from fastseq import config

    if arguments.model is not None:
        _print_models(arguments)
    elif arguments.json:
        json.dump(config.get_config(), sys.stdout, indent=2)
        print()
    else:
        config.show_config()
    return EXIT_OK


def _print_models(arguments: argparse.Namespace) -> None:
    from fastseq import Ensemble

    models = Ensemble.load(arguments.model).members_
    if arguments.json:
        listed = [
            {
                "hyperparameters": model.get_params(),
                "weights": sum(param.size for param in model.network_.params.values()),
                "symbols": {
                    "source": len(model.vocabulary_.source),
                    "target": len(model.vocabulary_.target),
                },
                "lengths": model.lengths_._asdict(),
                "history": model.history_,
            }
            for model in models
        ]
        json.dump({"models": listed}, sys.stdout, indent=2)
        print()
        return
    count = "a model" if len(models) == 1 else f"an ensemble of {len(models)} models"
    print(f"{count} in {arguments.model}")
    for model in models:
        print(repr(model))
        for line in model.summary():
            print(f"  {line}")
