"""What the stable ABI costs: small calls with it and without it, as a table.

Builds the package twice from copies of the sources, one time with FASTSEQ_STABLE_ABI=1, and
measures both in alternating processes. The table has the median over the rounds. The machine must
be idle otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("csrc", "fastseq", "python", "setup.py", "pyproject.toml", "README.md", "LICENSE")

# Prints the best time of each call in microseconds. The sizes are small: a call is mostly overhead.
MEASURE = """
import json, timeit
import numpy as np
from fastseq.layers import Affine, Softmax, TimeEmbedding, TimeLSTM
x = np.ones((1, 4), "f")
lstm = TimeLSTM(np.ones((4, 16), "f"), np.ones((4, 16), "f"), np.ones(16, "f"))
affine, softmax = Affine(np.ones((4, 4), "f"), np.ones(4, "f")), Softmax()
embedding, xs, ids = TimeEmbedding(np.ones((8, 4), "f")), x[:, None], np.zeros((1, 1), int)
calls = {
    "Affine.forward": lambda: affine.forward(x),
    "Affine.backward": lambda: affine.backward(x),
    "Softmax.forward": lambda: softmax.forward(x),
    "TimeEmbedding.forward": lambda: embedding.forward(ids),
    "TimeLSTM.forward": lambda: lstm.forward(xs),
    "TimeLSTM.backward": lambda: lstm.backward(xs),
}
def best(call):
    call()
    return min(timeit.repeat(call, number=2000, repeat=5)) / 2000 * 1e6
print(json.dumps({name: best(call) for name, call in calls.items()}))
"""


def main() -> None:
    """Build, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="of each build (default: 7)")
    rounds = parser.parse_args().rounds
    if rounds < 1:
        parser.error(f"--rounds: expected at least 1, got {rounds}")
    with tempfile.TemporaryDirectory() as folder:
        builds = [build(Path(folder, f"abi-{switch}"), switch) for switch in ("0", "1")]
        measured = [(measure(builds[0]), measure(builds[1])) for _ in range(rounds)]
    print(f"| call, microseconds | one CPython | stable ABI | ratio |\n{'| --- ' * 4}|")
    for name in measured[0][0]:
        own, stable = (statistics.median(each[k][name] for each in measured) for k in (0, 1))
        print(f"| `{name}` | {own:.2f} | {stable:.2f} | {stable / own:.2f} |")


def build(folder: Path, switch: str) -> Path:
    """The folder that the package is installed in."""
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    for generated in folder.glob("fastseq/_kernels/*.c"):
        generated.unlink()
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    options = ["--no-build-isolation", "--no-deps", "--target", folder / "installed", folder]
    settings = os.environ | {"FASTSEQ_STABLE_ABI": switch}
    subprocess.run([*pip, *options], check=True, env=settings)
    return folder / "installed"


def measure(installed: Path) -> dict[str, float]:
    """The time of each call in microseconds, in a new process."""
    settings = os.environ | {"PYTHONPATH": str(installed), "FASTSEQ_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MEASURE]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=settings, cwd=installed)
    times: dict[str, float] = json.loads(done.stdout)
    return times


if __name__ == "__main__":
    main()
