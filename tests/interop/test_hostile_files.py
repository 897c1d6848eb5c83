"""Damaged files: one clear line, at once, and no memory for what is not there.

Each family runs in a process of its own, whose address space may grow by 400 MB: a read that
allocates what a file promises ends in a MemoryError, which fails the test.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastseq.interop import from_keras, from_onnx, from_torch, load_pt
from support.interop.files import damaged, refusal, stored, with_damaged_entry

Read = Callable[[Path], Any]
Damage = Callable[[bytes, int], bytes]

SEEDS = 300
MEGABYTES = 400


def cut(content: bytes, seed: int) -> bytes:
    return content[: len(content) * seed // SEEDS]


def in_entry(name: str) -> Damage:
    return lambda content, seed: with_damaged_entry(content, name, seed)


# Of each family: the stored file, how it is read and damaged, and how many seeds at least are
# refused. Numbers may change unnoticed where there is no checksum.
FAMILIES: dict[str, tuple[str, Read, Damage, int]] = {
    "pt": ("network.pt", from_torch, damaged, 200),
    "pt-cut": ("network.pt", from_torch, cut, SEEDS),
    "pt-pickle": ("network.pt", load_pt, in_entry("data.pkl"), 150),
    "safetensors": ("network.safetensors", from_torch, damaged, 100),
    "safetensors-cut": ("network.safetensors", from_torch, cut, SEEDS),
    "keras": ("keras3.keras", from_keras, damaged, 200),
    "keras-cut": ("keras3.keras", from_keras, cut, SEEDS),
    "keras-config": ("keras3.keras", from_keras, in_entry("config.json"), 100),
    "keras-weights": ("keras3.keras", from_keras, in_entry("weights.h5"), 100),
    "h5": ("keras2.h5", from_keras, damaged, 100),
    "h5-cut": ("keras2.h5", from_keras, cut, SEEDS),
    "onnx": ("exported_lstm.onnx", from_onnx, damaged, 150),
    "onnx-cut": ("exported_lstm.onnx", from_onnx, cut, SEEDS - 20),  # the end holds no weights
}


def run(family: str, folder: str) -> None:
    """Read the file of a family with each kind of damage."""
    import resource

    name, read, damage, least = FAMILIES[family]
    content = stored(name).read_bytes()
    path = Path(folder) / name
    path.write_bytes(content)
    assert refusal(read, path) is None
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEGABYTES * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    refused = 0
    for seed in range(SEEDS):
        path.write_bytes(damage(content, seed))
        start = time.process_time()
        refused += refusal(read, path) is not None
        assert time.process_time() - start < 2, seed
    assert refused >= least, refused


@pytest.mark.skipif(sys.platform == "win32", reason="there is no module resource")
@pytest.mark.parametrize("family", FAMILIES)
def test_damage_is_refused_or_harmless(family: str, tmp_path: Path) -> None:
    if "onnx" in family:
        pytest.importorskip("onnx")
    program = (
        f"import sys; sys.path[:0] = {sys.path!r}; import runpy; "
        f"runpy.run_path({__file__!r})['run']({family!r}, {str(tmp_path)!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
