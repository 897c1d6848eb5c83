"""Feeds the results of `fastseq.bench` to pytest-benchmark; the README of this folder says how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from fastseq.bench import machine, measure, record
from fastseq.bench.backends import Backend
from fastseq.bench.measure import Settings
from fastseq.bench.result import Group, group_name
from fastseq.bench.workloads import Workload, in_precisions

BACKENDS = ("reference", "fastseq", *measure.PEERS)


class ReplayClock:
    """A timer that returns 0 at the start of a round and the seconds of that round at its end."""

    __name__ = "replay"  # the timer's name in the options of an entry

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._started = False

    def __call__(self) -> float:
        self._started = not self._started
        return 0.0 if self._started else self.seconds.pop(0)


@dataclass
class Session:
    """The settings of this run, and its results so far."""

    backends: list[str]
    skipped: dict[str, str]
    threads: list[int]
    precisions: list[str]
    settings: Settings
    machine: Mapping[str, Any]
    outcomes: dict[tuple[str, int], Group | Exception] = field(default_factory=dict)

    def group(self, workload: Workload, threads: int) -> Group:
        """Measure all backends in turn, once; a failure is raised for each test, not repeated."""
        key = workload.name, threads
        if key not in self.outcomes:
            backends = measure.backends_of(
                workload, self.backends, measure.isas(workload.precision)
            )
            try:
                self.outcomes[key] = measure.measure(
                    workload, backends, threads, self.settings, progress=lambda _: None
                )
            except Exception as error:
                self.outcomes[key] = error
        outcome = self.outcomes[key]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


SESSION = pytest.StashKey[Session]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fastseq")
    group.addoption("--quick", action="store_true", help="fewer rounds of shorter turns")
    group.addoption(
        "--backends",
        type=lambda text: text.split(","),
        default=list(BACKENDS),
        metavar="NAME,NAME",
        help=f"of {','.join(BACKENDS)} (default: all; those not installed are skipped)",
    )
    group.addoption(
        "--precision",
        type=lambda text: text.split(","),
        default=["float32"],
        metavar="NAME,NAME",
        help="of products: float32 (default), bfloat16, or both",
    )
    group.addoption(
        "--threads",
        type=lambda text: [int(count) for count in text.split(",")],
        default=sorted({1, measure.cores()}),
        metavar="COUNT,COUNT",
        help="numbers of threads (default: 1, and as many as there are cores)",
    )


def pytest_configure(config: pytest.Config) -> None:
    wanted = config.getoption("backends")
    unknown = sorted(set(wanted) - set(BACKENDS))
    if unknown:
        raise pytest.UsageError(f"--backends: there is no {', '.join(unknown)}")
    others = set(config.getoption("precision")) - {"float32", "bfloat16"}
    if others:
        raise pytest.UsageError("--precision: expected float32, bfloat16 or both")
    if min(config.getoption("threads")) < 1:
        raise pytest.UsageError("--threads: expected at least 1")
    skipped = measure.absent([name for name in wanted if name in measure.PEERS])
    backends = [name for name in BACKENDS if name in wanted and name not in skipped]
    skipped |= measure.without_bfloat16(backends, config.getoption("precision"))
    config.stash[SESSION] = Session(
        backends,
        skipped,
        config.getoption("threads"),
        config.getoption("precision"),
        measure.QUICK if config.getoption("quick") else Settings(),
        machine.describe(backends, skipped),
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    session = config.stash[SESSION]
    settings = session.settings
    return [
        *machine.format_machine(session.machine).splitlines(),
        f"threads   {', '.join(map(str, session.threads))}",
        f"rounds    {settings.rounds}, in each about {settings.turn_seconds:g} s a process",
    ]


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    machine_info["fastseq"] = config.stash[SESSION].machine


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each of the file's WORKLOADS, number of threads, and backend."""
    session = metafunc.config.stash[SESSION]
    cases = []
    for workload in in_precisions(metafunc.module.WORKLOADS, session.precisions):
        for threads in workload.numbers_of_threads(session.threads):
            group = group_name(workload.name, threads)
            for backend in measure.backends_of(
                workload, BACKENDS, measure.isas(workload.precision)
            ):
                marks = [pytest.mark.benchmark(group=group, timer=ReplayClock())]
                if backend.library in session.skipped:
                    reason = f"{backend.library}: {session.skipped[backend.library]}"
                    marks.append(pytest.mark.skip(reason=reason))
                elif backend.library in BACKENDS and backend.library not in session.backends:
                    continue
                name = f"{workload.name}-{str(backend).replace(' ', '-')}-{threads}"
                cases.append(pytest.param(workload, backend, threads, marks=marks, id=name))
    metafunc.parametrize(("workload", "backend", "threads"), cases)


@pytest.fixture
def replay(
    request: pytest.FixtureRequest,
    benchmark: Any,
    workload: Workload,
    backend: Backend,
    threads: int,
) -> Callable[[], None]:
    """Give pytest-benchmark the rounds of one backend."""

    def play() -> None:
        group = request.config.stash[SESSION].group(workload, threads)
        entry = next(each for each in group.entries if (each.backend, each.isa) == backend)
        clock: ReplayClock = request.node.get_closest_marker("benchmark").kwargs["timer"]
        clock.seconds = list(entry.seconds)
        benchmark.extra_info.update(record.extra_info(entry))
        benchmark.params = record.params(entry)
        rounds = len(entry.seconds)
        benchmark.pedantic(lambda: None, rounds=rounds, iterations=1, warmup_rounds=0)

    return play
