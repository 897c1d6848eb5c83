"""Finds phrases that are not the field's English; `make lint` runs it.

    python .ci/language.py              the whole repository
    python .ci/language.py FILE ...     some files

Prints a line for each finding, with what to write instead; the exit status is then 1.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# A phrase, as a regular expression, and what to write instead. A space also matches a line break.
PHRASES = {
    r"contestants?": "backend",
    r"works (?:that|which|of)|(?:a|the|each|every|this|one) work of": "workload",
    r"of the limit|machine's limits?": "peak",
    r"threads? meets?": "the barrier, at which threads wait",
    r"walk(?:s|ed|ing)? (?:over|through|down|up|along)": "loop over, traverse",
    r"heed(?:s|ed|ing)?": "use, handle, respect",
    r"rows? of (?:unlike|different) lengths?|unlike lengths?": "variable-length sequences",
    r"(?:no|any) chance": "cannot be among the best; pruned",
    r"live (?:hypothes[ei]s|rows?|ones?|beams?)": "active",
    r"shares? a step": "is computed in the same step",
    r"start(?:ing)? (?:states?|weights?)": "initial",
    r"nobody|whoever": "the caller, the user, the process: the noun",
    r"who calls": "the caller",
    r"asks(?: of| for)?": "requires, requests, calls",
    r"(?-i:he|she|him|his)": "a noun: code has no gender",
    r"there and back|forth and back": "in alternating order",
    r"gives? away": "donates, releases",
    r"takes? no notice of": "ignores",
    r"handed out|hands? out": "allocated, returned",
    r"bench-guard|bench-limits|guard_work|the guard": "the instruction-count regression test",
}

COVERED = (
    "fastseq",
    "csrc",
    "python",
    "tests",
    "benchmarks",
    "docs",
    "README.md",
    "CONTRIBUTING.md",
)
SUFFIXES = (".py", ".pyx", ".pxd", ".pyi", ".c", ".h", ".md", ".html", ".sh")

# The samples of the phrases, and what Cython generates.
EXCLUDED = ("tests/packaging/test_language.py", "fastseq/_kernels/*.c")


def findings(text: str) -> Iterator[tuple[int, str, str]]:
    """The line number, the phrase and what to write instead, for each finding in a text."""
    for phrase, instead in PHRASES.items():
        between = r"\\s+(?:(?:#|\\*|//)\\s+)?"  # of two words, also of two lines of a comment
        pattern = rf"(?<![\w-])(?:{re.sub(' ', between, phrase)})(?![\w-])"
        for match in re.finditer(pattern, text, re.IGNORECASE):
            yield text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), instead


def files() -> Iterator[Path]:
    """The files that are covered."""
    for name in COVERED:
        path = ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            relative = file.relative_to(ROOT)
            excluded = any(relative.match(pattern) for pattern in EXCLUDED)
            if file.suffix in SUFFIXES and not excluded:
                yield file


def main(arguments: list[str]) -> int:
    """Print the findings; the exit status."""
    found = 0
    for file in map(Path, arguments) if arguments else files():
        for line, phrase, instead in sorted(findings(file.read_text(encoding="utf-8"))):
            print(f"{file}:{line}: “{phrase}”: write {instead}")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
