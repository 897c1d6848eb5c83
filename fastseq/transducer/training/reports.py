"""What training shows: a progress bar on a terminal, and a log of JSON lines."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any

from fastseq.files import replace_file

Logs = dict[str, Any]


class ProgressBar:
    """One bar an epoch on standard error: loss, the last accuracy, words a second, time left.

    Parameters
    ----------
    shown : bool or None
        None shows it on a terminal only.
    epochs : int
        At most.
    """

    def __init__(self, shown: bool | None, epochs: int) -> None:
        self._shown = shown
        self._epochs = epochs
        self._accuracy = ""
        self._bar: Any = None
        self._words = 0
        self._start = 0.0

    def begin(self, epoch: int, steps_done: int, steps: int) -> None:
        """Show the bar of an epoch."""
        if self._shown is False:
            return
        from tqdm import tqdm

        size = shutil.get_terminal_size()  # never 0 by 0, where tqdm would show nothing
        self._bar = tqdm(
            total=steps,
            initial=steps_done,
            desc=f"epoch {epoch}/{self._epochs}",
            bar_format="{desc} {percentage:3.0f}% |{bar}| {remaining} left{postfix}",
            leave=False,
            disable=not self._shown if self._shown is not None else None,
            ncols=min(size.columns, 100),
            nrows=size.lines,
        )
        self._words = 0
        self._start = time.perf_counter()

    def step(self, loss: float, words: int) -> None:
        """Move the bar on by a step over so many words."""
        if self._bar is None or self._bar.disable:
            return
        self._words += words
        speed = self._words / (time.perf_counter() - self._start)
        text = f"loss {loss:.4f}{self._accuracy}, {speed:,.0f} words/s"
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update()

    def end(self, logs: Logs | None = None) -> None:
        """Take the bar away, and remember the accuracy of the epoch for the next one."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if logs is not None and "validation_accuracy" in logs:
            self._accuracy = f", accuracy {100 * logs['validation_accuracy']:.2f} %"


class JsonLog:
    """A file with one JSON object a line, an epoch each.

    Parameters
    ----------
    path : path or None
        None writes nothing.
    history : sequence of dict
        The epochs that are over when training is resumed: the file begins with them.

    Raises
    ------
    OSError
        The file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str] | None, history: Sequence[Logs]) -> None:
        self._path = path
        if path is not None:
            replace_file(os.fspath(path), "".join(map(_line, history)).encode())

    def write(self, logs: Logs) -> None:
        """Add a line, so that it is in the file when this returns."""
        if self._path is None:
            return
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(_line(logs))
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fspath(self._path)) from error


def _line(logs: Logs) -> str:
    return json.dumps(logs) + "\n"


class Reporter:
    """Tells bar, checkpoint, log and callbacks of a training; see `training.Training`.

    Parameters
    ----------
    bar : ProgressBar
    log : JsonLog
    save_checkpoint : callable
        Writes one.
    end_epoch : callable
        Is given the logs of each epoch, after the checkpoint and the log are written.
    """

    def __init__(
        self,
        bar: ProgressBar,
        log: JsonLog,
        save_checkpoint: Callable[[], None],
        end_epoch: Callable[[Logs], None],
    ) -> None:
        self._bar = bar
        self._log = log
        self._save_checkpoint = save_checkpoint
        self._end_epoch = end_epoch

    def on_epoch_begin(self, epoch: int, steps_done: int, steps: int) -> None:
        """Show a bar."""
        self._bar.begin(epoch, steps_done, steps)

    def on_step(self, loss: float, pairs: int) -> None:
        """Move the bar."""
        self._bar.step(loss, pairs)

    def on_checkpoint(self) -> None:
        """Write the checkpoint."""
        self._save_checkpoint()

    def on_epoch_end(self, logs: Logs) -> None:
        """Take the bar away, write to the log, call the callbacks."""
        self._bar.end(logs)
        self._log.write(logs)
        self._end_epoch(logs)
