"""Fixtures of all tests: instruction sets, thread counts, memory layouts, compiled C files."""

import importlib.util
import os
import runpy
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastseq import _kernels
from fastseq.precision import products_in
from support.kernels.hostile_values import (
    byte_swapped,
    misaligned,
    read_only,
    reversed_strides,
    strided,
)
from support.units import ROOT, Units

Array = npt.NDArray[Any]

# The wheel contains fastseq_reference; in a checkout it is in python/.
if importlib.util.find_spec("fastseq_reference") is None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "python"))

# Of the process: within `float32_products` a thread's is another.
PROCESS_ISA = _kernels.isa()
ISAS = [PROCESS_ISA] if os.environ.get("FASTSEQ_ISA") else _kernels.available_isas()


@pytest.fixture(autouse=True, scope="session")
def handle_sigint() -> Iterator[None]:
    """Handle SIGINT as in an interactive run: shells make background processes ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once for each instruction set of this machine."""
    _kernels.set_isa(request.param)
    yield request.param
    _kernels.set_isa(PROCESS_ISA)


@pytest.fixture
def float32_products() -> Iterator[None]:
    """Products of float32 operands, whatever ``FASTSEQ_PRECISION`` is.

    For tests of what is exact in float32 alone: that a comparison sees an error of a thousandth, or
    that scores of thousands differ by the right amount.
    """
    with products_in("float32"):
        yield


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    """`set_num_threads`; the number is restored after the test."""
    before = _kernels.get_num_threads()
    yield _kernels.set_num_threads
    _kernels.set_num_threads(before)


AWKWARD: dict[str, Callable[[Array], Array]] = {
    "fortran": np.asfortranarray,
    "strided": strided,
    "reversed": reversed_strides,
    "misaligned": misaligned,
    "read_only": read_only,
    "byte_swapped": byte_swapped,
    "float64": lambda array: array.astype(np.float64),
}


@pytest.fixture(params=AWKWARD)
def awkward(request: pytest.FixtureRequest) -> Callable[[Array], Array]:
    """Convert an array to another memory layout or float type."""
    return AWKWARD[request.param]


@pytest.fixture(scope="session")
def build() -> dict[str, Any]:
    """The names that setup.py defines, without a build."""
    if not (ROOT / "setup.py").exists():
        pytest.skip("setup.py is not here: only the installed package is")
    pytest.importorskip("setuptools.modified", reason="setup.py needs setuptools >= 77")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FASTSEQ_DEBUG", raising=False)
        patch.delenv("FASTSEQ_SANITIZE", raising=False)
        return runpy.run_path(str(ROOT / "setup.py"))


@pytest.fixture(scope="session")
def units(tmp_path_factory: pytest.TempPathFactory) -> Units:
    """The C files that tests compile."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    (shared / "units").mkdir(exist_ok=True)
    return Units(shared / "units")
