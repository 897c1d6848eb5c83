"""The parser of the command line: wrong usage is one line, with the name probably meant."""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from fastseq.cli import EXIT_USAGE, say

# What a shell completes an argument with, by the last part of the argument's metavar; in the words
# of shtab, which writes the shells' scripts.
_FILES = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}
_FOLDERS = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/", "tcsh": "d"}
_COMPLETIONS = {
    "MODEL": _FILES,
    "FILE": _FILES,
    "tsv": _FILES,
    "toml": _FILES,
    "json": _FILES,
    "html": _FILES,
    "py": _FILES,
    "DIR": _FOLDERS,
}


class Parser(argparse.ArgumentParser):
    """argparse's parser with this project's conventions; its subparsers are of the same class.

    Options are not abbreviated, examples keep their line breaks, every command has ``--debug``.
    Wrong usage is one line on standard error and status 2, where argparse prints all options.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            **settings,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.set_defaults(usage_error=self.error)
        # --debug may stand before the command or after it; without a default, the later one does
        # not undo the first
        self.add_argument(
            "--debug",
            action="store_true",
            default=argparse.SUPPRESS,
            help="show the traceback of a failure",
        )

    def add_threads(self) -> None:
        """Add ``--threads``."""
        self.add_argument(
            "--threads", type=whole_number(1), metavar="N", help="how many (default: one a core)"
        )

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        """Add an argument; the shell completes the names of files."""
        action = super().add_argument(*names, **settings)
        kind = str(action.metavar).split("|")[0].rpartition(".")[2]
        if kind in _COMPLETIONS:
            action.complete = _COMPLETIONS[kind]  # type: ignore[attr-defined]
        return action

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse; what this parser does not know ends the program, before a parser above sees it."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [text for text in unknown if text.startswith("-")]
            if not options:
                self.error(f"unexpected argument: {unknown[0]}")
            name = options[0].partition("=")[0]
            self.error(f"there is no option {name}{_suggestion(name, self._option_string_actions)}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Say in one line what is wrong, and exit with status 2."""
        choice = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if choice:
            choices = re.findall(r"[^\s',]+", choice[2])
            message = message.replace(choice[0], f"{choice[0]}{_suggestion(choice[1], choices)}")
        say(f"error: {message} (see {self.prog} --help)")
        self.exit(EXIT_USAGE)


def whole_number(least: int, most: int | None = None) -> _WholeNumber:
    """Make an argument type: a whole number in a range."""
    return _WholeNumber(least, most)


def picture_name(text: str) -> str:
    """Read an argument: the name of a picture that is to be drawn."""
    if not text.lower().endswith((".png", ".svg", ".pdf")):
        raise argparse.ArgumentTypeError(f"expected a name in .png, .svg or .pdf, got {text!r}")
    return text


def utf8_text(text: str) -> str:
    """Read an argument: a text, as it is read from standard input too."""
    try:
        text.encode()
    except UnicodeEncodeError as error:  # a byte that was no text, as Python passes it on
        byte = ord(text[error.start]) & 0xFF
        raise argparse.ArgumentTypeError(
            f"expected UTF-8 text, got the byte 0x{byte:02x}"
        ) from None
    return text


def positive_number(text: str) -> float:
    """Read an argument: a finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number


class _WholeNumber:
    def __init__(self, least: int, most: int | None) -> None:
        self.least, self.most = least, most

    def __call__(self, text: str) -> int:
        in_range = (
            f"of at least {self.least}"
            if self.most is None
            else (f"from {self.least} to {self.most}")
        )
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or number < self.least or (self.most is not None and number > self.most):
            raise argparse.ArgumentTypeError(f"expected a whole number {in_range}, got {text!r}")
        return number


def _suggestion(name: str, known: Any) -> str:
    """The name that was probably meant, as the end of a message."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
