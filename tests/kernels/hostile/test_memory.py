"""Arrays that overlap themselves or another, and sizes beyond any memory."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from fastseq import _kernels
from support.helpers import assert_close, float32_tolerance
from support.kernels.hostile import (
    STEPS,
    Array,
    Call,
    decode,
    draw,
    isolated,
    lstm_weights,
    refused,
    right_or_refused,
)

HUGE = 2**40


# ---- an input that overlaps an output ----


def reference_step(name: str, p: Array, g: Array) -> list[Array]:
    """The formulas in float64, from states of zeros: the parameter, then the states."""
    p, g = p.astype(np.float64), g.astype(np.float64)
    zero = np.zeros_like(p)
    if name == "sgd_step":
        return [p - 0.5 * g]
    if name == "momentum_step":
        return [p - 0.5 * g, -0.5 * g]
    if name == "nesterov_step":
        return [p + 0.81 * -0.5 * g - 1.9 * 0.5 * g, -0.5 * g]
    if name == "adagrad_step":
        return [p - 0.5 * g / (np.sqrt(g**2) + 1e-7), g**2]
    if name == "rmsprop_step":
        h = 0.1 * g**2
        return [p - 0.5 * g / (np.sqrt(h) + 1e-7), h]
    m, v = zero + 0.1 * g, zero + 0.01 * g**2
    return [p - 0.5 * m / (np.sqrt(v) + 1e-7), m, v]


LAYOUTS: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "ahead": lambda buffer: (buffer[1:], buffer[:-1]),
    "behind": lambda buffer: (buffer[:-1], buffer[1:]),
    "far_ahead": lambda buffer: (buffer[17:], buffer[:-17]),
    "reversed": lambda buffer: (buffer, buffer[::-1]),
    "parts": lambda buffer: (buffer[:-1:2], buffer[1::2]),
    "same": lambda buffer: (buffer, buffer),
    "transposed": lambda buffer: (
        buffer[: 63**2].reshape(63, 63),
        buffer[: 63**2].reshape(63, 63).T,
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", STEPS)
def test_a_gradient_overlaps_its_parameter(isa: str, name: str, layout: str) -> None:
    states, numbers = STEPS[name]
    param, grad = LAYOUTS[layout](draw(4096))
    zeros = [np.zeros_like(param) for _ in range(states)]
    expected = reference_step(name, param, grad)
    getattr(_kernels, name)([param], [grad], *([each] for each in zeros), *numbers)
    # divided by the square root of its own square, a gradient is ±1 within a few roundings
    for actual, right in zip((param, *zeros), expected, strict=True):
        assert_close(actual, right, **float32_tolerance(4, 8.0))


@pytest.mark.parametrize("layout", ["ahead", "behind", "reversed", "same"])
@pytest.mark.parametrize("name", [name for name, (states, _) in STEPS.items() if states])
def test_a_state_that_overlaps_its_parameter_is_refused(name: str, layout: str) -> None:
    states, numbers = STEPS[name]
    keyword = {1: "velocities", 2: "first_moments"}[states]
    keyword = {"adagrad_step": "square_sums", "rmsprop_step": "square_means"}.get(name, keyword)
    param, state = LAYOUTS[layout](draw(4096))
    others = [[draw(*param.shape)] for _ in range(states - 1)]
    before = param.copy()
    refused(
        lambda: getattr(_kernels, name)([param], [draw(*param.shape)], [state], *others, *numbers),
        "params[0]",
        f"{keyword}[0]",
        kinds=(ValueError,),
    )
    np.testing.assert_array_equal(param, before)


def test_two_moments_that_overlap_are_refused() -> None:
    moments = np.zeros(9, np.float32)
    refused(
        lambda: _kernels.adam_step(
            [draw(8)], [draw(8)], [moments[1:]], [moments[:-1]], 0.5, 0.9, 0.99
        ),
        "first_moments[0]",
        "second_moments[0]",
        kinds=(ValueError,),
    )


def test_a_parameter_may_occur_twice() -> None:
    param, expected = draw(8), draw(8)
    grads = [draw(8, seed=1), draw(8, seed=2)]
    _kernels.sgd_step([param, param[::-1]], [grads[0], grads[1]], 0.5)
    expected = expected - np.float32(0.5) * grads[0] - np.float32(0.5) * grads[1][::-1]
    np.testing.assert_allclose(param, expected, 1e-5)


# ---- two outputs in the same memory ----


def recurrent_pass(**inputs: Any) -> tuple[_kernels.Workspace, Array, list[Array]]:
    """A forward pass of an LSTM with D 4 and H 4: workspace, hs, weights."""
    workspace = _kernels.Workspace()
    context = inputs.get("context")
    params = lstm_weights(4 + (0 if context is None else context.shape[1]), 4)
    xs = inputs.pop("xs", None)
    if xs is None:
        xs = draw(2, 3, 4)
    hs, *_ = _kernels.recurrent_forward(workspace, "lstm", xs, params, **inputs)
    return workspace, hs, params


def test_weight_gradients_in_the_same_memory_are_refused() -> None:
    workspace, hs, params = recurrent_pass()
    square, b = np.empty((4, 16), np.float32), np.empty(16, np.float32)
    long = np.empty(4 * 16 + 8, np.float32)
    cases = [
        ([square, square, b], "dWx", "dWh"),
        ([square, square[::-1], b], "dWx", "dWh"),
        ([square, np.empty_like(square), square[2]], "dWx", "db"),
        ([np.empty_like(square), square, square[0]], "dWh", "db"),
        ([long[:64].reshape(4, 16), long[8:].reshape(4, 16), b], "dWx", "dWh"),
    ]
    for grads, *names in cases:
        refused(
            lambda grads=grads: _kernels.recurrent_backward(workspace, hs, params, grads),
            *names,
            kinds=(ValueError,),
        )


def test_gradients_of_two_directions_in_the_same_memory_are_refused() -> None:
    workspace, params = _kernels.Workspace(), lstm_weights(4, 4)
    hs, *_ = _kernels.recurrent_forward(workspace, "lstm", draw(2, 3, 4), params + params)
    grads = [np.empty_like(each) for each in params]
    refused(
        lambda: _kernels.recurrent_backward(workspace, hs, params + params, grads + grads),
        "dWx1",
        "dWx2",
        kinds=(ValueError,),
    )


def test_other_gradients_in_the_same_memory_are_refused() -> None:
    ids = np.array([[0, 1, 2], [3, 4, 5]])
    embedding, context = draw(6, 4), draw(2, 4)
    workspace, hs, params = recurrent_pass(xs=ids, embedding=embedding, context=context)
    grads = [np.empty_like(each) for each in params]
    dembedding = np.empty((6, 4), np.float32)
    for more, names in (
        ({"dembedding": dembedding, "dcontext": dembedding[1:3]}, ("dembedding", "dcontext")),
        ({"dembedding": grads[1][:, :6].T, "dcontext": draw(2, 4)}, ("dembedding", "dWh")),
        ({"dembedding": dembedding, "dcontext": grads[0][:2, :4]}, ("dcontext", "dWx")),
    ):
        refused(
            lambda more=more: _kernels.recurrent_backward(workspace, hs, params, grads, **more),
            *names,
            kinds=(ValueError,),
        )
    dW = np.empty((5, 9), np.float32)
    refused(
        lambda: _kernels.affine_backward(draw(6, 9), draw(6, 5), draw(5, 9), dW, dW[0]),
        "dW",
        "db",
        kinds=(ValueError,),
    )


# ---- an array that overlaps itself ----


def folded(*shape: int) -> Array:
    """A writeable array whose rows have the same memory."""
    row = np.zeros(shape[-1], np.float32)
    return as_strided(row, shape, (*(0 for _ in shape[1:]), row.itemsize))


@isolated
def test_a_result_that_overlaps_itself_is_refused() -> None:
    workspace, hs, params = recurrent_pass()
    grads = [np.empty_like(each) for each in params]
    cases: list[tuple[str, Call]] = [
        ("dW", lambda: _kernels.affine_backward(draw(6, 9), draw(6, 5), draw(5, 9), folded(5, 9))),
        ("dW", lambda: _kernels.embedding_backward(folded(5, 9), [1, 2], draw(2, 9))),
        (
            "dWx",
            lambda: _kernels.recurrent_backward(workspace, hs, params, [folded(4, 16), *grads[1:]]),
        ),
        ("params[0]", lambda: _kernels.sgd_step([folded(5, 9)], [draw(5, 9)], 0.5)),
        (
            "velocities[0]",
            lambda: _kernels.momentum_step([draw(5, 9)], [draw(5, 9)], [folded(5, 9)], 0.5, 0.9),
        ),
        ("arrays[0]", lambda: _kernels.scale([folded(5, 9)], 0.5)),
    ]
    for name, call in cases:
        refused(call, name, kinds=(ValueError,))


def test_a_result_of_any_strides_is_written(isa: str) -> None:
    x, W, dout = draw(6, 5), draw(5, 9), draw(6, 9)
    plain, bias = np.empty((5, 9), np.float32), np.empty(9, np.float32)
    _kernels.affine_backward(dout, x, W, plain, bias)
    memory = np.zeros((10, 27), np.float32)
    dW = memory[::-2, ::-3]
    db = np.zeros(18, np.float32)[::-2]
    _kernels.affine_backward(dout[::-1, ::-1], x[::-1], W[:, ::-1], dW[:, ::-1], db[::-1])
    assert_close(dW, plain, **float32_tolerance(6, 10.0))
    assert_close(db, bias, **float32_tolerance(6, 10.0))
    assert np.count_nonzero(memory) == dW.size


# ---- sizes beyond any memory ----


def broadcast(*shape: int) -> Array:
    """An array of this shape with the memory of one element."""
    return np.broadcast_to(np.float32(0.5), shape)


def vast_calls() -> dict[str, Call]:
    k, weights = _kernels, lstm_weights(4, 8)
    empty = np.empty
    ids = np.broadcast_to(np.int64(1), (HUGE,))
    h0, no_enc = broadcast(HUGE, 1), empty((HUGE, 1, 0), np.float32)
    return {
        "exp": lambda: k.exp(broadcast(HUGE, 2**10)),
        "softmax": lambda: k.softmax(broadcast(HUGE, 2**10)),
        "softmax_loss": lambda: k.softmax_loss_forward(broadcast(HUGE, 4), ids, None),
        "labels": lambda: k.softmax_loss_backward(empty((HUGE, 0), np.float32), ids, 1, 1.0),
        "affine_x": lambda: k.affine_forward(broadcast(HUGE, 4), draw(4, 5)),
        "affine_W": lambda: k.affine_forward(draw(2**10, 4), broadcast(4, HUGE)),
        "affine_empty": lambda: k.affine_forward(
            empty((HUGE, 0), np.float32), empty((0, 2**22), np.float32)
        ),
        "embedding": lambda: k.embedding_forward(broadcast(2, 2**50), np.zeros(2**10, np.int64)),
        "embedding_ids": lambda: k.embedding_forward(draw(9, 4), ids),
        "embedding_empty": lambda: k.embedding_forward(empty((9, 0), np.float32), ids),
        "rows": lambda: k.recurrent_forward(None, "lstm", broadcast(HUGE, 1, 4), weights),
        "steps": lambda: k.recurrent_forward(None, "lstm", broadcast(1, HUGE, 4), weights),
        "rows_and_steps": lambda: k.recurrent_forward(
            None, "lstm", broadcast(2**29, 2**30, 4), weights
        ),
        "inputs": lambda: k.recurrent_forward(
            None, "lstm", empty((2**20, 0, 2**40), np.float32), [broadcast(HUGE, 32), *weights[1:]]
        ),
        "states": lambda: k.recurrent_forward(
            None,
            "lstm",
            draw(2, 3, 4),
            [broadcast(4, 2**22), broadcast(2**20, 2**22), broadcast(2**22)],
        ),
        "lengths": lambda: k.recurrent_forward(
            None, "lstm", empty((HUGE, 0, 4), np.float32), weights, lengths=ids
        ),
        "attention": lambda: k.attention_forward(broadcast(HUGE, 1, 4), broadcast(HUGE, 1, 4)),
        "attention_scores": lambda: k.attention_forward(
            broadcast(1, 2**31, 2**10), broadcast(1, 2**31, 2**10)
        ),
        "attention_empty": lambda: k.attention_forward(
            empty((1, 2**50, 0), np.float32), empty((1, 2**50, 0), np.float32)
        ),
        "additive": lambda: k.additive_weight_forward(no_enc, no_enc, empty(0, np.float32)),
        "weight_sum": lambda: k.weight_sum_forward(
            empty((HUGE, 0, 2**20), np.float32), empty((HUGE, 2**20, 0), np.float32)
        ),
        "step": lambda: k.sgd_step([draw(3)], [broadcast(HUGE)], 0.1),
        "norm": lambda: k.global_norm([broadcast(HUGE)]),
        "decode": lambda: k.decode(
            "rnn",
            0,
            3,
            h0[np.newaxis],
            draw(3, 2),
            [[draw(2, 1), draw(1, 1), draw(1)]],
            (draw(1, 3), draw(3)),
        ),
        "decode_steps": lambda: k.decode(
            "rnn",
            0,
            HUGE,
            draw(1, 2, 1),
            draw(3, 2),
            [[draw(2, 1), draw(1, 1), draw(1)]],
            (draw(1, 3), draw(3)),
        ),
    }


@isolated
def test_a_size_beyond_memory_is_refused_at_once() -> None:
    for name, call in vast_calls().items():
        begin = time.monotonic()
        try:
            call()
        except (MemoryError, ValueError):
            assert time.monotonic() - begin < 2, name
        else:
            raise AssertionError(f"{name}: not refused")


@isolated
def test_the_sizes_of_a_decoder_beyond_memory_are_named() -> None:
    wide = [broadcast(HUGE, 32), *lstm_weights(8, 8)[1:]]
    with pytest.raises(MemoryError, match=f"N 2, .* {HUGE} inputs, H 8"):
        decode(embedding=broadcast(9, HUGE), layers=[wide, lstm_weights(8, 8)])


@pytest.mark.parametrize("name", ["recurrent", "attention", "softmax", "affine", "embedding"])
@isolated
def test_many_empty_rows_need_no_time(name: str) -> None:
    k = _kernels

    def nothing(*shape: int) -> Array:
        return np.empty(shape, np.float32)

    call = {
        "recurrent": lambda: k.recurrent_forward(
            None, "lstm", nothing(0, HUGE, 4), lstm_weights(4, 8)
        ),
        "attention": lambda: k.attention_forward(nothing(HUGE, 1, 0), nothing(HUGE, 0, 0)),
        "softmax": lambda: k.softmax(nothing(HUGE, 0)),
        "affine": lambda: k.affine_forward(nothing(HUGE, 0), nothing(0, 0)),
        "embedding": lambda: k.embedding_backward(
            nothing(HUGE, 0), np.zeros(0, np.int64), nothing(0, 0)
        ),
    }[name]
    begin = time.monotonic()
    right_or_refused(call, lambda result: None)
    assert time.monotonic() - begin < 2
