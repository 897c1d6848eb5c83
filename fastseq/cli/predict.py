"""``fastseq predict``: the answers of a trained Transducer."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fastseq.cli import EXIT_OK, whole_number

if TYPE_CHECKING:
    from fastseq import Transducer
    from fastseq.transducer.vocabulary import Text

_DESCRIPTION = """\
Print the model's answer to each text, or to each line of standard input: one line for each. With
--n-best or --scores a line has several fields, with tabs between them.
"""
_EXAMPLES = """\
examples:
  fastseq predict dates.safetensors "september 27, 1994"
  fastseq predict words.safetensors --beam 5 < words.txt > answers.txt
  fastseq predict words.safetensors --beam 5 --n-best 3 --scores --json TEXT
"""

_LINES_AT_ONCE = 1024


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "predict",
        help="the answers of a model",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", help="what fastseq train has saved")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="default: standard input")
    add_search_options(parser)
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
        "--json", action="store_true", help="print a JSON object for each text: input, answers"
    )
    parser.set_defaults(run=run, usage_error=parser.error)


def add_search_options(parser: argparse.ArgumentParser) -> None:
    """Add what says how answers are searched."""
    parser.add_argument(
        "--beam",
        type=whole_number(1),
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
    parser.add_argument(
        "--threads", type=whole_number(1), metavar="N", help="how many (default: one a core)"
    )


def load(arguments: argparse.Namespace) -> Transducer:
    """The model that the arguments name; the threads are set."""
    from fastseq import Transducer, set_num_threads

    if arguments.threads is not None:
        set_num_threads(arguments.threads)
    return Transducer.load(arguments.model)


def as_source(model: Transducer, text: str) -> Text:
    """A text as the model takes it: of symbols with spaces between them, if of lists of symbols."""
    return text.split() if model.vocabulary_.source.form == "list" else text


def run(arguments: argparse.Namespace) -> int:
    """Answer, some lines at a time, as they come."""
    if arguments.n_best > arguments.beam:
        arguments.usage_error(f"--n-best {arguments.n_best} needs --beam {arguments.n_best}")
    model = load(arguments)
    texts = _texts(arguments)
    at_once = 1 if not arguments.texts and sys.stdin.isatty() else _LINES_AT_ONCE
    while chunk := list(itertools.islice(texts, at_once)):
        answers, scores = model.predict(
            [as_source(model, text) for text in chunk],
            beam_size=arguments.beam,
            n_best=arguments.n_best,
            return_scores=True,
            length_penalty=arguments.length_penalty,
        )
        for text, answer, score in zip(chunk, answers, scores, strict=True):
            several = arguments.n_best > 1
            listed = zip(*((answer, score) if several else ([answer], [score])), strict=True)
            print(_line(arguments, text, list(listed)))
        sys.stdout.flush()
    return EXIT_OK


def _texts(arguments: argparse.Namespace) -> Iterator[str]:
    from fastseq.transducer.tsv import text_lines

    return iter(arguments.texts) if arguments.texts else text_lines(sys.stdin.buffer, "<stdin>")


def _line(arguments: argparse.Namespace, text: str, answers: list[tuple[Any, float]]) -> str:
    spelled = [
        (answer if isinstance(answer, str) else " ".join(answer), score)
        for answer, score in answers
    ]
    if arguments.json:
        listed = [
            {"text": answer} | ({"score": score} if arguments.scores else {})
            for answer, score in spelled
        ]
        return json.dumps({"input": text, "answers": listed}, ensure_ascii=False)
    if arguments.scores:
        return "\t".join(f"{answer}\t{score:.6f}" for answer, score in spelled)
    return "\t".join(answer for answer, _ in spelled)


def _length_penalty(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return number
