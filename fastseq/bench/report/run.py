"""A benchmark run: read from its JSON, validated, and the ratios that are taken from it.

The JSON is pytest-benchmark's own form. What fastseq adds is in ``machine_info["fastseq"]`` and in
the ``extra_info`` of each entry; ``stats["data"]`` holds one number a round, in seconds.

The entries of one group were measured in turn, within seconds of each other. So a ratio is taken
within each round, and its median, lowest and highest over the rounds are what is reported: a drift
of the machine's speed cancels out, which it would not in a ratio of two medians.
"""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

OURS, LIMIT = "fastseq", "limit"
# from the plainest instruction set to the widest, which is what runs by default
_ISAS = ("baseline", "neon", "avx2", "avx512")


class Figure(NamedTuple):
    """The median over the rounds, and the lowest and highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """The figure of one number a round."""
        values = list(values)
        return cls(statistics.median(values), min(values), max(values))


class Curve(NamedTuple):
    """Where an entry lies on a scaling curve: work `of`, with `letter` set to `value`."""

    of: str
    letter: str
    value: int


@dataclass(frozen=True)
class Entry:
    """One work, carried out by one library on a number of threads."""

    group: str
    work: str
    kind: str
    title: str
    library: str
    isa: str | None
    threads: int
    operations: int | None
    parity: float | None
    peak_bytes: int | None
    curve: Curve | None
    seconds: tuple[float, ...]  # one a round

    @property
    def milliseconds(self) -> Figure:
        """How long one run takes."""
        return Figure.of(1e3 * seconds for seconds in self.seconds)

    def ratio(self, other: Entry) -> Figure:
        """How many times as long as this entry another of its group takes, round by round.

        Where one has fewer rounds, those that both have are paired.
        """
        pairs = zip(other.seconds, self.seconds, strict=False)
        return Figure.of(their / our for their, our in pairs)


@dataclass(frozen=True)
class Group:
    """The entries of one work and number of threads; one of them is fastseq's."""

    entries: tuple[Entry, ...]

    @property
    def ours(self) -> Entry:
        """The entry of fastseq with its widest instruction set."""
        return max(self._of(OURS), key=_rank)

    @property
    def narrower(self) -> list[Entry]:
        """The entries of fastseq with other instruction sets, the widest first."""
        return sorted(self._of(OURS), key=_rank, reverse=True)[1:]

    @property
    def limit(self) -> Entry | None:
        """The entry of the large product of matrices."""
        return self.find(LIMIT)

    def find(self, library: str) -> Entry | None:
        """The entry of a library, if it was measured."""
        return next(iter(self._of(library)), None)

    def speedup(self, library: str) -> Figure | None:
        """How many times as long as fastseq a library takes."""
        other = self.find(library)
        return None if other is None else self.ours.ratio(other)

    def fraction_of_limit(self, entry: Entry) -> Figure | None:
        """The rate of an entry's operations over that of the large product, round by round."""
        limit = self.limit
        if limit is None or not limit.operations or not entry.operations:
            return None
        parts = entry.operations / limit.operations
        return Figure(*(parts * number for number in entry.ratio(limit)))

    def _of(self, library: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.library == library]


@dataclass(frozen=True)
class Run:
    """All groups of a run in which fastseq was measured, in the order of the file."""

    groups: tuple[Group, ...]
    machine: Mapping[str, Any]
    commit: Mapping[str, Any]
    date: str

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Run:
        """Read a document that :func:`load` has validated."""
        by_group: dict[str, list[Entry]] = {}
        for benchmark in document["benchmarks"]:
            entry = _entry(benchmark)
            by_group.setdefault(entry.group, []).append(entry)
        groups = tuple(
            Group(tuple(entries))
            for entries in by_group.values()
            if any(entry.library == OURS for entry in entries)
        )
        commit = document.get("commit_info")
        return cls(
            groups,
            document["machine_info"]["fastseq"],
            commit if isinstance(commit, dict) else {},
            str(document.get("datetime", "")),
        )

    def libraries(self) -> list[str]:
        """What else was measured, in a fixed order: the reference and the peers; no limit."""
        found = dict.fromkeys(entry.library for group in self.groups for entry in group.entries)
        known = [name for name in ("reference", "torch", "jax", "numpy") if name in found]
        return known + [name for name in found if name not in (OURS, LIMIT, *known)]


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read and validate the JSON of a benchmark run.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    dict
        The document as it stands in the file.

    Raises
    ------
    OSError
        When the file cannot be read.
    ValueError
        When it is not JSON, or not such a run; the message names the file, the place in it, what
        was expected there and what came.
    """
    name = os.fspath(path)
    with open(name, "rb") as file:
        content = file.read()
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: expected a benchmark run as JSON; {error}") from error
    try:
        _validate(document)
    except ValueError as error:
        raise ValueError(f"{name}: not a benchmark run of fastseq: {error}") from error
    valid: dict[str, Any] = document
    return valid


def _rank(entry: Entry) -> int:
    return _ISAS.index(entry.isa) if entry.isa in _ISAS else -1


def _entry(benchmark: Mapping[str, Any]) -> Entry:
    extra = benchmark["extra_info"]
    curve = extra.get("curve")
    return Entry(
        group=benchmark["group"],
        work=extra["work"],
        kind=extra["kind"],
        title=extra["title"],
        library=extra["library"],
        isa=extra.get("isa"),
        threads=extra["threads"],
        operations=extra.get("operations"),
        parity=extra.get("parity"),
        peak_bytes=extra.get("peak_bytes"),
        curve=None if curve is None else Curve(curve["of"], curve["letter"], curve["value"]),
        seconds=tuple(benchmark["stats"]["data"]),
    )


def _validate(document: Any) -> None:
    _expect(isinstance(document, dict), "the document", "an object", document)
    machine = document.get("machine_info")
    _expect(isinstance(machine, dict), "machine_info", "an object", machine)
    about = machine.get("fastseq")
    _expect(isinstance(about, dict), "machine_info.fastseq", "an object", about)
    for name in ("versions", "skipped"):
        value = about.get(name, {})
        _expect(isinstance(value, dict), f"machine_info.fastseq.{name}", "an object", value)
    isas = about.get("isas", [])
    _expect(isinstance(isas, list), "machine_info.fastseq.isas", "a list", isas)
    benchmarks = document.get("benchmarks")
    _expect(
        isinstance(benchmarks, list) and len(benchmarks) > 0,
        "benchmarks",
        "a list of at least one entry",
        benchmarks,
    )
    for number, benchmark in enumerate(benchmarks):
        _validate_entry(f"benchmarks[{number}]", benchmark)


def _validate_entry(place: str, benchmark: Any) -> None:
    _expect(isinstance(benchmark, dict), place, "an object", benchmark)
    for name in ("extra_info", "stats"):
        value = benchmark.get(name)
        _expect(isinstance(value, dict), f"{place}.{name}", "an object", value)
    group = benchmark.get("group")
    _expect(isinstance(group, str), f"{place}.group", "a string", group)
    seconds = benchmark["stats"].get("data")
    _expect(
        isinstance(seconds, list) and len(seconds) > 0 and all(map(_is_positive, seconds)),
        f"{place}.stats.data",
        "a list of at least one positive number",
        seconds,
    )
    extra, place = benchmark["extra_info"], f"{place}.extra_info"
    for name in ("work", "kind", "title", "library"):
        value = extra.get(name)
        _expect(isinstance(value, str) and value != "", f"{place}.{name}", "a string", value)
    isa = extra.get("isa")
    _expect(isa is None or isinstance(isa, str), f"{place}.isa", "a string or null", isa)
    threads = extra.get("threads")
    _expect(_is_count(threads), f"{place}.threads", "a whole number above 0", threads)
    for name in ("operations", "peak_bytes"):
        value = extra.get(name)
        valid = value is None or _is_count(value)
        _expect(valid, f"{place}.{name}", "a whole number above 0, or null", value)
    parity = extra.get("parity")
    valid = parity is None or parity == 0 or _is_positive(parity)
    _expect(valid, f"{place}.parity", "a number of at least 0, or null", parity)
    _validate_curve(f"{place}.curve", extra.get("curve"), extra["kind"])


def _validate_curve(place: str, curve: Any, kind: str) -> None:
    if kind != "scaling" and curve is None:
        return
    _expect(isinstance(curve, dict), place, "an object", curve)
    for name in ("of", "letter"):
        _expect(isinstance(curve.get(name), str), f"{place}.{name}", "a string", curve.get(name))
    value = curve.get("value")
    _expect(_is_count(value), f"{place}.value", "a whole number above 0", value)


def _is_positive(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 < value < math.inf


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _expect(valid: bool, place: str, expected: str, got: Any) -> None:
    if not valid:
        shown = json.dumps(got)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        raise ValueError(f"{place}: expected {expected}, got {shown}")
