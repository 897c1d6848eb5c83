"""Build ``fastseq._kernels``: the C kernels, one table per instruction set, and its modules.

The kernels are linked into the module ``runtime``, through which the other modules access them.

Metadata and the configuration of the tools are in pyproject.toml. Switches, from the environment:

    FASTSEQ_DEBUG=1                       -O1 -g, and the assertions of the C code are on
    FASTSEQ_SANITIZE=address,undefined    the compiler's sanitizers, in the extension only
    FASTSEQ_STABLE_ABI=1                  modules for every CPython from 3.11 on, to be measured
"""

import os
import re
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext  # Cython's, where Cython is installed
from setuptools.errors import CompileError, LinkError, PlatformError
from setuptools.modified import newer_group


class Isa(NamedTuple):
    """An instruction set: its tables are csrc/isa/<table>.c, with `flags`, on `machines`."""

    name: str
    machines: tuple[str, ...]  # suffixes of sysconfig.get_platform(); empty: every machine
    flags: tuple[str, ...] = ()
    multiplies_bfloat16: bool = False

    @property
    def tables(self) -> tuple[str, ...]:
        """One of float32 and one that emulates bfloat16; or one that multiplies bfloat16."""
        return (self.name,) if self.multiplies_bfloat16 else (self.name, f"emulated/{self.name}")


X86_64 = ("x86_64", "amd64")
AVX512 = (
    *("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"),
    "-mprefer-vector-width=512",
)
AVX512_BF16 = (*AVX512, "-mavx512bf16")
ISAS = (
    Isa("baseline", ()),
    Isa("avx2", X86_64, ("-mavx2", "-mfma")),
    Isa("avx512", X86_64, AVX512),
    Isa("avx512_bf16", X86_64, AVX512_BF16, multiplies_bfloat16=True),
    Isa("amx", X86_64, (*AVX512_BF16, "-mamx-tile", "-mamx-bf16"), multiplies_bfloat16=True),
    Isa("neon", ("aarch64", "arm64")),
)

DEBUG = os.environ.get("FASTSEQ_DEBUG", "0") not in ("", "0")
SANITIZE = os.environ.get("FASTSEQ_SANITIZE", "")
STABLE_ABI = os.environ.get("FASTSEQ_STABLE_ABI", "0") not in ("", "0")

# Never -march=native (a build may leave the machine), never -ffast-math (NaN and inf propagate).
SANITIZE_FLAGS = (
    (f"-fsanitize={SANITIZE}", "-fno-sanitize-recover", "-fno-omit-frame-pointer", "-g")
    if SANITIZE
    else ()
)
OPTIMIZE_FLAGS = ("-O1", "-g", "-UNDEBUG") if DEBUG else ("-O3", "-DNDEBUG", "-g0")
COMMON_FLAGS = (
    *OPTIMIZE_FLAGS,
    *("-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
    "-fvisibility=hidden",
    *SANITIZE_FLAGS,
)
WARNING_FLAGS = ("-Wall", "-Wextra")  # for our own C, not for what Cython writes
THREAD_FLAGS = () if os.name == "nt" else ("-pthread",)
THREAD_PROBE = """\
#include <pthread.h>
static void *body(void *argument) { return argument; }
int probe(void) { pthread_t thread; return pthread_create(&thread, 0, body, 0); }
"""
PYTHON_PROBE = """\
#include <Python.h>
int probe(void) { return PY_MAJOR_VERSION; }
"""
NEEDS_COMPILER = (
    "error: fastseq needs a C compiler, and {compiler} compiles nothing; "
    "Debian/Ubuntu: apt install build-essential python3-dev; macOS: xcode-select --install; "
    "Windows: Build Tools for Visual Studio with clang-cl; CC=... names another"
)
NEEDS_HEADERS = (
    "error: fastseq needs Python.h, a header of Python {version}, and {compiler} does not find it; "
    "Debian/Ubuntu: apt install python3-dev; Fedora: dnf install python3-devel"
)

# The modules of fastseq._kernels, one a topic.
MODULES = (
    *("arrays", "attention", "cells", "decoding", "dense", "hard_attention", "optim", "recurrent"),
    "runtime",
)


class BuildKernels(build_ext):
    """Compiles csrc, each table with its own flags, and links the objects into ``runtime``."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.editable_mode:  # keep the objects; setuptools would use a folder that it deletes
            self.build_temp = os.path.join("build", f"editable.{sysconfig.get_config_var('SOABI')}")

    def build_extensions(self) -> None:
        self.use_clang_cl = self.compiler.compiler_type == "msvc"
        self.require_toolchain()
        thread_flags: tuple[str, ...] = THREAD_FLAGS
        if THREAD_FLAGS and not self.accepts(THREAD_FLAGS, THREAD_PROBE):
            thread_flags = ()
            print(
                "fastseq: no threads: this compiler does not link POSIX threads (-pthread); "
                "every call will run on one",
                flush=True,
            )
        machine = sysconfig.get_platform().rpartition("-")[2].lower()
        isas = [isa for isa in ISAS if not isa.machines or machine in isa.machines]
        isas = [isa for isa in isas if not isa.flags or self.accepts(isa.flags)]
        print(f"fastseq: tables: {' '.join(isa.name for isa in isas)}", flush=True)

        macros = [(f"FS_HAVE_{isa.name.upper()}", "1") for isa in isas]
        if thread_flags != THREAD_FLAGS:
            macros.append(("FS_NO_THREADS", "1"))
        flags = (*COMMON_FLAGS, *thread_flags)
        # Rewritten when the build options change; an older object is then stale.
        stamp = Path(self.build_temp, "options.txt")
        options = repr((self.compiler.compiler_type, os.environ.get("CC"), isas, flags, STABLE_ABI))
        if not stamp.exists() or stamp.read_text() != options:
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.write_text(options)

        def compile_unit(source: str, own_flags: Sequence[str]) -> str:
            [unit] = self.compiler.object_filenames([source], output_dir=self.build_temp)
            if self.force or newer_group([source, *HEADERS, str(stamp)], unit):
                args = self.spelled((*flags, *WARNING_FLAGS, *own_flags))
                self.compiler.compile(
                    [source], self.build_temp, macros, ["csrc"], extra_postargs=args
                )
            return unit

        units = [
            *((f"csrc/isa/{table}.c", isa.flags) for isa in isas for table in isa.tables),
            ("csrc/dispatch.c", ()),
            ("csrc/thread_pool.c", ()),
        ]
        with ThreadPoolExecutor() as pool:
            objects = list(pool.map(compile_unit, *zip(*units, strict=True)))
        for ext in self.extensions:
            if ext.name.endswith(".runtime"):
                ext.extra_objects = objects
            # Cython's output depends on the NumPy it was generated with, whose path its header
            # contains; with another NumPy it is generated again.
            generated = Path(ext.sources[0]).with_suffix(".c")
            if generated.exists() and numpy.get_include() not in generated.read_text("utf-8"):
                generated.unlink()
            ext.depends = [*ext.depends, *ext.extra_objects, str(stamp)]
            ext.define_macros += macros
            ext.extra_compile_args = self.spelled(flags)
            ext.extra_link_args = [*thread_flags, *SANITIZE_FLAGS]
        super().build_extensions()

    def require_toolchain(self) -> None:
        """Exit, with one line, if there is no C compiler or if it does not find Python.h."""
        compiler = "clang-cl" if self.use_clang_cl else self.compiler.compiler_so[0]
        try:
            if self.use_clang_cl:  # the tables use the vector types of GCC and Clang
                self.compiler.initialize()
                self.compiler.cc = compiler
            found = self.accepts(())
        except PlatformError:  # there is no Visual Studio, whose libraries clang-cl links
            found = False
        if not found:
            raise SystemExit(NEEDS_COMPILER.format(compiler=compiler))
        if not self.accepts((), PYTHON_PROBE):
            version = f"{sys.version_info[0]}.{sys.version_info[1]}"
            raise SystemExit(NEEDS_HEADERS.format(compiler=compiler, version=version))

    def accepts(self, flags: Sequence[str], code: str = "int zero(void) { return 0; }\n") -> bool:
        """Whether the compiler compiles and links `code` with `flags`."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(code)
            args = self.spelled(flags)
            try:
                objects = self.compiler.compile([str(source)], folder, extra_postargs=args)
                library = str(Path(folder, "probe.so"))
                self.compiler.link_shared_object(objects, library, extra_postargs=[*flags])
            except (CompileError, LinkError):
                return False
        return True

    def spelled(self, flags: Sequence[str]) -> list[str]:
        """The flags in the spelling of this compiler."""
        return [f"/clang:{flag}" if self.use_clang_cl else flag for flag in flags]


def for_an_index(readme: str) -> str:
    """README.md for an index, where relative links lead nowhere: no images, links as text."""
    target = r"\((?!\w+:)[^)]*\)"
    image = rf"!\[[^]]*\]{target}"
    text = re.sub(rf":(?:\n\n{image})+", ".", readme)  # what announces an image ends in a colon
    text = re.sub(rf"{image}\n*", "", text)
    return re.sub(rf"(?<!\w)\[([^]]*)\]{target}", r"\1", text)


HEADERS = [str(header) for header in sorted(Path("csrc").rglob("*.h"))]
DECLARATIONS = [str(path) for path in sorted(Path("fastseq/_kernels").glob("*.pxd"))]

if __name__ == "__main__":
    macros = [("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")]
    if STABLE_ABI:
        macros.append(("Py_LIMITED_API", "0x030B0000"))
    modules = [
        Extension(
            f"fastseq._kernels.{name}",
            [f"fastseq/_kernels/{name}.pyx"],
            include_dirs=["csrc", numpy.get_include()],
            libraries=[] if os.name == "nt" else ["m"],
            define_macros=[*macros],
            py_limited_api=STABLE_ABI,
            depends=[*HEADERS, *DECLARATIONS],
        )
        for name in MODULES
    ]
    setup(
        ext_modules=modules,
        cmdclass={"build_ext": BuildKernels},
        long_description=for_an_index(Path("README.md").read_text("utf-8")),
        long_description_content_type="text/markdown",
    )
