"""MatMul, Affine, Simple_TimeAffine, Embedding and Dropout against the reference, on every ISA.

The kernels under the first four are those of TimeAffine and TimeEmbedding, whose tests say more.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq_reference
from fastseq.layers import Affine, Dropout, Embedding, MatMul, Simple_TimeAffine, TimeAffine
from support.helpers import SIZES, assert_close, float32_tolerance

Array = npt.NDArray[Any]
Results = dict[str, Array]

CASES = [
    *[((N,), 5, 9) for N in SIZES],
    *[((3,), K, 9) for K in SIZES],
    *[((3,), 5, M) for M in SIZES],
    ((65,), 33, 130),
]
STEPS = [((3, 4), 5, 9), ((17, 7), 33, 16), ((1, 1), 1, 1), ((5, 2), 64, 65)]
AFFINE = {"MatMul": MatMul, "Affine": Affine, "Simple_TimeAffine": Simple_TimeAffine}


def draw(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def weights_of(name: str, K: int, M: int) -> list[Array]:
    W, b = draw(K, M) / np.float32(np.sqrt(K)), draw(M)
    return [W] if name == "MatMul" else [W, b]


def gradients(layer: Any) -> list[Array]:
    return [layer.dW, layer.db] if hasattr(layer, "dW") else layer.grads


def run(layer: Any, x: Array, dout: Array) -> Results:
    results = {"out": layer.forward(x), "dx": layer.backward(dout)}
    for name, grad in zip(("dW", "db"), gradients(layer), strict=False):
        results[name] = grad.copy()
    return results


def run_both(name: str, rows: tuple[int, ...], K: int, M: int) -> tuple[Results, Results]:
    weights, x, dout = weights_of(name, K, M), draw(*rows, K), draw(*rows, M, seed=1)
    twin = getattr(fastseq_reference, name)(*[weight.astype(np.float64) for weight in weights])
    expected = run(twin, x.astype(np.float64), dout.astype(np.float64))
    return run(AFFINE[name](*weights), x, dout), expected


def assert_results_close(actual: Results, expected: Results, length: int) -> None:
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        magnitude = max(1.0, float(np.abs(value).max(initial=0)))
        assert_close(actual[name], value, **float32_tolerance(length, magnitude))


def assert_same(actual: Results, expected: Results) -> None:
    for name, value in expected.items():
        assert np.array_equal(actual[name], value), name


# ------------------------------------------------------------- MatMul, Affine, Simple_TimeAffine


@pytest.mark.parametrize(
    ("name", "case"),
    [(name, case) for name in ("MatMul", "Affine") for case in [*CASES, *STEPS, ((), 5, 9)]]
    + [("Simple_TimeAffine", case) for case in STEPS],
    ids=str,
)
def test_affine_is_the_reference(isa: str, name: str, case: tuple[Any, ...]) -> None:
    rows, K, M = case
    actual, expected = run_both(name, rows, K, M)
    assert all(value.dtype == np.float32 for value in actual.values())
    assert_results_close(actual, expected, K + M + int(np.prod(rows)))


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("name", AFFINE)
@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0])
def test_affine_comparison_notices_one_wrong_element(isa: str, name: str, factor: float) -> None:
    actual, expected = run_both(name, (3, 4), 5, 9)
    for part in expected:
        wrong = expected | {part: expected[part].copy()}
        wrong[part].flat[np.abs(wrong[part]).argmax()] *= factor
        with pytest.raises(AssertionError):
            assert_results_close(actual, wrong, 5 + 9 + 12)


@pytest.mark.parametrize("name", AFFINE)
def test_affine_of_awkward_arrays(isa: str, name: str, awkward: Callable[[Array], Array]) -> None:
    weights, x, dout = weights_of(name, 5, 9), draw(3, 4, 5), draw(3, 4, 9, seed=1)
    plain = run(AFFINE[name](*weights), x, dout)
    strange = [awkward(weight) for weight in weights]
    layer = AFFINE[name](*strange)
    assert_same(run(layer, awkward(x), awkward(dout)), plain)
    held = [layer.W, layer.b] if name == "Simple_TimeAffine" else layer.params
    assert all(param is weight for param, weight in zip(held, strange, strict=True))
    assert [grad.dtype for grad in gradients(layer)] == [weight.dtype for weight in strange]


@pytest.mark.parametrize("name", AFFINE)
def test_affine_gradients_stay_in_the_same_arrays(isa: str, name: str) -> None:
    layer, x, dout = AFFINE[name](*weights_of(name, 5, 9)), draw(3, 4, 5), draw(3, 4, 9, seed=1)
    with pytest.raises(RuntimeError, match="before forward"):
        layer.backward(dout)
    kept = list(gradients(layer))
    first = run(layer, x, dout)
    held = {part: value.copy() for part, value in first.items()}
    run(layer, 2 * x, 3 * dout)
    assert_same(first, held)
    assert_same(run(layer, x, dout), first)
    assert np.array_equal(layer.backward(dout), first["dx"])  # twice
    for grad, same, part in zip(gradients(layer), kept, ("dW", "db"), strict=False):
        assert grad is same
        assert np.array_equal(grad, first[part])


def test_affine_reads_its_weights_afresh(isa: str) -> None:
    for name, layer_class in AFFINE.items():
        weights, x = weights_of(name, 5, 9), draw(3, 4, 5)
        layer = layer_class(*weights)
        first = layer.forward(x)
        for weight in weights:
            weight *= 2
        assert np.array_equal(layer.forward(x), 2 * first)


@pytest.mark.usefixtures("float32_products")
def test_one_hot_rows_pick_the_rows_of_the_matrix(isa: str) -> None:
    W = draw(7, 3)
    assert np.array_equal(MatMul(W).forward(np.eye(7, dtype=int)[[2, 0, 6]]), W[[2, 0, 6]])


def test_simple_time_affine_is_time_affine(isa: str) -> None:
    weights, x, dout = weights_of("Affine", 5, 9), draw(3, 4, 5), draw(3, 4, 9, seed=1)
    assert_same(run(Simple_TimeAffine(*weights), x, dout), run(TimeAffine(*weights), x, dout))


@pytest.mark.parametrize("name", AFFINE)
def test_wrong_affine(name: str) -> None:
    layer_class, weights = AFFINE[name], weights_of(name, 5, 9)
    with pytest.raises(ValueError, match=r"^W: expected shape \(K, M\), got \(5,\)"):
        layer_class(weights[0][:, 0], *weights[1:])
    with pytest.raises(TypeError, match="^W: expected an array of floats, got list"):
        layer_class(weights[0].tolist(), *weights[1:])
    if len(weights) > 1:
        with pytest.raises(ValueError, match=r"^b: expected shape \(M,\) = \(9\), got \(8,\)"):
            layer_class(weights[0], weights[1][1:])
    layer = layer_class(*weights)
    for error, x in (
        (ValueError, np.zeros((3, 4, 6))),
        (ValueError, np.zeros(())),
        (TypeError, np.zeros((3, 4, 5), dtype=complex)),
        (TypeError, np.full((3, 4, 5), "1")),
    ):
        with pytest.raises(error, match="^x: expected .*, got"):
            layer.forward(x)
    layer.forward(np.zeros((3, 4, 5)))
    for shape in ((3, 9), (3, 4, 5), (4, 3, 9)):
        with pytest.raises(ValueError, match="^dout: expected"):
            layer.backward(np.zeros(shape))


@pytest.mark.parametrize("name", AFFINE)
@pytest.mark.parametrize(("N", "M"), [(0, 9), (2, 0)])
def test_empty_affine(isa: str, name: str, N: int, M: int) -> None:
    layer = AFFINE[name](*weights_of(name, 5, M))
    for grad in gradients(layer):
        grad[...] = 9
    assert layer.forward(np.zeros((N, 3, 5))).shape == (N, 3, M)
    assert not layer.backward(np.zeros((N, 3, M))).any()
    assert not any(grad.any() for grad in gradients(layer))


# -------------------------------------------------------------------------------------- Embedding


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("shape", [*[(N,) for N in SIZES], (3, 4), (2, 3, 4), ()], ids=str)
@pytest.mark.parametrize("D", [1, 5, 17])
def test_embedding_is_the_reference(isa: str, shape: tuple[int, ...], D: int) -> None:
    W, dout = draw(9, D), draw(*shape, D, seed=1)
    ids = np.random.default_rng(0).integers(0, 9, size=shape)
    layer, twin = Embedding(W), fastseq_reference.Embedding(W.astype(np.float64))
    out = layer.forward(ids)
    assert out.dtype == np.float32
    assert np.array_equal(out, twin.forward(ids))
    assert layer.backward(dout) is None
    twin.backward(dout.astype(np.float64))
    expected = twin.grads[0]
    tolerance = float32_tolerance(ids.size, max(1.0, float(np.abs(expected).max())))
    assert_close(layer.grads[0], expected, **tolerance)
    for factor in (0.0, 0.999, -1.0):
        wrong = expected.copy()
        wrong.flat[np.abs(wrong).argmax()] *= factor
        with pytest.raises(AssertionError):
            assert_close(layer.grads[0], wrong, **tolerance)


def test_embedding_of_awkward_arrays(isa: str, awkward: Callable[[Array], Array]) -> None:
    W, ids, dout = draw(9, 5), np.array([3, 0, 3, 8]), draw(4, 5, seed=1)
    plain, strange = Embedding(W), awkward(W)
    layer = Embedding(strange)
    assert layer.params[0] is strange
    odd = awkward(ids)
    odd = odd if odd.dtype.kind == "i" else ids.astype(np.uint8)
    assert np.array_equal(layer.forward(odd), plain.forward(ids.tolist()))
    layer.backward(awkward(dout))
    plain.backward(dout)
    assert np.array_equal(layer.grads[0], plain.grads[0])


def test_embedding_overwrites_its_gradient(isa: str) -> None:
    layer, ids, dout = Embedding(draw(9, 5)), np.array([3, 0, 3, 8]), draw(4, 5, seed=1)
    with pytest.raises(RuntimeError, match="before forward"):
        layer.backward(dout)
    kept = layer.grads[0]
    kept[...] = 9
    layer.forward(ids)
    ids[...] = 1  # the next batch
    layer.backward(dout)
    once = kept.copy()
    assert not once[1].any()
    layer.backward(dout)
    assert layer.grads[0] is kept
    assert np.array_equal(kept, once)


def test_wrong_embedding() -> None:
    with pytest.raises(ValueError, match=r"^W: expected shape \(V, D\), got"):
        Embedding(np.zeros(5, dtype=np.float32))
    layer = Embedding(draw(9, 5))
    for bad in (-1, 9):
        with pytest.raises(IndexError, match=rf"\[1\]: .*vocabulary size 9\), got {bad}"):
            layer.forward(np.array([0, bad]))
    with pytest.raises(TypeError, match="^idx: expected an array of integers"):
        layer.forward(np.array([0.0, 1.0]))
    layer.forward(np.array([0, 1]))
    with pytest.raises(ValueError, match="dout"):
        layer.backward(np.zeros((3, 5)))


# ---------------------------------------------------------------------------------------- Dropout


@pytest.mark.parametrize("ratio", [0, 0.1, 0.5, 0.99, 1])
@pytest.mark.parametrize("train_flg", [True, False])
@pytest.mark.parametrize("shape", [(3, 4, 5), (7, 33), (65,), (0, 3)], ids=str)
def test_dropout_is_the_reference(ratio: float, train_flg: bool, shape: tuple[int, ...]) -> None:
    x, dout = draw(*shape), draw(*shape, seed=1)
    results = []
    for layer in (Dropout(ratio), fastseq_reference.Dropout(ratio)):
        np.random.seed(1)
        results.append([layer.forward(x, train_flg), layer.backward(dout), np.random.rand()])
    for one, other in zip(*results, strict=True):
        assert_close(one, other, rtol=1e-6, atol=0)
    assert results[0][0].dtype == results[0][1].dtype == np.float32


def test_dropout_draws_only_in_training() -> None:
    layer, x = Dropout(), draw(30, 50)
    assert layer.dropout_ratio == 0.5
    np.random.seed(1)
    out = layer.forward(x)
    np.random.seed(1)
    assert np.array_equal(out, x * (np.random.rand(30, 50) > 0.5))
    assert np.array_equal(layer.backward(x), out)
    state = np.random.get_state()[1].copy()
    assert np.array_equal(layer.forward(x, train_flg=False), x / 2)
    assert np.array_equal(layer.backward(x), x / 2)
    assert np.array_equal(np.random.get_state()[1], state)


def test_dropout_of_awkward_inputs(awkward: Callable[[Array], Array]) -> None:
    x, dout = draw(3, 4, 5), draw(3, 4, 5, seed=1)
    results = []
    for form in (np.asarray, awkward):
        layer = Dropout()
        np.random.seed(1)
        results.append([layer.forward(form(x)), layer.backward(form(dout))])
    assert all(np.array_equal(one, other) for one, other in zip(*results, strict=True))
    assert all(value.dtype == np.float32 for value in results[1])


def test_wrong_dropout() -> None:
    for ratio in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="^dropout_ratio: expected"):
            Dropout(ratio)
    layer = Dropout()
    with pytest.raises(RuntimeError, match="before forward"):
        layer.backward(draw(2, 3))
    with pytest.raises(TypeError, match="^x: expected"):
        layer.forward(np.full((2, 3), "1"))
    layer.forward(draw(2, 3))
    with pytest.raises(ValueError, match="^dout: expected shape"):
        layer.backward(draw(2, 1))
