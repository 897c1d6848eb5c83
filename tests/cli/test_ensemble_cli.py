"""fastseq with several models: train --ensemble, and the commands that take such a file."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fastseq import Ensemble, Transducer
from fastseq.cli import main
from fastseq.transducer.metrics.evaluation import evaluate
from support.processes import one_line
from support.transducer.tiny_transducer import (
    OPTIONS,
    tiny_pairs,
    tiny_transducer,
    weights,
    write_pairs,
)

Capture = pytest.CaptureFixture[str]

PAIRS = tiny_pairs()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs.tsv")


@pytest.fixture
def ensemble_file(tmp_path: Path) -> Path:
    path = tmp_path / "ensemble.safetensors"
    Ensemble([tiny_transducer(seed=seed).fit(*PAIRS) for seed in (4, 5)]).save(path)
    return path


def test_train_writes_one_file_of_several_models(
    data: Path, ensemble_file: Path, tmp_path: Path, capsys: Capture
) -> None:
    output, log, curve = (str(tmp_path / name) for name in ("out", "log.jsonl", "curve.svg"))
    command = ["train", str(data), "-o", output, "--ensemble", "2", "--seed", "4", *OPTIONS]
    assert main([*command, "--log", log, "--curve", curve]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    first, *epochs, chosen, last = captured.out.splitlines()
    assert first == f"60 pairs in {data}"
    assert chosen.startswith("chosen for these pairs: ")
    starts = sorted(re.sub(r" +", " ", line.partition("loss")[0]) for line in epochs)
    assert starts == [f"model {model} epoch {epoch} " for model in (1, 2) for epoch in (1, 2, 3)]
    assert re.fullmatch(r"ensemble of 2 models of epochs \d, \d in .*out", last)
    assert Path(output).read_bytes() == ensemble_file.read_bytes()
    assert (tmp_path / "log.2.jsonl").is_file()
    assert "model 2" in Path(curve).read_text(encoding="utf-8")


def test_every_second_model_of_many_pairs_has_hard_attention(
    tmp_path: Path, capsys: Capture
) -> None:
    data, output = tmp_path / "pairs.tsv", tmp_path / "out"
    pairs = zip(*tiny_pairs(5_000), strict=True)
    data.write_text("".join(f"{source}\t{target}\n" for source, target in pairs))
    options = ["--ensemble", "3", "--valid", "none", "--epochs", "1", "--hidden-size", "4"]
    assert main(["train", str(data), "-o", str(output), *options]) == 0
    assert (
        "\nchosen for these pairs: layers 2, attention dot and hard, dr" in capsys.readouterr().out
    )
    members = Ensemble.load(output).members_
    assert [model.params_["attention"] for model in members] == ["dot", "hard", "dot"]


def test_predict_and_evaluate_take_an_ensemble(
    ensemble_file: Path, data: Path, capsys: Capture
) -> None:
    loaded = Ensemble.load(ensemble_file)
    assert main(["predict", str(ensemble_file), "abc", "fed", "--beam", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == loaded.predict(["abc", "fed"], 2)
    assert main(["evaluate", str(ensemble_file), str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == evaluate(loaded, *PAIRS).accuracy


def test_several_files_answer_together(
    ensemble_file: Path, tmp_path: Path, data: Path, capsys: Capture
) -> None:
    other = tmp_path / "other"
    tiny_transducer(seed=9, hidden_size=16).fit(*PAIRS).save(other)
    together = Ensemble.load(ensemble_file, other)
    command = ["predict", str(ensemble_file), "--model", str(other), "--scores", "abc", "fed"]
    assert main(command) == 0
    answers, scores = together.predict(["abc", "fed"], return_scores=True)
    expected = [f"{answer}\t{score:.6f}" for answer, score in zip(answers, scores, strict=True)]
    assert capsys.readouterr().out.splitlines() == expected

    tiny_transducer().fit(["xyz"], ["XYZ"], validation=None).save(other)
    for command in (["predict", str(ensemble_file)], ["evaluate", str(ensemble_file), str(data)]):
        assert main([*command, "--model", str(other)]) == 1
        assert "models[2]: expected the source vocabulary of models[0]" in one_line(
            capsys.readouterr().err
        )


@pytest.mark.parametrize("command", ["convert", "export"])
def test_what_takes_one_model_says_so(
    command: str, ensemble_file: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert main([command, str(ensemble_file), "-o", str(tmp_path / "out")]) == 1
    assert one_line(capsys.readouterr().err) == (
        f"fastseq: error: {ensemble_file}: expected a file of the format fastseq.transducer, got "
        "an ensemble, which fastseq.Ensemble.load reads"
    )


def test_an_ensemble_of_one_is_a_model(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert main(["train", str(data), "-o", str(output), "--ensemble", "1", *OPTIONS]) == 0
    assert weights(Transducer.load(output)) == weights(tiny_transducer().fit(*PAIRS))


def test_info_says_what_is_in_a_file(ensemble_file: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["info", str(ensemble_file)]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"an ensemble of 2 models in {ensemble_file}"
    members = Ensemble.load(ensemble_file).members_
    assert lines[0] == repr(members[0])
    assert [line.strip() for line in lines[4:]] == members[1].summary()
    assert lines[1].endswith("weights, symbols: 9 of sources, 9 of targets")
    assert re.match(r"  best of 3 epochs: \d, loss \d.*% of the held-out answers right$", lines[2])
    single = tmp_path / "single"
    members[0].save(single)
    assert main(["info", str(single), "--json"]) == 0
    [model] = json.loads(capsys.readouterr().out)["models"]
    assert model["hyperparameters"] == members[0].get_params()
    assert model["history"] == members[0].history_
    assert main(["info", str(tmp_path / "none")]) == 1
    assert one_line(capsys.readouterr().err).endswith("none: No such file or directory")


def test_ctrl_c_saves_the_models_so_far(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    command = ["train", str(data), "-o", str(output), "--ensemble", "2", *OPTIONS]
    process = subprocess.Popen(
        [sys.executable, "-m", "fastseq", *command, "--epochs", "1000000", "--patience", "none"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"FASTSEQ_NUM_THREADS": "2"},  # with one thread model 2 waits for model 1
    )
    assert process.stdout is not None
    begun: set[str] = set()
    while not {"model 1", "model 2"} <= begun:
        begun.add(process.stdout.readline()[:7])
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.search(
        r"interrupted: the ensemble of 2 models of epochs \d+, \d+ is in .*out$", errors
    )
    assert len(Ensemble.load(output).members_) == 2
