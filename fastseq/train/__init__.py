"""The training loop, and how it is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from fastseq.train.rnnlm import RnnlmTrainer
from fastseq.train.step import Model, Optimizer, remove_duplicate, train_step
from fastseq.util import clip_grads

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[Any]

__all__ = [
    "RnnlmTrainer",
    "Trainer",
    "clip_grads",
    "exact_match",
    "remove_duplicate",
    "shuffled",
    "train_epoch",
]


class BatchGenerator(Protocol):
    """What :func:`exact_match` requires of a model."""

    def generate_batch(self, xs: Array, start_id: int, sample_size: int) -> Array: ...


OnStep = Callable[[int, int, float], None]


def shuffled(xs: Array, ts: Array) -> tuple[Array, Array]:
    """The rows of both arrays in one new random order, drawn from the global ``np.random``.

    Parameters
    ----------
    xs, ts : arrays of equal length

    Returns
    -------
    xs, ts : arrays
        Copies, of the same shapes.

    Raises
    ------
    ValueError
        When the arrays differ in length.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.train import shuffled
    >>> xs, ts = shuffled(np.arange(5), 10 * np.arange(5))
    >>> sorted(xs.tolist()), bool((ts == 10 * xs).all())
    ([0, 1, 2, 3, 4], True)
    """
    _require_equal_length(xs, ts)
    order = np.random.permutation(np.arange(len(xs)))
    return xs[order], ts[order]


def train_epoch(
    model: Model,
    optimizer: Optimizer,
    xs: Array,
    ts: Array,
    batch_size: int = 32,
    max_grad: float | None = None,
    *,
    epoch: int = 1,
    on_step: OnStep | None = None,
) -> float:
    """Train on every full batch once, in the order of the rows.

    Parameters
    ----------
    model, optimizer
        Each batch does ``model.forward(x, t)``, ``model.backward()``, :func:`remove_duplicate`,
        :func:`~fastseq.util.clip_grads`, ``optimizer.update(params, grads)``.
    xs, ts : arrays of equal length
        One example a row. Shuffle them first (:func:`shuffled`); the rows that do not fill a last
        batch are left out.
    batch_size : int
        Rows in a batch.
    max_grad : float, optional
        The largest global norm of the gradients; None leaves them as they are.
    epoch : int
        The number of this epoch, for the error message.
    on_step : callable, optional
        Called after each step as ``on_step(step, steps, loss)``, with `step` from 1 to `steps`.

    Returns
    -------
    float
        The mean loss of the epoch.

    Raises
    ------
    ValueError
        When the arrays differ in length or hold less than one batch.
    FloatingPointError
        When the loss is NaN or infinite. The parameters stay as the step before left them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.models import Seq2seq
    >>> from fastseq.optim import Adam
    >>> from fastseq.train import train_epoch
    >>> model, xs = Seq2seq(vocab_size=10, wordvec_size=4, hidden_size=8), np.full((20, 3), 7)
    >>> losses = [train_epoch(model, Adam(0.01), xs, xs, batch_size=10) for _ in range(5)]
    >>> losses[4] < losses[0]
    True
    """
    _require_equal_length(xs, ts)
    if not 1 <= batch_size <= len(xs):
        raise ValueError(
            f"batch_size: expected 1 to {len(xs)}, the number of examples; got {batch_size}"
        )

    steps = len(xs) // batch_size
    total_loss = 0.0
    for step in range(1, steps + 1):
        batch = slice((step - 1) * batch_size, step * batch_size)
        place = f"epoch {epoch}, step {step} of {steps}"
        loss = train_step(model, optimizer, xs[batch], ts[batch], max_grad, place)
        total_loss += loss
        if on_step is not None:
            on_step(step, steps, loss)
    return total_loss / steps


def exact_match(
    model: BatchGenerator, questions: Array, corrects: Array, batch_size: int = 500
) -> float:
    """The share of questions that a model answers without a single wrong symbol.

    Parameters
    ----------
    model : Seq2seq or a model like it
        Answers through ``generate_batch(xs, start_id, sample_size)``.
    questions : (N, Te) array of int
        Ids, as the model takes them.
    corrects : (N, Td) array of int
        The right answers' ids; the first of each row is the start symbol, the same in every row.
    batch_size : int
        How many questions are answered at once. It bounds the memory and changes no answer.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        When there are no questions, the arrays differ in length, or start symbols differ.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.train import exact_match
    >>> class Echo:
    ...     def generate_batch(self, xs, start_id, sample_size):
    ...         return xs[:, :sample_size]
    >>> exact_match(Echo(), np.array([[1, 2], [3, 4]]), np.array([[0, 1, 2], [0, 3, 3]]))
    0.5
    """
    _require_equal_length(questions, corrects)
    if len(questions) == 0:
        raise ValueError("questions: expected at least one row; got none")
    start_id, sample_size = int(corrects[0, 0]), corrects.shape[1] - 1
    if (corrects[:, 0] != start_id).any():
        raise ValueError("corrects: expected every row to begin with the same start symbol")

    right = 0
    for first in range(0, len(questions), batch_size):
        batch = slice(first, first + batch_size)
        guesses = model.generate_batch(questions[batch], start_id, sample_size)
        right += int((guesses == corrects[batch, 1:]).all(axis=1).sum())
    return right / len(questions)


class Trainer:
    """Trains a model, prints how the loss falls, and can draw it.

    Parameters
    ----------
    model
        Has ``forward(x, t) -> loss``, ``backward()``, ``params`` and ``grads``.
    optimizer
        Has ``update(params, grads)``.

    Attributes
    ----------
    loss_list : list of float
        The mean loss since the entry before, one entry for each line printed.
    current_epoch : int
        How many epochs were trained, over all calls of :meth:`fit`.
    eval_interval : int or None
        As given to the last :meth:`fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.models import Seq2seq
    >>> from fastseq.optim import Adam
    >>> from fastseq.train import Trainer
    >>> model, xs = Seq2seq(vocab_size=10, wordvec_size=4, hidden_size=8), np.full((20, 3), 7)
    >>> trainer = Trainer(model, Adam(0.01))
    >>> trainer.fit(xs, xs, max_epoch=2, batch_size=10, eval_interval=1)
    | epoch 1 |  iter 1 / 2 | time ...[s] | loss 2.3...
    >>> trainer.current_epoch, len(trainer.loss_list)
    (2, 4)
    >>> axes = trainer.plot()
    """

    def __init__(self, model: Model, optimizer: Optimizer) -> None:
        self.model = model
        self.optimizer = optimizer
        self.loss_list: list[float] = []
        self.eval_interval: int | None = None
        self.current_epoch = 0

    def fit(
        self,
        x: Array,
        t: Array,
        max_epoch: int = 10,
        batch_size: int = 32,
        max_grad: float | None = None,
        eval_interval: int | None = 20,
    ) -> None:
        """Train for some epochs, each in a new random order drawn from the global ``np.random``.

        Every `eval_interval` iterations one line is printed and one entry added to `loss_list`.

        Parameters
        ----------
        x, t : arrays of equal length
            Questions and answers, one a row. They are not changed.
        max_epoch : int
            How many epochs.
        batch_size : int
            Rows in a batch; the rows of an epoch that do not fill the last one are left out.
        max_grad : float, optional
            The largest global norm of the gradients; None leaves them as they are.
        eval_interval : int, optional
            Iterations between two lines; None prints nothing.

        Raises
        ------
        ValueError
            When x and t differ in length or hold less than one batch.
        FloatingPointError
            When the loss is NaN or infinite; the message names the epoch and the step.
        """
        self.eval_interval = eval_interval
        start_time = time.time()
        recent: list[float] = []

        def report(step: int, steps: int, loss: float) -> None:
            recent.append(loss)
            if eval_interval is None or (step - 1) % eval_interval != 0:
                return
            mean_loss = sum(recent) / len(recent)
            recent.clear()
            elapsed = int(time.time() - start_time)
            print(
                f"| epoch {self.current_epoch + 1} |  iter {step} / {steps} "
                f"| time {elapsed}[s] | loss {mean_loss:.2f}",
                flush=True,
            )
            self.loss_list.append(mean_loss)

        x, t = np.asarray(x), np.asarray(t)
        for _ in range(max_epoch):
            # each epoch shuffles the order of the one before, as the textbook's loop does
            x, t = shuffled(x, t)
            train_epoch(
                self.model,
                self.optimizer,
                x,
                t,
                batch_size,
                max_grad,
                epoch=self.current_epoch + 1,
                on_step=report,
            )
            self.current_epoch += 1

    def plot(self, ylim: tuple[float, float] | None = None) -> Axes:
        """Show `loss_list` as a curve, in a window where there is a display.

        Parameters
        ----------
        ylim : (low, high), optional
            The limits of the y axis.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            When matplotlib is not installed; the message names the extra that brings it.
        """
        from fastseq import plot

        axes = plot.loss_curve(
            self.loss_list, interval=self.eval_interval or 1, ylim=ylim, axes=plot.screen_axes()
        )
        plot.show()
        return axes


def _require_equal_length(questions: Array, answers: Array) -> None:
    if len(questions) != len(answers):
        raise ValueError(
            "questions and answers: expected as many rows in both; "
            f"got {len(questions)} and {len(answers)}"
        )
