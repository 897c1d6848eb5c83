"""Pictures of training: learning curves, and the attention heat map.

matplotlib is imported on first use, and never through pyplot: figures need no display and leave no
global state behind. (Only `screen_axes` and `show`, which open a window, are pyplot's.) Every
function draws on new axes unless it is given some, and returns them.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastseq.files import replace_file
from fastseq.plot.arrangement import PADDING, coarse, merge_padding, overhang, shortened, spread
from fastseq.plot.glyphs import legible_labels, width

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK = "#22272e"
_QUIET = "#8b949e"
_GRID = "#e3e7ec"
_COLORS = ("#1f6feb", "#d9480f", "#2b8a3e", "#8250df", "#b08800", "#c2255c")
_HEAT = ("#ffffff", "#d6e6fb", "#8fbdf3", "#3b82dc", "#174ea6", "#0b2550")

# Inches: of a cell, of the longest side of a heat map, and of what a label needs.
_CELL = 0.31
_LONGEST_SIDE = 18
_LABEL_HEIGHT = 0.16
_QUIET_LABELS = (PADDING, "␣", "</s>")


def require_matplotlib() -> None:
    """Raise ImportError, naming the extra to install, where matplotlib is missing.

    Examples
    --------
    >>> from fastseq import plot
    >>> plot.require_matplotlib()  # it is there
    """
    _matplotlib("figure")


def accuracy_curve(
    series: Mapping[str, Sequence[float]] | Sequence[float],
    *,
    title: str = "Accuracy on held-out examples",
    axes: Axes | None = None,
) -> Axes:
    """Draw the accuracy after each epoch, one line a model.

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
    axes = axes or _new_axes(7.6, 4.6)
    lines = _as_mapping(series)
    epochs = max((len(values) for values in lines.values()), default=0)
    axes.set_ylim(-2, 104)
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
    axes.set_yticks(range(0, 101, 20))
    axes.yaxis.set_major_formatter("{x:.0f} %")
    axes.set_xlabel("epoch")
    axes.set_ylabel("exact matches")
    _set_title(axes, title)
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
    axes = axes or _new_axes(7.6, 4.6)
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
    _set_title(axes, title)
    return axes


def learning_curve(history: Sequence[Mapping[str, Any]], *, axes: Axes | None = None) -> Axes:
    """Draw the history of a `Transducer`: its accuracy on what was held out, else its loss.

    Parameters
    ----------
    history : sequence of mapping
        ``Transducer.history_``, or the lines of its training log: one for each epoch.
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
    if all("validation_accuracy" in logs for logs in history):
        return accuracy_curve([logs["validation_accuracy"] for logs in history], axes=axes)
    axes = loss_curve([logs["loss"] for logs in history], title="Training loss", axes=axes)
    axes.set_xlabel("epochs done before")
    return axes


def attention_map(
    weights: npt.ArrayLike,
    input_symbols: Sequence[str],
    output_symbols: Sequence[str],
    *,
    title: str = "Attention",
    axes: Axes | None = None,
) -> Axes:
    """Draw attention weights as a heat map: input from left to right, output from top to bottom.

    Spaces are shown as ␣, symbols that no installed font has as code points. The spaces that pad
    the end of the input share one column, "pad", which holds the sum of their weights, so that
    every row still sums to 1. A map of more than about a hundred symbols grows no further: its
    cells get smaller, and where they are too small for the labels, every second or third has one.

    Parameters
    ----------
    weights : (T_out, T_in) array of float
        Row i holds how much output symbol i looked at each input symbol. Where the model read its
        input in reverse, turn the columns round first: ``weights[:, ::-1]``.
    input_symbols : sequence of T_in str
    output_symbols : sequence of T_out str
    title : str
    axes : matplotlib.axes.Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        When the shape of the weights is not (T_out, T_in).

    Examples
    --------
    >>> from fastseq import plot
    >>> axes = plot.attention_map([[0.9, 0.1], [0.2, 0.8]], "ab", "AB")
    >>> [label.get_text() for label in axes.get_xticklabels()]
    ['a', 'b']
    """
    values = np.asarray(weights, dtype=np.float64)
    expected = (len(output_symbols), len(input_symbols))
    if values.shape != expected:
        raise ValueError(
            f"weights: expected shape {expected}, output by input symbols; got {values.shape}"
        )
    values, columns = merge_padding(values, input_symbols)
    symbols = [*columns, *output_symbols]
    labels, families = legible_labels(symbols, _matplotlib("font_manager"))
    labels = [shortened(label) for label in labels]
    columns, rows = labels[: len(columns)], labels[len(columns) :]

    size = [min(_CELL * len(labels), _LONGEST_SIDE) for labels in (columns, rows)]
    if axes is None:
        axes = _new_axes(2.4 + size[0] + overhang(rows), 1.5 + size[1] + overhang(columns))
    colormap = _matplotlib("colors").LinearSegmentedColormap.from_list("attention", _HEAT)
    values, extent = coarse(values)
    image = axes.imshow(values, cmap=colormap, vmin=0, vmax=1, extent=extent)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.set_aspect("equal" if max(size) < _LONGEST_SIDE else "auto")

    for axis, labels, length in zip((axes.xaxis, axes.yaxis), (columns, rows), size, strict=True):
        every = math.ceil(_LABEL_HEIGHT * len(labels) / length) if labels else 1
        axis.set_ticks(range(0, len(labels), every), labels[::every])
        if every == 1:  # hairlines between the cells
            axis.set_ticks(np.arange(0.5, len(labels) - 1), minor=True)
    axes.tick_params(length=0, labelsize=11, labelcolor=_INK)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set(fontfamily=families, parse_math=False)
    for label in axes.get_xticklabels():
        if label.get_text() in _QUIET_LABELS:
            label.set_color(_QUIET)
        if width(label.get_text()) > 2:
            label.set(rotation=90, fontsize=9)
    axes.grid(which="minor", color=_GRID, linewidth=0.8)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set(color=_GRID, linewidth=0.8)

    axes.set_xlabel("input", color=_INK)
    axes.set_ylabel("output", color=_INK)
    _set_title(axes, title)

    bar = axes.figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02, aspect=18)
    bar.set_label("attention weight", color=_INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=9, labelcolor=_INK)
    return axes


def save(axes: Axes, file_name: str | os.PathLike[str], dpi: int = 160) -> None:
    """Write the figure of these axes to a file, in the format of its suffix.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    file_name : str or path
        A name ending in .png, .svg or .pdf.
    dpi : int
        Pixels per inch.

    Raises
    ------
    OSError
        When the file cannot be written.

    Examples
    --------
    >>> from fastseq import plot
    >>> plot.save(plot.loss_curve([2.0, 1.0]), "loss.png", dpi=50)
    """
    picture = io.BytesIO()
    suffix = Path(file_name).suffix.removeprefix(".") or "png"
    figure: Any = axes.figure
    figure.savefig(picture, format=suffix, dpi=dpi, facecolor="white")
    replace_file(os.fspath(file_name), picture.getvalue())


def screen_axes() -> Axes:
    """New axes in a figure that :func:`show` will open in a window, or a notebook in its page.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> from fastseq import plot
    >>> axes = plot.loss_curve([2.0, 1.0], axes=plot.screen_axes())
    """
    axes: Axes
    _, axes = _matplotlib("pyplot").subplots(figsize=(7.6, 4.6), layout="constrained")
    return axes


def show() -> None:
    """Open the windows of all figures made by :func:`screen_axes`, where there is a display.

    Examples
    --------
    >>> from fastseq import plot
    >>> axes = plot.loss_curve([2.0, 1.0], axes=plot.screen_axes())
    >>> plot.show()
    """
    _matplotlib("pyplot").show()


def _matplotlib(module: str) -> Any:
    """Import a module of matplotlib, or say in one line how to get it."""
    try:
        return import_module(f"matplotlib.{module}")
    except ImportError as error:
        raise ImportError(
            'pictures need matplotlib: pip install "fastseq-kernels[plot]"'
        ) from error


def _new_axes(width: float, height: float) -> Axes:
    """Axes in a figure of their own, `width` by `height` inches."""
    figure = _matplotlib("figure").Figure(figsize=(width, height), layout="constrained")
    axes: Axes = figure.add_subplot()
    return axes


def _set_title(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=_INK, pad=12)


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
        axes.spines[side].set_color(_QUIET)
    axes.tick_params(color=_QUIET, labelcolor=_INK, labelsize=10)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    locator = _matplotlib("ticker").MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10])
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
    heights = spread([(value - low) / (high - low) for value, _, _ in ends], gap=0.06)
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
