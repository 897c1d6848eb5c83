"""Whether a reader's definition computes what fastseq's does, tried in a process of its own.

    python -m fastseq.dropin.compare FOLDER MODULE NAME      prints the answer as JSON

The reader's definition runs alone, with fastseq for every other name: so each one that gives the
same numbers may be served.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastseq.dropin import fingerprints, table
from fastseq.precision import products_in

_SECONDS = 60
# float32 sums in another order: of a result's largest value
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Comparison:
    """What came of a trial.

    Attributes
    ----------
    same : bool or None
        Whether the numbers are the same; None where it could not be tried.
    text : str
        What differs, or why it could not be tried.
    """

    same: bool | None
    text: str = ""


def compare(folder: str, module: str, name: str, roots: Sequence[str] = ()) -> Comparison:
    """Try a reader's definition and fastseq's on the same small inputs.

    Parameters
    ----------
    folder : str
        Of the reader's script: their files are found from here.
    module, name : str
        Of a served name that the reader defines.
    roots : sequence of str
        Folders to look for their files in, besides that of the script.
    """
    command = [sys.executable, "-m", __name__, folder, module, name, *roots]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return Comparison(None, f"it took more than {_SECONDS} s")
    try:
        same, text = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return Comparison(None, last)
    return Comparison(same, text)


def _try(folder: str, module: str, name: str, *roots: str) -> tuple[bool | None, str]:
    from fastseq.dropin.importer import install
    from fastseq.dropin.trials import TRIALS

    if name not in TRIALS:
        return None, "there is no trial for it"
    sys.path[:0] = [folder, *roots]
    others = {
        f"{each}.{served}"
        for each in table.MODULES
        for served in table.sources(each)
        if (fingerprints.bare(each), served) != (fingerprints.bare(module), name)
    }
    install(folder, others)
    ours = table.load(module)[name]
    theirs = getattr(importlib.import_module(module), name)
    more = _more_arguments(ours, theirs)
    if more:
        return None, f"yours takes arguments that fastseq's does not: {', '.join(more)}"
    results = []
    for definition in (ours, theirs):
        np.random.seed(0)
        try:
            with products_in("float32"):  # a definition is the same or not in any precision
                results.append(TRIALS[name](definition))
        except Exception as error:
            whose = "fastseq's" if definition is ours else "yours"
            return None, f"{whose} raised {type(error).__name__}: {error}"
    differs = difference(*results)
    return not differs, differs


def _more_arguments(ours: Any, theirs: Any) -> list[str]:
    """The optional parameters of a reader's function, or of a class's methods, that ours lacks."""
    found = []
    for name in [""] if inspect.isfunction(theirs) else vars(theirs):
        own, known = (getattr(each, name, None) if name else each for each in (theirs, ours))
        if not inspect.isfunction(own) or (name.startswith("_") and name != "__init__"):
            continue
        known_names = inspect.signature(known).parameters if callable(known) else {}
        for each in inspect.signature(own).parameters.values():
            if each.default is not each.empty and each.name not in known_names:
                found.append(f"{name}({each.name})" if name else each.name)
    return found


def difference(expected: Any, got: Any) -> str:
    """What differs between the results of two trials, or an empty text."""
    ours, theirs = list(_flat(expected)), list(_flat(got))
    for number, pair in enumerate(zip(ours, theirs, strict=False), start=1):
        text = _difference(*pair)
        if text:
            return f"result {number}: {text}"
    return "" if len(ours) == len(theirs) else "it returns another number of results"


def _flat(results: Any) -> Iterator[Any]:
    if isinstance(results, list | tuple):
        for each in results:
            yield from _flat(each)
    elif isinstance(results, dict):
        yield from _flat(sorted(results.items()))
    else:
        yield results


def _difference(expected: Any, got: Any) -> str:
    if expected is None or got is None or isinstance(expected, str):
        return "" if expected is got or expected == got else f"{got!r:.60} for {expected!r:.60}"
    expected, got = np.asarray(expected), np.asarray(got)
    if expected.shape != got.shape:
        return f"shape {got.shape} for {expected.shape}"
    if not expected.size:
        return ""
    largest = np.abs(expected).max()
    error = np.abs(expected - got).max()
    # not so for NaN
    return "" if error <= _TOLERANCE * largest else f"off by {error:.2g}, of at most {largest:.2g}"


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            answer = _try(*sys.argv[1:])
        except Exception as error:
            answer = None, f"{type(error).__name__}: {error}"
    print(json.dumps(answer))
