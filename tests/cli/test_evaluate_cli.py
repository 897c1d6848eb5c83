"""fastseq evaluate: errors, details, the oracle, and the page."""

import json
from pathlib import Path

import pytest

from fastseq import Transducer, get_precision
from fastseq.cli import main
from fastseq.transducer.metrics.evaluation import evaluate
from support.processes import one_line
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    model = tiny_transducer(
        hidden_size=32, epochs=15, learning_rate=0.02, dropout=0.0, attention="dot"
    )
    model.fit(*tiny_pairs(300)).save(path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "heldout.tsv"
    words, capitals = tiny_pairs(80, seed=9)
    words, capitals = [*words, words[0]], [*capitals, "A"]  # a source with two right answers
    lines = [f"{word}\t{right}\n" for word, right in zip(words, capitals, strict=True)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def pairs_of(data: Path) -> tuple[list[str], list[str]]:
    fields = [line.split("\t") for line in data.read_text(encoding="utf-8").splitlines()]
    return [source for source, _ in fields], [target for _, target in fields]


def test_wrong_answers_are_written_with_what_was_expected(
    model_file: Path, data: Path, tmp_path: Path, capsys: Capture
) -> None:
    errors = tmp_path / "errors.tsv"
    assert main(["evaluate", str(model_file), str(data), "--errors", str(errors)]) == 0
    head, *lines = errors.read_text(encoding="utf-8").splitlines()
    assert head == "source\texpected\tanswer\tscore\tedits"
    model = Transducer.load(model_file)
    sources, targets = pairs_of(data)
    result = evaluate(model, sources, targets)
    assert 0 < len(lines) == result.words - round(result.words * result.accuracy)
    for line in lines:
        source, expected, answer, score, edits = line.split("\t")
        [[found]] = model.answers([source])
        assert (answer, score) == (found.text, f"{found.score:.6f}")
        accepted = [t for s, t in zip(sources, targets, strict=True) if s == source]
        assert expected == " | ".join(dict.fromkeys(accepted))
        assert answer not in accepted and int(edits) > 0


def test_details_and_oracle_are_printed(model_file: Path, data: Path, capsys: Capture) -> None:
    command = ["evaluate", str(model_file), str(data), "--beam", "3", "--oracle", "3"]
    assert main([*command, "--details"]) == 0
    text = capsys.readouterr().out
    result = evaluate(Transducer.load(model_file), *pairs_of(data), beam_size=3, n_best=3)
    assert result.accuracy < result.oracle
    assert result.oracle < 1 or get_precision() == "bfloat16"
    assert f"oracle of 3        {100 * result.oracle:.2f} %\n" in text
    assert "symbols of the source    words      right\n1 " in text
    assert "expected   answered   times\n" in text
    assert main([*command, "--details", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["oracle"] == result.oracle
    assert sum(each["words"] for each in document["lengths"]) == document["words"]
    assert set(document["confusions"][0]) == {"expected", "got", "times"}
    assert main([*command[:-1], "4"]) == 2
    assert "--oracle 4 needs --beam 4" in one_line(capsys.readouterr().err)


def test_the_page_is_written(model_file: Path, data: Path, tmp_path: Path, capsys: Capture) -> None:
    page = tmp_path / "report.html"
    assert main(["evaluate", str(model_file), str(data), "-o", str(page)]) == 0
    content = page.read_text(encoding="utf-8")
    accuracy = capsys.readouterr().out.splitlines()[1].split()[1]
    assert f"<strong>{accuracy} %</strong> of" in content
    assert str(data) in content and "<h1>fastseq evaluation</h1>" in content
    missing = tmp_path / "nowhere" / "report.html"
    assert main(["evaluate", str(model_file), str(data), "-o", str(missing)]) == 1
    assert str(missing) in one_line(capsys.readouterr().err)


def test_no_file_is_written_over_what_is_read(
    model_file: Path, data: Path, tmp_path: Path, capsys: Capture
) -> None:
    page = str(tmp_path / "page.html")
    cases = [
        (["--errors", str(data)], "--errors: {} is DATA.tsv already", data),
        (["-o", str(model_file)], "-o: {} is MODEL already", model_file),
        (["--errors", page, "-o", page], "-o: {} is --errors already", page),
    ]
    before = data.read_bytes(), model_file.read_bytes()
    for options, message, path in cases:
        assert main(["evaluate", str(model_file), str(data), *options]) == 2
        assert message.format(path) in one_line(capsys.readouterr().err)
    assert (data.read_bytes(), model_file.read_bytes()) == before
