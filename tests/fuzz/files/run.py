"""The driver: `python -m tests.fuzz.files --cases 30000 --seed 0`.

The cases are read in child processes, as the calls of `tests.fuzz` are run. ``--first NUMBER
--cases 1`` with the same seed repeats one case, and ``--keep FOLDER`` leaves its file there.
"""

import argparse
import contextlib
import faulthandler
import io
import json
import os
import random
import resource
import shutil
import tempfile
import warnings
from pathlib import Path

from ..run import fuzz, print_report
from .judge import Watch, judge
from .kinds import available
from .samples import write_samples

BLOCK = 2000  # cases of a child, which reads all valid files first
ADDRESS_SPACE = 4 << 30  # bytes that a child may add: more is no file's due


def child(options: argparse.Namespace) -> None:
    """Read some cases; report each on standard output as a line of JSON."""
    warnings.simplefilter("ignore")
    report = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    samples = Path(options.samples)
    work = Path(options.keep or tempfile.mkdtemp(prefix="case-", dir=samples)).resolve()
    work.mkdir(parents=True, exist_ok=True)
    kinds = available()
    for name in options.only.split(",") if options.only else kinds:
        _warm_up(name, samples, work)
    watch = Watch(work)
    if "asan" not in os.environ.get("LD_PRELOAD", ""):
        faulthandler.enable()
        pages = (
            int(Path("/proc/self/statm").read_text().split()[0]) if os.path.exists("/proc") else 0
        )
        limit = pages * resource.getpagesize() + ADDRESS_SPACE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    names = options.only.split(",") if options.only else list(kinds)
    for number in range(options.first, options.first + options.calls):
        rng = random.Random(f"{options.seed} {number}")
        name = rng.choice(names)
        kind = kinds[name]
        sample = rng.choice(_files(samples / kind.folder))
        change, read = rng.choice(kind.changes), rng.choice(kind.read)
        _clear(work)
        path = work / sample.name
        path.write_bytes(change(rng, sample.read_bytes()))
        described = f"{change.__name__} of {sample.name}, {path.stat().st_size} bytes"
        print(json.dumps({"call": number, "name": name, "arguments": described}), file=report)
        outcome, finding = judge(read, path, samples, watch)
        event = {"call": number, "name": name, "outcome": outcome}
        if finding:
            event |= {"finding": finding, "arguments": described, "mode": options.mode}
        print(json.dumps(event, default=str), file=report)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(exist_ok=True)


def _warm_up(name: str, samples: Path, work: Path) -> None:
    """Read valid files, so that all modules are imported and no valid file is refused."""
    kind = available()[name]
    for read in kind.read:
        for sample in _files(samples / kind.folder):
            _clear(work)
            shutil.copy2(sample, work)
            with (
                contextlib.redirect_stdout(io.StringIO()),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                status = read(work / sample.name, samples)
            assert not status, f"{name}: a valid file is refused: {sample}"


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line's settings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.files", description=__doc__)
    parser.add_argument("--cases", "--calls", dest="calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", default="", help=f"some of {', '.join(available())}")
    parser.add_argument("--keep", help="a folder where the last file stays, with --cases 1")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds until a case hangs")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    for hidden in ("--samples", "--mode"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    unknown = set(options.only.split(",")) - {"", *available()}
    if unknown:
        parser.error(f"--only: expected some of {', '.join(available())}, got {unknown}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status is 1 where there is a finding."""
    options = parsed(arguments)
    if options.child:
        child(options)
        return 0
    with tempfile.TemporaryDirectory(prefix="fastseq-fuzz-") as folder:
        write_samples(Path(folder))
        options.mode, options.program, options.block = "plain", f"{__package__}.run", BLOCK
        options.more = ["--samples", folder]
        if options.keep:
            options.more += ["--keep", options.keep]
        report = fuzz(options)
    return print_report(report, options, "files")
