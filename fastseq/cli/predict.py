"""``fastseq predict``: the answers of a trained Transducer."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fastseq.cli import EXIT_OK
from fastseq.cli.pairs import UnknownSymbols, add_unknown, source_of_line
from fastseq.cli.parser import Parser, utf8_text, whole_number

if TYPE_CHECKING:
    from fastseq import Transducer
    from fastseq.transducer.data.forms import Text

_DESCRIPTION = """\
Print the model's answer to each text, or to each line of standard input as it comes: one line for
each, in UTF-8. With --n-best or --scores a line has several fields, with tabs between them. A line
break or a tab in an answer is printed as \\n, \\r or \\t; --json tells them from a backslash.
"""
_EXAMPLES = """\
examples:
  fastseq predict dates.safetensors "september 27, 1994"
  fastseq predict words.safetensors --beam 5 < words.txt > answers.txt
  fastseq predict words.safetensors --unknown error < words.txt
  fastseq predict words.safetensors --beam 5 --n-best 3 --scores --json TEXT
"""

_BYTES_AT_ONCE = 2**14
_MOST_BEGINNINGS = 10**6
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
    parser.add_argument("model", metavar="MODEL", help="what fastseq train has saved")
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


def load(arguments: argparse.Namespace) -> Transducer:
    """The model that the arguments name, its weights finite; the threads are set."""
    import numpy as np

    from fastseq import Transducer, set_num_threads

    if arguments.threads is not None:
        set_num_threads(arguments.threads)
    model = Transducer.load(arguments.model)
    for name, param in model.network_.params.items():
        if not np.isfinite(param).all():
            raise ValueError(f"{arguments.model}: {name}: expected finite weights, got NaN or inf")
    return model


def as_text(answer: Text) -> str:
    """An answer as one string."""
    return answer if isinstance(answer, str) else " ".join(answer)


def on_one_line(text: str) -> str:
    """A text as it is printed, whatever symbols the model has learnt."""
    return text.translate(_ESCAPES)


def run(arguments: argparse.Namespace) -> int:
    """Answer, some lines at a time, as they come."""
    if arguments.n_best > arguments.beam:
        arguments.usage_error(f"--n-best {arguments.n_best} needs --beam {arguments.n_best}")
    model = load(arguments)
    counted = UnknownSymbols(model, arguments.unknown)
    for first, texts in _texts(arguments):
        sources: list[Text] = []
        unknown: list[list[str]] = []
        for number, text in enumerate(texts, start=first):
            place = f"TEXT {number}" if arguments.texts else f"<stdin>, line {number}"
            try:
                sources.append(source_of_line(model, text))
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from error
            unknown.append(counted.of(sources[-1], place))
        answers, scores = model.predict(
            sources,
            beam_size=arguments.beam,
            n_best=arguments.n_best,
            return_scores=True,
            length_penalty=arguments.length_penalty,
            unknown=counted.how,
            max_length=arguments.max_length,
        )
        for text, symbols, answer, score in zip(texts, unknown, answers, scores, strict=True):
            several = arguments.n_best > 1
            listed = zip(*((answer, score) if several else ([answer], [score])), strict=True)
            print(_line(arguments, text, symbols, list(listed)))
        sys.stdout.flush()
    counted.say()
    return EXIT_OK


def _texts(arguments: argparse.Namespace) -> Iterator[tuple[int, list[str]]]:
    """The texts, some at a time, each time with the number of the first."""
    from fastseq.transducer.data.tsv import text_lines

    if arguments.texts:
        yield 1, arguments.texts
        return
    first = 1
    for lines in _lines_there(sys.stdin.buffer):
        yield first, list(text_lines(lines, "<stdin>", first))
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
    arguments: argparse.Namespace,
    text: str,
    unknown: list[str],
    answers: list[tuple[Any, float]],
) -> str:
    if arguments.json:
        listed = [
            {"text": as_text(answer)} | ({"score": score} if arguments.scores else {})
            for answer, score in answers
        ]
        document: dict[str, Any] = {"input": text, "answers": listed}
        return json.dumps(document | ({"unknown": unknown} if unknown else {}), ensure_ascii=False)
    fields = [(on_one_line(as_text(answer)), f"{score:.6f}") for answer, score in answers]
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
