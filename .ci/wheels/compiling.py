"""Compiles the C code for macOS and Windows: a check of the sources, and no more.

A wheel for these systems needs a Python of theirs. The headers here are those of Linux, without
what another system lacks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from common import run

COMPILE_ONLY = ("aarch64-macos", "x86_64-macos", "x86_64-windows-gnu")
ISAS = {
    "x86_64": ("baseline", "avx2", "avx512", "avx512_bf16", "amx"),
    "aarch64": ("baseline", "neon"),
}
AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"]
ISA_FLAGS = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": AVX512,
    "avx512_bf16": [*AVX512, "-mavx512bf16"],
    "amx": [*AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16"],
}
# What Python.h asks of a configuration; the one of Windows is written by hand in CPython too.
WINDOWS_PYCONFIG = """\
#include <stddef.h>
#define MS_WINDOWS
#define MS_WIN64
#define NT_THREADS
#define WITH_THREAD 1
#define Py_ENABLE_SHARED
#define HAVE_DECLSPEC_DLL
#define HAVE_SSIZE_T 1
#define SIZEOF_SHORT 2
#define SIZEOF_INT 4
#define SIZEOF_LONG 4
#define SIZEOF_LONG_LONG 8
#define SIZEOF_SIZE_T 8
#define SIZEOF_TIME_T 8
#define SIZEOF_VOID_P 8
#define SIZEOF_WCHAR_T 2
"""


def compile_sources(source: Path, builder: Path, cc: Path, target: str) -> None:
    """Compile csrc and the modules that Cython writes for a target."""
    machine = target.partition("-")[0]
    threads = [] if "windows" in target else ["-pthread"]
    common = ["-std=c11", "-O1", *threads, "-Icsrc", "-c", "-o", os.devnull]
    strict = [*common, "-Wall", "-Wextra", "-Werror"]
    for name in ISAS[machine]:
        for table in (name, f"emulated/{name}"):
            if (source / f"csrc/isa/{table}.c").exists():
                run(cc, *strict, *ISA_FLAGS.get(name, []), f"csrc/isa/{table}.c", cwd=source)
    for name in ("dispatch", "thread_pool"):
        run(cc, *strict, f"csrc/{name}.c", cwd=source)

    headers = copy_headers(source.parent / f"headers-{target}", builder, "windows" in target)
    macros = ["-DNPY_NO_DEPRECATED_API=NPY_2_0_API_VERSION"]
    macros += [f"-DFS_HAVE_{name.upper()}=1" for name in ISAS[machine]]
    modules = sorted(source.glob("fastseq/_kernels/*.pyx"))
    for module in modules:
        generated = module.with_suffix(".c")
        if not generated.exists():
            run(builder, "-m", "cython", "-3", module, cwd=source)
        run(cc, "-w", *common, *headers, *macros, generated, cwd=source)  # its code is Cython's
    print(f"{target}: csrc and {len(modules)} modules compile", flush=True)


def copy_headers(folder: Path, builder: Path, windows: bool) -> list[str]:
    """The headers of CPython and NumPy, changed for another system, as options of a compiler."""
    code = "import sysconfig, numpy; print(sysconfig.get_path('include'), numpy.get_include())"
    done = subprocess.run([builder, "-c", code], capture_output=True, text=True, check=True)
    for name, place in zip(("python", "numpy"), done.stdout.split(), strict=True):
        shutil.copytree(place, folder / name)
    sizes = folder / "numpy" / "numpy" / "_numpyconfig.h"
    text = sizes.read_text().replace("#define NPY_HAVE_ENDIAN_H 1", "")
    if windows:
        text = text.replace("NPY_SIZEOF_LONG 8", "NPY_SIZEOF_LONG 4")
        (folder / "python" / "pyconfig.h").write_text(WINDOWS_PYCONFIG)
    sizes.write_text(text)
    return [f"-I{folder / 'python'}", f"-I{folder / 'numpy'}"]
