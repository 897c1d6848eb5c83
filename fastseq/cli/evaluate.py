"""``fastseq evaluate``: how good a trained Transducer is on a file of pairs."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from fastseq.cli import EXIT_OK
from fastseq.cli.options import add_delimiter
from fastseq.cli.predict import add_models, add_search_options, as_source, load_all

if TYPE_CHECKING:
    from fastseq import Ensemble, Transducer
    from fastseq.transducer.data.vocabulary import Text

_DESCRIPTION = """\
Let the model answer every source of a file of pairs, and compare. A word is right if its answer is
any of the targets that the file has for it. The symbol error rate is the share of symbols that are
wrong: insertions, deletions and changes for each symbol of the closest target.
"""
_EXAMPLES = """\
examples:
  fastseq evaluate words.safetensors heldout.tsv
  fastseq evaluate words.safetensors heldout.tsv --beam 5 --json
  fastseq evaluate a.safetensors heldout.tsv --model b.safetensors    the mean of two models
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "evaluate",
        help="accuracy and speed of a model on a file of pairs",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    add_models(parser)
    parser.add_argument("data", metavar="DATA.tsv", help="the pairs: source, tab, target")
    add_delimiter(parser)
    add_search_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def read_data(
    model: Transducer | Ensemble, arguments: argparse.Namespace
) -> tuple[list[Text], list[Text]]:
    """Sources and targets of the file of pairs, as the model takes them."""
    from fastseq.transducer.data.tsv import read_pairs

    source_form, target_form = (vocabulary.form for vocabulary in model.vocabulary_)
    sources, targets = read_pairs(arguments.data, source_form, target_form, arguments.delimiter)
    return (
        [as_source(model, source) for source in sources],
        [target.split() if target_form == "list" else target for target in targets],
    )


def run(arguments: argparse.Namespace) -> int:
    """Answer, compare, print."""
    from fastseq.transducer.metrics.evaluation import evaluate

    model = load_all(arguments)
    sources, targets = read_data(model, arguments)
    result = evaluate(
        model,
        sources,
        targets,
        beam_size=arguments.beam,
        length_penalty=arguments.length_penalty,
    )
    if arguments.json:
        print(json.dumps(result._asdict()))
        return EXIT_OK
    print(f"words              {result.words:,}")
    print(f"accuracy           {100 * result.accuracy:.2f} %")
    print(f"symbol error rate  {100 * result.symbol_error_rate:.2f} %")
    print(f"words a second     {result.words_per_second:,.0f}")
    if result.cut:
        print(f"answers cut        {result.cut:,}, at the longest length that is searched")
    return EXIT_OK
