"""A checkout that nothing was compiled in says so, where it is imported instead of the package."""

import shutil
import subprocess
import sys
from pathlib import Path

import fastseq


def test_sources_without_modules_say_what_to_do(tmp_path: Path) -> None:
    package = Path(fastseq.__file__).parent
    compiled = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(package, tmp_path / "fastseq", ignore=compiled)
    command = [
        sys.executable,
        "-P",
        "-c",
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; import fastseq",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: {tmp_path / 'fastseq' / '_kernels'} holds the sources of")
    assert "pip install -e ." in last
