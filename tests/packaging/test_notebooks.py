"""The notebooks of the documentation run, show pictures, and are stored without outputs."""

import base64
import os
import re
from pathlib import Path
from typing import Any

import pytest

import fastseq

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
FASTSEQ = str(Path(fastseq.__file__).parents[1])


def test_there_are_notebooks() -> None:
    assert len(NAMES) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_no_outputs_are_stored(name: str) -> None:
    for cell in nbformat.read(NOTEBOOKS / name, as_version=4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_shows_its_pictures(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.pathsep.join([FASTSEQ, os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()

    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    drawing = [cell for cell in code if cell.source.split("\n")[-1].startswith("plot.")]
    assert len(drawing) >= 2
    for cell in drawing:
        picture = shown(cell, "image/png")
        assert base64.b64decode(picture)[:8] == b"\x89PNG\r\n\x1a\n"
    errors = [text for cell in code for text in streams(cell, "stderr")]
    assert errors == []
    if name == "own_pairs.ipynb":
        (training,) = (cell for cell in code if "model.fit" in cell.source)
        lines = re.findall(
            r"^epoch +\d+   loss", "".join(streams(training, "stdout")), re.MULTILINE
        )
        assert len(lines) == 8
        assert "% of the held-out answers right" in shown(training, "text/html")
        (answered,) = (cell for cell in code if cell.source.startswith("model.predict"))
        assert shown(answered, "text/plain") == "['1994-09-27', '1993-08-10']"


def shown(cell: Any, kind: str) -> Any:
    """What a cell shows for its last line, in one form."""
    (result,) = (each for each in cell.outputs if each.output_type == "execute_result")
    return result.data[kind]


def streams(cell: Any, name: str) -> list[str]:
    """What a cell prints, but for bars, which are text where no widgets are installed."""
    streams = (each for each in cell.outputs if each.output_type == "stream" and each.name == name)
    return [each.text for each in streams if "\r" not in each.text]
