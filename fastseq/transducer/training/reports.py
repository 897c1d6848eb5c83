"""What training shows: bar and lines on a terminal or in a notebook, a log of JSON lines."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from html import escape
from importlib import import_module
from typing import Any, Literal

from fastseq.files import replace_file
from fastseq.parallel.communicator import Communicator, together
from fastseq.transducer.model_config import Vocabularies
from fastseq.transducer.search.fitted import Fitted

Logs = dict[str, Any]
Progress = bool | Literal["bar"] | None


class ProgressBar:
    """One bar an epoch, with loss, last accuracy, words a second and time left; then a line.

    A terminal has them on standard error, a notebook in the output of the cell.

    Parameters
    ----------
    shown : bool, "bar" or None
        "bar" leaves no lines; None shows both on a terminal and in a notebook only.
    epochs : int
        At most.

    Raises
    ------
    ValueError
        `shown` is something else.
    """

    def __init__(self, shown: Progress, epochs: int) -> None:
        if shown not in (True, False, None, "bar"):
            raise ValueError(f"progress: expected True, False, None or 'bar', got {shown!r}")
        self._notebook = _in_notebook()
        self._what = "epoch"
        if shown is None:
            shown = self._notebook or (sys.stderr is not None and sys.stderr.isatty())
        self._shown = bool(shown)
        self._lines = shown is True
        self._epochs = epochs
        self._accuracy = ""
        self._bar: Any = None
        self._words = 0
        self._start = 0.0

    def begin(self, epoch: int, steps_done: int, steps: int) -> None:
        """Show the bar of an epoch."""
        if not self._shown:
            return
        settings: dict[str, Any] = {}
        if not self._notebook:
            size = shutil.get_terminal_size()  # never 0 by 0, where tqdm would show nothing
            settings = {"ncols": min(size.columns, 100), "nrows": size.lines}
        with warnings.catch_warnings():  # that without ipywidgets a notebook's bar is text
            warnings.simplefilter("ignore")
            tqdm = import_module("tqdm.auto" if self._notebook else "tqdm").tqdm
            self._bar = tqdm(
                total=steps,
                initial=steps_done,
                desc=f"{self._what} {epoch}/{self._epochs}",
                bar_format="{desc} {percentage:3.0f}% |{bar}| {remaining} left{postfix}",
                leave=False,
                **settings,
            )
        self._words = 0
        self._start = time.perf_counter()

    def begin_final(self, epochs: int) -> None:
        """Go over to the bars of so many final epochs."""
        self._what, self._epochs = "final epoch", epochs

    def step(self, loss: float, words: int) -> None:
        """Move the bar on by a step over so many words."""
        if self._bar is None:
            return
        self._words += words
        speed = self._words / (time.perf_counter() - self._start)
        text = f"loss {loss:.4f}{self._accuracy}, {speed:,.0f} words/s"
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update()

    def end(self, logs: Logs | None = None) -> None:
        """Take the bar away; leave a line, and remember the accuracy for the next bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if logs is None:
            return
        if "validation_accuracy" in logs:
            self._accuracy = f", accuracy {100 * logs['validation_accuracy']:.2f} %"
        if self._lines:
            print(epoch_line(logs), file=sys.stdout if self._notebook else sys.stderr, flush=True)


def epoch_line(logs: Logs) -> str:
    """An epoch, one of the final ones or before, in one line of text."""
    speed = f"{logs['words_per_second']:8,.0f} words/s"
    if "final_epoch" in logs:
        return f"final epoch {logs['final_epoch']:3}   loss {logs['loss']:7.4f}   {speed}"
    held_out = ""
    if "validation_accuracy" in logs:
        held_out = (
            f"   held out {logs['validation_loss']:7.4f}, "
            f"{100 * logs['validation_accuracy']:6.2f} % right"
        )
    return (
        f"epoch {logs['epoch']:3}   loss {logs['loss']:7.4f}{held_out}   {speed}"
        f"{'   best' * logs['best']}"
    )


def summary(
    weights: int, vocabulary: Vocabularies, history: Sequence[Logs], final_epochs: int = 0
) -> list[str]:
    """A trained model in a few lines of text.

    Parameters
    ----------
    weights : int
        Their number.
    vocabulary : Vocabularies
    history : sequence of dict
        As `Transducer.history_`.
    final_epochs : int
        How many there were after them.
    """
    sizes = [f"{len(each.symbols):,}" for each in vocabulary]
    facts = [f"{weights:,} weights, symbols: {sizes[0]} of sources, {sizes[1]} of targets"]
    best = next((logs for logs in reversed(history) if logs.get("best")), None)
    if best is not None:
        found = f"best of {len(history)} epochs: {best['epoch']}, loss {best['loss']:.4f}"
        if "validation_accuracy" in best:
            found += f", {100 * best['validation_accuracy']:.2f} % of the held-out answers right"
        if final_epochs:
            found += f"; then {final_epochs} on all pairs"
        facts.append(found)
    return facts


def _in_notebook() -> bool:
    """Whether the output of this process is that of a notebook's cells."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


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
    ranks : Communicator
        Where one cannot write, or a callback raises, all end.
    """

    def __init__(
        self,
        bar: ProgressBar,
        log: JsonLog,
        save_checkpoint: Callable[[], None],
        end_epoch: Callable[[Logs], None],
        ranks: Communicator,
    ) -> None:
        self._ranks = ranks
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
        with together(self._ranks):
            self._save_checkpoint()

    def on_epoch_end(self, logs: Logs) -> None:
        """Take the bar away, write to the log, call the callbacks."""
        with together(self._ranks):
            self._bar.end(logs)
            self._log.write(logs)
            self._end_epoch(logs)


class FinalReporter(Reporter):
    """Tells bar and callbacks of the final epochs, which have neither checkpoint nor log.

    Parameters
    ----------
    bar, end_epoch, ranks
        As of `Reporter`; the logs have ``final_epoch`` in place of ``epoch``.
    """

    def __init__(
        self, bar: ProgressBar, end_epoch: Callable[[Logs], None], ranks: Communicator
    ) -> None:
        super().__init__(bar, JsonLog(None, ()), lambda: None, end_epoch, ranks)

    def on_epoch_end(self, logs: Logs) -> None:
        """Take the bar away, call the callbacks."""
        kept = ("loss", "learning_rate", "seconds", "words_per_second")
        super().on_epoch_end({"final_epoch": logs["epoch"]} | {name: logs[name] for name in kept})


class Summarized(Fitted):
    """The methods of a trained model that describe it."""

    network_: Any
    vocabulary_: Any
    history_: list[Logs]
    params_: dict[str, Any]

    def summary(self) -> list[str]:
        """The trained model in a few lines: weights, symbols, and the best epoch.

        Returns
        -------
        list of str

        Raises
        ------
        RuntimeError
            Nothing was trained or loaded yet.

        Examples
        --------
        >>> from fastseq import Transducer
        >>> model = Transducer(hidden_size=8, epochs=1).fit(["a", "b"], ["A", "B"], validation=None)
        >>> model.summary()[0]
        '5,492 weights, symbols: 5 of sources, 5 of targets'
        """
        self._require_fitted()
        weights = sum(param.size for param in self.network_.params.values())
        final_epochs = self.params_["final_epochs"]
        return summary(weights, self.vocabulary_, self.history_, final_epochs)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        if not hasattr(self, "network_"):
            return f"<code>{escape(repr(self))}</code>, not trained yet"
        return "<br>".join([f"<code>{escape(repr(self))}</code>", *self.summary()])
