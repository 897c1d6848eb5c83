"""The C kernels without Python: the driver of tests/ckernels.

It compares every function of every table with double precision: built for this machine, built with
sanitizers, built for AArch64 and run in an emulator, and the tables of AVX-512 and AMX built of
instructions that are simulated in C. The tests that need the sources are
skipped if only the installed package is available.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fastseq import _kernels
from support.processes import without_preloaded
from support.units import CSRC, ROOT, Units, common_flags

DRIVER = ROOT / "tests/ckernels/driver.c"
POOL = ROOT / "tests/ckernels/thread_pool/main.c"
SIMULATED = ROOT / "tests/ckernels/simulated"
# The labels and files of its tables.
SIMULATED_TABLES = {
    "avx512": "avx512",
    "avx512:bfloat16": "emulated/avx512",
    "avx512_bf16:bfloat16": "avx512_bf16",
    "amx:bfloat16": "amx",
}
SIMULATED_MACROS = ("AVX512F", "AVX512DQ", "AVX512BF16", "AMX_TILE", "AMX_BF16")
RUN_NEON = ROOT / "tests/neon/run.sh"
SANITIZERS = (
    *("-O1", "-g", "-UNDEBUG", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover"),
)

QUICK = ("-DQUICK", "-DFLOAT_STRIDE=65536")

BuildDriver = Callable[..., tuple[Path, list[str]]]


@pytest.fixture(scope="module")
def build_driver(
    build: dict[str, Any], units: Units, tmp_path_factory: pytest.TempPathFactory
) -> BuildDriver:
    """Compile the tables that the compiler supports, as setup.py does, and link the driver."""
    compiler = os.environ.get("CC", "cc").split()
    if sys.platform == "win32" or shutil.which(compiler[0]) is None:
        pytest.skip(f"no C compiler: {compiler[0]} is not installed")
    here = [*_kernels.available_isas(), *_kernels.bfloat16_isas()]

    def accepts(flags: Sequence[str]) -> bool:
        probe = tmp_path_factory.mktemp("probe")
        (probe / "probe.c").write_text("int main(void) { return 0; }\n")
        command = [*compiler, *flags, "probe.c", "-o", "probe"]
        return subprocess.run(command, cwd=probe, capture_output=True).returncode == 0

    def build_one(
        *defines: str, flags: tuple[str, ...] = (), names: Sequence[str] = here
    ) -> tuple[Path, list[str]]:
        """The driver with some definitions, and its tables: those that this CPU can run."""
        if not accepts(flags):
            pytest.skip(f"{compiler[0]} does not link with {' '.join(flags)}")
        isas = [isa for isa in build["ISAS"] if isa.name in names and accepts(isa.flags)]
        common = [*compiler, *common_flags(build), *flags]
        have = [f"-DFS_HAVE_{isa.name.upper()}" for isa in isas]
        driver_flags = ["-O2", "-fno-sanitize=all", f"-I{CSRC}", *defines]
        objects = units.all_compiled(
            [
                *([*common, *isa.flags, CSRC / f"isa/{t}.c"] for isa in isas for t in isa.tables),
                *([*common, *have, CSRC / name] for name in ("dispatch.c", "thread_pool.c")),
                [*common, *have, *driver_flags, DRIVER],
            ]
        )
        driver = tmp_path_factory.mktemp("driver") / "driver"
        subprocess.run([*compiler, "-pthread", *flags, *objects, "-lm", "-o", driver], check=True)
        return driver, [label for isa in isas for label in labels(isa)]

    return build_one


def labels(isa: Any) -> list[str]:
    """The driver's names of an instruction set's tables."""
    return [
        isa.name if table == isa.name and not isa.multiplies_bfloat16 else f"{isa.name}:bfloat16"
        for table in isa.tables
    ]


def tables_here(built: Sequence[str]) -> list[str]:
    """Those of the built tables that this CPU supports."""
    here = _kernels.available_isas()
    here += [f"{name}:bfloat16" for name in _kernels.bfloat16_isas()]
    return [label for label in here if label in built]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program without preloaded libraries; its output is shown if a test fails."""
    environment = without_preloaded() | {"ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    return done


def assert_all_passed(
    done: subprocess.CompletedProcess[str], tables: Sequence[str], least: int = 100_000
) -> None:
    """Require that the driver checked exactly these tables completely, and all checks passed."""
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    checked = [line.split()[:2] for line in lines[:-1]]
    assert {table for table, _ in checked} == set(tables)
    assert all([table, "lstm_backward"] in checked for table in tables)
    closing = re.fullmatch(r"(\d+) passed, 0 failed", lines[-1])
    assert closing is not None
    assert int(closing[1]) > least * len(tables)


def test_every_table_of_this_machine(build_driver: BuildDriver) -> None:
    driver, built = build_driver()
    here = [label for label in tables_here(built) if ":" not in label]
    assert "baseline" in here
    assert_all_passed(run(driver, *here), here)
    assert run(driver, "no-such-table").returncode == 2


def test_every_table_of_bfloat16_products(build_driver: BuildDriver) -> None:
    # their loads are those of float32: none reads past an array's end
    driver, built = build_driver(*QUICK, "-DGUARD_PAGES")
    here = [label for label in tables_here(built) if ":" in label]
    assert "baseline:bfloat16" in here
    assert_all_passed(run(driver, *here), here, least=60_000)


def assert_clean(build_driver: BuildDriver, *defines: str, names: Sequence[str]) -> None:
    """Require that the sanitizers find nothing in the float32 tables of some instruction sets."""
    # without guard bytes: the sanitizer detects accesses past the ends, reads too
    driver, built = build_driver("-DGUARD_BYTES=0", *defines, flags=SANITIZERS, names=names)
    here = [label for label in tables_here(built) if ":" not in label]
    assert_all_passed(run(driver, *here), here, least=60_000)


def test_the_best_table_with_sanitizers(build_driver: BuildDriver) -> None:
    names = _kernels.available_isas()
    assert_clean(build_driver, *QUICK, names=names[:1] + names[1:][-1:])


@pytest.mark.slow
def test_every_table_with_sanitizers(build_driver: BuildDriver) -> None:
    assert_clean(build_driver, names=_kernels.available_isas())


@pytest.fixture
def simulated_driver(build: dict[str, Any], units: Units, tmp_path: Path) -> Path:
    """The driver with the tables of AVX-512 and AMX, their instructions simulated in C."""
    compiler = os.environ.get("CC", "cc").split()
    if sys.platform == "win32" or shutil.which(compiler[0]) is None:
        pytest.skip(f"no C compiler: {compiler[0]} is not installed")
    common = [*compiler, *common_flags(build), "-UNDEBUG", "-Wno-psabi"]
    common += [f"-I{SIMULATED}", f"-I{CSRC}"]
    common += [f"-D__{each}__" for each in SIMULATED_MACROS]
    common += [f"-DFS_HAVE_{name}" for name in ("AVX512", "AVX512_BF16", "AMX")]
    # without an instruction for it, a fused multiply-add takes hundreds
    if "avx2" in _kernels.available_isas():
        common += next(isa.flags for isa in build["ISAS"] if isa.name == "avx2")
    objects = units.all_compiled(
        [
            [*common, "-O1", *QUICK, "-DGUARD_PAGES", DRIVER],
            [*common, SIMULATED / "tables.c"],
            [*common, CSRC / "thread_pool.c"],
            *([*common, CSRC / f"isa/{table}.c"] for table in SIMULATED_TABLES.values()),
        ]
    )
    driver = tmp_path / "driver"
    subprocess.run([*compiler, "-pthread", *objects, "-lm", "-o", driver], check=True)
    return driver


@pytest.mark.slow
@pytest.mark.parametrize("label", SIMULATED_TABLES)
def test_tables_of_other_processors_in_simulated_instructions(
    simulated_driver: Path, label: str
) -> None:
    assert_all_passed(run(simulated_driver, label), [label], least=60_000)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*_kernels.available_isas(), "baseline:bfloat16"])
def test_exp_tanh_and_sigmoid_of_every_float(build_driver: BuildDriver, name: str) -> None:
    driver, built = build_driver("-DFLOAT_STRIDE=1")
    if name not in built:
        pytest.skip(f"the compiler does not know {name}")
    assert_all_passed(run(driver, name), [name])


def test_a_failed_check_sets_the_exit_status(build_driver: BuildDriver) -> None:
    # no table computes exp, tanh and sigmoid to a tenth of an ULP
    driver, _ = build_driver(*QUICK, "-DMAX_ULP=0.1")
    done = run(driver, "--only", "vmath", "baseline")
    assert done.returncode == 1
    assert re.search(r"FAILED exp, .*MAX_ULP", done.stdout)
    assert re.fullmatch(r"\d+ passed, [1-9]\d* failed", done.stdout.splitlines()[-1])


@pytest.mark.usefixtures("build")
@pytest.mark.slow  # tens of minutes in an emulator
def test_neon_in_an_emulator() -> None:
    if shutil.which("sh") is None:
        pytest.skip("needs a shell")
    done = run("sh", RUN_NEON, "neon")  # `make test-neon` also runs the baseline there
    if done.stdout.startswith("skipped"):
        pytest.skip(done.stdout.strip())
    assert_all_passed(done, ["neon"])


def test_neon_is_compiled_with_the_flags_of_setup(build: dict[str, Any]) -> None:
    text = RUN_NEON.read_text()
    flags = re.search(r'^FLAGS="([^"]*)"', text, re.MULTILINE)
    assert flags is not None
    assert flags[1].split() == list(build["COMMON_FLAGS"])


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_neon_is_skipped_where_there_is_no_compiler() -> None:
    environment = {**os.environ, "CROSS_CC": "no-such-compiler"}
    done = subprocess.run(["sh", RUN_NEON], env=environment, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("skipped: no no-such-compiler here; apt-get install")
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize("flags", [("-O2",), SANITIZERS], ids=["plain", "sanitizers"])
def test_thread_pool(flags: Sequence[str], tmp_path: Path) -> None:
    compiler = os.environ.get("CC", "cc").split()
    if sys.platform == "win32" or shutil.which(compiler[0]) is None or not POOL.exists():
        pytest.skip("needs a C compiler, POSIX threads and the sources")
    command = [*compiler, *flags, "-std=c11", "-Wall", "-Wextra", "-Werror", "-pthread"]
    if flags == SANITIZERS:
        command += ["-DCAN_LIMIT_MEMORY=0"]
    program = tmp_path / "thread_pool"
    command += [f"-I{CSRC}", str(POOL), str(CSRC / "thread_pool.c"), "-o", str(program)]
    if subprocess.run(command, cwd=tmp_path).returncode != 0 and flags == SANITIZERS:
        pytest.skip("this compiler has no sanitizers")
    done = run(program)
    assert done.returncode == 0
    assert re.fullmatch(r"\d{2,} passed, 0 failed", done.stdout.splitlines()[-1])
