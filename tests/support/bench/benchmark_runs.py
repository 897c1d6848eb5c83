"""Runs of the benchmark as JSON documents, with known times."""

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fastseq.bench import record
from fastseq.bench.result import Run

PEAK_OPERATIONS = 2_000_000
OPERATIONS = 1_000_000


def entry(
    workload: str, backend: str, seconds: Iterable[float], threads: int = 1, **extra: Any
) -> dict[str, Any]:
    """One entry, as the benchmark writes it; `extra` overrides the values here."""
    seconds = list(seconds)
    info = {
        "workload": workload,
        "noun": "recurrent",
        "kind": "step",
        "title": f"Model of {workload}, N128",
        "sizes": {"N": 128},
        "backend": backend,
        "isa": "avx512" if backend == "fastseq" else None,
        "threads": threads,
        "operations": PEAK_OPERATIONS if backend == "peak" else OPERATIONS,
        "parity": None if backend in ("reference", "peak") else 2e-6,
        "peak_bytes": 84_000_000,
        "curve": None,
    } | extra
    return {
        "group": f"{workload} {threads}",
        "name": f"{workload}[{backend}]",
        "fullname": f"{workload}[{backend}]",
        "params": None,
        "stats": {"data": seconds, "median": statistics.median(seconds)},
        "extra_info": info,
    }


def run_of(*entries: dict[str, Any]) -> dict[str, Any]:
    return {
        "machine_info": {
            "fastseq": {
                "cpu": "Some Processor",
                "cores": 2,
                "isas": ["baseline", "avx2", "avx512"],
                "compiler": "gcc 12",
                "versions": {"fastseq": "0.1.0", "torch": "2.13.0"},
                "load": 0.15,
                "skipped": {"jax": "not installed"},
            }
        },
        "commit_info": {"id": "0123456789abcdef", "dirty": False},
        "datetime": "2026-11-23T09:10:11.123456+00:00",
        "version": "5.2.3",
        "benchmarks": list(entries),
    }


def full_run() -> dict[str, Any]:
    """Every kind of entry, on one and two threads; PyTorch is faster once."""
    entries = []
    for threads in (1, 2):
        for workload in ("dates", "peeky"):
            times = {
                "reference": (0.020, 0.024, 0.022),
                "torch": (0.005, 0.006, 0.005) if workload == "peeky" else (0.015, 0.016, 0.014),
                "fastseq": (0.010, 0.012, 0.011),
                "peak": (0.016, 0.017, 0.016),
            }
            entries += [entry(workload, name, times[name], threads) for name in times]
            slow = {"avx2": (0.018, 0.020, 0.019), "baseline": (0.06, 0.07, 0.065)}
            entries += [entry(workload, "fastseq", slow[isa], threads, isa=isa) for isa in slow]
        for value in (1, 8, 64):
            curve = {"of": "lstm-both", "letter": "N", "value": value}
            more = {"kind": "scaling", "curve": curve, "operations": None}
            for backend, factor in (("reference", 3e-3), ("fastseq", 1e-3)):
                times = [factor * value] * 3
                entries.append(entry(f"lstm-both-N{value}", backend, times, threads, **more))
        decoding = {"kind": "decoding", "operations": None}
        entries.append(entry("greedy", "fastseq", [0.5] * 3, threads, **decoding))
        entries.append(entry("greedy", "reference", [5.0] * 3, threads, **decoding))
    importing = {"kind": "import", "operations": None, "isa": None}
    for backend, seconds in (("fastseq", 0.16), ("numpy", 0.14), ("torch", 1.9)):
        entries.append(entry("import", backend, [seconds] * 3, **importing))
    return run_of(*entries)


def loaded(document: dict[str, Any]) -> Run:
    return record.from_document(document)


def write(path: Path, run: Any) -> str:
    path.write_text(json.dumps(run), encoding="utf-8")
    return str(path)
