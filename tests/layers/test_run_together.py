"""Layers run together: the same numbers as one after the other."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from fastseq import AttentionSeq2seq, PeekySeq2seq, Seq2seq, _kernels
from fastseq.layers import TimeAffine, TimeBiLSTM, TimeEmbedding, TimeLSTM
from fastseq.layers.affine import affine_backward, affine_forward
from fastseq.layers.base import side_by_side
from fastseq.layers.recurrent.time_layer import embedded_backward, embedded_forward
from support.helpers import assert_close, float32_tolerance

SIZES = [
    (1, 30, 4, 5, 6),
    (2, 3, 4, 5, 6),
    (3, 2, 1, 7, 5),
    (5, 7, 3, 17, 9),
    (33, 4, 16, 33, 59),
    (130, 4, 6, 20, 13),
]


def draw(random: np.random.RandomState, *shape: int) -> np.ndarray:
    return (0.4 * random.randn(*shape)).astype(np.float32)


def assert_same(actual: np.ndarray, expected: np.ndarray) -> None:
    """Two orders of the same sums, of at most a few hundred terms in these sizes."""
    magnitude = float(np.max(np.abs(expected), initial=1))
    assert_close(actual, expected, **float32_tolerance(600, magnitude))


def lstm_layers(size: tuple[int, ...], C: int, directions: int) -> tuple[Any, Any, np.ndarray, Any]:
    """An embedding, an LSTM above it, ids, and a context of C columns or None."""
    N, T, D, H, V = size
    random = np.random.RandomState(sum(size) + C)
    weights = [
        draw(random, *shape)
        for _ in range(directions)
        for shape in ((C + D, 4 * H), (H, 4 * H), (4 * H,))
    ]
    cls = TimeLSTM if directions == 1 else TimeBiLSTM
    ids = random.randint(0, V, (N, T))
    return TimeEmbedding(draw(random, V, D)), cls(*weights), ids, draw(random, N, C) if C else None


def one_after_the_other(
    embed: Any, lstm: Any, ids: np.ndarray, context: Any, dhs: np.ndarray
) -> list[np.ndarray]:
    """The results of `run_together`, by the layers as they stand."""
    xs = embed.forward(ids)
    hs = lstm.forward(xs if context is None else side_by_side(context, xs))
    dxs = lstm.backward(dhs)
    C = 0 if context is None else context.shape[1]
    embed.backward(dxs[:, :, C:])
    dcontext = [dxs[:, :, :C].sum(axis=1)] if C else []
    return [hs, lstm.h, lstm.c, lstm.dh, lstm.dc, *embed.grads, *lstm.grads, *dcontext]


def run_together(
    embed: Any, lstm: Any, ids: np.ndarray, context: Any, dhs: np.ndarray
) -> list[np.ndarray]:
    hs = embedded_forward(embed, lstm, ids, context)
    dcontext = embedded_backward(embed, lstm, dhs, 0 if context is None else context.shape[1])
    last = [] if dcontext is None else [dcontext]
    return [hs, lstm.h, lstm.c, lstm.dh, lstm.dc, *embed.grads, *lstm.grads, *last]


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("C", [0, 5])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_an_embedded_lstm(isa: str, size: tuple[int, ...], C: int, directions: int) -> None:
    embed, lstm, ids, context = lstm_layers(size, C, directions)
    dhs = draw(np.random.RandomState(1), *ids.shape, directions * size[3])
    expected = one_after_the_other(copy.deepcopy(embed), copy.deepcopy(lstm), ids, context, dhs)
    for _ in range(2):  # a second pass overwrites the gradients of the first
        results = run_together(embed, lstm, ids, context, dhs)
        for result, wanted in zip(results, expected, strict=True):
            assert_same(result, wanted)


def test_without_a_context_the_hidden_states_have_the_same_bits(isa: str) -> None:
    embed, lstm, ids, _ = lstm_layers((7, 5, 6, 17, 9), 0, 1)
    together = embedded_forward(embed, lstm, ids)
    np.testing.assert_array_equal(together, lstm.forward(embed.forward(ids)))


@pytest.mark.parametrize("V", [4, 40])  # fewer words than steps, and more
def test_a_transposed_embedding(isa: str, V: int) -> None:
    embed, lstm, ids, _ = lstm_layers((3, 4, 7, 9, V), 0, 1)
    dhs = draw(np.random.RandomState(1), 3, 4, 9)
    expected = [each.copy() for each in run_together(embed, lstm, ids, None, dhs)]
    transposed = TimeEmbedding(embed.params[0].T.copy().T)
    for result, wanted in zip(
        run_together(transposed, lstm, ids, None, dhs), expected, strict=True
    ):
        np.testing.assert_array_equal(result, wanted)


@pytest.mark.usefixtures("float32_products")
def test_one_wrong_element_is_noticed(isa: str) -> None:
    embed, lstm, ids, context = lstm_layers(SIZES[2], 5, 1)
    dhs = draw(np.random.RandomState(1), *ids.shape, SIZES[2][3])
    expected = one_after_the_other(copy.deepcopy(embed), copy.deepcopy(lstm), ids, context, dhs)
    for result, wanted in zip(run_together(embed, lstm, ids, context, dhs), expected, strict=True):
        wrong = wanted.copy()
        wrong.flat[wrong.size // 2] += 1e-3 * abs(wanted).max() + 1e-3
        with pytest.raises(AssertionError):
            assert_same(result, wrong)


@pytest.mark.parametrize("C", [0, 5])
def test_a_layers_own_backward_may_follow(isa: str, C: int) -> None:
    embed, lstm, ids, context = lstm_layers((7, 5, 6, 17, 9), C, 1)
    lstm.stateful = True
    dhs = draw(np.random.RandomState(1), 7, 5, 17)
    twin_embed, twin = copy.deepcopy(embed), copy.deepcopy(lstm)
    for _ in range(2):  # the second from the state that the first left
        embedded_forward(embed, lstm, ids, context)
        dxs = lstm.backward(dhs)
        embed.backward(dxs[:, :, C:])
        expected = one_after_the_other(twin_embed, twin, ids, context, dhs)
        assert_same(embed.grads[0], twin_embed.grads[0])
        assert_same(lstm.h, expected[1])
        for grad, wanted in zip(lstm.grads, twin.grads, strict=True):
            assert_same(grad, wanted)


def test_layers_of_the_users_own_are_called_as_they_stand() -> None:
    calls = []

    class Mine(TimeEmbedding):
        def forward(self, xs: np.ndarray) -> np.ndarray:
            calls.append("forward")
            return super().forward(xs)

        def backward(self, dout: np.ndarray) -> None:
            calls.append("backward")
            super().backward(dout)

    np.random.seed(0)
    for model in (Seq2seq(9, 4, 5), PeekySeq2seq(9, 4, 5), AttentionSeq2seq(9, 4, 5)):
        for part in (model.encoder, model.decoder):
            part.embed = Mine(*part.embed.params)
        xs = np.random.randint(0, 9, (6, 7))
        model.forward(xs, xs[:, :4])
        model.backward()
        assert calls == ["forward", "forward", "backward", "backward"]
        calls.clear()


@pytest.mark.parametrize("size", [(2, 3, 4, 5, 6), (5, 7, 3, 17, 9), (70, 3, 33, 16, 59)], ids=str)
def test_an_affine_map_of_parts(isa: str, size: tuple[int, ...]) -> None:
    N, T, K1, K2, M = size
    random = np.random.RandomState(sum(size))
    affine = TimeAffine(draw(random, K1 + K2, M), draw(random, M))
    dout = draw(random, N, T, M)
    for first in (draw(random, N, T, K1), draw(random, N, K1)):
        parts = first, draw(random, N, T, K2)
        together = affine_forward(affine, *parts)
        gradients = [*affine_backward(affine, dout), *(g.copy() for g in affine.grads)]
        x = side_by_side(*parts)
        ys = affine.forward(x)
        if _kernels.get_precision() == "float32" or (K1 % 2 == 0 and isa != "amx"):
            np.testing.assert_array_equal(together, ys)  # the same chain of sums
        else:
            assert_same(together, ys)  # instructions for bfloat16 sum 2 k at once, AMX's 32
        dx = affine.backward(dout)
        dfirst = dx[:, :, :K1] if first.ndim == 3 else dx[:, :, :K1].sum(axis=1)
        expected = [dfirst, dx[:, :, K1:], *affine.grads]
        for gradient, wanted in zip(gradients, expected, strict=True):
            assert_same(gradient, wanted)
        affine_forward(affine, *parts)
        assert_same(affine.backward(dout), dx)
