"""`fastseq train` and `info`: what they say of the final epochs."""

import json
from pathlib import Path

import pytest

from fastseq import Ensemble, Transducer
from fastseq.cli import main
from support.transducer.tiny_transducer import (
    OPTIONS,
    tiny_pairs,
    tiny_transducer,
    weights,
    write_pairs,
)

PAIRS = tiny_pairs()
Capture = pytest.CaptureFixture[str]


def test_train_tells_of_the_final_epochs(tmp_path: Path, capsys: Capture) -> None:
    data = write_pairs(tmp_path / "pairs.tsv")
    output, curve = tmp_path / "out.safetensors", tmp_path / "curve.svg"
    options = [*OPTIONS, "--final-epochs", "2", "--curve", str(curve)]
    assert main(["train", str(data), "-o", str(output), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:15] for line in lines[-3:-1]] == ["final epoch   1", "final epoch   2"]
    assert lines[-1].startswith("model of epoch ")
    assert lines[-1].endswith(f" and 2 on all pairs in {output}")
    assert weights(Transducer.load(output)) == weights(tiny_transducer(final_epochs=2).fit(*PAIRS))
    assert main(["info", str(output)]) == 0
    assert capsys.readouterr().out.endswith("; then 2 on all pairs\n")


def test_an_ensemble_tells_of_those_of_each_model(tmp_path: Path, capsys: Capture) -> None:
    data, output = write_pairs(tmp_path / "pairs.tsv"), tmp_path / "two"
    options = [*OPTIONS, "--final-epochs", "1", "--ensemble", "2"]
    assert main(["train", str(data), "-o", str(output), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    final = [line.split("   loss")[0] for line in lines if "final epoch " in line]
    assert sorted(final) == ["model 1   final epoch   1", "model 2   final epoch   1"]
    assert lines[-1].startswith("ensemble of 2 models of epochs ")
    assert lines[-1].endswith(f" and 1 on all pairs in {output}")
    first = Ensemble.load(output).members_[0]
    assert weights(first) == weights(tiny_transducer(final_epochs=1).fit(*PAIRS))


def test_pairs_of_ones_own_leave_them_out(tmp_path: Path, capsys: Capture) -> None:
    data, output = write_pairs(tmp_path / "pairs.tsv"), tmp_path / "model"
    options = [*OPTIONS, "--final-epochs", "auto", "--valid", str(data)]
    assert main(["train", str(data), "-o", str(output), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "final_epochs 0" in lines[1]
    assert "on all pairs" not in lines[-1]
    assert main(["info", str(output), "--json"]) == 0
    [model] = json.loads(capsys.readouterr().out)["models"]
    assert model["hyperparameters"]["final_epochs"] == 0
