"""The trials of definitions: each finds the same numbers in equal ones, and others in others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastseq_reference.layers
import fastseq_reference.models
import fastseq_reference.optim
import fastseq_reference.train
import fastseq_reference.util
from fastseq.dropin import fingerprints, table
from fastseq.dropin.compare import Comparison, compare, difference
from fastseq.dropin.trials import TRIALS
from support.dropin.textbook import write

TWINS = (
    fastseq_reference.layers,
    fastseq_reference.models,
    fastseq_reference.optim,
    fastseq_reference.train,
    fastseq_reference.util,
)
# what is fastseq's alone: files are read there, and there is no other device
WITHOUT_TWIN = {"load_data", "get_vocab"}
NAMES = [
    (module, name)
    for module, names in fingerprints.published().items()
    for name in names
    if name in TRIALS
]


def results(name: str, definition: Any) -> Any:
    np.random.seed(0)
    return TRIALS[name](definition)


def twin(name: str) -> Any:
    return next(getattr(holder, name) for holder in TWINS if hasattr(holder, name))


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize(("module", "name"), NAMES)
def test_other_words_of_the_same_are_the_same(module: str, name: str) -> None:
    if name in WITHOUT_TWIN:
        pytest.skip("the reference reads no files")
    ours = results(name, table.load(module)[name])
    assert difference(ours, results(name, twin(name))) == ""


def test_every_name_has_a_trial() -> None:
    known = {name for names in fingerprints.published().values() for name in names}
    # a helper of load_data, and one that fastseq refuses
    assert known - TRIALS.keys() == {"_update_vocab", "to_gpu"}


@pytest.mark.parametrize("name", ["Adam", "AdaGrad", "RMSprop"])
def test_another_epsilon_is_noticed(name: str) -> None:
    class Other(twin(name)):  # type: ignore[misc]
        def update(self, params: Any, grads: Any) -> None:
            changed = [grad * np.float32(1.01) for grad in grads]
            super().update(params, changed)

    ours = results(name, getattr(fastseq_reference.optim, name))
    assert difference(ours, results(name, Other)) != ""


def test_what_is_different() -> None:
    assert difference([1.0, "a"], [1.0, "a"]) == ""
    assert "off by 0.5" in difference([np.zeros(2), np.ones(2)], [np.zeros(2), np.full(2, 0.5)])
    assert "shape (3,) for (2,)" in difference(np.zeros(2), np.zeros(3))
    assert difference("a", "b") == "result 1: 'b' for 'a'"
    assert difference([1.0], [1.0, 2.0]) == "it returns another number of results"
    assert difference(np.array([np.nan]), np.array([1.0])) != ""
    assert difference(np.array([1.0]), np.array([np.nan])) != ""


def test_a_name_without_a_trial(tmp_path: Any) -> None:
    comparison = compare(str(tmp_path), "common.util", "to_gpu")
    assert (comparison.same, comparison.text) == (None, "there is no trial for it")


def edited(name: str, text: str, folder: Path) -> Comparison:
    """What comes of a definition whose text is changed from the reference's class."""
    module = next(module for module, known in NAMES if known == name)
    path = folder.joinpath(*module.split(".")).with_suffix(".py")
    write(folder, {"common/__init__.py": "", str(path.relative_to(folder)): text})
    return compare(str(folder), module, name, [str(folder)])


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("Adam", "def __init__(self, lr=0.001, weight_decay=0): self.lr = lr", "weight_decay"),
        (
            "TimeLSTM",
            "def forward(self, xs):\n        self.c = None\n        return super().forward(xs)",
            "result",
        ),
        (
            "TimeDropout",
            "def forward(self, xs):\n        self.train_flg = True\n"
            "        return super().forward(xs)",
            "result",
        ),
    ],
)
def test_edits_that_a_single_call_does_not_show(
    name: str, body: str, expected: str, tmp_path: Path
) -> None:
    holder = twin(name).__module__
    text = f"from {holder} import {name} as Twin\nclass {name}(Twin):\n    {body}\n"
    found = edited(name, text, tmp_path)
    assert found.same is not True
    assert expected in found.text


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_in_a_file_is_the_same(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTSEQ_PRECISION", precision)
    monkeypatch.delenv("FASTSEQ_ISA", raising=False)  # not every one has both
    holder = twin("TimeLSTM").__module__
    text = f"from {holder} import TimeLSTM as Twin\nclass TimeLSTM(Twin):\n    pass\n"
    assert edited("TimeLSTM", text, tmp_path) == Comparison(True)
