"""Sequence to sequence: training takes the course of the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastseq
import fastseq.models.seq2seq
import fastseq_reference
from fastseq import Seq2seq
from support.helpers import assert_close, operand_rounding
from support.models.seq2seq_models import MODELS, build


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    """Run the test once for each model."""
    return request.param


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
    assert_close(losses, twin_losses[name], rtol=1e-4 + operand_rounding(), atol=0)


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
