"""``fastseq attention``: where a trained Transducer looks while it answers."""

from __future__ import annotations

import argparse
from typing import Any

from fastseq.cli import EXIT_OK
from fastseq.cli.pairs import UnknownSymbols, add_unknown, source_of_line
from fastseq.cli.parser import picture_name, utf8_text
from fastseq.cli.predict import add_models, load_all, on_one_line
from fastseq.transducer.data.forms import as_string

_DESCRIPTION = """\
Draw the attention of a model as a heat map: the symbols of the text from left to right, those of
the answer from top to bottom.
"""
_EXAMPLES = """\
examples:
  fastseq attention dates.safetensors "september 27, 1994" -o map.png
  fastseq attention dates.safetensors "september 27, 1994" -o map.svg
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "attention",
        help="a picture of where a model looks",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    add_models(parser)
    parser.add_argument("text", type=utf8_text, metavar="TEXT", help="the source")
    parser.add_argument(
        "-o",
        "--output",
        type=picture_name,
        required=True,
        metavar="FILE",
        help="a name in .png, .svg or .pdf",
    )
    add_unknown(parser)
    parser.add_threads()
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Answer, draw, and print the answer."""
    from fastseq import plot

    model = load_all(arguments)
    source = source_of_line(model, arguments.text)
    unknown = UnknownSymbols(model, arguments.unknown)
    unknown.of(source, "TEXT")
    unknown.say()
    weights, symbols, answer = model.attention(source, unknown.how)
    if not answer:
        raise ValueError("the answer is empty: there is no attention to draw")
    text = on_one_line(as_string(model.vocabulary_.target.join(answer)))
    title = plot.answer_title(arguments.text, text)
    plot.save(plot.attention_map(weights, symbols, answer, title=title), arguments.output)
    print(text)
    return EXIT_OK
