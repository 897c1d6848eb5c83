"""Arguments that are objects with hostile conversions: each is converted once, then checked.

Code of an argument runs only during its conversion. Whatever that code does to the argument itself,
to another argument or to the workspace, a kernel must not access memory out of bounds.
"""

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from fastseq import _kernels
from support.kernels.hostile import (
    STEPS,
    Array,
    Call,
    draw,
    isolated,
    lstm_gradients,
    lstm_weights,
    right_or_refused,
)
from support.kernels.hostile_values import Converting

SIZE = 1_000_000


def step(name: str, param: Array, grad: Any) -> list[Array]:
    """One step of an optimizer from zero states; the parameter and the states after it."""
    states, numbers = STEPS[name]
    changed = [param.copy(), *(np.zeros_like(param) for _ in range(states))]
    first, *others = ([array] for array in changed)
    getattr(_kernels, name)(first, [grad], *others, *numbers)
    return changed


def assert_equal(actual: Any, expected: Any) -> None:
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other)


# ---- an object that converts to another array each time ----


@pytest.mark.parametrize("name", STEPS)
@isolated
def test_a_gradient_is_converted_once(name: str) -> None:
    param, grad = draw(SIZE), draw(SIZE, seed=1)
    expected = step(name, param, grad)
    for later in (
        draw(1),
        draw(SIZE + 1),
        draw(2, SIZE),
        draw(7).astype(np.float64),
        draw(7).astype(complex),
        np.array([None]),
    ):
        right_or_refused(
            lambda later=later: step(name, param, Converting(grad, later)),
            lambda changed: assert_equal(changed, expected),
            "grads",
        )


@isolated
def test_any_input_is_converted_once() -> None:
    x, W, b, enc = draw(300, 40), draw(40, 50), draw(50), draw(3, 4, 5)
    small = draw(1)
    params = lstm_weights(4, 8)
    xs = draw(2, 3, 4)
    ids, few = np.zeros(5000, np.int64), np.full(1, 2**40)
    dW = np.empty_like(W)
    weights = _kernels.attention_weight_forward(enc, enc)
    calls: list[tuple[Callable[..., Any], list[Any], Any]] = [
        (_kernels.exp, [x], small),
        (_kernels.tanh, [x], small),
        (_kernels.sigmoid, [x], small),
        (_kernels.softmax, [x], small),
        (_kernels.log_softmax, [x], small),
        (_kernels.affine_forward, [x, W, b], small),
        (lambda *a: (_kernels.affine_backward(*a, dW), dW.copy()), [draw(300, 50), x, W], small),
        (_kernels.embedding_forward, [W, ids % 40], few),
        (lambda *a: _kernels.softmax_loss_forward(*a, None)[1], [x, ids[:300]], few),
        (lambda *a: _kernels.softmax_loss_backward(*a, None, 1.0), [x, ids[:300]], few),
        (lambda x, *a: _kernels.recurrent_forward(None, "lstm", x, a)[0], [xs, *params], small),
        (_kernels.attention_forward, [enc, enc], small),
        (_kernels.attention_backward, [enc, enc, enc, weights], small),
        (_kernels.attention_weight_forward, [enc, enc], small),
        (_kernels.attention_weight_backward, [weights, enc, enc, weights], small),
        (_kernels.weight_sum_forward, [enc, weights], small),
        (_kernels.weight_sum_backward, [enc, enc, weights], small),
        (_kernels.additive_weight_forward, [enc, enc, draw(5)], small),
        (lambda *a: _kernels.global_norm(a), [x, W], small),
    ]
    for function, arguments, second in calls:
        expected = function(*arguments)
        for position, argument in enumerate(arguments):
            changed: list[Any] = list(arguments)
            changed[position] = Converting(argument, second)
            actual = function(*changed)
            np.testing.assert_equal(actual, expected)
            assert changed[position].conversions == 1


@isolated
def test_the_lengths_are_converted_once() -> None:
    xs, enc, params = draw(2, 3, 4), draw(2, 3, 8), lstm_weights(4, 8)
    wild = np.array([2**40, -(2**40)])
    expected = _kernels.recurrent_forward(None, "lstm", xs, params, lengths=[3, 1])
    given = Converting(np.array([3, 1]), wild)
    actual = _kernels.recurrent_forward(None, "lstm", xs, params, lengths=given)
    assert_equal(actual, expected)
    for name in ("encoder_lengths", "decoder_lengths"):
        lengths = np.array([3, 1])
        both = _kernels.attention_forward(enc, enc, **{name: lengths})
        again = _kernels.attention_forward(enc, enc, **{name: Converting(lengths, wild)})
        assert_equal(again, both)


@isolated
def test_weights_may_be_objects_that_convert() -> None:
    xs, params = draw(2, 3, 4), lstm_weights(4, 8)
    expected = _kernels.recurrent_forward(None, "lstm", xs, params)
    given = [Converting(each) for each in params]
    assert_equal(_kernels.recurrent_forward(None, "lstm", xs, given), expected)
    workspace = _kernels.Workspace()
    hs, *_ = _kernels.recurrent_forward(workspace, "lstm", Converting(xs), given)
    grads = lstm_gradients(4, 8)
    assert _kernels.recurrent_backward(workspace, hs, given, grads)[0].shape == xs.shape


# ---- an object that does something while it is converted ----


def other_forward(workspace: _kernels.Workspace) -> None:
    _kernels.recurrent_forward(workspace, "lstm", draw(1, 1, 2), lstm_weights(2, 3))


ACTIONS: dict[str, Callable[[_kernels.Workspace], None]] = {
    "release": lambda workspace: workspace.release(),
    "forward": other_forward,
}
SIZES = 20, 30, 16, 64


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("argument", ["dhs", "weights", "dh", "dc"])
@isolated
def test_the_pass_is_invalidated_while_backward_converts(action: str, argument: str) -> None:
    N, T, D, H = SIZES
    argument = {"weights": "Wh"}.get(argument, argument)
    workspace, params = _kernels.Workspace(), lstm_weights(D, H)
    hs, *_ = _kernels.recurrent_forward(workspace, "lstm", draw(N, T, D), params)
    given: dict[str, Any] = dict(zip(("Wx", "Wh", "b"), params, strict=True))
    given |= {"dhs": hs, "dh": draw(N, H), "dc": draw(N, H)}

    def backward() -> Any:
        grads = lstm_gradients(D, H)
        weights = [given[name] for name in ("Wx", "Wh", "b")]
        results = _kernels.recurrent_backward(
            workspace, given["dhs"], weights, grads, given["dh"], given["dc"]
        )
        return *results, *grads

    expected = backward()
    given[argument] = Converting(given[argument], action=lambda: ACTIONS[action](workspace))
    right_or_refused(backward, lambda actual: assert_equal(actual, expected))


@pytest.mark.parametrize("action", ACTIONS)
@isolated
def test_the_workspace_is_used_while_forward_converts(action: str) -> None:
    N, T, D, H = SIZES
    given: dict[str, Any] = dict(zip(("Wx", "Wh", "b"), lstm_weights(D + 3, H), strict=True))
    given |= {"xs": draw(N, T, D), "h0": draw(N, H), "c0": draw(N, H), "context": draw(N, 3)}
    given["lengths"] = np.arange(N) % T

    def forward(workspace: _kernels.Workspace) -> Any:
        weights = [given[name] for name in ("Wx", "Wh", "b")]
        others = {name: given[name] for name in ("h0", "c0", "lengths", "context")}
        return _kernels.recurrent_forward(workspace, "lstm", given["xs"], weights, **others)

    def backward(workspace: _kernels.Workspace, dhs: Array) -> Any:
        grads = lstm_gradients(D + 3, H)
        weights = [given[name] for name in ("Wx", "Wh", "b")]
        results = _kernels.recurrent_backward(
            workspace, dhs, weights, grads, dcontext=np.empty((N, 3), np.float32)
        )
        return *results, *grads

    expected = forward(fresh := _kernels.Workspace())
    gradients = backward(fresh, expected[0])
    for argument, plain in tuple(given.items()):
        workspace = _kernels.Workspace()
        given[argument] = Converting(plain, action=partial(ACTIONS[action], workspace))
        returned = right_or_refused(
            partial(forward, workspace), lambda actual: assert_equal(actual, expected)
        )
        given[argument] = plain
        if returned:
            assert_equal(backward(workspace, expected[0]), gradients)


@isolated
def test_an_argument_changes_the_shape_of_another() -> None:
    for shape in ((1, 10**6), (10**6, 1), (500, 2000), (10**6,), (100, 100, 100)):
        x, dW, param = draw(1000, 1000), draw(1000, 1000), draw(1000, 1000)
        state, ids = draw(1000, 1000), np.zeros((1000, 1000), np.int64)
        enc = draw(100, 100, 100)

        def reshaping(array: Array, other: Array, shape: tuple[int, ...] = shape) -> Converting:
            def action() -> None:
                other.shape = shape

            return Converting(array, action=action)

        k, square, few = _kernels, draw(1000, 1000), draw(100, 5, 100)
        cases: list[Call] = [
            partial(k.affine_forward, x, reshaping(draw(1000, 3), x)),
            partial(k.affine_forward, reshaping(draw(3, 1000), x), x),
            partial(k.affine_backward, reshaping(draw(5, 1000), dW), draw(5, 1000), square, dW),
            partial(k.sgd_step, [param], [reshaping(square, param)], 0.5),
            partial(k.momentum_step, [square], [reshaping(square, state)], [state], 0.5, 0.5),
            partial(k.embedding_forward, reshaping(draw(9, 1), ids), ids),
            partial(k.weight_sum_forward, enc, reshaping(few, enc)),
            partial(k.attention_forward, enc, reshaping(few, enc)),
        ]
        for call in cases:
            _try(call)


def _try(call: Call) -> None:
    """A result or a documented exception, depending on the order of the conversions."""
    right_or_refused(call, lambda result: None)


@isolated
def test_an_argument_changes_the_list_it_is_in() -> None:
    for change in (list.clear, lambda arrays: arrays.append(None), list.reverse, list.pop):
        for position in range(3):
            params: list[Any] = lstm_weights(16, 64)
            params[position] = Converting(
                params[position], action=lambda arrays=params, change=change: change(arrays)
            )
            _try(
                lambda params=params: _kernels.recurrent_forward(
                    None, "lstm", draw(2, 3, 16), params
                )
            )
        grads: list[Any] = [draw(SIZE), draw(SIZE)]
        given = [draw(SIZE), draw(SIZE)]
        expected = [given[0] - np.float32(0.5) * grads[0], given[1] - np.float32(0.5) * grads[1]]
        grads[0] = Converting(grads[0], action=lambda arrays=grads, change=change: change(arrays))
        right_or_refused(
            lambda grads=grads, given=given: _kernels.sgd_step(given, grads, 0.5) or given,
            lambda actual, expected=expected: np.testing.assert_allclose(actual, expected, 1e-6),
        )


@isolated
def test_finalizers_run_during_a_call() -> None:
    workspace = _kernels.Workspace()

    class Cycle:
        """An object in a reference cycle whose finalizer uses the workspace."""

        def __init__(self) -> None:
            self.self = self

        def __del__(self) -> None:
            try:
                other_forward(workspace)
                workspace.release()
            except RuntimeError:
                pass

    N, T, D, H = 3, 4, 5, 16
    xs, params = draw(N, T, D), lstm_weights(D, H)
    expected = _kernels.recurrent_forward(None, "lstm", xs, params, lengths=[4, 2, 0])
    gc.set_threshold(1)
    for _ in range(300):
        Cycle()
        try:
            actual = _kernels.recurrent_forward(workspace, "lstm", xs, params, lengths=[4, 2, 0])
            assert_equal(actual, expected)
            Cycle()
            grads = lstm_gradients(D, H)
            _kernels.recurrent_backward(workspace, actual[0], params, grads)
        except (RuntimeError, ValueError):
            continue
