"""`ScoredAttention`: arguments of any layout, and wrong ones."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from fastseq.layers import ScoredAttention
from support.layers.scored_attention import (
    KINDS,
    PARAMETERS,
    Array,
    arguments,
    assert_same_bits,
    draw_lengths,
    draw_params,
    run,
)

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
