"""The training loop, and the merging of gradients of shared weights."""

import importlib
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq_reference.util import clip_grads

Array = npt.NDArray[Any]


def _is_same(a: Array, b: Array) -> bool:
    """Whether two arrays are one: the same memory, read in the same order."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    address_a, address_b = a.__array_interface__["data"][0], b.__array_interface__["data"][0]
    # the stride of an axis of length 1 is arbitrary
    steps = zip(a.shape, a.strides, b.strides, strict=True)
    return address_a == address_b and all(n == 1 or step_a == step_b for n, step_a, step_b in steps)


def remove_duplicate(params: list[Array], grads: list[Array]) -> tuple[list[Array], list[Array]]:
    """Merge shared parameters, so that the optimizer updates each once.

    Two parameters are shared when they are the same memory: the same array, or one the transposed
    view of the other. The gradient of the later one is added, in place, to that of the first.

    Parameters
    ----------
    params, grads : lists of arrays, pairwise of equal shape

    Returns
    -------
    params, grads : new lists, without the duplicates
    """
    unique_params: list[Array] = []
    unique_grads: list[Array] = []
    for param, grad in zip(params, grads, strict=True):
        for first_param, first_grad in zip(unique_params, unique_grads, strict=True):
            if _is_same(first_param, param):
                first_grad += grad
                break
            if _is_same(first_param, param.T):
                first_grad += grad.T
                break
        else:
            unique_params.append(param)
            unique_grads.append(grad)
    return unique_params, unique_grads


def _pyplot() -> Any:
    try:
        return importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        raise ImportError("plotting needs matplotlib: install fastseq-kernels[plot]") from error


class Trainer:
    """Trains a model by mini-batches.

    Parameters
    ----------
    model : object with ``params``, ``grads``, ``forward(x, t)`` and ``backward()``
    optimizer : object with ``update(params, grads)``

    Attributes
    ----------
    loss_list : list of float
        The mean losses that were printed.
    current_epoch : int
        Epochs done.
    eval_interval : int or None
        Iterations between two printed losses.
    """

    def __init__(self, model: Any, optimizer: Any) -> None:
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
        """Train; a second call continues.

        Each epoch shuffles the data (the order of the epoch before, not the first order) and takes
        ``len(x) // batch_size`` batches. The mean loss since the last report is printed after the
        first batch of an epoch, and after every ``eval_interval`` batches from there.

        Parameters
        ----------
        x, t : arrays of equal length
        max_epoch : int
        batch_size : int
        max_grad : float, optional
            Global norm that gradients are clipped to; None does not clip.
        eval_interval : int, optional
            None prints nothing.
        """
        max_iters = len(x) // batch_size
        self.eval_interval = eval_interval
        total_loss, loss_count = 0.0, 0

        start_time = time.time()
        for _ in range(max_epoch):
            order = np.random.permutation(np.arange(len(x)))
            x, t = x[order], t[order]

            for iteration in range(max_iters):
                batch = slice(iteration * batch_size, (iteration + 1) * batch_size)
                loss = self.model.forward(x[batch], t[batch])
                self.model.backward()
                params, grads = remove_duplicate(self.model.params, self.model.grads)
                if max_grad is not None:
                    clip_grads(grads, max_grad)
                self.optimizer.update(params, grads)
                total_loss += loss
                loss_count += 1

                if eval_interval is not None and iteration % eval_interval == 0:
                    mean_loss = float(total_loss / loss_count)
                    elapsed = time.time() - start_time
                    print(
                        f"| epoch {self.current_epoch + 1} |  iter {iteration + 1} / {max_iters} "
                        f"| time {int(elapsed)}[s] | loss {mean_loss:.2f}"
                    )
                    self.loss_list.append(mean_loss)
                    total_loss, loss_count = 0.0, 0

            self.current_epoch += 1

    def plot(self, ylim: tuple[float, float] | None = None) -> None:
        """Plot ``loss_list``.

        Parameters
        ----------
        ylim : pair of float, optional
            Limits of the vertical axis.

        Raises
        ------
        ImportError
            When matplotlib is missing.
        """
        plt = _pyplot()
        if ylim is not None:
            plt.ylim(*ylim)
        plt.plot(np.arange(len(self.loss_list)), self.loss_list, label="train")
        plt.xlabel(f"iterations (x{self.eval_interval})")
        plt.ylabel("loss")
        plt.show()


class RnnlmTrainer:
    """Trains a language model on one long text, read by each row of a batch from its own offset.

    Parameters
    ----------
    model : object with ``params``, ``grads``, ``forward(xs, ts)`` and ``backward()``
    optimizer : object with ``update(params, grads)``

    Attributes
    ----------
    ppl_list : list of float, or None before the first `fit`
        The perplexities that were printed by the last `fit`.
    time_idx : int, or None before the first `fit`
        How far each reader has read.
    current_epoch : int
        Epochs done.
    eval_interval : int or None
        Iterations between two printed perplexities.
    """

    def __init__(self, model: Any, optimizer: Any) -> None:
        self.model = model
        self.optimizer = optimizer
        self.time_idx: int | None = None
        self.ppl_list: list[float] | None = None
        self.eval_interval: int | None = None
        self.current_epoch = 0

    def get_batch(self, x: Array, t: Array, batch_size: int, time_size: int) -> tuple[Array, Array]:
        """The next ``time_size`` words of each row.

        Parameters
        ----------
        x, t : (L,) integer arrays
        batch_size : int
            Readers; reader i starts at ``i (L // batch_size)``; the text goes round in a circle.
        time_size : int

        Returns
        -------
        batch_x, batch_t : (batch_size, time_size) integer arrays
        """
        batch_x = np.empty((batch_size, time_size), dtype="i")
        batch_t = np.empty((batch_size, time_size), dtype="i")
        if self.time_idx is None:
            self.time_idx = 0

        data_size = len(x)
        jump = data_size // batch_size
        for time_step in range(time_size):
            for reader in range(batch_size):
                position = (reader * jump + self.time_idx) % data_size
                batch_x[reader, time_step] = x[position]
                batch_t[reader, time_step] = t[position]
            self.time_idx += 1
        return batch_x, batch_t

    def fit(
        self,
        xs: Array,
        ts: Array,
        max_epoch: int = 10,
        batch_size: int = 20,
        time_size: int = 35,
        max_grad: float | None = None,
        eval_interval: int | None = 20,
    ) -> None:
        """Train; the rows start at their first offsets, the state of the model is kept.

        The perplexity, ``exp`` of the mean loss since the last report, is printed after the first
        step of an epoch, and after every ``eval_interval`` steps from there.

        Parameters
        ----------
        xs, ts : (L,) integer arrays
            Ids, and those that follow them.
        max_epoch : int
        batch_size : int
            Readers.
        time_size : int
            Words that each reads in a step.
        max_grad : float, optional
            Global norm that gradients are clipped to; None does not clip.
        eval_interval : int, optional
            None prints nothing.
        """
        max_iters = len(xs) // (batch_size * time_size)
        self.time_idx = 0
        self.ppl_list = []
        self.eval_interval = eval_interval
        total_loss, loss_count = 0.0, 0

        start_time = time.time()
        for _ in range(max_epoch):
            for iteration in range(max_iters):
                batch_x, batch_t = self.get_batch(xs, ts, batch_size, time_size)
                loss = self.model.forward(batch_x, batch_t)
                self.model.backward()
                params, grads = remove_duplicate(self.model.params, self.model.grads)
                if max_grad is not None:
                    clip_grads(grads, max_grad)
                self.optimizer.update(params, grads)
                total_loss += loss
                loss_count += 1

                if eval_interval is not None and iteration % eval_interval == 0:
                    ppl = float(np.exp(total_loss / loss_count))
                    elapsed = time.time() - start_time
                    print(
                        f"| epoch {self.current_epoch + 1} |  iter {iteration + 1} / {max_iters} "
                        f"| time {int(elapsed)}[s] | perplexity {ppl:.2f}"
                    )
                    self.ppl_list.append(ppl)
                    total_loss, loss_count = 0.0, 0

            self.current_epoch += 1

    def plot(self, ylim: tuple[float, float] | None = None) -> None:
        """Plot ``ppl_list``.

        Parameters
        ----------
        ylim : pair of float, optional
            Limits of the vertical axis.

        Raises
        ------
        ImportError
            When matplotlib is missing.
        """
        plt = _pyplot()
        ppl_list = self.ppl_list or []
        if ylim is not None:
            plt.ylim(*ylim)
        plt.plot(np.arange(len(ppl_list)), ppl_list, label="train")
        plt.xlabel(f"iterations (x{self.eval_interval})")
        plt.ylabel("perplexity")
        plt.show()
