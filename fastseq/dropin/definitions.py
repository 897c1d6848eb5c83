"""Whose definition of a name is used: fastseq's or the reader's own.

A name of a served module is fastseq's if the reader has no definition of it; or if the reader's
definition is the textbook's, by its fingerprint, and so is every definition in the reader's files
that it uses, directly or through others. Else it is the reader's: what they changed is what runs,
with fastseq for all that they did not change. Files are parsed here, and never run.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from fastseq.dropin import fingerprints, table
from fastseq.dropin.fingerprints import Definition, Table
from fastseq.dropin.source import Source, has_effects, mentions, parse, path_entries


@dataclass(frozen=True)
class Own:
    """A definition of the reader's that is used.

    Attributes
    ----------
    module, name : str
    line : int
        Where it begins in the reader's file.
    uses : str or None
        None where it differs from the textbook's itself; else the full name of a definition that
        it uses and that is the reader's.
    """

    module: str
    name: str
    line: int
    uses: str | None

    @property
    def full_name(self) -> str:
        """Module and name."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True)
class _Place:
    """A definition in a file of the reader's, or (not served) a name of another file of theirs."""

    module: str
    name: str

    @property
    def full_name(self) -> str:
        return f"{self.module}.{self.name}"


class Definitions:
    """The reader's definitions, looked up in their files.

    Parameters
    ----------
    find_file : callable
        The path of the reader's file of a module, or None.
    serve : collection of str
        Names, or full names, that are fastseq's whatever the reader has; "all" for all.
    published : table of fingerprints, optional
    """

    def __init__(
        self,
        find_file: Callable[[str], str | None],
        serve: Collection[str] = (),
        published: Table | None = None,
    ) -> None:
        self._find_file = find_file
        self._serve = frozenset(serve)
        self._published = fingerprints.published() if published is None else published
        self._defined_names = {name for names in self._published.values() for name in names}
        served = {name for module in table.MODULES for name in table.sources(module)}
        self._names = self._defined_names | served
        self._sources: dict[str, Source] = {}
        self._differing: dict[_Place, bool] = {}

    def own(self, module: str) -> dict[str, Own]:
        """The definitions in the reader's file of a served module that are used, by their names.

        Raises
        ------
        OSError, SyntaxError
            The file cannot be read as Python.
        """
        source = None if "all" in self._serve else self._source(module)
        if source is None:
            return {}
        served = table.sources(module)
        found = {name: self._own(_Place(module, name)) for name in source.definitions}
        return {name: own for name, own in found.items() if own is not None and name in served}

    def used(self, module: str, name: str) -> Own | None:
        """The reader's definition that a name of a served module stands for; None: fastseq's."""
        place = None if "all" in self._serve else self._resolve(module, name)
        return None if place is None else self._own(place)

    def holder(self, module: str, name: str) -> str | None:
        """The module whose file in the reader's tree gives a served name its value, or None.

        None stands for fastseq's.
        """
        if self.used(module, name) is None:
            return None
        if self._binds(module, name):
            return module
        return self.holder(_home(module, name), name)

    def program(self, module: str) -> ast.Module:
        """The reader's file of a served module, to be run with fastseq's names in its place.

        Each definition that is fastseq's is replaced by ``name = __fastseq__["name"]``.
        """
        source = self._source(module)
        assert source is not None
        own = self.own(module)
        served = table.sources(module)
        body: list[ast.stmt] = []
        for node in source.tree.body:
            name = getattr(node, "name", None)
            if isinstance(node, Definition) and name in served and name not in own:
                text = f"{name} = __fastseq__[{name!r}]"
                (node,) = ast.parse(text).body
                ast.increment_lineno(node, source.definitions[name].lineno - 1)
            body.append(node)
        return ast.Module(body, source.tree.type_ignores)

    def path_entries(self, module: str) -> list[str]:
        """What the reader's file adds to ``sys.path`` where it is run."""
        source = self._source(module)
        return [] if source is None else path_entries(source.tree)

    def has_effects(self, module: str) -> bool:
        """Whether the reader's file calls something, or sets an attribute, where it is run."""
        source = None if "all" in self._serve else self._source(module)
        return source is not None and has_effects(source.tree)

    def names(self, module: str, seen: frozenset[str] = frozenset()) -> set[str]:
        """The names that the reader's file of a module has once it is run.

        `seen` are the modules whose star imports lead here: files may import each other.
        """
        source = self._source(module)
        if source is None or module in seen:
            return set()
        names = set(source.names)
        for each in source.bindings:
            if each.name == "*" and each.module and table.is_served(each.module):
                names |= set(table.sources(each.module))
                names |= self.names(each.module, seen | {module})
        return names

    def forget(self) -> None:
        """Read the files anew."""
        self._sources.clear()
        self._differing.clear()

    # ---- whose a definition is ----

    def _own(self, place: _Place) -> Own | None:
        """The definition, if it is the reader's: it differs, or uses one that does."""
        if self._is_served(place):
            return None
        source = self._source(place.module)
        assert source is not None
        node = source.definitions.get(place.name)
        line = 1 if node is None else node.lineno
        if self._differs(place):
            return Own(place.module, place.name, line, None)
        seen, waiting = {place}, [place]
        while waiting:
            for used in self._uses(waiting.pop(0)):
                if used in seen or self._is_served(used):
                    continue
                if self._differs(used):
                    return Own(place.module, place.name, line, used.full_name)
                seen.add(used)
                waiting.append(used)
        return None

    def _is_served(self, place: _Place) -> bool:
        """Whether the user wants fastseq's in any case."""
        return bool({"all", place.name, place.full_name} & self._serve)

    def _differs(self, place: _Place) -> bool:
        """Whether a definition is none of the textbook's."""
        if place not in self._differing:
            self._differing[place] = self._find_whether_it_differs(place)
        return self._differing[place]

    def _find_whether_it_differs(self, place: _Place) -> bool:
        source = self._source(place.module)
        assert source is not None
        known = self._published.get(fingerprints.bare(place.module), {}).get(place.name, [])
        if place.name not in source.definitions or place.name in source.nested:
            return True
        text = fingerprints.source_of(source.lines, source.definitions[place.name])
        return fingerprints.fingerprint(text) not in known

    def _uses(self, place: _Place) -> Iterator[_Place]:
        """What a definition that is the textbook's uses of the reader's."""
        source = self._source(place.module)
        assert source is not None
        node = source.definitions[place.name]
        for used in sorted(mentions(node)):
            found = self._resolve_mention(place.module, source, used)
            # a name that the textbook does not have is a variable of the definition's own
            is_known = used.rpartition(".")[2] in self._names
            if found is not None and (is_known or table.is_served(found.module)):
                yield found
            if used in source.variables:  # what shares a variable belongs together
                for name, other in source.definitions.items():
                    if used in mentions(other):
                        yield _Place(place.module, name)

    def _resolve_mention(self, module: str, source: Source, used: str) -> _Place | None:
        name, *attributes = used.split(".")
        if not attributes:
            return self._resolve(module, name)
        for binding in reversed(source.bindings):  # of a module, as in `layers.Affine`
            if binding.name == name and binding.module is not None:
                parts = [binding.module, binding.original, *attributes]
                origin, _, last = ".".join(part for part in parts if part).rpartition(".")
                return self._resolve(origin, last)
        return None

    def _resolve(
        self, module: str, name: str, seen: frozenset[_Place] = frozenset()
    ) -> _Place | None:
        """The place in the reader's files that a name of a module has its value from.

        None if it is fastseq's, or from a module that is not in the reader's tree. `seen` are the
        names that lead here: files may import each other.
        """
        if _Place(module, name) in seen:
            return None
        seen |= {_Place(module, name)}
        source = self._source(module)
        for binding in reversed(source.bindings if source is not None else []):
            if binding.name == name:
                if binding.module is not None:
                    return self._resolve(binding.module, binding.original or "", seen)
                return self._defined(module, name)
            if binding.name == "*" and binding.module and self._provides(binding.module, name):
                return self._resolve(binding.module, name, seen)
        home = _home(module, name)
        return None if home == module else self._resolve(home, name, seen)

    def _defined(self, module: str, name: str) -> _Place | None:
        """The place of a name that its file defines, or assigns; None for the textbook's variables.

        The textbook has variables too, as ``GPU``: fastseq's importer sees to these.
        """
        source = self._source(module)
        assert source is not None
        is_defined = name in source.definitions or name in self._defined_names
        if is_defined or not table.is_served(module):
            return _Place(module, name)
        return None

    def _binds(self, module: str, name: str, seen: frozenset[str] = frozenset()) -> bool:
        """Whether the reader's file of a module gives this name a value."""
        source = None if module in seen else self._source(module)
        return source is not None and any(
            each.name == name
            or (
                each.name == "*"
                and each.module
                and self._provides(each.module, name, seen | {module})
            )
            for each in source.bindings
        )

    def _provides(self, module: str, name: str, seen: frozenset[str] = frozenset()) -> bool:
        """Whether a star import of a module brings a name."""
        return name in table.sources(module) or self._binds(module, name, seen)

    # ---- files ----

    def _source(self, module: str) -> Source | None:
        if module not in self._sources:
            path = self._find_file(module)
            if path is None:
                return None  # for now: sys.path may grow
            try:
                self._sources[module] = parse(module, path)
            except SyntaxError:
                if "all" not in self._serve:
                    raise
                return None  # nothing in it is needed
        return self._sources[module]


def _home(module: str, name: str) -> str:
    """The served module that a name of this one comes from, by its star imports in the table."""
    entry = table.MODULES.get(module, table.Module())
    if not any(name in names.split() for names in entry.names.values()):
        for other in entry.includes:
            if name in table.sources(other):
                return other
    return module
