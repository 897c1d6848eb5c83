"""``fastseq export``: a trained Transducer as a model of another format."""

from __future__ import annotations

import argparse
from typing import Any

from fastseq.cli import EXIT_OK
from fastseq.cli.predict import MODEL_HELP, load

_DESCRIPTION = """\
Write a model for programs without fastseq. The format onnx is a folder: the encoder, a step of the
decoder and the whole of greedy decoding as ONNX graphs, vocabularies as JSON, and a program of a
few lines, run.py, that answers texts with onnxruntime and NumPy alone. Other files in the folder
stay.
"""
_EXAMPLES = """\
examples:
  fastseq export words.safetensors -o exported
  fastseq export words.safetensors -o exported --format onnx --check
  python exported/run.py TEXT
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "export",
        help="a model for programs without fastseq: ONNX",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="the folder, made if need be"
    )
    parser.add_argument(
        "--format", choices=("onnx",), default="onnx", help="what to write (default: onnx)"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="answer random sources by onnxruntime and by fastseq, and write nothing where they "
        "differ",
    )
    parser.add_threads()
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load, make the files, compare, write, and print what was written."""
    from fastseq.files import replace_files
    from fastseq.interop.export.check import compare
    from fastseq.interop.export.folder import model_files

    model = load(arguments)
    files = model_files(model)
    checked = compare(model, files["greedy.onnx"]) if arguments.check else None
    replace_files(arguments.output, files)
    for name, content in files.items():
        print(f"{name:14}{len(content):>12,} bytes")
    print(f"{len(files)} files in {arguments.output}")
    if checked is not None:
        print(
            f"onnxruntime {checked.runtime}: {checked.sources} random sources have the same "
            f"answers, log probabilities differ by at most {checked.difference:.0e}"
        )
    return EXIT_OK
