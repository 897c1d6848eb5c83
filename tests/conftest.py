"""Fixtures of all tests: instruction sets, thread counts, awkward arrays, and where the twin is."""

import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastseq import _kernels

Array = npt.NDArray[Any]

# The wheel brings fastseq_reference; a bare checkout has it in python/.
if importlib.util.find_spec("fastseq_reference") is None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "python"))

ISAS = [_kernels.isa()] if os.environ.get("FASTSEQ_ISA") else _kernels.available_isas()


@pytest.fixture(autouse=True, scope="session")
def heed_ctrl_c() -> Iterator[None]:
    """Take SIGINT as an interactive run does: what a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once for each instruction set that this machine has."""
    before = _kernels.isa()
    _kernels.set_isa(request.param)
    yield request.param
    _kernels.set_isa(before)


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    """`set_num_threads`, undone after the test."""
    before = _kernels.get_num_threads()
    yield _kernels.set_num_threads
    _kernels.set_num_threads(before)


def _strided(array: Array) -> Array:
    wide = np.zeros((*array.shape[:-1], 3 * array.shape[-1]), dtype=array.dtype)
    view = wide[..., ::3]
    view[...] = array
    return view


def _reversed(array: Array) -> Array:
    flip = (slice(None, None, -1),) * array.ndim
    return array[flip].copy()[flip]


def _misaligned(array: Array) -> Array:
    memory = np.zeros(array.nbytes + 1, dtype=np.uint8)
    view = memory[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def _read_only(array: Array) -> Array:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


AWKWARD: dict[str, Callable[[Array], Array]] = {
    "fortran": np.asfortranarray,
    "strided": _strided,
    "reversed": _reversed,
    "misaligned": _misaligned,
    "read_only": _read_only,
    "byte_swapped": lambda array: array.astype(array.dtype.newbyteorder()),
    "float64": lambda array: array.astype(np.float64),
}


@pytest.fixture(params=AWKWARD)
def awkward(request: pytest.FixtureRequest) -> Callable[[Array], Array]:
    """Give an array's values another memory layout or float type."""
    return AWKWARD[request.param]
