"""Peaks of the machine, and what fraction of them the loops of csrc reach: one table.

Compiles peaks.c with the kernels of the instruction set in use (`FASTSEQ_ISA` chooses) and the
flags of setup.py, and runs it. The machine must be idle otherwise.
"""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from pathlib import Path

from fastseq.config import get_config
from instructions import CSRC, HERE, CountError, compiler_flags, compiler_name, run


def main() -> int:
    """Compile and run; the exit status."""
    compiler = os.environ.get("CC", "cc").split()
    isa = str(get_config()["isa"])
    try:
        print(f"{compiler_name(compiler)}, {isa}", flush=True)  # before what the program prints
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder, "peaks.so")
            source = f'-DFS_ISA_SOURCE="{CSRC}/isa/{isa}.c"'
            flags = [*compiler_flags(isa), "-D_GNU_SOURCE", "-pthread", "-shared", "-fPIC", source]
            sources = (HERE / "peaks.c", CSRC / "thread_pool.c")
            run(*compiler, *flags, *sources, "-lm", "-o", library)
            # in this process: choosing the instruction set has asked the system for AMX
            return ctypes.CDLL(str(library)).measure_peaks()
    except CountError as error:
        print(f"peaks.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
