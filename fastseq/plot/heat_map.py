"""The heat map of attention weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fastseq.plot.figure import GRID, INK, QUIET, matplotlib, new_axes, set_title
from fastseq.plot.glyphs import legible_labels, width

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEAT = ("#ffffff", "#d6e6fb", "#8fbdf3", "#3b82dc", "#174ea6", "#0b2550")
_PADDING = "pad"
# Inches: of a cell, of the longest side of a heat map, and of what a label needs.
_CELL = 0.31
_LONGEST_SIDE = 18
_LABEL_HEIGHT = 0.16
_LONGEST_LABEL = 30  # characters
_TITLE_LETTER = 0.12  # inches
_LABELLED_BAR = 1.5  # inches that a bar needs for the whole of its label
_MOST_CELLS = 3000  # along a side: as many as there are pixels
_QUIET_LABELS = (_PADDING, "␣", "</s>")


def answer_title(source: str, answer: str) -> str:
    """The title of the heat map of one answer.

    Parameters
    ----------
    source, answer : str

    Returns
    -------
    str

    Examples
    --------
    >>> from fastseq import plot
    >>> plot.answer_title("9/27/94  ", "1994-09-27")
    'Attention: 9/27/94 → 1994-09-27'
    """
    return f"Attention: {source.rstrip()} → {answer.rstrip()}"


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
    cells get smaller, and where they are too small for the labels, only every second has one, or
    third.

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
    values, columns = _merge_padding(values, input_symbols)
    symbols = [*columns, *output_symbols]
    labels, families = legible_labels(symbols, matplotlib("font_manager"))
    labels = [_shortened(label) for label in labels]
    columns, rows = labels[: len(columns)], labels[len(columns) :]

    size = [min(_CELL * len(labels), _LONGEST_SIDE) for labels in (columns, rows)]
    if axes is None:
        axes = new_axes(
            max(2.7 + size[0] + _overhang(rows), 0.9 + _TITLE_LETTER * width(title)),
            1.5 + size[1] + _overhang(columns),
        )
        axes.set_anchor("W")
    colormap = matplotlib("colors").LinearSegmentedColormap.from_list("attention", _HEAT)
    if not values.size:  # an axis without symbols has the length of one: limits must differ
        values = np.zeros([max(length, 1) for length in values.shape])
    values, extent = _coarse(values)
    image = axes.imshow(values, cmap=colormap, vmin=0, vmax=1, extent=extent)
    axes.set(xlim=(-0.5, max(len(columns), 1) - 0.5), ylim=(max(len(rows), 1) - 0.5, -0.5))
    axes.set_aspect("equal" if max(size) < _LONGEST_SIDE else "auto")

    for axis, labels, length in zip((axes.xaxis, axes.yaxis), (columns, rows), size, strict=True):
        every = math.ceil(_LABEL_HEIGHT * len(labels) / length) if labels else 1
        axis.set_ticks(range(0, len(labels), every), labels[::every])
        if every == 1:  # hairlines between the cells
            axis.set_ticks(np.arange(0.5, len(labels) - 1), minor=True)
    axes.tick_params(length=0, labelsize=11, labelcolor=INK)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set(fontfamily=families, parse_math=False)
    for label in axes.get_xticklabels():
        if label.get_text() in _QUIET_LABELS:
            label.set_color(QUIET)
        if width(label.get_text()) > 2:
            label.set(rotation=90, fontsize=9)
    axes.grid(which="minor", color=GRID, linewidth=0.8)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set(color=GRID, linewidth=0.8)

    axes.set_xlabel("input", color=INK)
    axes.set_ylabel("output", color=INK)
    set_title(axes, title)

    # beside the cells, of their height, two thirds of a cell wide
    cell = 1 / max(len(columns), 4)
    bar_axes = axes.inset_axes((1 + 0.5 * cell, 0, 0.66 * cell, 1))
    bar = axes.figure.colorbar(image, cax=bar_axes)
    bar.set_label("attention weight" if size[1] >= _LABELLED_BAR else "weight", color=INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=9, labelcolor=INK)
    return axes


def _overhang(labels: Sequence[str]) -> float:
    """How many inches the longest label of an axis takes, beyond those of a few characters."""
    return 0.09 * max(0, max(map(width, labels), default=0) - 3)


def _coarse(
    weights: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], tuple[float, float, float, float]]:
    """At most so many cells as can be seen, the largest of their neighbours; left to top edge."""
    edges = []
    for axis, length in enumerate(weights.shape):
        block = max(1, math.ceil(length / _MOST_CELLS))
        if block > 1:
            weights = np.maximum.reduceat(weights, range(0, length, block), axis=axis)
        edges.append(block * weights.shape[axis] - 0.5)
    return weights, (-0.5, edges[1], edges[0], -0.5)


def _shortened(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"


def _merge_padding(
    weights: npt.NDArray[np.float64], symbols: Sequence[str]
) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Sum the columns of the trailing spaces into one."""
    length = len(symbols)
    while length and symbols[length - 1] == " ":
        length -= 1
    columns = list(symbols[:length])
    if length == len(symbols):
        return weights, columns
    padding = weights[:, length:].sum(axis=1, keepdims=True)
    return np.hstack([weights[:, :length], padding]), [*columns, _PADDING]
