"""The models against the reference: start, loss, gradients, generation, 200 steps of training."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq
import fastseq.models.seq2seq
import fastseq_reference
from fastseq import AttentionSeq2seq, PeekySeq2seq, Seq2seq
from support.helpers import assert_close, convert_model, float32_tolerance

Array = npt.NDArray[Any]

MODELS = ("Seq2seq", "PeekySeq2seq", "AttentionSeq2seq")

# N, Te, Td, V, D, H
CASES = [
    *[(N, 4, 4, 9, 5, 9) for N in (1, 2, 8, 17, 65)],
    *[(3, Te, 4, 9, 5, 9) for Te in (1, 2, 7, 16, 33)],
    *[(3, 4, Td, 9, 5, 9) for Td in (2, 3, 9, 17)],
    *[(3, 4, 4, V, 5, 9) for V in (1, 2, 15, 16, 33, 64)],
    *[(3, 4, 4, 9, D, 9) for D in (1, 7, 8, 17, 31)],
    *[(3, 4, 4, 9, 5, H) for H in (1, 7, 8, 15, 16, 17, 33, 65)],
    (33, 7, 5, 13, 16, 64),
    (64, 9, 6, 59, 16, 31),
]
SIZES = (5, 6, 5, 13, 7, 17)


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    """Run the test once for each model."""
    return request.param


def build(package: Any, name: str, V: int, D: int, H: int, scale: float = 1) -> Any:
    """A model from a fixed seed; `scale` makes its answers more varied."""
    np.random.seed(V + D + H)
    model = getattr(package, name)(V, D, H)
    for param in model.params:
        param *= scale
    return model


def sequences(N: int, Te: int, Td: int, V: int) -> tuple[Array, Array]:
    rng = np.random.default_rng([N, Te, Td, V])
    return rng.integers(0, V, size=(N, Te)), rng.integers(0, V, size=(N, Td))


def run(model: Any, xs: Array, ts: Array) -> list[Any]:
    """The loss, and copies of all gradients."""
    loss = model.forward(xs, ts)
    assert model.backward() is None
    return [loss, *[grad.copy() for grad in model.grads]]


def run_both(
    name: str, N: int, Te: int, Td: int, V: int, D: int, H: int
) -> tuple[list[Any], list[Any]]:
    xs, ts = sequences(N, Te, Td, V)
    twin = convert_model(build(fastseq_reference, name, V, D, H), np.float64)
    return run(build(fastseq, name, V, D, H), xs, ts), run(twin, xs, ts)


def assert_results_close(actual: list[Any], expected: list[Any], length: int) -> None:
    # the mean over positions makes gradients small: they are compared on their own scale
    for one, other in zip(actual, expected, strict=True):
        magnitude = float(np.abs(other).max())
        tolerance = float32_tolerance(length, magnitude)
        assert_close(one, other, rtol=tolerance["rtol"], atol=tolerance["atol"] + 1e-9)


def length_of(N: int, Te: int, Td: int, V: int, D: int, H: int) -> int:
    return (Te + Td) * (D + 5 * H) + V + N * Td


@pytest.mark.parametrize("sizes", CASES)
def test_is_the_reference(isa: str, name: str, sizes: tuple[int, ...]) -> None:
    actual, expected = run_both(name, *sizes)
    assert_results_close(actual, expected, length_of(*sizes))


@pytest.mark.parametrize("index", [0, 1, 2, 3, 4, 5, 6, 7, 8, -2, -1])
def test_comparison_notices_one_wrong_element(isa: str, name: str, index: int) -> None:
    actual, expected = run_both(name, *SIZES)
    wrong = np.array(expected[index])
    wrong.flat[np.abs(wrong).argmax()] *= 0.999
    expected[index] = wrong
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, length_of(*SIZES))


def test_comparison_notices_a_lost_path_into_the_encoder(isa: str, name: str) -> None:
    actual, expected = run_both(name, *SIZES)
    expected[1:5] = [np.zeros_like(gradient) for gradient in expected[1:5]]
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, length_of(*SIZES))


@pytest.mark.parametrize(("V", "D", "H"), [(13, 16, 128), (59, 16, 33)])
def test_one_seed_gives_the_reference_start(name: str, V: int, D: int, H: int) -> None:
    model = build(fastseq, name, V, D, H)
    after = np.random.rand()
    twin = build(fastseq_reference, name, V, D, H)
    assert np.random.rand() == after
    assert len(model.params) == len(model.grads) == len(twin.params)
    for param, grad, other in zip(model.params, model.grads, twin.params, strict=True):
        assert param.dtype == grad.dtype == np.float32
        assert np.array_equal(param, other)
        assert grad.shape == param.shape


def test_model_holds_the_arrays_of_its_layers(name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    layers = [model.encoder.embed, model.encoder.lstm]
    layers += [model.decoder.embed, model.decoder.lstm, model.decoder.affine]
    params = [param for layer in layers for param in layer.params]
    grads = [grad for layer in layers for grad in layer.grads]
    assert all(one is other for one, other in zip(model.params, params, strict=True))
    assert all(one is other for one, other in zip(model.grads, grads, strict=True))


def test_parts_are_the_reference(isa: str, name: str) -> None:
    N, Te, Td, V, D, H = 5, 6, 4, 13, 7, 17
    xs, ts = sequences(N, Te, Td, V)
    model = build(fastseq, name, V, D, H)
    twin = convert_model(build(fastseq_reference, name, V, D, H), np.float64)
    results = []
    for one, dtype in ((model, np.float32), (twin, np.float64)):
        rng = np.random.default_rng(0)
        encoded = one.encoder.forward(xs)
        score = one.decoder.forward(ts, encoded)
        dencoded = one.decoder.backward(rng.normal(size=score.shape).astype(dtype))
        assert one.encoder.backward(dencoded) is None
        results.append([encoded, score, dencoded, *one.grads])
    assert results[0][0].shape == ((N, Te, H) if name == "AttentionSeq2seq" else (N, H))
    assert_results_close(*results, length_of(N, Te, Td, V, D, H))


def test_decoder_takes_a_state_of_its_own_in_float64(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, ts = sequences(5, 6, 5, 13)
    encoded = model.encoder.forward(xs)
    score = model.decoder.forward(ts, encoded)
    assert score.dtype == np.float32
    again = model.decoder.forward(ts, np.asfortranarray(encoded.astype(np.float64)))
    assert np.array_equal(again, score)


def test_gradient_is_scaled_by_dout(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, ts = sequences(5, 6, 5, 13)
    once = run(model, xs, ts)[1:]
    model.forward(xs, ts)
    model.backward(4)  # a power of two scales without rounding
    assert all(np.array_equal(grad, 4 * one) for grad, one in zip(model.grads, once, strict=True))


def test_gradients_are_overwritten_in_the_same_arrays(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, ts = sequences(5, 6, 5, 13)
    kept = list(model.grads)
    first = run(model, xs, ts)
    run(model, *sequences(3, 9, 4, 13))
    again = run(model, xs, ts)
    model.backward()
    for grad, same, one, two in zip(model.grads, kept, first[1:], again[1:], strict=True):
        assert grad is same
        assert np.array_equal(one, two)
        assert np.array_equal(one, grad)


def test_reversed_and_narrow_ids(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, ts = sequences(5, 6, 5, 13)
    expected = run(model, np.ascontiguousarray(xs[:, ::-1]), ts)
    for dtype in (np.int8, np.uint16, np.int32):
        other = run(model, xs.astype(dtype)[:, ::-1], np.asfortranarray(ts.astype(dtype)))
        assert all(np.array_equal(one, two) for one, two in zip(other, expected, strict=True))


def test_ignored_labels_count_nowhere(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, ts = sequences(5, 6, 5, 13)
    whole = model.forward(xs, ts)
    padded = np.concatenate((ts, np.full((5, 1), -1)), axis=1)
    assert model.forward(xs, padded) == whole


# ---- generation ----


def test_generate_is_the_reference(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 33, scale=2)
    twin = build(fastseq_reference, name, 13, 7, 33, scale=2)
    xs, _ = sequences(9, 6, 2, 13)
    for row in range(9):
        guess = model.generate(xs[row : row + 1], 3, 8)
        assert isinstance(guess, list)
        assert all(type(symbol) is int for symbol in guess)
        assert guess == twin.generate(xs[row : row + 1], 3, 8)
    answers = model.generate_batch(xs, 3, 8)
    assert np.array_equal(answers, twin.generate_batch(xs, 3, 8))
    assert len(np.unique(answers)) > 2


def test_decoder_generates_from_one_state(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 33, scale=2)
    xs, _ = sequences(3, 6, 2, 13)
    encoded = model.encoder.forward(xs[:1])
    assert model.decoder.generate(encoded, 3, 8) == model.generate(xs[:1], 3, 8)


def test_generation_continues_as_the_scores_say(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 33, scale=2)
    xs, _ = sequences(9, 6, 2, 13)
    answers = model.generate_batch(xs, 3, 8)
    read = np.concatenate((np.full((9, 1), 3), answers[:, :-1]), axis=1)
    score = model.decoder.forward(read, model.encoder.forward(xs))
    assert np.array_equal(score.argmax(axis=2), answers)


def test_row_is_the_same_alone_and_in_any_batch(
    isa: str, name: str, set_threads: Callable[[int], None]
) -> None:
    model = build(fastseq, name, 13, 7, 130, scale=2)
    xs, ts = sequences(65, 6, 5, 13)
    set_threads(1)
    answers = [model.generate(xs[n : n + 1], 3, 8) for n in range(65)]
    scores = np.concatenate(
        [
            model.decoder.forward(ts[n : n + 1], model.encoder.forward(xs[n : n + 1]))
            for n in range(65)
        ]
    )
    assert len(np.unique(answers, axis=0)) > 3
    for threads in (1, 2, 4):
        set_threads(threads)
        for rows in (slice(0, 1), slice(7, 10), slice(0, 64), slice(1, 65), slice(0, 65)):
            guess = model.generate_batch(xs[rows], 3, 8)
            assert np.array_equal(guess, answers[rows])
            score = model.decoder.forward(ts[rows], model.encoder.forward(xs[rows]))
            assert np.array_equal(score.view(np.uint32), scores[rows].view(np.uint32))


def test_gradients_have_the_same_bits_on_any_number_of_threads(
    isa: str, name: str, set_threads: Callable[[int], None]
) -> None:
    model = build(fastseq, name, 59, 16, 64)
    xs, ts = sequences(128, 15, 9, 59)
    set_threads(1)
    expected = run(model, xs, ts)
    for threads in (2, 3, 4):
        set_threads(threads)
        results = run(model, xs, ts)
        assert all(np.array_equal(one, two) for one, two in zip(results, expected, strict=True))


@pytest.mark.parametrize("rows_at_once", [1, 4, 9, 100])
def test_slices_do_not_change_answers(
    name: str, rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(fastseq, name, 13, 7, 33, scale=2)
    xs, _ = sequences(9, 6, 2, 13)
    expected = model.generate_batch(xs, 3, 8)
    monkeypatch.setattr(fastseq.models.seq2seq, "_ROWS_AT_ONCE", rows_at_once)
    answers = model.generate_batch(xs, 3, 8)
    assert answers.shape == (9, 8)
    assert answers.dtype == np.int64
    assert np.array_equal(answers, expected)


def test_generation_does_not_disturb_training(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, ts = sequences(5, 6, 5, 13)
    expected = run(model, xs, ts)
    first = model.generate(xs[:1], 3, 8)
    assert model.generate(xs[:1], 3, 8) == first
    assert np.array_equal(model.generate_batch(xs, 3, 8)[0], first)
    again = run(model, xs, ts)
    assert all(np.array_equal(one, two) for one, two in zip(again, expected, strict=True))


def test_attention_weights_of_a_forward(isa: str) -> None:
    model = build(fastseq, "AttentionSeq2seq", 13, 7, 17)
    xs, ts = sequences(5, 6, 5, 13)
    model.forward(xs, ts)
    weights = np.array(model.decoder.attention.attention_weights)
    assert weights.shape == (4, 5, 6)
    assert_close(weights.sum(axis=2), np.ones((4, 5)), **float32_tolerance(6))


def test_nothing_to_generate(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, _ = sequences(5, 6, 5, 13)
    assert model.generate(xs[:1], 3, 0) == []
    assert model.generate_batch(xs, 3, 0).shape == (5, 0)
    assert model.generate_batch(xs[:0], 3, 8).shape == (0, 8)
    assert model.generate_batch(xs[:0], 3, 8).dtype == np.int64


# ---- wrong input ----


def test_wrong_ids(name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, ts = sequences(5, 6, 5, 13)
    for bad in (-1, 13):
        wrong = xs.copy()
        wrong[3, 2] = bad
        with pytest.raises(IndexError, match=rf"3, 2.*13.*{bad}"):
            model.forward(wrong, ts)
        with pytest.raises(IndexError, match=rf"13.*{bad}"):
            model.generate(xs[:1], bad, 4)
        with pytest.raises(IndexError, match=rf"13.*{bad}"):
            model.generate_batch(xs, bad, 4)
    with pytest.raises(TypeError, match="xs"):
        model.forward(xs.astype(float), ts)
    with pytest.raises(TypeError):
        model.forward(xs, ts.astype(float))


def test_wrong_shapes(name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, ts = sequences(5, 6, 5, 13)
    for wrong in (xs[0], xs[:, :, None], xs[:, :0]):
        with pytest.raises(ValueError, match=r"^xs: expected .*, got"):
            model.forward(wrong, ts)
        with pytest.raises(ValueError, match=r"^xs: expected .*, got"):
            model.generate_batch(wrong, 3, 4)
    for wrong in (ts[0], ts[:, :, None], ts[:, :1], ts[:, :0]):
        with pytest.raises(ValueError, match=r"^ts: expected .*, got"):
            model.forward(xs, wrong)
    with pytest.raises(ValueError, match="5 rows.*got 4"):
        model.forward(xs, ts[:4])
    with pytest.raises(ValueError, match=r"one row.*got 5.*generate_batch"):
        model.generate(xs, 3, 4)
    with pytest.raises(ValueError, match="sample_size"):
        model.generate_batch(xs, 3, -1)


def test_empty_batch_has_no_loss(isa: str, name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, ts = sequences(5, 6, 5, 13)
    with pytest.raises(ValueError, match="label"):
        model.forward(xs[:0], ts[:0])


def test_backward_before_forward(name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    shape = (5, 6, 17) if name == "AttentionSeq2seq" else (5, 17)
    with pytest.raises(RuntimeError, match="forward"):
        model.backward()
    with pytest.raises(RuntimeError, match="forward"):
        model.encoder.backward(np.zeros(shape))
    with pytest.raises(RuntimeError, match="forward"):
        model.decoder.backward(np.zeros((5, 4, 13)))


@pytest.mark.parametrize("model", [Seq2seq, PeekySeq2seq, AttentionSeq2seq])
def test_wrong_sizes(model: type) -> None:
    with pytest.raises(ValueError, match=r"^vocab_size: expected at least 1, got 0"):
        model(0, 7, 17)
    with pytest.raises(ValueError, match="wordvec_size"):
        model(13, -1, 17)
    with pytest.raises(TypeError, match="hidden_size"):
        model(13, 7, 17.0)


@pytest.mark.parametrize("sizes", [(2**63, 1, 1), (2**62, 7, 2), (3, 2**61, 2), (3, 7, 2**31)])
def test_sizes_beyond_any_array(name: str, sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"^(vocab|wordvec)_size, \w+_size: expected arrays"):
        getattr(fastseq, name)(*sizes)


class Counting:
    """An integer that is one more at each look at it."""

    def __init__(self, value: int) -> None:
        self.value = value - 1

    def __index__(self) -> int:
        self.value += 1
        return self.value


def test_numbers_are_read_once(name: str) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, _ = sequences(5, 6, 5, 13)
    expected = model.generate_batch(xs, 2, 3)
    np.testing.assert_array_equal(model.generate_batch(xs, Counting(2), Counting(3)), expected)
    assert model.generate(xs[:1], Counting(2), Counting(3)) == expected[0].tolist()
    assert model.generate(xs[:1], np.array([2]), np.int8(3)) == expected[0].tolist()


@pytest.mark.parametrize("wrong", ["1", 2.5, None, 1j, {}, np.zeros(3)])
@pytest.mark.parametrize("argument", ["start_id", "sample_size"])
def test_what_cannot_be_generated(name: str, argument: str, wrong: Any) -> None:
    model = build(fastseq, name, 13, 7, 17)
    xs, _ = sequences(1, 6, 5, 13)
    for generate in (model.generate, model.generate_batch):
        with pytest.raises(TypeError, match=f"^{argument}: expected an integer"):
            generate(xs, **({"start_id": 1, "sample_size": 3} | {argument: wrong}))


@pytest.mark.parametrize(
    "wrong", [None, 3, "text", [[1.0], [2.0, 3.0]], np.zeros((5, 17), complex)]
)
def test_wrong_states(name: str, wrong: Any) -> None:
    decoder = build(fastseq, name, 13, 7, 17).decoder
    for run in (
        lambda: decoder.forward(np.zeros((5, 4), int), wrong),
        lambda: decoder.generate(wrong, 1, 3),
    ):
        with pytest.raises((TypeError, ValueError), match="^(h|enc_hs): "):
            run()


def test_attention_over_no_state() -> None:
    decoder = build(fastseq, "AttentionSeq2seq", 13, 7, 17).decoder
    with pytest.raises(ValueError, match="^enc_hs: expected at least one step"):
        decoder.forward(np.zeros((5, 4), int), np.zeros((5, 0, 17)))


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        (),
        [[1.0], [2.0, 3.0]],
        np.zeros(13),
        np.broadcast_to(np.float32(0), (2**30, 2**20, 13)),
    ],
)
def test_score_gradient_of_wrong_shape(name: str, wrong: Any) -> None:
    model = build(fastseq, name, 13, 7, 17)
    model.forward(*sequences(5, 6, 5, 13))
    with pytest.raises((TypeError, ValueError, MemoryError), match="^dout: "):
        model.decoder.backward(wrong)


def test_encoder_gradient_of_wrong_shape() -> None:
    model = build(fastseq, "Seq2seq", 13, 7, 17)
    model.encoder.forward(sequences(5, 6, 5, 13)[0])
    with pytest.raises(ValueError, match="dh: "):
        model.encoder.backward(np.zeros(17))


# ---- training ----


def train(package: Any, tools: Any, name: str, steps: int) -> list[float]:
    """Losses of training to say a sequence of digits backwards."""
    V, D, H, N = 13, 16, 48, 32
    model = build(package, name, V, D, H)
    optimizer = tools.Adam()
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(steps):
        xs = rng.integers(1, V, size=(N, 6))
        ts = np.concatenate((np.zeros((N, 1), dtype=int), xs[:, 3::-1]), axis=1)
        losses.append(float(model.forward(xs, ts)))
        model.backward()
        params, grads = tools.remove_duplicate(model.params, model.grads)
        tools.clip_grads(grads, 5.0)
        optimizer.update(params, grads)
    return losses


@pytest.fixture(scope="module")
def twin_losses() -> dict[str, list[float]]:
    """Losses of the reference, trained once."""
    return {name: train(fastseq_reference, fastseq_reference, name, 200) for name in MODELS}


@pytest.mark.parametrize("tools", [fastseq_reference, fastseq], ids=["reference", "fastseq"])
def test_200_steps_of_training_are_the_reference(
    isa: str, name: str, tools: Any, twin_losses: dict[str, list[float]]
) -> None:
    losses = train(fastseq, tools, name, 200)
    assert losses[-1] < 0.97 * losses[0]
    assert_close(losses, twin_losses[name], rtol=1e-4, atol=0)


def test_twin_training_notices_a_wrong_gradient(
    twin_losses: dict[str, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    backward = Seq2seq.backward

    def wrong(self: Any, dout: float = 1) -> None:
        backward(self, dout)
        self.grads[2][...] *= 0.9

    monkeypatch.setattr(Seq2seq, "backward", wrong)
    losses = train(fastseq, fastseq, "Seq2seq", 200)
    with pytest.raises(AssertionError):
        assert_close(losses, twin_losses["Seq2seq"], rtol=1e-4, atol=0)
