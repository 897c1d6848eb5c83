"""ScoredAttention: its reference by central differences, and the kernels against the reference."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq_reference
from fastseq.layers import ScoredAttention, TimeAttention
from support.helpers import (
    CENTRAL_DIFFERENCES,
    SIZES,
    assert_close,
    float32_tolerance,
    numerical_gradient,
)

Array = npt.NDArray[Any]
Results = dict[str, Array]
Lengths = tuple[Array | None, Array | None]

KINDS = ("dot", "scaled_dot", "general", "additive")
PARAMETERS = {"dot": (), "scaled_dot": (), "general": ("W",), "additive": ("W_enc", "W_dec", "v")}
# N, Te, Td, H and A; A is that of additive attention only
CASES = [
    *[(N, 4, 3, 9, 5) for N in SIZES],
    *[(3, Te, 3, 9, 5) for Te in SIZES],
    *[(3, 4, Td, 9, 5) for Td in SIZES],
    *[(3, 5, 3, H, 7) for H in SIZES],
    *[(3, 5, 3, 9, A) for A in SIZES],
    (17, 29, 10, 130, 70),
]


def draw(rng: np.random.Generator, *shape: int) -> Array:
    """Values of the size of an LSTM's hidden states, in -1 .. 1."""
    return rng.uniform(-1, 1, size=shape).astype(np.float32)


def draw_params(kind: str, H: int, A: int) -> list[Array]:
    rng = np.random.default_rng([H, A])
    shapes: dict[str, list[tuple[int, ...]]] = {
        "general": [(H, H)],
        "additive": [(H, A), (H, A), (A,)],
    }
    return [draw(rng, *shape) / np.float32(np.sqrt(H)) for shape in shapes.get(kind, [])]


def draw_lengths(N: int, Te: int, Td: int) -> tuple[Array, Array]:
    """A full row and a row of one encoder step, a full and an empty decoder row, among others."""
    rng = np.random.default_rng([N, Te, Td])
    encoder_lengths = rng.integers(1, Te + 1, size=N)
    decoder_lengths = rng.integers(0, Td + 1, size=N)
    encoder_lengths[:2] = (Te, 1)[:N]
    decoder_lengths[-2:] = (Td, 0)[-N:]
    return encoder_lengths, decoder_lengths


def arguments(N: int, Te: int, Td: int, H: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng([N, Te, Td, H])
    return draw(rng, N, Te, H), draw(rng, N, Td, H), draw(rng, N, Td, H)


def padded(xs: Array, lengths: Array | None, value: float = np.nan) -> Array:
    """A copy with another value past the lengths."""
    xs = xs.copy()
    if lengths is not None:
        xs[np.arange(xs.shape[1]) >= lengths[:, np.newaxis]] = value
    return xs


def run(layer: Any, hs_enc: Array, hs_dec: Array, dout: Array, lengths: Lengths) -> Results:
    """All that a forward and a backward pass give."""
    contexts = layer.forward(hs_enc, hs_dec, *lengths)
    dhs_enc, dhs_dec = layer.backward(dout)
    grads = zip(PARAMETERS[layer.kind], layer.grads, strict=True)
    return {
        "contexts": contexts,
        "weights": layer.attention_weights,
        "dhs_enc": dhs_enc,
        "dhs_dec": dhs_dec,
        **{f"d{name}": grad.copy() for name, grad in grads},
    }


def run_both(
    kind: str, case: tuple[int, int, int, int, int], with_lengths: bool
) -> tuple[Results, Results]:
    """Ours with NaN for padding, and the reference in float64."""
    N, Te, Td, H, A = case
    params, arrays = draw_params(kind, H, A), arguments(N, Te, Td, H)
    lengths = draw_lengths(N, Te, Td) if with_lengths else (None, None)
    twin = fastseq_reference.ScoredAttention(kind, [param.astype(np.float64) for param in params])
    expected = run(twin, *[array.astype(np.float64) for array in arrays], lengths)
    sides = (lengths[0], lengths[1], lengths[1])
    ours = [padded(array, side) for array, side in zip(arrays, sides, strict=True)]
    return run(ScoredAttention(kind, params), *ours, lengths), expected


def assert_results_close(
    actual: Results, expected: Results, case: tuple[int, int, int, int, int]
) -> None:
    """Scores are sums of H or A terms that may be sums of H; gradients of weights have N T more."""
    N, Te, Td, H, A = case
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        length = 3 * H + 2 * A + 2 * (Te + Td)
        if name.startswith(("dW", "dv")):
            length += N * Te * Td
        magnitude = max(1.0, float(np.abs(value).max(initial=0)))
        assert_close(actual[name], value, **float32_tolerance(length, magnitude))


def assert_same_bits(actual: Results, expected: Results) -> None:
    for name, value in expected.items():
        assert np.array_equal(actual[name], value), name


# ---- the reference ----


@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_reference_are_central_differences(kind: str, with_lengths: bool) -> None:
    N, Te, Td, H, A = 4, 3, 4, 3, 2
    hs_enc, hs_dec, dout = (array.astype(np.float64) for array in arguments(N, Te, Td, H))
    params = [param.astype(np.float64) for param in draw_params(kind, H, A)]
    lengths = draw_lengths(N, Te, Td) if with_lengths else (None, None)
    layer = fastseq_reference.ScoredAttention(kind, params)

    def loss() -> float:
        return float(np.sum(layer.forward(hs_enc, hs_dec, *lengths) * dout))

    loss()
    dhs_enc, dhs_dec = layer.backward(dout)
    grads = [grad.copy() for grad in layer.grads]
    gradients = [dhs_enc, dhs_dec, *grads]
    for x, gradient in zip([hs_enc, hs_dec, *params], gradients, strict=True):
        assert gradient.any()
        assert_close(gradient, numerical_gradient(loss, x), **CENTRAL_DIFFERENCES)
        with pytest.raises(AssertionError):
            assert_close(0.999 * gradient, numerical_gradient(loss, x), **CENTRAL_DIFFERENCES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reference_keeps_the_dtype(kind: str, dtype: type) -> None:
    params = [param.astype(dtype) for param in draw_params(kind, 5, 4)]
    layer = fastseq_reference.ScoredAttention(kind, params)
    arrays = [array.astype(dtype) for array in arguments(3, 4, 3, 5)]
    results = run(layer, *arrays, draw_lengths(3, 4, 3))
    assert {value.dtype for value in results.values()} == {np.dtype(dtype)}


def test_reference_of_dot_is_time_attention() -> None:
    hs_enc, hs_dec, dout = (array.astype(np.float64) for array in arguments(3, 5, 4, 9))
    one, other = fastseq_reference.ScoredAttention("dot", []), fastseq_reference.TimeAttention()
    tolerance = {"rtol": 1e-12, "atol": 1e-12}
    assert_close(one.forward(hs_enc, hs_dec), other.forward(hs_enc, hs_dec), **tolerance)
    for mine, theirs in zip(one.backward(dout), other.backward(dout), strict=True):
        assert_close(mine, theirs, **tolerance)


# ---- the layer against the reference ----


@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_is_the_reference(
    isa: str, kind: str, case: tuple[int, int, int, int, int], with_lengths: bool
) -> None:
    actual, expected = run_both(kind, case, with_lengths)
    assert all(value.dtype == np.float32 for value in actual.values())
    assert_results_close(actual, expected, case)


@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_comparison_notices_one_wrong_element(isa: str, kind: str, factor: float) -> None:
    case = (4, 5, 4, 9, 7)
    actual, expected = run_both(kind, case, with_lengths=True)
    for name, value in expected.items():
        broken = value.copy()
        broken.flat[np.abs(broken).argmax()] *= factor
        with pytest.raises(AssertionError):
            assert_results_close(actual, {**expected, name: broken}, case)


@pytest.mark.parametrize("kind", KINDS)
def test_comparison_notices_a_gradient_without_the_scores(isa: str, kind: str) -> None:
    case = N, Te, Td, H, _ = 4, 5, 4, 9, 7
    actual, expected = run_both(kind, case, with_lengths=True)
    dout = padded(arguments(N, Te, Td, H)[2], draw_lengths(N, Te, Td)[1], value=0)
    weights = expected["weights"]
    expected["dhs_enc"] = np.einsum("nde,ndh->neh", weights, dout)  # through the sum only
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, case)


def test_dot_is_time_attention(isa: str) -> None:
    hs_enc, hs_dec, dout = arguments(3, 5, 4, 17)
    one, other = ScoredAttention("dot", []), TimeAttention()
    assert np.array_equal(one.forward(hs_enc, hs_dec), other.forward(hs_enc, hs_dec))
    assert np.array_equal(one.attention_weights, np.stack(other.attention_weights, axis=1))
    for mine, theirs in zip(one.backward(dout), other.backward(dout), strict=True):
        assert np.array_equal(mine, theirs)


# ---- padding ----


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_zero_in_every_result(isa: str, kind: str) -> None:
    N, Te, Td, H, A = 9, 7, 5, 17, 9
    encoder_lengths, decoder_lengths = draw_lengths(N, Te, Td)
    results, _ = run_both(kind, (N, Te, Td, H, A), with_lengths=True)
    no_encoder = np.arange(Te) >= encoder_lengths[:, np.newaxis]
    no_decoder = np.arange(Td) >= decoder_lengths[:, np.newaxis]
    assert not results["contexts"][no_decoder].any()
    assert not results["weights"][no_decoder].any()
    assert not results["weights"].transpose(0, 2, 1)[no_encoder].any()
    assert not results["dhs_enc"][no_encoder].any()
    assert not results["dhs_dec"][no_decoder].any()
    sums = results["weights"].sum(axis=2)[~no_decoder]
    assert_close(sums, np.ones(len(sums)), **float32_tolerance(Te))


@pytest.mark.parametrize("kind", KINDS)
def test_padding_has_no_part_in_the_results(isa: str, kind: str) -> None:
    N, Te, Td, H, A = 9, 7, 5, 17, 9
    params, arrays = draw_params(kind, H, A), arguments(N, Te, Td, H)
    lengths = draw_lengths(N, Te, Td)
    expected = run(ScoredAttention(kind, params), *arrays, lengths)
    sides = (lengths[0], lengths[1], lengths[1])
    for value in (np.nan, np.inf, 0.0):
        spoilt = [padded(array, side, value) for array, side in zip(arrays, sides, strict=True)]
        assert_same_bits(run(ScoredAttention(kind, params), *spoilt, lengths), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_full_lengths_change_nothing(isa: str, kind: str) -> None:
    params, arrays = draw_params(kind, 17, 9), arguments(5, 7, 4, 17)
    expected = run(ScoredAttention(kind, params), *arrays, (None, None))
    full = np.full(5, 7), np.full(5, 4)
    for lengths in (full, (full[0], None), (None, full[1])):
        assert_same_bits(run(ScoredAttention(kind, params), *arrays, lengths), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_row_is_the_same_alone_padded_and_in_any_batch(
    isa: str, kind: str, set_threads: Callable[[int], None]
) -> None:
    N, Te, Td, H, A = 33, 17, 9, 130, 70
    layer = ScoredAttention(kind, draw_params(kind, H, A))
    hs_enc, hs_dec, _ = arguments(N, Te, Td, H)
    encoder_lengths, decoder_lengths = draw_lengths(N, Te, Td)
    for threads in (1, 2, 4):
        set_threads(threads)
        contexts = layer.forward(hs_enc, hs_dec, encoder_lengths, decoder_lengths)
        weights = layer.attention_weights
        for n, (te, td) in enumerate(zip(encoder_lengths, decoder_lengths, strict=True)):
            alone = layer.forward(hs_enc[n : n + 1, :te], hs_dec[n : n + 1, :td])
            assert np.array_equal(alone.view(np.uint32)[0], contexts.view(np.uint32)[n, :td])
            assert np.array_equal(layer.attention_weights[0], weights[n, :td, :te])
        for rows in (slice(7, 10), slice(1, N)):
            part = layer.forward(
                hs_enc[rows], hs_dec[rows], encoder_lengths[rows], decoder_lengths[rows]
            )
            assert np.array_equal(part.view(np.uint32), contexts[rows].view(np.uint32))


@pytest.mark.parametrize("kind", KINDS)
def test_results_have_the_same_bits_on_any_number_of_threads(
    isa: str, kind: str, set_threads: Callable[[int], None]
) -> None:
    params, arrays = draw_params(kind, 130, 70), arguments(65, 33, 17, 130)
    lengths = draw_lengths(65, 33, 17)
    set_threads(1)
    expected = run(ScoredAttention(kind, params), *arrays, lengths)
    for threads in (2, 4):
        set_threads(threads)
        assert_same_bits(run(ScoredAttention(kind, params), *arrays, lengths), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_their_row(isa: str, kind: str, bad: float) -> None:
    layer = ScoredAttention(kind, draw_params(kind, 17, 9))
    hs_enc, hs_dec, _ = arguments(9, 5, 4, 17)
    clean = layer.forward(hs_enc, hs_dec)
    hs_enc[4, 2, 1] = bad
    contexts = layer.forward(hs_enc, hs_dec)
    others = np.arange(9) != 4
    assert np.array_equal(contexts[others], clean[others])
    assert not np.isfinite(contexts[4]).all()


# ---- as every layer ----


@pytest.mark.parametrize("kind", KINDS)
def test_awkward_arrays(isa: str, kind: str, awkward: Callable[[Array], Array]) -> None:
    params, arrays, lengths = draw_params(kind, 9, 7), arguments(3, 5, 4, 9), draw_lengths(3, 5, 4)
    plain = run(ScoredAttention(kind, params), *arrays, lengths)
    strange = [awkward(param) for param in params]
    layer = ScoredAttention(kind, strange)
    assert all(param is weight for param, weight in zip(layer.params, strange, strict=True))
    assert_same_bits(run(layer, *[awkward(array) for array in arrays], lengths), plain)
    assert [grad.dtype for grad in layer.grads] == [weight.dtype for weight in strange]


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, ">i8"])
def test_lengths_of_any_integers(isa: str, dtype: npt.DTypeLike) -> None:
    hs_enc, hs_dec, _ = arguments(3, 5, 4, 9)
    layer = ScoredAttention("general", draw_params("general", 9, 7))
    lengths = draw_lengths(3, 5, 4)
    expected = layer.forward(hs_enc, hs_dec, *lengths)
    strange = [np.repeat(side, 2).astype(dtype)[::2] for side in lengths]
    assert np.array_equal(layer.forward(hs_enc, hs_dec, *strange), expected)
    assert np.array_equal(layer.forward(hs_enc, hs_dec, *map(list, lengths)), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_overwritten_in_the_same_arrays(isa: str, kind: str) -> None:
    arrays, lengths = arguments(3, 5, 4, 9), draw_lengths(3, 5, 4)
    layer = ScoredAttention(kind, draw_params(kind, 9, 7))
    kept = list(layer.grads)
    assert not any(grad.any() for grad in kept)
    first = run(layer, *arrays, lengths)
    run(layer, *[2 * array for array in arrays], (None, None))
    assert_same_bits(run(layer, *arrays, lengths), first)
    assert np.array_equal(layer.backward(arrays[2])[0], first["dhs_enc"])  # twice
    for grad, same, name in zip(layer.grads, kept, PARAMETERS[kind], strict=True):
        assert grad is same
        assert np.array_equal(grad, first[f"d{name}"])


@pytest.mark.parametrize("kind", KINDS)
def test_caller_may_modify_contexts_and_lengths_before_backward(isa: str, kind: str) -> None:
    (hs_enc, hs_dec, dout), lengths = arguments(3, 5, 4, 9), draw_lengths(3, 5, 4)
    layer = ScoredAttention(kind, draw_params(kind, 9, 7))
    layer.forward(hs_enc, hs_dec, *lengths)
    expected = layer.backward(dout)
    layer.forward(hs_enc, hs_dec, *lengths)[...] = 7
    for side in lengths:
        side[...] = 1
    for one, other in zip(layer.backward(dout), expected, strict=True):
        assert np.array_equal(one, other)


def test_copies_and_pickles(isa: str) -> None:
    arrays, lengths = arguments(3, 5, 4, 9), draw_lengths(3, 5, 4)
    layer = ScoredAttention("additive", draw_params("additive", 9, 7))
    expected = run(layer, *arrays, lengths)
    for same in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert_same_bits(run(same, *arrays, lengths), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("N", "Td"), [(0, 4), (2, 0)])
def test_empty(isa: str, kind: str, N: int, Td: int) -> None:
    layer = ScoredAttention(kind, draw_params(kind, 5, 4))
    results = run(layer, *arguments(N, 3, Td, 5), (np.ones(N, int), np.zeros(N, int)))
    assert results["contexts"].shape == (N, Td, 5)
    assert results["weights"].shape == (N, Td, 3)
    assert results["dhs_enc"].shape == (N, 3, 5)
    assert results["dhs_dec"].shape == (N, Td, 5)
    assert not any(value.any() for value in results.values())


# ---- wrong input ----


def zeros(*shape: int) -> Array:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("name", "kind", "params"),
    [
        ("kind", "cosine", []),
        ("params", "dot", [zeros(5, 5)]),
        ("params", "general", []),
        ("params", "additive", [zeros(5, 4), zeros(5, 4)]),
        ("W", "general", [zeros(5, 4)]),
        ("W", "general", [zeros(5)]),
        ("W_enc", "additive", [zeros(5), zeros(5, 4), zeros(4)]),
        ("W_dec", "additive", [zeros(5, 4), zeros(4, 4), zeros(4)]),
        ("v", "additive", [zeros(5, 4), zeros(5, 4), zeros(5)]),
        ("v", "additive", [zeros(5, 4), zeros(5, 4), zeros(4, 1)]),
    ],
)
def test_wrong_weights(name: str, kind: str, params: list[Array]) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: expected .*, got"):
        ScoredAttention(kind, params)


def test_weights_of_wrong_kind() -> None:
    with pytest.raises(ValueError, match="^kind: expected one of"):
        ScoredAttention(np.zeros(3), [])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="^params: expected a sequence, got NoneType"):
        ScoredAttention("dot", None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^W: expected an array of floats"):
        ScoredAttention("general", [np.zeros((5, 5), int)])
    with pytest.raises(TypeError, match=r"^v: expected an array of floats"):
        ScoredAttention("additive", [zeros(5, 4), zeros(5, 4), [0.0] * 4])  # type: ignore[list-item]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "enc", "dec"),
    [
        ("hs_enc", (3, 5), (2, 4, 5)),
        ("hs_enc", (2, 0, 5), (2, 4, 5)),
        ("hs_dec", (2, 3, 5), (2, 5)),
        ("hs_dec", (2, 3, 5), (2, 4, 6)),
        ("hs_dec", (2, 3, 5), (3, 4, 5)),
    ],
)
def test_states_of_wrong_shape(
    name: str, kind: str, enc: tuple[int, ...], dec: tuple[int, ...]
) -> None:
    layer = ScoredAttention(kind, draw_params(kind, 5, 4))
    with pytest.raises(ValueError, match=rf"^{name}: expected .*, got"):
        layer.forward(zeros(*enc), zeros(*dec))


@pytest.mark.parametrize("kind", ["general", "additive"])
def test_states_that_do_not_fit_the_weights(kind: str) -> None:
    layer = ScoredAttention(kind, draw_params(kind, 5, 4))
    with pytest.raises(ValueError, match=r"^hs_enc: expected .*, got"):
        layer.forward(zeros(2, 3, 6), zeros(2, 4, 6))


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_lengths(kind: str) -> None:
    layer = ScoredAttention(kind, draw_params(kind, 5, 4))
    states = zeros(2, 3, 5), zeros(2, 4, 5)
    for wrong in ([0, 3], [4, 3], [-1, 3]):
        with pytest.raises(ValueError, match=r"^encoder_lengths\[0\]: expected 1 to 3.*, got"):
            layer.forward(*states, wrong, [4, 4])  # type: ignore[arg-type]
    for wrong in ([0, -1], [0, 5]):
        with pytest.raises(ValueError, match=r"^decoder_lengths\[1\]: expected 0 to 4.*, got"):
            layer.forward(*states, [1, 3], wrong)  # type: ignore[arg-type]
    for shape in ((3,), (2, 1), ()):
        with pytest.raises(ValueError, match=r"^encoder_lengths: expected .*, got"):
            layer.forward(*states, np.ones(shape, int))
        with pytest.raises(ValueError, match=r"^decoder_lengths: expected .*, got"):
            layer.forward(*states, None, np.ones(shape, int))
    with pytest.raises(TypeError, match=r"^encoder_lengths: expected an array of integers"):
        layer.forward(*states, np.ones(2))
    with pytest.raises(RuntimeError, match="forward"):
        layer.backward(zeros(2, 4, 5))


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_gradients(kind: str) -> None:
    layer = ScoredAttention(kind, draw_params(kind, 5, 4))
    with pytest.raises(RuntimeError, match="ScoredAttention.backward was called before forward"):
        layer.backward(zeros(2, 4, 5))
    layer.forward(zeros(2, 3, 5), zeros(2, 4, 5))
    for shape in ((2, 5), (2, 4, 6), (3, 4, 5), (2, 3, 5)):
        with pytest.raises(ValueError, match="^dout: expected"):
            layer.backward(zeros(*shape))
    with pytest.raises(TypeError, match="^dout: expected"):
        layer.backward(np.zeros((2, 4, 5), complex))
