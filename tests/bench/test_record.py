"""A run as a JSON document and as a table: stored, read again, and read from an older file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastseq
from fastseq.bench import machine, measure, record, report
from fastseq.bench.backends import Backend
from fastseq.bench.measure import PEAK, REFERENCE
from fastseq.bench.report import as_markdown, as_text
from fastseq.bench.result import Entry, Group, Run
from fastseq.bench.workloads import Peak
from fastseq.bench.workloads.base import Curve
from support.bench.benchmarking import FASTSEQ, TINY

OLD_RUN = Path(__file__).with_name("old_run.json")
MACHINE: dict[str, Any] = {
    "cpu": "a CPU",
    "cores": 2,
    "isas": ["baseline"],
    "bfloat16": "emulated",
    "compiler": "a compiler",
    "versions": {"fastseq": "0"},
    "blas": "a BLAS",
    "load": 0.0,
    "skipped": {"torch": "not installed"},
}


def run_of(seconds: dict[Backend, list[float]]) -> Run:
    def entry(backend: Backend) -> Entry:
        parity = 1e-6 if backend == FASTSEQ else None
        return measure.entry(TINY["lstm"], backend, 1, seconds[backend], parity, 2**20)

    group = Group(tuple(map(entry, seconds)), MACHINE["isas"])
    return Run((group,), MACHINE, {}, "2026-11-23T09:10:11+00:00")


def test_the_machine_is_described() -> None:
    here = machine.describe(["reference", "fastseq"], {"torch": "not installed"})
    assert json.loads(json.dumps(here)) == here
    assert here.keys() == MACHINE.keys()
    assert here["versions"]["fastseq"] == fastseq.__version__
    assert "torch: not installed" in machine.format_machine(here)


def test_an_entry_says_what_was_measured() -> None:
    seconds = {REFERENCE: [0.4, 0.2, 0.3], FASTSEQ: [0.1, 0.1, 0.1], PEAK: [0.5, 0.5, 0.5]}
    run = record.as_document(run_of(seconds))
    assert json.loads(json.dumps(run)) == run
    reference, ours, peak = run["benchmarks"]
    assert {entry["group"] for entry in run["benchmarks"]} == {"lstm, 1 thread"}
    assert reference["stats"]["data"] == [0.4, 0.2, 0.3]
    assert reference["stats"]["median"] == 0.3
    assert reference["stats"]["rounds"] == 3
    assert ours["extra_info"] == {
        "workload": "lstm",
        "noun": "recurrent",
        "kind": "layer",
        "title": "TimeLSTM N2 T3 D4 H5, forward and backward",
        "sizes": {"N": 2, "T": 3, "D": 4, "H": 5},
        "backend": "fastseq",
        "isa": FASTSEQ.isa,
        "threads": 1,
        "operations": TINY["lstm"].operations,
        "parity": 1e-6,
        "peak_bytes": 2**20,
        "curve": None,
        "precision": "float32",
    }
    assert reference["extra_info"]["parity"] is None
    assert peak["extra_info"]["operations"] == Peak().operations


def test_a_run_is_the_same_after_it_was_stored(tmp_path: Path) -> None:
    run = run_of({REFERENCE: [0.4, 0.30000000000000004], FASTSEQ: [0.1, 7e-7], PEAK: [0.5, 0.5]})
    curve = measure.entry(TINY["lstm-N2"], FASTSEQ, 2, [0.25], 0.0, None)
    run = replace(run, groups=(*run.groups, Group((curve,), MACHINE["isas"])))
    file = tmp_path / "run.json"
    file.write_text(json.dumps(record.as_document(run)), encoding="utf-8")
    assert record.load(file) == run


def test_a_file_of_the_last_version_is_read() -> None:
    """Three groups of a run that was stored when the keys were "work" and "library"."""
    run = record.load(OLD_RUN)
    importing, dates, scaling = run.groups
    assert [entry.label for entry in dates.entries] == [
        *("reference", "fastseq avx512", "fastseq baseline", "fastseq avx2", "torch", "jax"),
        "peak",
    ]
    assert (dates.ours.workload, dates.ours.isa, dates.ours.threads) == ("dates", "avx512", 1)
    peak = dates.fraction_of_peak(dates.ours)
    assert peak is not None
    assert 0.8 < peak.median < 1.2
    assert scaling.ours.curve == Curve("lstm-both", "H", 64)
    assert importing.entries[0].label == "numpy"
    assert "| dates | 1 |" in as_markdown(run)
    assert report.compare(run, run).regressions == []


def test_the_table_takes_ratios_within_each_round() -> None:
    seconds = {REFERENCE: [0.4, 0.2, 0.9], FASTSEQ: [0.1, 0.1, 0.3], PEAK: [0.5, 0.5, 0.5]}
    text = as_text(run_of(seconds))
    line = next(line for line in text.splitlines() if line.startswith("lstm  "))
    # the medians are 400 and 100 ms, the ratios 4, 2 and 3
    assert line.split() == [
        *("lstm", "1", "400", "(200–900)", "100", "(100–300)", "3.00"),
        f"{TINY['lstm'].operations / Peak().operations * 5:.0%}",
    ]
    assert "torch: not installed" in text
