"""Training and measuring language models: what is read, what is printed, what is refused."""

import math
from typing import Any

import numpy as np
import pytest

import fastseq
import fastseq_reference
from fastseq.train import RnnlmTrainer
from fastseq.util import eval_perplexity

Array = Any
every_package = pytest.mark.parametrize("package", [fastseq, fastseq_reference])


class Recorder:
    """A model and optimizer that note what is asked of them; the loss counts calls from 1."""

    def __init__(self, losses: dict[int, float] | None = None) -> None:
        self.params = [np.zeros(2, "f4")]
        self.grads = [np.full(2, 3.0, "f4")]
        self.batches: list[tuple[list[list[int]], list[list[int]]]] = []
        self.calls: list[str] = []
        self.losses = losses or {}

    def forward(self, xs: Array, ts: Array) -> float:
        self.calls.append("forward")
        self.batches.append((xs.tolist(), ts.tolist()))
        return self.losses.get(len(self.batches), float(len(self.batches)))

    def backward(self) -> None:
        self.calls.append("backward")
        self.grads[0][...] = 3.0

    def update(self, params: list[Array], grads: list[Array]) -> None:
        self.calls.append(f"update {float(np.linalg.norm(grads[0])):.2f}")


class DropsRecorder(Recorder):
    """As `BetterRnnlm`, it can be told not to drop."""

    def __init__(self) -> None:
        super().__init__()
        self.flags: list[bool] = []

    def forward(self, xs: Array, ts: Array, train_flg: bool = True) -> float:
        self.flags.append(train_flg)
        return super().forward(xs, ts)


@every_package
def test_readers_are_spaced_and_go_round(package: Any) -> None:
    model = Recorder()
    trainer = package.RnnlmTrainer(model, model)
    assert (trainer.ppl_list, trainer.time_idx, trainer.current_epoch) == (None, None, 0)
    xs = np.arange(11)
    trainer.fit(xs, xs + 100, max_epoch=2, batch_size=2, time_size=2, eval_interval=None)
    # 11 // 2 = 5 apart; 11 // (2 * 2) = 2 steps an epoch; the second reader begins anew
    assert [batch[0] for batch in model.batches] == [
        [[0, 1], [5, 6]],
        [[2, 3], [7, 8]],
        [[4, 5], [9, 10]],
        [[6, 7], [0, 1]],
    ]
    for read, answers in model.batches:
        assert answers == (np.array(read) + 100).tolist()
    assert model.calls == 4 * ["forward", "backward", "update 4.24"]
    assert trainer.time_idx == 8
    assert trainer.current_epoch == 2
    assert trainer.ppl_list == []

    trainer.fit(xs, xs, 1, batch_size=1, time_size=9, max_grad=1.0, eval_interval=None)
    assert model.batches[-1][0] == [list(range(9))]  # from the start again
    assert model.calls[-1] == "update 1.00"
    assert trainer.current_epoch == 3


@every_package
def test_batches_can_be_asked_for(package: Any) -> None:
    trainer = package.RnnlmTrainer(None, None)
    xs = np.arange(7)
    for first in (0, 2, 4, 6):
        batch, answers = trainer.get_batch(xs, xs[::-1], 3, 2)
        expected = [[(start + first) % 7, (start + first + 1) % 7] for start in (0, 2, 4)]
        assert batch.tolist() == expected
        assert answers.tolist() == [[6 - one for one in row] for row in expected]
    assert trainer.time_idx == 8


@every_package
def test_perplexities_are_printed_and_kept(
    package: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Recorder({call: math.log(call) for call in range(1, 20)})
    trainer = package.RnnlmTrainer(model, model)
    xs = np.arange(11)
    trainer.fit(xs, xs, max_epoch=2, batch_size=1, time_size=2, eval_interval=2)
    # 5 steps an epoch; a line after steps 1, 3, 5: means of the logarithms since
    products = [1, 2 * 3, 4 * 5, 6, 7 * 8, 9 * 10]
    expected = [product ** (1 / n) for product, n in zip(products, 2 * [1, 2, 2], strict=True)]
    assert trainer.ppl_list == pytest.approx(expected)
    assert all(type(perplexity) is float for perplexity in trainer.ppl_list)
    lines = [(1, 1), (1, 3), (1, 5), (2, 1), (2, 3), (2, 5)]
    assert capsys.readouterr().out.splitlines() == [
        f"| epoch {epoch} |  iter {step} / 5 | time 0[s] | perplexity {value:.2f}"
        for (epoch, step), value in zip(lines, expected, strict=True)
    ]
    assert trainer.eval_interval == 2


def test_a_huge_loss_is_an_infinite_perplexity(capsys: pytest.CaptureFixture[str]) -> None:
    model = Recorder({1: 1000.0})
    trainer = RnnlmTrainer(model, model)
    with np.errstate(over="ignore"):
        trainer.fit(np.arange(4), np.arange(4), 1, 2, 2)
    assert trainer.ppl_list == [math.inf]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_the_training(bad: float) -> None:
    model = Recorder({5: bad})
    with pytest.raises(FloatingPointError, match=f"became {bad} in epoch 2, step 2 of 3"):
        RnnlmTrainer(model, model).fit(
            np.arange(12), np.arange(12), 4, batch_size=2, time_size=2, eval_interval=None
        )
    assert model.calls[-3:] == ["backward", "update 4.24", "forward"]


def test_what_cannot_be_read() -> None:
    trainer = RnnlmTrainer(Recorder(), Recorder())
    with pytest.raises(ValueError, match=r"got shapes \(9,\) and \(8,\)"):
        trainer.fit(np.arange(9), np.arange(8))
    with pytest.raises(ValueError, match=r"got shapes \(3, 3\)"):
        trainer.fit(np.ones((3, 3), int), np.ones((3, 3), int))
    with pytest.raises(ValueError, match=r"at least batch_size \* time_size = 2 \* 5 ids, got 9"):
        trainer.fit(np.arange(9), np.arange(9), batch_size=2, time_size=5)
    with pytest.raises(ValueError, match=r"= 0 \* 5"):
        trainer.fit(np.arange(9), np.arange(9), batch_size=0, time_size=5)


@every_package
def test_perplexity_reads_every_word_once(package: Any) -> None:
    model = Recorder()
    # (14 - 1) // (2 * 3) = 2 steps; readers (14 - 1) // 2 = 6 apart
    perplexity = package.eval_perplexity(model, np.arange(14), batch_size=2, time_size=3)
    assert [batch[0] for batch in model.batches] == [
        [[0, 1, 2], [6, 7, 8]],
        [[3, 4, 5], [9, 10, 11]],
    ]
    for read, answers in model.batches:
        assert answers == (np.array(read) + 1).tolist()
    assert perplexity == pytest.approx(math.exp(1.5))
    assert type(perplexity) is float
    assert set(model.calls) == {"forward"}


@every_package
def test_perplexity_is_taken_without_dropout(package: Any) -> None:
    model = DropsRecorder()
    package.eval_perplexity(model, np.arange(14), batch_size=2, time_size=3)
    assert model.flags == [False, False]


@every_package
@pytest.mark.parametrize("name", ["Rnnlm", "BetterRnnlm"])
def test_perplexity_of_a_model_that_passes_its_arguments_on(package: Any, name: str) -> None:
    class Wrapped(getattr(package, name)):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return super().forward(*args, **kwargs)

    def perplexity(cls: type) -> Any:
        np.random.seed(0)
        return package.eval_perplexity(cls(7, 8, 8), np.arange(50) % 7, 2, 3)

    assert perplexity(Wrapped) == perplexity(getattr(package, name))


@every_package
def test_perplexity_needs_a_step_of_words(package: Any) -> None:
    with pytest.raises(ValueError, match=r"corpus: .*6"):
        package.eval_perplexity(Recorder(), np.arange(6), batch_size=2, time_size=3)
    package.eval_perplexity(Recorder(), np.arange(7), batch_size=2, time_size=3)
    with pytest.raises(ValueError, match="one dimension"):
        eval_perplexity(Recorder(), np.ones((5, 400), int))


@pytest.mark.usefixtures("float32_products")
def test_a_text_is_learnt_as_by_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    """Every word is followed by one of two: the best perplexity is 2."""
    V = 13
    rng = np.random.default_rng(0)
    corpus = [0]
    for step in rng.integers(0, 2, 1500):
        corpus.append(int(3 * corpus[-1] + 5 + step) % V)
    ids, valid = np.array(corpus[:1201]), np.array(corpus[1201:])

    def perplexities(package: Any, seed: int = 1) -> list[float]:
        np.random.seed(seed)
        model = package.Rnnlm(V, 8, 16)
        before = package.eval_perplexity(model, valid, batch_size=3, time_size=9)
        trainer = package.RnnlmTrainer(model, package.Adam(lr=0.02))
        model.reset_state()
        trainer.fit(ids[:-1], ids[1:], 6, batch_size=10, time_size=6, max_grad=0.5)
        model.reset_state()
        after = package.eval_perplexity(model, valid, batch_size=3, time_size=9)
        return [before, *trainer.ppl_list, after]

    ours, reference = perplexities(fastseq), perplexities(fastseq_reference)
    assert reference[0] == pytest.approx(V, rel=0.02)
    assert reference[-1] < 2.6
    np.testing.assert_allclose(ours, reference, rtol=1e-4)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(perplexities(fastseq, seed=2), reference, rtol=1e-4)


def test_the_plot_is_of_the_perplexity(monkeypatch: pytest.MonkeyPatch) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.delenv("DISPLAY", raising=False)
    model = Recorder()
    trainer = RnnlmTrainer(model, model)
    trainer.ppl_list, trainer.eval_interval = [9.0, 4.0], 20
    axes = trainer.plot(ylim=(0, 10))
    assert axes.get_ylabel() == "perplexity"
    assert axes.get_title(loc="left") + axes.get_title() == "Training perplexity"
    assert axes.get_ylim() == (0, 10)
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[0, 9], [20, 4]])
    pyplot.close(axes.figure)
