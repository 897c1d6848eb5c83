"""The machine of a run: processor, compiler, BLAS, versions."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from fastseq.bench.measure import cores
from fastseq.config import get_config


def describe(backends: Sequence[str], skipped: Mapping[str, str]) -> dict[str, Any]:
    """The machine and the versions of its software, ready for ``json.dump``.

    Parameters
    ----------
    backends : sequence of str
        Those that are measured.
    skipped : mapping of str to str
        Those that are not measured, and why.
    """
    config = get_config()
    build = config["build"]
    peers = [backend for backend in ("torch", "jax") if backend in backends]
    return {
        "cpu": config["cpu"],
        "cores": cores(),
        "isas": config["available_isas"],
        "bfloat16": config["bfloat16"],
        "compiler": build["compiler"],
        "versions": {
            "fastseq": config["fastseq"],
            "numpy": config["numpy"],
            "python": platform.python_version(),
            **{peer: metadata.version(peer) for peer in peers},
        },
        "blas": config["blas"],
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "skipped": dict(skipped),
    }


def format_machine(machine: Mapping[str, Any]) -> str:
    """Format a description as lines of ``name  value``."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    rows = [
        ("cpu", f"{machine['cpu']}, {machine['cores']} cores; load at the start {machine['load']}"),
        ("isas", ", ".join(machine["isas"])),
        ("bfloat16", machine.get("bfloat16", "not recorded")),  # as in files of earlier versions
        ("compiler", machine["compiler"]),
        ("blas", machine["blas"]),
        ("versions", versions),
        *(("skipped", f"{name}: {reason}") for name, reason in machine["skipped"].items()),
    ]
    return "".join(f"{name:10}{value}\n" for name, value in rows)
