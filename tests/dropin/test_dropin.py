"""The textbook's module names, served by fastseq: `install()`, and `fastseq run --check`."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fastseq
from fastseq.cli import main
from fastseq.dropin import check, install, table, uninstall
from support.dropin.textbook import write, write_tree

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def installed() -> Iterator[None]:
    before = dict(sys.modules)
    install()
    yield
    uninstall()
    assert not any(table.is_served(name) for name in sys.modules.keys() - before.keys())


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("module", table.MODULES)
def test_every_served_module(module: str) -> None:
    served = importlib.import_module(module)
    for name, source in table.sources(module).items():
        assert getattr(served, name) is getattr(importlib.import_module(source), name)
    star: dict[str, Any] = {}
    exec(f"from {module} import *", star)
    expected = {*table.sources(module), *table.whole_modules(module)}
    assert star.keys() - {"__builtins__"} == expected
    assert importlib.reload(served) is served


@pytest.mark.usefixtures("installed")
def test_star_imports_bring_what_the_textbooks_scripts_rely_on() -> None:
    star: dict[str, Any] = {}
    exec("from common.time_layers import *", star)
    assert star["np"] is np
    assert star["GPU"] is False
    served = set(table.sources("common.layers")) | set(table.sources("common.functions"))
    assert served <= set(table.sources("common.time_layers"))
    assert {"sigmoid", "softmax", "Affine", "MatMul", "Embedding"} <= served
    pytest.importorskip("matplotlib")
    trainer: dict[str, Any] = {}
    exec("from common.trainer import *", trainer)
    assert trainer["numpy"] is np
    assert trainer["plt"].__name__ == "matplotlib.pyplot"


def test_a_name_that_fastseq_lacks_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(fastseq.layers, "TimeAffine")
    install()
    try:
        exec("from common.time_layers import *", {})
        with pytest.raises(ImportError, match="TimeAffine.*common.time_layers"):
            exec("from common.time_layers import TimeAffine")
    finally:
        uninstall()


def test_install_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = ModuleType("seq2seq")
    monkeypatch.setitem(sys.modules, "seq2seq", mine)
    finders = list(sys.meta_path)
    uninstall()
    install()
    install()
    assert len(sys.meta_path) == len(finders) + 2
    assert importlib.import_module("seq2seq").Seq2seq is fastseq.Seq2seq
    assert importlib.import_module("ch07.seq2seq").Seq2seq is fastseq.Seq2seq
    uninstall()
    uninstall()
    assert sys.meta_path == finders
    assert importlib.import_module("seq2seq") is mine
    assert "ch07" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("common.time_layers")


# --check


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A reader's folder, laid out as the textbook's."""
    return write_tree(tmp_path)


def test_check_lists_the_imports(tree: Path, capsys: Capture) -> None:
    write(tree, {"common/my_helper.py": "", "common/util.py": "def shout(): pass\n"})
    script = tree / "ch07" / "script.py"
    script.write_text(
        "import sys, numpy as np\n"
        "import common.layers as layers\n"
        "from common.time_layers import *\n"
        "from common import config, my_helper\n"
        "from common.util import clip_grads, shout, whisper\n"
        "from dataset import sequence, ptb\n"
        "def later():\n"
        "    from seq2seq import Seq2seq\n"
        "    from helper import anything\n"
        "raise SystemExit('this is not run')\n",
        encoding="utf-8",
    )
    assert main(["run", "--check", str(script)]) == 1
    rows = [line.split(":", 2)[1:] for line in capsys.readouterr().out.splitlines()]
    assert [(int(line), *re.split("  +", rest.strip())) for line, rest in rows] == [
        (1, "elsewhere", "sys"),
        (1, "elsewhere", "numpy"),
        (2, "served", "common.layers"),
        (3, "served", "common.time_layers: *"),
        (4, "served", "common.config"),
        (4, "own file", "common.my_helper"),
        (5, "served", "common.util: clip_grads"),
        (5, "own file", "common.util: shout"),
        (5, "missing", "common.util: whisper"),
        (6, "served", "dataset.sequence"),
        (6, "missing", "dataset.ptb"),
        (8, "served", "seq2seq: Seq2seq"),
        (9, "elsewhere", "helper: anything"),
    ]
    assert main(["run", "--check", str(tree / "ch07" / "train.py")]) == 0
    assert "missing" not in capsys.readouterr().out


def test_check_names_what_a_star_import_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(fastseq.layers, "TimeAffine")
    script = tmp_path / "script.py"
    script.write_text("from common.time_layers import *\nTimeAffine, TimeLSTM\n", encoding="utf-8")
    assert [(str(found), found.origin) for found in check.check_script(script).imports] == [
        ("common.time_layers: *", "served"),
        ("common.time_layers: TimeAffine", "missing"),
    ]
    script.write_text("from common.time_layers import *\nTimeLSTM\n", encoding="utf-8")
    assert [found.origin for found in check.check_script(script).imports] == ["served"]


def test_check_of_a_script_with_a_syntax_error(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "script.py").write_text("x = (\n", encoding="utf-8")
    assert main(["run", "--check", str(tmp_path / "script.py")]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "was never closed" in line
