"""``fastseq evaluate``: how good a trained Transducer is on a file of pairs."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from fastseq.cli import EXIT_OK
from fastseq.cli.pairs import (
    add_columns,
    add_pair_file,
    add_unknown,
    count_unknown,
    read_file,
)
from fastseq.cli.predict import add_models, add_search_options, load_all

if TYPE_CHECKING:
    from fastseq import Ensemble, Transducer
    from fastseq.transducer.data.forms import Text

_DESCRIPTION = """\
Let the model answer every source of a file of pairs, and compare. A word is right if its answer is
any of the targets that the file has for it. The symbol error rate is the share of symbols that are
wrong: insertions, deletions and changes for each symbol of the closest target.
"""
_EXAMPLES = """\
examples:
  fastseq evaluate words.safetensors heldout.tsv
  fastseq evaluate words.safetensors heldout.tsv --beam 5 --json
  fastseq evaluate forms.safetensors old.tsv --columns source,target,features
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
    add_pair_file(parser)
    add_columns(parser)
    add_unknown(parser)
    add_search_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def read_data(
    model: Transducer | Ensemble, arguments: argparse.Namespace
) -> tuple[list[Text], list[Text]]:
    """Sources and targets of the file of pairs, as the model takes them."""
    source_form, target_form = (vocabulary.form for vocabulary in model.vocabulary_)
    columns = arguments.columns or model.columns
    data = read_file(arguments, arguments.data, source_form, target_form, columns)
    return _as_lists(data.sources, source_form), _as_lists(data.targets, target_form)


def _as_lists(texts: list[Text], form: str) -> list[Text]:
    """Texts as the model takes them: lists of symbols, if it was trained on such."""
    if form != "list":
        return texts
    return [text.split() if isinstance(text, str) else text for text in texts]


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
        unknown=count_unknown(model, sources, arguments),
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
