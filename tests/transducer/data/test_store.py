"""Pairs in files: what is read of them is what was encoded, and trains to the same bits."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastseq
from fastseq import Transducer
from fastseq.transducer.data.batches import Sequences
from fastseq.transducer.data.forms import FormChoice, choose_forms
from fastseq.transducer.data.store import PairStore, store_of
from fastseq.transducer.data.tsv import read_pairs
from support.processes import fastseq_process, one_line
from support.ranks import on_threads
from support.transducer.interrupted import raise_in_epoch
from support.transducer.tiny_transducer import OPTIONS, tiny_pairs, tiny_transducer, weights

PAIRS = tiny_pairs(700)
BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "large_data.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The pairs in three files."""
    parts = tmp_path / "parts"
    parts.mkdir()
    lines = [f"{source}\t{target}\n" for source, target in zip(*PAIRS, strict=True)]
    for number in range(3):
        part = lines[number * 300 : number * 300 + 300]
        (parts / f"{number}.tsv").write_text("".join(part), encoding="utf-8")
    return parts


def read(path: str) -> tuple[Any, Any]:
    found = read_pairs(path)
    return found.sources, found.targets


def store(folder: Path, share: float | None = None, **changes: Any) -> PairStore:
    params = tiny_transducer(**changes).get_params()
    return PairStore(store_of(str(folder), str(folder.parent / "cache"), params, share, read))


def test_sequences_are_as_in_memory(folder: Path) -> None:
    found = store(folder)
    for side, vocabulary, texts in zip(
        (found.pairs.sources, found.pairs.targets), found.vocabularies, PAIRS, strict=True
    ):
        known = Sequences.encode(vocabulary, texts)
        assert len(side) == len(known) == 700
        np.testing.assert_array_equal(side.lengths, known.lengths)
        np.testing.assert_array_equal(side.counts(20), known.counts(20)[: len(vocabulary)])
        rows = np.array([699, 0, 255, 256, 257, 511, 512, 0])
        for row in rows:
            assert side.row(row) == known.row(row)
            assert side.key(row) == known.key(row)
        for ours, theirs in zip(side.ended(rows), known.ended(rows), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_training_has_the_bits_of_pairs_in_memory(folder: Path) -> None:
    in_memory = tiny_transducer(epochs=2).fit(*PAIRS, validation=None)
    stored = tiny_transducer(epochs=2).fit(store(folder), validation=None)
    assert weights(stored) == weights(in_memory)
    assert stored.vocabulary_ == in_memory.vocabulary_
    assert stored.lengths_ == in_memory.lengths_


def test_ranks_and_resumption(folder: Path, tmp_path: Path) -> None:
    found = store(folder, 0.1)

    def fit(ranks: Any = None, **options: Any) -> Transducer:
        return tiny_transducer(shards=2).fit(found, validation=0.1, communicator=ranks, **options)

    whole = fit()
    assert [weights(model) for model in on_threads(2, fit)] == [weights(whole)] * 2
    with pytest.raises(RuntimeError, match="stopped by the test"):
        fit(checkpoint=tmp_path / "state", callbacks=[raise_in_epoch(1)])
    assert weights(fit(checkpoint=tmp_path / "state", resume=True)) == weights(whole)
    other = store(folder, 0.2)
    with pytest.raises(ValueError, match="pairs: expected those of the checkpoint"):
        tiny_transducer(shards=2).fit(other, checkpoint=tmp_path / "state", resume=True)


def test_all_pairs_of_a_source_are_held_out_or_none(folder: Path) -> None:
    found = store(folder, 0.2)
    assert found.held_out is not None
    held_out, trained = (
        {side.key(row) for row in range(len(side))}
        for side in (found.held_out.sources, found.pairs.sources)
    )
    assert not held_out & trained
    assert 0.1 < len(held_out) / len(held_out | trained) < 0.3
    assert len(found) == 700 == len(found.held_out) + len(found.pairs)
    other = store(folder, 0.2, seed=1).held_out
    assert other is not None
    assert {other.sources.key(row) for row in range(len(other))} != held_out


def test_longer_pairs_are_left_out(folder: Path) -> None:
    found = store(folder, max_length=3)
    assert found.left_out == sum(len(word) > 3 for word in PAIRS[0]) > 0
    assert found.lengths == [3, 3]
    model = tiny_transducer(max_length=3, epochs=1).fit(found, validation=None)
    assert model.left_out_ == found.left_out


def test_a_store_is_written_once_and_anew_for_other_pairs(folder: Path) -> None:
    first = store(folder)
    cache = folder.parent / "cache"
    [place] = cache.iterdir()
    before = (place / "document.json").stat().st_mtime_ns
    store(folder)
    assert (place / "document.json").stat().st_mtime_ns == before
    store(folder, lowercase=True)
    assert len(list(cache.iterdir())) == 2
    (folder / "3.tsv").write_text("xyz\tXYZ\n")
    assert len(store(folder)) == len(first) + 1
    assert len(list(cache.iterdir())) == 3


def test_what_was_not_finished_is_not_there(folder: Path) -> None:
    calls = 0

    def failing(path: str) -> tuple[Any, Any]:
        nonlocal calls
        calls += 1
        if calls == 8:  # the second file of the third time
            raise OSError("no disk")
        return read(path)

    cache = folder.parent / "cache"
    with pytest.raises(OSError, match="no disk"):
        store_of(str(folder), str(cache), tiny_transducer().get_params(), None, failing)
    assert list(cache.iterdir()) == []


def test_what_a_killed_process_left_is_removed(folder: Path) -> None:
    store(folder)
    [place] = (folder.parent / "cache").iterdir()
    shutil.rmtree(place)
    abandoned = place.parent / f"{place.name}.0123456789abcdef"
    kept = place.parent / f"{place.name}.fedcba9876543210"  # may be written to now
    other = place.parent / "other.0123456789abcdef"
    for each in (abandoned, kept, other):
        each.mkdir()
        (each / "train.source.ids").write_bytes(b"half of it")
    for path in (abandoned / "train.source.ids", other / "train.source.ids"):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    store(folder)
    assert sorted(place.parent.iterdir()) == sorted([place, kept, other])


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("document.json", lambda old: old[:-1], "Expecting"),
        ("document.json", lambda old: b"[" * 100_000, "maximum recursion"),
        ("document.json", lambda old: b"{}", "expected an object with settings"),
        ("document.json", lambda old: old.replace(b'"left_out": 0', b'"left_out": -1'), "left out"),
        ("document.json", lambda old: old.replace(b'"symbols"', b'"s"'), "form and symbols"),
        ("train.source.ids", lambda old: old[:-1], "bytes, got"),
        ("train.source.ids", lambda old: b"\xff" * len(old), "expected ids below 9, got 255"),
        ("train.target.ids", lambda old: b"\xff" * len(old), "expected ids below 9, got 255"),
        ("train.source.lengths", lambda old: old[:9], "expected lengths|bytes, got"),
        ("train.source.lengths", lambda old: old[:8], "expected lengths"),
        ("train.source.lengths", lambda old: b"\xff" * 8 + old[8:], "expected sequences"),
        ("train.source.counts", lambda old: old[:-8], "expected 9 counts"),
        ("train.source.counts", lambda old: old[:-3], "buffer size"),
        ("train.source.counts", lambda old: b"\xff" * len(old), "expected 9 counts"),
    ],
)
def test_a_damaged_store_is_refused(
    name: str, change: Callable[[bytes], bytes], reason: str, folder: Path
) -> None:
    store(folder)
    [place] = (folder.parent / "cache").iterdir()
    path = place / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"{re.escape(name)}: damaged: .*{reason}.*encoded anew$"):
        tiny_transducer(epochs=1).fit(store(folder), validation=None)


def test_a_store_with_more_targets_than_sources_is_refused(folder: Path) -> None:
    store(folder)
    [place] = (folder.parent / "cache").iterdir()
    with (place / "train.target.lengths").open("ab") as file:
        file.write(b"\0")  # an empty target: the ids are as many as before
    with pytest.raises(ValueError, match="train: damaged: .*as targets, got 700 and 701"):
        store(folder)


def test_other_settings_than_those_of_the_store_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="lowercase: expected False, as in the cache of pairs"):
        tiny_transducer(lowercase=True).fit(store(folder))
    model = tiny_transducer(epochs=1).fit(*PAIRS)
    with pytest.raises(ValueError, match="warm_start: expected pairs in memory"):
        model.fit(store(folder), warm_start=True)


@pytest.mark.parametrize("words", [["한국어", "abc", "가나다라마바사"], ["é", "é", "e"], ["abc"]])
def test_forms_of_parts_are_those_of_all(words: list[str]) -> None:
    params = tiny_transducer().get_params()
    choice = FormChoice(params, 0)
    for word in words:
        choice.add([word], [word])
    assert choice.forms() == choose_forms(words, words, params, 0)


def test_the_command_line(folder: Path, tmp_path: Path) -> None:
    model, cache = str(tmp_path / "model.safetensors"), str(tmp_path / "cache")
    command = ["train", str(folder), "-o", model, *OPTIONS, "--cache", cache]
    done = fastseq_process(*command, "--valid", "none")
    assert done.returncode == 0, done.stderr
    whole = tmp_path / "whole.tsv"
    whole.write_text("".join(part.read_text() for part in sorted(folder.iterdir())))
    other = str(tmp_path / "other.safetensors")
    done = fastseq_process("train", str(whole), "-o", other, *OPTIONS, "--valid", "none")
    assert Path(model).read_bytes() == Path(other).read_bytes()
    for wrong, message in (
        (["train", str(folder), "-o", model], "a folder of files needs --cache DIR"),
        (["train", str(whole), "-o", model, "--cache", cache], "--cache: expected a folder"),
        ([*command, "--ensemble", "2"], "--cache: expected neither --from nor --ensemble"),
        ([*command, "--columns", "source,target,weight"], "weight"),
    ):
        done = fastseq_process(*wrong)
        assert done.returncode in (1, 2)
        assert message in one_line(done.stderr)
    os.truncate(next(Path(cache).glob("*/train.source.ids")), 100)
    done = fastseq_process(*command, "--valid", "none")
    assert done.returncode == 1
    assert "train.source.ids: damaged" in one_line(done.stderr)


@pytest.mark.slow
@pytest.mark.skipif(not BENCHMARK.is_file(), reason="no checkout")
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads /proc")
def test_two_million_pairs_stay_in_the_files(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARK), "--pairs", "2000000", "--steps", "20"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(fastseq.__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    resident = dict(re.findall(r"resident, (\w+) +([\d,]+) MB", done.stdout))
    assert int(resident["training"].replace(",", "")) < 300
    assert int(resident["encoding"].replace(",", "")) < 600
