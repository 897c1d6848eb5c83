"""Counts of what was done, as text that Prometheus reads."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Histogram:
    """How many values were at most as large as each bound, and the sum of all.

    Parameters
    ----------
    bounds : tuple of float
        Ascending.
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterable[str]:
        """The lines of a metric of this name."""
        total = 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum:.6f}"
        yield f"{name}_count {total}"


class Metrics:
    """All metrics of a server; the event loop alone changes them.

    Attributes
    ----------
    waiting : Callable
        Gives the number of texts in the queue.
    """

    def __init__(self) -> None:
        self.waiting: Callable[[], int] = lambda: 0
        self._began = time.time()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds = Histogram(_SECONDS)
        self._texts: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self._cut: Counter[str] = Counter()
        self._batches = Histogram(_TEXTS)

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Count a response; `path` is one of the server's own, so that they are few."""
        self._requests[path, status] += 1
        self._seconds.add(seconds)

    def count_batch(self, model: str, texts: int) -> None:
        """Count texts that were answered together."""
        self._texts[model] += texts
        self._batches.add(texts)

    def count_marked(self, model: str, unknown: int, cut: int) -> None:
        """Count texts with unknown symbols, and answers that were cut."""
        self._unknown[model] += unknown
        self._cut[model] += cut

    def text(self) -> str:
        """All of them, in Prometheus' text format."""
        lines: list[str] = []

        def add(name: str, kind: str, explanation: str, values: Iterable[str]) -> None:
            lines.extend((f"# HELP {name} {explanation}", f"# TYPE {name} {kind}", *values))

        def by_model(name: str, counts: Counter[str]) -> list[str]:
            return [f"{name}{{model={_quoted(model)}}} {n}" for model, n in counts.items()]

        name = "fastseq_requests_total"
        values = [
            f'{name}{{path={_quoted(path)},code="{code}"}} {count}'
            for (path, code), count in sorted(self._requests.items())
        ]
        add(name, "counter", "Requests answered.", values)
        name = "fastseq_request_seconds"
        add(name, "histogram", "From a request's head to its answer.", self._seconds.lines(name))
        name = "fastseq_texts_total"
        add(name, "counter", "Texts answered.", by_model(name, self._texts))
        name = "fastseq_texts_with_unknown_symbols_total"
        add(
            name,
            "counter",
            "Texts with unknown symbols.",
            by_model(name, self._unknown),
        )
        name = "fastseq_answers_cut_total"
        add(name, "counter", "Answers cut at the longest length.", by_model(name, self._cut))
        name = "fastseq_batch_texts"
        add(name, "histogram", "Texts answered together.", self._batches.lines(name))
        name = "fastseq_queue_texts"
        add(name, "gauge", "Texts that wait for their answer.", [f"{name} {self.waiting()}"])
        name = "process_start_time_seconds"
        add(name, "gauge", "When the server began, in Unix time.", [f"{name} {self._began:.3f}"])
        resident = _resident_bytes()
        if resident is not None:
            name = "process_resident_memory_bytes"
            add(name, "gauge", "Resident memory.", [f"{name} {resident}"])
        return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    """The value of a label."""
    escaped = value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return f'"{escaped}"'


def _resident_bytes() -> int | None:
    """Resident memory of this process; None where the system has no ``/proc``."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
