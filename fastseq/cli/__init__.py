"""The command line: ``fastseq``, also ``python -m fastseq``.

Results go to standard output, progress and notes to standard error. The exit status is 0, or 1 for
a failure that is said in one line, 2 for wrong usage, 130 after Ctrl-C.

Each command is a module of this folder with ``add_parser``, which describes its arguments, and
``run``, which does the work and returns the exit status. What a command needs is imported when it
runs, so that help and errors come at once.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from fastseq import startup

if TYPE_CHECKING:
    from fastseq.cli.parser import Parser

EXIT_OK, EXIT_FAILURE, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130

_DESCRIPTION = "Fast sequence-to-sequence models on the CPU: LSTM and attention in NumPy and C."
_EXAMPLES = """\
examples:
  fastseq demo dates                train the attention model on dates, in a few minutes
  fastseq train words.tsv -o words.safetensors    a model of your own pairs
  fastseq predict words.safetensors TEXT          its answer
  fastseq models                    trained models that are installed, to predict with by name
  fastseq serve words.safetensors                 a page to try it, and JSON over HTTP
  fastseq export words.safetensors -o folder      for programs without fastseq: ONNX
  fastseq run train.py              a script of the textbook's readers, on fastseq's layers
  fastseq data addition -n 5        print five sums and their results
  fastseq bench --quick             how fast this machine is, in about a minute
  fastseq info                      what runs here: instruction set, threads, versions
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        The exit status.
    """
    debug = False
    try:
        startup.handle_ctrl_c()
        _open_streams()
        arguments = _parser().parse_args(argv)
        debug = getattr(arguments, "debug", False)
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except SystemExit as stop:  # from argparse, which has said why
        status = stop.code if isinstance(stop.code, int) else EXIT_OK
    except KeyboardInterrupt:
        say("interrupted")
        status = EXIT_INTERRUPTED
    except Exception as error:
        if isinstance(error, BrokenPipeError) and error.filename is None:
            status = EXIT_OK  # `| head`: the reader has what it wanted
        else:
            status = EXIT_FAILURE
            if debug:
                traceback.print_exc()
            else:
                say(f"error: {_one_line(error)}")
    _finish_output()
    return status


def say(message: str) -> None:
    """Print a line for the user on standard error.

    Names come from files that are not trusted: what would move a terminal's cursor is escaped.
    """
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)
    with contextlib.suppress(OSError):  # standard error is closed
        print(f"fastseq: {text}", file=sys.stderr, flush=True)


def show(line: str = "") -> None:
    """Print a line about work that goes on, also where the reader of the output has gone."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        _drop(sys.stdout)


def _parser() -> Parser:
    from fastseq.cli import (
        attention,
        bench,
        convert,
        data,
        demo,
        evaluate,
        export,
        info,
        models,
        predict,
        run,
        serve,
        train,
    )
    from fastseq.cli.parser import Parser

    parser = Parser(prog="fastseq", description=_DESCRIPTION, epilog=_EXAMPLES)
    parser.add_argument("-V", "--version", action=_Version, help="print the version and exit")
    parser.add_argument(
        "--print-completion",
        action=_Completion,
        choices=("bash", "zsh", "tcsh"),
        metavar="SHELL",
        help="print a script that completes commands and options: bash, zsh or tcsh",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    with_models = (train, predict, serve, evaluate, attention, models, convert, export)
    for command in (demo, data, *with_models, run, bench, info):
        command.add_parser(commands)
    return parser


class _Version(argparse.Action):
    """Like argparse's own, but looks the version up only when asked."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from fastseq.version import __version__

        print(f"fastseq {__version__}")
        parser.exit()


class _Completion(argparse.Action):
    """Prints the completion script of a shell."""

    def __call__(self, parser: argparse.ArgumentParser, _: object, shell: Any, *__: object) -> None:
        try:
            from shtab import complete
        except ImportError:
            raise ImportError(
                'shell completion needs shtab: pip install "fastseq-kernels[completion]"'
            ) from None
        print(complete(parser, shell))
        parser.exit()


def _one_line(error: Exception) -> str:
    """What went wrong, without line breaks; the kind of error only where the message needs it."""
    if isinstance(error, OSError) and error.strerror:
        place = "" if error.filename is None else f"{error.filename}: "
        return f"{place}{error.strerror}"
    message = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"out of memory: {message}" if message else "out of memory"
    if message and isinstance(error, (OSError, ValueError, ImportError, ArithmeticError)):
        return message
    return f"{type(error).__name__}: {message} (--debug shows where)"


def _open_streams() -> None:
    """Make what is printed UTF-8, whatever the locale, and a closed stream as ``/dev/null``.

    A file that is opened later would take the closed stream's place, and its messages.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a file's name need not be text
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _finish_output() -> None:
    """Write what is left to be printed, or drop it where the reader has gone.

    Otherwise the interpreter tries once more at exit, fails, and has a message and status of its
    own.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _drop(stream)


def _drop(stream: TextIO) -> None:
    """Let a stream go nowhere, with what it could not write."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
