"""A run as a JSON document in the form of pytest-benchmark: written, read and validated.

What fastseq adds to that form is in ``machine_info["fastseq"]`` and in the ``extra_info`` of each
entry; ``stats["data"]`` holds one number a round, in seconds. The files of ``benchmarks/`` fill the
same entries through pytest-benchmark itself.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastseq.bench.result import OURS, PEAK, Entry, Group, Run
from fastseq.bench.workloads.base import FLOAT32, Curve
from fastseq.version import __version__

# Files of version 0.1.0 before its release had other words for three things.
_OLD_KEYS = {"work": "workload", "library": "backend"}
_OLD_BACKENDS = {"limit": PEAK}


def as_document(run: Run) -> dict[str, Any]:
    """A whole run, ready for ``json.dump``."""
    return {
        "machine_info": {
            "node": platform.node(),
            "machine": platform.machine(),
            "system": platform.system(),
            "release": platform.release(),
            "python_implementation": platform.python_implementation(),
            "python_version": platform.python_version(),
            "fastseq": dict(run.machine),
        },
        "commit_info": dict(run.commit),
        "benchmarks": [
            _benchmark(group.name, entry) for group in run.groups for entry in group.entries
        ],
        "datetime": run.date,
        "version": f"fastseq {__version__}",
    }


def extra_info(entry: Entry) -> dict[str, Any]:
    """What an entry is about."""
    values = {name: value for name, value in vars(entry).items() if name != "seconds"}
    curve = None if entry.curve is None else entry.curve._asdict()
    return values | {"sizes": dict(entry.sizes), "curve": curve}


def params(entry: Entry) -> dict[str, Any]:
    """What distinguishes an entry from every other of its run."""
    names = ("workload", "backend", "isa", "threads")
    return {name: getattr(entry, name) for name in names}


def _benchmark(group: str, entry: Entry) -> dict[str, Any]:
    param = f"{entry.label}-{entry.threads}"
    name = f"{entry.workload}[{param}]"
    return {
        "group": group,
        "name": name,
        "fullname": f"fastseq bench::{name}",
        "params": params(entry),
        "param": param,
        "extra_info": extra_info(entry),
        "options": {},
        "stats": _stats(entry.seconds),
    }


def _stats(seconds: Sequence[float]) -> dict[str, Any]:
    several = len(seconds) > 1
    first, median, third = statistics.quantiles(seconds) if several else 3 * [seconds[0]]
    mean = statistics.fmean(seconds)
    return {
        "min": min(seconds),
        "max": max(seconds),
        "mean": mean,
        "stddev": statistics.stdev(seconds) if several else 0.0,
        "rounds": len(seconds),
        "median": median,
        "q1": first,
        "q3": third,
        "iqr": third - first,
        "ops": 1 / mean,
        "total": sum(seconds),
        "data": list(seconds),
        "iterations": 1,
    }


def load(path: str | os.PathLike[str]) -> Run:
    """Read and validate the JSON of a benchmark run.

    Parameters
    ----------
    path : str or path
        Written by ``fastseq bench --json``, or by pytest-benchmark from ``benchmarks/``.

    Returns
    -------
    Run

    Raises
    ------
    OSError
        When the file cannot be read.
    ValueError
        When it is not JSON, or not such a run; the message names the file, the place in it, what
        was expected there and what was found.
    """
    name = os.fspath(path)
    with open(name, "rb") as file:
        content = file.read()
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: expected a benchmark run as JSON; {error}") from error
    try:
        return from_document(document)
    except ValueError as error:
        raise ValueError(f"{name}: not a benchmark run of fastseq: {error}") from error


def from_document(document: Any) -> Run:
    """The run of a document that `as_document` or pytest-benchmark made; ValueError otherwise."""
    _expect(isinstance(document, dict), "the document", "an object", document)
    machine_info = _object("", document, "machine_info")
    machine = _object("machine_info.", machine_info, "fastseq")
    for name in ("versions", "skipped"):
        _object("machine_info.fastseq.", {name: {}} | machine, name)
    isas = machine.get("isas", [])
    _expect(isinstance(isas, list), "machine_info.fastseq.isas", "a list", isas)
    benchmarks = document.get("benchmarks")
    valid = isinstance(benchmarks, list) and len(benchmarks) > 0
    _expect(valid, "benchmarks", "a list of at least one entry", benchmarks)

    by_group: dict[str, list[Entry]] = {}
    for number, benchmark in enumerate(benchmarks or ()):
        place = f"benchmarks[{number}]"
        _expect(isinstance(benchmark, dict), place, "an object", benchmark)
        group = _value(f"{place}.", benchmark, "group", _is_string, "a string")
        by_group.setdefault(group, []).append(_entry(f"{place}.", benchmark))
    groups = tuple(
        Group(tuple(entries), isas)
        for entries in by_group.values()
        if any(entry.backend == OURS for entry in entries)
    )
    commit = document.get("commit_info")
    date = str(document.get("datetime", ""))
    return Run(groups, machine, commit if isinstance(commit, dict) else {}, date)


def _entry(place: str, benchmark: Mapping[str, Any]) -> Entry:
    """One benchmark of a document, validated."""
    extra = {
        _OLD_KEYS.get(name, name): value
        for name, value in _object(place, benchmark, "extra_info").items()
    }
    stats = _object(place, benchmark, "stats")
    expected = "a list of at least one positive number"
    seconds = _value(f"{place}stats.", stats, "data", _are_positive, expected)

    def value(name: str, valid: Callable[[Any], bool], expected: str) -> Any:
        return _value(f"{place}extra_info.", extra, name, valid, expected)

    strings = {name: value(name, _is_name, "a string") for name in ("kind", "title", "workload")}
    backend = value("backend", _is_name, "a string")
    count = "a whole number above 0"
    counts = {
        name: value(name, lambda size: size is None or _is_count(size), f"{count}, or null")
        for name in ("operations", "peak_bytes")
    }
    return Entry(
        **strings,
        **counts,
        noun=str(extra.get("noun", "")),
        sizes=_object(f"{place}extra_info.", {"sizes": {}} | extra, "sizes"),
        curve=_curve(f"{place}extra_info.", extra),
        backend=_OLD_BACKENDS.get(backend, backend),
        isa=value("isa", lambda isa: isa is None or _is_string(isa), "a string or null"),
        threads=value("threads", _is_count, count),
        parity=value("parity", _is_parity, "a number of at least 0, or null"),
        seconds=tuple(seconds),
        precision=_value(
            f"{place}extra_info.", {"precision": FLOAT32} | extra, "precision", _is_name, "a string"
        ),
    )


def _curve(place: str, extra: Mapping[str, Any]) -> Curve | None:
    if extra["kind"] != "scaling" and extra.get("curve") is None:
        return None
    curve = _object(place, extra, "curve")
    of, letter = (
        _value(f"{place}curve.", curve, n, _is_string, "a string") for n in Curve._fields[:2]
    )
    return Curve(
        of, letter, _value(f"{place}curve.", curve, "value", _is_count, "a whole number above 0")
    )


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_positive(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 < value < math.inf


def _are_positive(values: Any) -> bool:
    return isinstance(values, list) and len(values) > 0 and all(map(_is_positive, values))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_parity(value: Any) -> bool:
    return value is None or value == 0 or _is_positive(value)


def _object(place: str, values: Mapping[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = _value(
        place, values, name, lambda value: isinstance(value, dict), "an object"
    )
    return found


def _value(
    place: str, values: Mapping[str, Any], name: str, valid: Callable[[Any], bool], expected: str
) -> Any:
    """A member of an object of the document; `place` is the path to that object."""
    value = values.get(name)
    _expect(valid(value), f"{place}{name}", expected, value)
    return value


def _expect(valid: bool, place: str, expected: str, got: Any) -> None:
    if not valid:
        shown = json.dumps(got)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        raise ValueError(f"{place}: expected {expected}, got {shown}")
