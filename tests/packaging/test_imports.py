"""The plan of the house: no module imports one above it, and no file or folder is too large."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "fastseq"

# From the ground up. What stands in a line may not import what stands in a later one; the parts of
# one line may import each other.
FLOORS = (
    {"_kernels", "version", "startup", "files", "float_formats", "installed", "page", "precision"},
    {"layers"},
    {"decoding", "models"},
    {"data", "optim", "parallel", "plot", "text", "train", "util"},
    {"transducer"},
    {"bench", "config", "dropin", "interop", "serve"},
    {"cli", "__main__"},
)
MOST_LINES = 400
MOST_IN_TRANSDUCER = 10

pytestmark = pytest.mark.skipif(not PACKAGE.is_dir(), reason="only the installed package is here")


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def part(module: str) -> str:
    """The folder or file right below ``fastseq``, or "" for the package itself."""
    return module.split(".")[1] if "." in module else ""


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of each module of the package that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [node.module]
            if node.module == "fastseq":  # a part of it, or a name of its __init__
                names = [
                    f"fastseq.{alias.name}" if is_part(alias.name) else "fastseq"
                    for alias in node.names
                ]
        else:
            continue
        for name in names:
            if name.split(".")[0] == "fastseq":
                yield node.lineno, name


def is_part(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def floor(name: str) -> int:
    return next(number for number, parts in enumerate(FLOORS) if name in parts)


def test_every_part_has_a_floor() -> None:
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py"}
    parts |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert parts - {"__init__"} == set.union(*FLOORS)


@pytest.mark.parametrize("path", sources("fastseq"), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        pytest.skip("the package's own __init__ gathers them all")
    upward = []
    for line, module in imported(path):
        if not part(module):
            if own not in FLOORS[-1]:
                upward.append(f"line {line}: the package's own __init__")
        elif floor(part(module)) > floor(own):
            upward.append(f"line {line}: {module}")
    assert upward == []


@pytest.mark.parametrize(
    "path", sources("fastseq", "python", "tests"), ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_file_is_too_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_the_transducer_can_be_seen_at_a_glance() -> None:
    entries = {path for path in (PACKAGE / "transducer").iterdir() if path.name[:2] != "__"}
    entries = {path for path in entries if path.suffix in ("", ".py")}
    assert len(entries) <= MOST_IN_TRANSDUCER
    for stage in ("data", "network", "training", "search", "metrics", "ensemble"):
        assert (PACKAGE / "transducer" / stage / "__init__.py").is_file()
