"""``fastseq convert``: a trained network in another file, and what that costs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastseq.cli import EXIT_OK
from fastseq.cli.evaluate import read_data
from fastseq.cli.pairs import add_columns, add_pair_file, add_unknown, count_unknown
from fastseq.cli.predict import MODEL_HELP, add_search_options, load
from fastseq.float_formats import FLOAT_FORMATS, largest_change, serialize
from fastseq.installed import model_path

if TYPE_CHECKING:
    from fastseq import Transducer
    from fastseq.transducer.data.forms import Text

_DESCRIPTION = """\
Write a model to another file, its weights as float32, or rounded to float16 or bfloat16 in half the
bytes. The loaded model computes in float32 as before. With --data both models answer the sources of
a file of pairs, and what the rounding changes is printed.

A file of PyTorch, Keras or ONNX (.pt, .pth, .bin, .keras, .h5, .onnx) is read without its library,
and its recurrent, embedding and linear layers are written as safetensors under the names that
PyTorch has for them, which fastseq.interop.from_torch reads.
"""
_EXAMPLES = """\
examples:
  fastseq convert words.safetensors -o small.safetensors --dtype float16
  fastseq convert words.safetensors -o small.safetensors --dtype bfloat16 --data heldout.tsv
  fastseq convert network.keras -o network.safetensors
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "convert",
        help="a model in a smaller file, or one of another library",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "model", metavar="MODEL", help=f"{MODEL_HELP}, or a file of another library"
    )
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
    add_pair_file(parser)
    add_columns(parser)
    add_unknown(parser)
    add_search_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the new file, read it back, and compare."""
    read = _reader_of(arguments.model)
    if read is not None:
        if arguments.data:
            arguments.usage_error("--data needs a model that fastseq train has saved")
        return _convert_layers(read(arguments.model), arguments)
    from fastseq import Transducer

    model = load(arguments)
    data = read_data(model, arguments) if arguments.data else None
    model.save(arguments.output, dtype=arguments.dtype)
    converted = Transducer.load(arguments.output)
    _print_sizes(arguments)
    _print_change(model.network_.params, converted.network_.params)
    if data is not None:
        _print_accuracy(model, converted, *data, arguments)
    return EXIT_OK


def _reader_of(path: str) -> Callable[[str], Any] | None:
    """What reads a file of another library, by its suffix; None for a model of fastseq."""
    from fastseq import interop

    readers: dict[str, Callable[[str], Any]] = {
        ".keras": interop.from_keras,
        ".h5": interop.from_keras,
        ".onnx": interop.from_onnx,
        **dict.fromkeys((".pt", ".pth", ".bin"), interop.from_torch),
    }
    return readers.get(Path(path).suffix.lower())


def _convert_layers(layers: Any, arguments: argparse.Namespace) -> int:
    """Write the layers of another library's network under PyTorch's names."""
    from fastseq.files import replace_file
    from fastseq.interop import load_safetensors
    from fastseq.interop.torch import to_torch_arrays

    try:
        arrays = to_torch_arrays(layers)
    except ValueError as error:
        raise ValueError(f"{arguments.model}: {error}") from error
    replace_file(arguments.output, serialize(arrays, arguments.dtype, {}))
    converted = load_safetensors(arguments.output)
    _print_sizes(arguments)
    _print_change(arrays, converted)
    for name, array in arrays.items():
        print(f"{name}  {' x '.join(map(str, array.shape))}")
    return EXIT_OK


def _print_sizes(arguments: argparse.Namespace) -> None:
    for path in (model_path(arguments.model), arguments.output):
        print(f"{path}  {os.path.getsize(path):,} bytes")


def _print_change(old: dict[str, Any], new: dict[str, Any]) -> None:
    change, largest = largest_change(old, new)
    print(f"largest change of a weight  {change:.2g}, where the largest weight is {largest:.2g}")


def _print_accuracy(
    model: Transducer,
    converted: Transducer,
    sources: list[Text],
    targets: list[Text],
    arguments: argparse.Namespace,
) -> None:
    from fastseq.transducer.metrics.evaluation import evaluate

    search: dict[str, Any] = {
        "beam_size": arguments.beam,
        "length_penalty": arguments.length_penalty,
        "unknown": count_unknown(model, sources, arguments),
    }
    before, after = (
        100 * evaluate(each, sources, targets, **search).accuracy for each in (model, converted)
    )
    different_sources = list({tuple(source): source for source in sources}.values())
    answers = [each.predict(different_sources, **search) for each in (model, converted)]
    changed = sum(old != new for old, new in zip(*answers, strict=True))
    print(f"accuracy on {arguments.data}  {before:.2f} % before, {after:.2f} % after")
    print(f"accuracy lost  {before - after:.2f} points")
    print(f"answers that differ  {changed:,} of {len(different_sources):,}")
