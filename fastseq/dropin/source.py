"""A file of a reader's, parsed: what gives its names their values, and what running it does."""

from __future__ import annotations

import ast
import importlib.util
import symtable
from dataclasses import dataclass, field

from fastseq.dropin import table
from fastseq.dropin.fingerprints import Definition


@dataclass
class Source:
    """A file of the reader's, parsed."""

    tree: ast.Module
    lines: list[str]
    names: set[str]  # of its top level
    definitions: dict[str, Definition] = field(default_factory=dict)
    nested: set[str] = field(default_factory=set)  # of them, those inside an `if` or a `try`
    variables: set[str] = field(default_factory=set)
    bindings: list[Binding] = field(default_factory=list)  # in the order of the file


@dataclass(frozen=True)
class Binding:
    """What gives a name its value at the top level of a file."""

    name: str  # "*" for a star import
    module: str | None = None  # it is imported from; None: defined or assigned
    original: str | None = None  # its name there; None: it is the module itself


def path_entries(tree: ast.Module) -> list[str]:
    """The texts that a file appends to ``sys.path``, or inserts into it, at its top level."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            is_path = ast.unparse(node.value.func) in ("sys.path.append", "sys.path.insert")
            last = node.value.args[-1:] if is_path else []
            found += [each.value for each in last if isinstance(each, ast.Constant)]
    return [entry for entry in found if isinstance(entry, str)]


def has_effects(tree: ast.Module) -> bool:
    """Whether a file calls something, or sets an attribute, at its top level."""
    for node in tree.body:
        if isinstance(node, ast.Assign):
            found = any(isinstance(target, ast.Attribute) for target in node.targets)
        else:
            found = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
            found = found and not ast.unparse(node).startswith("sys.path.")
        if found:
            return True
    return False


def parse(module: str, path: str) -> Source:
    """Read the file of a module; OSError or SyntaxError if it cannot be read as Python."""
    with open(path, "rb") as file:
        text = importlib.util.decode_source(file.read())
    symbols = symtable.symtable(text, path, "exec").get_symbols()
    names = {each.get_name() for each in symbols if each.is_assigned() or each.is_imported()}
    source = Source(ast.parse(text, path), text.split("\n"), names)
    _collect(source, module, source.tree.body, nested=False)
    return source


def _collect(source: Source, module: str, body: list[ast.stmt], nested: bool) -> None:
    """What gives names their values at the top level, those inside `if` and `try` too."""
    for node in body:
        if isinstance(node, Definition):
            source.definitions[node.name] = node
            source.bindings.append(Binding(node.name))
            if nested:
                source.nested.add(node.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                source.bindings.append(Binding(name, alias.name if alias.asname else name))
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(module, node)
            for alias in node.names:
                source.bindings.append(Binding(alias.asname or alias.name, origin, alias.name))
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            for target in ast.walk(node):
                if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store):
                    source.definitions.pop(target.id, None)
                    source.variables.add(target.id)
                    source.bindings.append(Binding(target.id))
        else:
            for _, value in ast.iter_fields(node):
                if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                    _collect(source, module, value, nested=True)
                for handler in value if isinstance(value, list) else ():
                    if isinstance(handler, ast.ExceptHandler):
                        _collect(source, module, handler.body, nested=True)


def _absolute(module: str, node: ast.ImportFrom) -> str:
    """The full name of the module that an import statement in a module names."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    # the file of a package is its __init__.py, whose first level is the package itself
    parts = parts[: len(parts) - node.level + (module in table.PACKAGES)]
    package = ".".join(parts)
    return ".".join(part for part in (package, node.module) if part)


def mentions(node: Definition) -> set[str]:
    """The names that a definition uses, dotted where it takes them from something."""
    found = set()
    for each in ast.walk(node):
        dotted, value = "", each
        while isinstance(value, ast.Attribute):
            dotted, value = f".{value.attr}{dotted}", value.value
        if isinstance(value, ast.Name):
            found.add(value.id + dotted)
    return found - {node.name}
