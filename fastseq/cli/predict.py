"""``fastseq predict``: the answers of a trained Transducer."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fastseq.cli import EXIT_OK, say
from fastseq.cli.jobs import answer_in_order
from fastseq.cli.pairs import UnknownSymbols, add_unknown, source_of_line
from fastseq.cli.parser import Parser, utf8_text, whole_number
from fastseq.transducer.data.forms import as_string

if TYPE_CHECKING:
    from fastseq import Ensemble, Transducer
    from fastseq.transducer.data.forms import Text
    from fastseq.transducer.search.hypothesis import Answer

_DESCRIPTION = """\
Print the model's answer to each text, or to each line of standard input as it comes: one line for
each, in UTF-8. With --n-best or --scores a line has several fields, with tabs between them. A line
break or a tab in an answer is printed as \\n, \\r or \\t; --json tells them from a backslash.
Of a line with tabs on standard input the source column is answered, so that a file of pairs will
do; a model with features reads them from the line: source, tab, features. How many answers were
cut, because they reached the longest length that is searched before they ended, is said on standard
error; --json marks each.
"""
_EXAMPLES = """\
examples:
  fastseq predict dates.safetensors "september 27, 1994"
  fastseq predict words.safetensors --beam 5 < words.txt > answers.txt
  fastseq predict words.safetensors --jobs 8 < words.txt > answers.txt    in eight processes
  fastseq predict words.safetensors --unknown error < words.txt
  fastseq predict words.safetensors < heldout.tsv    the answers to the sources of a file of pairs
  fastseq predict words.safetensors --beam 5 --n-best 3 --scores --json TEXT
  fastseq predict a.safetensors --model b.safetensors TEXT    the mean of two models
"""

MODEL_HELP = "what fastseq train has saved, or a name that fastseq models lists"

_BYTES_AT_ONCE = 2**14
_MOST_BEGINNINGS = 10**6
_MOST_JOBS = 1024
_ESCAPES = str.maketrans({"\n": r"\n", "\r": r"\r", "\t": r"\t"})


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "predict",
        help="the answers of a model",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        usage="%(prog)s [OPTION ...] MODEL [TEXT ...]",
    )
    add_models(parser)
    texts = parser.add_argument(
        "texts",
        nargs="+",
        type=utf8_text,
        default=[],
        metavar="TEXT",
        help="default: standard input",
    )
    # "*" would be content with no text where options follow the model, and refuse those after them
    texts.required = False
    add_search_options(parser)
    add_unknown(parser)
    parser.add_argument(
        "--max-length",
        type=whole_number(1),
        metavar="N",
        help="end each answer after so many symbols at the latest",
    )
    parser.add_argument(
        "--n-best",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="answers to print for each text, at most as many as --beam (default: 1)",
    )
    parser.add_argument(
        "--jobs",
        type=whole_number(1, _MOST_JOBS),
        default=1,
        metavar="N",
        help="answer in N processes, which share the threads; the output is the same (default: 1)",
    )
    parser.add_argument(
        "--scores", action="store_true", help="print after each answer its log probability"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print a JSON object for each text: input, answers, and any unknown symbols",
    )
    parser.set_defaults(run=run)


def add_search_options(parser: Parser) -> None:
    """Add what says how answers are searched."""
    parser.add_argument(
        "--beam",
        type=whole_number(1, _MOST_BEGINNINGS),
        default=1,
        metavar="N",
        help="beginnings of an answer that are kept (default: 1, greedy)",
    )
    parser.add_argument(
        "--length-penalty",
        type=_length_penalty,
        default=0.0,
        metavar="X",
        help="above 0, long answers lose less (default: 0)",
    )
    parser.add_threads()


def add_models(parser: Parser) -> None:
    """Add the file of a model, and more of them that answer with it."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "--model",
        dest="more_models",
        action="append",
        default=[],
        metavar="MODEL",
        help="another model that answers with the first, by the mean of their probabilities; its "
        "vocabularies must be the same; may be repeated",
    )


def load(arguments: argparse.Namespace) -> Transducer:
    """The one model that the arguments name, its weights finite; the threads are set."""
    from fastseq import Transducer

    _set_threads(arguments)
    model = Transducer.load(arguments.model)
    _check_finite(arguments.model, model)
    return model


def load_all(arguments: argparse.Namespace) -> Transducer | Ensemble:
    """The models that the arguments name, as one; an ensemble where there are several."""
    from fastseq import Ensemble

    _set_threads(arguments)
    ensemble = Ensemble.load(arguments.model, *arguments.more_models)
    names = ", ".join([arguments.model, *arguments.more_models])
    for model in ensemble.members_:
        _check_finite(names, model)
    [*_, last] = ensemble.members_
    return last if len(ensemble.members_) == 1 else ensemble


def _set_threads(arguments: argparse.Namespace) -> None:
    from fastseq import set_num_threads

    if arguments.threads is not None:
        set_num_threads(arguments.threads)


def _check_finite(names: str, model: Transducer) -> None:
    import numpy as np

    for name, param in model.network_.params.items():
        if not np.isfinite(param).all():
            raise ValueError(f"{names}: {name}: expected finite weights, got NaN or inf")


def on_one_line(text: str) -> str:
    """A text as it is printed, whatever symbols the model has learnt."""
    return text.translate(_ESCAPES)


def run(arguments: argparse.Namespace) -> int:
    """Answer, some lines at a time, as they come."""
    if arguments.n_best > arguments.beam:
        arguments.usage_error(f"--n-best {arguments.n_best} needs --beam {arguments.n_best}")
    model = load_all(arguments)
    counted = UnknownSymbols(model, arguments.unknown)
    count = cut = 0

    def blocks() -> Iterator[tuple[list[Text], Any]]:
        for first, texts in _texts(arguments, model):
            sources: list[Text] = []
            unknown: list[list[str] | None] = []
            for number, text in enumerate(texts, start=first):
                if not text.strip():  # no text that an answer would be one to
                    unknown.append(None)
                    continue
                place = f"TEXT {number}" if arguments.texts else f"<stdin>, line {number}"
                try:
                    sources.append(source_of_line(model, text))
                except ValueError as error:
                    raise ValueError(f"{place}: {error}") from error
                unknown.append(counted.of(sources[-1], place))
            yield sources, (texts, unknown)

    def show(block: tuple[list[str], list[list[str] | None]], found: list[list[Answer]]) -> None:
        nonlocal count, cut
        in_order = iter(found)
        for text, symbols in zip(*block, strict=True):
            answers = [] if symbols is None else next(in_order)
            print(_line(arguments, text, symbols or [], answers))
            count += len(answers)
            cut += sum(answer.cut for answer in answers)
        sys.stdout.flush()

    options = {
        "beam_size": arguments.beam,
        "n_best": arguments.n_best,
        "length_penalty": arguments.length_penalty,
        "unknown": counted.how,
        "max_length": arguments.max_length,
    }
    answer_in_order(model, options, blocks(), show, arguments.jobs)
    counted.say()
    if cut:
        say(f"{cut:,} of {count:,} answers cut at the longest length that is searched")
    return EXIT_OK


def _texts(
    arguments: argparse.Namespace, model: Transducer | Ensemble
) -> Iterator[tuple[int, list[str]]]:
    """The texts, some at a time, each time with the number of the first."""
    from fastseq.transducer.data.columns import Columns
    from fastseq.transducer.data.tsv import text_lines

    if arguments.texts:
        yield 1, arguments.texts
        return
    first = 1
    columns = Columns.parse(model.columns)
    # a tab that is a symbol of the model belongs to the text; with features it is read as such
    have_columns = "\t" not in model.vocabulary_.source.symbols and not columns.features
    is_said = False
    for lines in _lines_there(sys.stdin.buffer):
        texts = list(text_lines(lines, "<stdin>", first))
        if have_columns and any("\t" in text for text in texts):
            if not is_said:
                say(f"<stdin>: of a line with tabs the source is read: {columns.description()}")
                is_said = True
            texts = [columns.source_of(text.split("\t"))[0] for text in texts]
        yield first, texts
        first += len(lines)


def _lines_there(file: Any) -> Iterator[list[bytes]]:
    """All lines that can be read at once, without waiting for more."""
    rest = b""
    while block := file.read1(_BYTES_AT_ONCE):
        *lines, rest = (rest + block).split(b"\n")
        if lines:
            yield lines
    if rest:
        yield [rest]


def _line(
    arguments: argparse.Namespace, text: str, unknown: list[str], answers: list[Answer]
) -> str:
    if arguments.json:
        listed = [
            {"text": as_string(answer.text)}
            | ({"score": answer.score} if arguments.scores else {})
            | {"cut": answer.cut}
            for answer in answers
        ]
        document = {"input": text, "answers": listed} | ({"unknown": unknown} if unknown else {})
        return json.dumps(document, ensure_ascii=False)
    fields = [(on_one_line(as_string(answer.text)), f"{answer.score:.6f}") for answer in answers]
    if arguments.scores:
        return "\t".join(f"{answer}\t{score}" for answer, score in fields)
    return "\t".join(answer for answer, _ in fields)


def _length_penalty(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return number
