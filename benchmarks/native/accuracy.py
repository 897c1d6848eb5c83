"""How accurate the kernels are: the tables of docs/accuracy.md, which `make accuracy` writes.

Two parts. exp, tanh and sigmoid are compared with double precision for every float32 value, in
every table of this machine, by accuracy.c (minutes of processor time). The layers are compared with
the reference in float64 (accuracy_cases.py), with operands of float32 and of bfloat16, and timed.
The exit status is 1 if an error is larger than the bound that is stated.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from accuracy_cases import LARGE_CASES, SMALL_CASES, Case, Measured, measure
from fastseq import get_num_threads, set_num_threads
from fastseq.config import get_config
from instructions import CSRC, HERE, CountError, compiler_flags, compiler_name, run

MAX_ULP = 3.0
PRECISIONS = ("float32", "bfloat16")
REPEATS = 20


class Elementwise(NamedTuple):
    """The errors of a function of a table, in ULP; of denormal results apart."""

    table: str
    function: str
    mean: float
    largest: float
    where: float
    largest_denormal: float
    where_denormal: float
    mismatches: int


def main(arguments: list[str] | None = None) -> int:
    """Measure, print or write; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--stride",
        type=int,
        default=1,
        help="of exp, tanh and sigmoid every STRIDE-th float alone (default: each)",
    )
    parser.add_argument("--quick", action="store_true", help="the small cases alone, timed once")
    parser.add_argument("-o", "--output", type=Path, help="a page whose tables are replaced")
    options = parser.parse_args(arguments)
    compiler = os.environ.get("CC", "cc").split()
    threads = get_num_threads()
    set_num_threads(1)
    try:
        name = compiler_name(compiler)
        isas = list(get_config()["available_isas"])
        functions = measure_functions(compiler, options.stride, isas)
    except CountError as error:
        print(f"accuracy.py: {error}", file=sys.stderr)
        return 1
    cases = SMALL_CASES if options.quick else SMALL_CASES + LARGE_CASES
    layers = measure_layers(cases, 1 if options.quick else REPEATS)
    set_num_threads(threads)
    tables = {
        "machine": head(name),
        "functions": functions_table(functions, options.stride),
        "layers": layers_table(layers),
    }
    if options.output:
        options.output.write_text(replaced(options.output.read_text("utf-8"), tables), "utf-8")
    else:
        print(*tables.values(), sep="\n\n")
    complaints = [*complaints_of(functions, layers)]
    print(*complaints, sep="\n", end="\n" if complaints else "", file=sys.stderr)
    return 1 if complaints else 0


def measure_functions(compiler: list[str], stride: int, isas: list[str]) -> list[Elementwise]:
    """Compile accuracy.c with the tables of these instruction sets, and run it."""
    with tempfile.TemporaryDirectory() as folder:
        objects = [Path(folder, f"{isa}.o") for isa in isas]
        for isa, built in zip(isas, objects, strict=True):
            run(*compiler, *compiler_flags(isa), "-c", CSRC / f"isa/{isa}.c", "-o", built)
        program = Path(folder, "accuracy")
        flags = [*compiler_flags("baseline"), *(f"-DFS_HAVE_{isa.upper()}" for isa in isas)]
        sources = (HERE / "accuracy.c", CSRC / "thread_pool.c", *objects)
        run(*compiler, *flags, "-pthread", *sources, "-lm", "-o", program)
        # two processes: every second float each
        with ThreadPoolExecutor(2) as pool:
            halves = pool.map(lambda i: run(program, str(2 * stride), str(i * stride)), range(2))
            return merged(*map(parsed, halves))


def parsed(output: str) -> list[Elementwise]:
    """The lines of accuracy.c."""
    lines = [line.split() for line in output.splitlines()]
    return [Elementwise(a, b, *map(float, rest), int(last)) for a, b, *rest, last in lines]


def merged(first: list[Elementwise], second: list[Elementwise]) -> list[Elementwise]:
    """The errors over two sets of as many floats."""
    found = []
    for a, b in zip(first, second, strict=True):
        worst = max(a, b, key=lambda f: f.largest)
        denormal = max(a, b, key=lambda f: f.largest_denormal)
        found.append(
            worst._replace(
                mean=(a.mean + b.mean) / 2,
                largest_denormal=denormal.largest_denormal,
                where_denormal=denormal.where_denormal,
                mismatches=a.mismatches + b.mismatches,
            )
        )
    return found


def measure_layers(cases: tuple[Case, ...], repeats: int) -> list[Measured]:
    """All steps of some cases."""
    return [found for case in cases for found in measure(case, PRECISIONS, repeats)]


def head(compiler: str) -> str:
    """What the tables were measured on."""
    config = get_config()
    return (
        f"Measured by `make accuracy` on {config['cpu']} ({platform.machine()}), instruction set "
        f"{config['isa']}, {compiler}, one thread."
    )


def functions_table(functions: list[Elementwise], stride: int) -> str:
    """exp, tanh and sigmoid, as Markdown."""
    which = "every float32 value" if stride == 1 else f"one of {stride} float32 values"
    lines = [
        f"Errors in ULP, over {which}:",
        "",
        "| table | function | mean | largest | at x | largest of denormal results "
        "| NaN or infinite in one alone |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for f in functions:
        lines.append(
            f"| {f.table} | {f.function} | {f.mean:.3f} | {f.largest:.2f} | {f.where:.9g} "
            f"| {f.largest_denormal:.2f} | {f.mismatches} |"
        )
    return "\n".join(lines)


def layers_table(layers: list[Measured]) -> str:
    """The layers, as Markdown."""
    lines = [
        "| of | sizes | step | largest | mean | bound | largest, bfloat16 | bound, bfloat16 "
        "| time, float32 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for m in layers:
        case = m.case
        lines.append(
            f"| {case.name} | {case.sizes} | {m.step} | {m.largest[0]:.1e} | {m.mean[0]:.1e} "
            f"| {case.bounds[0]:.0e} | {m.largest[1]:.1e} | {case.bounds[1]:.0e} "
            f"| {m.seconds * 1e6:,.0f} µs |"
        )
    return "\n".join(lines)


def replaced(page: str, tables: dict[str, str]) -> str:
    """The page with each table between the two comments of its name."""
    for name, table in tables.items():
        between = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
        page, count = re.subn(between, rf"\g<1>{table}\n\g<2>", page, count=1, flags=re.DOTALL)
        if count != 1:
            raise SystemExit(f"accuracy.py: the page has no place for the table {name!r}")
    return page


def complaints_of(functions: list[Elementwise], layers: list[Measured]) -> list[str]:
    """A line for each error beyond its bound."""
    lines = [
        f"{f.table} {f.function}: {f.largest:.2f} ULP at {f.where:.9g}, {f.mismatches} mismatches"
        for f in functions
        if max(f.largest, f.largest_denormal) > MAX_ULP or f.mismatches
    ]
    for m in layers:
        for precision, found, bound in zip(PRECISIONS, m.largest, m.case.bounds, strict=True):
            if not found <= bound:
                lines.append(f"{m.case.name} {m.step}, {precision}: {found:.1e} > {bound:.0e}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
