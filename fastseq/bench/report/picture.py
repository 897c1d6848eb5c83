"""One picture of speed: how many times as long as fastseq others take, a panel for each run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from fastseq.bench.report import charts, words
from fastseq.bench.result import Group, Run

# What each bar of the picture is about: a workload, in the words of someone who has not measured.
_WORKLOADS = {
    "dates": "training step,\nattention model on dates",
    "addition": "training step,\nseq2seq model on sums",
    "lstm-both": "LSTM layer, batch of 128,\nforward and backward",
    "attention-both": "attention, batch of 128,\nforward and backward",
    "decode-one": "answering one date",
}
_COLORS = {"fastseq": "#0072b2", "reference": "#9aa0a6", "torch": "#c65400"}
_NAMES = {"fastseq": "fastseq", "reference": "the textbook's NumPy", "torch": "PyTorch"}
_INK, _QUIET = "#16191d", "#5c646e"
_BAR = 0.26  # of the distance between two workloads


def as_svg(runs: Sequence[Run]) -> str:
    """Draw a picture of one or more runs, side by side, each on its most threads.

    Parameters
    ----------
    runs : sequence of Run

    Returns
    -------
    str
        An SVG document.

    Raises
    ------
    ImportError
        Where matplotlib is missing; the message names the extra to install.
    ValueError
        A run has none of the picture's workloads.
    """
    figure = charts.matplotlib("figure").Figure(
        figsize=(1.9 + 3.6 * len(runs), 4.3), layout="constrained"
    )
    panels = figure.subplots(1, len(runs), squeeze=False, sharey=True)[0]
    for axes, run in zip(panels, runs, strict=True):
        _draw(axes, run)
    figure.suptitle(
        "Time as a multiple of fastseq's; the axis is logarithmic", color=_INK, fontweight="bold"
    )
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    content = io.StringIO()
    with import_module("matplotlib").rc_context(
        {"svg.hashsalt": "fastseq"}
    ):  # the same run gives the same file
        figure.savefig(content, format="svg", facecolor="white", metadata={"Date": None})
    return content.getvalue()


def _draw(axes: Any, run: Run) -> None:
    """Draw the bars of one run."""
    groups = _groups(run)
    if not groups:
        raise ValueError(f"expected a run of {', '.join(_WORKLOADS)}; none of them was measured")
    rows = {name: row for row, name in enumerate(_WORKLOADS)}
    for number, (backend, color) in enumerate(_COLORS.items()):
        for name, group in groups.items():
            ratio = 1.0 if backend == "fastseq" else _median(group, backend)
            if ratio is None:
                continue
            height = rows[name] + (number - 1) * _BAR
            label = _NAMES[backend] if name == next(iter(groups)) else None
            axes.barh(height, ratio, _BAR, color=color, label=label)
            axes.annotate(
                words.times(ratio) if number else "1",
                (ratio, height),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=_INK,
            )
    axes.set_xscale("log")
    axes.set_xlim(0.5, 2.2 * axes.get_xlim()[1])
    axes.set_xticks([1, 10], ["1 ×", "10 ×"])
    axes.minorticks_off()
    axes.set_yticks(range(len(_WORKLOADS)), _WORKLOADS.values())
    axes.set_ylim(len(_WORKLOADS) - 0.4, -0.6)
    axes.tick_params(length=0, labelsize=9, labelcolor=_INK)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set(color=_QUIET, position=("data", 0.5))
    axes.set_title(_machine(run, next(iter(groups.values()))), fontsize=9.5, color=_QUIET)


def _groups(run: Run) -> dict[str, Group]:
    """The groups of the picture's workloads, each on its most threads, by workload."""
    found: dict[str, Group] = {}
    for name in _WORKLOADS:
        of_workload = [group for group in run.groups if group.ours.workload == name]
        if of_workload:
            found[name] = max(of_workload, key=lambda group: group.ours.threads)
    return found


def _median(group: Group, backend: str) -> float | None:
    ratio = group.speedup(backend)
    return None if ratio is None else ratio.median


def _machine(run: Run, group: Group) -> str:
    about = run.machine
    isa = str(group.ours.isa or "").upper().replace("AVX512", "AVX-512")
    parts = [about.get("cpu"), isa, words.threads(group.ours.threads)]
    return ", ".join(str(part) for part in parts if part)
