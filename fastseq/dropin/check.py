"""What a script imports, and where it would come from: read from its source; it is not run."""

from __future__ import annotations

import ast
import importlib.util
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

from fastseq.dropin import table
from fastseq.dropin.compare import Comparison, compare
from fastseq.dropin.definitions import Own
from fastseq.dropin.importer import Importer
from fastseq.dropin.source import path_entries

Origin = Literal["served", "yours", "own file", "missing", "elsewhere"]


@dataclass(frozen=True)
class Import:
    """One imported name.

    Attributes
    ----------
    line : of the script
    module : the module it is imported from
    name : the name, "*" for a star import, "" for the module itself
    origin : "served" by fastseq; "yours", where the user's definition differs from the textbook's
        or uses one that does; in the user's "own file" of a served module or package, under a name
        that fastseq does not have; "missing", where the module is served but has no such name; or
        "elsewhere", which is not looked into
    """

    line: int
    module: str
    name: str
    origin: Origin

    def __str__(self) -> str:
        """The import as one writes it."""
        return f"{self.module}: {self.name}" if self.name else self.module


@dataclass(frozen=True)
class Check:
    """What `check_script` finds.

    Attributes
    ----------
    imports : list of Import, in the order of the script's lines
    differing : list of (Own, Comparison)
        Each definition of the user's that differs from the textbook's and that an import brings,
        directly or through others, and whether it computes the same numbers.
    """

    imports: list[Import]
    differing: list[tuple[Own, Comparison]]


def check_script(path: str | os.PathLike[str], serve: Collection[str] = ()) -> Check:
    """List the imports of a script, and try the user's definitions that differ.

    The user's tree is looked for beside the script, in the folder above it, and where the script
    extends ``sys.path`` to. Of a star import
    those names are listed on their own that are the user's, or that fastseq lacks and the script
    uses.

    Parameters
    ----------
    path : path of the script
    serve : collection of str
        As for `fastseq.dropin.install`.

    Raises
    ------
    OSError, SyntaxError, ValueError
        The script, or a file of the user's that it needs, cannot be read as Python.
    """
    with open(path, "rb") as file:
        tree = ast.parse(importlib.util.decode_source(file.read()), os.fspath(path))
    folder = os.path.dirname(os.path.realpath(path))
    added = [os.path.normpath(os.path.join(folder, entry)) for entry in path_entries(tree)]
    roots = list(dict.fromkeys([folder, os.path.dirname(folder), *added]))
    finder = _Tree(roots, serve)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found: list[Import] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.append(_module(node.lineno, alias.name, finder))
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                found += _names(node.lineno, module, alias.name, used, finder)
    found.sort(key=lambda imported: imported.line)
    differing = [
        (own, compare(folder, own.module, own.name, roots)) for own in _differing(found, finder)
    ]
    return Check(found, differing)


def _differing(imports: list[Import], finder: _Tree) -> list[Own]:
    """The definitions that make imports the user's, each once."""
    causes: dict[str, Own] = {}
    for imported in imports:
        own = finder.whose(imported.module, imported.name)
        while own is not None and own.uses is not None:
            own = finder.whose(*own.uses.rpartition(".")[::2])
        if own is not None:
            causes.setdefault(own.full_name, own)
    return list(causes.values())


class _Tree(Importer):
    """The user's tree as it would be found if the script had been run."""

    def __init__(self, roots: list[str], serve: Collection[str]) -> None:
        super().__init__(serve=serve)
        self._roots = roots

    def whose(self, module: str, name: str) -> Own | None:
        """The user's definition of a served name, if it is the one that is used."""
        if name not in table.sources(module):
            return None
        return self.definitions.used(module, name)

    def roots(self) -> Iterator[str]:
        """The given folders alone: this process's ``sys.path`` is not the script's."""
        yield from self._roots


def _module(line: int, module: str, finder: _Tree) -> Import:
    if table.is_served(module):
        return Import(line, module, "", "served")
    package = module.rpartition(".")[0]
    if package not in table.PACKAGES:
        return Import(line, module, "", "elsewhere")
    return Import(line, module, "", "own file" if _has(finder, module) else "missing")


def _names(line: int, module: str, name: str, used: set[str], finder: _Tree) -> Iterator[Import]:
    if not table.is_served(module):
        yield Import(line, module, name, _module(line, module, finder).origin)
        return
    served = {*table.load(module), *table.whole_modules(module)}
    own = finder.definitions.names(module)
    if name == "*":
        yield Import(line, module, name, "served")
        for each in sorted(served):
            if finder.whose(module, each) is not None:
                yield Import(line, module, each, "yours")
        for lacking in sorted((set(table.sources(module)) - served) & used):
            yield Import(line, module, lacking, "own file" if lacking in own else "missing")
    elif name in served:
        whose: Origin = "served" if finder.whose(module, name) is None else "yours"
        yield Import(line, module, name, whose)
    elif module in table.PACKAGES and name not in own:
        yield _module(line, f"{module}.{name}", finder)
    else:
        yield Import(line, module, name, "own file" if name in own else "missing")


def _has(finder: _Tree, module: str) -> bool:
    """Whether the user's tree has a file or folder of this module."""
    package, _, name = module.rpartition(".")
    return any(
        os.path.isfile(os.path.join(folder, f"{name}.py"))
        or os.path.isdir(os.path.join(folder, name))
        for folder in finder.folders(package)
    )
