"""Signals while a kernel computes: handlers run soon, and what they raise ends the call.

Time is that of the processor, so that other programs do not matter: a timer sends SIGPROF when the
process has used some of it, and its handler raises what that of Ctrl-C does.
"""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from fastseq import _kernels
from fastseq.layers import TimeLSTM

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no timer")
AFTER = 0.1  # seconds
SOON = 1.0  # of all threads, from the signal on; each call takes several times as long
Call = Callable[[], Any]


@contextlib.contextmanager
def pressed(handle: Callable[[], None]) -> Iterator[None]:
    """Within this context a signal comes when the process has computed for a while."""
    before = signal.signal(signal.SIGPROF, lambda number, frame: handle())
    try:
        signal.setitimer(signal.ITIMER_PROF, AFTER)
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def interrupt() -> None:
    raise KeyboardInterrupt


def floats(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape, scale=0.1).astype(np.float32)


def lstm(D: int = 256, H: int = 256) -> TimeLSTM:
    return TimeLSTM(floats(D, 4 * H), floats(H, 4 * H), floats(4 * H))


def forward(rows: int) -> Call:
    layer, xs = lstm(), floats(rows, 60_000 // rows, 256)
    return lambda: layer.forward(xs)


def inference() -> Call:
    params, xs = [floats(256, 1024), floats(256, 1024), floats(1024)], floats(32, 2000, 256)
    return lambda: _kernels.recurrent_forward(None, "lstm", xs, params)


def backward() -> Call:
    layer = lstm()
    dhs = layer.forward(floats(32, 2000, 256))
    return lambda: layer.backward(dhs)


def attention(backward: bool) -> Call:
    enc, dec = floats(32, 1500, 256), floats(32, 1500, 256)
    weights = floats(32, 1500, 1500) if backward else None
    if backward:
        return lambda: _kernels.attention_backward(dec, enc, dec, weights)
    return lambda: _kernels.attention_forward(enc, dec)


def affine(backward: bool) -> Call:
    xs, W, ys = floats(60_000, 512), floats(512, 1000), floats(60_000, 1000)
    dW, db = np.empty_like(W), np.empty(1000, np.float32)
    if backward:
        return lambda: _kernels.affine_backward(ys, xs, W, dW, db)
    return lambda: _kernels.affine_forward(xs, W)


def decode() -> Call:
    layers = [[floats(64, 1024), floats(256, 1024), floats(1024)]]
    output, embedding, h0 = [floats(256, 500), floats(500)], floats(500, 64), floats(1, 64, 256)
    return lambda: _kernels.decode("lstm", 0, 1500, h0, embedding, layers, output)


CALLS: dict[str, Callable[[], Call]] = {
    "forward": lambda: forward(32),
    "forward of one row": lambda: forward(1),
    "inference": inference,
    "backward": backward,
    "attention": lambda: attention(backward=False),
    "attention, backward": lambda: attention(backward=True),
    "affine": lambda: affine(backward=False),
    "affine, backward": lambda: affine(backward=True),
    "decode": decode,
}


def check_ends_soon(name: str) -> None:
    call = CALLS[name]()
    times: list[float] = []

    def handle() -> None:
        times.append(time.process_time())
        raise KeyboardInterrupt

    start = time.process_time()
    with pytest.raises(KeyboardInterrupt), pressed(handle):
        call()
    end = time.process_time()
    assert len(times) == 1
    assert times[0] - start < AFTER + SOON
    assert end - times[0] < SOON


@pytest.mark.parametrize("name", ["forward", "decode"])
def test_a_long_call_ends_soon(name: str, set_threads: Callable[[int], None]) -> None:
    set_threads(2)
    check_ends_soon(name)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CALLS)
def test_each_long_call_ends_soon(
    name: str, threads: int, set_threads: Callable[[int], None]
) -> None:
    set_threads(threads)
    check_ends_soon(name)


def test_a_handler_that_returns_changes_nothing(set_threads: Callable[[int], None]) -> None:
    set_threads(2)
    xs = floats(32, 300, 256)
    expected = lstm().forward(xs)
    runs: list[float] = []
    layer = lstm()
    with pressed(lambda: runs.append(time.process_time())):
        start = time.process_time()
        actual = layer.forward(xs)
        end = time.process_time()
    assert len(runs) == 1
    assert start < runs[0] < end
    np.testing.assert_array_equal(actual, expected)


def test_a_layer_is_usable_afterwards() -> None:
    xs = floats(32, 2000, 256)
    layer, other = lstm(), lstm()
    before = [array.copy() for array in layer.params]
    with pytest.raises(KeyboardInterrupt), pressed(interrupt):
        layer.forward(xs)
    with pytest.raises(RuntimeError, match="call forward first"):
        layer.backward(np.ones((32, 2000, 256), np.float32))
    for array, old in zip(layer.params, before, strict=True):
        np.testing.assert_array_equal(array, old)
    few = xs[:, :9]
    for each in (layer, other):
        each.backward(np.ones_like(each.forward(few)))
    np.testing.assert_array_equal(layer.h, other.h)
    for one, two in zip(layer.grads, other.grads, strict=True):
        np.testing.assert_array_equal(one, two)


def test_gradients_of_a_call_that_ended_early_are_zero_and_can_be_computed_again() -> None:
    layer, other = lstm(), lstm()
    xs, dhs = floats(32, 500, 256), floats(32, 500, 256)
    for each in (layer, other):
        each.forward(xs)
    for grad in layer.grads:
        grad[...] = 7
    with pytest.raises(KeyboardInterrupt), pressed(interrupt):
        layer.backward(dhs)
    for grad in layer.grads:
        assert not grad.any()
    np.testing.assert_array_equal(layer.backward(dhs), other.backward(dhs))
    for one, two in zip(layer.grads, other.grads, strict=True):
        np.testing.assert_array_equal(one, two)


def test_an_update_of_parameters_is_never_half_done() -> None:
    """It is in place, so it runs to its end."""
    from fastseq.optim import Adam

    params, grads = [floats(3000, 3000)], [floats(3000, 3000)]
    expected = [params[0].copy()]
    Adam().update(expected, grads)
    optimizer = Adam()
    with contextlib.suppress(KeyboardInterrupt), pressed(interrupt):
        optimizer.update(params, grads)
        while True:  # until the signal
            time.process_time()
    np.testing.assert_array_equal(params[0], expected[0])
