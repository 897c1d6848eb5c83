"""What the build promises: one table an object, no instruction in the wrong one, C by the rules.

The objects are compiled here, with the flags of setup.py, from the sources beside these tests;
where only the installed package is at hand, the tests that need sources are skipped.
"""

import functools
import importlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fastseq import _kernels
from support.units import CSRC, Units, common_flags

C_SOURCES = sorted(CSRC.rglob("*.[ch]"))
SHARED_UNITS = ("dispatch", "thread_pool")
# The tables, by their files in csrc/isa.
TABLES = (
    *("baseline", "avx2", "avx512", "neon", "avx512_bf16", "amx"),
    *("emulated/baseline", "emulated/avx2", "emulated/avx512", "emulated/neon"),
)
CROSS_PREFIX = {"neon": "aarch64-linux-gnu-"}  # the binutils and compiler for another machine


class Unit(NamedTuple):
    """A compiled C file: what `nm` and `objdump` say of it."""

    global_symbols: list[str]
    section_sizes: dict[str, int]
    functions: dict[str, str]  # disassembly by function


UnitOf = Callable[[str], Unit]


def output_of(*command: str) -> str:
    """What the command prints on standard output; it must succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def unit_of(build: dict[str, Any], units: Units) -> UnitOf:
    """Compile a table, or a file of csrc, as setup.py would, without a warning."""
    if not sys.platform.startswith("linux"):
        pytest.skip("written for the GNU binutils on Linux")
    machine = sysconfig.get_platform().rpartition("-")[2].lower()
    isas = {isa.name: isa for isa in build["ISAS"]}
    native = [isa.name for isa in build["ISAS"] if not isa.machines or machine in isa.machines]

    @functools.cache
    def compile_unit(name: str) -> Unit:
        isa = Path(name).name
        here = name in SHARED_UNITS or isa in native
        prefix = "" if here else CROSS_PREFIX.get(isa, "another-machine-")
        compiler = os.environ.get("CC", "cc").split() if here else [f"{prefix}gcc"]
        for tool in (compiler[0], f"{prefix}nm", f"{prefix}objdump"):
            if shutil.which(tool) is None:
                pytest.skip(f"{name}: {tool} is not installed")
        source = CSRC / (f"{name}.c" if name in SHARED_UNITS else f"isa/{name}.c")
        flags = common_flags(build)
        flags += isas[isa].flags if isa in isas else [f"-DFS_HAVE_{n.upper()}" for n in native]
        unit = str(units.compiled(*compiler, *flags, source))
        symbols = output_of(f"{prefix}nm", "--defined-only", "--extern-only", unit)
        headers = output_of(f"{prefix}objdump", "--section-headers", unit)
        sizes = re.findall(r"^ +\d+ (\S+) +([0-9a-f]+) ", headers, re.MULTILINE)
        code = output_of(f"{prefix}objdump", "--disassemble", "--no-show-raw-insn", unit)
        return Unit(
            global_symbols=[line.split()[-1] for line in symbols.splitlines()],
            section_sizes={section: int(size, 16) for section, size in sizes},
            functions=dict(re.findall(r"^[0-9a-f]+ <(.+)>:\n((?:.+\n)*)", code, re.MULTILINE)),
        )

    return compile_unit


def test_every_table_is_known(build: dict[str, Any]) -> None:
    assert sorted(TABLES) == sorted(table for isa in build["ISAS"] for table in isa.tables)


@pytest.mark.parametrize("name", TABLES)
def test_object_exports_its_table_and_nothing_else(name: str, unit_of: UnitOf) -> None:
    suffix = "_emulated" if name.startswith("emulated/") else ""
    assert unit_of(name).global_symbols == [f"fs_kernels_{Path(name).name}{suffix}"]


@pytest.mark.parametrize("name", [*TABLES, *SHARED_UNITS])
def test_object_has_no_mutable_state(name: str, unit_of: UnitOf) -> None:
    sizes = unit_of(name).section_sizes
    assert sizes[".text"] > 0
    assert {s: n for s, n in sizes.items() if re.fullmatch(r"\.t?(?:data|bss)", s) and n} == {}


@pytest.mark.parametrize("name", [*TABLES, *SHARED_UNITS])
def test_object_compiles_without_warnings(name: str, unit_of: UnitOf) -> None:
    unit_of(name)  # no warning is allowed


@pytest.mark.parametrize(
    ("name", "wider"),
    [
        *(("baseline", "%[yz]mm"), ("emulated/baseline", "%[yz]mm")),
        *(("avx2", "%zmm"), ("emulated/avx2", "%zmm")),
    ],
)
def test_object_uses_no_register_wider_than_its_instruction_set(
    name: str, wider: str, unit_of: UnitOf
) -> None:
    functions = unit_of(name).functions
    assert functions
    assert [function for function, code in functions.items() if re.search(wider, code)] == []


@pytest.mark.parametrize(
    ("name", "instruction", "register"),
    [
        ("avx2", r"vfmadd\d+ps", "ymm"),
        ("avx512", r"vfmadd\d+ps", "zmm"),
        ("avx512_bf16", "vdpbf16ps", "zmm"),
    ],
)
def test_register_tile_is_fused_multiply_adds(
    name: str, instruction: str, register: str, unit_of: UnitOf
) -> None:
    functions = unit_of(name).functions
    tiles = [code for function, code in functions.items() if function.startswith("tile_")]
    fused = re.compile(rf"\b{instruction} .*%{register}\d+$", re.MULTILINE)
    assert tiles
    assert all(fused.search(code) for code in tiles)
    # the widest tile of each is at least 3 rows x 4 vectors, one instruction for each
    assert max(len(fused.findall(code)) for code in tiles) >= 12


def inner_loops(code: str) -> list[str]:
    """The bodies of a function's innermost loops, from its disassembly."""
    lines = {int(line.split(":")[0], 16): line for line in code.splitlines() if ":\t" in line}
    loops = []
    for address, line in lines.items():
        jump = re.search(r"\tj[a-z]+\s+(?:0x)?([0-9a-f]+)\b", line)
        if jump and int(jump[1], 16) <= address:
            loops.append((int(jump[1], 16), address))
    innermost = [
        (begin, end)
        for begin, end in loops
        if not any(begin <= other[0] and other[1] < end for other in loops)
    ]
    bodies = [
        "\n".join(line for address, line in lines.items() if begin <= address <= end)
        for begin, end in innermost
    ]
    # code that was moved behind the return jumps back, too, but makes no loop
    return [body for body in bodies if not re.search(r"\tret", body)]


@pytest.mark.parametrize("name", ["avx2", "avx512", "avx512_bf16"])
def test_sums_stay_in_registers(name: str, unit_of: UnitOf) -> None:
    loops = {
        function: [loop for loop in inner_loops(code) if re.search("vfmadd|vdpbf16ps", loop)]
        for function, code in unit_of(name).functions.items()
        if re.match(r"(tile|dots)_\dx\d", function)
    }
    assert len(loops) >= 12
    assert all(loops.values())
    spills = re.compile(r"\bvmov[au]p[sd]\s+%[xyz]mm\d+,.*\(%r[sb]p")
    assert [name for name, bodies in loops.items() if any(map(spills.search, bodies))] == []


def test_modules_export_their_init_function_and_nothing_else(build: dict[str, Any]) -> None:
    if shutil.which("nm") is None or not sys.platform.startswith("linux"):
        pytest.skip("needs nm on Linux")
    for name in build["MODULES"]:
        module = importlib.import_module(f"fastseq._kernels.{name}")
        symbols = output_of("nm", "--dynamic", "--defined-only", str(module.__file__))
        assert [line.split()[-1] for line in symbols.splitlines()] == [f"PyInit_{name}"]


def test_no_flag_ties_the_build_to_this_machine_or_drops_nan(build: dict[str, Any]) -> None:
    flags = {*build["COMMON_FLAGS"], *(flag for isa in build["ISAS"] for flag in isa.flags)}
    forbidden = {"-march=native", "-mtune=native", "-ffast-math", "-Ofast", "-ffinite-math-only"}
    assert flags & forbidden == set()


# FASTSEQ_ISA


def import_with_isa(name: str) -> subprocess.CompletedProcess[str]:
    """A new interpreter that imports fastseq with FASTSEQ_ISA=name and prints the set in use."""
    code = "import fastseq, fastseq._kernels as kernels; print(kernels.isa())"
    environment = {**os.environ, "FASTSEQ_ISA": name}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )


def test_unknown_isa_is_an_error_that_lists_the_valid_ones() -> None:
    done = import_with_isa("sse9")
    assert done.returncode != 0
    message = done.stderr.splitlines()[-1]
    assert all(name in message for name in ("FASTSEQ_ISA", "sse9", *_kernels.available_isas()))


def test_each_available_isa_can_be_chosen() -> None:
    assert "baseline" in _kernels.available_isas()
    for name in _kernels.available_isas():
        done = import_with_isa(name)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == name


# The rules of the C code

INTRINSIC = (
    r"\b_mm\d*_\w+|\b__m(?:\d+\w*|mask\d+)\b|<\w*intrin\.h>"  # x86
    r"|\bv\w+q(?:_\w+)?_[fsu]\d+\b|\b(?:float|int|uint)32x4_t\b|<arm_neon\.h>"
)
FORBIDDEN = {
    "allocates": r"\b(?:malloc|calloc|realloc|free|alloca|aligned_alloc)\s*\(",
    "has a goto": r"\bgoto\b",
    "knows Python": r"\bPy[A-Z_]\w+",
    "prints or exits": r"\b(?:printf|fprintf|puts|exit|abort)\s*\(",
    "has a mutable static": r"(?<!\S)static\s+(?!const\b|inline\b)[^(){};]*[;=]",
}


def without_comments(text: str) -> str:
    """The text with comments and string literals blanked out, line breaks kept."""
    pattern = r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\""
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL)


def lint(name: str, text: str) -> list[str]:
    """What breaks the rules in the C file `name`, a path inside csrc."""
    code = without_comments(text)
    includes = " ".join(re.findall(r"^\s*#\s*include\s*(\S+)", text, flags=re.MULTILINE))
    faults = [what for what, pattern in FORBIDDEN.items() if re.search(pattern, code)]
    if name == "thread_pool.c":  # makes the pool itself
        faults = [fault for fault in faults if fault != "allocates"]
    if "Python.h" in includes:
        faults.append("includes Python.h")
    if not name.startswith(("simd/", "tile/")) and re.search(INTRINSIC, code + includes):
        faults.append("has intrinsics outside simd/ and tile/")
    if not text.startswith(f"/* {name} — "):
        faults.append(f"does not open with '/* {name} — what it is for'")
    for number, line in enumerate(text.splitlines(), start=1):
        if "\t" in line or len(line) > 100:
            faults.append(f"line {number} has a tab or more than 100 characters")
    return faults


@pytest.mark.skipif(not C_SOURCES, reason="csrc is not here: only the installed package is")
@pytest.mark.parametrize("path", C_SOURCES, ids=lambda path: path.relative_to(CSRC).as_posix())
def test_c_source_keeps_the_rules(path: Path) -> None:
    assert lint(path.relative_to(CSRC).as_posix(), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "bad",
    [
        "void f(void) { float *p = malloc(4); }",
        "#include <Python.h>",
        '#include "Python.h"',
        "void f(void) { goto end; end: return; }",
        'void f(void) { printf("x"); }',
        "int f(void) { static int calls = 0; return ++calls; }",
        "static int count;",
        "static int count = 0;",
        "static float table[] = {1.0f, 2.0f};",
        "#include <immintrin.h>",
        "static inline float f(__m256 x) { return _mm256_cvtss_f32(x); }",
        "void f(float *y) { vst1q_f32(y, vdupq_n_f32(0)); }",
        "\tint f(void);",
        f"int {'f' * 100}(void);",
    ],
)
def test_lint_finds_a_fault(bad: str) -> None:
    assert lint("kernels/x.h", f"/* kernels/x.h — an example. */\n{bad}\n") != []


def test_lint_accepts_good_code() -> None:
    good = """/* kernels/x.h — an example: goto, malloc( and x = 1; in a comment are no fault. */
    #include <stddef.h>
    typedef void (*function)(int);
    static void f(int x);
    static __attribute__((noinline)) void f(int x) { int y = x; if (y) { f(y); } }
    static const float table[2] = {1.0f, 2.0f};
    static const function functions[2][1] = {{f}, {f}};
    static const char *const names[] = {"malloc(", "goto"};
    const fs_kernels FS_TABLE = {.name = "x", .f = f};
    """
    assert lint("kernels/x.h", good) == []
    assert lint("kernels/x.h", "int f(void);\n") != []  # no opening comment
