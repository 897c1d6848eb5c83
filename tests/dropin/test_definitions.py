"""Whose definition is used: edits of a reader's tree at each level, and their users."""

from pathlib import Path

import pytest

from fastseq.dropin.definitions import Definitions
from fastseq.dropin.fingerprints import Table, fingerprint
from support.dropin.own_tree import own_fingerprints, write_own_tree
from support.dropin.textbook import write

USERS = {
    "sigmoid": ["LSTM", "TimeLSTM", "Encoder", "Seq2seq"],
    "LSTM": ["TimeLSTM", "Encoder", "Seq2seq"],
    "TimeLSTM": ["Encoder", "Seq2seq"],
    "Encoder": ["Seq2seq"],
    "Seq2seq": [],
    "Adam": [],
    "clip_grads": ["Trainer"],
    "Trainer": [],
}
MODULES = {
    "common.functions": ["sigmoid"],
    "common.time_layers": ["LSTM", "TimeLSTM"],
    "common.optimizer": ["Adam"],
    "common.util": ["clip_grads"],
    "common.trainer": ["Trainer"],
    "seq2seq": ["Encoder", "Seq2seq"],
}


def definitions_of(tree: Path, *serve: str, published: Table | None = None) -> Definitions:
    def find(module: str) -> str | None:
        for folder in (tree, tree / "ch07"):
            path = folder.joinpath(*module.split(".")).with_suffix(".py")
            if path.is_file():
                return str(path)
        return None

    return Definitions(find, serve, published or own_fingerprints())


def own_names(definitions: Definitions) -> dict[str, str | None]:
    """The reader's definitions that are used, and because of which."""
    return {
        name: own.uses and own.uses.rpartition(".")[2]
        for module in MODULES
        for name, own in definitions.own(module).items()
    }


def test_an_untouched_tree_is_fastseqs(tmp_path: Path) -> None:
    assert own_names(definitions_of(write_own_tree(tmp_path))) == {}


@pytest.mark.parametrize("edited", USERS)
def test_an_edited_definition_and_its_users(edited: str, tmp_path: Path) -> None:
    definitions = definitions_of(write_own_tree(tmp_path, {edited: "pass"}))
    assert own_names(definitions) == {edited: None, **dict.fromkeys(USERS[edited], edited)}


def test_comments_and_docstrings_are_no_edit(tmp_path: Path) -> None:
    tree = write_own_tree(tmp_path, dict.fromkeys(USERS, "'''Says what it does.'''"))
    assert own_names(definitions_of(tree)) == {}


def test_lines_may_end_as_on_windows(tmp_path: Path) -> None:
    tree = write_own_tree(tmp_path)
    for path in tree.rglob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert own_names(definitions_of(tree)) == {}


def test_a_served_name_is_fastseqs_and_so_are_its_users(tmp_path: Path) -> None:
    tree = write_own_tree(tmp_path, {"LSTM": "pass", "Adam": "pass"})
    assert own_names(definitions_of(tree, "LSTM")) == {"Adam": None}
    assert own_names(definitions_of(tree, "common.time_layers.LSTM")) == {"Adam": None}
    assert own_names(definitions_of(tree, "TimeLSTM")) == {"LSTM": None, "Adam": None}
    assert own_names(definitions_of(tree, "all")) == {}


@pytest.mark.parametrize(
    "imports",
    [
        "from my_layers import TimeLSTM",
        "from my_layers import Mine as TimeLSTM",
        "from my_layers import *",
        "import my_layers\nTimeLSTM = my_layers.TimeLSTM",
        "class TimeLSTM: pass",
        "if True:\n    class TimeLSTM: pass",
        "try:\n    from my_layers import TimeLSTM\nexcept ImportError:\n    pass",
    ],
)
def test_a_layer_from_a_file_of_ones_own(imports: str, tmp_path: Path) -> None:
    tree = write_own_tree(tmp_path)
    write(tree, {"ch07/my_layers.py": "class TimeLSTM: pass\nclass Mine: pass\n"})
    path = tree / "ch07/seq2seq.py"
    text = path.read_text(encoding="utf-8")
    line = "from common.time_layers import *\n"
    path.write_text(text.replace(line, f"{line}{imports}\n"), encoding="utf-8")
    definitions = definitions_of(tree)
    assert {"Encoder", "Seq2seq"} <= own_names(definitions).keys()
    assert definitions.holder("seq2seq", "TimeLSTM") == "seq2seq"


def test_a_file_that_hands_fastseqs_on_changes_nothing(tmp_path: Path) -> None:
    tree = write_own_tree(tmp_path)
    write(tree, {"ch07/my_layers.py": "from common.time_layers import TimeLSTM\n"})
    path = tree / "ch07/seq2seq.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(f"from my_layers import *\n{text}", encoding="utf-8")
    assert own_names(definitions_of(tree)) == {}


def test_a_layer_taken_from_its_module(tmp_path: Path) -> None:
    for number, (imports, layer) in enumerate(
        [
            ("import common.time_layers as layers", "layers.TimeLSTM"),
            ("import common.time_layers", "common.time_layers.TimeLSTM"),
            ("from common import time_layers", "time_layers.TimeLSTM"),
        ]
    ):
        tree = tmp_path / str(number)
        write_own_tree(tree, {"LSTM": "pass"})
        write(
            tree,
            {
                "ch07/seq2seq.py": f"{imports}\n\nclass Encoder:\n    layer = {layer}\n",
                "ch07/other.py": "",
            },
        )
        encoder = f"class Encoder:\n    layer = {layer}\n"
        published = own_fingerprints() | {"seq2seq": {"Encoder": [fingerprint(encoder)]}}
        definitions = definitions_of(tree, published=published)
        assert definitions.own("seq2seq")["Encoder"].uses == "common.time_layers.LSTM"


def test_what_shares_a_variable_belongs_together(tmp_path: Path) -> None:
    load = "def load_data(name):\n    words[name] = 1\n"
    get = "def get_vocab():\n    return words\n"
    published = {
        "dataset.sequence": {
            "load_data": [fingerprint(load)],
            "get_vocab": [fingerprint(get)],
        }
    }
    path = tmp_path / "sequence.py"

    def own() -> set[str]:
        return set(Definitions(lambda _: str(path), (), published).own("dataset.sequence"))

    path.write_text(f"words = {{}}\n{load}{get}", encoding="utf-8")
    assert own() == set()
    path.write_text(f"words = {{}}\n{load}    print(name)\n{get}", encoding="utf-8")
    assert own() == {"load_data", "get_vocab"}


def test_definitions_that_use_each_other(tmp_path: Path) -> None:
    first = "class Encoder:\n    def f(self): return Decoder\n"
    second = "class Decoder:\n    def f(self): return Encoder, Seq2seq\n"
    published = {"seq2seq": {"Encoder": [fingerprint(first)], "Decoder": [fingerprint(second)]}}
    path = tmp_path / "seq2seq.py"
    path.write_text(f"{first}{second}class Seq2seq: pass\n", encoding="utf-8")
    definitions = Definitions(lambda _: str(path), (), published)
    assert {name: own.uses for name, own in definitions.own("seq2seq").items()} == {
        "Encoder": "seq2seq.Seq2seq",
        "Decoder": "seq2seq.Seq2seq",
        "Seq2seq": None,
    }


def test_files_that_import_each_other(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "common/util.py": "from common.trainer import *\nfrom common.trainer import Trainer\n"
            "def mine(): pass\n",
            "common/trainer.py": "from common.util import *\nfrom common.util import Trainer\n",
        },
    )
    definitions = definitions_of(tmp_path)
    for module in ("common.util", "common.trainer"):
        assert definitions.used(module, "Trainer") is None
        assert definitions.used(module, "clip_grads") is None
        assert definitions.holder(module, "clip_grads") is None
        assert {"mine", "Trainer"} <= definitions.names(module)


def test_a_file_that_is_no_python(tmp_path: Path) -> None:
    tree = write_own_tree(tmp_path, {"Adam": "x = ("})
    with pytest.raises(SyntaxError) as caught:
        definitions_of(tree).own("common.optimizer")
    assert caught.value.filename == str(tree / "common" / "optimizer.py")
    assert definitions_of(tree, "all").own("common.optimizer") == {}
