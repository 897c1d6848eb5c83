"""How fast published programs are with fastseq, which computes their networks on one thread.

    python benchmarks/clients.py                     all, each if its package is installed
    python benchmarks/clients.py g2p-en --rounds 30

The programs are the examples of docs/clients.md, run from there. Each is first compared with the
original: the answers must be the same ones. Then both are measured in turn, and the table has the
median over the rounds of the ratio within a round. The machine must be idle otherwise.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PAGE = Path(__file__).resolve().parents[1] / "docs" / "clients.md"
ONE_THREAD = ("FASTSEQ_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Row(NamedTuple):
    """A line of the table: the same inputs by two programs.

    Attributes
    ----------
    client, how : str
        What is measured.
    original, fastseq : Callable
        Take some of the inputs.
    inputs : Sequence
    each : int
        How many of them are in a round.
    """

    client: str
    how: str
    original: Callable[[Any], object]
    fastseq: Callable[[Any], object]
    inputs: Sequence[Any]
    each: int = 100


def example(client: str) -> dict[str, Any]:
    """The names that the first example in a section of the page defines."""
    section = PAGE.read_text("utf-8").partition(f"\n## {client}:")[2].partition("\n## ")[0]
    found = re.search("^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"{PAGE}: expected an example under {client!r}, got none")
    names: dict[str, Any] = {}
    exec(compile(found[1], f"{PAGE.name}: {client}", "exec"), names)
    return names


def english_words(count: int) -> list[str]:
    """Words of Python's own documentation, each once, in random order."""
    import numpy as np
    from pydoc_data.topics import topics

    words = sorted(set(re.findall("[a-z]+", " ".join(topics.values()).lower())))
    return [str(word) for word in np.random.default_rng(0).permutation(words)[:count]]


def require_equal(client: str, inputs: Sequence[Any], expected: list[Any], got: list[Any]) -> None:
    """End the program at the first answer that differs."""
    for one, theirs, own in zip(inputs, expected, got, strict=True):
        if theirs != own:
            sys.exit(f"{client}: {one!r}: expected {theirs}, got {own}")
    print(f"{client}: the same {len(inputs):,} answers")


def g2p_en() -> Iterator[Row]:
    """The phonemes of 2,000 words, word by word and in batches."""
    import g2p_en

    client, words = "g2p-en", english_words(2_000)
    own = example(client)["G2p"]()  # the example removes the dictionary
    original = g2p_en.G2p()

    def one_by_one(model: Any) -> Callable[[list[str]], list[list[str]]]:
        return lambda words: [model.predict(word) for word in words]

    expected = one_by_one(original)(words)
    require_equal(client, words, expected, one_by_one(own)(words))
    require_equal(client, words, expected, own.predict_all(words))
    yield Row(client, "a word at a time", one_by_one(original), one_by_one(own), words)
    yield Row(client, "100 words at a time", one_by_one(original), own.predict_all, words)


# A name as in the page, the module that must be there, and its rows.
CLIENTS: dict[str, tuple[str, Callable[[], Iterator[Row]]]] = {
    "g2p-en": ("g2p_en", g2p_en),
}


def measure(row: Row, rounds: int) -> tuple[float, float]:
    """The median over the rounds of the original's milliseconds per input, and of the ratio."""
    seconds: list[list[float]] = []
    for number in range(rounds + 1):
        first = number * row.each % len(row.inputs)
        inputs = row.inputs[first : first + row.each]
        turn = []
        for program in (row.original, row.fastseq):
            start = time.perf_counter()
            program(inputs)
            turn.append(time.perf_counter() - start)
        seconds.append([*turn, len(inputs)])
    timed = seconds[1:]  # the first is a warm-up
    original = statistics.median(theirs / count for theirs, _, count in timed)
    return original * 1e3, statistics.median(theirs / own for theirs, own, _ in timed)


def describe() -> str:
    """The machine and the versions."""
    import fastseq.config

    names = ("numpy", "g2p-en", "g2pM", "chars2vec", "keras", "jax", "torch")
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    isa = fastseq.config.get_config()["isa"]
    return f"{isa}, one thread, CPython {platform.python_version()}, {', '.join(found)}"


def main() -> None:
    """Compare, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=f"of {', '.join(CLIENTS)}")
    parser.add_argument("--rounds", type=int, default=20, help="of each program (default: 20)")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"--rounds: expected at least 1, got {arguments.rounds}")
    for client in arguments.clients:
        if client not in CLIENTS:
            parser.error(f"expected clients of {', '.join(CLIENTS)}, got {client}")
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    lines = []
    for client in arguments.clients or CLIENTS:
        module, rows = CLIENTS[client]
        try:
            importlib.import_module(module)
        except ImportError as error:
            print(f"{client}: skipped: {error}")
            continue
        for row in rows():
            original, ratio = measure(row, arguments.rounds)
            lines.append(f"| {client} | {row.how} | {original:.3g} | {ratio:.1f} |")
    print(describe())
    print(f"| program | how | original, ms each | original ÷ fastseq |\n{'| --- ' * 4}|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
