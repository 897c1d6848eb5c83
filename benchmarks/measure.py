"""Measures one work: all libraries and thread counts in turn, round after round.

The machine's speed drifts, so nothing is compared that was not measured side by side: in each round
every worker does one turn of some steps while all others sleep, and a ratio is taken within a round
(the medians over the rounds are made in `table.py`).
"""

from __future__ import annotations

import math
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

from workers import Worker, WorkerError
from works import Work

Array = npt.NDArray[Any]

# How far a library's numbers may be from the reference's, relative to the largest of an array.
# Sums of float32 taken in another order differ by 3e-6 here; losses after some updates by as much
# where a library's Adam adds its ε elsewhere.
LOSS_TOLERANCE = 1e-4
ARRAY_TOLERANCE = 1e-5

# Between two turns, until the threads of the one before have stopped waiting for more work and
# sleep: those of OpenBLAS were seen to spin for 60 ms, those of GCC's OpenMP for less than 10.
_SETTLE_SECONDS = 0.15

_MIN_STEPS, _MAX_STEPS = 3, 1000

Key = tuple[str, int]  # library, threads


class ParityError(Exception):
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

    rounds: int = 11
    turn_seconds: float = 0.4


@dataclass
class Measurement:
    """What was measured of one work.

    Attributes
    ----------
    seconds : dict
        For each (library, threads) the seconds of a step, one number a round: the median step of
        that round's turn. The library "limit" stands for the large product of matrices.
    steps : dict
        How many steps a turn of (library, threads) had.
    about : dict
        What each library said of itself, with the most threads.
    parity : float
        The largest relative difference from the reference, over all libraries and thread counts.
    """

    work: Work
    threads: list[int]
    libraries: list[str]
    seconds: dict[Key, list[float]] = field(default_factory=dict)
    steps: dict[Key, int] = field(default_factory=dict)
    about: dict[str, dict[str, Any]] = field(default_factory=dict)
    parity: float = math.nan


def measure(
    work: Work,
    libraries: Sequence[str],
    threads: Sequence[int],
    settings: Settings,
    progress: Callable[[str], None],
) -> Measurement:
    """Check that all libraries compute the same, then time them in turn.

    Parameters
    ----------
    work : Work
    libraries : sequence of str
        "reference" must be among them; the limit is added.
    threads : sequence of int
    settings : Settings
    progress : callable
        Told in a few words what is being done.

    Returns
    -------
    Measurement

    Raises
    ------
    ParityError
        A loss differs from the reference's by more than 1e-4, relative, or an output or gradient
        by more than 1e-5. Nothing was timed then.
    WorkerError
        A worker failed, or uses another number of threads.
    """
    measurement = Measurement(work, list(threads), list(libraries))
    keys = [(library, count) for count in threads for library in (*libraries, "limit")]
    progress(f"{work.name}: starting the processes")
    with _started(keys, work) as workers:
        for (library, _), worker in workers.items():
            measurement.about[library] = worker.about
        progress(f"{work.name}: comparing the results")
        measurement.parity = _check_parity(workers)
        for key, worker in workers.items():
            progress(f"{work.name}: warming up {key[0]}, threads: {key[1]}")
            measurement.steps[key] = _warm_up(worker, settings.turn_seconds)
            measurement.seconds[key] = []
        for number in range(settings.rounds):
            progress(f"{work.name}: round {number + 1} of {settings.rounds}")
            # there and back, so that nobody always comes after the same other
            for key in keys if number % 2 == 0 else reversed(keys):
                time.sleep(_SETTLE_SECONDS)
                seconds = workers[key].run(measurement.steps[key])
                measurement.seconds[key].append(statistics.median(seconds))
    return measurement


@contextmanager
def _started(keys: Sequence[Key], work: Work) -> Iterator[dict[Key, Worker]]:
    """The workers, ready; all ended afterwards, whatever happens."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="fastseq-benchmark-")))
        workers = {}
        for library, threads in keys:
            worker = Worker(library, work.name, threads, folder)
            stack.callback(worker.close)
            workers[library, threads] = worker
        for (library, threads), worker in workers.items():
            worker.wait_until_ready()
            used = worker.about.get("threads", threads)  # NumPy cannot tell
            if used != threads:
                raise WorkerError(f"{library}: asked for {threads} threads, it uses {used}")
        yield workers


def _warm_up(worker: Worker, turn_seconds: float) -> int:
    """Let a worker do one turn; how many steps a turn should have."""
    step_seconds = statistics.median(worker.run(_MIN_STEPS))
    steps = min(max(round(turn_seconds / step_seconds), _MIN_STEPS), _MAX_STEPS)
    worker.run(steps)
    return steps


def _check_parity(workers: dict[Key, Worker]) -> float:
    """The largest difference between the results of any worker and those of the reference."""
    results = {key: worker.results() for key, worker in workers.items() if key[0] != "limit"}
    expected = next(arrays for (library, _), arrays in results.items() if library == "reference")
    largest = 0.0
    for (library, threads), arrays in results.items():
        if arrays.keys() != expected.keys():
            raise ParityError(f"{library} gave {sorted(arrays)}, the reference {sorted(expected)}")
        for name, array in arrays.items():
            tolerance = LOSS_TOLERANCE if array.ndim == 0 else ARRAY_TOLERANCE
            difference = relative_difference(array, expected[name])
            if not difference <= tolerance:  # a NaN does not pass either
                raise ParityError(
                    f"{library} (threads: {threads}): {name} differs from the reference's by "
                    f"{difference:.1e} relative, more than {tolerance:.0e}: "
                    f"{_sample(array, expected[name])}; nothing was timed"
                )
            largest = max(largest, difference)
    return largest


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
