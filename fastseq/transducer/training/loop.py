"""Training: epochs of steps, the best weights kept, and a state that can be left and resumed.

All that decides the next step is in `Training`: its `state` and `arrays` are what a checkpoint
holds, and training that goes on from them ends with the same bits as training never interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.optim import Adam
from fastseq.parallel.communicator import SINGLE_PROCESS, Communicator
from fastseq.transducer.data.batches import Pairs, count_batches, shuffled_batches
from fastseq.transducer.metrics.validation import accuracy, mean_loss
from fastseq.transducer.network.network import Network
from fastseq.transducer.training.gradients import Gradients
from fastseq.transducer.training.plan import Logs, Observer, Plan
from fastseq.transducer.training.schedules import Schedule
from fastseq.util import clip_grads

Array = npt.NDArray[Any]

# What is left of the learning rate in the final epochs.
_FINAL_RATE = 0.3


class Training:
    """Trains one network on pairs.

    Parameters
    ----------
    network : Network
        Its parameters are changed in place.
    plan : Plan
    pairs : Pairs
    validation : Pairs or None
        Held out; without them the epoch of the lowest training loss is the best.
    order, dropout : numpy.random.Generator
        Of the order of the pairs, and of what is dropped or read as unknown.
    ranks : Communicator
        The processes that compute the shards of each step, and all do the same update.
    every : Pairs, optional
        Those to train on and those held out, for the final epochs.

    Attributes
    ----------
    history : list of dict
        The logs of each epoch that is over: epoch, loss, validation_loss and validation_accuracy
        (with `validation`), learning_rate, best, seconds, words_per_second.
    interrupted : bool
        Set from outside, a signal handler for instance, it ends `run` after the current step.
    left_out : int
        How many pairs `max_length` has left out of `pairs`.
    """

    def __init__(
        self,
        network: Network,
        plan: Plan,
        pairs: Pairs,
        validation: Pairs | None,
        order: np.random.Generator,
        dropout: np.random.Generator,
        ranks: Communicator = SINGLE_PROCESS,
        every: Pairs | None = None,
    ) -> None:
        self.network = network
        self.plan = plan
        self.history: list[Logs] = []
        self.interrupted = False
        self.left_out = 0
        self._pairs = pairs
        self._validation = validation
        self._every = every
        self._order, self._dropout = order, dropout
        self._optimizer = Adam()
        self._schedule = Schedule(
            plan.schedule, plan.learning_rate, plan.plateau_patience, plan.warmup_steps
        )
        self._ranks = ranks
        self._gradients = Gradients(
            network,
            pairs,
            dropout,
            ranks,
            label_smoothing=plan.label_smoothing,
            unknown_rate=plan.unknown_rate,
            shards=plan.shards,
        )
        self._is_ending = False
        self._average = dict(network.params)
        if plan.averaging:
            self._average = {name: param.copy() for name, param in network.params.items()}
        self._best = {name: param.copy() for name, param in network.params.items()}
        self._best_epoch = 0
        self._epoch = _Epoch(dict(order.bit_generator.state))
        self._steps_per_epoch = count_batches(pairs, plan.batch_size)

    @property
    def steps_per_epoch(self) -> int:
        """How many batches there are."""
        return self._steps_per_epoch

    @property
    def finished(self) -> bool:
        """Whether all epochs are over, or the last ones brought nothing better."""
        waited = len(self.history) - self._best_epoch
        patience = math.inf if self.plan.patience is None else self.plan.patience
        return len(self.history) >= self.plan.epochs or waited >= patience

    def run(self, observer: Observer, checkpoint_every: int | None = None) -> None:
        """Train until `finished` or `interrupted`, from where the state is.

        Parameters
        ----------
        observer : Observer
        checkpoint_every : int, optional
            Ask for a checkpoint after so many steps too, not only after each epoch.

        Raises
        ------
        FloatingPointError
            The loss or the norm of the gradients is NaN or infinite; the parameters are those
            before the step. Or an update, which a checkpoint or the end of an epoch follows, has
            made them useless. The message names the epoch and the step.
        """
        while not self.finished and not self._ends:
            self._run_epoch(observer, checkpoint_every)
        self.interrupted = self._ends

    def final_training(self) -> Training | None:
        """What goes on with the best weights on all pairs, once this training is finished.

        It has a new optimizer and draws from the same generators. None where there are to be no
        final epochs, or Ctrl-C came before them.
        """
        epochs = min(self.plan.final_epochs, len(self.history))
        if self._every is None or not epochs or self._ends:
            return None
        self.take_best()
        rate = self.plan.learning_rate * _FINAL_RATE
        plan = replace(
            self.plan, epochs=epochs, learning_rate=rate, schedule="constant", patience=None
        )
        generators = self._order, self._dropout
        return Training(self.network, plan, self._every, None, *generators, self._ranks)

    @property
    def _ends(self) -> bool:
        """Whether training was interrupted, and all ranks know it: they must end together."""
        return self.interrupted if self._ranks.size == 1 else self._is_ending

    def _run_epoch(self, observer: Observer, checkpoint_every: int | None) -> None:
        epoch = self._epoch
        self._order.bit_generator.state = epoch.order_state
        batches = shuffled_batches(self._pairs, self.plan.batch_size, self._order)
        observer.on_epoch_begin(len(self.history) + 1, epoch.steps, len(batches))
        start = time.perf_counter() - epoch.seconds
        for number in range(epoch.steps, len(batches)):
            rows = batches[number]
            place = f"epoch {len(self.history) + 1}, step {epoch.steps + 1} of {len(batches)}"
            try:
                loss, symbols = self._step(rows, place)
            except MemoryError as error:
                raise MemoryError(f"{place}, {self._pairs.longest(rows)}") from error
            epoch.steps += 1
            epoch.loss_sum += loss * symbols
            epoch.symbols += symbols
            epoch.seconds = time.perf_counter() - start
            observer.on_step(loss, len(rows))
            if self._ends or (checkpoint_every and epoch.steps % checkpoint_every == 0):
                self._check_update(rows, place)
                observer.on_checkpoint()
            if self._ends:
                return
        place = f"epoch {len(self.history) + 1}, step {epoch.steps} of {len(batches)}"
        self._end_epoch(batches[-1], place)
        observer.on_checkpoint()
        with self._averaged():
            observer.on_epoch_end(self.history[-1])

    def _step(self, rows: npt.NDArray[np.int64], place: str) -> tuple[float, int]:
        """One update; the loss before it, and over how many symbols."""
        network, plan = self.network, self.plan
        loss, self._is_ending = self._gradients.of(rows, self.interrupted)
        _require_finite("loss", loss, place)
        grads = list(network.grads.values())
        _require_finite("norm of the gradients", _kernels.global_norm(grads), place)
        clip_grads(grads, plan.max_grad)
        self._optimizer.lr = self._schedule.rate(self._updates + 1)
        self._optimizer.update(list(network.params.values()), grads)
        self._take_into_average()
        return loss, int(self._pairs.target_symbols(rows).sum())

    def _take_into_average(self) -> None:
        """Move the average by an update, further while there were few.

        It is ``share average + (1 - share) parameters`` (Polyak averaging, with the share of
        ``tf.train.ExponentialMovingAverage``: at most ``(1 + k) / (10 + k)`` after k updates).
        """
        if not self.plan.averaging:
            return
        updates = self._updates
        share = min(self.plan.averaging, (1 + updates) / (10 + updates))
        with np.errstate(over="ignore", invalid="ignore"):  # found where the loss is measured
            for name, param in self.network.params.items():
                average = self._average[name]
                average += np.float32(1 - share) * (param - average)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Let the network have the averages of its parameters."""
        params = self.network.params
        current = {name: param.copy() for name, param in params.items()}
        try:
            for name, param in params.items():
                param[...] = self._average[name]
            yield
        finally:
            for name, param in params.items():
                param[...] = current[name]

    def _check_update(self, rows: npt.NDArray[np.int64], place: str) -> None:
        """FloatingPointError where the parameters are not worth keeping: their loss is not finite.

        An update can be too large although all that went into it was finite.
        """
        loss = self.network.loss(self._pairs.batch(rows))
        _require_finite("loss after the update", loss, place)

    def _end_epoch(self, rows: npt.NDArray[np.int64], place: str) -> None:
        epoch = self._epoch
        logs: Logs = {"epoch": len(self.history) + 1, "loss": epoch.loss_sum / epoch.symbols}
        if self._validation is None:
            self._check_update(rows, place)
        else:
            with self._averaged():
                self._validate(self._validation, logs, place)
        logs["learning_rate"] = self._optimizer.lr
        logs["best"] = not self._best_epoch or self._is_better(
            logs, self.history[self._best_epoch - 1]
        )
        logs["seconds"] = round(epoch.seconds, 3)
        logs["words_per_second"] = round(len(self._pairs) / epoch.seconds, 1)
        self.history.append(logs)
        if logs["best"]:
            self._best_epoch = len(self.history)
            for name, average in self._average.items():
                self._best[name][...] = average
        self._schedule.end_epoch(logs["best"])
        self._epoch = _Epoch(dict(self._order.bit_generator.state))

    def _validate(self, held_out: Pairs, logs: Logs, place: str) -> None:
        logs["validation_loss"] = mean_loss(self.network, held_out, self._ranks)
        _require_finite("loss on the pairs held out", logs["validation_loss"], place)
        try:
            logs["validation_accuracy"] = accuracy(self.network, held_out, self._ranks)
        except FloatingPointError as error:
            raise FloatingPointError(f"{error} after {place}: training stopped") from error

    def _is_better(self, logs: Logs, best: Logs) -> bool:
        """Whether an epoch is better than the best before.

        Of equal accuracies the lower loss is better: at first all are 0, while the network learns.
        Where everything is right already, nothing is better.
        """
        if self._validation is None:
            return bool(logs["loss"] < best["loss"])
        lower_loss = bool(logs["validation_loss"] < best["validation_loss"])
        if self.plan.monitor == "loss":
            return lower_loss
        now, highest = logs["validation_accuracy"], best["validation_accuracy"]
        return bool(now > highest or (now == highest < 1 and lower_loss))

    def take_best(self) -> None:
        """Give the network the weights of the best epoch, if one is over."""
        if self._best_epoch:
            for name, param in self.network.params.items():
                param[...] = self._best[name]

    def state(self) -> dict[str, Any]:
        """All but the arrays that decides how training goes on, in the types that JSON knows."""
        return {
            "updates": self._updates,
            "optimizer": self._optimizer_counts(),
            "schedule": self._schedule.state(),
            "history": self.history,
            "best_epoch": self._best_epoch,
            "epoch": vars(self._epoch),
            "dropout_state": self._dropout.bit_generator.state,
            "pairs": self._pairs.digest(),
            "validation": None if self._validation is None else self._validation.digest(),
        }

    def arrays(self) -> dict[str, Array]:
        """The arrays of the state: parameters, the optimizer's, the averages, the best so far."""
        groups = {
            "current": list(self.network.params.values()),
            **self._optimizer_arrays(),
            "best": list(self._best.values()),
        }
        if self.plan.averaging:
            groups["average"] = list(self._average.values())
        return {
            f"{group}.{name}": array
            for group, arrays in groups.items()
            for name, array in zip(self.network.params, arrays, strict=True)
        }

    @property
    def _updates(self) -> int:
        """How many steps were made in all."""
        return len(self.history) * self.steps_per_epoch + self._epoch.steps

    def _optimizer_counts(self) -> dict[str, int]:
        """The counts of the optimizer's state."""
        state = self._optimizer.state(list(self.network.params.values()))
        return {name: each for name, each in state.items() if not isinstance(each, list)}

    def _optimizer_arrays(self) -> dict[str, list[Array]]:
        """The arrays of the optimizer's state, under names like ``adam.m``."""
        state = self._optimizer.state(list(self.network.params.values()))
        prefix = type(self._optimizer).__name__.lower()
        return {f"{prefix}.{name}": each for name, each in state.items() if isinstance(each, list)}

    def restore(self, state: dict[str, Any], arrays: dict[str, Array]) -> None:
        """Go on from what `state` and `arrays` have given.

        They are of training on the same pairs: `checkpoints` has looked.

        Raises
        ------
        TypeError, ValueError
            The state of a generator is damaged.
        """
        self._dropout.bit_generator.state = state["dropout_state"]
        self._order.bit_generator.state = state["epoch"]["order_state"]
        self._epoch = _Epoch(**state["epoch"])
        self._schedule.restore(state["schedule"])
        self._best_epoch = state["best_epoch"]
        self.history[:] = state["history"]
        kept = {
            group.rpartition(".")[2]: [arrays[f"{group}.{name}"] for name in self.network.params]
            for group in self._optimizer_arrays()
        }
        self._optimizer.restore(state["optimizer"] | kept)
        self._optimizer.lr = self._schedule.rate(max(1, self._updates))
        for name, param in self.network.params.items():
            param[...] = arrays[f"current.{name}"]
            if self.plan.averaging:
                self._average[name][...] = arrays[f"average.{name}"]
            self._best[name][...] = arrays[f"best.{name}"]


@dataclass
class _Epoch:
    """An epoch in its course: the generator's state that its order is drawn from, and its sums."""

    order_state: dict[str, Any]
    steps: int = 0
    loss_sum: float = 0.0
    symbols: int = 0
    seconds: float = 0.0


def _require_finite(name: str, value: float, place: str) -> None:
    if not math.isfinite(value):
        raise FloatingPointError(f"the {name} became {value} in {place}: training stopped")
