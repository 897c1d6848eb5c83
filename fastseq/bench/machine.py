"""What was measured on: processor, compiler, BLAS, versions."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from fastseq.bench.measure import cores
from fastseq.config import get_config


def describe(libraries: Sequence[str], skipped: Mapping[str, str]) -> dict[str, Any]:
    """The machine and what runs on it, ready for ``json.dump``.

    Parameters
    ----------
    libraries : sequence of str
        Those that are measured.
    skipped : mapping of str to str
        Those that are not, and why.
    """
    config = get_config()
    build = config["build"]
    peers = [library for library in ("torch", "jax") if library in libraries]
    return {
        "cpu": config["cpu"],
        "cores": cores(),
        "isas": config["available_isas"],
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
    """Lay a description out as lines of ``name  value``."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    rows = [
        ("cpu", f"{machine['cpu']}, {machine['cores']} cores; load at the start {machine['load']}"),
        ("isas", ", ".join(machine["isas"])),
        ("compiler", machine["compiler"]),
        ("blas", machine["blas"]),
        ("versions", versions),
        *(("skipped", f"{name}: {reason}") for name, reason in machine["skipped"].items()),
    ]
    return "".join(f"{name:10}{value}\n" for name, value in rows)
