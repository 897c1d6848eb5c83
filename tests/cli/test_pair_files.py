"""fastseq train, predict, evaluate on files of columns and lexicons, and on unknown symbols."""

import io
import json
import sys
from pathlib import Path

import pytest

from fastseq import Transducer
from fastseq.cli import main
from support.transducer.tiny_transducer import OPTIONS, tiny_pairs, tiny_transducer, weights

Capture = pytest.CaptureFixture[str]

WORDS, CAPITALS = tiny_pairs()
ENDINGS = {"V;PST": "di", "V;PRS": "er"}
FORMS = [(word, tags) for word in WORDS[:20] for tags in ENDINGS]
INFLECTED = [word + ENDINGS[tags] for word, tags in FORMS]
COLUMNS = "source,features,target"


def write(path: Path, rows: list[tuple[str, ...]]) -> str:
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def inflected(tmp_path: Path) -> str:
    rows = [(*source, target) for source, target in zip(FORMS, INFLECTED, strict=True)]
    return write(tmp_path / "forms.tsv", rows)


@pytest.fixture
def model_file(tmp_path: Path) -> str:
    path = tmp_path / "model.safetensors"
    tiny_transducer().fit(WORDS, CAPITALS).save(path)
    return str(path)


def test_the_model_remembers_the_columns(inflected: str, tmp_path: Path, capsys: Capture) -> None:
    output = str(tmp_path / "m")
    assert main(["train", inflected, "-o", output, "--columns", COLUMNS, *OPTIONS]) == 0
    expected = tiny_transducer(columns=COLUMNS).fit(FORMS, INFLECTED)
    assert weights(Transducer.load(output)) == weights(expected)
    capsys.readouterr()
    answers = expected.predict(FORMS[:1])
    # with the columns of the file, or with the source and its features alone
    for line in ("\t".join(FORMS[0]), "\t".join((*FORMS[0], INFLECTED[0]))):
        assert main(["predict", output, line]) == 0
        assert capsys.readouterr().out.splitlines() == answers
    assert main(["predict", output, "abc"]) == 1
    error = capsys.readouterr().err
    assert "TEXT 1: expected the columns source,features with tabs between them" in error
    assert main(["evaluate", output, inflected, "--json"]) == 0
    right = json.loads(capsys.readouterr().out)["accuracy"]
    assert right == pytest.approx(expected.score(FORMS, INFLECTED))
    other = write(
        tmp_path / "other.tsv",
        [(target, *source) for source, target in zip(FORMS, INFLECTED, strict=True)],
    )
    columns = "source=2,features=3,target=1"
    assert main(["evaluate", output, other, "--json", "--columns", columns]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == right


def test_names_of_a_header_become_numbers(inflected: str, tmp_path: Path, capsys: Capture) -> None:
    path, output = tmp_path / "named.tsv", str(tmp_path / "m")
    path.write_text(f"lemma\tmsd\tform\n{Path(inflected).read_text()}", encoding="utf-8")
    columns = "target=form,source=lemma,features=msd"
    assert main(["train", str(path), "-o", output, "--columns", columns, *OPTIONS]) == 0
    captured = capsys.readouterr()
    assert (
        captured.err
        == f"fastseq: {path}: the first line is a header (--no-header reads it as a pair)\n"
    )
    assert captured.out.startswith("40 pairs in ")
    model = Transducer.load(output)
    assert model.columns == "source=1,features=2,target=3"
    expected = tiny_transducer(columns=COLUMNS).fit(FORMS, INFLECTED)
    assert weights(model) == weights(expected)
    assert main(["evaluate", output, str(path)]) == 0


def test_weights_of_a_file(tmp_path: Path) -> None:
    rows = [(*pair, str(1 + n % 2)) for n, pair in enumerate(zip(WORDS, CAPITALS, strict=True))]
    path, output = write(tmp_path / "pairs.tsv", rows), str(tmp_path / "m")
    command = ["train", path, "-o", output, "--columns", "source,target,weight", *OPTIONS]
    assert main(command) == 0
    expected = tiny_transducer(columns="source,target,weight")
    expected.fit(WORDS, CAPITALS, sample_weight=[1 + n % 2 for n in range(len(WORDS))])
    assert weights(Transducer.load(output)) == weights(expected)


def test_a_lexicon_is_trained_and_evaluated(tmp_path: Path, capsys: Capture) -> None:
    path, output = tmp_path / "dict", str(tmp_path / "m")
    lines = [f"{word}  {' '.join(word.upper())} # x\n" for word in WORDS]
    path.write_text(";;; words\n" + "".join(lines), encoding="utf-8")
    command = ["train", str(path), "-o", output, "--format", "lexicon", *OPTIONS]
    assert main(command) == 0
    expected = tiny_transducer(target_tokens="space")
    expected.fit(WORDS, [" ".join(word) for word in CAPITALS])
    assert weights(Transducer.load(output)) == weights(expected)
    assert main(["evaluate", output, str(path), "--format", "lexicon"]) == 0
    assert f"words              {len(set(WORDS))}" in capsys.readouterr().out


@pytest.mark.parametrize("columns", ["source", "source,target,what", "source=0,target=1"])
def test_columns_that_are_none_are_wrong_usage(columns: str, capsys: Capture) -> None:
    assert main(["train", "x.tsv", "-o", "m", "--columns", columns]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "argument --columns: expected the columns in their order" in line


def test_what_is_left_out_and_decomposed_is_said(tmp_path: Path, capsys: Capture) -> None:
    syllables = [chr(0xAC00 + 588 * first + 28 * vowel) for first in range(9) for vowel in range(9)]
    rows = [(text, text) for text in [*syllables, "가나다라"]]
    path = write(tmp_path / "pairs.tsv", rows)
    command = ["train", path, "-o", str(tmp_path / "m"), "--max-length", "4", *OPTIONS]
    assert main([*command, "--epochs", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"82 pairs in {path}"
    assert lines[1] == "1 pair of more than 4 symbols is left out"
    assert lines[2] == "sources are read in the Unicode form NFD, 18 symbols"
    assert lines[3] == "targets are read in the Unicode form NFD, 18 symbols"


def test_unknown_symbols_are_counted_once(
    model_file: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    lines = ["abc", "é", "aéx", *["fed"] * 5000]
    content = "".join(f"{line}\n" for line in lines).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert main(["predict", model_file, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == (
        "fastseq: 3 unknown symbols in 2 of 5,003 sources, which the training data did not have: "
        "'é' (2), 'x' (1); read as unknown\n"
    )
    objects = [json.loads(line) for line in captured.out.splitlines()]
    assert [each.get("unknown") for each in objects[:4]] == [None, ["é"], ["é", "x"], None]


def test_unknown_symbols_are_an_error_or_left_out(
    model_file: str, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["predict", model_file, "abc", "aé", "--unknown", "error"]) == 1
    captured = capsys.readouterr()
    assert captured.err == (
        "fastseq: error: TEXT 2: expected symbols that the training data had, got 'é'\n"
    )
    assert main(["predict", model_file, "aéb", "--unknown", "drop"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == Transducer.load(model_file).predict(["ab"])
    assert captured.err.endswith("'é' (1); left out\n")
    assert main(["predict", model_file, "é", "--unknown", "ignore"]) == 0
    assert capsys.readouterr().err == ""
    path = write(tmp_path / "pairs.tsv", [("abc", "ABC"), ("aéb", "AB")])
    assert main(["evaluate", model_file, path]) == 0
    assert "1 unknown symbol in 1 of 2 sources" in capsys.readouterr().err
    assert main(["evaluate", model_file, path, "--unknown", "error"]) == 1
    assert f"{path}, pair 2: expected symbols" in capsys.readouterr().err


def test_an_answer_has_at_most_so_many_symbols(model_file: str, capsys: Capture) -> None:
    assert main(["predict", model_file, "abcdef", "--max-length", "2"]) == 0
    answer = Transducer.load(model_file).predict(["abcdef"], max_length=2)
    assert capsys.readouterr().out.splitlines() == answer
