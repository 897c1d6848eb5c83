"""The training loop of language models; reached through `fastseq.train`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastseq.train.step import Model, Optimizer, train_step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[Any]


class RnnlmTrainer:
    """Trains a language model on one long text, in the order of the text.

    Parameters
    ----------
    model : Rnnlm or a model like it
        Has ``forward(xs, ts) -> loss``, ``backward()``, ``params`` and ``grads``, and keeps its
        state from one call to the next.
    optimizer
        Has ``update(params, grads)``.

    Attributes
    ----------
    ppl_list : list of float, or None
        The perplexity since the entry before, one entry for each line printed by the last
        :meth:`fit`; None before the first.
    time_idx : int or None
        How many words each reader has read in the last :meth:`fit`.
    current_epoch : int
        How many epochs were trained, over all calls of :meth:`fit`.
    eval_interval : int or None
        As given to the last :meth:`fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastseq.models import Rnnlm
    >>> from fastseq.optim import SGD
    >>> from fastseq.train import RnnlmTrainer
    >>> corpus = np.arange(101) % 10
    >>> trainer = RnnlmTrainer(Rnnlm(vocab_size=10, wordvec_size=4, hidden_size=8), SGD(1.0))
    >>> trainer.fit(corpus[:-1], corpus[1:], 2, batch_size=5, time_size=10, eval_interval=2)
    | epoch 1 |  iter 1 / 2 | time ...[s] | perplexity 10.0...
    >>> len(trainer.ppl_list)
    2
    >>> axes = trainer.plot()
    """

    def __init__(self, model: Model, optimizer: Optimizer) -> None:
        self.model = model
        self.optimizer = optimizer
        self.time_idx: int | None = None
        self.ppl_list: list[float] | None = None
        self.eval_interval: int | None = None
        self.current_epoch = 0

    def get_batch(self, x: Array, t: Array, batch_size: int, time_size: int) -> tuple[Array, Array]:
        """The next words of every reader; `time_idx` goes on by ``time_size``.

        Parameters
        ----------
        x, t : ndarray of int, of equal length
            Ids, and those that follow each of them.
        batch_size : int
            How many readers; they start ``len(x) // batch_size`` apart, and go on at the beginning
            of the text where it ends.
        time_size : int
            How many words each of them reads.

        Returns
        -------
        xs, ts : ndarray of int, shape (batch_size, time_size)

        Examples
        --------
        >>> import numpy as np
        >>> from fastseq.models import Rnnlm
        >>> from fastseq.optim import SGD
        >>> from fastseq.train import RnnlmTrainer
        >>> trainer, corpus = RnnlmTrainer(Rnnlm(10, 4, 8), SGD()), np.arange(9)
        >>> trainer.get_batch(corpus[:-1], corpus[1:], batch_size=2, time_size=2)[0].tolist()
        [[0, 1], [4, 5]]
        >>> trainer.get_batch(corpus[:-1], corpus[1:], batch_size=2, time_size=2)[0].tolist()
        [[2, 3], [6, 7]]
        """
        first = self.time_idx or 0
        starts = len(x) // batch_size * np.arange(batch_size)
        positions = (starts[:, np.newaxis] + np.arange(first, first + time_size)) % len(x)
        self.time_idx = first + time_size
        return x[positions], t[positions]

    def fit(
        self,
        xs: npt.ArrayLike,
        ts: npt.ArrayLike,
        max_epoch: int = 10,
        batch_size: int = 20,
        time_size: int = 35,
        max_grad: float | None = None,
        eval_interval: int | None = 20,
    ) -> None:
        """Train for some epochs of ``len(xs) // (batch_size * time_size)`` steps.

        The readers start afresh with each call, and go on from one epoch to the next; the state of
        the model is not reset. Every `eval_interval` iterations one line is printed and one entry
        added to `ppl_list`.

        Parameters
        ----------
        xs, ts : sequences of int, of equal length
            Ids, and those that follow each of them: ``corpus[:-1], corpus[1:]``.
        max_epoch : int
            How many epochs.
        batch_size : int
            How many readers.
        time_size : int
            How many words each of them reads in a step.
        max_grad : float, optional
            The largest global norm of the gradients; None leaves them as they are.
        eval_interval : int, optional
            Iterations between two lines; None prints nothing.

        Raises
        ------
        ValueError
            When xs and ts differ in length or hold less than one step.
        FloatingPointError
            When the loss is NaN or infinite; the message names the epoch and the step.
        """
        xs, ts = np.asarray(xs), np.asarray(ts)
        if xs.ndim != 1 or xs.shape != ts.shape:
            raise ValueError(
                "xs, ts: expected one dimension and equal lengths; "
                f"got shapes {xs.shape} and {ts.shape}"
            )
        if batch_size < 1 or time_size < 1 or len(xs) < batch_size * time_size:
            raise ValueError(
                f"xs: expected at least batch_size * time_size = {batch_size} * {time_size} ids, "
                f"got {len(xs)}"
            )
        steps = len(xs) // (batch_size * time_size)
        self.time_idx, self.ppl_list, self.eval_interval = 0, [], eval_interval
        start_time = time.time()
        recent: list[float] = []

        for _ in range(max_epoch):
            for step in range(1, steps + 1):
                batch = self.get_batch(xs, ts, batch_size, time_size)
                place = f"epoch {self.current_epoch + 1}, step {step} of {steps}"
                recent.append(train_step(self.model, self.optimizer, *batch, max_grad, place))

                if eval_interval is not None and (step - 1) % eval_interval == 0:
                    perplexity = float(np.exp(sum(recent) / len(recent)))
                    recent.clear()
                    elapsed = int(time.time() - start_time)
                    print(
                        f"| epoch {self.current_epoch + 1} |  iter {step} / {steps} "
                        f"| time {elapsed}[s] | perplexity {perplexity:.2f}",
                        flush=True,
                    )
                    self.ppl_list.append(perplexity)
            self.current_epoch += 1

    def plot(self, ylim: tuple[float, float] | None = None) -> Axes:
        """Show `ppl_list` as a curve, in a window where there is a display.

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
            self.ppl_list or [],
            interval=self.eval_interval or 1,
            ylim=ylim,
            title="Training perplexity",
            axes=plot.screen_axes(),
        )
        axes.set_ylabel("perplexity")
        plot.show()
        return axes
