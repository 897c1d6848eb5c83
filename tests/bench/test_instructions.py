"""The instruction-count regression test: what it reports of a change, and that it counts."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks/native/instructions.py"
RECORDED = {"lstm_forward": 100_000, "adam_step": 1000, "exp": 400}

pytestmark = pytest.mark.skipif(
    not PROGRAM.exists(), reason="benchmarks is not here: only the installed package is"
)


@pytest.fixture
def instructions(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program as a module, which counts what RECORDED says instead of compiling."""
    specification = importlib.util.spec_from_file_location("instructions", PROGRAM)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "compiler_name", lambda compiler: "GCC 99.1")
    monkeypatch.setattr(module, "count_instructions", lambda compiler, *which: dict(RECORDED))
    return module


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "instructions.json"


def write(record: Path, compiler: str = "GCC 99.1", **changed: int) -> None:
    counts = {**RECORDED, **changed}
    text = json.dumps({"compiler": compiler, "isa": "avx2", "instructions": counts})
    record.write_text(text, encoding="utf-8")


def test_equal_counts_pass(
    instructions: Any, record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(record)
    assert instructions.main(["--record", str(record)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "instructions of one call, GCC 99.1, avx2"
    assert lines[1].split() == ["kernel", "recorded", "now", "change"]
    assert lines[2].split() == ["lstm_forward", "100,000", "100,000", "+0.0", "%"]
    assert len(lines) == 2 + len(RECORDED)


@pytest.mark.parametrize(
    ("now", "tolerance", "status"),
    [(1030, 3.0, 0), (1031, 3.0, 1), (1031, 5.0, 0), (2000, 5.0, 1), (970, 3.0, 0), (10, 3.0, 0)],
)
def test_a_change_within_the_tolerance_passes(
    instructions: Any, now: int, tolerance: float, status: int
) -> None:
    counts = {**RECORDED, "adam_step": now}
    assert instructions.compare(RECORDED, counts, tolerance)[1] == status


def test_an_increase_is_named_and_fails(
    instructions: Any, record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(record, adam_step=900)
    assert instructions.main(["--record", str(record)]) == 1
    out = capsys.readouterr().out
    assert "adam_step                        900       1,000   +11.1 %  MORE EXPENSIVE\n" in out
    assert out.endswith("more expensive by over 3 %: adam_step\n")
    assert instructions.main(["--record", str(record), "--tolerance", "12"]) == 0


def test_a_decrease_asks_for_an_update(
    instructions: Any, record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(record, adam_step=1100)
    assert instructions.main(["--record", str(record)]) == 0
    out = capsys.readouterr().out
    assert "-9.1 %  better\n" in out
    assert out.endswith("better: run --update to record it: adam_step\n")


def test_a_gain_elsewhere_does_not_hide_an_increase(instructions: Any) -> None:
    lines, status = instructions.compare(RECORDED, {**RECORDED, "adam_step": 1100, "exp": 1}, 3.0)
    assert status == 1
    assert "more expensive by over 3 %: adam_step" in lines


@pytest.mark.parametrize(
    ("recorded", "counts"),
    [({"exp": 400}, {"exp": 400, "tanh": 500}), ({"exp": 400, "tanh": 500}, {"exp": 400})],
)
def test_a_kernel_without_partner_fails(
    instructions: Any, recorded: dict[str, int], counts: dict[str, int]
) -> None:
    lines, status = instructions.compare(recorded, counts, 3.0)
    assert status == 1
    assert lines[-1] == "only recorded or only measured: run --update: tanh"


def test_another_compiler_is_not_compared(
    instructions: Any, record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(record, "GCC 98.0", adam_step=1)
    assert instructions.main(["--record", str(record)]) == 0
    expected = "not compared: recorded with GCC 98.0, this compiler is GCC 99.1\n"
    assert capsys.readouterr().out == expected
    assert instructions.main(["--record", str(record), "--update"]) == 0
    assert json.loads(record.read_text()) == {
        "compiler": "GCC 99.1",
        "isa": "avx2",
        "instructions": RECORDED,
    }


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"f_T_1": 100, "f_T_2": 80, "f_N_1": 10}, []),
        ({"f_T_2": 79, "f_T_1": 100}, ["f_T: 2 takes 0.79 of the instructions of 1"]),
        # compared with the dearest of the smaller ones, not only with the next
        ({"f_T_1": 100, "f_T_2": 90, "f_T_9": 75}, ["f_T: 9 takes 0.75 of the instructions of 1"]),
    ],
)
def test_a_size_that_a_larger_one_is_cheaper_than_is_named(
    instructions: Any, counts: dict[str, int], expected: list[str]
) -> None:
    lines, status = instructions.cliffs(counts)
    assert lines[:-1] == expected
    assert status == (1 if expected else 0)


@pytest.mark.slow
def test_no_kernel_is_cheaper_for_more_work() -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("needs valgrind")
    done = subprocess.run([sys.executable, PROGRAM, "--cliffs"], capture_output=True, text=True)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert re.fullmatch(r"\d\d sweeps, 0 cliffs: .*", done.stdout.splitlines()[-1])


def test_nothing_to_compare_with(
    instructions: Any, record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert instructions.main(["--record", str(record)]) == 1
    assert "--update writes it" in capsys.readouterr().err


def test_what_is_missing_is_named_in_a_line(
    instructions: Any,
    record: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(record)
    monkeypatch.undo()  # it must count now
    monkeypatch.setattr(instructions.shutil, "which", lambda program: None)
    assert instructions.main(["--record", str(record)]) == 1
    assert "no C compiler" in capsys.readouterr().err
    monkeypatch.setattr(instructions, "compiler_name", lambda compiler: "GCC 99.1")
    assert instructions.main(["--record", str(record)]) == 1
    err = capsys.readouterr().err
    assert "apt-get install valgrind" in err
    assert err.count("\n") == 1


def test_every_kernel_of_the_program_is_recorded() -> None:
    program = PROGRAM.with_name("instructions.c").read_text(encoding="utf-8")
    counted = set(re.findall(r"^    COUNT\((\w+),", program, re.MULTILINE))
    counted.update(re.findall(r'^    COUNT_AS\("(\w+)",', program, re.MULTILINE))
    cells = re.findall(r"count_(?:cell|attention_of)\(size, (\".+)\);", program)
    counted.update(name for names in cells for name in re.findall(r'"(\w+)"', names))
    recorded = json.loads(PROGRAM.with_name("instructions.json").read_text(encoding="utf-8"))
    assert set(recorded["instructions"]) == counted
    assert all(count > 1000 for count in recorded["instructions"].values())


@pytest.mark.slow
def test_counts_are_the_same_again_and_a_costly_kernel_shows(record: Path) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(PROGRAM), "--record", str(record), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        print(done.stdout, done.stderr)
        return done

    assert run("--update").returncode == 0
    assert run("--tolerance", "0").returncode == 0
    written = json.loads(record.read_text(encoding="utf-8"))
    written["instructions"]["lstm_forward"] = int(0.9 * written["instructions"]["lstm_forward"])
    record.write_text(json.dumps(written), encoding="utf-8")
    done = run()
    assert done.returncode == 1
    assert done.stdout.endswith("more expensive by over 3 %: lstm_forward\n")
