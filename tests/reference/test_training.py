"""Training with the reference: optimizers, gradient clipping, the trainer, evaluation and plots."""

import math
import re
import sys
import types
from typing import Any

import numpy as np
import pytest

import fastseq_reference as reference
from support.helpers import assert_close

Array = Any
V, D, H = 6, 3, 4
XS = np.array([[0, 3, 5, 1], [2, 2, 4, 0]])
TS = np.array([[1, 4, 0, 3, 5], [1, 2, 2, 5, 0]])
MODELS = (reference.Seq2seq, reference.PeekySeq2seq, reference.AttentionSeq2seq)
every_model = pytest.mark.parametrize("model_class", MODELS)


def test_sgd_and_adam_formulas() -> None:
    gradients = [0.5, -2.0, 1e-3]
    p_sgd, p_adam = np.array([1.0], dtype=np.float32), np.array([1.0])
    sgd, adam = reference.SGD(0.1), reference.Adam(0.01, 0.8, 0.9)
    expected, m, v = 1.0, 0.0, 0.0
    for k, g in enumerate(gradients, start=1):
        sgd.update([p_sgd], [np.array([g], dtype=np.float32)])
        adam.update([p_adam], [np.array([g])])
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g * g
        rate = 0.01 * math.sqrt(1 - 0.9**k) / (1 - 0.8**k)
        expected -= rate * m / (math.sqrt(v) + 1e-7)
        assert_close(p_adam, [expected], rtol=1e-14, atol=0)
    assert p_sgd.dtype == np.float32
    assert_close(p_sgd, [1 - 0.1 * sum(gradients)], rtol=1e-6, atol=0)
    assert (reference.SGD().lr, reference.Adam().lr) == (0.01, 0.001)
    assert (reference.Adam().beta1, reference.Adam().beta2) == (0.9, 0.999)


def test_clip_grads_scales_only_what_is_too_long() -> None:
    vector, matrix = np.array([3.0, 0.0]), np.array([[4.0]])
    reference.clip_grads([vector, matrix], 5.1)
    np.testing.assert_array_equal(vector, [3, 0])
    np.testing.assert_array_equal(matrix, [[4]])
    reference.clip_grads([vector, matrix], 2.0)
    rate = 2 / (5 + 1e-6)
    assert_close(vector, [3 * rate, 0], rtol=1e-14, atol=0)
    assert_close(matrix, [[4 * rate]], rtol=1e-14, atol=0)


def test_remove_duplicate_goes_by_memory() -> None:
    shared, square, alone = np.arange(6.0).reshape(2, 3), np.ones((2, 2)), np.ones((2, 2))
    params = [shared, square, shared.T, shared, alone, square.T, shared[:]]
    # parts are separate parameters; the stride of an axis of length 1 is ignored
    params += [square[:1], shared[:, :1], square[::2]]
    grads = [np.random.default_rng(n).standard_normal(p.shape) for n, p in enumerate(params)]
    copies = [grad.copy() for grad in grads]
    given = list(params)
    unique_params, unique_grads = reference.remove_duplicate(params, grads)
    assert [id(p) for p in unique_params] == [id(params[n]) for n in (0, 1, 4, 7, 8)]
    total = copies[0] + copies[2].T + copies[3] + copies[6]
    assert_close(unique_grads[0], total, rtol=1e-14, atol=0)
    assert_close(unique_grads[1], copies[1] + copies[5].T, rtol=1e-14, atol=0)
    np.testing.assert_array_equal(unique_grads[2], copies[4])
    assert_close(unique_grads[3], copies[7] + copies[9], rtol=1e-14, atol=0)
    assert len(params) == len(grads) == 10
    assert all(a is b for a, b in zip(params, given, strict=True))


class Recorder:
    """A model that remembers its batches; its n-th loss is n."""

    def __init__(self) -> None:
        self.params, self.grads = [np.zeros(1)], [np.zeros(1)]
        self.batches: list[tuple[Array, Array]] = []

    def forward(self, x: Array, t: Array) -> float:
        self.batches.append((x.copy(), t.copy()))
        return float(len(self.batches))

    def backward(self) -> None:
        self.grads[0][...] = 10.0


def test_trainer_order_of_batches_and_reports(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.arange(11)
    t = x[:, np.newaxis] + 100
    model = Recorder()
    trainer = reference.Trainer(model, reference.SGD(1.0))
    assert (trainer.loss_list, trainer.current_epoch, trainer.eval_interval) == ([], 0, None)
    np.random.seed(8)
    trainer.fit(x, t, max_epoch=2, batch_size=2, max_grad=1.0, eval_interval=2)

    np.random.seed(8)
    order, expected = x, []
    for _ in range(2):
        order = order[np.random.permutation(np.arange(11))]
        expected += [order[k : k + 2] for k in range(0, 10, 2)]
    assert len(model.batches) == len(expected) == 10
    for (batch_x, batch_t), indices in zip(model.batches, expected, strict=True):
        np.testing.assert_array_equal(batch_x, indices)
        np.testing.assert_array_equal(batch_t, indices[:, np.newaxis] + 100)
    np.testing.assert_array_equal(x, np.arange(11))

    assert trainer.loss_list == [1.0, 2.5, 4.5, 6.0, 7.5, 9.5]
    assert (trainer.current_epoch, trainer.eval_interval) == (2, 2)
    assert_close(model.params[0], [-10.0], rtol=1e-5, atol=0)  # ten gradients clipped to 1
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(r"\d+\[s\]", "S[s]", line) for line in lines] == [
        f"| epoch {epoch} |  iter {iteration} / 5 | time S[s] | loss {loss}"
        for epoch, iteration, loss in (
            *((1, 1, "1.00"), (1, 3, "2.50"), (1, 5, "4.50")),
            *((2, 1, "6.00"), (2, 3, "7.50"), (2, 5, "9.50")),
        )
    ]

    trainer.fit(x, t, max_epoch=1, batch_size=2, eval_interval=None)
    assert trainer.current_epoch == 3
    assert_close(model.params[0], [-60.0], rtol=1e-5, atol=0)  # five more, not clipped
    assert capsys.readouterr().out == ""


def test_a_model_learns_to_reverse() -> None:
    np.random.seed(0)
    x = np.random.randint(1, 5, (256, 3))
    t = np.concatenate((np.zeros((256, 1), dtype=int), x[:, ::-1]), axis=1)
    model = reference.AttentionSeq2seq(5, 8, 16)
    trainer = reference.Trainer(model, reference.Adam(0.02))
    trainer.fit(x, t, max_epoch=20, batch_size=32, max_grad=5.0, eval_interval=8)
    assert trainer.loss_list[0] > 1.3
    assert trainer.loss_list[-1] < 0.1
    assert np.mean(model.generate_batch(x, 0, 3) == t[:, 1:]) > 0.98


def test_plot_draws_the_losses_or_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, tuple[Any, ...]]] = []
    pyplot = types.ModuleType("matplotlib.pyplot")
    for name in ("plot", "xlabel", "ylabel", "ylim", "show"):
        setattr(pyplot, name, lambda *args, name=name, **_: calls.append((name, args)))
    monkeypatch.setitem(sys.modules, "matplotlib", types.ModuleType("matplotlib"))
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", pyplot)
    trainer = reference.Trainer(Recorder(), reference.SGD())
    trainer.loss_list, trainer.eval_interval = [3.0, 2.0], 20
    trainer.plot((0, 4))
    drawn = dict(calls)
    assert drawn["ylim"] == (0, 4)
    assert drawn["xlabel"] == ("iterations (x20)",)
    np.testing.assert_array_equal(drawn["plot"], [[0, 1], [3.0, 2.0]])
    assert calls[-1] == ("show", ())

    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"fastseq-kernels\[plot\]"):
        trainer.plot()


def test_eval_seq2seq_compares_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    asked = []

    def generate(xs: Array, start_id: int, sample_size: int) -> list[int]:
        asked.append((xs.tolist(), start_id, sample_size))
        return [2, 1]

    model = types.SimpleNamespace(generate=generate)
    id_to_char = {0: "_", 1: "a", 2: "b"}
    question, right, wrong = np.array([[1, 1, 2]]), np.array([[0, 2, 1]]), np.array([0, 2, 2])
    assert reference.eval_seq2seq(model, question, right, id_to_char) == 1
    assert reference.eval_seq2seq(model, question, wrong, id_to_char) == 0
    assert asked == [([[1, 1, 2]], 0, 2)] * 2
    assert capsys.readouterr().out == ""

    assert reference.eval_seq2seq(model, question, right, id_to_char, True, True) == 1
    assert capsys.readouterr().out == "Q baa\nT ba\n\033[92m☑\033[0m ba\n---\n"
    assert reference.eval_seq2seq(model, question, wrong, id_to_char, verbose=True) == 0
    assert capsys.readouterr().out == "Q aab\nT bb\n\033[91m☒\033[0m ba\n---\n"
