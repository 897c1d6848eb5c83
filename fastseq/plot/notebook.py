"""Axes that a notebook shows as a picture; only imported where a figure is made."""

from __future__ import annotations

from matplotlib.axes import Axes

from fastseq.plot.figure import picture

_DPI = 100


class DisplayedAxes(Axes):
    """Axes whose figure is what a notebook shows for them, where they are a cell's last line."""

    def _repr_png_(self) -> bytes:
        return picture(self, "png", _DPI)
