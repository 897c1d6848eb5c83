"""The attention layers against the reference in float64, on every instruction set."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq_reference
from fastseq import _kernels
from fastseq.layers import Attention, AttentionWeight, TimeAttention, WeightSum
from support.helpers import SIZES, assert_close, float32_tolerance

Array = npt.NDArray[Any]
Results = dict[str, Array]

CASES = [
    *[(N, 4, 3, 9) for N in SIZES],
    *[(2, Te, 3, 9) for Te in SIZES],
    *[(2, 4, Td, 9) for Td in SIZES],
    *[(2, 5, 3, H) for H in SIZES],
    (1, 64, 64, 64),
    (7, 15, 31, 33),
    (17, 29, 10, 130),
    (65, 33, 9, 17),
]
STEP_CASES = [(1, 1, 1), (2, 3, 7), (3, 16, 16), (7, 17, 33), (33, 9, 65), (65, 31, 8)]


def draw(rng: np.random.Generator, *shape: int) -> Array:
    """Values of the size of an LSTM's hidden states, in -1 .. 1."""
    return rng.uniform(-1, 1, size=shape).astype(np.float32)


def run_time_attention(layer: Any, hs_enc: Array, hs_dec: Array, dout: Array) -> Results:
    contexts = layer.forward(hs_enc, hs_dec)
    weights = np.array(layer.attention_weights)
    dhs_enc, dhs_dec = layer.backward(dout)
    return {"contexts": contexts, "weights": weights, "dhs_enc": dhs_enc, "dhs_dec": dhs_dec}


def arguments(N: int, Te: int, Td: int, H: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng([N, Te, Td, H])
    return draw(rng, N, Te, H), draw(rng, N, Td, H), draw(rng, N, Td, H)


def run_both(N: int, Te: int, Td: int, H: int) -> tuple[Results, Results]:
    arrays = arguments(N, Te, Td, H)
    expected = run_time_attention(
        fastseq_reference.TimeAttention(), *[array.astype(np.float64) for array in arrays]
    )
    return run_time_attention(TimeAttention(), *arrays), expected


def assert_results_close(actual: Results, expected: Results, length: int) -> None:
    for name, value in expected.items():
        magnitude = max(1.0, float(np.abs(value).max(initial=0)))
        assert_close(actual[name], value, **float32_tolerance(length, magnitude))


def assert_same_bits(actual: Results, expected: Results) -> None:
    for name, value in expected.items():
        assert np.array_equal(actual[name], value), name


@pytest.mark.parametrize(("N", "Te", "Td", "H"), CASES)
def test_time_attention_is_the_reference(isa: str, N: int, Te: int, Td: int, H: int) -> None:
    actual, expected = run_both(N, Te, Td, H)
    assert actual["weights"].shape == (Td, N, Te)
    assert all(value.dtype == np.float32 for value in actual.values())
    assert_results_close(actual, expected, 2 * H + Te + Td)


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("name", ["contexts", "weights", "dhs_enc", "dhs_dec"])
@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0])
def test_comparison_notices_one_wrong_element(isa: str, name: str, factor: float) -> None:
    actual, expected = run_both(3, 5, 4, 9)
    expected[name] = expected[name].copy()
    expected[name].flat[np.abs(expected[name]).argmax()] *= factor
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, 2 * 9 + 5 + 4)


def test_comparison_notices_a_gradient_without_the_softmax(isa: str) -> None:
    dout = arguments(3, 5, 4, 9)[2].astype(np.float64)
    actual, expected = run_both(3, 5, 4, 9)
    weights = expected["weights"].transpose(1, 0, 2)
    expected["dhs_enc"] = np.einsum("nde,ndh->neh", weights, dout)  # through the sum only
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, 2 * 9 + 5 + 4)


def step_layers() -> list[tuple[type, type, tuple[str, str], str]]:
    """Layer, twin, the shapes of its two inputs, and that of its result."""
    return [
        (WeightSum, fastseq_reference.WeightSum, ("NTH", "NT"), "NH"),
        (AttentionWeight, fastseq_reference.AttentionWeight, ("NTH", "NH"), "NT"),
        (Attention, fastseq_reference.Attention, ("NTH", "NH"), "NH"),
    ]


def step_arguments(N: int, T: int, H: int, letters: tuple[str, ...]) -> list[Array]:
    rng = np.random.default_rng([N, T, H])
    sizes = {"N": N, "T": T, "H": H}
    return [draw(rng, *[sizes[letter] for letter in shape]) for shape in letters]


def run_step(layer: Any, arrays: list[Array]) -> Results:
    out = layer.forward(*arrays[:2])
    dfirst, dsecond = layer.backward(arrays[2])
    return {"out": out, "dfirst": dfirst, "dsecond": dsecond}


@pytest.mark.parametrize(("N", "T", "H"), STEP_CASES)
@pytest.mark.parametrize(("layer", "twin", "inputs", "result"), step_layers())
def test_step_is_the_reference(
    isa: str, layer: type, twin: type, inputs: tuple[str, str], result: str, N: int, T: int, H: int
) -> None:
    arrays = step_arguments(N, T, H, (*inputs, result))
    actual = run_step(layer(), arrays)
    expected = run_step(twin(), [array.astype(np.float64) for array in arrays])
    assert all(value.dtype == np.float32 for value in actual.values())
    assert_results_close(actual, expected, 2 * H + T)


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("name", ["out", "dfirst", "dsecond"])
@pytest.mark.parametrize(("layer", "twin", "inputs", "result"), step_layers())
def test_step_comparison_notices_one_wrong_element(
    isa: str, layer: type, twin: type, inputs: tuple[str, str], result: str, name: str
) -> None:
    arrays = step_arguments(3, 5, 9, (*inputs, result))
    actual = run_step(layer(), arrays)
    expected = run_step(twin(), [array.astype(np.float64) for array in arrays])
    expected[name].flat[np.abs(expected[name]).argmax()] *= 0.999
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, 2 * 9 + 5)


def test_attention_keeps_its_weights(isa: str) -> None:
    hs, h, _ = step_arguments(3, 5, 9, ("NTH", "NH", "NH"))
    layer = Attention()
    assert layer.attention_weight is None
    layer.forward(hs, h)
    assert np.array_equal(layer.attention_weight, AttentionWeight().forward(hs, h))
    assert_close(layer.attention_weight.sum(axis=1), np.ones(3), **float32_tolerance(5))


def test_weights_are_one_array_for_each_decoder_step(isa: str) -> None:
    hs_enc, hs_dec, _ = arguments(3, 5, 4, 9)
    layer = TimeAttention()
    assert layer.attention_weights is None
    layer.forward(hs_enc, hs_dec)
    assert len(layer.attention_weights) == 4
    assert all(weights.shape == (3, 5) for weights in layer.attention_weights)
    assert np.array_equal(
        layer.attention_weights[2], AttentionWeight().forward(hs_enc, hs_dec[:, 2])
    )


def test_step_is_one_step_of_time_attention(isa: str) -> None:
    hs_enc, hs_dec, _ = arguments(3, 5, 4, 17)
    contexts = TimeAttention().forward(hs_enc, hs_dec)
    steps = [Attention().forward(hs_enc, hs_dec[:, t]) for t in range(4)]
    assert np.array_equal(contexts, np.stack(steps, axis=1))


@pytest.mark.usefixtures("float32_products")
def test_large_scores(isa: str) -> None:
    hs_enc, hs_dec, dout = arguments(3, 7, 4, 33)
    layer = TimeAttention()
    contexts = layer.forward(100 * hs_enc, 100 * hs_dec)
    best = np.einsum("neh,ndh->nde", hs_enc, hs_dec).argmax(axis=2)
    assert_close(contexts, 100 * np.take_along_axis(hs_enc, best[..., None], 1), rtol=0, atol=1e-5)
    assert all(np.isfinite(gradient).all() for gradient in layer.backward(dout))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_their_row(isa: str, bad: float) -> None:
    hs_enc, hs_dec, _ = arguments(9, 5, 4, 17)
    clean = TimeAttention().forward(hs_enc, hs_dec)
    hs_enc[4, 2, 1] = bad
    contexts = TimeAttention().forward(hs_enc, hs_dec)
    others = np.arange(9) != 4
    assert np.array_equal(contexts[others], clean[others])
    assert np.isnan(contexts[4]).any()


def test_awkward_inputs(isa: str, awkward: Callable[[Array], Array]) -> None:
    arrays = arguments(3, 5, 4, 9)
    plain = run_time_attention(TimeAttention(), *arrays)
    assert_same_bits(
        run_time_attention(TimeAttention(), *[awkward(array) for array in arrays]), plain
    )


@pytest.mark.parametrize(("layer", "twin", "inputs", "result"), step_layers())
def test_step_takes_awkward_inputs(
    isa: str,
    awkward: Callable[[Array], Array],
    layer: type,
    twin: type,
    inputs: tuple[str, str],
    result: str,
) -> None:
    arrays = step_arguments(3, 5, 9, (*inputs, result))
    plain = run_step(layer(), arrays)
    assert_same_bits(run_step(layer(), [awkward(array) for array in arrays]), plain)


def test_results_outlive_later_calls(isa: str) -> None:
    layer = TimeAttention()
    first = run_time_attention(layer, *arguments(3, 5, 4, 9))
    kept = {name: value.copy() for name, value in first.items()}
    run_time_attention(layer, *arguments(3, 5, 4, 9)[::-1][:2], arguments(3, 4, 4, 9)[2])
    assert_same_bits(first, kept)


@pytest.mark.parametrize(("layer", "twin", "inputs", "result"), step_layers())
def test_caller_may_modify_the_result_before_backward(
    isa: str, layer: type, twin: type, inputs: tuple[str, str], result: str
) -> None:
    arrays = step_arguments(3, 5, 9, (*inputs, result))
    expected = run_step(layer(), arrays)
    one = layer()
    one.forward(*arrays[:2])[...] = 7
    dfirst, dsecond = one.backward(arrays[2])
    assert np.array_equal(dfirst, expected["dfirst"])
    assert np.array_equal(dsecond, expected["dsecond"])


def test_backward_twice_gives_the_same(isa: str) -> None:
    hs_enc, hs_dec, dout = arguments(3, 5, 4, 9)
    layer = TimeAttention()
    layer.forward(hs_enc, hs_dec)[...] = 7
    first, second = layer.backward(dout), layer.backward(dout)
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_row_is_the_same_alone_and_in_any_batch(
    isa: str, set_threads: Callable[[int], None]
) -> None:
    hs_enc, hs_dec, _ = arguments(65, 33, 17, 130)
    layer = TimeAttention()
    set_threads(1)
    rows_alone = [
        (layer.forward(hs_enc[n : n + 1], hs_dec[n : n + 1]), layer.attention_weights)
        for n in range(65)
    ]
    contexts = np.concatenate([row for row, _ in rows_alone])
    weights = np.concatenate([np.array(row) for _, row in rows_alone], axis=1)
    for threads in (1, 2, 4):
        set_threads(threads)
        for rows in (slice(0, 1), slice(7, 10), slice(0, 64), slice(1, 65), slice(0, 65)):
            part = layer.forward(hs_enc[rows], hs_dec[rows])
            assert np.array_equal(part.view(np.uint32), contexts[rows].view(np.uint32))
            assert np.array_equal(np.array(layer.attention_weights), weights[:, rows])


def test_decoder_step_is_the_same_alone_and_in_a_sequence(isa: str) -> None:
    hs_enc, hs_dec, _ = arguments(3, 17, 9, 33)
    layer = TimeAttention()
    whole = layer.forward(hs_enc, hs_dec)
    for t in range(9):
        assert np.array_equal(layer.forward(hs_enc, hs_dec[:, t : t + 1]), whole[:, t : t + 1])


def test_dot_product_has_the_same_bits_in_every_block(isa: str) -> None:
    hs_enc, _, dout = arguments(1, 9, 9, 33)

    def dots(queries: slice, states: slice) -> Array:
        no_weights = np.zeros((1, 9, 9), np.float32)[:, queries, states]
        _, dweights = _kernels.weight_sum_backward(dout[:, queries], hs_enc[:, states], no_weights)
        return np.array(dweights[0])

    alone = np.block([[dots(slice(d, d + 1), slice(e, e + 1)) for e in range(9)] for d in range(9)])
    for d in range(9):
        for e in range(9):
            assert np.array_equal(dots(slice(d, None), slice(e, None)), alone[d:, e:])


def test_results_have_the_same_bits_on_any_number_of_threads(
    isa: str, set_threads: Callable[[int], None]
) -> None:
    arrays = arguments(65, 33, 17, 130)
    set_threads(1)
    expected = run_time_attention(TimeAttention(), *arrays)
    for threads in (2, 3, 4):
        set_threads(threads)
        assert_same_bits(run_time_attention(TimeAttention(), *arrays), expected)


@pytest.mark.parametrize(
    ("layer", "dout"),
    [
        (WeightSum, np.zeros((2, 5))),
        (AttentionWeight, np.zeros((2, 3))),
        (Attention, np.zeros((2, 5))),
        (TimeAttention, np.zeros((2, 4, 5))),
    ],
)
def test_backward_before_forward(layer: type, dout: Array) -> None:
    with pytest.raises(RuntimeError, match="forward"):
        layer().backward(dout)
    assert layer().params == []
    assert layer().grads == []


@pytest.mark.parametrize(
    ("name", "layer", "shapes"),
    [
        ("hs", WeightSum, [(2, 3), (2, 3)]),
        ("a", WeightSum, [(2, 3, 5), (2, 5)]),
        ("a", WeightSum, [(2, 3, 5), (2, 1, 3)]),
        ("hs", AttentionWeight, [(3, 5), (2, 5)]),
        ("h", AttentionWeight, [(2, 3, 5), (2, 3)]),
        ("h", Attention, [(2, 3, 5), (3, 5)]),
        ("h", Attention, [(2, 3, 5), (5,)]),
        ("hs_enc", TimeAttention, [(2, 5), (2, 4, 5)]),
        ("hs_dec", TimeAttention, [(2, 3, 5), (2, 5)]),
        ("hs_dec", TimeAttention, [(2, 3, 5), (2, 4, 6)]),
        ("hs_dec", TimeAttention, [(2, 3, 5), (3, 4, 5)]),
    ],
)
def test_inputs_of_wrong_shape(name: str, layer: type, shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: expected .*, got"):
        layer().forward(*[np.zeros(shape) for shape in shapes])


@pytest.mark.parametrize("layer", [WeightSum, AttentionWeight, Attention, TimeAttention])
def test_inputs_of_wrong_kind(layer: type) -> None:
    shape = (2, 4, 5) if layer is TimeAttention else (2, 5)
    with pytest.raises(TypeError, match=r"^hs"):
        layer().forward(np.zeros((2, 5, 5), dtype=complex), np.zeros(shape))
    with pytest.raises(TypeError, match=r"^(h|a|hs_dec):"):
        layer().forward(np.zeros((2, 5, 5)), np.full(shape, "1"))


@pytest.mark.parametrize("shape", [(2, 5), (2, 4, 6), (3, 4, 5), (2, 3, 5)])
def test_gradient_of_wrong_shape(shape: tuple[int, ...]) -> None:
    layer = TimeAttention()
    layer.forward(np.zeros((2, 3, 5)), np.zeros((2, 4, 5)))
    with pytest.raises(ValueError, match="dout"):
        layer.backward(np.zeros(shape))


@pytest.mark.parametrize(("layer", "shape"), [(WeightSum, (2, 3)), (Attention, (2, 5))])
def test_step_gradient_of_wrong_shape(layer: type, shape: tuple[int, ...]) -> None:
    one = layer()
    one.forward(np.zeros((2, 3, 5)), np.zeros(shape))
    for wrong in ((2, 1, 5), (3, 5), (2, 6)):
        with pytest.raises(ValueError, match="dout|dc"):
            one.backward(np.zeros(wrong))


@pytest.mark.parametrize(("N", "Te", "Td", "H"), [(0, 3, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0)])
def test_empty(isa: str, N: int, Te: int, Td: int, H: int) -> None:
    results = run_time_attention(TimeAttention(), *arguments(N, Te, Td, H))
    assert results["contexts"].shape == (N, Td, H)
    assert results["dhs_enc"].shape == (N, Te, H)
    assert results["dhs_dec"].shape == (N, Td, H)
    assert not results["dhs_enc"].any()
    if H == 0:  # every score is the empty sum
        assert_close(results["weights"], np.full((Td, N, Te), 1 / 3), **float32_tolerance(3))


@pytest.mark.parametrize(
    ("layer", "name", "shape"),
    [
        (AttentionWeight, "hs", (2, 5)),
        (Attention, "hs", (2, 5)),
        (TimeAttention, "hs_enc", (2, 4, 5)),
    ],
)
def test_attention_over_nothing(layer: type, name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"^{name}: expected .* at least one time step"):
        layer().forward(np.zeros((2, 0, 5)), np.zeros(shape))
