"""Trained models that other distributions bring: a name stands for a file.

A distribution registers a model in the entry points of the group ``fastseq.models``: the name of
the model, and the package that has two files of that name, ``NAME.safetensors`` and the description
``NAME.json``. Nothing of the package is imported, and nothing is downloaded.
"""

from __future__ import annotations

import errno
import json
import os
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

GROUP = "fastseq.models"
# What a description says, each in a text.
ENTRIES = ("description", "language", "source", "target", "accuracy", "data", "licence")


class Installed(NamedTuple):
    """A model that is installed: its name, where it is, and what it comes from."""

    name: str
    file: Path
    distribution: str
    version: str

    def described(self) -> dict[str, str]:
        """The entries of its description.

        Raises
        ------
        OSError
            There is no such file.
        ValueError
            It is no JSON, or an entry is missing or no text; the message names the file.
        """
        path = self.file.with_suffix(".json")
        try:
            document: Any = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            raise ValueError(f"{path}: expected JSON") from None
        if not isinstance(document, dict):
            raise ValueError(f"{path}: expected an object, got {type(document).__name__}")
        for name in ENTRIES:
            if not isinstance(document.get(name), str):
                got = type(document[name]).__name__ if name in document else "no such entry"
                raise ValueError(f"{path}: {name}: expected a text, got {got}")
        return {name: document[name] for name in ENTRIES}


def installed() -> dict[str, Installed]:
    """The models that are installed, by their names in alphabetical order.

    Of two with one name it is that of the distribution which Python finds first.
    """
    found: dict[str, Installed] = {}
    for entry in entry_points(group=GROUP):
        folder = _folder(entry.value)
        if folder is not None and entry.name not in found and entry.dist is not None:
            file = folder / f"{entry.name}.safetensors"
            found[entry.name] = Installed(entry.name, file, entry.dist.name, entry.dist.version)
    return dict(sorted(found.items()))


def model_path(path: str) -> str:
    """The file that a path means: itself where there is such a file, else an installed model's.

    Parameters
    ----------
    path : str
        A path; or the name of an installed model, if no file or folder has that name.

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError
        There is no such file, and it may be meant as a name (it has no folder and no suffix), but
        no installed model has it; the message lists those that are installed.
    """
    if os.path.lexists(path) or os.path.dirname(path) or os.path.splitext(path)[1]:
        return path
    models = installed()
    if path in models:
        return os.fspath(models[path].file)
    names = ", ".join(models) if models else "none"
    reason = f"{os.strerror(errno.ENOENT)}, nor a model of this name; installed: {names}"
    raise FileNotFoundError(errno.ENOENT, reason, path)


def _folder(package: str) -> Path | None:
    """Where a package is, None if there is none; to find one outside of others imports nothing."""
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])
