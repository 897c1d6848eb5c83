"""The faults that a source file can be given: one changed, dropped or swapped part of a line.

C, Cython and Python are read as text. All three are laid out by a formatter, so that a binary
operator stands between two spaces, and nothing else does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple


class Change(NamedTuple):
    """Characters `start` to `end` of a file, replaced by `new`."""

    path: str
    line: int
    kind: str
    start: int
    end: int
    old: str
    new: str

    def __str__(self) -> str:
        old = " ".join(self.old.split())
        return f"{self.path}:{self.line}: {self.kind}: `{old.strip()}` -> `{self.new.strip()}`"


# What is no code, or changes nothing that a test could see.
C_SKIPPED = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\])'
    | ^[ \t]*\#(?:[^\n]*\\\n)*[^\n]* | \bassert\([^;]*\); | ^[ \t]*\(void\)\w+;""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
PYTHON_SKIPPED = re.compile(
    r'''""".*?""" | \#[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'
    | ^[ \t]*from[ ][\w.]+[ ]c?import[ ](?:\([^)]*\)|[^\n]*) | ^[ \t]*c?import[ ][^\n]*
    | ^[^\n]*TYPE_CHECKING[^\n]*''',
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)

OPERATORS = {
    "comparison": {
        " < ": " <= ",
        " <= ": " < ",
        " > ": " >= ",
        " >= ": " > ",
        " == ": " != ",
        " != ": " == ",
    },
    "arithmetic": {
        " + ": " - ",
        " - ": " + ",
        " * ": " + ",
        " / ": " * ",
        " // ": " * ",
        " % ": " / ",
        " += ": " -= ",
        " -= ": " += ",
    },
    "logic": {" && ": " || ", " || ": " && "},
    "vector operation": {
        "vf_add(": "vf_sub(",
        "vf_sub(": "vf_add(",
        "vf_mul(": "vf_add(",
        "vf_max(": "vf_min(",
        "vf_min(": "vf_max(",
        "vf_fma(": "vf_fnma(",
        "vf_fnma(": "vf_fma(",
    },
}
PYTHON_OPERATORS = {
    "comparison": {" is not ": " is ", " is ": " is not ", " not in ": " in "},
    "logic": {" and ": " or ", " or ": " and ", " not ": " "},
    "boolean": {"True": "False", "False": "True"},
}
# The order of the first two arguments makes no difference.
COMMUTATIVE = r"(?:vf_fma|vf_fnma|vf_add|vf_mul|vf_min|vf_max|min|max)\($"

SIGN = re.compile(r"(?<=[(=,?:\[] )-(?=[\w(])|(?<=[(\[])-(?=[\w(])|(?<=return )-(?=[\w(])")
NOT = re.compile(r"!(?=[\w(])")
NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")
ARGUMENTS = re.compile(r"(?<=[( ])([\w.>\[\]-]+), ([\w.>\[\]-]+)(?=[,)])")
C_CONDITION = re.compile(r"\b(?:if|while) \((.*)\) \{$", re.MULTILINE)
PYTHON_CONDITION = re.compile(r"^[ \t]*(?:if|elif|while) (.*):[ \t]*$", re.MULTILINE)
C_STATEMENT = re.compile(
    r"^[ \t]+(?:[\w>.-]+\(|\*?[\w>.-]+(?:\[[^=\n;]*\])* [-+*|&]?= |(?:break|continue)(?=;))",
    re.MULTILINE,
)
PYTHON_STATEMENT = re.compile(
    r"^[ \t]+(?:raise\b|[\w.]+\(|[\w.]+[.\[][^=\n]* = |[\w.\[\]]+ [-+*/|]= |(?:break|continue)\b)",
    re.MULTILINE,
)


def changes_of(path: str, text: str) -> list[Change]:
    """Every change of a file, in the order of the lines."""
    is_c = path.endswith((".c", ".h"))
    skipped = C_SKIPPED if is_c else PYTHON_SKIPPED
    code = skipped.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    found = [*_of_operators(code, is_c), *_of_arguments(code, is_c), *_of_statements(code, is_c)]
    condition = C_CONDITION if is_c else PYTHON_CONDITION
    for match in condition.finditer(code):
        inner = text[match.start(1) : match.end(1)]
        negated = f"!({inner})" if is_c else f"not ({inner})"
        found.append(("condition", match.start(1), match.end(1), negated))
    return [
        Change(path, text.count("\n", 0, start) + 1, kind, start, end, text[start:end], new)
        for kind, start, end, new in sorted(found, key=lambda change: change[1])
    ]


_Found = Iterator[tuple[str, int, int, str]]


def _of_operators(code: str, is_c: bool) -> _Found:
    tables = [OPERATORS] if is_c else [OPERATORS, PYTHON_OPERATORS]
    for kind, replaced in ((kind, of) for table in tables for kind, of in table.items()):
        for old, new in replaced.items():
            for match in re.finditer(re.escape(old), code):
                yield kind, *match.span(), new
    for match in SIGN.finditer(code):
        yield "sign", *match.span(), ""
    for match in NUMBER.finditer(code):
        yield "number", *match.span(), str(int(match[0]) + 1)
    if is_c:
        for match in NOT.finditer(code):
            yield "logic", *match.span(), ""


def _of_arguments(code: str, is_c: bool) -> _Found:
    for match in ARGUMENTS.finditer(code):
        line = code[code.rfind("\n", 0, match.start()) + 1 : match.start()]
        is_definition = re.match(r"\w" if is_c else r"\s*(?:c?p?def|class) ", line)
        if match[1] != match[2] and not is_definition and not re.search(COMMUTATIVE, line):
            yield "arguments", *match.span(), f"{match[2]}, {match[1]}"


def _of_statements(code: str, is_c: bool) -> _Found:
    for match in (C_STATEMENT if is_c else PYTHON_STATEMENT).finditer(code):
        if is_c and code[: match.start()].rstrip()[-1:] not in (";", "{", "}"):
            continue  # the next line of a statement
        start = match.start() + len(match[0]) - len(match[0].lstrip())
        end = _end(code, start, ";" if is_c else "\n")
        if end is not None:
            yield "statement", start, end, "" if is_c else "pass"


def _end(code: str, start: int, ending: str) -> int | None:
    """Where the statement ends, by its brackets; None if it is a part of another."""
    depth = 0
    for position in range(start, len(code)):
        depth += (code[position] in "([{") - (code[position] in ")]}")
        if depth < 0:
            return None
        if depth == 0 and code[position] == ending:
            return position
    return None
