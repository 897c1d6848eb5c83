"""Training on more pairs than one would keep in memory: resident memory, first step, speed.

Writes generated dates and sums into files of half a million pairs, encodes them as `fastseq train
FOLDER --cache DIR` does, and trains for some steps, each in a process of its own:

    python benchmarks/large_data.py --pairs 20000000 --folder build/large
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from fastseq import Transducer
from fastseq.data import dates
from fastseq.transducer.data.store import PairStore, store_of
from fastseq.transducer.data.tsv import read_pairs
from fastseq.transducer.training.preparation import prepare

PAIRS_OF_A_PART = 500_000
HELD_OUT = 0.0002


class Steps:
    """Ends a training after some steps, and takes the times."""

    def __init__(self, training: Any, count: int) -> None:
        self._training, self._count = training, count
        self.times: list[tuple[float, float]] = []
        self.pairs: list[int] = []

    def on_epoch_begin(self, *_: int) -> None:
        pass

    def on_step(self, _: float, pairs: int) -> None:
        self.times.append((time.perf_counter(), time.process_time()))
        self.pairs.append(pairs)
        self._training.interrupted = len(self.times) == self._count

    def on_checkpoint(self) -> None:
        pass

    def on_epoch_end(self, _: Any) -> None:
        pass


def generate(folder: Path, pairs: int) -> None:
    """Write the files that are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, first in enumerate(range(0, pairs, PAIRS_OF_A_PART)):
        path = folder / f"{number:03}.tsv"
        if not path.exists():
            half = min(PAIRS_OF_A_PART, pairs - first) // 2
            operands = np.random.default_rng(number).integers(0, 10**8, (half, 2)).tolist()
            found = dates.generate(half, seed=number) + [
                (f"{a}+{b}", str(a + b)) for a, b in operands
            ]
            lines = (f"{source}\t{target}\n" for source, target in found)
            path.write_text("".join(lines), encoding="utf-8")


def encode(folder: Path, cache: Path) -> str:
    """Write the store; its place."""

    def read(path: str) -> tuple[Any, Any]:
        found = read_pairs(path)
        return found.sources, found.targets

    return store_of(str(folder), str(cache), Transducer().get_params(), HELD_OUT, read)


def train(place: str, steps: int, start: float) -> None:
    """Train for some steps, and print what they took."""
    model = Transducer(hidden_size=256, attention="dot")
    training, _ = prepare(model.get_params(), PairStore(place), (), HELD_OUT)
    taken = Steps(training, steps)
    training.run(taken)
    print(f"first step after       {taken.times[0][0] - start:.1f} s")
    words = sum(taken.pairs[1:])
    for clock, name in enumerate(("second", "CPU second")):
        seconds = taken.times[-1][clock] - taken.times[0][clock]
        print(f"words a {name:14} {words / seconds:,.0f}")


def peak() -> str:
    """The most memory that this process has had resident."""
    status = Path("/proc/self/status").read_text("utf-8")
    kilobytes = next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]
    return f"{int(kilobytes) / 1024:,.0f} MB"


def main() -> None:
    """Run all, or one step in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=2_000_000)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--folder", type=Path, default=Path("build/large"))
    parser.add_argument("--only", choices=("generate", "encode", "train"))
    arguments = parser.parse_args()
    parts, cache = arguments.folder / str(arguments.pairs), arguments.folder / "cache"
    start = time.perf_counter()
    if arguments.only == "generate":
        generate(parts, arguments.pairs)
    elif arguments.only == "encode":
        encode(parts, cache)
        print(f"encoded in             {time.process_time():,.0f} CPU s")
        print(f"resident, encoding     {peak()}")
    elif arguments.only == "train":
        train(encode(parts, cache), arguments.steps, start)
        print(f"resident, training     {peak()}")
    else:
        print(f"pairs                  {arguments.pairs:,}", flush=True)
        for step in ("generate", "encode", "train"):
            command = [sys.executable, *sys.argv, "--only", step]
            subprocess.run(command, check=True, env=os.environ)


if __name__ == "__main__":
    main()
