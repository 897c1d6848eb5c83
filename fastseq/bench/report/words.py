"""Numbers and names as text: the same in the page, in Markdown and in messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastseq.bench.result import OURS, SLOW_PEAK, Entry, Figure, Group, Run
from fastseq.bench.workloads.base import FLOAT32, ONE_THREAD

KINDS = {
    "step": "Training steps",
    "busy": "Beside busy processes",
    "layer": "Layers",
    "decoding": "Decoding",
    "evaluation": "Evaluation",
}
_BACKENDS = {"torch": "PyTorch", "jax": "JAX", "numpy": "NumPy", "python": "Python"}
_MODELS = {"dates": "the date model", "addition": "the addition model"}

Phrases = list[tuple[str, bool]]  # texts, and whether each is to be emphasised


def backend_name(backend: str) -> str:
    """A backend as its own project spells it, and its variant: ``PyTorch, int8``."""
    library, _, variant = backend.partition(" ")
    return ", ".join(filter(None, [_BACKENDS.get(library, library), variant]))


def named(backend: str) -> str:
    """A backend within a sentence: ``PyTorch in int8``."""
    if backend == "reference":
        return "the reference"
    preposition = "on" if backend.endswith(ONE_THREAD) else "in"
    return backend_name(backend).replace(", ", f" {preposition} ")


def kind_name(kind: str) -> str:
    """The heading of a kind of workloads."""
    return KINDS.get(kind, kind)


def ratio_name(backend: str) -> str:
    """The heading of a column of ratios."""
    return f"{backend_name(backend)} ÷ {OURS}"


def workloads(run: Run) -> list[Group]:
    """The groups of workloads, by kind; neither imports nor points of scaling curves."""
    groups = [group for group in run.groups if group.ours.kind not in ("import", "scaling")]
    order = [*KINDS, *dict.fromkeys(group.ours.kind for group in groups)]
    return sorted(groups, key=lambda group: order.index(group.ours.kind))


def instruction_sets(run: Run) -> tuple[list[Group], str]:
    """The workloads measured with several instruction sets, and the name of the widest."""
    groups = [group for group in workloads(run) if group.narrower]
    return groups, ", ".join(dict.fromkeys(str(group.ours.isa) for group in groups))


def three_digits(number: float) -> str:
    """Rounded to three significant digits, or to a whole number if that has more."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:#.3g}".removesuffix(".")


def threads(count: int) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{count} thread{'' if count == 1 else 's'}"


def milliseconds(figure: Figure) -> str:
    """The median, with its unit."""
    return f"{three_digits(figure.median)} ms"


def times(ratio: float) -> str:
    """``2.34 ×``."""
    return f"{three_digits(ratio)} ×"


def round_number(number: float) -> str:
    """A number of an axis, which is round: ``2,000``."""
    return f"{number:,g}"


def round_times(ratio: float) -> str:
    """Like :func:`times`, for a round number of an axis: ``2 ×``."""
    return f"{round_number(ratio)} ×"


def percent(fraction: float) -> str:
    """``86 %``."""
    return f"{100 * fraction:.0f} %"


def spread(figure: Figure, word: Callable[[float], str]) -> str:
    """Lowest–highest; a unit that follows after a space is written once."""
    low, high = word(figure.low), word(figure.high)
    return f"{low.split(' ')[0]}–{high}"


def megabytes(size: int) -> str:
    """In units of 10^6 bytes."""
    return f"{size / 1e6:,.0f} MB"


def variant(entry: Entry) -> str:
    """What distinguishes an entry of fastseq: workload, instruction set, threads."""
    isa = "" if entry.isa is None else f"{entry.isa}, "
    return f"{entry.workload} ({isa}{threads(entry.threads)})"


def headline(run: Run) -> Phrases:
    """The headline: the training step of the date model, for each number of threads."""
    groups = workloads(run)
    if not groups:
        return [("No workload of fastseq was measured in this run.", False)]
    chosen = next((group.ours.workload for group in groups if group.ours.workload == "dates"), None)
    chosen = chosen or groups[0].ours.workload
    shown = [group for group in groups if group.ours.workload == chosen]
    ours = shown[0].ours
    subject = _MODELS.get(ours.workload, ours.title)
    phrases: Phrases = [
        (f"A training step of {subject}" if ours.kind == "step" else subject, False)
    ]
    for number, group in enumerate(shown):
        before = ": on" if number == 0 else "; on"
        phrases.append((f"{before} {threads(group.ours.threads)} ", False))
        phrases += _achievements(group)
    return [*phrases, (".", False)]


def _achievements(group: Group) -> Phrases:
    """Ratios to the other backends, and the fraction of the peak; else milliseconds."""
    phrases: Phrases = []
    for backend in ("reference", "torch"):
        speedup = group.speedup(backend)
        if speedup is not None:
            whose = f" that of {named(backend)}" if phrases else f" the speed of {named(backend)}"
            phrases += [(f"{three_digits(speedup.median)} times", True), (f"{whose}, ", False)]
    fraction = group.fraction_of_peak(group.ours)
    if fraction is not None:
        return [*phrases, (percent(fraction.median), True), (" of the peak", False)]
    return [*phrases, (milliseconds(group.ours.milliseconds), True)]


def machine(run: Run) -> list[tuple[str, str]]:
    """The machine, as names and values; what the run lacks is left out."""
    about = run.machine
    versions = ", ".join(
        f"{backend_name(name)} {version}" for name, version in about.get("versions", {}).items()
    )
    rows = [
        ("CPU", about.get("cpu")),
        ("cores", about.get("cores")),
        ("instruction sets", ", ".join(map(str, about.get("isas", [])))),
        ("products of bfloat16", about.get("bfloat16")),
        ("compiler", about.get("compiler")),
        ("BLAS of NumPy", about.get("blas")),
        ("versions", versions),
        ("load at the start", about.get("load")),
        ("measured", run.date.replace("T", " ")[:16]),
        ("commit", _commit(run.commit)),
        ("rounds", _rounds(run)),
        ("mixed modes", mixed_modes(run)),
        ("agreement with the reference", _parity(run)),
        *(
            (f"skipped: {backend_name(name)}", reason)
            for name, reason in about.get("skipped", {}).items()
        ),
    ]
    return [(name, str(value)) for name, value in rows if value not in (None, "")]


def _commit(commit: Mapping[str, Any]) -> str:
    identifier = str(commit.get("id") or "")[:10]
    return f"{identifier}, with uncommitted changes" if commit.get("dirty") else identifier


def _rounds(run: Run) -> str:
    counts = {len(entry.seconds) for group in run.groups for entry in group.entries}
    if not counts:
        return ""
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def mixed_modes(run: Run) -> str:
    """What is said where the machine was slower in some rounds, as its peak shows; else nothing."""
    slow = {group.name: group.slow_rounds for group in run.groups if group.slow_rounds}
    if not slow:
        return ""
    total = sum(len(group.peak.seconds) for group in run.groups if group.peak is not None)
    places = "; ".join(f"{name}: {count}" for name, count in slow.items())
    return (
        f"the peak was more than {SLOW_PEAK} times slower than its median in {sum(slow.values())} "
        f"of {total} rounds ({places})"
    )


def _parity(run: Run) -> str:
    """The worst difference of all backends' results, in each precision."""
    worst: dict[str, float] = {}
    for group in run.groups:
        for entry in group.entries:
            if entry.parity is not None:
                worst[entry.precision] = max(worst.get(entry.precision, 0.0), entry.parity)
    return "; ".join(
        f"to {parity:.0e} of the largest element"
        + ("" if precision == FLOAT32 else f" with products of {precision}")
        for precision, parity in worst.items()
    )
