"""What is imported, and when: no library of a reader before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import fastseq.interop

PROGRAM = """
import sys
import fastseq
assert not any(name.startswith("fastseq.interop") for name in sys.modules)
import fastseq.interop
assert not any(name.startswith("fastseq.interop.") for name in sys.modules)
for name in fastseq.interop.__all__:
    getattr(fastseq.interop, name)
libraries = {"torch", "keras", "tensorflow", "h5py", "onnx", "onnxruntime", "safetensors"}
print(sorted(libraries & set(sys.modules)))
"""


def test_no_library_is_imported_before_it_is_used() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_names() -> None:
    assert set(fastseq.interop.__all__) <= set(dir(fastseq.interop))
    with pytest.raises(AttributeError, match="has no attribute 'from_chainer'"):
        fastseq.interop.from_chainer  # noqa: B018
