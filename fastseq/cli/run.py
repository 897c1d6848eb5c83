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
own files are found as usual. A class or function of yours that differs from the textbook's is yours
still, and so are those of yours that use it: a line on standard error names each.
"""
_EXAMPLES = """\
examples:
  fastseq run train.py
  fastseq run ch07/train_seq2seq.py --epochs 5      what follows the script is for the script
  fastseq run --check ch07/train_seq2seq.py         list its imports, try what differs, run nothing
  fastseq run --serve Seq2seq,Adam train.py         fastseq's Seq2seq and Adam, though yours differ
  fastseq run --serve all train.py                  fastseq's in every case

The exit status is the script's. With --check it is 0, or 1 if fastseq lacks one of the names.
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "run",
        help="run a textbook script with its imports served by fastseq",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="list which imports are served, and try whether definitions that differ give the same "
        "numbers, without running the script",
    )
    parser.add_argument(
        "--serve",
        metavar="NAME,...",
        default="",
        help="take these from fastseq whatever your files define; all for every name",
    )
    parser.add_argument("script", metavar="SCRIPT.py", help="the script")
    parser.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="ARG", help="the script's own arguments"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the script or look at its imports."""
    serve = [name for name in arguments.serve.split(",") if name]
    if arguments.check:
        return _check(arguments.script, serve)
    return _run_script(arguments.script, arguments.arguments, serve)


def _check(script: str, serve: list[str]) -> int:
    """Print one line for each imported name, and one for each definition that differs."""
    from fastseq.dropin.check import check_script
    from fastseq.dropin.importer import check_served

    check_served(serve)
    checked = check_script(script, serve)
    for imported in checked.imports:
        print(f"{script}:{imported.line}: {imported.origin:9}  {imported}")
    if checked.differing:
        print("\nyours, which differ from the textbook's:")
    for own, comparison in checked.differing:
        if comparison.same:
            text = f"the same numbers as fastseq's on the inputs tried: --serve {own.name} is safe"
        elif comparison.same is None:
            text = f"could not be tried: {comparison.text}"
        else:
            text = f"other numbers than fastseq's: {comparison.text}"
        print(f"{own.full_name}, line {own.line}: {text}")
    return EXIT_FAILURE if any(item.origin == "missing" for item in checked.imports) else EXIT_OK


def _run_script(script: str, arguments: list[str], serve: list[str]) -> int:
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
    dropin.install(folder, serve, remedy="--serve {name}")

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
