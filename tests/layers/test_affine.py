"""TimeAffine against the reference in float64, on every instruction set."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq_reference
from fastseq.layers import TimeAffine, TimeEmbedding
from support.helpers import SIZES, assert_close, float32_tolerance

Array = npt.NDArray[Any]
Results = dict[str, Array]

CASES = [
    *[(N, 3, 5, 9) for N in SIZES],
    *[(2, T, 5, 9) for T in SIZES],
    *[(3, 4, K, 9) for K in SIZES],
    *[(3, 4, 5, M) for M in SIZES],
    (7, 15, 31, 33),
    (1, 64, 64, 64),
    (17, 3, 130, 59),
    (65, 9, 33, 17),
]


def arguments(N: int, T: int, K: int, M: int) -> tuple[Array, Array, Array, Array]:
    rng = np.random.default_rng([N, T, K, M])
    W, b = rng.normal(size=(K, M)) / np.sqrt(K), rng.normal(size=M)
    x, dout = rng.normal(size=(N, T, K)), rng.normal(size=(N, T, M))
    W, b, x, dout = (array.astype(np.float32) for array in (W, b, x, dout))
    return W, b, x, dout


def run(layer: Any, x: Array, dout: Array) -> Results:
    out = layer.forward(x)
    dx = layer.backward(dout)
    dW, db = [grad.copy() for grad in layer.grads]
    return {"out": out, "dx": dx, "dW": dW, "db": db}


def run_both(N: int, T: int, K: int, M: int) -> tuple[Results, Results]:
    W, b, x, dout = arguments(N, T, K, M)
    twin = fastseq_reference.TimeAffine(W.astype(np.float64), b.astype(np.float64))
    expected = run(twin, x.astype(np.float64), dout.astype(np.float64))
    return run(TimeAffine(W, b), x, dout), expected


def assert_results_close(actual: Results, expected: Results, length: int) -> None:
    for name, value in expected.items():
        magnitude = max(1.0, float(np.abs(value).max(initial=0)))
        assert_close(actual[name], value, **float32_tolerance(length, magnitude))


def assert_same_bits(actual: Results, expected: Results) -> None:
    for name, value in expected.items():
        assert np.array_equal(actual[name], value), name


@pytest.mark.parametrize(("N", "T", "K", "M"), CASES)
def test_is_the_reference(isa: str, N: int, T: int, K: int, M: int) -> None:
    actual, expected = run_both(N, T, K, M)
    assert all(value.dtype == np.float32 for value in actual.values())
    assert_results_close(actual, expected, K + M + N * T)


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("name", ["out", "dx", "dW", "db"])
@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0])
def test_comparison_notices_one_wrong_element(isa: str, name: str, factor: float) -> None:
    actual, expected = run_both(3, 4, 5, 9)
    expected[name].flat[np.abs(expected[name]).argmax()] *= factor
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, 5 + 9 + 12)


def test_awkward_inputs(isa: str, awkward: Callable[[Array], Array]) -> None:
    W, b, x, dout = arguments(3, 4, 5, 9)
    plain = run(TimeAffine(W, b), x, dout)
    assert_same_bits(run(TimeAffine(W, b), awkward(x), awkward(dout)), plain)


def test_awkward_weights(isa: str, awkward: Callable[[Array], Array]) -> None:
    W, b, x, dout = arguments(3, 4, 5, 9)
    plain = run(TimeAffine(W, b), x, dout)
    strange = awkward(W), awkward(b)
    layer = TimeAffine(*strange)
    assert all(param is weight for param, weight in zip(layer.params, strange, strict=True))
    assert_same_bits(run(layer, x, dout), plain)
    assert [grad.dtype for grad in layer.grads] == [weight.dtype for weight in strange]


@pytest.mark.parametrize(("V", "D"), [(13, 5), (59, 16), (33, 65)])
def test_weight_tied_to_an_embedding(isa: str, V: int, D: int) -> None:
    _, b, x, dout = arguments(3, 4, D, V)
    embed_W = np.random.default_rng(0).normal(size=(V, D)).astype(np.float32)
    layer, embedding = TimeAffine(embed_W.T, b), TimeEmbedding(embed_W)
    plain = run(TimeAffine(np.ascontiguousarray(embed_W.T), b), x, dout)
    assert_same_bits(run(layer, x, dout), plain)
    assert np.shares_memory(layer.params[0], embedding.params[0])

    embedding.params[0] *= 2  # an optimizer's step reaches both
    plain = run(TimeAffine(np.ascontiguousarray(embed_W.T), b), x, dout)
    assert_same_bits(run(layer, x, dout), plain)
    kept = layer.grads[0]
    layer.backward(dout)
    assert layer.grads[0] is kept


def test_integer_inputs_are_numbers(isa: str) -> None:
    W, b, x, _ = arguments(3, 4, 5, 9)
    layer = TimeAffine(W, b)
    assert np.array_equal(layer.forward(x.astype(int)), layer.forward(x.astype(int).astype("f")))


def test_results_outlive_later_calls(isa: str) -> None:
    W, b, x, dout = arguments(3, 4, 5, 9)
    layer = TimeAffine(W, b)
    first = run(layer, x, dout)
    kept = {name: value.copy() for name, value in first.items()}
    run(layer, 2 * x, 2 * dout)
    assert_same_bits(first, kept)


def test_caller_may_modify_the_result_before_backward(isa: str) -> None:
    W, b, x, dout = arguments(3, 4, 5, 9)
    expected = run(TimeAffine(W, b), x, dout)
    layer = TimeAffine(W, b)
    layer.forward(x)[...] = 7
    assert np.array_equal(layer.backward(dout), expected["dx"])
    assert np.array_equal(layer.grads[0], expected["dW"])


def test_gradients_are_overwritten_in_the_same_arrays(isa: str) -> None:
    W, b, x, dout = arguments(3, 4, 5, 9)
    layer = TimeAffine(W, b)
    kept = list(layer.grads)
    layer.forward(x)
    first = layer.backward(dout)
    once = [grad.copy() for grad in kept]
    assert np.array_equal(layer.backward(dout), first)
    for grad, same, before in zip(layer.grads, kept, once, strict=True):
        assert grad is same
        assert np.array_equal(grad, before)


def test_row_is_the_same_alone_and_in_any_batch(
    isa: str, set_threads: Callable[[int], None]
) -> None:
    W, b, x, _ = arguments(65, 12, 130, 129)
    layer = TimeAffine(W, b)
    set_threads(1)
    expected = np.concatenate(
        [
            np.concatenate([layer.forward(x[n : n + 1, t : t + 1]) for t in range(12)], axis=1)
            for n in range(65)
        ]
    )
    for threads in (1, 2, 4):
        set_threads(threads)
        for rows in (slice(0, 1), slice(7, 10), slice(0, 64), slice(1, 65), slice(0, 65)):
            out = layer.forward(x[rows])
            assert np.array_equal(out.view(np.uint32), expected[rows].view(np.uint32))


@pytest.mark.parametrize(("K", "M"), [(130, 129), (512, 59), (16, 1024)])
def test_results_have_the_same_bits_on_any_number_of_threads(
    isa: str, set_threads: Callable[[int], None], K: int, M: int
) -> None:
    W, b, x, dout = arguments(65, 12, K, M)
    set_threads(1)
    expected = run(TimeAffine(W, b), x, dout)
    for threads in (2, 3, 4):
        set_threads(threads)
        assert_same_bits(run(TimeAffine(W, b), x, dout), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_their_row(isa: str, bad: float) -> None:
    W, b, x, _ = arguments(9, 4, 17, 9)
    clean = TimeAffine(W, b).forward(x)
    x[4, 1, 16] = bad
    out = TimeAffine(W, b).forward(x)
    other = np.ones((9, 4), dtype=bool)
    other[4, 1] = False
    assert np.array_equal(out[other], clean[other])
    assert not np.isfinite(out[4, 1]).any()


def test_wrong_weights() -> None:
    W, b, _, _ = arguments(1, 1, 5, 9)
    with pytest.raises(ValueError, match=r"^W: expected shape \(K, M\), got \(5,\)"):
        TimeAffine(W[:, 0], b)
    with pytest.raises(ValueError, match=r"^b: expected shape \(M,\) = \(9\), got \(8,\)"):
        TimeAffine(W, b[:8])
    with pytest.raises(TypeError, match=r"^W: expected an array of floats, got list"):
        TimeAffine(W.tolist(), b)
    with pytest.raises(TypeError, match=r"^b: expected an array of floats, got dtype int64"):
        TimeAffine(W, b.astype(np.int64))


@pytest.mark.parametrize(
    ("error", "x"),
    [
        (ValueError, np.zeros((4, 5))),
        (ValueError, np.zeros(5)),
        (ValueError, np.zeros((3, 4, 6))),
        (TypeError, np.zeros((3, 4, 5), dtype=complex)),
        (TypeError, np.full((3, 4, 5), "1")),
    ],
)
def test_wrong_input(error: type[Exception], x: Array) -> None:
    W, b, _, _ = arguments(1, 1, 5, 9)
    with pytest.raises(error, match=r"^x: expected .*, got"):
        TimeAffine(W, b).forward(x)


@pytest.mark.parametrize("shape", [(3, 9), (3, 4, 5), (4, 3, 9), (2, 4, 9)])
def test_gradient_of_wrong_shape(shape: tuple[int, ...]) -> None:
    W, b, x, _ = arguments(3, 4, 5, 9)
    layer = TimeAffine(W, b)
    layer.forward(x)
    with pytest.raises(ValueError, match="dout"):
        layer.backward(np.zeros(shape))


def test_backward_before_forward() -> None:
    W, b, _, dout = arguments(3, 4, 5, 9)
    with pytest.raises(RuntimeError, match="forward"):
        TimeAffine(W, b).backward(dout)


@pytest.mark.parametrize(("N", "T", "K", "M"), [(0, 3, 5, 9), (2, 0, 5, 9), (2, 3, 5, 0)])
def test_empty(isa: str, N: int, T: int, K: int, M: int) -> None:
    W, b, x, dout = arguments(N, T, K, M)
    layer = TimeAffine(W, b)
    for grad in layer.grads:
        grad[...] = 9
    assert layer.forward(x).shape == (N, T, M)
    dx = layer.backward(dout)
    assert dx.shape == (N, T, K)
    assert not dx.any()
    assert not any(grad.any() for grad in layer.grads)


def test_no_input_columns_leave_the_bias(isa: str) -> None:
    W, b = np.zeros((0, 9), dtype=np.float32), np.arange(9, dtype=np.float32)
    layer = TimeAffine(W, b)
    out = layer.forward(np.zeros((2, 3, 0)))
    assert np.array_equal(out, np.broadcast_to(b, (2, 3, 9)))
    assert layer.backward(np.ones((2, 3, 9))).shape == (2, 3, 0)
    assert np.array_equal(layer.grads[1], np.full(9, 6))
