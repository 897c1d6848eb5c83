"""The folder of an exported model: its files, its program, and what is there already."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastseq import Transducer
from fastseq.interop import to_onnx
from fastseq.models import AttentionSeq2seq, Rnnlm
from support.processes import environment
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer

NAMES = ["README.txt", "encoder.onnx", "greedy.onnx", "model.json", "run.py", "step.onnx"]

WITHOUT_FASTSEQ = """\
import runpy, sys
sys.modules["fastseq"] = sys.modules["fastseq_reference"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def fitted(sources: Any, targets: Any, **settings: Any) -> Transducer:
    settings = {"epochs": 12, "dropout": 0.0, "learning_rate": 0.02, "attention": "dot"} | settings
    return tiny_transducer(**settings).fit(sources, targets, None)


def run_program(folder: Path, *arguments: str, **settings: Any) -> list[str]:
    """The lines that run.py prints in a process that cannot import fastseq."""
    pytest.importorskip("onnxruntime")
    command = [sys.executable, "-c", WITHOUT_FASTSEQ, str(folder / "run.py"), *arguments]
    settings = {"env": environment(), "capture_output": True, "timeout": 100} | settings
    done = subprocess.run(command, text=True, encoding="utf-8", check=False, **settings)
    assert done.returncode == 0, done.stderr
    lines: list[str] = done.stdout.split("\n")[:-1]
    return lines


def test_without_onnx_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "fastseq-kernels\[onnx\]"$'):
        to_onnx(Rnnlm(5, 4, 3), tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


def test_a_transducer_that_is_not_trained_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not trained"):
        to_onnx(Transducer(), tmp_path / "exported")


@pytest.fixture(scope="module")
def model() -> Transducer:
    pytest.importorskip("onnx")
    return fitted(*tiny_pairs())


def test_the_folder_has_all_that_a_program_needs(model: Transducer, tmp_path: Path) -> None:
    to_onnx(model, tmp_path / "a" / "exported")
    folder = tmp_path / "a" / "exported"
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    described = json.loads((folder / "model.json").read_text("ascii"))
    source, target = model.vocabulary_
    assert described["source"]["ids"] == {s: source.encode(s)[0] for s in source.symbols[3:]}
    assert described["target"] == {"form": "char", "symbols": list(target.symbols)}
    assert described["special_ids"] == {"unknown": 0, "start": 1, "end": 2, "padding": 0}
    limits = described["longest_answer"]
    assert (limits["source"], limits["target"]) == tuple(model.lengths_)
    for name, graph in described["graphs"].items():
        loaded = pytest.importorskip("onnx").load(folder / name).graph
        for side, values in (("inputs", loaded.input), ("outputs", loaded.output)):
            shapes = [
                [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
                for value in values
            ]
            assert [each["name"] for each in graph[side]] == [value.name for value in values]
            assert [each["shape"] for each in graph[side]] == shapes
    text = (folder / "README.txt").read_text("utf-8")
    for name in [*described["graphs"], "greedy.onnx", "run.py", "model.json", "answer_lengths"]:
        assert name in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_rule_for_the_longest_answer_is_fastseq_s(model: Transducer, tmp_path: Path) -> None:
    from fastseq.transducer.search.limits import default_steps

    to_onnx(model, tmp_path)
    limits = json.loads((tmp_path / "model.json").read_text("ascii"))["longest_answer"]
    rule = limits["rule"].partition(" symbols")[0]
    functions = {"min": min, "max": max, "ceil": math.ceil}
    for n in (0, 1, 6, 7, 30, 10**6):
        expected = default_steps(np.array([n]), model.lengths_)
        assert eval(rule, functions | limits | {"n": n}) == expected[0]


def test_the_program_answers_without_fastseq(model: Transducer, tmp_path: Path) -> None:
    to_onnx(model, tmp_path)
    words = [*tiny_pairs(20, seed=5)[0], "xyz", "a b", "é", ""]
    assert run_program(tmp_path, *words) == model.predict(words)
    assert run_program(tmp_path, input="".join(f"{word}\n" for word in words)) == model.predict(
        words
    )
    assert run_program(tmp_path, stdin=subprocess.DEVNULL) == []


def test_the_program_splits_as_the_model_does(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    words, capitals = tiny_pairs()
    spaced, spaced_capitals = [" ".join(word) for word in words], [" ".join(c) for c in capitals]
    model = fitted(spaced, spaced_capitals, source_tokens="space", target_tokens="space")
    to_onnx(model, tmp_path / "space")
    texts = [*spaced[:8], "a  </s> b", "<s> <unk> c"]
    assert run_program(tmp_path / "space", *texts) == model.predict(texts)
    model = fitted([list(word) for word in words], [list(word) for word in capitals])
    to_onnx(model, tmp_path / "list")
    answers = model.predict([text.split() for text in texts])
    assert run_program(tmp_path / "list", *texts) == [" ".join(answer) for answer in answers]


def test_the_program_reads_features_and_unicode_as_the_model_does(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    words = [word.replace("a", "É") for word in tiny_pairs()[0]]
    sources = [(word, tags) for word in words for tags in ("V;PST", "N(2)", "")]
    targets = [f"{word}{tags[:1]}".lower() for word, tags in sources]
    model = fitted(
        sources,
        targets,
        columns="source,features,target",
        normalize="NFD",
        lowercase=True,
        epochs=4,
    )
    assert model.vocabulary_.target.text_form.compose
    to_onnx(model, tmp_path)
    texts = [*sources[:9], ("eÉx", "V;PRS"), ("<V>", "")]
    with pytest.warns(UserWarning, match="unknown symbols"):
        answers = model.predict(texts)
    assert any("é" in answer for answer in answers)
    assert run_program(tmp_path, *("\t".join(text) for text in texts)) == answers


def test_the_program_of_the_textbook_s_models_takes_ids(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    np.random.seed(0)
    model = AttentionSeq2seq(13, 5, 8)
    for param in model.params:
        param *= 8
    to_onnx(model, tmp_path)
    expected = model.generate_batch(np.array([[3, 1, 4], [1, 5, 9]]), start_id=2, sample_size=6)
    printed = run_program(tmp_path, "2", "6", "3 1 4", "1 5 9")
    assert [[int(id) for id in line.split()] for line in printed] == expected.tolist()


def test_the_program_of_a_language_model_draws_ids(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    np.random.seed(0)
    model = Rnnlm(13, 5, 8)
    # whatever was read, id 7 follows
    model.params[-1][7] = 100
    to_onnx(model, tmp_path)
    assert run_program(tmp_path, "3", "5") == ["3 7 7 7 7"]


def test_the_same_model_gives_the_same_bytes(model: Transducer, tmp_path: Path) -> None:
    for name in "ab":
        to_onnx(model, tmp_path / name)
    for name in NAMES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_other_files_stay_and_an_earlier_export_is_replaced(
    model: Transducer, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "step.onnx").write_bytes(b"old")
    to_onnx(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*NAMES, "notes.txt"])
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len((tmp_path / "step.onnx").read_bytes()) > 1000
