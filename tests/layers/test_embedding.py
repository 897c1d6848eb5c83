"""TimeEmbedding against the reference, on every instruction set."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq_reference
from fastseq.layers import TimeEmbedding
from support.helpers import SIZES, assert_close, float32_tolerance

Array = npt.NDArray[Any]

CASES = [
    *[(N, 3, 5, 9) for N in SIZES],
    *[(2, T, 5, 7) for T in SIZES],
    *[(3, 4, V, 5) for V in SIZES],
    *[(3, 4, 5, D) for D in SIZES],
    (65, 29, 59, 16),
    (33, 17, 3, 130),
]


def arguments(N: int, T: int, V: int, D: int) -> tuple[Array, Array, Array]:
    """The table, ids in which every row occurs where there is room, and a gradient."""
    rng = np.random.default_rng([N, T, V, D])
    W = rng.normal(size=(V, D)).astype(np.float32)
    dout = rng.normal(size=(N, T, D)).astype(np.float32)
    return W, rng.integers(0, V, size=(N, T)), dout


def run(layer: Any, ids: Array, dout: Array) -> tuple[Array, Array]:
    out = layer.forward(ids)
    assert layer.backward(dout) is None
    return out, layer.grads[0].copy()


def run_both(N: int, T: int, V: int, D: int) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    W, ids, dout = arguments(N, T, V, D)
    twin = fastseq_reference.TimeEmbedding(W.astype(np.float64))
    expected = run(twin, ids, dout.astype(np.float64))
    return run(TimeEmbedding(W), ids, dout), expected


def assert_gradient_close(actual: Array, expected: Array, N: int, T: int) -> None:
    magnitude = max(1.0, float(np.abs(expected).max()))
    assert_close(actual, expected, **float32_tolerance(N * T, magnitude, products=0))


@pytest.mark.parametrize(("N", "T", "V", "D"), CASES)
def test_is_the_reference(isa: str, N: int, T: int, V: int, D: int) -> None:
    (out, dW), (expected_out, expected_dW) = run_both(N, T, V, D)
    assert out.dtype == np.float32
    assert np.array_equal(out, expected_out)
    assert_gradient_close(dW, expected_dW, N, T)


@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0])
def test_comparison_notices_one_wrong_element(isa: str, factor: float) -> None:
    (_, dW), (_, expected) = run_both(7, 5, 4, 9)
    expected.flat[np.abs(expected).argmax()] *= factor
    with pytest.raises(AssertionError):
        assert_gradient_close(dW, expected, 7, 5)


def test_comparison_notices_ids_that_are_not_added(isa: str) -> None:
    _, ids, dout = arguments(7, 5, 4, 9)
    (_, dW), (_, expected) = run_both(7, 5, 4, 9)
    expected[...] = 0
    expected[ids] = dout  # the last of equal ids wins
    with pytest.raises(AssertionError):
        assert_gradient_close(dW, expected, 7, 5)


@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i2", "<i4", ">i4", "<u4", "<i8", ">u8"])
def test_any_integer_dtype(isa: str, dtype: str) -> None:
    W, ids, dout = arguments(3, 4, 9, 5)
    plain = run(TimeEmbedding(W), ids, dout)
    other = run(TimeEmbedding(W), ids.astype(dtype), dout)
    assert all(np.array_equal(one, two) for one, two in zip(plain, other, strict=True))


def test_awkward_inputs(isa: str, awkward: Callable[[Array], Array]) -> None:
    W, ids, dout = arguments(3, 4, 9, 5)
    plain = run(TimeEmbedding(W), ids, dout)
    strange = awkward(ids)
    other = run(TimeEmbedding(W), strange if strange.dtype.kind == "i" else ids, awkward(dout))
    assert all(np.array_equal(one, two) for one, two in zip(plain, other, strict=True))


def test_awkward_weight(isa: str, awkward: Callable[[Array], Array]) -> None:
    W, ids, dout = arguments(3, 4, 9, 17)
    plain = run(TimeEmbedding(W), ids, dout)
    strange = awkward(W)
    layer = TimeEmbedding(strange)
    assert layer.params[0] is strange
    assert layer.W is strange
    other = run(layer, ids, dout)
    assert all(np.array_equal(one, two) for one, two in zip(plain, other, strict=True))
    assert layer.grads[0].dtype == strange.dtype


def test_weight_is_replaced_by_its_attribute() -> None:
    W, ids, _ = arguments(3, 4, 9, 17)
    layer = TimeEmbedding(W)
    layer.W = other = 2 * W
    assert layer.W is layer.params[0] is other
    assert np.array_equal(layer.forward(ids), 2 * W[ids])
    with pytest.raises(
        ValueError, match=r"^W: expected shape \(V, D\) = \(9, 17\), got \(8, 17\)$"
    ):
        layer.W = W[1:]
    assert layer.params[0] is other


def test_reversed_input(isa: str) -> None:
    W, ids, _ = arguments(3, 4, 9, 5)
    layer = TimeEmbedding(W)
    assert np.array_equal(layer.forward(ids[:, ::-1]), layer.forward(ids)[:, ::-1])


def test_list_of_lists(isa: str) -> None:
    W, ids, _ = arguments(3, 4, 9, 5)
    layer = TimeEmbedding(W)
    assert np.array_equal(layer.forward(ids.tolist()), layer.forward(ids))


def test_weight_is_read_afresh(isa: str) -> None:
    W, ids, _ = arguments(3, 4, 9, 5)
    layer = TimeEmbedding(W)
    first = layer.forward(ids)
    kept = first.copy()
    W *= 2
    assert np.array_equal(layer.forward(ids), 2 * first)
    assert np.array_equal(first, kept)


def test_gradient_is_overwritten_in_the_same_array(isa: str) -> None:
    W, ids, dout = arguments(3, 4, 9, 5)
    layer = TimeEmbedding(W)
    kept = layer.grads[0]
    layer.forward(ids)
    layer.backward(dout)
    once = kept.copy()
    layer.backward(dout)
    assert layer.grads[0] is kept
    assert np.array_equal(kept, once)
    layer.forward(np.zeros((3, 4), dtype=int))
    layer.backward(dout)
    assert not kept[1:].any()


def test_caller_may_modify_ids_and_result_before_backward(isa: str) -> None:
    W, ids, dout = arguments(3, 4, 9, 5)
    expected = run(TimeEmbedding(W), ids, dout)[1]
    layer = TimeEmbedding(W)
    layer.forward(ids)[...] = 7
    ids[...] = 0
    layer.backward(dout)
    assert np.array_equal(layer.grads[0], expected)


@pytest.mark.parametrize(("V", "D"), [(59, 16), (3, 130), (5000, 33)])
def test_results_have_the_same_bits_on_any_number_of_threads(
    isa: str, set_threads: Callable[[int], None], V: int, D: int
) -> None:
    W, ids, dout = arguments(130, 29, V, D)
    set_threads(1)
    expected = run(TimeEmbedding(W), ids, dout)
    for threads in (2, 3, 4):
        set_threads(threads)
        for one, other in zip(run(TimeEmbedding(W), ids, dout), expected, strict=True):
            assert np.array_equal(one.view(np.uint32), other.view(np.uint32))


@pytest.mark.parametrize("bad", [-1, 13, 2**31, -(2**62)])
def test_id_out_of_range(isa: str, bad: int) -> None:
    W, ids, dout = arguments(3, 4, 13, 5)
    layer = TimeEmbedding(W)
    first = layer.forward(ids)
    wrong = ids.copy()
    wrong[2, 1] = bad
    with pytest.raises(IndexError, match=rf"2, 1.*13.*{bad}"):
        layer.forward(wrong)
    layer.backward(dout)  # of the forward that succeeded
    assert np.array_equal(layer.grads[0], run(TimeEmbedding(W), ids, dout)[1])
    assert np.array_equal(layer.forward(ids), first)


def test_unsigned_id_out_of_range() -> None:
    layer = TimeEmbedding(arguments(3, 4, 13, 5)[0])
    for bad in (200, 2**63 + 1):
        with pytest.raises(IndexError, match="13"):
            layer.forward(np.full((3, 4), bad, dtype=np.uint64))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, bool, complex, str, object])
def test_ids_of_wrong_kind(dtype: type) -> None:
    with pytest.raises(TypeError, match=r"^xs: expected an array of integers, got"):
        TimeEmbedding(np.zeros((5, 3), dtype=np.float32)).forward(np.zeros((2, 3), dtype=dtype))


def test_wrong_shapes() -> None:
    W = np.zeros((5, 3), dtype=np.float32)
    layer = TimeEmbedding(W)
    for shape in ((4,), (2, 3, 4), ()):
        with pytest.raises(ValueError, match=r"^xs: expected shape \(N, T\), got"):
            layer.forward(np.zeros(shape, dtype=int))
    layer.forward(np.zeros((2, 4), dtype=int))
    for shape in ((2, 4), (2, 4, 2), (4, 2, 3)):
        with pytest.raises(ValueError, match="dout|dW"):
            layer.backward(np.zeros(shape))
    with pytest.raises(ValueError, match=r"^W: expected shape \(V, D\), got"):
        TimeEmbedding(np.zeros(5, dtype=np.float32))
    with pytest.raises(TypeError, match=r"^W: "):
        TimeEmbedding(np.zeros((5, 3), dtype=int))


def test_backward_before_forward() -> None:
    with pytest.raises(RuntimeError, match="forward"):
        TimeEmbedding(np.zeros((5, 3), dtype=np.float32)).backward(np.zeros((2, 4, 3)))


@pytest.mark.parametrize(("N", "T", "D"), [(0, 3, 5), (2, 0, 5), (2, 3, 0)])
def test_empty(isa: str, N: int, T: int, D: int) -> None:
    layer = TimeEmbedding(np.ones((4, D), dtype=np.float32))
    layer.grads[0][...] = 9
    assert layer.forward(np.zeros((N, T), dtype=int)).shape == (N, T, D)
    layer.backward(np.zeros((N, T, D)))
    assert not layer.grads[0].any()


def test_empty_vocabulary() -> None:
    layer = TimeEmbedding(np.ones((0, 5), dtype=np.float32))
    with pytest.raises(IndexError, match="0"):
        layer.forward(np.zeros((2, 3), dtype=int))
