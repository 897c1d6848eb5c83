"""``fastseq evaluate``: how good a trained Transducer is on a file of pairs."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from fastseq.cli import EXIT_OK
from fastseq.cli.options import check_files
from fastseq.cli.pairs import (
    add_columns,
    add_pair_file,
    add_unknown,
    count_unknown,
    read_file,
)
from fastseq.cli.parser import whole_number
from fastseq.cli.predict import (
    add_models,
    add_search_options,
    load_all,
    on_one_line,
)
from fastseq.transducer.data.forms import as_string

if TYPE_CHECKING:
    from fastseq import Ensemble, Transducer
    from fastseq.transducer.data.forms import Text
    from fastseq.transducer.metrics.evaluation import Evaluation

_MOST_CONFUSIONS = 20

_DESCRIPTION = """\
Let the model answer every source of a file of pairs, and compare. A word is right if its answer is
any of the targets that the file has for it. The symbol error rate is the share of symbols that are
wrong: insertions, deletions and changes for each symbol of the closest target. The wrong answers
can be written to a file, and everything to a page.
"""
_EXAMPLES = """\
examples:
  fastseq evaluate words.safetensors heldout.tsv
  fastseq evaluate words.safetensors heldout.tsv --beam 5 --json
  fastseq evaluate forms.safetensors old.tsv --columns source,target,features
  fastseq evaluate words.safetensors heldout.tsv --errors errors.tsv --details
  fastseq evaluate words.safetensors heldout.tsv --beam 5 --oracle 5 -o report.html
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
    parser.add_argument(
        "--oracle",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="print too how many words have a right one among their N best answers, at most as "
        "many as --beam",
    )
    parser.add_argument(
        "--details",
        action="store_true",
        help="print accuracy by length, and the most frequent confusions of symbols",
    )
    parser.add_argument(
        "--errors",
        metavar="FILE",
        help="write the wrong answers as TSV: source, expected, answer, score, edits",
    )
    parser.add_argument("-o", "--output", metavar="report.html", help="write all of this as a page")
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
    """Answer, compare, print, write."""
    from fastseq.files import check_writable
    from fastseq.transducer.metrics.evaluation import evaluate

    if arguments.oracle > arguments.beam:
        arguments.usage_error(f"--oracle {arguments.oracle} needs --beam {arguments.oracle}")
    inputs = {"MODEL": arguments.model, "DATA.tsv": arguments.data}
    check_files(arguments, inputs, [("--errors", arguments.errors), ("-o", arguments.output)])
    model = load_all(arguments)
    sources, targets = read_data(model, arguments)
    for path in (arguments.errors, arguments.output):
        if path is not None:
            check_writable(path)
    result = evaluate(
        model,
        sources,
        targets,
        beam_size=arguments.beam,
        length_penalty=arguments.length_penalty,
        unknown=count_unknown(model, sources, arguments),
        n_best=arguments.oracle,
    )
    if arguments.errors is not None:
        _write(arguments.errors, _errors(model, result))
    if arguments.output is not None:
        from fastseq.transducer.metrics.report import as_html

        _write(arguments.output, as_html(result, model.vocabulary_, _facts(arguments)))
    if arguments.json:
        details = _details(result) if arguments.details else {}
        print(json.dumps(result.summary() | details, ensure_ascii=False))
        return EXIT_OK
    _print(result)
    if arguments.details:
        _print_details(result)
    return EXIT_OK


def _print(result: Evaluation) -> None:
    print(f"words              {result.words:,}")
    print(f"accuracy           {100 * result.accuracy:.2f} %")
    if result.n_best > 1:
        print(f"{f'oracle of {result.n_best}':18} {100 * result.oracle:.2f} %")
    print(f"symbol error rate  {100 * result.symbol_error_rate:.2f} %")
    print(f"words a second     {result.words_per_second:,.0f}")
    if result.cut:
        print(f"answers cut        {result.cut:,}, at the longest length that is searched")


def _print_details(result: Evaluation) -> None:
    from fastseq.transducer.metrics.judgement import accuracy_by_length, confusions
    from fastseq.transducer.metrics.report import NOTHING

    print("\nsymbols of the source    words      right")
    for each in accuracy_by_length(result.judgements):
        lengths = f"{each.least}" if each.least == each.most else f"{each.least} to {each.most}"
        print(f"{lengths:21}{each.words:9,}{100 * each.right / each.words:9.1f} %")
    found = confusions(result.judgements)
    if found:
        print("\nexpected   answered   times")
    for confusion in found[:_MOST_CONFUSIONS]:
        expected, got = (on_one_line(each or NOTHING) for each in confusion[:2])
        print(f"{expected:10} {got:10} {confusion.times:5,}")


def _details(result: Evaluation) -> dict[str, Any]:
    from fastseq.transducer.metrics.judgement import accuracy_by_length, confusions

    return {
        "lengths": [each._asdict() for each in accuracy_by_length(result.judgements)],
        "confusions": [each._asdict() for each in confusions(result.judgements)],
    }


def _errors(model: Transducer | Ensemble, result: Evaluation) -> str:
    """The wrong answers as tab-separated values."""
    join_source, join = (vocabulary.join for vocabulary in model.vocabulary_)
    lines = ["source\texpected\tanswer\tscore\tedits"]
    for each in result.judgements:
        if not each.is_right:
            expected = " | ".join(as_string(join(right)) for right in each.accepted)
            texts = (as_string(join_source(each.source)), expected, as_string(join(each.answer)))
            fields = [on_one_line(text) for text in texts]
            lines.append("\t".join([*fields, f"{each.score:.6f}", str(each.edits)]))
    return "\n".join(lines) + "\n"


def _facts(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """What was evaluated, and how."""
    return [
        ("model", ", ".join([arguments.model, *arguments.more_models])),
        ("pairs", arguments.data),
        ("beam", str(arguments.beam)),
        ("length penalty", f"{arguments.length_penalty:g}"),
    ]


def _write(path: str, text: str) -> None:
    from fastseq.files import replace_file

    replace_file(path, text.encode())
