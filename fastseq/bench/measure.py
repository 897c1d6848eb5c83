"""Measures one work on one number of threads: all libraries in turn, round after round.

The machine's speed drifts, so nothing is compared that was not measured side by side: in each round
every worker does one turn of some steps while all others sleep, and a ratio is taken within a
round.
"""

from __future__ import annotations

import importlib.util
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.bench.backends.numpy_layers import MODULES
from fastseq.bench.workers import Contestant, Worker, WorkerError
from fastseq.bench.workloads import Limit, Work

Array = npt.NDArray[Any]

REFERENCE, LIMIT = Contestant("reference"), Contestant("limit")
PEERS = ("torch", "jax")

# How far a library's numbers may be from the reference's, relative to the largest of an array.
# Sums of float32 taken in another order differ by 3e-6 here; losses after some updates by as much
# where a library's Adam adds its ε elsewhere. Whole numbers, the answers of a model, are equal.
LOSS_TOLERANCE = 1e-4
ARRAY_TOLERANCE = 1e-5

# Between two turns, until the threads of the one before have stopped waiting for more work and
# sleep: those of OpenBLAS were seen to spin for 60 ms. With one thread there is none that waits.
_SETTLE_SECONDS = 0.15

# A turn has at least so many steps, or one where that would take long.
_MIN_STEPS, _MAX_STEPS, _LONG_SECONDS = 3, 1000, 0.4


class ParityError(ArithmeticError):
    """A library computes something else than the reference: its speed means nothing."""


@dataclass(frozen=True)
class Settings:
    """How long to measure.

    Attributes
    ----------
    rounds : int
        Each worker has one turn a round.
    turn_seconds : float
        About how long a turn is, and the warm-up before the first.
    """

    rounds: int = 9
    turn_seconds: float = 0.2


QUICK = Settings(rounds=3, turn_seconds=0.1)


@dataclass
class Measurement:
    """What was measured of one work.

    Attributes
    ----------
    work : Work
    threads : int
    seconds : dict
        For each contestant the seconds of a step, one number a round: the median step of that
        round's turn. The library "limit" stands for the large product of matrices.
    parity : dict
        For each contestant that was compared the largest relative difference from the reference.
    peak_bytes : dict
        For each contestant the most memory that its process had; None where nothing tells.
    """

    work: Work
    threads: int
    seconds: dict[Contestant, list[float]] = field(default_factory=dict)
    parity: dict[Contestant, float] = field(default_factory=dict)
    peak_bytes: dict[Contestant, int | None] = field(default_factory=dict)


def cores() -> int:
    """How many processors these processes may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def absent(libraries: Sequence[str]) -> dict[str, str]:
    """Which of these libraries cannot be measured here, and why."""
    return {
        library: "not installed"
        for library in libraries
        if importlib.util.find_spec(MODULES[library]) is None
    }


def isas() -> tuple[str, ...]:
    """The instruction sets to measure, the one in use first: only that, if FASTSEQ_ISA says so."""
    used = _kernels.isa()
    if os.environ.get("FASTSEQ_ISA"):
        return (used,)
    return (used, *(isa for isa in _kernels.available_isas() if isa != used))


def contestants(work: Work, libraries: Sequence[str], isas: Sequence[str]) -> list[Contestant]:
    """Who carries a work out: the libraries that can, fastseq once for each instruction set.

    Parameters
    ----------
    work : Work
    libraries : sequence of str
        Those to choose from. NumPy is always one where its import is measured, and the limit where
        the work has products of matrices.
    isas : sequence of str
        Of fastseq; a curve has the first only.
    """
    chosen = []
    for library in work.libraries:
        if library == "fastseq" and library in libraries:
            own = isas[:1] if work.kind in ("scaling", "import") else isas
            chosen += [Contestant(library, isa) for isa in own]
        elif library in libraries or library == "numpy":
            chosen.append(Contestant(library))
    if work.operations is not None:
        chosen.append(LIMIT)
    return chosen


def measure(
    work: Work,
    contestants: Sequence[Contestant],
    threads: int,
    settings: Settings,
    progress: Callable[[str], None],
) -> Measurement:
    """Check that all libraries compute the same, then time them in turn.

    Parameters
    ----------
    work : Work
    contestants : sequence of Contestant
        Who is timed. The reference's results are compared with, whether it is timed or not.
    threads : int
    settings : Settings
    progress : callable
        Told in a few words what is being done.

    Returns
    -------
    Measurement

    Raises
    ------
    ParityError
        A loss differs from the reference's by more than 1e-4, relative, an output or gradient by
        more than 1e-5, or an answer in any symbol. Nothing was timed then.
    WorkerError
        A worker failed, or uses another number of threads.
    """
    measurement = Measurement(work, threads)
    place = f"{work.name}, threads: {threads}"
    untimed = [REFERENCE] if work.compared and REFERENCE not in contestants else []
    progress(f"{place}: starting the processes")
    with _started([*untimed, *contestants], work, threads) as workers:
        if work.compared:
            progress(f"{place}: comparing the results")
            measurement.parity = _check_parity(work, workers)
        for contestant in untimed:
            workers[contestant].close()
        steps = {}
        for contestant in contestants:
            progress(f"{place}: warming up {contestant}")
            steps[contestant] = _warm_up(workers[contestant], settings.turn_seconds)
            measurement.seconds[contestant] = []
        for number in range(settings.rounds):
            progress(f"{place}: round {number + 1} of {settings.rounds}")
            # there and back, so that nobody always comes after the same other
            for contestant in contestants if number % 2 == 0 else reversed(contestants):
                if threads > 1:
                    time.sleep(_SETTLE_SECONDS)
                seconds = workers[contestant].run(steps[contestant])
                measurement.seconds[contestant].append(statistics.median(seconds))
        for contestant in contestants:
            measurement.peak_bytes[contestant] = workers[contestant].peak_bytes()
    return measurement


@contextmanager
def _started(
    contestants: Sequence[Contestant], work: Work, threads: int
) -> Iterator[dict[Contestant, Worker]]:
    """The workers, ready; all ended afterwards, whatever happens."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="fastseq-benchmark-")))
        workers = {}
        for contestant in contestants:
            own_work = Limit() if contestant == LIMIT else work
            workers[contestant] = Worker(contestant, own_work, threads, folder)
            stack.callback(workers[contestant].close)
        for contestant, worker in workers.items():
            worker.wait_until_ready()
            used = worker.about.get("threads", threads)  # NumPy and JAX cannot tell
            if used != threads:
                raise WorkerError(f"{contestant}: asked for {threads} threads, it uses {used}")
        yield workers


def _warm_up(worker: Worker, turn_seconds: float) -> int:
    """Let a worker do one turn; how many steps a turn should have."""
    step_seconds = statistics.median(worker.run(1))
    least = 1 if _MIN_STEPS * step_seconds > _LONG_SECONDS else _MIN_STEPS
    steps = min(max(round(turn_seconds / step_seconds), least), _MAX_STEPS)
    worker.run(steps)
    return steps


def _check_parity(work: Work, workers: dict[Contestant, Worker]) -> dict[Contestant, float]:
    """The largest difference between the results of each worker and those of the reference."""
    expected = workers[REFERENCE].results()
    return {
        contestant: largest_difference(f"{work.name}: {contestant}", worker.results(), expected)
        for contestant, worker in workers.items()
        if contestant not in (REFERENCE, LIMIT)
    }


def largest_difference(who: str, results: dict[str, Array], expected: dict[str, Array]) -> float:
    """The largest relative difference of two dicts of results.

    Raises
    ------
    ParityError
        One is too large, or the results are not the same in kind; the message begins with `who`.
    """
    if results.keys() != expected.keys():
        raise ParityError(f"{who} gave {sorted(results)}, the reference {sorted(expected)}")
    largest = 0.0
    for name, array in results.items():
        difference, tolerance = relative_difference(array, expected[name]), tolerance_of(array)
        if not difference <= tolerance:  # a NaN does not pass either
            raise ParityError(
                f"{who}: {name} differs from the reference's by {difference:.1e} relative, "
                f"more than {tolerance:.0e}: {_sample(array, expected[name])}; nothing was timed"
            )
        largest = max(largest, difference)
    return largest


def tolerance_of(array: Array) -> float:
    """How far an array may be from the reference's."""
    if array.dtype.kind in "iu":
        return 0.0
    return LOSS_TOLERANCE if array.ndim == 0 else ARRAY_TOLERANCE


def relative_difference(actual: Array, expected: Array) -> float:
    """The largest difference of two elements, over the largest magnitude that is expected."""
    if actual.shape != expected.shape:
        return math.inf
    scale = float(np.max(np.abs(expected)))
    difference = float(np.max(np.abs(actual.astype(np.float64) - expected)))
    return difference / scale if scale else difference


def _sample(actual: Array, expected: Array) -> str:
    if actual.shape != expected.shape:
        return f"shape {actual.shape}, expected {expected.shape}"
    worst = np.unravel_index(
        np.argmax(np.abs(actual.astype(np.float64) - expected)), expected.shape
    )
    return f"{actual[worst]:.7g}, expected {expected[worst]:.7g}"
