"""Trained models that are installed: their names in place of a file, and fastseq models."""

import json
from pathlib import Path
from typing import Any

import pytest

from fastseq import Ensemble, Transducer
from fastseq.cli import main
from fastseq.installed import ENTRIES
from support.processes import one_line
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer, write_pairs

Capture = pytest.CaptureFixture[str]

DESCRIPTION = {name: f"the {name}" for name in ENTRIES}


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    untrained = [tiny_transducer(attention="dot", epochs=20, seed=seed) for seed in (4, 5)]
    trained = [model.fit(*tiny_pairs()) for model in untrained]
    return {"capitals": trained[0], "several": Ensemble(trained)}


@pytest.fixture
def package(models: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution with two models, whose package may not be imported."""
    site = tmp_path / "site"
    package = site / "some_models"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')\n")
    for name, model in models.items():
        model.save(package / f"{name}.safetensors")
        (package / f"{name}.json").write_text(json.dumps(DESCRIPTION))
    metadata = site / "some_models-2.5.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: some-models\nVersion: 2.5\n")
    lines = [f"{name} = some_models\n" for name in models]
    (metadata / "entry_points.txt").write_text("".join(["[fastseq.models]\n", *lines]))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.syspath_prepend(site)
    return package


def test_python_loads_a_name(package: Path, models: dict[str, Any]) -> None:
    words = tiny_pairs(seed=1)[0]
    assert Transducer.load("capitals").predict(words) == models["capitals"].predict(words)
    assert Ensemble.load("several").predict(words) == models["several"].predict(words)
    together = Ensemble.load("capitals", "several")
    assert len(together.members_) == 3


@pytest.mark.parametrize("name", ["capitals", "several"])
def test_predict_answers_by_a_name(
    name: str, package: Path, models: dict[str, Any], capsys: Capture
) -> None:
    assert main(["predict", name, "abc", "fed"]) == 0
    assert capsys.readouterr().out.splitlines() == models[name].predict(["abc", "fed"])


@pytest.mark.parametrize(
    ("command", "made"),
    [
        ("evaluate capitals pairs.tsv", ""),
        ("evaluate capitals pairs.tsv --model several", ""),
        ("attention capitals abc -o map.svg", "map.svg"),
        ("convert capitals -o half.safetensors --dtype bfloat16", "half.safetensors"),
        ("export capitals -o folder", "folder/greedy.onnx"),
        ("info capitals", ""),
        ("train pairs.tsv -o new.safetensors --from capitals --epochs 1", "new.safetensors"),
    ],
)
def test_every_command_takes_a_name(
    command: str, made: str, package: Path, capsys: Capture
) -> None:
    write_pairs(Path("pairs.tsv"))
    if command.startswith("export"):
        pytest.importorskip("onnx")
    assert main(command.split()) == 0, capsys.readouterr().err
    assert not made or Path(made).is_file()


def test_a_file_of_the_name_comes_first(package: Path, models: dict[str, Any]) -> None:
    models["several"].save("capitals")
    assert len(Ensemble.load("capitals").members_) == 2
    Path("several").mkdir()
    with pytest.raises(OSError, match="several"):
        Ensemble.load("several")


def test_an_unknown_name_lists_those_that_are_installed(package: Path, capsys: Capture) -> None:
    assert main(["predict", "capital", "abc"]) == 1
    assert one_line(capsys.readouterr().err) == (
        "fastseq: error: capital: No such file or directory, nor a model of this name; "
        "installed: capitals, several"
    )


@pytest.mark.parametrize("path", ["capitals.safetensors", "folder/capitals"])
def test_a_path_is_no_name(path: str, package: Path, capsys: Capture) -> None:
    assert main(["predict", path, "abc"]) == 1
    assert one_line(capsys.readouterr().err).endswith(f"{path}: No such file or directory")


def test_models_lists_what_is_installed(package: Path, capsys: Capture) -> None:
    assert main(["models"]) == 0
    printed = capsys.readouterr().out.splitlines()
    size = (package / "capitals.safetensors").stat().st_size
    assert printed[:9] == [
        "capitals: the description",
        "  language  the language",
        "  source    the source",
        "  target    the target",
        "  accuracy  the accuracy",
        "  data      the data",
        "  licence   the licence",
        "  version   some-models 2.5",
        f"  size      {size:,} bytes",
    ]
    assert main(["models", "--json"]) == 0
    listed = {each.pop("name"): each for each in json.loads(capsys.readouterr().out)["models"]}
    assert list(listed) == ["capitals", "several"]
    assert listed["capitals"] == DESCRIPTION | {
        "bytes": size,
        "file": str(package / "capitals.safetensors"),
        "version": "some-models 2.5",
    }


def test_no_models_are_said_to_be_none(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr("fastseq.installed.entry_points", lambda group: ())
    assert main(["models"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert one_line(captured.err).startswith("fastseq: no models are installed; `make models`")
    assert main(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"models": []}


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ("{", "expected JSON"),
        ("[]", "expected an object, got list"),
        (json.dumps(DESCRIPTION | {"data": 1}), "data: expected a text, got int"),
        (json.dumps({"description": ""}), "language: expected a text, got no such entry"),
    ],
)
def test_a_damaged_description_is_named(
    description: str, reason: str, package: Path, capsys: Capture
) -> None:
    path = package / "capitals.json"
    path.write_text(description)
    assert main(["models"]) == 1
    assert one_line(capsys.readouterr().err) == f"fastseq: error: {path}: {reason}"


def test_what_is_registered_without_a_package_is_no_model(package: Path, capsys: Capture) -> None:
    registered = package.parent / "some_models-2.5.dist-info" / "entry_points.txt"
    with registered.open("a") as file:
        file.write("absent = no_such_package_here\nattribute = some_models:capitals\n")
    assert main(["predict", "absent", "abc"]) == 1
    error = one_line(capsys.readouterr().err)
    assert error.endswith("installed: capitals, several")
