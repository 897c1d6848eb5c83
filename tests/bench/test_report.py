"""Reports of benchmark runs: exact ratios, comparisons, and each way to fail."""

import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from fastseq.bench import report
from fastseq.cli import main
from support.bench.benchmark_runs import entry, full_run, loaded, run_of, write

# The medians of the times are 3 and 2 (the ratio of which is 1.5); of the ratios, 2.
UNEVEN = {"fastseq": (1.0, 2.0, 4.0), "reference": (2.0, 3.0, 12.0)}


def results(run: dict[str, Any]) -> dict[tuple[str, int], Any]:
    document = json.loads(report.as_json(loaded(run)))
    return {(result["workload"], result["threads"]): result for result in document["results"]}


# Figures


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    run = run_of(*(entry("dates", name, seconds) for name, seconds in UNEVEN.items()))
    result = results(run)["dates", 1]
    assert result["speedup"]["reference"] == {"median": 2.0, "low": 1.5, "high": 3.0}
    ratio_of_medians = statistics.median(UNEVEN["reference"]) / statistics.median(UNEVEN["fastseq"])
    assert ratio_of_medians == 1.5
    assert result["milliseconds"]["fastseq"] == {"median": 2000.0, "low": 1000.0, "high": 4000.0}


def test_the_fraction_of_the_peak_compares_rates_round_by_round() -> None:
    run = run_of(entry("dates", "fastseq", (1.0, 2.0, 4.0)), entry("dates", "peak", (1, 2, 8)))
    # half the operations in 1, 1, and half the time of the peak
    expected = {"median": 0.5, "low": 0.5, "high": 1.0}
    assert results(run)["dates", 1]["fraction_of_peak"] == expected


def test_rounds_that_only_one_backend_has_are_left_out_of_the_ratio() -> None:
    run = run_of(entry("dates", "fastseq", (1.0, 2.0)), entry("dates", "reference", (3, 4, 999)))
    assert results(run)["dates", 1]["speedup"]["reference"] == {
        "median": 2.5,
        "low": 2.0,
        "high": 3.0,
    }


def test_the_widest_instruction_set_stands_for_fastseq() -> None:
    isas = {"baseline": 6.0, "avx512": 1.0, "avx2": 2.0}
    run = run_of(*(entry("dates", "fastseq", [isas[isa]], isa=isa) for isa in isas))
    result = results(run)["dates", 1]
    assert result["isa"] == "avx512"
    assert {isa: ratio["median"] for isa, ratio in result["narrower_isas"].items()} == {
        "avx2": 2.0,
        "baseline": 6.0,
    }


def test_the_run_says_which_instruction_set_is_the_widest() -> None:
    isas = {"avx10": 1.0, "avx512": 2.0, "unlisted": 3.0}
    run = run_of(*(entry("dates", "fastseq", [isas[isa]], isa=isa) for isa in reversed(isas)))
    run["machine_info"]["fastseq"]["isas"] = ["baseline", "avx512", "avx10"]
    [group] = loaded(run).groups
    assert group.ours.isa == "avx10"
    assert [narrower.isa for narrower in group.narrower] == ["avx512", "unlisted"]
    # a run that lists none: the one that was in use came first
    del run["machine_info"]["fastseq"]["isas"]
    assert loaded(run).groups[0].ours.isa == "unlisted"


def test_threads_are_kept_apart() -> None:
    run = run_of(
        *(entry("dates", "fastseq", [1.0 / threads], threads) for threads in (1, 2)),
        *(entry("dates", "reference", [2.0], threads) for threads in (1, 2)),
    )
    speedups = {key: result["speedup"]["reference"] for key, result in results(run).items()}
    assert [speedups["dates", threads]["median"] for threads in (1, 2)] == [2.0, 4.0]


# Markdown and JSON


def test_markdown_says_it_all() -> None:
    text = report.as_markdown(loaded(full_run()))
    assert (
        "A training step of the date model: on 1 thread **2.00 times** the speed of the "
        "reference, **1.33 times** that of PyTorch, **73 %** of the peak; on 2 threads"
    ) in text
    assert "| workload | threads | fastseq, ms | reference ÷ fastseq | PyTorch ÷ fastseq" in text
    row = "| dates | 1 | 11.0 (10.0–12.0) | 2.00 (2.00–2.00) | 1.33 (1.27–1.50) | 73 % (71–80 %) |"
    assert row in text
    assert "| peeky | 2 | 11.0 (10.0–12.0) | 2.00 (2.00–2.00) | ▼ 0.500 (0.455–0.500)" in text
    assert "| greedy | 1 | 500 (500–500) | 10.0 (10.0–10.0) |  |  |" in text
    for line in ("- CPU: Some Processor", "- skipped: JAX: not installed", "PyTorch 2.13.0"):
        assert line in text
    workloads, others = text.split("## Instruction sets\n", 1)
    assert "lstm-both-N" not in workloads  # the curves' points are no workloads of their own
    assert "| lstm-both-N" in others.split("## Scaling\n")[1]
    assert "| workload | threads | avx2 ÷ avx512" in others
    assert "## Import time" in others


def test_json_holds_every_group() -> None:
    run = full_run()
    document = json.loads(report.as_json(loaded(run)))
    assert document["format"] == 2
    assert document["machine"] == run["machine_info"]["fastseq"]
    kinds = [result["kind"] for result in document["results"]]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "step": 4,
        "scaling": 6,
        "decoding": 2,
        "import": 1,
    }
    assert document["results"][0]["peak_bytes"]["torch"] == 84_000_000
    assert document["headline"].startswith("A training step of the date model: on 1 thread 2.00")


# Mixed modes


def as_text(run: dict[str, Any]) -> str:
    run["machine_info"]["fastseq"]["blas"] = "some BLAS"
    return report.as_text(loaded(run))


def test_rounds_of_a_slower_machine_are_told_by_their_peak() -> None:
    steady, slower = (1.0, 1.05, 1.19, 0.9, 1.0), (1.0, 1.33, 1.0, 1.0, 1.21)
    run = run_of(
        *(entry("dates", "fastseq", [1.0] * 5, threads) for threads in (1, 2)),
        entry("dates", "peak", steady),
        entry("dates", "peak", slower, threads=2),
    )
    counts = {key: result["slow_rounds"] for key, result in results(run).items()}
    assert counts == {("dates", 1): 0, ("dates", 2): 2}
    sentence = (
        "mixed modes: the peak was more than 1.2 times slower than its median in 2 of 10 rounds "
        "(dates, 2 threads: 2)"
    )
    assert f"- {sentence}\n" in report.as_markdown(loaded(run))
    assert f"\n{sentence}\n" in as_text(run)


def test_a_steady_machine_and_one_without_a_peak_have_no_mixed_modes() -> None:
    for run in (full_run(), run_of(entry("dates", "fastseq", (1.0, 2.0, 9.0)))):
        assert "mixed modes" not in report.as_markdown(loaded(run))
        assert "mixed modes" not in as_text(run)


# Comparison


def with_fastseq(seconds: Iterable[float], peak: Iterable[float] = (1.0, 1.0, 1.0)) -> Any:
    return run_of(entry("dates", "fastseq", seconds), entry("dates", "peak", peak))


OLD = with_fastseq((1.0, 1.1, 1.2))


@pytest.mark.parametrize(
    ("new", "ratio", "verdict"),
    [
        (with_fastseq((0.5, 0.55, 0.6)), 0.5, "faster"),
        (with_fastseq((2.0, 2.2, 2.4)), 2.0, "slower"),
        (with_fastseq((1.1, 1.21, 1.3)), 1.1, "within noise"),
        (with_fastseq((0.9, 2.2, 2.4)), 2.0, "within noise"),
        # a machine half as fast is no slower workload
        (with_fastseq((2.0, 2.2, 2.4), (2.0, 2.0, 2.0)), 1.0, "within noise"),
        (with_fastseq((1.0, 1.1, 1.2), (0.5, 0.5, 0.5)), 2.0, "slower"),
    ],
)
def test_changes_are_told_from_noise(new: Any, ratio: float, verdict: str) -> None:
    [change] = report.compare(loaded(new), loaded(OLD)).changes
    assert change.ratio == pytest.approx(ratio)
    assert change.verdict == verdict
    assert change.normalised


def test_without_the_peak_seconds_are_compared_and_that_is_said() -> None:
    new = run_of(entry("dates", "fastseq", (2.0, 2.2, 2.4)))
    comparison = report.compare(loaded(new), loaded(OLD))
    [change] = comparison.changes
    assert (change.ratio, change.verdict, change.normalised) == (2.0, "slower", False)
    assert any("compared in seconds" in note for note in comparison.notes())


def test_entries_of_one_run_only_are_named() -> None:
    new = run_of(
        entry("dates", "fastseq", (1.0, 1.1)), entry("dates", "fastseq", (2.0, 2.1), isa="avx2")
    )
    old = run_of(entry("dates", "fastseq", (1.0, 1.1)), entry("dates", "fastseq", (1.0, 1.1), 2))
    comparison = report.compare(loaded(new), loaded(old))
    assert comparison.added == ("dates (avx2, 1 thread)",)
    assert comparison.removed == ("dates (avx512, 2 threads)",)
    assert [change.new.isa for change in comparison.changes] == ["avx512"]


@pytest.mark.parametrize(
    ("seconds", "options", "shown", "status"),
    [
        ((0.5, 0.55, 0.6), [], "faster", 0),
        ((1.3, 1.32, 1.34), [], "slower", 1),
        ((1.3, 1.32, 1.34), ["--regression", "25"], "slower", 0),
        ((1.21, 1.21, 1.21), ["--regression", "9"], "slower", 1),
        ((1.1, 1.32, 1.34), [], "", 0),
    ],
)
def test_a_regression_is_the_exit_status(
    seconds: tuple[float, ...],
    options: list[str],
    shown: str,
    status: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    new = write(tmp_path / "new.json", with_fastseq(seconds))
    old = write(tmp_path / "old.json", OLD)
    assert main(["report", new, "--compare", old, *options]) == status
    output = capsys.readouterr()
    assert "## Compared with the older run" in output.out
    assert ("now ÷ before" in output.out) == bool(shown)
    assert (f"| {shown} |" in output.out) == bool(shown)
    assert ("dates (avx512, 1 thread) takes" in output.err) == (status == 1)


@pytest.mark.parametrize("form", ["html", "json"])
def test_every_form_holds_the_comparison(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    new = write(tmp_path / "new.json", with_fastseq((2.0, 2.2, 2.4)))
    old = write(tmp_path / "old.json", OLD)
    assert main(["report", new, "--compare", old, "--format", form]) == 1
    text = capsys.readouterr().out
    if form == "html":
        assert text.index('id="compared"') < text.index('id="ratios"')
        assert "▼ slower" in text
    else:
        comparison = json.loads(text)["comparison"]
        assert comparison["regressions"] == ["dates (avx512, 1 thread)"]
        assert comparison["changes"][0]["verdict"] == "slower"


# The command line


def test_the_suffix_chooses_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    run = write(tmp_path / "run.json", full_run())
    assert main(["report", run, "-o", str(tmp_path / "report.html")]) == 0
    assert main(["report", run, "-o", str(tmp_path / "report.md")]) == 0
    assert main(["report", run, "-o", str(tmp_path / "odd.html"), "--format", "json"]) == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "report.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert (tmp_path / "report.md").read_text("utf-8") == report.as_markdown(loaded(full_run()))
    assert json.loads((tmp_path / "odd.html").read_text("utf-8"))["format"] == 2
    assert main(["report", run]) == 0
    assert capsys.readouterr().out == report.as_markdown(loaded(full_run()))


def test_without_matplotlib_the_page_names_the_extra_and_markdown_is_made(tmp_path: Path) -> None:
    run = write(tmp_path / "run.json", full_run())
    script = """
import sys
sys.modules["matplotlib"] = None
from fastseq.cli import main
sys.exit(main(sys.argv[1:]))
"""
    command = [sys.executable, "-c", script, "report", run]
    done = subprocess.run([*command, "--format", "html"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        'fastseq: error: charts need matplotlib: pip install "fastseq-kernels[bench]"\n'
    )
    done = subprocess.run([*command, "--format", "json"], capture_output=True)
    assert done.returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["run.json", "--format", "pdf"],
        ["run.json", "--compare", "old.json", "--regression", "-1"],
        ["run.json", "--compare", "old.json", "--regression", "nan"],
        ["run.json", "--regression", "5"],
        ["run.json", "--unknown"],
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", *arguments]) == 2
    assert capsys.readouterr().err.startswith("fastseq: error: ")


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--help"]) == 0
    output = capsys.readouterr().out
    for line in re.findall("^  fastseq (report .*?)(?:  .*)?$", output, re.MULTILINE):
        assert main(line.split()) == 1  # valid, but there is no such run
    assert capsys.readouterr().err.count("run.json: No such file") == 3


def changed(**changes: Any) -> dict[str, Any]:
    """A run whose first entry has other extra_info."""
    run = full_run()
    run["benchmarks"][0]["extra_info"] |= changes
    return run


def with_seconds(seconds: Any) -> dict[str, Any]:
    run = full_run()
    run["benchmarks"][1]["stats"]["data"] = seconds
    return run


COUNT = "expected a whole number above 0"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "the document: expected an object, got []"),
        ({}, "machine_info: expected an object, got null"),
        ({"machine_info": {}}, "machine_info.fastseq: expected an object, got null"),
        (full_run() | {"benchmarks": []}, "benchmarks: expected a list of at least one entry"),
        (full_run() | {"benchmarks": [3]}, "benchmarks[0]: expected an object, got 3"),
        (changed(threads="x"), f'benchmarks[0].extra_info.threads: {COUNT}, got "x"'),
        (changed(threads=True), f"benchmarks[0].extra_info.threads: {COUNT}, got true"),
        (changed(workload=None), "benchmarks[0].extra_info.workload: expected a string, got null"),
        (changed(operations=-1), f"operations: {COUNT}, or null, got -1"),
        (changed(parity="good"), 'parity: expected a number of at least 0, or null, got "good"'),
        (changed(kind="scaling"), "benchmarks[0].extra_info.curve: expected an object, got null"),
        (changed(curve={"of": "a", "letter": "N"}), f"curve.value: {COUNT}, got null"),
        (with_seconds([]), "benchmarks[1].stats.data: expected a list of at least one positive"),
        (with_seconds([1.0, 0]), "positive number, got [1.0, 0]"),
        (with_seconds([float("nan")]), "positive number, got [NaN]"),
        (with_seconds(["x" * 99]), "..."),
    ],
)
def test_what_is_no_run_is_told_in_one_line(
    document: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "run.json", document)
    assert main(["report", path]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"fastseq: error: {path}: not a benchmark run of fastseq: ")
    assert message in output.err
    assert output.err.count("\n") == 1
    with pytest.raises(ValueError, match="not a benchmark run"):
        report.load(path)


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    run = write(tmp_path / "run.json", full_run())
    program = [sys.executable, "-m", "fastseq", "report", run, "--format", "json"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_files_that_cannot_be_read_or_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(tmp_path / "run.json", full_run())
    broken = tmp_path / "broken.json"
    broken.write_bytes(b'{"benchmarks": [\xff')
    other = write(tmp_path / "other.json", run_of(entry("other", "fastseq", [1.0])))
    cases = {
        "missing.json: No such file or directory": ["missing.json"],
        f"{tmp_path}: Is a directory": [str(tmp_path)],
        f"{broken}: expected a benchmark run as JSON": [str(broken)],
        "gone.json: No such file or directory": [run, "--compare", "gone.json"],
        "no workload of fastseq in common": [run, "--compare", other],
        "no/report.md: No such file or directory": [run, "-o", "no/report.md"],
    }
    for message, arguments in cases.items():
        assert main(["report", *arguments]) == 1
        output = capsys.readouterr()
        assert message in output.err
        assert output.err.startswith("fastseq: error: ")
        assert (output.out, output.err.count("\n")) == ("", 1)
