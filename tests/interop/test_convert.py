"""fastseq convert of other libraries' files: the layers that from_torch reads from the new file."""

from pathlib import Path

import numpy as np
import pytest

from fastseq.cli import main
from fastseq.float_formats import from_storage, to_storage
from fastseq.interop import from_torch

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_layers_of_another_library_become_safetensors(
    dtype: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, source = tmp_path / "network.safetensors", DATA / "network.pt"
    assert main(["convert", str(source), "-o", str(path), "--dtype", dtype]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"{path}  {path.stat().st_size:,} bytes"
    assert "lstm.weight_ih_l0  12 x 4" in lines
    layers, again = from_torch(source), from_torch(path)
    assert set(again) == set(layers)
    for name, layer in layers.items():
        assert type(again[name]) is type(layer)
        for old, new in zip(layer.params, again[name].params, strict=True):
            if name == "fc" or dtype == "float32":  # one bias each: rounded as they are
                np.testing.assert_array_equal(new, from_storage(to_storage(old, dtype), dtype))
            else:
                np.testing.assert_allclose(new, old, rtol=0.01, atol=1e-4)


def test_what_pytorch_does_not_have_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "network.safetensors"
    assert main(["convert", str(DATA / "keras3.keras"), "-o", str(path)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "before: reset_after: expected True, as PyTorch has no other GRU, got False"
    )
    assert not path.exists()


def test_accuracy_is_of_a_model_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["convert", str(DATA / "network.pt"), "-o", str(tmp_path / "x"), "--data", "x.tsv"]
    assert main(command) == 2
    assert "--data needs a model that fastseq train has saved" in capsys.readouterr().err


def test_layers_that_pytorch_does_not_have_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("h5py")
    path = DATA / "keras3.keras"
    assert main(["convert", str(path), "-o", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"fastseq: error: {path}: before: reset_after: expected True")
    assert not (tmp_path / "out").exists()
