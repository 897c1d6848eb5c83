"""The hyperparameters of a Transducer as options of a command, and as TOML."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fastseq.transducer.hyperparameters import AUTO, BY_NAME, HYPERPARAMETERS, Hyperparameter

_NEVER = "none"
_LARGEST_CONFIG = 2**16  # bytes; one with every hyperparameter explained has 3,000
_LONGEST_LINE = 1000


def check_files(
    arguments: argparse.Namespace,
    inputs: Mapping[str, str | None],
    outputs: Iterable[tuple[str, str | None]],
) -> None:
    """End as wrong usage where a file would be written over another.

    Parameters
    ----------
    arguments : argparse.Namespace
    inputs : mapping of str to str or None
        What is read, by the name of its argument.
    outputs : iterable of pairs of str and str or None
        The names of arguments, and what is written.
    """
    taken = {os.path.realpath(path): name for name, path in inputs.items() if path is not None}
    for name, path in outputs:
        if path is None or (os.path.exists(path) and not os.path.isfile(path)):
            continue  # a folder is said to be none, and a device takes all that comes
        if not path:
            arguments.usage_error(f"{name}: expected a name, got ''")
        target = os.path.realpath(path)
        if target in taken:
            arguments.usage_error(f"{name}: {path} is {taken[target]} already; expected another")
        taken[target] = name


def add_hyperparameters(parser: argparse.ArgumentParser) -> None:
    """Add an option for each; one that is not given leaves no trace in the result."""
    group = parser.add_argument_group("hyperparameters")
    for each in HYPERPARAMETERS:
        settings: dict[str, Any] = {
            "dest": each.name,
            "default": argparse.SUPPRESS,
            "help": f"{each.help} (default: {_text(each.initial)})",
        }
        if isinstance(each.default, bool):
            settings["action"] = argparse.BooleanOptionalAction
        elif each.choices:
            settings["choices"] = _choices(each)
        elif each.check_text is not None:
            settings["type"] = _checked_text(each)
            settings["metavar"] = "TEXT"
        else:
            settings["type"] = _Number(each)
            settings["metavar"] = "N" if each.value_type is int else "X"
        group.add_argument(f"--{each.name.replace('_', '-')}", **settings)


def given_hyperparameters(arguments: argparse.Namespace) -> dict[str, Any]:
    """Those that were given on the command line."""
    return {name: getattr(arguments, name) for name in BY_NAME if hasattr(arguments, name)}


def read_config(path: str) -> dict[str, Any]:
    """Read hyperparameters from a TOML file.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is no TOML, or a name or value is no hyperparameter's; the message names the file.
    """
    import tomllib

    from fastseq.transducer.hyperparameters import check_names

    with open(path, "rb") as file:
        content = file.read(_LARGEST_CONFIG + 1)
        try:
            _check_size(content)
            values = tomllib.loads(content.decode())
            check_names(values)
            values = {
                k: None if v == _NEVER and BY_NAME[k].optional else v for k, v in values.items()
            }
            for name, value in values.items():
                BY_NAME[name].check(value)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error
        except RecursionError:
            raise ValueError(f"{path}: values are nested too deeply") from None
    return values


def _check_size(content: bytes) -> None:
    """Refuse what no file of hyperparameters has: a key of many parts takes tomllib minutes."""
    if len(content) > _LARGEST_CONFIG:
        raise ValueError(f"expected at most {_LARGEST_CONFIG} bytes, got a larger file")
    for number, line in enumerate(content.splitlines(), 1):
        if len(line) > _LONGEST_LINE:
            raise ValueError(
                f"line {number}: expected at most {_LONGEST_LINE} bytes, got {len(line)}"
            )


def config_text(values: Mapping[str, Any]) -> str:
    """Hyperparameters as TOML, each with what it is for; `read_config` reads it back."""
    lines = []
    for each in HYPERPARAMETERS:
        choices = f": {', '.join(_choices(each))}" if each.choices else ""
        lines.append(f"# {each.help}{choices}\n{each.name} = {_toml(values[each.name])}\n")
    return "\n".join(lines)


def _checked_text(hyperparameter: Hyperparameter) -> Callable[[str], str]:
    """Make an argument type: a string that a hyperparameter takes."""

    def check(text: str) -> str:
        try:
            hyperparameter.check(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(
                str(error).removeprefix(f"{hyperparameter.name}: ")
            ) from None
        return text

    return check


class _Number:
    """An argument type: a number in a hyperparameter's range.

    Or "none" where it is optional, or "auto" where it is automatic.
    """

    def __init__(self, hyperparameter: Hyperparameter) -> None:
        self._hyperparameter = hyperparameter

    def __call__(self, text: str) -> float | str | None:
        each = self._hyperparameter
        if each.optional and text == _NEVER:
            return None
        if each.automatic and text == AUTO:
            return AUTO
        kind = each.value_type
        try:
            number: float = kind(text)
            each.check(number)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            never = f", or {AUTO}" * each.automatic + f", or {_NEVER}" * each.optional
            raise argparse.ArgumentTypeError(
                f"expected {what} of {each.range_text()}{never}; got {text!r}"
            ) from None
        return number


def _choices(hyperparameter: Hyperparameter) -> tuple[str, ...]:
    return hyperparameter.choices + (AUTO,) * hyperparameter.automatic


def _text(value: Any) -> str:
    return _NEVER if value is None else str(value)


def _toml(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    return json.dumps(_NEVER if value is None else value)
