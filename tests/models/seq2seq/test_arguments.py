"""Sequence to sequence: wrong and empty arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastseq
import fastseq.models.seq2seq
from fastseq import AttentionSeq2seq, PeekySeq2seq, Seq2seq
from support.models.seq2seq_models import MODELS, build, sequences


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    """Run the test once for each model."""
    return request.param


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
    with pytest.raises(ValueError, match="5 rows, as in the encoder's result, got 4"):
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


def test_sources_whose_conversion_changes_the_shape_of_the_targets(name: str) -> None:
    xs, ts = sequences(5, 6, 5, 13)
    expected = build(fastseq, name, 13, 7, 17).forward(xs, ts)
    changed = ts.copy()

    class Reshaping:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            changed.shape = (-1,)
            return xs

    assert build(fastseq, name, 13, 7, 17).forward(Reshaping(), changed) == expected
