"""Trees of a reader's that do more than define: a script prints what it prints in plain Python."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastseq.dropin import install, uninstall
from support.dropin.textbook import write
from support.processes import environment

ADD = "import sys\nsys.path.append('..')\n"
CLIP = "def clip_grads(grads, max_norm):\n    return 'mine'\n"

# The files of each tree; the script is ch07/s.py. None of it needs more than the standard library.
TREES = {
    "the script does not extend sys.path, a file that it imports does": {
        "ch07/seq2seq.py": ADD,
        "common/util.py": CLIP,
        "ch07/s.py": "import seq2seq\nfrom common.util import clip_grads\n"
        "print(clip_grads([], 1))\n",
    },
    "a file seeds a generator": {
        "common/util.py": "import random\nrandom.seed(3)\n",
        "ch07/s.py": f"{ADD}import random\nimport common.util\nprint(random.random())\n",
    },
    "a file changes another module": {
        "common/util.py": "import math\nmath.tau = 7\n",
        "ch07/s.py": f"{ADD}import math\nimport common.util\nprint(math.tau)\n",
    },
    "a file prints": {
        "common/util.py": "print('util')\n",
        "ch07/s.py": f"{ADD}import common.util\nprint('script')\n",
    },
    "an addition is passed on by star imports": {
        "common/layers.py": "class Swish:\n    name = 'swish'\n",
        "common/time_layers.py": "from common.layers import *\n",
        "ch07/s.py": f"{ADD}from common.time_layers import *\nprint(Swish.name)\n",
    },
    "a package imports from its own files": {
        "ch07/__init__.py": "from .seq2seq import *\n",
        "ch07/seq2seq.py": "class Encoder:\n    name = 'mine'\nclass Extra: pass\n",
        "ch08/s.py": "",
        "ch07/s.py": f"{ADD}from ch07 import Encoder, Extra\nprint(Encoder.name, Extra.__name__)\n",
    },
    "a flag of a module is set": {
        "common/util.py": "DEBUG = False\ndef show(): return DEBUG\n",
        "ch07/s.py": f"{ADD}from common import util\nutil.DEBUG = True\nprint(util.show())\n",
    },
    "a variable of a module changes": {
        "common/util.py": "count = 0\ndef step():\n    global count\n    count += 1\n",
        "ch07/s.py": f"{ADD}from common import util\nprint(util.count)\nutil.step()\n"
        "print(util.count)\n",
    },
}


@pytest.mark.parametrize("name", TREES)
def test_the_same_output(name: str, tmp_path: Path) -> None:
    write(tmp_path, {"common/__init__.py": "", **TREES[name]})
    outputs = []
    for command in (["s.py"], ["-m", "fastseq", "run", "s.py"]):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path / "ch07",
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    uninstall()


def test_a_reload_reads_the_file_again(tree: Path) -> None:
    write(tree, {"common/util.py": "def mine(): return 1\n"})
    install()
    util = importlib.import_module("common.util")
    assert util.mine() == 1
    write(tree, {"common/util.py": f"def mine(): return 22\n{CLIP}"})
    importlib.reload(util)
    assert util.mine() == 22
    assert util.clip_grads([], 1) == "mine"
