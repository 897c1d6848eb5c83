"""``fastseq train``: train a Transducer on a file of pairs."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from copy import copy
from typing import TYPE_CHECKING, Any

from fastseq.cli import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_OK, say, show
from fastseq.cli.options import (
    add_hyperparameters,
    check_files,
    config_text,
    given_hyperparameters,
    read_config,
)
from fastseq.cli.pairs import add_pair_file, is_lexicon, read_training_pairs
from fastseq.cli.parser import picture_name, whole_number

if TYPE_CHECKING:
    from fastseq import Ensemble, Transducer
    from fastseq.parallel.communicator import Communicator

_DESCRIPTION = """\
Train a model that turns strings into others, on a file of pairs: a line for each, source, tab,
target, in UTF-8. Prints a line for each epoch, keeps the weights of the best, and stops when
nothing gets better; goes on for some final epochs on all pairs, if there are not many. Ctrl-C ends
the training and saves the best so far.
"""
_EXAMPLES = """\
examples:
  fastseq train words.tsv -o words.safetensors
  fastseq train words.tsv -o words.safetensors --valid heldout.tsv --layers 2 --dropout 0.3
  fastseq train words.tsv -o words.safetensors --checkpoint state --resume    go on after a break
  fastseq train forms.tsv -o forms.safetensors --columns source,features,target
  fastseq train cmudict.dict -o words.safetensors --format lexicon
  fastseq train words.tsv -o words.safetensors --ensemble 5     five models, which answer together
  mpiexec -n 4 fastseq train words.tsv -o words.safetensors --shards 4    on four processes
  fastseq train more.tsv -o new.safetensors --from words.safetensors    fine-tune on other pairs
  fastseq train --print-config > words.toml                      every hyperparameter, explained
  fastseq train words.tsv -o words.safetensors --config words.toml
"""


_MOST_MODELS = 100
_FINE_TUNING = 0.3  # what is left of the learning rate


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "train",
        help="train a model on a file of pairs",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "data",
        nargs="?",
        metavar="DATA.tsv",
        help="the pairs to train on; with --cache a folder of such files",
    )
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
        "--ensemble",
        type=whole_number(1, _MOST_MODELS),
        metavar="N",
        help="train N models, of seeds from --seed on and several at a time, which answer together "
        "by the mean of their probabilities; MODEL holds them all (default: 1, or as many as "
        "--from has)",
    )
    parser.add_argument(
        "--from",
        dest="from_model",
        metavar="MODEL",
        help="go on from the weights and hyperparameters of this model, at a third of its learning "
        "rate unless --learning-rate says another; symbols that it does not know are added",
    )
    parser.add_argument(
        "--cache",
        metavar="DIR",
        help="encode the pairs of the folder DATA.tsv once, into files in DIR that training reads "
        "from: for more pairs than memory holds",
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
    """Train, in one process or in those that mpiexec has started, of which rank 0 speaks."""
    from fastseq.parallel.communicator import RankError, RankLost
    from fastseq.parallel.mpi import started_ranks

    ranks = started_ranks()
    if ranks.size == 1:
        return _train(arguments, ranks)
    if ranks.rank:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # to the end
    try:
        return _train(arguments, ranks)
    except (RankError, FloatingPointError) as error:  # which all ranks have
        if ranks.rank:
            return EXIT_OK  # a failure would let mpiexec kill rank 0, which may still write
        say(f"error: {error}")
        return EXIT_FAILURE
    except Exception as error:  # the others wait for this rank, and so would MPI at exit
        resumed = "; --resume goes on from the last checkpoint" * bool(arguments.checkpoint)
        what = f"{error}{resumed}" if isinstance(error, RankLost) else traceback.format_exc()
        say(f"error: {what}")
        os._exit(EXIT_FAILURE)


def _train(arguments: argparse.Namespace, ranks: Communicator) -> int:
    """Read, train, save."""
    from fastseq import Ensemble, plot
    from fastseq.parallel.communicator import together
    from fastseq.transducer import hyperparameters
    from fastseq.transducer.data.store import PairStore

    with together(ranks):
        models = _models(arguments)
        hyperparameters.check(models[0].get_params())
    if arguments.print_config:
        print(config_text(models[0].get_params()), end="")
        return EXIT_OK
    model = Ensemble(models) if len(models) > 1 else models[0]
    with together(ranks):
        if ranks.size > 1 and isinstance(model, Ensemble):
            raise ValueError(
                "--ensemble: several processes train one model at a time; train those of other "
                "seeds one by one, and predict with --model"
            )
        _check_arguments(arguments)
        _check_files(arguments)
        pairs = read_training_pairs(arguments, models[0], write=ranks.rank == 0)
    with together(ranks):
        if arguments.cache is not None:  # it is written
            pairs["sources"] = PairStore(pairs["sources"])
        for each in models:  # numbers for the names of a header
            each.set_params(columns=models[0].columns)
        _check_outputs(arguments)
    show(f"{len(pairs['sources']):,} pairs in {arguments.data}")
    place = f"in {arguments.output}"
    start = getattr(model, "network_", None)
    options: dict[str, Any] = {} if isinstance(model, Ensemble) else {"communicator": ranks}
    try:
        model.fit(
            **pairs,
            callbacks=[_EpochLines()],
            checkpoint=arguments.checkpoint,
            checkpoint_every=arguments.checkpoint_every,
            resume=arguments.resume,
            log=arguments.log,
            progress="bar" if options and sys.stderr.isatty() else False,
            warm_start=arguments.from_model is not None,
            **options,
        )
    except Exception:  # a disk that is full as well as a loss that is NaN
        if ranks.rank == 0 and _best_epochs(model) and model.network_ is not start:
            model.save(arguments.output)
            say(f"the best {_noun(model)} so far, of {_best_epochs(model)}, is {place}")
        raise
    histories = _histories(model)
    with together(ranks):
        if ranks.rank == 0:
            model.save(arguments.output)
            if arguments.curve is not None and all(histories.values()):
                plot.save(plot.learning_curve(histories), arguments.curve)
    if isinstance(model, Ensemble):
        _show_reading(*model.members_)
    if ranks.rank:
        return EXIT_OK
    if model.interrupted_:
        reached = _best_epochs(model) or "epoch 1, which was not over"
        say(f"interrupted: the {_noun(model)} of {reached} is {place}")
        return EXIT_INTERRUPTED
    show(f"{_noun(model)} of {_best_epochs(model)}{_final_epochs(model)} {place}")
    return EXIT_OK


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Require that what is to be written can be, and set the threads."""
    from fastseq import plot, set_num_threads
    from fastseq.files import check_writable

    check_writable(arguments.output)
    if arguments.curve is not None:
        plot.require_matplotlib()
        check_writable(arguments.curve)
    if arguments.threads is not None:
        set_num_threads(arguments.threads)


def _models(arguments: argparse.Namespace) -> list[Transducer]:
    """The models to train, with the hyperparameters that were given."""
    from fastseq import Ensemble, Transducer

    params = {} if arguments.config is None else read_config(arguments.config)
    params |= given_hyperparameters(arguments)
    if is_lexicon(arguments):
        params.setdefault("target_tokens", "space")
    if arguments.from_model is None:
        start = [Transducer(**params)]
    else:
        start = Ensemble.load(arguments.from_model).members_
        for model in start:
            lower = {"learning_rate": model.learning_rate * _FINE_TUNING}
            model.set_params(**lower | params)
    count = arguments.ensemble or len(start)
    if len(start) > 1 and count != len(start):
        arguments.usage_error(
            f"--ensemble {count}: expected {len(start)}, the models in {arguments.from_model}"
        )
    if count == len(start) and "seed" not in params:
        return start
    return [
        copy(start[number % len(start)]).set_params(seed=start[0].seed + number)
        for number in range(count)
    ]


class _EpochLines:
    """Prints what was made of the data, and a line after each epoch."""

    def on_fit_begin(self, model: Transducer) -> None:
        _show_reading(model)

    def on_epoch_end(self, _: Transducer | Ensemble, logs: dict[str, Any]) -> None:
        from fastseq.transducer.training.reports import epoch_line

        member = f"model {logs['model']}   " if "model" in logs else ""
        show(f"{member}{epoch_line(logs)}")

    on_final_epoch_end = on_epoch_end


def _show_reading(model: Transducer, *others: Transducer) -> None:
    """Print which pairs were left out, in what form texts are read, and what was chosen.

    The others are of the same ensemble: they differ in what was chosen at most.
    """
    from fastseq.transducer.data.vocabulary import SPECIAL_SYMBOLS
    from fastseq.transducer.hyperparameters import is_undecided

    if model.left_out_:
        pairs = "1 pair" if model.left_out_ == 1 else f"{model.left_out_:,} pairs"
        verb = "is" if model.left_out_ == 1 else "are"
        show(f"{pairs} of more than {model.max_length} symbols {verb} left out")
    for side, vocabulary in zip(("sources", "targets"), model.vocabulary_, strict=True):
        if model.normalize == "auto" and vocabulary.text_form.normalize == "NFD":
            size = len(vocabulary) - len(SPECIAL_SYMBOLS)
            show(f"{side} are read in the Unicode form NFD, {size:,} symbols")
    chosen = [name for name, value in model.get_params().items() if is_undecided(name, value)]
    if chosen:
        models = model, *others
        values = {
            name: dict.fromkeys(str(each.params_[name]) for each in models) for name in chosen
        }
        listed = ", ".join(f"{name} {' and '.join(found)}" for name, found in values.items())
        show(f"chosen for these pairs: {listed}")


def _histories(model: Transducer | Ensemble) -> dict[str, list[dict[str, Any]]]:
    """The history of each trained model, under what it is called where there are several."""
    from fastseq import Ensemble

    if not isinstance(model, Ensemble):
        return {"": getattr(model, "history_", [])}
    members = enumerate(getattr(model, "members_", []), start=1)
    return {f"model {number}": member.history_ for number, member in members}


def _best_epochs(model: Transducer | Ensemble) -> str:
    """The epochs whose weights the models have, "" before the end of the first."""
    best = [
        max(logs["epoch"] for logs in history if logs["best"])
        for history in _histories(model).values()
        if history
    ]
    return f"epoch{'s' * (len(best) > 1)} {', '.join(map(str, best))}" if best else ""


def _final_epochs(model: Transducer | Ensemble) -> str:
    """How many epochs on all pairs came after these, "" for none."""
    made = {each.params_["final_epochs"] for each in getattr(model, "members_", [model])}
    return f" and {max(made)} on all pairs" if max(made) else ""


def _noun(model: Transducer | Ensemble) -> str:
    count = len(_histories(model))
    return "model" if count == 1 else f"ensemble of {count} models"


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
    if arguments.cache is None and os.path.isdir(arguments.data):
        arguments.usage_error(f"{arguments.data}: a folder of files needs --cache DIR")
    if arguments.cache is not None:
        if not os.path.isdir(arguments.data):
            arguments.usage_error(f"--cache: expected a folder of files, got {arguments.data}")
        if arguments.from_model is not None or (arguments.ensemble or 1) > 1:
            arguments.usage_error("--cache: expected neither --from nor --ensemble with it")
    for option in ("resume", "checkpoint_every"):
        if getattr(arguments, option) and arguments.checkpoint is None:
            arguments.usage_error(f"--{option.replace('_', '-')} needs --checkpoint DIR")


def _check_files(arguments: argparse.Namespace) -> None:
    """End as wrong usage where a file would be written over another."""
    from fastseq.transducer.training.checkpoints import file_name

    valid = arguments.valid if isinstance(arguments.valid, str) else None
    inputs = {
        "DATA.tsv": arguments.data,
        "--valid": valid,
        "--config": arguments.config,
        "--from": arguments.from_model,
    }
    folder = arguments.checkpoint
    outputs = (
        ("--checkpoint", folder),
        ("--checkpoint", folder and file_name(folder)),
        ("-o", arguments.output),
        ("--log", arguments.log),
        ("--curve", arguments.curve),
    )
    check_files(arguments, inputs, outputs)
