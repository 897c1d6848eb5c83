"""Greedy decoding of the models in one call: what the decoder's layers give, id after id."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq
from fastseq.layers import TimeAffine
from fastseq.models import Encoder, PeekyDecoder

Array = npt.NDArray[Any]

MODELS = ("Seq2seq", "PeekySeq2seq", "AttentionSeq2seq", "AttentionBiSeq2seq")
V, START = 19, 3


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    """Run the test once for each model."""
    return request.param


def build(name: str, H: int = 24) -> Any:
    """A model whose weights are large enough that its answers vary."""
    np.random.seed(H)
    model = getattr(fastseq, name)(V, 7, H)
    for param in model.params:
        param *= 4
    return model


def questions(N: int) -> Array:
    return np.random.default_rng(N).integers(0, V, size=(N, 6))


def by_layers(model: Any, xs: Array, steps: int) -> list[Any]:
    """Ids, state and weights when each id is read by a call of the layers."""
    decoder, encoded = model.decoder, model.encoder.forward(xs)
    attends, peeks = hasattr(decoder, "attention"), type(decoder) is PeekyDecoder
    first = encoded[:, -1] if attends else encoded
    decoder.lstm.set_state(first)
    ids = np.full((len(xs), 1), START)
    samples = np.empty((len(xs), steps), dtype=np.int64)
    for step in range(steps):
        out = decoder.embed.forward(ids)
        if peeks:
            out = np.concatenate((first[:, np.newaxis], out), axis=2)
        out = decoder.lstm.forward(out)
        if attends:
            out = np.concatenate((decoder.attention.forward(encoded, out), out), axis=2)
        if peeks:
            out = np.concatenate((first[:, np.newaxis], out), axis=2)
        ids = decoder.affine.forward(out).argmax(axis=2)
        samples[:, step] = ids[:, 0]
    return [samples, *left_behind(decoder)]


def at_once(model: Any, xs: Array, steps: int) -> list[Any]:
    return [model.generate_batch(xs, START, steps), *left_behind(model.decoder)]


def left_behind(decoder: Any) -> list[Array]:
    weights = decoder.attention.attention_weights if hasattr(decoder, "attention") else []
    return [decoder.lstm.h, decoder.lstm.c, *weights]


def equal(one: list[Any], other: list[Any]) -> bool:
    assert len(one) == len(other)
    return all(map(np.array_equal, one, other))


# one row to more than weights are packed for, widths around those of the vector registers
@pytest.mark.parametrize(
    ("N", "steps", "H"),
    [*[(N, 5, 24) for N in (1, 2, 4, 5, 33)], *[(1, steps, 24) for steps in (1, 2, 4, 9)]]
    + [(3, 5, H) for H in (1, 8, 15, 16, 17, 33)],
)
def test_has_the_bits_of_the_layers(isa: str, name: str, N: int, steps: int, H: int) -> None:
    model = build(name, H)
    xs = questions(N)
    expected = by_layers(model, xs, steps)
    assert equal(at_once(model, xs, steps), expected)
    assert model.generate(xs[:1], START, steps) == expected[0][0].tolist()


@pytest.mark.usefixtures("float32_products")
def test_answers_vary_and_a_difference_is_noticed(isa: str, name: str) -> None:
    model = build(name)
    xs = questions(33)
    expected = by_layers(model, xs, 5)
    assert len(np.unique(expected[0])) > 5
    for param in model.decoder.params:
        param[-1] += 0.5
        assert not equal(at_once(model, xs, 5), expected)
        param[-1] -= 0.5


@pytest.mark.parametrize("N", [1, 5])
def test_weights_of_any_layout(
    isa: str, name: str, N: int, awkward: Callable[[Array], Array]
) -> None:
    model = build(name)
    xs = questions(N)
    expected = at_once(model, xs, 5)
    decoder = model.decoder
    for layer in (decoder.embed, decoder.lstm, decoder.affine):
        layer.params[:] = [awkward(param) for param in layer.params]
    assert equal(at_once(model, xs, 5), expected)


def test_biases_of_one_row(isa: str, name: str) -> None:
    model = build(name)
    xs = questions(3)
    expected = at_once(model, xs, 5)
    for layer in (model.decoder.lstm, model.decoder.affine):
        layer.params[-1] = layer.params[-1][np.newaxis]
        layer.grads[-1] = layer.grads[-1][np.newaxis]
    assert equal(at_once(model, xs, 5), expected)
    assert model.forward(xs, xs) > 0
    model.backward()
    assert model.decoder.affine.grads[1].any()


def test_threads_do_not_change_a_bit(
    isa: str, name: str, set_threads: Callable[[int], None]
) -> None:
    model = build(name, 64)
    xs = questions(100)
    set_threads(1)
    expected = at_once(model, xs, 8)
    for count in (2, 3):
        set_threads(count)
        assert equal(at_once(model, xs, 8), expected)


def test_scores_that_are_nan_give_the_first_of_them(isa: str, name: str) -> None:
    model = build(name)
    xs = questions(3)
    b = model.decoder.affine.params[1]
    b[[5, 11]] = np.nan
    assert equal(at_once(model, xs, 4), by_layers(model, xs, 4))
    assert (model.generate_batch(xs, START, 4) == 5).all()


def test_the_first_of_equal_scores_is_taken(isa: str, name: str) -> None:
    model = build(name)
    W, b = model.decoder.affine.params
    W[...] = 0
    b[...] = 0
    b[[4, 9]] = 1
    assert (model.generate_batch(questions(3), START, 4) == 4).all()


def test_backward_needs_a_forward_after_generate(name: str) -> None:
    # or the decoder's gradients would be of one batch, and the encoder's of another
    model = build(name)
    xs = questions(1)
    model.forward(xs, xs)
    model.generate(xs, START, 3)
    with pytest.raises(RuntimeError, match="forward"):
        model.backward()


# ---- layers of the user's own ----


def test_layers_of_the_users_own_are_called() -> None:
    calls = []

    class Mine(TimeAffine):
        def forward(self, x: np.ndarray) -> np.ndarray:
            calls.append(x.shape)
            return super().forward(x)

    np.random.seed(0)
    model = fastseq.Seq2seq(7, 3, 4)
    xs = np.random.randint(0, 7, (1, 5))
    expected = model.generate(xs, 1, 3)
    model.decoder.affine = Mine(*model.decoder.affine.params)
    assert model.generate(xs, 1, 3) == expected
    assert calls == [(1, 1, 4)] * 3


def test_an_encoder_of_the_users_own_is_called() -> None:
    calls = []

    class Mine(Encoder):
        def forward(self, xs: np.ndarray) -> np.ndarray:
            calls.append(xs.shape)
            return super().forward(xs)

    np.random.seed(0)
    model = fastseq.Seq2seq(7, 3, 4)
    xs = np.random.randint(0, 7, (5, 6))
    expected = model.generate_batch(xs, 1, 3)
    params = model.encoder.params
    model.encoder = Mine(7, 3, 4)
    for own, param in zip(model.encoder.params, params, strict=True):
        own[...] = param
    np.testing.assert_array_equal(model.generate_batch(xs, 1, 3), expected)
    assert calls == [(5, 6)]
