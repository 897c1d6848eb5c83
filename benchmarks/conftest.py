"""How the files of this folder measure: through `fastseq.bench`, then into pytest-benchmark.

Libraries are compared in turn, each in a process of its own, which pytest-benchmark cannot do. So
the first test of a work and a number of threads measures all its libraries together; each test
then plays its library's seconds back to pytest-benchmark, by a clock that shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from fastseq.bench import machine, measure, record
from fastseq.bench.measure import Measurement, Settings
from fastseq.bench.workers import Contestant
from fastseq.bench.workloads import Work

LIBRARIES = ("reference", "fastseq", *measure.PEERS)


class ReplayClock:
    """Shows 0 and, when asked again, the seconds of the next round; so over and over."""

    __name__ = "replay"  # what the options of an entry call it

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._started = False

    def __call__(self) -> float:
        self._started = not self._started
        return 0.0 if self._started else self.seconds.pop(0)


@dataclass
class Session:
    """What is measured in this run, and what was."""

    libraries: list[str]
    skipped: dict[str, str]
    threads: list[int]
    settings: Settings
    machine: Mapping[str, Any]
    outcomes: dict[tuple[str, int], Measurement | Exception] = field(default_factory=dict)

    def measurement(self, work: Work, threads: int) -> Measurement:
        """Measure all libraries in turn, once; a failure is raised again, not tried again."""
        key = work.name, threads
        if key not in self.outcomes:
            everyone = measure.contestants(work, self.libraries, measure.isas())
            try:
                self.outcomes[key] = measure.measure(
                    work, everyone, threads, self.settings, progress=lambda _: None
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
        "--libraries",
        type=lambda text: text.split(","),
        default=list(LIBRARIES),
        metavar="NAME,NAME",
        help=f"of {','.join(LIBRARIES)} (default: all; those not installed are skipped)",
    )
    group.addoption(
        "--threads",
        type=lambda text: [int(count) for count in text.split(",")],
        default=sorted({1, measure.cores()}),
        metavar="COUNT,COUNT",
        help="numbers of threads (default: 1, and as many as there are cores)",
    )


def pytest_configure(config: pytest.Config) -> None:
    wanted = config.getoption("libraries")
    unknown = sorted(set(wanted) - set(LIBRARIES))
    if unknown:
        raise pytest.UsageError(f"--libraries: there is no {', '.join(unknown)}")
    if min(config.getoption("threads")) < 1:
        raise pytest.UsageError("--threads: expected at least 1")
    skipped = measure.absent([name for name in wanted if name in measure.PEERS])
    libraries = [name for name in LIBRARIES if name in wanted and name not in skipped]
    config.stash[SESSION] = Session(
        libraries,
        skipped,
        config.getoption("threads"),
        measure.QUICK if config.getoption("quick") else Settings(),
        machine.describe(libraries, skipped),
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
    """A test for each of the file's WORKS, number of threads, and library."""
    session = metafunc.config.stash[SESSION]
    cases = []
    for work in metafunc.module.WORKS:
        for threads in session.threads if work.threaded else [1]:
            group = record.group_name(work, threads)
            for contestant in measure.contestants(work, LIBRARIES, measure.isas()):
                marks = [pytest.mark.benchmark(group=group, timer=ReplayClock())]
                library = contestant.library
                if library in session.skipped:
                    marks.append(pytest.mark.skip(reason=f"{library}: {session.skipped[library]}"))
                elif library in LIBRARIES and library not in session.libraries:
                    continue
                name = f"{work.name}-{str(contestant).replace(' ', '-')}-{threads}"
                cases.append(pytest.param(work, contestant, threads, marks=marks, id=name))
    metafunc.parametrize(("work", "contestant", "threads"), cases)


@pytest.fixture
def replay(
    request: pytest.FixtureRequest,
    benchmark: Any,
    work: Work,
    contestant: Contestant,
    threads: int,
) -> Callable[[], None]:
    """Give pytest-benchmark the rounds of one library."""

    def play() -> None:
        measurement = request.config.stash[SESSION].measurement(work, threads)
        seconds = measurement.seconds[contestant]
        clock: ReplayClock = request.node.get_closest_marker("benchmark").kwargs["timer"]
        clock.seconds = list(seconds)
        benchmark.extra_info.update(record.extra_info(measurement, contestant))
        benchmark.params = {
            "work": work.name,
            "library": contestant.library,
            "isa": contestant.isa,
            "threads": threads,
        }
        benchmark.pedantic(lambda: None, rounds=len(seconds), iterations=1, warmup_rounds=0)

    return play
