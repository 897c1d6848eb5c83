"""Curves of a training: accuracy and loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastseq.plot.figure import GRID, INK, QUIET, matplotlib, new_axes, set_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = ("#1f6feb", "#d9480f", "#2b8a3e", "#8250df", "#b08800", "#c2255c")


def accuracy_curve(
    series: Mapping[str, Sequence[float]] | Sequence[float],
    *,
    title: str = "Accuracy on held-out examples",
    axes: Axes | None = None,
) -> Axes:
    """Draw the accuracy after each epoch, one line a model.

    The axis begins at 0 %, or higher where all lines are above 50 %.

    Parameters
    ----------
    series : sequence of float, or mapping of a label to one
        Shares between 0 and 1, one for each epoch. The lines may differ in length.
    title : str
    axes : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> from fastseq import plot
    >>> plot.accuracy_curve({"plain": [0.1, 0.4], "Peeky": [0.5, 1.0]}).get_ylabel()
    'exact matches'
    """
    axes = axes or new_axes(7.6, 4.6)
    lines = _as_mapping(series)
    epochs = max((len(values) for values in lines.values()), default=0)
    low, step = _percent_axis(min((min(v, default=0.0) for v in lines.values()), default=0.0))
    axes.set_ylim(low - 0.02 * (100 - low), 100 + 0.04 * (100 - low))
    axes.set_xlim(0.5, max(epochs, 1) + 0.5)
    _draw_lines(
        axes,
        {
            label: (np.arange(1, len(values) + 1), 100 * np.asarray(values))
            for label, values in lines.items()
        },
        end_text=lambda count, value: (
            f"{value:.1f} %" + (f" (epoch {count})" if count < epochs else "")
        ),
    )
    axes.set_yticks(np.arange(low, 100 + step / 2, step))
    axes.yaxis.set_major_formatter("{x:g} %")
    axes.set_xlabel("epoch")
    axes.set_ylabel("exact matches")
    set_title(axes, title)
    return axes


def loss_curve(
    series: Mapping[str, Sequence[float]] | Sequence[float],
    *,
    interval: int = 1,
    ylim: tuple[float, float] | None = None,
    title: str = "Training loss",
    axes: Axes | None = None,
) -> Axes:
    """Draw how the loss falls.

    Parameters
    ----------
    series : sequence of float, or mapping of a label to one
        Mean losses.
    interval : int
        How many iterations lie between two of them.
    ylim : (low, high), optional
        The limits of the y axis; from 0 by default.
    title : str
    axes : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> from fastseq import plot
    >>> plot.loss_curve([2.0, 1.0], interval=20).get_xlabel()
    'iteration (one point every 20)'
    """
    axes = axes or new_axes(7.6, 4.6)
    lines = _as_mapping(series)
    if ylim is None:
        highest = max((max(values, default=0.0) for values in lines.values()), default=0.0)
        ylim = (0.0, 1.05 * highest or 1.0)
    axes.set_ylim(*ylim)
    _draw_lines(
        axes,
        {
            label: (interval * np.arange(len(values)), np.asarray(values))
            for label, values in lines.items()
        },
        end_text=lambda count, value: f"{value:.3g}",
    )
    axes.set_xlabel("iteration" if interval == 1 else f"iteration (one point every {interval})")
    axes.set_ylabel("loss")
    set_title(axes, title)
    return axes


def learning_curve(
    history: Mapping[str, Sequence[Mapping[str, Any]]] | Sequence[Mapping[str, Any]],
    *,
    axes: Axes | None = None,
) -> Axes:
    """Draw the history of a `Transducer`: its accuracy on what was held out, else its loss.

    Parameters
    ----------
    history : sequence of mapping, or mapping of a label to one
        ``Transducer.history_``, or the lines of its training log: one for each epoch. Of several,
        as those of an `Ensemble`, each is a line of the picture.
    axes : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> from fastseq import plot
    >>> plot.learning_curve([{"loss": 2.0}, {"loss": 1.0}]).get_ylabel()
    'loss'
    """
    histories = history if isinstance(history, Mapping) else {"": history}

    def values(name: str) -> dict[str, list[float]]:
        return {label: [logs[name] for logs in own] for label, own in histories.items()}

    if all("validation_accuracy" in logs for own in histories.values() for logs in own):
        return accuracy_curve(values("validation_accuracy"), axes=axes)
    axes = loss_curve(values("loss"), title="Training loss", axes=axes)
    axes.set_xlabel("epochs done before")
    return axes


def _percent_axis(lowest: float) -> tuple[float, float]:
    """Where the axis begins for a lowest accuracy, and the distance of its ticks, in percent."""
    steps = {98: 0.5, 95: 1, 90: 2, 80: 5, 70: 5, 60: 10, 50: 10}
    return next(((low, step) for low, step in steps.items() if 100 * lowest > low), (0, 20))


def _as_mapping(
    series: Mapping[str, Sequence[float]] | Sequence[float],
) -> Mapping[str, Sequence[float]]:
    return series if isinstance(series, Mapping) else {"": series}


def _draw_lines(
    axes: Axes,
    lines: Mapping[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]],
    end_text: Callable[[int, float], str],
) -> None:
    """Draw lines, their labels in the margin at the height of their last values.

    `end_text` words a line's end from its number of points and its last value. The limits of the
    y axis must be set before.
    """
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(QUIET)
    axes.tick_params(color=QUIET, labelcolor=INK, labelsize=10)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    locator = matplotlib("ticker").MaxNLocator(
        "auto", integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]
    )
    axes.xaxis.set_major_locator(locator)

    ends: list[tuple[float, str, str]] = []
    for number, (label, (x, y)) in enumerate(lines.items()):
        color = _COLORS[number % len(_COLORS)]
        marker = "o" if len(x) <= 40 else None
        axes.plot(x, y, color=color, linewidth=2, marker=marker, markersize=4.5, label=label)
        if len(x):
            ends.append((float(y[-1]), f"{label}  {end_text(len(x), float(y[-1]))}".strip(), color))

    ends.sort()
    low, high = axes.get_ylim()
    heights = _spread([(value - low) / (high - low) for value, _, _ in ends], gap=0.06)
    for height, (_, text, color) in zip(heights, ends, strict=True):
        axes.annotate(
            text,
            (1, height),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            color=color,
            fontsize=10.5,
            fontweight="bold",
            va="center",
        )


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    """Move ascending heights between 0 and 1 apart until neighbours are `gap` or more apart."""
    spread: list[float] = []
    for height in heights:
        lowest = spread[-1] + gap if spread else 0.0
        spread.append(max(min(height, 1.0), lowest))
    ceiling = 1.0
    for index in reversed(range(len(spread))):
        spread[index] = min(spread[index], ceiling)
        ceiling = spread[index] - gap
    return spread
