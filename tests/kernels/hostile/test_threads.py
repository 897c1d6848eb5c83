"""Concurrent threads that use the workspace, change settings, or write to the arguments."""

import contextlib
import itertools
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastseq import _kernels
from support.helpers import operand_rounding
from support.kernels.hostile import (
    Array,
    Call,
    draw,
    isolated,
    lstm_gradients,
    lstm_weights,
    meanwhile,
)

ROUNDS = 300
SECONDS = 1.5  # of searching for a race; a known one was found in less
LENGTHS = np.random.default_rng(0).integers(0, 21, 512)


# ---- one workspace, two threads ----


def both(*loops: Call) -> None:
    """Run the loops concurrently; raise the first exception of either."""
    failures: list[BaseException] = []

    def guarded(loop: Call) -> None:
        try:
            loop()
        except BaseException as error:
            failures.append(error)

    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=guarded, args=(loop,)) for loop in loops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def repeated(call: Call, expected: list[Array]) -> Call:
    """Repeat a call for SECONDS; each must return the expected arrays or raise RuntimeError."""

    def loop() -> None:
        end = time.monotonic() + 2 * SECONDS
        rounds = 0
        while rounds < ROUNDS or time.monotonic() < end:
            rounds += 1
            try:
                actual = call()
            except RuntimeError:
                continue
            for one, other in zip(actual, expected, strict=True):
                np.testing.assert_array_equal(one, other)

    return loop


@pytest.mark.parametrize("lengths", ["with lengths", "without"])
@isolated
def test_two_forward_passes_on_one_workspace(lengths: str) -> None:
    workspace, params = _kernels.Workspace(), lstm_weights(8, 16)
    loops = []
    for rows, steps in ((512, 3), (32, 20)):
        xs = draw(rows, steps, 8, seed=rows)
        own = LENGTHS[:rows] % (steps + 1) if lengths == "with lengths" else None

        def forward(xs: Array = xs, own: Array | None = own) -> Any:
            return _kernels.recurrent_forward(workspace, "lstm", xs, params, lengths=own)

        loops.append(repeated(forward, forward()))
    both(*loops)


@isolated
def test_backward_while_another_thread_runs_forward() -> None:
    workspace, params, xs = _kernels.Workspace(), lstm_weights(8, 16), draw(32, 20, 8)

    def forward() -> Any:
        return _kernels.recurrent_forward(workspace, "lstm", xs, params, lengths=LENGTHS[:32])

    def backward() -> Any:
        grads = lstm_gradients(8, 16)
        return *_kernels.recurrent_backward(workspace, hs, params, grads), *grads

    hs, *_ = expected = forward()
    both(repeated(forward, expected), repeated(backward, backward()))


@isolated
def test_a_workspace_is_released_by_another_thread() -> None:
    workspace, params, xs = _kernels.Workspace(), lstm_weights(8, 16), draw(32, 20, 8)

    def release() -> None:
        with contextlib.suppress(RuntimeError):
            workspace.release()

    def run() -> Any:
        hs, *_ = _kernels.recurrent_forward(workspace, "lstm", xs, params, lengths=LENGTHS[:32])
        grads = lstm_gradients(8, 16)
        return hs, _kernels.recurrent_backward(workspace, hs, params, grads)[0], *grads

    expected = run()
    with meanwhile(release):
        repeated(run, expected)()


# ---- concurrent changes of the settings ----


def changing_threads() -> Call:
    counts = itertools.cycle((1, 64, 2, 256, 3, 17))
    return lambda: _kernels.set_num_threads(next(counts))


def changing_isa() -> Call:
    names = itertools.cycle(_kernels.available_isas())
    return lambda: _kernels.set_isa(next(names))


def backward_calls() -> dict[str, Call]:
    N, Te, Td, H = 8, 24, 24, 64
    enc, dec, v = draw(N, Te, H) / 8, draw(N, Td, H, seed=1) / 8, draw(H)
    weights = _kernels.attention_weight_forward(enc, dec)
    dweights, dout = draw(N, Td, Te), draw(N, Td, H, seed=2)
    params, xs = lstm_weights(16, 64), draw(N, Te, 16)
    workspace = _kernels.Workspace()

    def recurrent() -> Any:
        grads = lstm_gradients(16, 64)
        hs, *_ = _kernels.recurrent_forward(workspace, "lstm", xs, params)
        return hs, *_kernels.recurrent_backward(workspace, dout, params, grads), *grads

    def additive() -> Any:
        dv = np.empty_like(v)
        return *_kernels.additive_weight_backward(dweights, enc, dec, v, weights, dv), dv

    return {
        "attention": lambda: _kernels.attention_backward(dout, enc, dec, weights),
        "attention_weight": lambda: _kernels.attention_weight_backward(dweights, enc, dec, weights),
        "additive_weight": additive,
        "recurrent": recurrent,
    }


@pytest.mark.parametrize("name", ["attention", "attention_weight", "additive_weight", "recurrent"])
@pytest.mark.parametrize("setting", ["threads", "isa"])
@isolated
def test_a_setting_changes_during_backward(name: str, setting: str) -> None:
    call = backward_calls()[name]
    _kernels.set_num_threads(1)
    expected = call()
    change = changing_threads() if setting == "threads" else changing_isa()
    other_sums = {"rtol": 1e-3, "atol": 1e-4 + operand_rounding()}
    tolerance = {"rtol": 0, "atol": 0} if setting == "threads" else other_sums
    end = time.monotonic() + SECONDS
    with meanwhile(change):
        while time.monotonic() < end:
            for actual, right in zip(call(), expected, strict=True):
                np.testing.assert_allclose(actual, right, **tolerance)


# ---- concurrent writes to the arguments ----


def scribbling_calls() -> dict[str, tuple[Array, Call]]:
    """The integers to write to, and the call that reads them."""
    k, V = _kernels, 50
    ids = np.zeros((64, 40), np.int64)
    lengths = np.ones(64, np.int64)
    W, dW, scores = draw(V, 16), draw(V, 16), draw(64, 40, V)
    dout, params, xs = draw(64, 40, 16), lstm_weights(16, 16), draw(64, 40, 16)
    weights = k.attention_weight_forward(xs, xs)
    workspace = k.Workspace()

    def embedded() -> None:
        hs, *_ = k.recurrent_forward(workspace, "lstm", ids, params, embedding=W)
        k.recurrent_backward(workspace, hs, params, lstm_gradients(16, 16), dembedding=dW)

    def ragged() -> None:
        hs, *_ = k.recurrent_forward(workspace, "lstm", xs, params, lengths=lengths)
        k.recurrent_backward(workspace, hs, params, lstm_gradients(16, 16))

    return {
        "embedding_forward": (ids, lambda: k.embedding_forward(W, ids)),
        "embedding_backward": (ids, lambda: k.embedding_backward(dW, ids, dout)),
        "softmax_loss_forward": (ids, lambda: k.softmax_loss_forward(scores, ids, None)),
        "softmax_loss_ignore": (ids, lambda: k.softmax_loss_forward(scores, ids, 7)),
        "softmax_loss_backward": (ids, lambda: k.softmax_loss_backward(scores, ids, None, 1.0)),
        "recurrent_embedding": (ids, embedded),
        "recurrent_lengths": (lengths, ragged),
        "attention_encoder": (lengths, lambda: k.attention_forward(xs, xs, 1.0, lengths)),
        "attention_decoder": (lengths, lambda: k.attention_forward(xs, xs, 1.0, None, lengths)),
        "attention_backward": (
            lengths,
            lambda: k.attention_backward(xs, xs, xs, weights, 1.0, lengths, lengths),
        ),
        "weight_sum": (lengths, lambda: k.weight_sum_backward(xs, xs, weights, lengths)),
        "additive": (lengths, lambda: k.additive_weight_forward(xs, xs, draw(16), lengths)),
    }


@pytest.mark.parametrize("name", scribbling_calls())
@isolated
def test_another_thread_writes_to_the_integers(name: str) -> None:
    target, call = scribbling_calls()[name]
    wild: Callable[[], int] = itertools.cycle((2**40, -(2**50), 2**62)).__next__

    def scribble() -> None:
        # mostly valid values, so that the check often passes
        target[...] = 1
        time.sleep(2e-5)
        target.flat[target.size // 2 :] = wild()

    end = time.monotonic() + SECONDS
    with meanwhile(scribble):
        while time.monotonic() < end:
            try:
                call()
            except (IndexError, ValueError):
                continue
