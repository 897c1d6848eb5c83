"""``fastseq run``: a script written for the textbook's files, its imports served by fastseq."""

from __future__ import annotations

import argparse
import builtins
import os
import sys
from importlib.machinery import SourceFileLoader
from types import ModuleType, TracebackType
from typing import Any

from fastseq.cli import EXIT_FAILURE, EXIT_OK

_DESCRIPTION = """\
Run a script that imports the textbook's modules (common.time_layers, ch08.attention_seq2seq,
dataset.sequence and so on), with fastseq behind these names. The script stays as it is, and its
own files are found as ever.
"""
_EXAMPLES = """\
examples:
  fastseq run train.py
  fastseq run ch07/train_seq2seq.py --epochs 5      what follows the script is for the script
  fastseq run --check ch07/train_seq2seq.py         list its imports, and run nothing

The exit status is the script's. With --check it is 0, or 1 if fastseq lacks one of the names.
"""


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "run",
        help="run a textbook script with its imports served by fastseq",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
        allow_abbrev=False,
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="list which imports are served and which are not, without running the script",
    )
    parser.add_argument("script", metavar="SCRIPT.py", help="the script")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="ARG", help="the script's own arguments"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the script or look at its imports."""
    if arguments.check:
        return _check(arguments.script)
    return _run_script(arguments.script, arguments.arguments)


def _check(script: str) -> int:
    """Print one line for each imported name."""
    from fastseq.dropin.check import check_script

    imports = check_script(script)
    for imported in imports:
        print(f"{script}:{imported.line}: {imported.origin:9}  {imported}")
    return EXIT_FAILURE if any(item.origin == "missing" for item in imports) else EXIT_OK


def _run_script(script: str, arguments: list[str]) -> int:
    """Run the script as ``__main__``, as Python would; from here on the process is the script's."""
    from fastseq import dropin

    path = os.path.abspath(script)
    with open(path, "rb") as file:
        source = file.read()

    folder = os.path.dirname(os.path.realpath(path))
    if sys.flags.safe_path:  # then Python itself has put no folder there
        sys.path.insert(0, folder)
    else:
        sys.path[0] = folder
    sys.argv = [script, *arguments]
    dropin.install(folder)

    main = ModuleType("__main__")
    vars(main).update(
        __file__=path,
        __builtins__=builtins,
        __cached__=None,
        __loader__=SourceFileLoader("__main__", path),
    )
    sys.modules["__main__"] = main
    try:
        exec(compile(source, path, "exec", dont_inherit=True), vars(main))
    except SystemExit as stop:
        return _exit_status(stop)
    except Exception as error:
        error.__traceback__ = _from_script_on(error.__traceback__, path)
        sys.excepthook(type(error), error, error.__traceback__)
        return EXIT_FAILURE
    return EXIT_OK


def _exit_status(stop: SystemExit) -> int:
    """What Python makes of ``sys.exit(code)``."""
    if stop.code is None:
        return EXIT_OK
    if isinstance(stop.code, int):
        return stop.code
    print(stop.code, file=sys.stderr, flush=True)
    return EXIT_FAILURE


def _from_script_on(trace: TracebackType | None, path: str) -> TracebackType | None:
    """The traceback without our own frames above the script's."""
    while trace is not None and trace.tb_frame.f_code.co_filename != path:
        trace = trace.tb_next
    return trace
