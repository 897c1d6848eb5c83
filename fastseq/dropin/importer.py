"""The finder behind the textbook's module names, and the modules that it makes.

A served module has the names of its line in `table`: fastseq's, and the reader's own where
`definitions` says so. For any other name it turns to the reader's file of that name, where there is
one: a layer that a reader has added to ``common/layers.py`` is still there, beside fastseq's.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, TypeGuard

from fastseq.dropin import table
from fastseq.dropin.definitions import Definitions, Own

_INSTALLED = ("site-packages", "dist-packages")
_STDLIB = os.path.dirname(os.path.abspath(os.__file__))
_REMEDY = "install(serve=['{name}'])"


class ServedModule(ModuleType):
    """A module of the textbook's name with fastseq's names."""

    def __getattr__(self, name: str) -> Any:
        """What is only looked up when asked for: whole modules, and the user's own names."""
        importer = vars(self).get("__loader__")
        if not isinstance(importer, Importer) or (name.startswith("__") and name != "__all__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if name == "__all__":
            return importer.star_names(self)
        target = table.whole_modules(self.__name__).get(name)
        if target is not None:
            value: Any = import_module(target)
        elif name in importer.definitions.names(self.__name__):
            return getattr(importer.own_module(self), name)  # not stored: it may change
        elif (holder := importer.holder_of_addition(self.__name__, name)) is not None:
            return getattr(import_module(holder), name)
        else:
            raise AttributeError(f"module {self.__name__!r}, served by fastseq, has no {name!r}")
        vars(self)[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; ``GPU = True`` is answered with a line, and has no effect."""
        importer = vars(self).get("__loader__")
        if name == "GPU" and value and isinstance(importer, Importer):
            importer.say_no_gpu()
        else:
            super().__setattr__(name, value)
            if isinstance(importer, Importer) and name in importer.definitions.names(self.__name__):
                setattr(importer.own_module(self), name, value)  # which its functions read


class Importer(MetaPathFinder, Loader):
    """Finds and makes the served modules.

    Parameters
    ----------
    script_folder : str, optional
        Relative entries of ``sys.path``, as ``".."``, are taken from this folder too and not only
        from the current one: a script then finds its tree from wherever it is run.
    serve : collection of str
        Names that are fastseq's whatever the reader has; "all" for all.
    remedy : str
        How a user says so, with ``{name}`` for the name.
    """

    def __init__(
        self,
        script_folder: str | None = None,
        serve: Collection[str] = (),
        remedy: str = _REMEDY,
    ) -> None:
        self._script_folder = script_folder
        self._remedy = remedy
        self._told: set[tuple[str | None, str]] = set()
        self.definitions = Definitions(self.own_file, serve)
        self._own_modules: dict[str, ModuleType] = {}
        self._executed: set[str] = set()
        self._gpu_was_told = False

    # what the import system calls

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a served module, or another one in the user's folders of a served package."""
        if table.is_served(fullname):
            spec = ModuleSpec(fullname, self, origin=__file__)
            spec.has_location = True
            if fullname in table.PACKAGES:
                spec.submodule_search_locations = self.folders(fullname)
            return spec
        package = fullname.rpartition(".")[0]
        if package not in table.PACKAGES:
            return None
        folders = self.folders(package)
        sys.modules[package].__path__[:] = folders  # sys.path may have grown since
        return PathFinder.find_spec(fullname, folders)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make the module, still empty."""
        return ServedModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module."""
        name = module.__name__
        if name in self._executed:  # a reload
            self._own_modules.pop(name, None)
            self.definitions.forget()
        self._executed.add(name)
        added = self.definitions.path_entries(name)  # as running the file would
        sys.path += [path for path in added if path not in sys.path]
        own = self.definitions.own(name)
        self._say_whose(name, own.values())
        values = table.load(name)
        for each in values:
            holder = self.definitions.holder(name, each)
            if holder is not None:
                found = self.own_module(module) if holder == name else import_module(holder)
                values[each] = getattr(found, each)
        vars(module).update(values)
        if self.definitions.has_effects(name):
            self.own_module(module)
        entry = table.MODULES.get(name, table.Module())
        for setting in entry.settings:
            if setting in self.definitions.names(module.__name__):
                setattr(module, setting, getattr(self.own_module(module), setting))

    # the user's tree

    def roots(self) -> Iterator[str]:
        """The folders of ``sys.path`` where a user keeps files: not those of installed packages."""
        for entry in _search_path():
            if os.path.basename(entry) not in _INSTALLED and os.path.abspath(entry) != _STDLIB:
                yield from self._script_root(entry)
                yield os.path.abspath(entry)

    def script_roots(self) -> Iterator[str]:
        """The relative entries of ``sys.path``, taken from the script's folder."""
        for entry in _search_path():
            yield from self._script_root(entry)

    def _script_root(self, entry: str) -> Iterator[str]:
        if self._script_folder is not None and entry and not os.path.isabs(entry):
            yield os.path.abspath(os.path.join(self._script_folder, entry))

    def folders(self, package: str) -> list[str]:
        """The user's folders of a package."""
        folders = (os.path.join(root, *package.split(".")) for root in self.roots())
        return [folder for folder in dict.fromkeys(folders) if os.path.isdir(folder)]

    def own_file(self, module: str) -> str | None:
        """The user's own file of a served module, or None."""
        end = os.path.join(*module.split("."))
        end = os.path.join(end, "__init__.py") if module in table.PACKAGES else f"{end}.py"
        files = (os.path.join(root, end) for root in self.roots())
        return next(filter(os.path.isfile, files), None)

    def own_module(self, served_module: ModuleType) -> ModuleType:
        """The user's own module of a served name, run when first needed.

        It begins with fastseq's names, those that its own file lacks too; and its definitions that
        are fastseq's are not made: fastseq's stand in their places.
        """
        name = served_module.__name__
        if name not in self._own_modules:
            path = self.own_file(name)
            spec = importlib.util.spec_from_file_location(name, path)
            if spec is None or spec.loader is None:
                raise ImportError(f"cannot load {path}", name=name, path=path)
            module = self._own_modules[name] = importlib.util.module_from_spec(spec)
            try:
                program = compile(self.definitions.program(name), str(path), "exec")
                served = table.load(name)
                vars(module).update(served, __fastseq__=served)
                exec(program, vars(module))
                del vars(module)["__fastseq__"]
            except BaseException:
                del self._own_modules[name]
                raise
        return self._own_modules[name]

    def star_names(self, served: ModuleType) -> list[str]:
        """What ``from ... import *`` brings: fastseq's names, and what the user's own file adds."""
        name = served.__name__
        names = set(table.load(name)) | set(table.whole_modules(name))
        more = {own for own in self.definitions.names(name) - names if not own.startswith("_")}
        if more:
            more &= set(vars(self.own_module(served)))
        for other in table.MODULES.get(name, table.Module()).includes:
            more |= set(self.star_names(import_module(other)))
        return sorted(names | more)

    def holder_of_addition(self, module: str, name: str) -> str | None:
        """The module whose own names, beyond fastseq's, reach this one by its star imports."""
        for other in table.MODULES.get(module, table.Module()).includes:
            if name in self.definitions.names(other):
                return other
            found = self.holder_of_addition(other, name)
            if found is not None:
                return found
        return None

    # the rest

    def _say_whose(self, module: str, definitions: Iterable[Own]) -> None:
        """One line for each definition that differs, and one for those that use the same one."""
        path = self.own_file(module)
        users: dict[str, list[str]] = {}
        for own in definitions:
            if (path, own.name) in self._told:
                continue
            self._told.add((path, own.name))
            if own.uses is None:
                remedy = self._remedy.format(name=own.name)
                text = "yours differs from the textbook's and is used"
                _say(f"{own.full_name}: {text}; {remedy} takes fastseq's")
            else:
                users.setdefault(own.uses, []).append(own.full_name)
        for used, names in users.items():
            verbs = ("is", "it uses") if len(names) == 1 else ("are", "they use")
            _say(f"{', '.join(names)}: yours {verbs[0]} used, because {verbs[1]} {used}")

    def say_no_gpu(self) -> None:
        """Say once that there is no GPU here."""
        if not self._gpu_was_told:
            self._gpu_was_told = True
            _say("GPU = True is ignored: fastseq computes on the CPU")


class ScriptTreeFinder(MetaPathFinder):
    """Finds what no other finder has found, by the script's relative entries of ``sys.path``."""

    def __init__(self, importer: Importer) -> None:
        self._importer = importer

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Look for a top-level module."""
        if path is not None:
            return None
        return PathFinder.find_spec(fullname, list(self._importer.script_roots()))


_hidden: dict[str, ModuleType] = {}  # the user's own, imported before `install`


def install(
    script_folder: str | None = None,
    serve: Collection[str] = (),
    *,
    remedy: str = _REMEDY,
) -> None:
    """Serve the textbook's module names by fastseq, from the next import on.

    A definition in a file of yours that differs from the textbook's is yours still, and so are
    those that use it; a line on standard error names it. Names imported earlier stay what they
    are. A second call changes nothing.

    Parameters
    ----------
    script_folder : str, optional
        Relative entries of ``sys.path`` are taken from this folder too, and not only from the
        current one; ``fastseq run`` gives the folder of the script.
    serve : collection of str, optional
        Names that are fastseq's whatever your files define, as ``["Seq2seq"]`` or
        ``["seq2seq.Seq2seq"]``; ``["all"]`` for all.
    remedy : str, optional
        How the line says that this is asked for, with ``{name}`` for the name.

    Raises
    ------
    ValueError
        A name in `serve` is not a served one.

    Examples
    --------
    >>> from fastseq import dropin
    >>> dropin.install()
    >>> from common.time_layers import TimeLSTM
    >>> TimeLSTM.__module__
    'fastseq.layers.recurrent.lstm'
    >>> dropin.uninstall()
    """
    if installed() is not None:
        return
    check_served(serve)
    _hidden.update(_take_modules())
    importer = Importer(script_folder, serve, remedy)
    sys.meta_path.insert(0, importer)
    sys.meta_path.append(ScriptTreeFinder(importer))


def uninstall() -> None:
    """Undo `install`: the next import of a textbook module finds the user's own file again.

    Examples
    --------
    >>> from fastseq import dropin
    >>> dropin.install()
    >>> dropin.uninstall()
    """
    if installed() is None:
        return
    ours = (Importer, ScriptTreeFinder)
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, ours)]
    _take_modules()
    sys.modules.update(_hidden)
    _hidden.clear()


def check_served(serve: Collection[str]) -> None:
    """ValueError unless each of these is "all", a served name, or module and name of one."""
    if isinstance(serve, str):
        raise TypeError(f"serve: expected a collection of names, got the str {serve!r}")
    known = {"all"}
    for module in table.MODULES:
        known.update(each for name in table.sources(module) for each in (name, f"{module}.{name}"))
    for name in serve:
        if name not in known:
            import difflib  # to word an error

            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"serve: expected names that fastseq serves, got {name!r}{hint}")


def installed() -> Importer | None:
    """The importer in ``sys.meta_path``, or None."""
    return next(filter(_is_importer, sys.meta_path), None)


def _say(text: str) -> None:
    print(f"fastseq: {text}", file=sys.stderr, flush=True)


def _search_path() -> list[str]:
    """``sys.path``, less the entries that Python ignores too."""
    return [entry for entry in sys.path if isinstance(entry, str)]


def _is_importer(finder: object) -> TypeGuard[Importer]:
    return isinstance(finder, Importer)


def _take_modules() -> dict[str, ModuleType]:
    """Remove the modules of served names, and those of their packages, from ``sys.modules``."""
    names = [
        name
        for name in sys.modules
        if table.is_served(name) or name.partition(".")[0] in table.PACKAGES
    ]
    return {name: sys.modules.pop(name) for name in names}
