"""Every public docstring has its sections, names its arguments, and holds examples that run."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

# The modules whose names users import; those of fastseq.data are read from its __all__.
MODULES = (
    "fastseq",
    "fastseq.layers",
    "fastseq.decoding",
    "fastseq.models",
    "fastseq.optim",
    "fastseq.train",
    "fastseq.util",
    "fastseq.text",
    *(f"fastseq.data.{name}" for name in importlib.import_module("fastseq.data").__all__),
    "fastseq.plot",
    "fastseq.dropin",
    "fastseq.interop",
    "fastseq.config",
)
# packages that an example needs and fastseq does not
NEEDED = {"fastseq.interop.to_onnx": "onnx"}
REFERENCE = "fastseq_reference"

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS

# Of each cell its gates, in the order of their blocks in the weights.
GATES = {
    "LSTM": ["f, g, i, o"],
    "TimeLSTM": ["f, g, i, o"],
    "TimeBiLSTM": ["f, g, i, o"],
    "GRU": ["z, r, g", "reset_after"],
    "TimeGRU": ["z, r, g", "reset_after"],
    "RecurrentLayer": ["f, g, i, o", "z, r, g"],
    "RecurrentStack": ["f, g, i, o", "z, r, g", "reset_after"],
}


class Public(NamedTuple):
    """A public function, class or method, and the class that a method belongs to."""

    path: str
    value: Any
    owner: type | None = None

    @property
    def doc(self) -> str:
        return inspect.getdoc(self.value) or ""


def public_names(module: str) -> list[str]:
    """``__all__``, or else what the module defines itself."""
    namespace = importlib.import_module(module)
    own = [
        name
        for name, value in vars(namespace).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isroutine(value))
        and value.__module__ == module
    ]
    return list(getattr(namespace, "__all__", own))


def public_methods(cls: type) -> Iterator[tuple[str, Any]]:
    """The public methods of a class, inherited ones too, but for those of foreign bases."""
    for name in dir(cls):
        method = getattr(cls, name)
        ours = (getattr(method, "__module__", None) or "").partition(".")[0] in (
            "fastseq",
            REFERENCE,
        )
        if not name.startswith("_") and inspect.isroutine(method) and ours:
            yield name, method


def find_all() -> dict[str, Public]:
    """Each once, under the shortest of its paths; an inherited method under its first class."""
    found: dict[int, Public] = {}
    for module in MODULES:
        for name in public_names(module):
            value = getattr(importlib.import_module(module), name)
            if inspect.ismodule(value) or id(value) in found:
                continue
            path = f"{module}.{name}"
            found[id(value)] = Public(path, value)
            if inspect.isclass(value):
                for method, function in public_methods(value):
                    key = id(inspect.unwrap(getattr(function, "__func__", function)))
                    found.setdefault(key, Public(f"{path}.{method}", function, value))
    return {public.path: public for public in found.values()}


PUBLIC = find_all()
WITH_EXAMPLES = [path for path, public in PUBLIC.items() if ">>>" in public.doc]


def sections(doc: str) -> dict[str, str]:
    """The text under each heading that is underlined; the summary under ""."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", doc, flags=re.MULTILINE)
    return {
        "": parts[0].strip(),
        **dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True)),
    }


def described(section: str) -> set[str]:
    """The names that a section describes: those at its left edge, before the colon."""
    lines = [line.partition(" :")[0] for line in section.splitlines() if line[:1].strip()]
    return {name.strip().lstrip("*") for line in lines for name in line.split(",")}


def signature(public: Public) -> inspect.Signature | None:
    """None of the compiled functions, which have none."""
    try:
        return inspect.signature(public.value)
    except ValueError:
        return None


def parameters(public: Public) -> list[str]:
    names = list(signature(public).parameters) if signature(public) else []
    return [name for name in names if name not in ("self", "cls")]


def returns_a_value(public: Public) -> bool:
    annotation = signature(public).return_annotation if signature(public) else None
    return annotation not in (None, "None", inspect.Signature.empty)


def raised(public: Public) -> set[str]:
    """The classes of the errors in the raise statements of a function, or of ``__init__``."""
    value = public.value.__init__ if inspect.isclass(public.value) else public.value
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
    except (OSError, TypeError):  # a compiled or generated one
        return set()
    return {
        node.exc.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
        and node.exc.func.id.endswith("Error")
    }


def test_names_are_found() -> None:
    assert {"fastseq.LSTM", "fastseq.LSTM.forward", "fastseq.Transducer.load"} <= set(PUBLIC)
    assert {"fastseq.set_num_threads", "fastseq.data.dates.generate"} <= set(PUBLIC)
    assert {"fastseq.plot.attention_map", "fastseq.dropin.install"} <= set(PUBLIC)
    assert len(PUBLIC) > 150


@pytest.mark.parametrize("path", PUBLIC)
def test_a_docstring_begins_with_a_line_of_summary(path: str) -> None:
    first, *others = PUBLIC[path].doc.splitlines() or [""]
    assert first.endswith((".", "::")), first
    assert not others or others[0] == ""


@pytest.mark.parametrize("path", PUBLIC)
def test_a_docstring_has_the_sections_of_its_signature(path: str) -> None:
    public = PUBLIC[path]
    found = sections(public.doc)
    arguments = described(found.get("Parameters", ""))
    if dataclasses.is_dataclass(public.value):
        arguments |= described(found.get("Attributes", ""))
    assert [name for name in parameters(public) if name not in arguments] == []
    if not inspect.isclass(public.value) and returns_a_value(public):
        assert {"Returns", "Yields"} & set(found)
    assert {name for name in raised(public) if name not in found.get("Raises", "")} == set()
    if public.owner is not None and path.rpartition(".")[2] in ("forward", "backward"):
        assert "Raises" in found


@pytest.mark.parametrize("path", PUBLIC)
def test_a_docstring_has_an_example(path: str) -> None:
    public = PUBLIC[path]
    method = path.rpartition(".")[2]
    # the example of a class stands for the methods that it calls
    shown_by_class = public.owner is not None and f".{method}(" in sections(
        inspect.getdoc(public.owner) or ""
    ).get("Examples", "")
    assert shown_by_class or ">>> " in sections(public.doc).get("Examples", "")


@pytest.mark.parametrize("path", WITH_EXAMPLES)
def test_an_example_is_right(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if path in NEEDED:
        pytest.importorskip(NEEDED[path])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("NO_COLOR", "1")
    np.random.seed(0)
    public = PUBLIC[path]
    test = doctest.DocTestParser().get_doctest(public.doc, {}, path, path, 0)
    assert test.examples
    assert run(test) == ""


def run(test: doctest.DocTest) -> str:
    """What doctest reports of a docstring's examples; nothing if they are right."""
    report: list[str] = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=report.append)
    return "".join(report)


def test_a_wrong_example_is_found() -> None:
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert "Expected:\n    3\nGot:\n    2\n" in run(test)


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("package", ["fastseq", REFERENCE])
def test_a_recurrent_layer_says_the_order_of_its_gates(package: str, name: str) -> None:
    cls = getattr(importlib.import_module(package), name, None)
    if cls is None:
        pytest.skip(f"{package} has no {name}")
    assert [order for order in GATES[name] if order not in (inspect.getdoc(cls) or "")] == []
