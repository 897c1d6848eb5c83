"""The examples of docs/partitions.md run, where the packages that they import are installed."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastseq

PAGE = Path(__file__).parents[2] / "docs" / "partitions.md"
FIRST, *EXAMPLES = re.findall("^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
PACKAGES = ("joblib", "dask", "distributed", "pandas", "pyarrow", "pyspark", "sklearn", "optuna")

pytestmark = pytest.mark.slow


def run(text: str, folder: Path) -> None:
    script = folder / "example.py"
    script.write_text(text, encoding="utf-8")
    variables = os.environ | {
        "PYTHONPATH": str(Path(fastseq.__file__).parents[1]),
        "FASTSEQ_NUM_THREADS": "1",
        "PYSPARK_PYTHON": sys.executable,
    }
    done = subprocess.run(
        [sys.executable, script], cwd=folder, capture_output=True, text=True, env=variables
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model that the examples share."""
    path = tmp_path_factory.mktemp("partitions")
    run(FIRST, path)
    assert (path / "dates.safetensors").is_file()
    return path


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs(number: int, folder: Path) -> None:
    text = EXAMPLES[number]
    for package in PACKAGES:
        if package in text and importlib.util.find_spec(package) is None:
            pytest.skip(f"no package {package}")
    if "pyspark" in text and shutil.which("java") is None:
        pytest.skip("no Java")
    run(text, folder)
