"""What speed must not break.

The same bits on any number of threads, rows that do not see their batch, and numbers below the
normal range that cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastseq
from fastseq import _kernels
from support.layers.cells import GATES, weight_shapes

MODELS = ["Seq2seq", "PeekySeq2seq", "AttentionSeq2seq", "AttentionBiSeq2seq"]
V, D, H, N, Te, Td = 23, 16, 64, 48, 9, 6  # large enough for four threads


def new_model(name: str) -> tuple[Any, np.ndarray, np.ndarray]:
    np.random.seed(7)
    model = getattr(fastseq, name)(V, D, H)
    return model, np.random.randint(0, V, (N, Te)), np.random.randint(0, V, (N, Td))


def train(name: str, steps: int) -> list[np.ndarray]:
    """The losses of some training steps, and the last gradients and parameters."""
    model, xs, ts = new_model(name)
    optimizer = fastseq.Adam()
    losses = []
    for _ in range(steps):
        losses.append(model.forward(xs, ts))
        model.backward()
        params, grads = fastseq.remove_duplicate(model.params, model.grads)
        fastseq.clip_grads(grads, 5.0)
        optimizer.update(params, grads)
    return [np.array(losses), *model.grads, *model.params]


@pytest.mark.parametrize("name", MODELS)
def test_fifty_steps_have_the_same_bits_on_any_number_of_threads(
    isa: str, name: str, set_threads: Callable[[int], None]
) -> None:
    runs = []
    for threads in (1, 2, 4):
        set_threads(threads)
        runs.append(train(name, 50 if isa != "baseline" else 10))
    for other in runs[1:]:
        for one, same in zip(runs[0], other, strict=True):
            np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("steps", [5, 40])  # weights are read where they lie; and packed
@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("cell", GATES)
def test_few_rows_have_the_same_bits_on_any_number_of_threads(
    isa: str, cell: str, rows: int, steps: int, set_threads: Callable[[int], None]
) -> None:
    random = np.random.RandomState(3)
    hidden = 512  # so that even the plain layer's steps are worth sharing among four threads
    shapes = weight_shapes(cell, 16, hidden).values()
    params = [(0.05 * random.randn(*shape)).astype("f") for shape in shapes]
    xs = random.randn(rows, steps, 16).astype("f")
    results = []
    for threads in (1, 2, 4):
        set_threads(threads)
        results.append(_kernels.recurrent_forward(_kernels.Workspace(), cell, xs, params))
    for other in results[1:]:
        for one, same in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("name", MODELS)
def test_a_row_has_the_same_scores_in_any_batch(isa: str, name: str) -> None:
    model, xs, ts = new_model(name)
    scores = model.decoder.forward(ts, model.encoder.forward(xs))
    for rows in ([0], [5, 2], list(range(7, 20))):
        some = model.decoder.forward(ts[rows], model.encoder.forward(xs[rows]))
        np.testing.assert_array_equal(some, scores[rows])


def test_denormals_count_as_zero_in_a_kernel_and_nowhere_else(
    isa: str, set_threads: Callable[[int], None]
) -> None:
    tiny = np.float32(1e-39)
    x = np.full((300, 128), tiny, np.float32)
    for threads in (1, 2):
        set_threads(threads)
        y = _kernels.affine_forward(x, np.full((128, 64), 0.5, np.float32))
        assert (y == 0).all()
        small = _kernels.affine_forward(np.full_like(x, 1e-25), np.full((128, 64), 1e-20, "f"))
        assert (small == 0).all()  # the products would be denormal
        assert tiny * np.float32(0.5) > 0  # the caller's own arithmetic is as it was
        assert (x * np.float32(0.5) > 0).all()
