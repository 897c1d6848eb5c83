"""The attention model with an encoder in both directions: gradients, the reference's numbers."""

from typing import Any

import numpy as np
import pytest

import fastseq
import fastseq_reference
from support.helpers import (
    CENTRAL_DIFFERENCES,
    assert_close,
    convert_model,
    float32_tolerance,
    numerical_gradient,
)

Array = Any

# N, Te, Td, V, D, H
CASES = [
    *[(N, 4, 4, 9, 5, 7) for N in (1, 2, 8, 17)],
    *[(3, Te, 4, 9, 5, 7) for Te in (1, 2, 9, 17)],
    *[(3, 4, Td, 9, 5, 7) for Td in (2, 3, 9)],
    *[(3, 4, 4, V, D, 7) for V, D in ((1, 1), (2, 8), (16, 17), (33, 9))],
    *[(3, 4, 4, 9, 5, H) for H in (1, 8, 15, 16, 17, 32, 33)],
]
SIZES = (5, 6, 5, 13, 7, 9)


def build(package: Any, V: int, D: int, H: int) -> Any:
    """A model from a fixed seed, with embeddings large enough to matter."""
    np.random.seed(V + D + H)
    model = package.AttentionBiSeq2seq(V, D, H)
    for part in (model.encoder, model.decoder):
        part.embed.params[0][...] *= 100
    return model


def sequences(N: int, Te: int, Td: int, V: int) -> tuple[Array, Array]:
    rng = np.random.default_rng([N, Te, Td, V])
    return rng.integers(0, V, (N, Te)), rng.integers(0, V, (N, Td))


def analytic_and_numerical() -> list[tuple[Array, Array]]:
    model = convert_model(build(fastseq_reference, 5, 3, 2), np.float64)
    xs, ts = sequences(2, 4, 4, 5)
    ts[1, 2] = -1

    def loss() -> float:
        return float(model.forward(xs, ts))

    loss()
    model.backward()
    grads = [grad.copy() for grad in model.grads]
    return [(g, numerical_gradient(loss, p)) for p, g in zip(model.params, grads, strict=True)]


def test_gradients_are_those_of_central_differences() -> None:
    pairs = analytic_and_numerical()
    assert len(pairs) == 7 + 6
    for analytic, numerical in pairs:
        assert np.abs(numerical).max() > 1e-3
        assert_close(analytic, numerical, **CENTRAL_DIFFERENCES)
        broken = analytic.copy()
        broken.flat[np.abs(broken).argmax()] *= 1.001
        with pytest.raises(AssertionError, match="^1 of"):
            assert_close(broken, numerical, **CENTRAL_DIFFERENCES)


def run_both(N: int, Te: int, Td: int, V: int, D: int, H: int) -> tuple[list[Any], list[Any]]:
    def run(model: Any) -> list[Any]:
        loss = model.forward(*sequences(N, Te, Td, V))
        assert model.backward() is None
        return [loss, *[grad.copy() for grad in model.grads]]

    twin = convert_model(build(fastseq_reference, V, D, H), np.float64)
    return run(build(fastseq, V, D, H)), run(twin)


def assert_results_close(actual: list[Any], expected: list[Any], sizes: tuple[int, ...]) -> None:
    N, Te, Td, V, D, H = sizes
    length = (Te + Td) * (D + 10 * H) + V + N * Td
    for one, other in zip(actual, expected, strict=True):
        tolerance = float32_tolerance(length, float(np.abs(other).max()))
        assert_close(one, other, rtol=tolerance["rtol"], atol=tolerance["atol"] + 1e-9)


@pytest.mark.parametrize("sizes", CASES)
def test_is_the_reference(isa: str, sizes: tuple[int, ...]) -> None:
    assert_results_close(*run_both(*sizes), sizes)


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("index", range(14))
def test_comparison_notices_one_wrong_element(index: int) -> None:
    actual, expected = run_both(*SIZES)
    wrong = np.array(expected[index])
    wrong.flat[np.abs(wrong).argmax()] *= 0.999
    expected[index] = wrong
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, SIZES)


def test_the_order_and_scale_of_the_draws() -> None:
    V, D, H = 11, 5, 7
    np.random.seed(0)
    model = fastseq.AttentionBiSeq2seq(V, D, H)
    np.random.seed(0)
    shapes = [(V, D), *2 * [(D, 4 * H), (H, 4 * H)]]
    shapes += [(V, D), (D, 8 * H), (2 * H, 8 * H), (4 * H, V)]
    for index, (rows, columns) in zip((0, 1, 2, 4, 5, 7, 8, 9, 11), shapes, strict=True):
        scale = 100 if index in (0, 7) else np.sqrt(rows)
        expected = (np.random.randn(rows, columns) / scale).astype(np.float32)
        np.testing.assert_array_equal(model.params[index], expected)
    for index in (3, 6, 10, 12):
        assert not model.params[index].any()


def test_the_parts() -> None:
    model = build(fastseq, 13, 7, 9)
    assert isinstance(model.encoder, fastseq.AttentionBiEncoder)
    assert isinstance(model.encoder.lstm, fastseq.TimeBiLSTM)
    assert isinstance(model.decoder, fastseq.AttentionDecoder)
    for part in (model.encoder, model.decoder):
        assert all(any(param is each for each in model.params) for param in part.params)
    xs, ts = sequences(*SIZES[:4])
    assert model.encoder.forward(xs).shape == (5, 6, 18)
    model.forward(xs, ts)
    assert np.array(model.decoder.attention.attention_weights).shape == (4, 5, 6)


def test_each_state_knows_both_ends() -> None:
    encoder = build(fastseq, 13, 7, 9).encoder
    xs = np.array([[1, 2, 3, 4, 5]])
    hs = encoder.forward(xs)
    for position, first_changed, last_changed in ((4, 4, 0), (0, 0, 4)):
        other = xs.copy()
        other[0, position] = 9
        changed = np.abs(encoder.forward(other) - hs).max(axis=0) > 1e-6
        assert changed[first_changed].all()
        # the direction that has yet to come to the change does not know it
        half = slice(0, 9) if position == 4 else slice(9, 18)
        assert not changed[last_changed, half].any()
        assert changed[last_changed].any()


@pytest.mark.usefixtures("float32_products")
def test_answers_like_the_reference(isa: str) -> None:
    xs, _ = sequences(6, 5, 4, 13)
    ours, twin = build(fastseq, 13, 7, 9), build(fastseq_reference, 13, 7, 9)
    answers = ours.generate_batch(xs, 3, 8)
    np.testing.assert_array_equal(answers, twin.generate_batch(xs, 3, 8))
    assert ours.generate(xs[:1], 3, 8) == answers[0].tolist()
    assert len(np.unique(answers)) > 3


@pytest.mark.usefixtures("float32_products")
def test_trains_like_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 9, (80, 6))
    t = np.hstack([np.full((80, 1), 9), x[:, 3::-1]])

    def losses(package: Any, lr: float = 0.01) -> list[float]:
        np.random.seed(1)
        trainer = package.Trainer(package.AttentionBiSeq2seq(10, 5, 9), package.Adam(lr=lr))
        trainer.fit(x, t, max_epoch=10, batch_size=8, max_grad=1.0, eval_interval=1)
        return trainer.loss_list

    ours, reference = losses(fastseq), losses(fastseq_reference)
    assert len(ours) == 100
    assert reference[-1] < 0.8 * reference[0]
    np.testing.assert_allclose(ours, reference, rtol=1e-4)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(losses(fastseq, 0.0101), reference, rtol=1e-4)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="hidden_size: expected at least 1, got 0"):
        fastseq.AttentionBiSeq2seq(5, 3, 0)
    model = build(fastseq, 5, 3, 2)
    with pytest.raises(RuntimeError, match="forward"):
        model.backward()
    with pytest.raises(RuntimeError, match="forward"):
        model.encoder.backward(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="at least one time step"):
        model.encoder.forward(np.zeros((2, 0), dtype=int))
