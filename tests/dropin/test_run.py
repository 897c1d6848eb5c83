"""`fastseq run`: the textbook's scripts as they are, from any folder, with fastseq behind them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastseq
import fastseq_reference
from fastseq.cli import _parser, main
from fastseq.data import addition, dates, sequence
from support.dropin.textbook import LANGUAGE_MODEL, OWN_MODEL, sums, write, write_tree
from support.helpers import operand_rounding

Capture = pytest.CaptureFixture[str]

# where the subprocesses find what this one tests
FASTSEQ = Path(fastseq.__file__).parents[1]
REFERENCE = Path(fastseq_reference.__file__).parents[1]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A reader's folder, laid out as the textbook's."""
    return write_tree(tmp_path)


def fastseq_process(
    *arguments: object, cwd: Path, **changes: str
) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(FASTSEQ), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | changes
    return subprocess.run(
        [sys.executable, "-m", "fastseq", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment,
        timeout=120,
    )


def output(*arguments: object, cwd: Path) -> str:
    """Standard output of a run that must succeed in silence."""
    done = fastseq_process(*arguments, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def run_text(text: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(text, encoding="utf-8")
    return fastseq_process("run", "script.py", *arguments, cwd=folder)


# scripts


@pytest.mark.parametrize("place", ["own folder", "tree", "elsewhere"])
@pytest.mark.parametrize("script", ["ch07/train.py", "ch08/own_model.py"])
def test_a_script_runs_from_any_folder(
    script: str, place: str, tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other_tree = tmp_path_factory.mktemp("elsewhere")
    write(other_tree, {"dataset/addition.txt": sums(20), "here/readme.txt": ""})
    folder = {
        "own folder": (tree / script).parent,
        "tree": tree,
        "elsewhere": other_tree / "here",
    }[place]
    result = output("run", os.path.relpath(tree / script, folder), cwd=folder)

    if script.endswith("train.py"):
        np.random.seed(0)
        (x, t), _ = sequence.load_data(tree / "dataset" / "addition.txt")
        model = fastseq.Seq2seq(len(sequence.get_vocab()[0]), 4, 8)
        trainer = fastseq.Trainer(model, fastseq.Adam())
        trainer.fit(x[:, ::-1], t, max_epoch=1, batch_size=16, max_grad=5.0)
        expected = f"loss {trainer.loss_list} 180 True"
        assert result.splitlines()[-1] == expected
    else:
        losses = [float(loss) for loss in result.split()]
        assert len(losses) == 100
        assert losses[-1] < losses[0] / 4


def test_the_users_own_model_is_that_of_plain_numpy(tree: Path) -> None:
    """The script with fastseq behind its names, and with the reference in its place."""
    text = OWN_MODEL
    for line in re.findall("^from .*\n", text, re.MULTILINE):
        text = text.replace(line, "")
    text = (
        f"import sys; sys.path.insert(0, {str(REFERENCE)!r})\n"
        "import numpy as np\n"
        "from fastseq_reference.layers import *\n"
        "from fastseq_reference.models import BaseModel\n"
        "from fastseq_reference.optim import Adam\n" + text
    )
    (tree / "ch08" / "reference.py").write_text(text, encoding="utf-8")
    ours, theirs = (
        [float(loss) for loss in output("run", script, cwd=tree / "ch08").split()]
        for script in ("own_model.py", "reference.py")
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-3 + operand_rounding())


def test_a_script_sees_what_python_would_give_it(tree: Path) -> None:
    script = tree / "ch07" / "look.py"
    script.write_text(
        "import sys, os, pickle\n"
        "class Thing: pass\n"
        "print(__name__, os.path.isabs(__file__), sys.argv, sys.path[0], __doc__, __spec__)\n"
        "print(type(pickle.loads(pickle.dumps(Thing()))) is Thing, __builtins__, Thing)\n",
        encoding="utf-8",
    )
    for arguments in ([], ["--epochs", "5", "--check", "--debug", "-h", "--", "x"]):
        here, there = (
            output("run", script, *arguments, cwd=tree),
            subprocess.run(
                [sys.executable, script, *arguments], text=True, capture_output=True, check=True
            ).stdout,
        )
        assert here == there
    link = tree / "link.py"
    link.symlink_to(script)
    assert f" {script.parent} " in output("run", link, cwd=tree)


def test_the_scripts_own_files_are_found(tree: Path) -> None:
    write(
        tree,
        {
            "common/my_helper.py": "from common.np import *\nvalue = np.arange(3)\n",
            "common/deep/part.py": "from common.my_helper import value\n",
            "dataset/ptb.py": "words = 3\n",
            "ch07/helper.py": "from common.time_layers import TimeLSTM\n",
            "ch08/notes.py": "from . import more\n",
            "ch08/more.py": "",
            "plain.py": "here = True\n",
            "ch07/script.py": "import sys\nsys.path.append('..')\n"
            "import helper, plain\n"
            "from common import my_helper, layers\n"
            "import common.deep.part\n"
            "import ch08.notes\n"
            "from dataset import ptb, sequence\n"
            "print(my_helper.value.sum(), common.deep.part.value, ptb.words, helper.TimeLSTM)\n"
            "import common; print([p for p in common.__path__])\n",
        },
    )
    for folder in (tree, tree / "ch07"):
        result = output("run", tree / "ch07" / "script.py", cwd=folder).splitlines()
        assert result[0] == "3 [0 1 2] 3 <class 'fastseq.layers.recurrent.lstm.TimeLSTM'>"
        assert eval(result[1]) == [str(tree / "common")]


def test_what_the_user_added_to_a_served_module_is_there(tree: Path) -> None:
    write(
        tree,
        {
            "common/layers.py": "from common.np import *\n"
            "class TimeLSTM: pass\n"
            "class Swish:\n    def forward(self, x): return x * np.tanh(x)\n",
            "common/util.py": "print('run')\ndef shout(text): return text.upper()\n",
        },
    )
    script = "from common.layers import *\nprint(Swish().forward(np.zeros(1)))\nprint(MatMul)\n"
    done = run_text(script + "from common.util import shout\nprint(shout('a'))\n", tree)
    assert done.stderr == ""
    assert done.stdout.splitlines()[0] == "[0.]"
    assert done.stdout.splitlines()[2:] == ["run", "A"]
    assert "fastseq" in done.stdout.splitlines()[1]
    done = run_text("from common.util import clip_grads\nprint(clip_grads.__module__)\n", tree)
    assert done.stdout == "run\nfastseq.util\n"


def test_a_missing_name_is_an_import_error_that_names_it(tmp_path: Path) -> None:
    done = run_text("from common.util import no_such_name\n", tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: cannot import name 'no_such_name' from 'common.util'")
    done = run_text("import common.no_such_module\n", tmp_path)
    assert (
        done.stderr.splitlines()[-1]
        == "ModuleNotFoundError: No module named 'common.no_such_module'"
    )


def test_language_models(tmp_path: Path) -> None:
    write(tmp_path, {"ch06/script.py": LANGUAGE_MODEL})
    result = output("run", tmp_path / "ch06" / "script.py", cwd=tmp_path).splitlines()
    plain, words, better, tied = [line for line in result if not line.startswith("|")]
    for line in (plain, better):
        # seven words; the text itself leaves no doubt but after "say"
        assert 1 < float(line.removeprefix("perplexity ")) < 3
    assert words.startswith("goodbye ")
    assert len(words.split()) == 8
    assert tied == "True"
    assert (tmp_path / "model.pkl").is_file()


# data


def test_the_data_file_of_the_tree_then_of_the_current_folder(tree: Path) -> None:
    write(tree, {"ch07/addition.txt": sums(30), "ch07/mine.txt": sums(40)})
    script = tree / "ch07" / "script.py"
    script.write_text(
        "import sys\nsys.path.append('..')\nfrom dataset import sequence\n"
        "(x, _), (y, _) = sequence.load_data(sys.argv[1])\n"
        "print(len(x) + len(y), sequence.id_to_char == sequence.get_vocab()[1], "
        "len(sequence.char_to_id))\n",
        encoding="utf-8",
    )
    for name, count in {"addition.txt": 200, "mine.txt": 40, "../ch07/addition.txt": 30}.items():
        assert output("run", script, name, cwd=tree / "ch07") == f"{count} True 13\n"
    done = fastseq_process("run", script, "nothing.txt", cwd=tree)
    assert done.returncode == 1
    assert str(tree / "dataset") in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "task"), [("addition.txt", addition), ("date.txt", dates)], ids=["addition", "date"]
)
def test_without_a_file_the_data_are_generated(name: str, task: Any, tmp_path: Path) -> None:
    done = run_text(
        f"from dataset import sequence\n(x, t), (y, u) = sequence.load_data('{name}')\n"
        "_, chars = sequence.get_vocab()\n"
        "print(len(x), len(y)); print(''.join(chars[i] for i in [*x[0], *t[0]]))\n",
        tmp_path,
    )
    [note] = done.stderr.splitlines()
    assert note == f"fastseq: {name} is not there: 50000 generated examples are used instead"
    counts, line = done.stdout.splitlines()
    assert counts == "45000 5000"
    question, _, answer = line.partition("_")
    assert len(question) == task.QUESTION_WIDTH
    assert (question.rstrip(), answer.rstrip()) in task.generate(50_000)
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


# the GPU switch


@pytest.mark.parametrize(
    "script",
    [
        "from common import config\nconfig.GPU = True\nconfig.GPU = True\n",
        "import sys\nsys.path.append('..')\nimport common.config\n",
    ],
    ids=["in the script", "in the config"],
)
def test_a_gpu_gets_one_line(script: str, tree: Path) -> None:
    if "GPU" not in script:
        write(tree, {"common/config.py": "GPU = True\n"})
    script += (
        "from common.np import *\nfrom common.config import GPU\n"
        "from common import config\nprint(np.__name__, GPU, config.GPU)\n"
    )
    done = run_text(script, tree / "ch07")
    assert done.stderr == "fastseq: GPU = True is ignored: fastseq computes on the CPU\n"
    assert done.stdout == "numpy False False\n"


# the end of a script


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("", 0, ""),
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('no data')", 1, "no data\n"),
        ("import signal; signal.raise_signal(signal.SIGINT)", 130, "fastseq: interrupted\n"),
    ],
)
def test_the_exit_status_is_the_scripts(code: str, status: int, error: str, tmp_path: Path) -> None:
    done = run_text(f"print('out')\n{code}\n", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (status, "out\n", error)


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    return 1 / 0\n\nf()\n",
        "x = (\n",
        "try:\n    {}['a']\nexcept KeyError:\n    raise ValueError('b')\n",
        "import sys\nsys.excepthook = lambda *_: print('hook', file=sys.stderr)\n1 / 0\n",
        "import broken\n",
    ],
    ids=["error", "syntax", "chained", "hook", "imported"],
)
def test_a_failing_script_shows_its_traceback_as_python_does(text: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import json\njson.loads('{')\n", encoding="utf-8")
    ours = run_text(text, tmp_path)
    script = tmp_path / "script.py"
    theirs = subprocess.run([sys.executable, script], text=True, capture_output=True, cwd=tmp_path)
    assert ours.returncode == theirs.returncode == 1
    assert ours.stderr == theirs.stderr
    assert ours.stderr != ""


def test_usage(capsys: Capture) -> None:
    assert main(["run"]) == 2
    assert "SCRIPT.py" in capsys.readouterr().err
    assert main(["run", "--help"]) == 0
    _, _, examples = capsys.readouterr().out.partition("examples:\n")
    lines = [line for line in examples.splitlines() if line.startswith("  fastseq ")]
    assert len(lines) == 5
    for line in lines:
        arguments = _parser().parse_args(re.split("  +", line.strip())[0].split()[1:])
        assert arguments.script.endswith(".py")
        assert arguments.check == ("--check" in line)
        assert arguments.arguments == (["--epochs", "5"] if "epochs" in line else [])


def test_a_script_that_is_not_there_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    for options in ([], ["--check"]):
        assert main(["run", *options, str(tmp_path / "none.py")]) == 1
        [line] = capsys.readouterr().err.splitlines()
        assert line == f"fastseq: error: {tmp_path / 'none.py'}: No such file or directory"
