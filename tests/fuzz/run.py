"""The driver: `python -m tests.fuzz --calls 100000 --seed 0`.

The calls are run in child processes, in blocks. A child reports each call before and after it, so
that the parent knows the call in which a child crashed or hangs, and continues with the next one.
``--first NUMBER --calls 1`` with the same seed repeats one call.

In every fourth block a concurrent thread changes the settings; in another fourth of the blocks a
thread writes to the arguments, and results are not compared.
"""

import argparse
import collections
import ctypes
import faulthandler
import json
import os
import queue
import resource
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

BLOCK = 250  # calls; each block has one mode
MODES = ("plain", "settings", "plain", "scribble")
STARTING = 120.0  # time limit of a child until its first call, in seconds
ADDRESS_SPACE = 8 << 30  # of a child in bytes, so that no call uses all memory
PACKAGE = Path(__file__).parent


@dataclass
class Report:
    """The outcomes of the calls."""

    counts: collections.Counter[tuple[str, str]] = field(default_factory=collections.Counter)
    findings: list[dict[str, Any]] = field(default_factory=list)

    def add(self, event: dict[str, Any]) -> None:
        """Count a finished call."""
        self.counts[event["name"], event["outcome"]] += 1
        if event.get("finding"):
            self.findings.append(event)

    def table(self) -> str:
        """One line per function: the number of calls with each outcome."""
        lines: dict[str, list[str]] = collections.defaultdict(list)
        for (name, outcome), count in sorted(self.counts.items()):
            lines[name].append(f"{outcome} {count}")
        return "\n".join(f"{name:28}{', '.join(line)}" for name, line in lines.items())


# ---- the child ----


def strategies() -> dict[str, Any]:
    """The strategies for the functions of this build, by name."""
    from fastseq import _kernels

    from .decode_calls import DECODE
    from .decoding_calls import DECODING
    from .hard_calls import HARD
    from .kernel_calls import KERNELS
    from .layer_calls import LAYERS
    from .recurrent_calls import RECURRENT
    from .training_calls import TRAINING

    kernels = {**KERNELS, **RECURRENT, **HARD, **DECODE}
    return (
        {name: each for name, each in kernels.items() if hasattr(_kernels, name)}
        | LAYERS
        | DECODING
        | TRAINING
    )


def _die(given: Any) -> None:
    ctypes.string_at(0)


def driver_test(function: Any) -> Any:
    """A call for tests of the driver, selected by name: `--only die` or `--only hang`."""
    from .case import Case

    return lambda draw: Case("driver", function, {"x": 1}, lambda given: None, hostile=False)


def child(options: argparse.Namespace) -> None:
    """Run some calls; report each on standard output as a line of JSON."""
    from fastseq import _kernels

    from . import background
    from .case import Draw
    from .judge import described, judge
    from .mutations import mutate

    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    if "asan" not in os.environ.get("LD_PRELOAD", ""):  # it reports crashes itself
        faulthandler.enable()
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    report = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # the calls may print
    chosen = strategies()
    names = list(chosen)
    if options.only:
        chosen |= {"die": driver_test(_die), "hang": driver_test(lambda given: time.sleep(1e6))}
        names = options.only.split(",")
    scribbler = background.Scribbler() if options.mode == "scribble" else None
    if options.mode == "settings":
        background.Background(background.change_settings)
    if options.mode != "plain":
        sys.setswitchinterval(1e-6)
    for number in range(options.first, options.first + options.calls):
        rng = np.random.default_rng([options.seed, number])
        name = names[rng.integers(len(names))]
        if options.mode != "settings":
            _kernels.set_num_threads(int(rng.choice((1, 2, 4))))
            _kernels.set_isa(str(rng.choice(_kernels.available_isas())))
        draw = Draw(rng, large=options.mode == "scribble")
        case = chosen[name](draw)
        count = int(rng.choice((0, 1, 1, 2, 3))) if case.hostile else 0
        mutated = mutate(draw, case, count)
        arguments = described(mutated)
        print(json.dumps({"call": number, "name": name, "arguments": arguments}), file=report)
        if scribbler is not None:
            scribbler.aim(mutated.hostile)
        verdict = judge(mutated, compare=options.mode != "scribble")
        if scribbler is not None:
            scribbler.aim({})
        event = {"call": number, "name": name, "outcome": verdict.outcome}
        if verdict.finding:
            event |= {"finding": verdict.finding, "arguments": arguments, "mode": options.mode}
        print(json.dumps(event, default=str), file=report)


# ---- the parent ----


def _lines(stream: IO[str], timeout: float) -> Iterator[str | None]:
    """The lines of a stream; ends with None if a line after the first exceeds the timeout."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in stream:
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    patience = STARTING
    while True:
        try:
            line = lines.get(timeout=patience)
        except queue.Empty:
            yield None
            return
        if not line:
            return
        patience = timeout
        yield line


def _end(errors: list[str]) -> str:
    """The part of a child's standard error about its end."""
    marks = ("Fatal Python error", "ERROR: AddressSanitizer", "runtime error:")
    found = [i for i, line in enumerate(errors) if any(mark in line for mark in marks)]
    return "".join(errors[found[0] if found else -25 :][:25]) or "(nothing on standard error)"


def _child_command(options: argparse.Namespace, first: int, calls: int, mode: str) -> list[str]:
    code = f"import sys; sys.path[:] = {sys.path!r}; from {options.program} import main; main()"
    settings = ["--seed", options.seed, "--first", first, "--calls", calls, "--mode", mode]
    only = ["--only", options.only] if options.only else []
    return [sys.executable, "-c", code, "--child", *map(str, settings), *only, *options.more]


def block(options: argparse.Namespace, first: int, calls: int, mode: str, report: Report) -> None:
    """Run a block of calls in one child; after a crash, the rest in another."""
    end = first + calls
    while first < end:
        command = _child_command(options, first, end - first, mode)
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            errors: collections.deque[str] = collections.deque(maxlen=200)
            drain = threading.Thread(target=lambda s=process.stderr, e=errors: e.extend(s))
            drain.start()
            began, started, hangs = False, None, False
            for line in _lines(process.stdout, options.timeout):
                if line is None:
                    hangs = True
                    process.kill()
                    break
                began, event = True, json.loads(line)
                if "outcome" in event:
                    report.add(event)
                    first, started = event["call"] + 1, None
                else:
                    started = event
            status = process.wait()
            drain.join()
        if status == 0 and not hangs:
            return
        if not began:
            raise RuntimeError(f"a child did not start: {''.join(errors)}")
        if started is None:  # it died between two calls
            started = {"call": first, "name": "?"}
        finding = f"hangs for {options.timeout:g} s" if hangs else f"child died: status {status}"
        text = _end(list(errors))
        report.add(started | {"outcome": "crash", "finding": finding, "mode": mode, "stderr": text})
        first = started["call"] + 1


def fuzz(options: argparse.Namespace) -> Report:
    """Run all calls, with several children in parallel."""
    report = Report()
    blocks = []
    for begin in range(options.first, options.first + options.calls, options.block):
        calls = min(options.block, options.first + options.calls - begin)
        mode = options.mode or MODES[begin // options.block % len(MODES)]
        blocks.append((begin, calls, mode))
    start = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        done = [pool.submit(block, options, *each, report) for each in blocks]
        for finished, each in enumerate(done, 1):
            each.result()
            if not options.quiet:
                calls = min(finished * options.block, options.calls)
                print(
                    f"\r{calls} of {options.calls}, {len(report.findings)} "
                    f"findings, {time.monotonic() - start:.0f} s",
                    end="",
                    file=sys.stderr,
                    flush=True,
                )
    if not options.quiet:
        print(file=sys.stderr)
    report.findings.sort(key=lambda each: each["call"])
    return report


def shown(finding: dict[str, Any], options: argparse.Namespace) -> str:
    """A finding, and the command line that repeats it."""
    again = f"--seed {options.seed} --first {finding['call']} --calls 1 --mode {finding['mode']}"
    again += f" --only {options.only}" if options.only else ""
    lines = [f"call {finding['call']} ({finding['name']}): {finding['finding']}", f"    {again}"]
    lines += [f"    {finding[key]}" for key in ("arguments", "stderr") if key in finding]
    return "\n".join(lines)


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line's settings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first call")
    parser.add_argument("--only", default="", help="names of functions, separated by commas")
    parser.add_argument("--mode", choices=sorted(set(MODES)), help="of all blocks; in turn if none")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds that a call may take")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(block=BLOCK, program=f"{__package__}.run", more=[])  # of a child
    return parser.parse_args(arguments)


def print_report(report: Report, options: argparse.Namespace, cases: str) -> int:
    """Print what was found, and how to repeat it; the exit status is 1 where there is a finding."""
    print(report.table())
    for finding in report.findings:
        print(shown(finding, options))
    print(f"{report.counts.total()} {cases}, {len(report.findings)} findings")
    return int(bool(report.findings))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status is 1 where there is a finding."""
    options = parsed(arguments)
    if options.child:
        child(options)
        return 0
    return print_report(fuzz(options), options, "calls")
