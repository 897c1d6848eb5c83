"""A reader's tree that is run: edited definitions are theirs, everything else is fastseq's."""

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

import fastseq
from fastseq.dropin import fingerprints, install, uninstall
from support.dropin.own_tree import own_fingerprints, write_own_tree
from support.dropin.textbook import write
from support.processes import environment

# the tree's own text stands for the textbook's
PROGRAM = """
import json, sys
from fastseq.dropin import fingerprints
table = json.loads(sys.argv.pop(1))
fingerprints.published = lambda: table
from fastseq.cli import main
sys.exit(main(sys.argv[1:]))
"""

NAMES = (
    *("sigmoid", "LSTM", "TimeLSTM", "TimeGRU", "Adam", "SGD", "clip_grads", "Trainer"),
    *("Encoder", "Decoder", "Seq2seq"),
)
USERS = {
    "sigmoid": {"LSTM", "TimeLSTM", "Encoder", "Seq2seq"},
    "LSTM": {"TimeLSTM", "Encoder", "Seq2seq"},
    "TimeLSTM": {"Encoder", "Seq2seq"},
    "Encoder": {"Seq2seq"},
    "Adam": set(),
    "clip_grads": {"Trainer"},
    "Trainer": set(),
}


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    table = json.dumps(own_fingerprints())
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, table, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=120,
    )


def whose(output: str) -> dict[str, str]:
    """The module of each definition that the script prints."""
    lines = output.splitlines()[: len(NAMES)]
    return dict(line.split(" ") for line in lines)


def losses(output: str) -> list[float]:
    return [float(each) for each in output.splitlines()[-1].split()]


def test_an_untouched_tree_runs_on_fastseq(tmp_path: Path) -> None:
    tree = write_own_tree(tmp_path)
    done = run("run", "ch07/script.py", cwd=tree)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(module.startswith("fastseq.") for module in whose(done.stdout).values())
    checked = run("run", "--check", "ch07/script.py", cwd=tree)
    assert "yours" not in checked.stdout


@pytest.mark.parametrize("edited", USERS)
def test_an_edited_definition_and_its_users_run(edited: str, tmp_path: Path) -> None:
    plain = run("run", "ch07/script.py", cwd=write_own_tree(tmp_path / "plain"))
    tree = write_own_tree(tmp_path / "edited", {edited: "edited = True"})
    done = run("run", "ch07/script.py", cwd=tree)
    assert done.returncode == 0, done.stderr
    own = {name for name, at in whose(done.stdout).items() if not at.startswith("fastseq.")}
    assert own == {edited, *USERS[edited]}
    np.testing.assert_allclose(losses(done.stdout), losses(plain.stdout), rtol=1e-4)
    lines = done.stderr.splitlines()
    told = [line for line in lines if "yours differs from the textbook's and is used" in line]
    assert len(told) == 1
    assert told[0].endswith(f"; --serve {edited} takes fastseq's")
    for name in USERS[edited]:
        assert any(f".{name}" in line and line.endswith(f".{edited}") for line in lines)

    served = run("run", "--serve", edited, "ch07/script.py", cwd=tree)
    assert (served.returncode, served.stderr) == (0, "")
    assert served.stdout == plain.stdout
    assert run("run", "--serve", "all", "ch07/script.py", cwd=tree).stdout == plain.stdout


def test_what_an_edit_changes_is_seen(tmp_path: Path) -> None:
    plain = run("run", "ch07/script.py", cwd=write_own_tree(tmp_path / "plain"))
    tree = write_own_tree(tmp_path / "edited", {"sigmoid": "return x * 0 + 0.25"})
    done = run("run", "ch07/script.py", cwd=tree)
    assert losses(done.stdout) != losses(plain.stdout)


def test_a_broken_definition_fails_as_it_would(tmp_path: Path) -> None:
    tree = write_own_tree(tmp_path, {"TimeLSTM": "here = no_such_name"})
    done = run("run", "ch07/script.py", cwd=tree)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "NameError: name 'no_such_name' is not defined"
    assert str(tree / "common" / "time_layers.py") in done.stderr
    tree = write_own_tree(tmp_path / "more", {"Adam": "x = ("})
    done = run("run", "ch07/script.py", cwd=tree)
    assert done.returncode == 1
    assert "SyntaxError" in done.stderr.splitlines()[-1]
    assert str(tree / "common" / "optimizer.py") in done.stderr
    served = run("run", "--serve", "all", "ch07/script.py", cwd=tree)
    assert (served.returncode, served.stderr) == (0, "")


def test_what_is_added_stands_on_fastseq(tmp_path: Path) -> None:
    tree = write_own_tree(tmp_path)
    path = tree / "common/time_layers.py"
    path.write_text(
        path.read_text(encoding="utf-8") + "\nclass LoudLSTM(TimeLSTM):\n    loud = True\n",
        encoding="utf-8",
    )
    write(tree, {"script.py": "from common.time_layers import *\nprint(LoudLSTM.__mro__)\n"})
    done = run("run", "script.py", cwd=tree)
    assert (done.returncode, done.stderr) == (0, "")
    assert "common.time_layers.LoudLSTM" in done.stdout
    assert "fastseq.layers" in done.stdout
    assert "common.time_layers.TimeLSTM" not in done.stdout


def test_check_tries_what_differs(tmp_path: Path) -> None:
    edits = {"LSTM": "edited = True", "Adam": "eps = 1e-4", "clip_grads": "raise OSError('no')"}
    tree = write_own_tree(tmp_path, edits)
    path = tree / "common/optimizer.py"
    path.write_text(path.read_text(encoding="utf-8").replace("1e-7", "self.eps"), encoding="utf-8")
    done = run("run", "--check", "ch07/script.py", cwd=tree)
    assert done.returncode == 0, done.stderr
    imports, _, differing = done.stdout.partition("\n\n")
    rows = [line.split(": ", 1)[1].split() for line in imports.splitlines()]
    assert ["yours", "common.time_layers:", "LSTM"] in rows
    assert ["yours", "common.time_layers:", "TimeLSTM"] in rows
    assert ["yours", "seq2seq:", "Seq2seq"] in rows
    assert ["served", "seq2seq:", "Decoder"] in rows
    title, *lines = differing.splitlines()
    assert title == "yours, which differ from the textbook's:"
    assert len(lines) == 3
    lstm, adam, clip = lines
    assert lstm.endswith("the same numbers as fastseq's on the inputs tried: --serve LSTM is safe")
    assert adam.startswith("common.optimizer.Adam, line 4: other numbers than fastseq's: result ")
    assert clip.endswith("could not be tried: yours raised OSError: no")


@pytest.mark.parametrize(("names", "hint"), [("Seq2se", "Seq2seq"), ("no.such", None)])
def test_serve_takes_served_names(names: str, hint: str | None, tmp_path: Path) -> None:
    done = run("run", "--serve", names, "ch07/script.py", cwd=write_own_tree(tmp_path))
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert f"serve: expected names that fastseq serves, got {names!r}" in line
    assert hint is None or f"did you mean {hint}?" in line


# ---- install() ----


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An edited tree in `sys.path`; what is installed is uninstalled."""
    monkeypatch.setattr(fingerprints, "published", own_fingerprints)
    monkeypatch.syspath_prepend(tmp_path)
    yield write_own_tree(tmp_path, {"LSTM": "edited = True"})
    uninstall()


def test_install_follows_the_same_rule(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install()
    names: Mapping[str, object] = {}
    exec("from common.time_layers import *", names)  # type: ignore[arg-type]
    assert names["LSTM"].edited  # type: ignore[attr-defined]
    assert names["TimeGRU"] is fastseq.TimeGRU
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("is used; install(serve=['LSTM']) takes fastseq's")
    assert "common.time_layers.TimeLSTM" in second
    layer = names["TimeLSTM"](*(np.ones(s, "f") for s in ((2, 12), (3, 12), 12)))  # type: ignore[operator]
    assert type(pickle.loads(pickle.dumps(layer))) is names["TimeLSTM"]


def test_install_can_serve(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TypeError, match="serve: expected a collection"):
        install(serve="LSTM")
    with pytest.raises(ValueError, match="did you mean LSTM"):
        install(serve=["LSTN"])
    install(serve=["LSTM"])
    names: dict[str, object] = {}
    exec("from common.time_layers import *", names)
    assert names["LSTM"] is fastseq.LSTM
    assert names["TimeLSTM"] is fastseq.TimeLSTM
    assert capsys.readouterr().err == ""
