"""Fingerprints of the textbook's published definitions, which tell an edited copy from another.

A fingerprint depends on the code of one class or function: its comments, docstrings, blank lines
and the spaces between its tokens do not count. The table holds those of every published edition;
it holds no line of the textbook's code.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import json
import os
import tokenize
from collections.abc import Iterator, Mapping

Table = Mapping[str, Mapping[str, list[str]]]
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

_DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_WITHOUT_MEANING = (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER)
_NAMED = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
_DIGITS = 16


@functools.cache
def published() -> Table:
    """The fingerprints of every published edition: module, name, fingerprints.

    The modules of the chapters have their bare names, as ``seq2seq``.
    """
    path = os.path.join(os.path.dirname(__file__), "fingerprints.json")
    with open(path, encoding="utf-8") as file:
        table: Table = json.load(file)
    return table


def bare(module: str) -> str:
    """The name of a module in the table: without the package of a chapter."""
    package, _, name = module.rpartition(".")
    return name if package.startswith("ch0") else module


def source_of(lines: list[str], node: Definition) -> str:
    """The source text of a definition, from its first decorator on."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    assert node.end_lineno is not None
    return "\n".join(lines[first - 1 : node.end_lineno]) + "\n"


def fingerprint(source: str) -> str:
    r"""The fingerprint of the source text of one top-level class or function.

    Parameters
    ----------
    source : str
        From the first decorator, or the ``class`` or ``def`` line, to the last line.

    Returns
    -------
    str of 16 hexadecimal digits

    Examples
    --------
    >>> fingerprint("def f(x):\n    return x\n")
    '11c00fa1d7b355c6'
    """
    lines = source.split("\n")

    def characters(line: int, column: int) -> tuple[int, int]:
        """A place as tokenize gives it; ast counts the bytes of a line."""
        return line, len(lines[line - 1].encode()[:column].decode())

    docstrings = [
        (characters(*first), characters(*end)) for first, end in _docstrings(ast.parse(source))
    ]
    words: list[str] = []
    after_docstring = False
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _WITHOUT_MEANING:
            continue
        if any(first <= token.start < end for first, end in docstrings):
            after_docstring = True
            continue
        if after_docstring and token.type == tokenize.NEWLINE:
            after_docstring = False
            continue
        words.append(tokenize.tok_name[token.type] if token.type in _NAMED else token.string)
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:_DIGITS]


def _docstrings(tree: ast.Module) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Where each docstring begins and ends, as lines and columns."""
    for node in ast.walk(tree):
        if not isinstance(node, _DEFINITIONS):
            continue
        first = node.body[0]
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            assert first.end_lineno is not None
            assert first.end_col_offset is not None
            yield (first.lineno, first.col_offset), (first.end_lineno, first.end_col_offset)
