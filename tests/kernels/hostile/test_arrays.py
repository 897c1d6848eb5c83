"""Array subclasses, masked arrays, and dtypes other than numbers."""

import contextlib
from typing import Any

import numpy as np

from fastseq import _kernels
from support.kernels.hostile import (
    Array,
    Call,
    draw,
    isolated,
    lstm_weights,
    refused,
    right_or_refused,
)
from support.kernels.hostile_values import OwnError


class Meddling(np.ndarray):
    """A subclass whose attributes and methods are wrong once it is armed."""

    armed = False

    def __array_finalize__(self, other: object) -> None:
        if Meddling.armed:
            raise OwnError

    def __eq__(self, *arguments: Any, **named: Any) -> Any:
        raise OwnError

    __ne__ = __lt__ = __gt__ = __ge__ = __le__ = __getitem__ = __len__ = __iter__ = __eq__
    __array_function__ = __array_ufunc__ = __eq__
    __hash__ = None

    @property
    def shape(self) -> Any:
        return (2**40,)

    @property
    def strides(self) -> Any:
        return (2**40,)

    @property
    def ndim(self) -> Any:
        return 1

    @property
    def size(self) -> Any:
        return 2**40


def meddling(array: Array) -> Any:
    Meddling.armed = False
    view = array.view(Meddling)
    Meddling.armed = True
    return view


@isolated
def test_a_subclass_is_used_as_an_array() -> None:
    x, W, ids = draw(6, 5), draw(5, 7), np.array([1, 4, 0])
    expected = _kernels.affine_forward(x, W)
    loss = _kernels.softmax_loss_forward(x[:3], ids, 4)

    def check(call: Call, expected: Any) -> None:
        with contextlib.suppress(OwnError):
            right_or_refused(call, lambda actual: np.testing.assert_equal(actual, expected))

    for kind in (meddling, np.asmatrix):
        check(lambda kind=kind: _kernels.affine_forward(kind(x), kind(W)), expected)
        check(lambda kind=kind: _kernels.softmax(kind(x)), _kernels.softmax(x))
    check(lambda: _kernels.embedding_forward(meddling(W), meddling(ids)), W[ids])
    check(lambda: _kernels.softmax_loss_forward(x[:3], meddling(ids), 4), loss)
    param, dW = np.ones(5, np.float32), np.empty_like(W)
    updated = 1 - np.float32(0.5) * W[:, 0]

    def update() -> Array:
        _kernels.sgd_step([meddling(param)], [meddling(W[:, 0])], 0.5)
        return param

    def gradient() -> Array:
        _kernels.affine_backward(draw(6, 7), x, W, meddling(dW))
        return dW

    check(update, updated)
    _kernels.affine_backward(draw(6, 7), x, W, right := np.empty_like(W))
    check(gradient, right)


@isolated
def test_a_masked_array_is_used_as_its_data_or_refused() -> None:
    x = draw(6, 5)
    masked = np.ma.masked_array(x, x > 0)
    right_or_refused(
        lambda: _kernels.tanh(masked),
        lambda y: np.testing.assert_array_equal(y, _kernels.tanh(x)),
        "x",
    )
    param = np.ma.masked_array(np.ones(5, np.float32), np.arange(5) > 2)
    right_or_refused(
        lambda: _kernels.scale([param], 3.0),
        lambda _: np.testing.assert_array_equal(param.data, np.full(5, 3)),
        "arrays[0]",
    )


@isolated
def test_a_dtype_other_than_numbers_is_refused() -> None:
    dtypes: tuple[Any, ...] = (
        object,
        complex,
        "U3",
        "S3",
        "V8",
        "M8[s]",
        "m8[s]",
        [("re", "f4"), ("im", "f4")],
        "O",
    )
    weights = lstm_weights(4, 8)
    for dtype in dtypes:
        array = np.zeros((4, 4), dtype)
        refused(lambda a=array: _kernels.exp(a), "x", kinds=(TypeError,))
        refused(lambda a=array: _kernels.softmax(a), "x", kinds=(TypeError,))
        refused(lambda a=array: _kernels.affine_forward(a, draw(4, 4)), "x", kinds=(TypeError,))
        refused(lambda a=array: _kernels.affine_forward(draw(4, 4), a), "W", kinds=(TypeError,))
        refused(
            lambda a=array: _kernels.affine_backward(draw(4, 4), draw(4, 4), draw(4, 4), a),
            "dW",
            kinds=(TypeError,),
        )
        refused(
            lambda a=array: _kernels.embedding_forward(draw(4, 4), a), "ids", kinds=(TypeError,)
        )
        refused(
            lambda a=array: _kernels.recurrent_forward(None, "lstm", draw(4, 2, 4), weights, a),
            "h0",
            kinds=(TypeError,),
        )
        refused(
            lambda a=array: _kernels.recurrent_forward(
                None, "lstm", draw(4, 2, 4), weights, lengths=a[0]
            ),
            "lengths",
            kinds=(TypeError,),
        )
        refused(
            lambda a=array: _kernels.sgd_step([draw(4, 4)], [a], 0.5),
            "grads[0]",
            kinds=(TypeError,),
        )
        refused(
            lambda a=array: _kernels.sgd_step([a], [draw(4, 4)], 0.5),
            "params[0]",
            kinds=(TypeError,),
        )
