"""``fastseq train``: train a Transducer on a file of pairs."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from fastseq.cli import EXIT_INTERRUPTED, EXIT_OK, say, show
from fastseq.cli.options import (
    add_hyperparameters,
    config_text,
    given_hyperparameters,
    read_config,
)
from fastseq.cli.pairs import add_pair_file, is_lexicon, read_file
from fastseq.cli.parser import picture_name, whole_number

if TYPE_CHECKING:
    from fastseq import Transducer

_DESCRIPTION = """\
Train a model that turns strings into others, on a file of pairs: a line for each, source, tab,
target, in UTF-8. Prints a line for each epoch, keeps the weights of the best, and stops when
nothing gets better. Ctrl-C ends the training and saves the best so far.
"""
_EXAMPLES = """\
examples:
  fastseq train words.tsv -o words.safetensors
  fastseq train words.tsv -o words.safetensors --valid heldout.tsv --layers 2 --dropout 0.3
  fastseq train words.tsv -o words.safetensors --checkpoint state --resume    go on after a break
  fastseq train forms.tsv -o forms.safetensors --columns source,features,target
  fastseq train cmudict.dict -o words.safetensors --format lexicon
  fastseq train --print-config > words.toml                      every hyperparameter, explained
  fastseq train words.tsv -o words.safetensors --config words.toml
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "train",
        help="train a model on a file of pairs",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument("data", nargs="?", metavar="DATA.tsv", help="the pairs to train on")
    parser.add_argument("-o", "--output", metavar="MODEL", help="where to save the model")
    parser.add_argument(
        "--valid",
        type=_validation,
        default="0.1",
        metavar="FILE|FRACTION",
        help="pairs to hold out, to find the best epoch and to stop: a file, a share of DATA.tsv, "
        "or none (default: 0.1)",
    )
    parser.add_argument(
        "--checkpoint", metavar="DIR", help="keep the state of the training in this folder"
    )
    parser.add_argument(
        "--checkpoint-every",
        type=whole_number(1),
        metavar="N",
        help="save it after every N steps too, not only after each epoch",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the checkpoint, if there is one, to the same bits as without the break",
    )
    parser.add_argument("--log", metavar="FILE", help="write a JSON object for each epoch")
    parser.add_argument(
        "--curve",
        type=picture_name,
        metavar="FILE",
        help="draw the accuracy after each epoch: .png, .svg or .pdf",
    )
    parser.add_argument(
        "--config", metavar="FILE.toml", help="read hyperparameters; options overrule them"
    )
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print the hyperparameters as --config reads them, and train nothing",
    )
    parser.add_threads()
    add_pair_file(parser)
    add_hyperparameters(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read, train, save."""
    from fastseq import Transducer, plot, set_num_threads
    from fastseq.files import check_writable
    from fastseq.transducer import hyperparameters

    params = {} if arguments.config is None else read_config(arguments.config)
    params |= given_hyperparameters(arguments)
    if is_lexicon(arguments):
        params.setdefault("target_tokens", "space")
    model = Transducer(**params)
    hyperparameters.check(model.get_params())
    if arguments.print_config:
        print(config_text(model.get_params()), end="")
        return EXIT_OK

    _check_arguments(arguments)
    _check_files(arguments)
    how = model.source_tokens, model.target_tokens, model.columns
    data = read_file(arguments, arguments.data, *how)
    validation = arguments.valid
    if isinstance(validation, str):
        held_out = read_file(arguments, validation, *how)
        validation = held_out.sources, held_out.targets
    model.set_params(columns=data.columns.description())  # numbers for the names of a header
    check_writable(arguments.output)
    if arguments.curve is not None:
        plot.require_matplotlib()
        check_writable(arguments.curve)
    if arguments.threads is not None:
        set_num_threads(arguments.threads)
    show(f"{len(data.sources):,} pairs in {arguments.data}")
    try:
        model.fit(
            data.sources,
            data.targets,
            validation,
            sample_weight=data.weights,
            callbacks=[_EpochLines()],
            checkpoint=arguments.checkpoint,
            checkpoint_every=arguments.checkpoint_every,
            resume=arguments.resume,
            log=arguments.log,
            progress="bar" if sys.stderr.isatty() else False,
        )
    except Exception:  # a disk that is full as well as a loss that is NaN
        if _best_epoch(model):
            model.save(arguments.output)
            say(f"the best model so far, of {_best_epoch(model)}, is in {arguments.output}")
        raise
    model.save(arguments.output)
    if arguments.curve is not None and model.history_:
        plot.save(plot.learning_curve(model.history_), arguments.curve)
    if model.interrupted_:
        reached = _best_epoch(model) or "epoch 1, which was not over"
        say(f"interrupted: the model of {reached} is in {arguments.output}")
        return EXIT_INTERRUPTED
    show(f"model of {_best_epoch(model)} in {arguments.output}")
    return EXIT_OK


class _EpochLines:
    """Prints what was made of the data, and a line after each epoch."""

    def on_fit_begin(self, model: Transducer) -> None:
        from fastseq.transducer.data.vocabulary import SPECIAL_SYMBOLS

        if model.left_out_:
            pairs = "1 pair" if model.left_out_ == 1 else f"{model.left_out_:,} pairs"
            verb = "is" if model.left_out_ == 1 else "are"
            show(f"{pairs} of more than {model.max_length} symbols {verb} left out")
        for side, vocabulary in zip(("sources", "targets"), model.vocabulary_, strict=True):
            form = vocabulary.text_form.normalize
            if model.normalize == "auto" and form == "NFD":
                size = len(vocabulary) - len(SPECIAL_SYMBOLS)
                show(f"{side} are read in the Unicode form NFD, {size:,} symbols")

    def on_epoch_end(self, _: Transducer, logs: dict[str, Any]) -> None:
        from fastseq.transducer.training.reports import epoch_line

        show(epoch_line(logs))


def _best_epoch(model: Transducer) -> str:
    """The epoch whose weights the model has, "" before the end of the first."""
    best = [logs["epoch"] for logs in getattr(model, "history_", ()) if logs["best"]]
    return f"epoch {best[-1]}" if best else ""


def _validation(text: str) -> float | str | None:
    """Read an argument: a share, "none", or else the name of a file."""
    if text == "none":
        return None
    try:
        share = float(text)
    except ValueError:
        return text
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(
            f"expected a file, none, or a share between 0 and 1; got {text!r}"
        )
    return share


def _check_arguments(arguments: argparse.Namespace) -> None:
    """End as wrong usage where something is missing."""
    if arguments.data is None:
        arguments.usage_error("expected DATA.tsv, the file of pairs to train on")
    if arguments.output is None:
        name = os.path.splitext(os.path.basename(arguments.data))[0]
        arguments.usage_error(f"expected where to save the model: -o {name}.safetensors")
    for option in ("resume", "checkpoint_every"):
        if getattr(arguments, option) and arguments.checkpoint is None:
            arguments.usage_error(f"--{option.replace('_', '-')} needs --checkpoint DIR")


def _check_files(arguments: argparse.Namespace) -> None:
    """End as wrong usage where a file would be written over another."""
    from fastseq.transducer.training.checkpoints import file_name

    valid = arguments.valid if isinstance(arguments.valid, str) else None
    inputs = {"DATA.tsv": arguments.data, "--valid": valid, "--config": arguments.config}
    taken = {os.path.realpath(path): name for name, path in inputs.items() if path is not None}
    folder = arguments.checkpoint
    for name, path in (
        ("--checkpoint", folder),
        ("--checkpoint", folder and file_name(folder)),
        ("-o", arguments.output),
        ("--log", arguments.log),
        ("--curve", arguments.curve),
    ):
        if path is None or (os.path.exists(path) and not os.path.isfile(path)):
            continue  # a folder is said to be none, and a device takes all that comes
        if not path:
            arguments.usage_error(f"{name}: expected a name, got ''")
        target = os.path.realpath(path)
        if target in taken:
            arguments.usage_error(f"{name}: {path} is {taken[target]} already; expected another")
        taken[target] = name
