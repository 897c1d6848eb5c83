"""The charts of the page: SVG with text as text, in the colours of the page's style sheet.

matplotlib is imported on first use, and never through pyplot. A chart is as wide as a phone, so
that its text is as large as the page's everywhere; wider screens show several abreast.
"""

from __future__ import annotations

import html
import io
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from fastseq.bench.result import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# matplotlib draws in these; each then becomes the property of this name in page.html, which has
# another value in the dark. No two may be equal.
_COLORS = {
    "ink": "#101112",
    "quiet": "#505152",
    "grid": "#d0d1d2",
    "fastseq": "#0072b2",
    "reference": "#757677",
    "torch": "#d55e00",
    "jax": "#009e73",
    "numpy": "#cc79a7",
    "other": "#8a6d00",
}

_WIDTH = 270.0  # all lengths are in points, which the page's style sheet scales
_NAMES = 52.0  # room for the names at the left of the bars
_VALUES = 68.0  # and for the values at their right
_HEADING, _BAR, _GAP, _AXIS = 15.0, 15.0, 10.0, 20.0
_SIZE, _SMALL = 10.5, 9.0
_LETTERS = 54  # of a line of an explanation in a wide font
_LINE = 0.75 * _BAR
_LOG_FROM = 8.0  # a span of ratios wider than this has a logarithmic axis


class Bar(NamedTuple):
    """One bar: its name, its length, and the text at its end."""

    name: str
    figure: Figure
    text: str
    color: str
    emphasised: bool = False


@dataclass(frozen=True)
class Block:
    """Some bars under a heading and, optionally, an explanation."""

    heading: str
    bars: Sequence[Bar]
    explanation: str = ""

    @property
    def first_bar(self) -> float:
        """The distance from the block's top to its first bar."""
        return _HEADING + _LINE * len(self.lines)

    @property
    def lines(self) -> list[str]:
        """The lines of the explanation."""
        return textwrap.wrap(self.explanation, _LETTERS)

    @property
    def height(self) -> float:
        """The height of the whole block."""
        return self.first_bar + _BAR * len(self.bars) + _GAP


class Line(NamedTuple):
    """A curve, labelled at its end."""

    label: str
    points: Sequence[tuple[float, float]]
    color: str


class Scale(NamedTuple):
    """The axis of bars, the same for all charts that are to be compared."""

    low: float
    high: float
    logarithmic: bool
    line: float | None  # where a line is drawn; logarithmic bars start here

    @classmethod
    def of(cls, figures: Sequence[Figure], line: float | None = None) -> Scale:
        """An axis for these figures: logarithmic where they, with the line, span too much."""
        known = [line] if line is not None else []
        low = min([*known, *(figure.low for figure in figures)])
        high = max([*known, *(figure.high for figure in figures)])
        logarithmic = line is not None and high / low > _LOG_FROM
        return cls(low if logarithmic else 0.0, high, logarithmic, line)


def color_of(backend: str) -> str:
    """The name of a backend's colour."""
    return backend if backend in _COLORS else "other"


def bars(
    blocks: Sequence[Block],
    scale: Scale,
    tick_text: Callable[[float], str],
    name: str,
    alt: str,
) -> str:
    """Draw blocks of bars from left to right, one below the other.

    Parameters
    ----------
    blocks : sequence of Block
    scale : Scale
    tick_text : callable
        Formats a number of the axis.
    name : str
        Of letters, digits and hyphens; no other chart of the page has it.
    alt : str
        What the picture shows, in a sentence.

    Returns
    -------
    str
        An ``svg`` element.
    """
    height = sum(block.height for block in blocks) + _AXIS
    figure, axes = _new_axes(height, (_NAMES, _VALUES), (0, _AXIS))
    axes.set_ylim(height - _AXIS, 0)
    _set_scale(axes, scale, tick_text)
    start = scale.line if scale.logarithmic and scale.line is not None else 0.0
    top = 0.0
    for block in blocks:
        _draw_heading(axes, top, block)
        first = top + block.first_bar
        ends = (first, first + _BAR * len(block.bars))
        axes.vlines(axes.get_xticks(), *ends, color=_COLORS["grid"], linewidth=0.7, zorder=0)
        if scale.line is not None:
            axes.vlines(scale.line, *ends, color=_COLORS["ink"], linewidth=1.1)
        for number, bar in enumerate(block.bars):
            _draw_bar(axes, first + (number + 0.5) * _BAR, bar, start, scale)
        top += block.height
    return _as_svg(figure, name, alt)


def curves(lines: Sequence[Line], x_label: str, name: str, alt: str) -> str:
    """Draw milliseconds against a size, both axes logarithmic; for the rest see :func:`bars`."""
    height = 204.0
    figure, axes = _new_axes(height, (36.0, 64.0), (8.0, 34.0))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    for line in lines:
        xs, ys = zip(*line.points, strict=True)
        axes.plot(xs, ys, color=_COLORS[line.color], linewidth=2, marker="o", markersize=4)
    sizes = sorted({x for line in lines for x, _ in line.points})
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    low, high = axes.get_ylim()
    ticks = _round_numbers(low, high)
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_ylim(low, high)
    axes.grid(color=_COLORS["grid"], linewidth=0.7)
    axes.tick_params(length=0, labelsize=_SMALL, labelcolor=_COLORS["quiet"])
    axes.set_xlabel(x_label, fontsize=_SMALL, color=_COLORS["ink"])
    axes.set_ylabel("ms", fontsize=_SMALL, color=_COLORS["ink"])
    _label_ends(axes, lines)
    return _as_svg(figure, name, alt)


def matplotlib(module: str) -> Any:
    """Import a module of matplotlib, or raise an ImportError that says how to install it."""
    try:
        return import_module(f"matplotlib.{module}")
    except ImportError as error:
        raise ImportError('charts need matplotlib: pip install "fastseq-kernels[bench]"') from error


def _new_axes(
    height: float, sides: tuple[float, float], ends: tuple[float, float]
) -> tuple[Any, Axes]:
    """Axes without a frame in a figure of their own; margins left and right, top and bottom."""
    (left, right), (top, bottom) = sides, ends
    figure = matplotlib("figure").Figure(figsize=(_WIDTH / 72, height / 72))
    axes: Axes = figure.add_axes(
        (
            left / _WIDTH,
            bottom / height,
            (_WIDTH - left - right) / _WIDTH,
            (height - top - bottom) / height,
        )
    )
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_axisbelow(True)
    return figure, axes


def _set_scale(axes: Axes, scale: Scale, tick_text: Callable[[float], str]) -> None:
    if scale.logarithmic:
        axes.set_xscale("log")
        ticks = _round_numbers(scale.low, scale.high)
    else:
        locator = matplotlib("ticker").MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
        ticks = [tick for tick in locator.tick_values(0, scale.high) if tick <= scale.high]
    axes.set_xlim(scale.low, scale.high)
    axes.set_xticks(ticks, [tick_text(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks([])
    axes.tick_params(length=0, labelsize=_SMALL, labelcolor=_COLORS["quiet"])


def _draw_heading(axes: Axes, top: float, block: Block) -> None:
    """The heading from the left edge, and below it the explanation."""
    edges = axes.get_yaxis_transform()
    left = {"xytext": (-_NAMES, 0)}
    _write(axes, (0, top + 0.5 * _BAR), block.heading, edges, **left, fontweight="bold")
    quiet = {"fontsize": 0.95 * _SMALL, "color": _COLORS["quiet"]}
    for number, line in enumerate(block.lines):
        height = top + 1.35 * _BAR + number * _LINE
        _write(axes, (0, height), line, edges, **left, **quiet)


def _draw_bar(axes: Axes, middle: float, bar: Bar, start: float, scale: Scale) -> None:
    color = _COLORS[bar.color]
    value, low, high = bar.figure
    axes.barh(middle, value - start, height=0.72 * _BAR, left=start, color=color)
    axes.plot([low, high], [middle, middle], color=_COLORS["ink"], linewidth=1)
    edges = axes.get_yaxis_transform()
    quiet: dict[str, Any] = {"fontsize": _SMALL, "color": _COLORS["quiet"]}
    _write(axes, (0, middle), bar.name, edges, xytext=(-6, 0), ha="right", **quiet)
    end = max(high, scale.line or 0.0)
    how = {"color": color, "fontweight": "bold"} if bar.emphasised else {"color": _COLORS["ink"]}
    _write(axes, (end, middle), bar.text, axes.transData, xytext=(5, 0), **how)


def _label_ends(axes: Axes, lines: Sequence[Line]) -> None:
    """Name each line in the right margin, at the height of its end or next to it."""
    to_fraction = axes.transData + axes.transAxes.inverted()
    ends = sorted((float(to_fraction.transform(line.points[-1])[1]), line) for line in lines)
    heights = _apart([end for end, _ in ends], 0.09)
    for end, (_, line) in zip(heights, ends, strict=True):
        _write(
            axes,
            (1, end),
            line.label,
            axes.transAxes,
            xytext=(5, 0),
            color=_COLORS[line.color],
            fontweight="bold",
        )


def _write(axes: Axes, place: tuple[float, float], text: str, coordinates: Any, **how: Any) -> None:
    """Write a text literally: a dollar sign does not start a formula."""
    defaults: dict[str, Any] = {
        "fontsize": _SIZE,
        "color": _COLORS["ink"],
        "va": "center_baseline",
    }
    axes.annotate(
        " ".join(text.split()),
        place,
        xycoords=coordinates,
        textcoords="offset points",
        annotation_clip=False,
        parse_math=False,
        **(defaults | how),
    )


def _round_numbers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten in this range; powers only where those are many."""
    ticker = matplotlib("ticker")
    for digits in ((1, 2, 5), (1,)):
        ticks = [
            float(tick)
            for tick in ticker.LogLocator(subs=digits, numticks=99).tick_values(low, high)
            if low <= tick <= high
        ]
        if len(ticks) <= 6:
            break
    return ticks


def _apart(heights: Sequence[float], gap: float) -> list[float]:
    """Move ascending heights between 0 and 1 apart until neighbours are `gap` or more apart."""
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + gap) if moved else height)
    excess = max(0.0, moved[-1] - 1.0)
    return [height - excess for height in moved]


def _as_svg(figure: Any, name: str, alt: str) -> str:
    """The figure as an element of the page: its own ids, the page's colours, an alternative."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with import_module("matplotlib").rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    text = file.getvalue()
    text = text[text.index("<svg") :].rstrip()
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for color, value in _COLORS.items():
        text = text.replace(value, f"var(--{color})")
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(alt)}"', 1)
