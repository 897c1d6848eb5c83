"""Measures one workload on one number of threads: all backends in turn, round after round.

The machine's speed drifts, so all backends are measured side by side: in each round every worker
does one turn of some steps while all others sleep, and a ratio is taken within a round.
"""

from __future__ import annotations

import importlib.util
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.bench.backends import Backend
from fastseq.bench.backends.numpy_layers import MODULES
from fastseq.bench.result import Entry, Group
from fastseq.bench.workers import Worker, WorkerError, busy_cores
from fastseq.bench.workloads import Peak, Workload
from fastseq.bench.workloads.base import BFLOAT16, FLOAT32, INT8
from fastseq.config import get_config
from fastseq.precision import products_in

Array = npt.NDArray[Any]

REFERENCE, PEAK = Backend("reference"), Backend("peak")
PEERS = ("torch", "jax")

# How far a backend's numbers may be from the reference's, relative to the largest of an array.
# Sums of float32 taken in another order differ by 3e-6 here; losses after some updates by as much
# where a backend's Adam adds its ε elsewhere. Whole numbers, the answers of a model, are equal.
LOSS_TOLERANCE = 1e-4
ARRAY_TOLERANCE = 1e-5


class Tolerance(NamedTuple):
    """How far losses and arrays may differ, and which part of a model's answers may."""

    loss: float
    array: float
    answers: float


# Operands of 8 bits, bfloat16's, and of 7, a weight's in int8, make errors of a hundredth; the
# answers of a model of random weights part where two symbols are about as probable.
TOLERANCES = {
    FLOAT32: Tolerance(LOSS_TOLERANCE, ARRAY_TOLERANCE, 0.0),
    BFLOAT16: Tolerance(1e-2, 5e-2, 0.2),
    INT8: Tolerance(1e-2, 2e-1, 0.5),
}

# The pause between two turns, in which the idle threads of the previous backend stop spinning.
# OpenBLAS was seen to spin for 60 ms. With one thread there are none.
_SETTLE_SECONDS = 0.15

# The bounds of the number of steps in a turn; a step is long where _MIN_STEPS would take this time.
_MIN_STEPS, _MAX_STEPS, _LONG_SECONDS = 3, 1000, 0.4


class ParityError(ArithmeticError):
    """A backend's results differ from the reference's, so its speed is not comparable."""


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


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def absent(backends: Sequence[str]) -> dict[str, str]:
    """Which of these backends cannot be measured here, and why."""
    return {
        backend: "not installed"
        for backend in backends
        if importlib.util.find_spec(MODULES[backend]) is None
    }


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for products of bfloat16.

    PyTorch needs them: without, its matrix product takes thirty times as long in bfloat16 as in
    float32 (measured with 2.13 on a Zen 3), and its LSTM raises.
    """
    return bool(get_config()["bfloat16"] != "emulated")


def without_bfloat16(backends: Sequence[str], precisions: Sequence[str]) -> dict[str, str]:
    """What of these backends is not measured in bfloat16, and why."""
    if "torch" in backends and BFLOAT16 in precisions and not multiplies_bfloat16():
        return {f"torch {BFLOAT16}": "the processor has no instructions for it"}
    return {}


def isas(precision: str = FLOAT32) -> tuple[str, ...]:
    """The instruction sets to measure, the one in use first: only that if FASTSEQ_ISA is set."""
    with products_in(precision):
        used, available = _kernels.isa(), _kernels.available_isas()
    if os.environ.get("FASTSEQ_ISA"):
        return (used,)
    return (used, *(isa for isa in available if isa != used))


def backends_of(workload: Workload, names: Sequence[str], own: Sequence[str]) -> list[Backend]:
    """The backends that are timed with a workload, fastseq once for each instruction set.

    Parameters
    ----------
    workload : Workload
    names : sequence of str
        Those to choose from. NumPy is always one where its import is measured, and the peak where
        the workload has products of matrices.
    own : sequence of str
        Instruction sets of fastseq, in the workload's precision; of most kinds the first only.
    """
    chosen = []
    for backend in map(Backend, workload.timed):
        if backend.library not in (*names, "numpy"):
            continue
        low = backend.library == "torch" and backend.precision(workload) == BFLOAT16
        if low and not multiplies_bfloat16():
            continue
        if backend.library != "fastseq":
            chosen.append(backend)
        elif backend.variant == FLOAT32:
            chosen.append(backend._replace(isa=isas(FLOAT32)[0]))
        else:
            several = workload.kind not in ("scaling", "import", "busy")
            chosen += [backend._replace(isa=isa) for isa in (own if several else own[:1])]
    if workload.operations is not None:
        chosen.append(PEAK)
    return chosen


def measure(
    workload: Workload,
    backends: Sequence[Backend],
    threads: int,
    settings: Settings,
    progress: Callable[[str], None],
) -> Group:
    """Check that all backends compute the same, then time them in turn.

    Parameters
    ----------
    workload : Workload
    backends : sequence of Backend
        Those that are timed. Their results are compared with the reference's, timed or not.
    threads : int
    settings : Settings
    progress : callable
        Called with a few words before each stage.

    Returns
    -------
    Group
        An entry for each of `backends`, in their order.

    Raises
    ------
    ParityError
        A loss differs from the reference's by more than 1e-4, relative, an output or gradient by
        more than 1e-5, or an answer in any symbol; in another precision than float32 by more than
        its tolerance. Nothing was timed then.
    WorkerError
        A worker failed, or uses another number of threads.
    """
    place = f"{workload.name}, threads: {threads}"
    untimed = [REFERENCE] if workload.compared and REFERENCE not in backends else []
    progress(f"{place}: starting the processes")
    with ExitStack() as stack:
        workers = stack.enter_context(_started([*untimed, *backends], workload, threads))
        parity: dict[Backend, float] = {}
        if workload.compared:
            progress(f"{place}: comparing the results")
            parity = _check_parity(workload, workers)
        for backend in untimed:
            workers[backend].close()
        if workload.beside:
            progress(f"{place}: starting busy processes")
            stack.enter_context(busy_cores(cores()))
        steps, seconds = {}, {}
        for backend in backends:
            progress(f"{place}: warming up {backend}")
            steps[backend] = _warm_up(workers[backend], settings.turn_seconds)
            seconds[backend] = list[float]()
        for number in range(settings.rounds):
            progress(f"{place}: round {number + 1} of {settings.rounds}")
            # in alternating order, so that no backend always follows the same other one
            for backend in backends if number % 2 == 0 else reversed(backends):
                if threads > 1:
                    time.sleep(_SETTLE_SECONDS)
                turn = workers[backend].run(steps[backend])
                seconds[backend].append(statistics.median(turn))
        entries = [
            entry(
                workload,
                backend,
                threads,
                rounds,
                parity.get(backend),
                workers[backend].peak_bytes(),
            )
            for backend, rounds in seconds.items()
        ]
    with products_in(workload.precision):
        return Group(tuple(entries), _kernels.available_isas())


def entry(
    workload: Workload,
    backend: Backend,
    threads: int,
    seconds: Sequence[float],
    parity: float | None,
    peak_bytes: int | None,
) -> Entry:
    """One backend's result; `seconds` has the median step of each round."""
    return Entry(
        workload=workload.name,
        noun=workload.noun,
        kind=workload.kind,
        title=workload.description,
        sizes=workload.sizes,
        curve=workload.curve,
        backend=backend.name,
        isa=backend.isa,
        threads=backend.threads(threads),
        operations=Peak().operations if backend == PEAK else workload.operations,
        parity=parity,
        peak_bytes=peak_bytes,
        seconds=tuple(seconds),
        precision=backend.precision(workload),
    )


@contextmanager
def _started(
    backends: Sequence[Backend], workload: Workload, threads: int
) -> Iterator[dict[Backend, Worker]]:
    """The workers, ready; all are ended on exit."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="fastseq-benchmark-")))
        workers = {}
        for backend in backends:
            task = Peak() if backend == PEAK else workload
            workers[backend] = Worker(backend, task, threads, folder)
            stack.callback(workers[backend].close)
        for backend, worker in workers.items():
            worker.wait_until_ready()
            wanted = {
                "threads": backend.threads(threads),
                "precision": backend.precision(workload),
            }
            for name, value in wanted.items():
                used = worker.about.get(name, value)  # not all report it
                if used != value:
                    raise WorkerError(f"{backend}: asked for {value} {name}, it uses {used}")
        yield workers


def _warm_up(worker: Worker, turn_seconds: float) -> int:
    """Let a worker do one turn; how many steps a turn should have."""
    step_seconds = statistics.median(worker.run(1))
    least = 1 if _MIN_STEPS * step_seconds > _LONG_SECONDS else _MIN_STEPS
    steps = min(max(round(turn_seconds / step_seconds), least), _MAX_STEPS)
    worker.run(steps)
    return steps


def _check_parity(workload: Workload, workers: dict[Backend, Worker]) -> dict[Backend, float]:
    """The largest difference between the results of each worker and those of the reference."""
    expected = workers[REFERENCE].results()
    return {
        backend: largest_difference(
            f"{workload.name}: {backend}",
            worker.results(),
            expected,
            TOLERANCES[backend.precision(workload)],
        )
        for backend, worker in workers.items()
        if backend not in (REFERENCE, PEAK)
    }


def largest_difference(
    label: str,
    results: dict[str, Array],
    expected: dict[str, Array],
    allowed: Tolerance = TOLERANCES[FLOAT32],
) -> float:
    """The largest relative difference of two dicts of results.

    Raises
    ------
    ParityError
        One is too large, or they have other names; the message begins with `label`.
    """
    if results.keys() != expected.keys():
        raise ParityError(f"{label} returned {sorted(results)}, the reference {sorted(expected)}")
    largest = 0.0
    for name, array in results.items():
        difference = relative_difference(array, expected[name])
        tolerance = tolerance_of(array, allowed)
        if not difference <= tolerance:  # a NaN does not pass either
            raise ParityError(
                f"{label}: {name} differs from the reference's by {difference:.1e} relative, "
                f"more than {tolerance:.0e}: {_sample(array, expected[name])}; nothing was timed"
            )
        largest = max(largest, difference)
    return largest


def tolerance_of(array: Array, allowed: Tolerance) -> float:
    """How far an array may be from the reference's."""
    if array.dtype.kind in "iu":
        return allowed.answers
    return allowed.loss if array.ndim == 0 else allowed.array


def relative_difference(actual: Array, expected: Array) -> float:
    """The largest difference of two elements, over the largest magnitude that is expected.

    Of whole numbers it is the share that differs.
    """
    if actual.shape != expected.shape:
        return math.inf
    if expected.dtype.kind in "iu":
        return float((actual != expected).mean())
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
