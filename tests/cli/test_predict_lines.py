"""fastseq predict: lines that are pairs, and answers that were cut."""

import io
import json
import sys
from pathlib import Path

import pytest

from fastseq import Transducer
from fastseq.cli import main
from support.processes import one_line
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer, write_pairs

Capture = pytest.CaptureFixture[str]

PAIRS = tiny_pairs()


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    tiny_transducer().fit(*PAIRS).save(path)
    return path


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))


def test_a_file_of_pairs_is_answered_by_its_sources(
    model_file: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(monkeypatch, write_pairs(tmp_path / "pairs.tsv").read_bytes())
    assert main(["predict", str(model_file), "--json"]) == 0
    captured = capsys.readouterr()
    answers = [json.loads(line) for line in captured.out.splitlines()]
    assert [each["input"] for each in answers] == PAIRS[0]
    expected = Transducer.load(model_file).predict(PAIRS[0])
    assert [each["answers"][0]["text"] for each in answers] == expected
    [said] = [line for line in captured.err.splitlines() if "tab" in line]
    assert said == ("fastseq: <stdin>: of a line with tabs the source is read: source,target")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_blank_line_has_a_blank_answer(
    jobs: str, model_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = Transducer.load(model_file).predict(["ab", "ba"])
    texts = ["", "ab", "  ", "ba"]
    assert main(["predict", str(model_file), "--jobs", jobs, *texts]) == 0
    captured = capfd.readouterr()
    assert captured.out.split("\n") == ["", expected[0], "", expected[1], ""]
    assert captured.err == ""  # spaces are no unknown symbols then
    assert main(["predict", str(model_file), "--jobs", jobs, "--json", *texts]) == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [each["input"] for each in lines] == texts
    assert [len(each["answers"]) for each in lines] == [0, 1, 0, 1]


def test_a_tab_that_the_model_has_learnt_is_part_of_the_text(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_transducer().fit(["a\tb", "b"], ["A", "B"], None).save(tmp_path / "model")
    feed(monkeypatch, b"a\tb\n")
    assert main(["predict", str(tmp_path / "model"), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["input"] == "a\tb"
    assert "tab" not in captured.err


def test_cut_answers_are_counted_and_marked(
    model_file: Path, tmp_path: Path, capsys: Capture
) -> None:
    model = Transducer.load(model_file)
    model.network_.params["output.b"][3] = 20  # the first symbol, always
    model.save(model_file)
    assert main(["predict", str(model_file), "abc", "a", "--json"]) == 0
    captured = capsys.readouterr()
    for line in captured.out.splitlines():
        assert [answer["cut"] for answer in json.loads(line)["answers"]] == [True]
    assert one_line(captured.err) == (
        "fastseq: 2 of 2 answers cut at the longest length that is searched"
    )
    data = write_pairs(tmp_path / "pairs.tsv")
    assert main(["evaluate", str(model_file), str(data)]) == 0
    assert "answers cut        53, at" in capsys.readouterr().out
