"""The training loop: order of work, random draws, what is printed, what is refused."""

import re
from typing import Any

import numpy as np
import pytest

import fastseq
import fastseq_reference
from fastseq.train import Trainer, exact_match, remove_duplicate, shuffled, train_epoch
from fastseq.util import eval_seq2seq

Array = Any


class Recorder:
    """A model and optimizer that note what is asked of them; the loss counts calls from 1."""

    def __init__(self, losses: dict[int, float] | None = None) -> None:
        self.params = [np.zeros(2, "f4")]
        self.grads = [np.full(2, 3.0, "f4")]
        self.batches: list[tuple[list[int], list[int]]] = []
        self.calls: list[str] = []
        self.updates: list[list[float]] = []
        self.losses = losses or {}

    def forward(self, x: Array, t: Array) -> float:
        self.calls.append("forward")
        self.batches.append((x[:, 0].tolist(), t[:, 0].tolist()))
        return self.losses.get(len(self.batches), float(len(self.batches)))

    def backward(self) -> None:
        self.calls.append("backward")
        self.grads[0][...] = 3.0

    def update(self, params: list[Array], grads: list[Array]) -> None:
        self.calls.append("update")
        assert params[0] is self.params[0]
        self.updates.append([float(np.linalg.norm(grad)) for grad in grads])


def numbered(rows: int) -> tuple[Array, Array]:
    """Questions 0, 1, 2 … and answers 100, 101, 102 …, one a row."""
    x = np.arange(rows)[:, np.newaxis]
    return x, x + 100


# remove_duplicate


def test_the_same_array_is_merged() -> None:
    shared, other = np.ones((2, 3), "f4"), np.ones((2, 3), "f4")
    grads = [np.full((2, 3), value, "f4") for value in (1, 2, 4)]
    params, merged = remove_duplicate([shared, other, shared], grads)
    assert [id(param) for param in params] == [id(shared), id(other)]
    assert merged[0] is grads[0]
    np.testing.assert_array_equal(merged[0], np.full((2, 3), 5))
    np.testing.assert_array_equal(merged[1], np.full((2, 3), 2))


def test_another_view_of_the_same_elements_is_merged() -> None:
    shared = np.ones((2, 3), "f4")
    grads = [np.ones((2, 3), "f4"), np.ones((2, 3), "f4")]
    params, merged = remove_duplicate([shared, shared[:]], grads)
    assert len(params) == len(merged) == 1
    np.testing.assert_array_equal(merged[0], np.full((2, 3), 2))


@pytest.mark.parametrize("shape", [(2, 3), (3, 3), (1, 3), (3, 1)])
def test_a_transposed_view_is_merged(shape: tuple[int, int]) -> None:
    weight = np.ones(shape, "f4")
    grad = np.arange(weight.size, dtype="f4").reshape(shape)
    tied = 10 * np.arange(weight.size, dtype="f4").reshape(shape[::-1])
    params, merged = remove_duplicate([weight, weight.T], [grad.copy(), tied])
    assert len(params) == 1
    assert params[0] is weight
    np.testing.assert_array_equal(merged[0], grad + tied.T)


def test_three_uses_become_one() -> None:
    weight = np.ones((2, 3), "f4")
    grads = [np.ones((2, 3), "f4"), np.ones((3, 2), "f4"), np.ones((2, 3), "f4")]
    params, merged = remove_duplicate([weight, weight.T, weight], grads)
    assert len(params) == 1
    np.testing.assert_array_equal(merged[0], np.full((2, 3), 3))


def test_equal_values_in_other_memory_stay_apart() -> None:
    square = np.ones((3, 3), "f4")
    params = [square, square.copy(), square.T.copy(), np.zeros(3, "f4"), np.zeros(3, "f4")]
    grads = [np.full(param.shape, 7, "f4") for param in params]
    unique, merged = remove_duplicate(params, grads)
    assert [id(param) for param in unique] == [id(param) for param in params]
    for grad in merged:
        np.testing.assert_array_equal(grad, np.full(grad.shape, 7))


def test_parts_of_one_array_stay_apart() -> None:
    whole = np.ones((4, 6), "f4")
    params = [whole, whole[:2], whole[:, :3], whole[::2], whole.reshape(6, 4)]
    unique, _ = remove_duplicate(params, [np.ones(param.shape, "f4") for param in params])
    assert len(unique) == len(params)


def test_the_callers_lists_stay_as_they_are() -> None:
    shared = np.ones(3, "f4")
    params, grads = [shared, shared], [np.ones(3, "f4"), np.ones(3, "f4")]
    remove_duplicate(params, grads)
    assert len(params) == len(grads) == 2


# train_epoch and Trainer


def test_an_epoch_takes_the_batches_in_order() -> None:
    model, steps = Recorder(), []
    mean_loss = train_epoch(
        model, model, *numbered(8), batch_size=3, on_step=lambda *step: steps.append(step)
    )
    assert model.batches == [([0, 1, 2], [100, 101, 102]), ([3, 4, 5], [103, 104, 105])]
    assert model.calls == 2 * ["forward", "backward", "update"]
    assert steps == [(1, 2, 1.0), (2, 2, 2.0)]
    assert mean_loss == 1.5


def test_gradients_are_merged_before_they_are_clipped() -> None:
    model = Recorder()
    model.params = 2 * model.params
    model.grads = [model.grads[0], np.zeros(2, "f4")]
    model.grads[1][...] = 1.0
    train_epoch(model, model, *numbered(2), batch_size=2, max_grad=1.0)
    # one entry of norm 4 √2, then scaled to 1
    assert model.updates == [[pytest.approx(1.0, rel=1e-5)]]


def test_gradients_are_not_clipped_unless_asked() -> None:
    model = Recorder()
    train_epoch(model, model, *numbered(2), batch_size=2)
    assert model.updates == [[pytest.approx(np.sqrt(18))]]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_training(bad: float) -> None:
    model = Recorder({5: bad})
    trainer = Trainer(model, model)
    with pytest.raises(FloatingPointError, match=f"became {bad} in epoch 2, step 2 of 3"):
        trainer.fit(*numbered(6), max_epoch=4, batch_size=2, eval_interval=None)
    assert model.calls[-3:] == ["backward", "update", "forward"]


@pytest.mark.parametrize("batch_size", [0, -1, 7])
def test_a_batch_must_fit_into_the_data(batch_size: int) -> None:
    model = Recorder()
    with pytest.raises(ValueError, match=f"batch_size: expected 1 to 6, .* got {batch_size}"):
        Trainer(model, model).fit(*numbered(6), batch_size=batch_size)


@pytest.mark.parametrize("rows", [5, 7])
def test_questions_and_answers_must_be_as_many(rows: int) -> None:
    model, x, t = Recorder(), numbered(6)[0], numbered(rows)[1]
    message = f"expected as many rows in both; got 6 and {rows}"
    with pytest.raises(ValueError, match=message):
        train_epoch(model, model, x, t, batch_size=2)
    with pytest.raises(ValueError, match=message):
        Trainer(model, model).fit(x, t, batch_size=2)
    with pytest.raises(ValueError, match=message):
        shuffled(x, t)


def test_each_epoch_shuffles_the_order_of_the_one_before() -> None:
    model = Recorder()
    x, t = numbered(7)
    np.random.seed(3)
    Trainer(model, model).fit(x, t, max_epoch=2, batch_size=3, eval_interval=None)
    drawn_after = np.random.rand()

    np.random.seed(3)
    first = np.random.permutation(np.arange(7))
    second = first[np.random.permutation(np.arange(7))]
    expected = [first[:3], first[3:6], second[:3], second[3:6]]
    assert [batch[0] for batch in model.batches] == [rows.tolist() for rows in expected]
    assert [batch[1] for batch in model.batches] == [(rows + 100).tolist() for rows in expected]
    assert drawn_after == np.random.rand()
    np.testing.assert_array_equal(x, numbered(7)[0])


def test_losses_are_printed_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    model = Recorder()
    trainer = Trainer(model, model)
    trainer.fit(*numbered(10), max_epoch=2, batch_size=2, eval_interval=2)
    # losses 1 to 10; a line after iterations 1, 3 and 5 of each epoch
    assert trainer.loss_list == [1.0, 2.5, 4.5, 6.0, 7.5, 9.5]
    assert capsys.readouterr().out.splitlines() == [
        "| epoch 1 |  iter 1 / 5 | time 0[s] | loss 1.00",
        "| epoch 1 |  iter 3 / 5 | time 0[s] | loss 2.50",
        "| epoch 1 |  iter 5 / 5 | time 0[s] | loss 4.50",
        "| epoch 2 |  iter 1 / 5 | time 0[s] | loss 6.00",
        "| epoch 2 |  iter 3 / 5 | time 0[s] | loss 7.50",
        "| epoch 2 |  iter 5 / 5 | time 0[s] | loss 9.50",
    ]
    assert trainer.current_epoch == 2
    assert trainer.eval_interval == 2

    trainer.fit(*numbered(10), max_epoch=1, batch_size=5, eval_interval=None)
    assert trainer.current_epoch == 3
    assert len(trainer.loss_list) == 6
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("name", ["Seq2seq", "PeekySeq2seq", "AttentionSeq2seq"])
def test_trains_like_the_reference(name: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 9, (48, 6))
    t = np.stack([np.full(48, 8), np.full(48, 3), x.min(axis=1), np.full(48, 5)], axis=1)

    def losses(package: Any) -> list[float]:
        np.random.seed(1)
        trainer = package.Trainer(getattr(package, name)(9, 5, 17), package.Adam(lr=0.01))
        trainer.fit(x[:, ::-1], t, max_epoch=3, batch_size=8, max_grad=0.5, eval_interval=1)
        return trainer.loss_list

    ours, reference = losses(fastseq), losses(fastseq_reference)
    assert len(ours) == 18
    assert reference[-1] < 0.9 * reference[0]
    np.testing.assert_allclose(ours, reference, rtol=1e-4)


# exact_match and eval_seq2seq


class Echo:
    """Answers with the question's first symbols; notes how many rows it is asked at once."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def generate_batch(self, xs: Array, start_id: int, sample_size: int) -> Array:
        assert start_id == 9
        self.batches.append(len(xs))
        return xs[:, :sample_size]

    def generate(self, xs: Array, start_id: int, sample_size: int) -> list[int]:
        return [int(symbol) for symbol in self.generate_batch(xs, start_id, sample_size)[0]]


def echo_examples() -> tuple[Array, Array]:
    """Ten questions and answers, of which `Echo` gets seven right."""
    x = np.random.default_rng(0).integers(0, 9, (10, 5))
    t = np.hstack([np.full((10, 1), 9), x[:, :3]])
    t[0, 1] += 1
    t[4, 3] += 1
    t[9, 1:] += 1
    return x, t


@pytest.mark.parametrize("batch_size", [1, 3, 5, 10, 500])
def test_exact_match_counts_rows_without_an_error(batch_size: int) -> None:
    model = Echo()
    assert exact_match(model, *echo_examples(), batch_size=batch_size) == 0.7
    assert sum(model.batches) == 10
    assert max(model.batches) <= batch_size


def test_exact_match_refuses_what_has_no_answer() -> None:
    x, t = echo_examples()
    with pytest.raises(ValueError, match="at least one row"):
        exact_match(Echo(), x[:0], t[:0])
    with pytest.raises(ValueError, match="got 10 and 9"):
        exact_match(Echo(), x, t[:9])
    t[3, 0] = 8
    with pytest.raises(ValueError, match="same start symbol"):
        exact_match(Echo(), x, t)


@pytest.mark.parametrize("name", ["Seq2seq", "PeekySeq2seq", "AttentionSeq2seq"])
def test_exact_match_agrees_with_one_answer_at_a_time(name: str) -> None:
    np.random.seed(0)
    model = getattr(fastseq, name)(7, 4, 9)
    x = np.random.default_rng(0).integers(0, 7, (12, 5))
    # right answers to all but three of them
    t = np.array([[1, *model.generate(x[[row]], 1, 3)] for row in range(12)])
    t[2::4, 3] = (t[2::4, 3] + 1) % 7
    symbols = dict(enumerate("0123456"))
    one_by_one = [eval_seq2seq(model, x[[row]], t[[row]], symbols) for row in range(12)]
    assert sum(one_by_one) == 9
    assert exact_match(model, x, t) == 9 / 12


SYMBOLS = dict(enumerate("abcdefgh _"))


@pytest.mark.parametrize("correct", [np.array([9, 0, 1]), np.array([[9, 0, 1]])])
def test_a_right_answer(capsys: pytest.CaptureFixture[str], correct: Array) -> None:
    question = np.array([[0, 1, 2, 8]])
    assert eval_seq2seq(Echo(), question, correct, SYMBOLS) == 1
    assert capsys.readouterr().out == ""
    assert eval_seq2seq(Echo(), question, correct, SYMBOLS, True) == 1
    assert capsys.readouterr().out == "Q abc \nT ab\n\033[92m☑\033[0m ab\n---\n"


def test_a_wrong_answer_and_a_reversed_question(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    question, correct = np.array([[8, 2, 1, 0]]), np.array([9, 0, 1])
    assert eval_seq2seq(Echo(), question, correct, SYMBOLS, verbose=True, is_reverse=True) == 0
    assert capsys.readouterr().out == "Q abc \nT ab\n\033[91m☒\033[0m  c\n---\n"
    monkeypatch.setenv("NO_COLOR", "1")
    eval_seq2seq(Echo(), question, correct, SYMBOLS, verbose=True, is_reverse=True)
    assert re.search("^☒  c$", capsys.readouterr().out, re.MULTILINE)
