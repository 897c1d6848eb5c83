"""Numbers of threads, forked processes, concurrent callers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fastseq
from fastseq import _kernels

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


def test_the_environment_sets_the_number() -> None:
    code = "import fastseq; print(fastseq.get_num_threads())"
    assert run_python(code, OMP_NUM_THREADS="1") == "1"
    assert run_python(code, OMP_NUM_THREADS="3", FASTSEQ_NUM_THREADS="2") == "2"


def test_the_number_can_be_set(set_threads: Callable[[int], None]) -> None:
    for count in (1, 2, 4):
        set_threads(count)
        assert fastseq.get_num_threads() == count


def test_an_invalid_number_is_refused() -> None:
    before = fastseq.get_num_threads()
    for wrong in (0, -1, 100_000):
        with pytest.raises(ValueError, match=f"num_threads.*1 to .*got {wrong}"):
            fastseq.set_num_threads(wrong)
    for wrong in (1.5, "2", True, None):
        with pytest.raises(TypeError, match="num_threads: expected an int"):
            fastseq.set_num_threads(wrong)  # type: ignore[arg-type]
    assert fastseq.get_num_threads() == before


WORK = """
import os, sys, threading, time
import numpy as np
import fastseq
from fastseq import _kernels

def threads_here():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else None

rng = np.random.default_rng(0)
draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
params, xs = [draw(16, 512), draw(128, 512), draw(512)], draw(64, 20, 16)
workspace = _kernels.Workspace()

def work():
    return _kernels.recurrent_forward(workspace, "lstm", xs, params)[0]
"""

FORK = """
fastseq.set_num_threads(2)
parent = work()  # the parent's pool now has a worker
child = os.fork()
if child == 0:
    before = threads_here()
    found = [fastseq.get_num_threads() == 2, np.array_equal(work(), parent)]
    found.append(before is None or threads_here() == before + 1)
    os._exit(0 if all(found) else 1)
_, status = os.waitpid(child, 0)
assert np.array_equal(work(), parent)
print(os.waitstatus_to_exitcode(status))
"""


@needs_fork
def test_a_forked_child_has_a_pool_of_its_own() -> None:
    assert run_python(WORK + FORK, FASTSEQ_NUM_THREADS="1") == "0"


# Some of the forks happen while the other thread computes; that thread does not exist in the child.
FORK_MEANWHILE = """
fastseq.set_num_threads(2)
expected = work()
going_on = True

def loop():
    while going_on:
        work()

thread = threading.Thread(target=loop)
thread.start()
statuses = []
for _ in range(20):
    time.sleep(0.002)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(work(), expected) else 1)
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
going_on = False
thread.join()
print(set(statuses))
"""


@needs_fork
def test_a_fork_during_a_call_leaves_the_layer_free_in_the_child() -> None:
    assert run_python(WORK + FORK_MEANWHILE) == "{0}"


IDLE = """
fastseq.set_num_threads(2)
work()
time.sleep(0.01)  # longer than a worker spins
before = time.process_time()
time.sleep(0.5)
print(time.process_time() - before)
"""


def test_an_idle_pool_uses_no_cpu_time() -> None:
    assert float(run_python(WORK + IDLE)) < 0.1


EXIT = """
fastseq.set_num_threads(2)

def loop():
    own = _kernels.Workspace()
    while True:
        _kernels.recurrent_forward(own, "lstm", xs, params)

for _ in range(2):
    threading.Thread(target=loop, daemon=True).start()
time.sleep(0.05)
print("done")
"""


def test_the_interpreter_exits_while_daemon_threads_compute() -> None:
    for _ in range(3):
        assert run_python(WORK + EXIT) == "done"


SUBINTERPRETER = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import numpy as np
run = getattr(interpreters, "exec", None) or interpreters.run_string
other = interpreters.create()
try:
    failed = run(other, "import fastseq") is not None
except Exception:
    failed = True
import fastseq
from fastseq import _kernels
assert _kernels.softmax(np.zeros((1, 2)))[0, 0] == 0.5
print(failed)
"""


def test_a_failed_import_in_a_subinterpreter_has_no_effect() -> None:
    assert run_python(SUBINTERPRETER) in ("True", "False")


def test_two_concurrent_callers_get_correct_results(set_threads: Callable[[int], None]) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 300)).astype(np.float32)
    set_threads(1)
    expected = _kernels.affine_forward(x, x[:300])
    set_threads(2)
    with ThreadPoolExecutor(3) as pool:
        for ys in pool.map(lambda _: _kernels.affine_forward(x, x[:300]), range(60)):
            np.testing.assert_array_equal(ys, expected)


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
    assert run_python(POOL) == "same"


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


LONG_CALLS: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "affine": (_kernels.affine_forward, [(1000, 700), (700, 800)]),
    "attention": (_kernels.attention_forward, [(3, 600, 300), (3, 600, 300)]),
}


@pytest.mark.parametrize("name", LONG_CALLS)
def test_a_long_call_has_the_same_bits_in_the_main_thread(isa: str, name: str) -> None:
    """Only there it looks for signals, for which it computes part by part."""
    function, shapes = LONG_CALLS[name]
    rng = np.random.default_rng(0)
    arguments = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    with ThreadPoolExecutor(1) as other:
        expected = other.submit(function, *arguments).result()
    np.testing.assert_equal(function(*arguments), expected)
