"""Columns of files of pairs, headers, weights, and pronunciation lexicons."""

from pathlib import Path
from typing import Any

import pytest

from fastseq.transducer.data.columns import Columns
from fastseq.transducer.data.lexicon import read_lexicon
from fastseq.transducer.data.tsv import PairFile, read_pairs


def read(content: str, tmp_path: Path, **options: Any) -> PairFile:
    path = tmp_path / "pairs.tsv"
    path.write_text(content, encoding="utf-8")
    return read_pairs(path, **options)


ORDERS = {
    "source,features,target": "gel\tV;PST\tgeldi\n",
    "target,-,features,source": "geldi\tx\tV;PST\tgel\n",
    "source=2,features=4,target=1": "geldi\tgel\tx\tV;PST\ty\n",
    "source=lemma,target=form,features=tags": "form\ttags\tlemma\ngeldi\tV;PST\tgel\n",
}


@pytest.mark.parametrize(("columns", "content"), ORDERS.items())
def test_columns_are_listed_numbered_or_named(columns: str, content: str, tmp_path: Path) -> None:
    found = read(content, tmp_path, columns=columns)
    assert (found.sources, found.targets) == ([("gel", "V;PST")], ["geldi"])
    assert found.weights is None
    # what is stored in a model has numbers
    assert not found.columns.names
    again = Columns.parse(found.columns.description())
    assert again.features == found.columns.features


def test_several_columns_of_features_and_weights(tmp_path: Path) -> None:
    found = read(
        "a\tN\tb\t2\tPL\nc\t\td\t0\t\n",
        tmp_path,
        columns="source,features,target,weight,features",
    )
    assert found.sources == [("a", "N", "PL"), ("c", "", "")]
    assert found.weights == [2.0, 0.0]


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        ("a\tb\tc\n", "source,target", r"got 2 tabs: 'a\\tb\\tc'; --columns says which"),
        ("a\tb\n", "source,features,target", "the columns source,features,target with tabs .* 2 f"),
        ("a\tb\tc\td\n", "source,features,target", "with tabs between them, got 3 tabs"),
        ("a\tb\n", "source=1,target=3", "the columns source=1,target=3 with tabs .* got 2 fields"),
        ("\tN\tb\n", "source,features,target", "got an empty source"),
        ("a\tb\tx\n", "source,target,weight", "line 1: expected as weight a number .* got 'x'"),
        ("a\tb\t-1\n", "source,target,weight", "line 1: expected as weight a number .* got '-1'"),
        ("a\tb\tinf\n", "source,target,weight", "line 1: expected as weight a number .* 'inf'"),
        ("lemma\tform\na\tb\n", "source=word,target=form", "the header's, lemma, form; got 'word'"),
        ("source\ttarget\n", "source,target", "expected at least one line, got a header alone"),
    ],
)
def test_a_line_that_does_not_fit_is_refused(
    content: str, columns: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        read(content, tmp_path, columns=columns)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "source",
        "source,source,target",
        "source,target=2",
        "source=0,target=1",
        "a,b",
        "source=,",
        "source=1,target=1",
        "source,target,weight,weight",
        "source=1,target=2,weight",
    ],
)
def test_descriptions_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="columns: expected the columns in their order"):
        Columns.parse(text)


def test_a_header_is_recognised_by_its_words(tmp_path: Path) -> None:
    assert read("Source\tTarget\na\tb\n", tmp_path) == (
        ["a"],
        ["b"],
        None,
        Columns.parse("source,target"),
        True,
    )
    inflection = read("lemma\tfeats\tform\na\tN\tb\n", tmp_path, columns="source,features,target")
    assert inflection.has_header
    # words that name columns, but are a lemma and its form: their tags name none
    assert not read("lemma\tN\tform\n", tmp_path, columns="source,features,target").has_header
    # a lemma that is its own word, and words that are no names of columns
    for line in ("lemma\tlemma\n", "word\twords\n"):
        assert not read(line, tmp_path).has_header
    assert read("source\ttarget\n", tmp_path, header=False).sources == ["source"]
    assert read("x\ty\na\tb\n", tmp_path, header=True).sources == ["a"]
    with pytest.raises(ValueError, match="expected numbers where there is no header"):
        read("a\tb\n", tmp_path, header=False, columns="source=x,target=y")


@pytest.mark.parametrize(
    ("columns", "line", "source"),
    [
        ("source,features,target", "a\tN", ("a", "N")),
        ("source,features,target", "a\tN\tb", ("a", "N")),
        ("target,features,source", "N\ta", ("a", "N")),
        ("target,features,source", "b\tN\ta", ("a", "N")),
        ("source=3,target=1,features=4", "a\tN", ("a", "N")),
    ],
)
def test_the_source_of_a_line(columns: str, line: str, source: tuple[str, ...]) -> None:
    assert Columns.parse(columns).source_of(line.split("\t")) == source
    with pytest.raises(ValueError, match="expected the columns source,features with tabs .* 'a'"):
        Columns.parse(columns).source_of(["a"])


@pytest.mark.parametrize(
    ("columns", "form", "source"),
    [
        ("source,target", "char", "a\tb"),
        ("source,target", "list", ["a", "b"]),
        ("source,features,target", "char", ("a", "b")),
    ],
)
def test_a_line_is_a_source_of_its_form(columns: str, form: str, source: object) -> None:
    assert Columns.parse(columns).source_of_line("a\tb", form) == source


def test_a_lexicon(tmp_path: Path) -> None:
    path = tmp_path / "dict"
    path.write_text(
        ";;; comment\nREAD  R IY D\nREAD(2)  R EH D\n\n # only a comment\n"
        "#HASH  HH AE SH # a sign\n(2)  T UW\n",
        encoding="utf-8",
    )
    found = read_lexicon(path)
    assert found.sources == ["READ", "READ", "#HASH", "(2)"]
    assert found.targets == ["R IY D", "R EH D", "HH AE SH", "T UW"]
    path.write_text(";;; x\nREAD\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 2: expected a word, spaces and its symbols"):
        read_lexicon(path)
    path.write_text(";;; x\n", encoding="utf-8")
    with pytest.raises(ValueError, match="expected at least one word, got none"):
        read_lexicon(path)
