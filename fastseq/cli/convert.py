"""``fastseq convert``: a trained model in a smaller file, and what that costs."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from fastseq.cli import EXIT_OK
from fastseq.cli.evaluate import read_data
from fastseq.cli.options import add_delimiter
from fastseq.cli.predict import add_search_options, as_text, load
from fastseq.float_formats import FLOAT_FORMATS

if TYPE_CHECKING:
    from fastseq import Transducer
    from fastseq.transducer.data.vocabulary import Text

_DESCRIPTION = """\
Write a model to another file, its weights as float32, or rounded to float16 or bfloat16 in half the
bytes. The loaded model computes in float32 as before. With --data both models answer the sources of
a file of pairs, and what the rounding changes is printed.
"""
_EXAMPLES = """\
examples:
  fastseq convert words.safetensors -o small.safetensors --dtype float16
  fastseq convert words.safetensors -o small.safetensors --dtype bfloat16 --data heldout.tsv
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "convert",
        help="a model in a smaller file",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument("model", metavar="MODEL", help="what fastseq train has saved")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the new file")
    parser.add_argument(
        "--dtype",
        choices=tuple(FLOAT_FORMATS),
        default="float32",
        help="what weights are in the new file (default: float32)",
    )
    parser.add_argument(
        "--data", metavar="DATA.tsv", help="pairs to measure accuracy with: source, tab, target"
    )
    add_delimiter(parser)
    add_search_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the new file, read it back, and compare."""
    from fastseq import Transducer

    model = load(arguments)
    data = read_data(model, arguments) if arguments.data else None
    model.save(arguments.output, dtype=arguments.dtype)
    converted = Transducer.load(arguments.output)
    for path in (arguments.model, arguments.output):
        print(f"{path}  {os.path.getsize(path):,} bytes")
    _print_change(model, converted)
    if data is not None:
        _print_accuracy(model, converted, *data, arguments)
    return EXIT_OK


def _print_change(model: Transducer, converted: Transducer) -> None:
    import numpy as np

    weights, new = (each.network_.params for each in (model, converted))
    largest = max(float(np.abs(array).max()) for array in weights.values())
    change = max(float(np.abs(new[name] - array).max()) for name, array in weights.items())
    print(f"largest change of a weight  {change:.2g}, where the largest weight is {largest:.2g}")


def _print_accuracy(
    model: Transducer,
    converted: Transducer,
    sources: list[Text],
    targets: list[Text],
    arguments: argparse.Namespace,
) -> None:
    from fastseq.transducer.metrics.evaluation import evaluate

    search = {"beam_size": arguments.beam, "length_penalty": arguments.length_penalty}
    before, after = (
        100 * evaluate(each, sources, targets, **search).accuracy for each in (model, converted)
    )
    different_sources = list({as_text(source): source for source in sources}.values())
    answers = [each.predict(different_sources, **search) for each in (model, converted)]
    changed = sum(old != new for old, new in zip(*answers, strict=True))
    print(f"accuracy on {arguments.data}  {before:.2f} % before, {after:.2f} % after")
    print(f"accuracy lost  {before - after:.2f} points")
    print(f"answers that differ  {changed:,} of {len(different_sources):,}")
