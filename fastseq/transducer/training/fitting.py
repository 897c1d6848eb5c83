"""The course of `Transducer.fit`: a training with its checkpoint, log, callbacks and progress."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from fastseq._kernels import get_precision, isa
from fastseq.files import check_writable
from fastseq.models.base import check_sizes
from fastseq.parallel.communicator import SINGLE_PROCESS, Communicator, require_equal, together
from fastseq.precision import products_in
from fastseq.transducer.model_config import ModelConfig
from fastseq.transducer.training import checkpoints
from fastseq.transducer.training.interrupt import ends_cleanly
from fastseq.transducer.training.loop import Training
from fastseq.transducer.training.reports import (
    FinalReporter,
    JsonLog,
    Logs,
    Progress,
    ProgressBar,
    Reporter,
)
from fastseq.version import __version__


class Fitting:
    """A training with its checkpoint and its log.

    Parameters
    ----------
    training, config
        As `prepare` has made them.
    checkpoint, checkpoint_every, resume, log
        As in `Transducer.fit`. The training goes on from a checkpoint that is resumed.
    ranks : Communicator
        The processes that train together: rank 0 writes and shows, all read the checkpoint.

    Raises
    ------
    OSError, TypeError, ValueError
        As in `Transducer.fit`.
    """

    def __init__(
        self,
        training: Training,
        config: ModelConfig,
        checkpoint: str | os.PathLike[str] | None,
        checkpoint_every: int | None,
        resume: bool,
        log: str | os.PathLike[str] | None,
        ranks: Communicator = SINGLE_PROCESS,
    ) -> None:
        self._training, self._config, self._ranks = training, config, ranks
        self._running, self._final_epochs = training, 0
        self._path = _checkpoint_path(checkpoint, checkpoint_every, resume)
        self._every = checkpoint_every
        if self._path is not None and os.path.exists(self._path):
            checkpoints.restore(self._path, training, config)
        self._log = JsonLog(None if ranks.rank else log, training.history)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C has ended the training; set from outside, it does."""
        return self._running.interrupted

    @interrupted.setter
    def interrupted(self, value: bool) -> None:
        self._running.interrupted = value

    @property
    def config(self) -> ModelConfig:
        """That of the model, where `final_epochs` are as many as were made."""
        params = self._config.params | {"final_epochs": self._final_epochs}
        return replace(self._config, params=params)

    def run(self, model: Any, callbacks: tuple[Any, ...], progress: Progress) -> None:
        """Train to the end, or to Ctrl-C; the network then has the weights of the best epoch.

        The final epochs go on from these. They have neither checkpoint nor log: where they do not
        come to their end, the network has the weights that they began with.

        Parameters
        ----------
        model : Transducer
            What the callbacks are called with.
        callbacks : tuple
            As `checked_callbacks` gives them.
        progress : bool, "bar" or None
            As in `Transducer.fit`.

        Raises
        ------
        FloatingPointError
            The loss, or the norm of the gradients, became NaN or infinite.
        RuntimeError, ValueError
            Another process has failed, or trains something else.
        """
        ranks = self._ranks
        if ranks.size > 1:
            require_equal(ranks, self._facts())
        with together(ranks):
            for callback in callbacks:
                if hasattr(callback, "on_fit_begin"):
                    callback.on_fit_begin(model)

        def end_epoch(logs: Logs) -> None:
            model.n_epochs_ = len(self._training.history)
            call(callbacks, model, logs)

        bar = ProgressBar(False if ranks.rank else progress, self._training.plan.epochs)
        reporter = Reporter(bar, self._log, self._save_checkpoint, end_epoch, ranks)
        kept = self._training
        try:
            with ends_cleanly(self, ranks), products_in(self._config.params["precision"]):
                self._training.run(reporter, self._every)
                final = self._training.final_training()
                if final is not None:
                    self._go_on_with(final)
                    bar.begin_final(final.plan.epochs)
                    final.run(FinalReporter(bar, partial(call, callbacks, model), ranks))
                    if final.finished:
                        kept, self._final_epochs = final, final.plan.epochs
        except FloatingPointError as error:
            last = "there is no checkpoint"
            if self._path is not None and os.path.exists(self._path):
                last = f"the last good checkpoint is {self._path}"
            where = "" if self._running is self._training else " in the final epochs"
            raise FloatingPointError(f"{error}{where}; {last}") from error
        finally:
            bar.end()
            kept.take_best()

    def _go_on_with(self, training: Training) -> None:
        """Let Ctrl-C end this training, also one that came while it was made."""
        before, self._running = self._running, training
        if before.interrupted:
            training.interrupted = True

    def _facts(self) -> dict[str, str]:
        """What all ranks must have in common, to come to the same bits."""
        state = self._training.state()
        arrays = b"".join(array.tobytes() for array in self._training.arrays().values())
        return {
            "version": __version__,
            "instruction set (FASTSEQ_ISA)": isa(),
            "precision": get_precision(),
            "pairs": state.pop("pairs"),
            "pairs held out": str(state.pop("validation")),
            "hyperparameters and symbols": _digest(json.dumps(self._config.to_json()).encode()),
            "checkpoint or initial weights": _digest(json.dumps(state).encode() + arrays),
        }

    def _save_checkpoint(self) -> None:
        if self._path is not None and self._ranks.rank == 0:
            checkpoints.save(self._path, self._training, self._config)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def call(callbacks: Iterable[Any], model: Any, logs: Logs) -> None:
    """Call the callbacks after an epoch; after a final one those that want to know."""
    for callback in callbacks:
        if "final_epoch" not in logs:
            callback.on_epoch_end(model, logs)
        elif hasattr(callback, "on_final_epoch_end"):
            callback.on_final_epoch_end(model, logs)


def checked_callbacks(callbacks: Iterable[Any]) -> tuple[Any, ...]:
    """The callbacks, which may come only once from an iterator.

    Raises
    ------
    TypeError
        One has no `on_epoch_end`; the message gives its place.
    """
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks: expected a list of them, got {type(callbacks).__name__}")
    listed = tuple(callbacks)
    for place, callback in enumerate(listed):
        if not callable(getattr(callback, "on_epoch_end", None)):
            raise TypeError(
                f"callbacks[{place}]: expected an object with on_epoch_end(model, logs), "
                f"got {type(callback).__name__}"
            )
    return listed


def _checkpoint_path(
    folder: str | os.PathLike[str] | None, every: int | None, resume: bool
) -> str | None:
    """The checkpoint's file, its folder made; None where there is to be none.

    Raises
    ------
    FileExistsError
        It is there already, and not to be resumed.
    OSError
        The folder cannot be made, or nothing can be written to it.
    TypeError, ValueError
        `every` is no number of steps, or there is nothing to replace or to resume.
    """
    if every is not None:
        check_sizes(checkpoint_every=every)
    if folder is None:
        for name, given in (("checkpoint_every", every is not None), ("resume", resume)):
            if given:
                raise ValueError(f"{name}: expected a checkpoint with it, got none")
        return None
    os.makedirs(folder, exist_ok=True)
    path = checkpoints.file_name(folder)
    if os.path.exists(path) and not resume:
        raise FileExistsError(
            errno.EEXIST, "there is a checkpoint already: resume it, or remove it", path
        )
    check_writable(path)
    return path
