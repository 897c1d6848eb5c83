"""What runs here: version, instruction set, threads, compiler, NumPy and its BLAS."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np


def get_config() -> dict[str, Any]:
    """Describe this installation and the machine it runs on.

    Returns
    -------
    dict
        Strings, numbers, lists and dicts of them, ready for ``json.dumps``. The keys are "fastseq",
        "isa" (the instruction set in use), "available_isas", "precision" (of the operands of
        products), "bfloat16" (what multiplies them in that precision, "emulated" or an instruction
        set), "threads", "build", "python", "numpy", "blas", "platform" and "cpu".

    Examples
    --------
    >>> from fastseq.config import get_config
    >>> config = get_config()
    >>> config["isa"] in config["available_isas"], config["threads"] >= 1
    (True, True)
    """
    from fastseq import _kernels
    from fastseq.version import __version__

    return {
        "fastseq": __version__,
        "isa": _kernels.isa(),
        "available_isas": list(_kernels.available_isas()),
        "precision": _kernels.get_precision(),
        "bfloat16": _bfloat16(),
        "threads": _kernels.get_num_threads(),
        "build": dict(_kernels.build_info()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": np.__version__,
        "blas": _blas(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
    }


def show_config() -> None:
    """Print :func:`get_config` as a table on standard output.

    Source of each line: the compiled kernels report the instruction set, the threads and how they
    were built; ``numpy.show_config`` the BLAS.

    Examples
    --------
    >>> from fastseq.config import show_config
    >>> show_config()
    fastseq  ...
    isa      ... (available: ...)
    threads  ...
    """
    sys.stdout.write(format_config(get_config()))


def format_config(config: dict[str, Any]) -> str:
    """Lay out a configuration as lines of ``name  value``.

    Parameters
    ----------
    config : dict
        As `get_config` returns it.

    Returns
    -------
    str

    Examples
    --------
    >>> from fastseq.config import format_config, get_config
    >>> format_config(get_config()).split()[0]
    'fastseq'
    """
    rows = [
        ("fastseq", config["fastseq"]),
        ("isa", f"{config['isa']} (available: {', '.join(config['available_isas'])})"),
        ("precision", f"{config['precision']} (bfloat16: {config['bfloat16']})"),
        ("threads", config["threads"]),
        *((name.replace("_", " "), value) for name, value in config["build"].items()),
        ("python", config["python"]),
        ("numpy", config["numpy"]),
        ("blas", config["blas"]),
        ("platform", config["platform"]),
        ("cpu", config["cpu"]),
    ]
    width = max(len(name) for name, _ in rows)
    return "".join(f"{name:{width}}  {value}\n" for name, value in rows)


def _bfloat16() -> str:
    """What multiplies bfloat16 here."""
    from fastseq import _kernels

    native = {"avx512_bf16", "amx"}
    best = _kernels.bfloat16_isas()[-1]
    return best if best in native else "emulated"


def _blas() -> str:
    """Name and version of the BLAS that NumPy was built with."""
    build: Any = np.show_config(mode="dicts")
    blas = build.get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def _cpu_name() -> str:
    """The processor as its maker calls it, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()
