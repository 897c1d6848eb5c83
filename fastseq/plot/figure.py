"""Figures: their axes, colours and files. matplotlib is imported on first use."""

from __future__ import annotations

import io
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastseq.files import replace_file
from fastseq.plot.glyphs import legible_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#22272e"
QUIET = "#8b949e"
GRID = "#e3e7ec"
_TITLE_FAMILIES = ("sans-serif",)


def require_matplotlib() -> None:
    """Raise ImportError, naming the extra to install, where matplotlib is missing.

    Examples
    --------
    >>> from fastseq import plot
    >>> plot.require_matplotlib()  # it is there
    """
    matplotlib("figure")


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
    suffix = Path(file_name).suffix.removeprefix(".") or "png"
    replace_file(os.fspath(file_name), picture(axes, suffix, dpi))


def picture(axes: Axes, kind: str, dpi: int) -> bytes:
    """The figure of these axes as the content of a file of a kind: png, svg, pdf."""
    content = io.BytesIO()
    figure: Any = axes.figure
    figure.savefig(content, format=kind, dpi=dpi, facecolor="white")
    return content.getvalue()


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
    _, axes = matplotlib("pyplot").subplots(figsize=(7.6, 4.6), layout="constrained")
    return axes


def show() -> None:
    """Open the windows of all figures made by :func:`screen_axes`, where there is a display.

    Examples
    --------
    >>> from fastseq import plot
    >>> axes = plot.loss_curve([2.0, 1.0], axes=plot.screen_axes())
    >>> plot.show()
    """
    matplotlib("pyplot").show()


def matplotlib(module: str) -> Any:
    """Import a module of matplotlib, or say in one line how to get it."""
    try:
        return import_module(f"matplotlib.{module}")
    except ImportError as error:
        raise ImportError(
            'pictures need matplotlib: pip install "fastseq-kernels[plot]"'
        ) from error


def new_axes(width: float, height: float) -> Axes:
    """Axes in a figure of their own, `width` by `height` inches."""
    figure = matplotlib("figure").Figure(figsize=(width, height), layout="constrained")
    from fastseq.plot.notebook import DisplayedAxes

    axes: Axes = figure.add_subplot(axes_class=DisplayedAxes)
    return axes


def set_title(axes: Axes, title: str) -> None:
    """Write the title above the left end of the axes, in fonts that have its characters."""
    text, families = legible_text(title, matplotlib("font_manager"))
    axes.set_title(
        text,
        loc="left",
        fontsize=13,
        fontweight="bold",
        fontfamily=[*_TITLE_FAMILIES, *families],
        color=INK,
        pad=12,
        parse_math=False,
    )
