"""Instruction-count regression test: the main kernels against the recorded counts, without a clock.

Compiles instructions.c with the AVX2 kernels and the flags of setup.py, lets valgrind's callgrind
count the instructions of one call of each kernel, and compares with instructions.json. Counts do
not depend on the load of the machine, but on the compiler: only with the recorded one are they
compared.

With --cliffs it counts sweeps instead, in which one dimension grows, and compares each size with
the smaller ones: more work must not take far fewer instructions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CSRC = ROOT / "csrc"
RECORD = HERE / "instructions.json"

ISA = "avx2"  # valgrind knows no AVX-512
TOLERANCE = 3.0

# Of the instructions of a call, those that one with more work takes at least.
CLIFF = 0.8

NEEDS_VALGRIND = "needs valgrind and its headers: apt-get install valgrind (dnf: valgrind-devel)"

# The preprocessor makes the compiler's name of it, as in `fastseq info`: GCC 12.2.0.
IDENTIFY = """\
#ifdef __clang__
Clang __clang_version__
#else
GCC __VERSION__
#endif
"""

EXIT_STATUS = """\
exit status: 0; 1 when a kernel became more expensive, is not recorded or not measured any more, or
nothing could be counted; 0 with "not compared" when the record was made with another compiler
"""


class CountError(Exception):
    """Nothing can be counted here; the message says why."""


def main(arguments: list[str] | None = None) -> int:
    """Count, then compare or record; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=EXIT_STATUS)
    parser.add_argument("--update", action="store_true", help="record today's counts")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=TOLERANCE,
        metavar="PERCENT",
        help="how much more a kernel may take (default: %(default)g)",
    )
    parser.add_argument(
        "--record", type=Path, default=RECORD, help=f"the file of counts (default: {RECORD.name})"
    )
    parser.add_argument(
        "--cliffs", action="store_true", help="look for sizes that larger ones are cheaper than"
    )
    options = parser.parse_args(arguments)
    compiler = os.environ.get("CC", "cc").split()
    try:
        name = compiler_name(compiler)
        if options.cliffs:
            counts = count_instructions(compiler, "sweeps")
            lines, status = cliffs(counts)
            print(f"instructions of {len(counts)} calls, {name}, {ISA}", *lines, sep="\n")
            return status
        if options.update:
            counts = count_instructions(compiler)
            record = {"compiler": name, "isa": ISA, "instructions": counts}
            options.record.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
            print(f"{options.record}: recorded {len(counts)} kernels, {name}, {ISA}")
            return 0
        recorded = read_record(options.record)
        if name != recorded["compiler"]:
            print(f"not compared: recorded with {recorded['compiler']}, this compiler is {name}")
            return 0
        counts = count_instructions(compiler)
    except CountError as error:
        print(f"instructions.py: {error}", file=sys.stderr)
        return 1
    lines, status = compare(recorded["instructions"], counts, options.tolerance)
    print(f"instructions of one call, {name}, {ISA}", *lines, sep="\n")
    return status


def compare(
    recorded: dict[str, int], counts: dict[str, int], tolerance: float
) -> tuple[list[str], int]:
    """The lines of the table and the exit status: 1 unless every kernel is as cheap as recorded.

    Parameters
    ----------
    recorded, counts : dict
        Instructions of each kernel, as recorded and now.
    tolerance : float
        How many percent more a kernel may take.
    """
    lines = [f"{'kernel':24}{'recorded':>12}{'now':>12}{'change':>10}"]
    worse, better, unpaired = [], [], []
    for kernel in dict.fromkeys([*recorded, *counts]):
        before, now = recorded.get(kernel), counts.get(kernel)
        if before is None or now is None:
            unpaired.append(kernel)
            cells = ["-" if count is None else f"{count:,}" for count in (before, now)]
            lines.append(f"{kernel:24}{cells[0]:>12}{cells[1]:>12}")
            continue
        change = 100 * (now - before) / before
        mark = ""
        if change > tolerance:
            worse.append(kernel)
            mark = "  MORE EXPENSIVE"
        elif change < -tolerance:
            better.append(kernel)
            mark = "  better"
        lines.append(f"{kernel:24}{before:>12,}{now:>12,}{change:>+8.1f} %{mark}")
    if worse:
        lines.append(f"more expensive by over {tolerance:g} %: {', '.join(worse)}")
    if better:
        lines.append(f"better: run --update to record it: {', '.join(better)}")
    if unpaired:
        lines.append(f"only recorded or only measured: run --update: {', '.join(unpaired)}")
    return lines, 1 if worse or unpaired else 0


def cliffs(counts: dict[str, int]) -> tuple[list[str], int]:
    """What sizes cost more than larger ones, and the exit status: 1 where there are any.

    Parameters
    ----------
    counts : dict
        Instructions by names like ``lstm_forward_T_16``: kernel, dimension, its size.
    """
    lines = []
    sweeps: dict[str, list[tuple[int, int]]] = {}
    for name, count in counts.items():
        sweep, size = name.rsplit("_", 1)
        sweeps.setdefault(sweep, []).append((count, int(size)))
    for sweep, points in sweeps.items():
        dearest, its_size = 0, 0
        for count, size in sorted(points, key=lambda point: point[1]):
            if count < CLIFF * dearest:
                ratio = count / dearest
                lines.append(f"{sweep}: {size} takes {ratio:.2f} of the instructions of {its_size}")
            if count > dearest:
                dearest, its_size = count, size
    lines.append(f"{len(sweeps)} sweeps, {len(lines)} cliffs: more work for under {CLIFF:g}")
    return lines, int(len(lines) > 1)


def read_record(path: Path) -> dict[str, Any]:
    """The compiler and the instructions of each kernel that `--update` wrote."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CountError(f"no {path}: --update writes it") from None
    return record


def compiler_name(compiler: list[str]) -> str:
    """Name and version of a C compiler."""
    if shutil.which(compiler[0]) is None:
        raise CountError(f"no C compiler: {compiler[0]} is not installed; CC names another")
    text = run(*compiler, "-E", "-P", "-x", "c", "-", stdin=IDENTIFY)
    return " ".join(text.replace('"', "").split())


def count_instructions(compiler: list[str], *which: str) -> dict[str, int]:
    """Instructions of one call of each kernel that instructions.c calls, in its order."""
    if shutil.which("valgrind") is None:
        raise CountError(NEEDS_VALGRIND)
    with tempfile.TemporaryDirectory() as folder:
        program, out = Path(folder, "instructions"), Path(folder, "counts")
        tables = (CSRC / f"isa/{ISA}.c", CSRC / f"isa/emulated/{ISA}.c")
        sources = (HERE / "instructions.c", *tables, CSRC / "thread_pool.c")
        run(*compiler, *compiler_flags(), "-pthread", *sources, "-lm", "-o", program)
        run(
            *("valgrind", "--quiet", "--tool=callgrind", "--collect-atstart=no"),
            *(f"--callgrind-out-file={out}", program, *which),
        )
        dumps = Path(folder).glob("counts.*")  # counts.1, counts.2, ...: one a kernel
        texts = [dump.read_text() for dump in sorted(dumps, key=lambda dump: int(dump.suffix[1:]))]
    pattern = re.compile(r"^desc: Trigger: Client Request: (\w+)$.*?^summary: (\d+)$", re.M | re.S)
    found = [pattern.search(text) for text in texts]
    return {match[1]: int(match[2]) for match in found if match}


def compiler_flags(name: str = ISA) -> list[str]:
    """What setup.py compiles a table with, but threads, and where the headers are."""
    for switch in ("FASTSEQ_DEBUG", "FASTSEQ_SANITIZE"):  # setup.py would add their flags
        os.environ.pop(switch, None)
    setup = runpy.run_path(str(ROOT / "setup.py"))
    [isa] = [isa for isa in setup["ISAS"] if isa.name == name]
    if isa.machines and platform.machine().lower() not in isa.machines:
        raise CountError(f"needs {name}, which this machine, {platform.machine()}, cannot run")
    return [*setup["COMMON_FLAGS"], *isa.flags, f"-DFS_HAVE_{name.upper()}", f"-I{CSRC}"]


def run(*command: str | Path, stdin: str = "") -> str:
    """What a command prints; CountError with its complaint where it fails."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        if "callgrind.h" in done.stderr:
            raise CountError(NEEDS_VALGRIND)
        raise CountError(f"{command[0]}: exit status {done.returncode}\n{done.stderr}".rstrip())
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
