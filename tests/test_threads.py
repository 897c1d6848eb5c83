"""Thread counts: who sets them, what small work does with them, and what a forked child may do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastseq
from fastseq import _kernels

needs_openmp = pytest.mark.skipif(
    _kernels.build_info()["openmp"] == "no", reason="this build has no OpenMP"
)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def run_python(code: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return result.stdout.strip()


@needs_openmp
def test_omp_num_threads_is_honoured() -> None:
    code = "import fastseq; print(fastseq.get_num_threads())"
    assert run_python(code, OMP_NUM_THREADS="1") == "1"
    assert run_python(code, OMP_NUM_THREADS="3") == "3"


@needs_openmp
def test_the_number_can_be_set(set_threads: Callable[[int], None]) -> None:
    for count in (1, 2, 4):
        set_threads(count)
        assert fastseq.get_num_threads() == count


def test_a_number_that_is_none_is_refused() -> None:
    before = fastseq.get_num_threads()
    for wrong in (0, -1, 100_000):
        with pytest.raises(ValueError, match=f"num_threads.*1 to .*got {wrong}"):
            fastseq.set_num_threads(wrong)
    for wrong in (1.5, "2", True, None):
        with pytest.raises(TypeError, match="num_threads: expected an int"):
            fastseq.set_num_threads(wrong)  # type: ignore[arg-type]
    assert fastseq.get_num_threads() == before


FORK = """
import os, sys
import numpy as np
import fastseq
from fastseq import _kernels

def work():
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    params = [draw(16, 512), draw(128, 512), draw(512)]
    return _kernels.recurrent_forward(_kernels.Workspace(), "lstm", draw(64, 20, 16), params)[0]

fastseq.set_num_threads(2)
parent = work()  # the parent's team of threads exists from here on
child = os.fork()
if child == 0:
    one = fastseq.get_num_threads()
    fastseq.set_num_threads(2)
    still_one = fastseq.get_num_threads()
    same = np.array_equal(work(), parent)
    os._exit(0 if (one, still_one, same) == (1, 1, True) else 1)
_, status = os.waitpid(child, 0)
assert np.array_equal(work(), parent)
print(os.waitstatus_to_exitcode(status))
"""


@needs_fork
def test_a_forked_child_runs_on_one_thread_and_does_not_hang() -> None:
    assert run_python(FORK, OMP_NUM_THREADS="2") == "0"


POOL = """
import multiprocessing
import numpy as np
import fastseq
from fastseq import _kernels

def work(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((512, 256)).astype(np.float32)
    return float(_kernels.affine_forward(x, x[:256]).sum())

if __name__ == "__main__":
    fastseq.set_num_threads(2)
    expected = [work(seed) for seed in range(4)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(work, range(4)) == expected
    print("same")
"""


@needs_fork
def test_a_pool_of_forked_workers_gives_the_same_results() -> None:
    assert run_python(POOL, OMP_NUM_THREADS="2") == "same"


@needs_openmp
def test_layers_on_several_threads_are_independent(set_threads: Callable[[int], None]) -> None:
    set_threads(2)
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((40, 12, 16)).astype(np.float32)
    weights = [rng.standard_normal(s).astype(np.float32) for s in ((16, 256), (64, 256), (256,))]

    def work(_: int) -> tuple[np.ndarray, np.ndarray]:
        layer = fastseq.TimeLSTM(*(w.copy() for w in weights))
        for _ in range(5):
            hs = layer.forward(xs)
            dxs = layer.backward(hs)
        return hs, dxs

    expected_hs, expected_dxs = work(0)
    with ThreadPoolExecutor(4) as pool:
        for hs, dxs in pool.map(work, range(16)):
            np.testing.assert_array_equal(hs, expected_hs)
            np.testing.assert_array_equal(dxs, expected_dxs)
