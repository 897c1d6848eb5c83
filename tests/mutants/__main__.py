"""`python -m tests.mutants`: chooses mutants, tries each, and lists those that survive.

Each outcome is a line of the log, build/mutants/log.jsonl. A mutant that is there already is not
tried again: with the same seed and a larger count, a run continues the one before.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .changes import Change, changes_of
from .trials import HAS_PAIRS, KILLED, PAIRS_FILES, PYTHON_TESTS, ROOT, SURVIVED, WORK, Trials

# Of what, how large a part of the mutants. The tests of one machine run no table of another
# processor, nor most of what finds out which processor it has.
PARTS = {
    "csrc": (0.5, ("csrc/**/*.h", "csrc/thread_pool.c")),
    "_kernels": (0.2, ("fastseq/_kernels/*.pyx",)),
    "python": (0.3, tuple(f"{each}/**/*.py" if "." not in each else each for each in PYTHON_TESTS)),
}
EXCLUDED = (
    *("csrc/simd/avx512.h", "csrc/simd/neon.h", "csrc/tile/amx.h", "csrc/isa/all_kernels.h"),
    "fastseq/layers/recurrent/__init__.py",
    *(() if HAS_PAIRS else PAIRS_FILES),
)


def main(arguments: list[str]) -> int:
    """Try the chosen mutants; 1 if one survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=PARTS, help="one part of the sources")
    parser.add_argument("--file", help="one file alone: its path from the root")
    parser.add_argument(
        "--survivors", action="store_true", help="try those of the log again, with more tests"
    )
    options = parser.parse_args(arguments)
    log = WORK / "log.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    known = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    outcome_of = {tuple(entry["change"]): entry for entry in known}
    if options.survivors:
        survivors = [key for key, entry in outcome_of.items() if entry["outcome"] == SURVIVED]
        chosen = [Change(*key) for key in survivors]
    else:
        chosen = choose(options.count, options.seed, options.only, options.file)
    trials = None
    for number, change in enumerate(chosen, 1):
        if tuple(change) in outcome_of and not options.survivors:
            continue
        trials = trials or Trials(deep=options.survivors)
        begin = time.monotonic()
        outcome, why = trials.of(change)
        entry = {"change": list(change), "outcome": outcome, "why": why}
        entry["seconds"] = round(time.monotonic() - begin, 1)
        outcome_of[tuple(change)] = entry
        with log.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        print(f"{number}/{len(chosen)} {outcome} {change} {why}", flush=True)
    return report([outcome_of[tuple(change)] for change in chosen])


def choose(count: int, seed: int, only: str | None, file: str | None) -> list[Change]:
    """Mutants of every part, in turn, so that a run that is broken off has tried some of each."""
    placed: list[tuple[float, Change]] = []
    for part, (share, patterns) in PARTS.items():
        if only not in (None, part):
            continue
        changes = [change for path in paths(patterns, file) for change in changes_of(*path)]
        # each kind of change as often as the others, though some have far more places
        by_kind: dict[str, list[Change]] = {}
        for change in changes:
            by_kind.setdefault(change.kind, []).append(change)
        generator = random.Random(f"{seed} {part}")
        for each in by_kind.values():
            generator.shuffle(each)
        of_part: list[Change] = []
        while any(by_kind.values()):
            of_part += [each.pop() for each in by_kind.values() if each]
        wanted = of_part[: count if only or file else round(share * count)]
        placed += [(i / len(wanted), change) for i, change in enumerate(wanted)]
    return [change for _, change in sorted(placed)]


def paths(patterns: tuple[str, ...], file: str | None) -> Iterator[tuple[str, str]]:
    """The files of a part, each once, and their texts."""
    found = sorted({path for pattern in patterns for path in ROOT.glob(pattern)})
    for path in found:
        name = str(path.relative_to(ROOT))
        if name not in EXCLUDED and file in (None, name):
            yield name, Path(path).read_text("utf-8")


def report(entries: list[dict[str, Any]]) -> int:
    """Print the survivors and the counts of each part; 1 if there are survivors."""
    survivors = [entry for entry in entries if entry["outcome"] == SURVIVED]
    for entry in survivors:
        print(f"survived: {Change(*entry['change'])}")
    counts: dict[str, Counter[str]] = {}
    for entry in entries:
        path = entry["change"][0]
        part = next((each for each in ("csrc", "_kernels") if f"{each}/" in path), "python")
        counts.setdefault(part, Counter())[entry["outcome"]] += 1
    for part, of in counts.items():
        tried = of[KILLED] + of[SURVIVED]
        rest = ", ".join(f"{n} {name}" for name, n in sorted(of.items()) if name != KILLED)
        percent = 100 * of[KILLED] / max(tried, 1)
        print(f"{part}: {of[KILLED]} of {tried} killed ({percent:.1f} %); {rest}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
