"""Symbols that are read as unknown in training, so that one never seen is read as a symbol."""

from typing import Any

import numpy as np
import pytest

from fastseq.transducer.data.vocabulary import SPECIAL_SYMBOLS, UNKNOWN
from fastseq.transducer.network.network import Batch, Network
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer

PAIRS = tiny_pairs(200)
EPOCHS = 50


def sources_read(monkeypatch: pytest.MonkeyPatch, rate: float) -> list[str]:
    """The source symbols of the training steps, with their ends."""
    read: list[int] = []
    original = Network.loss

    def loss(network: Network, batch: Batch, **options: Any) -> float:
        if options.get("training"):
            for row, length in zip(batch.sources, batch.source_lengths, strict=True):
                read.extend(row[:length])
        return original(network, batch, **options)

    monkeypatch.setattr(Network, "loss", loss)
    model = tiny_transducer(
        unknown_rate=rate, attention="none", batch_size=200, epochs=EPOCHS, patience=None
    )
    model.fit(*PAIRS, None)
    return [model.vocabulary_.source.symbols[id] for id in read]


def test_each_symbol_is_unknown_about_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    words = PAIRS[0]
    read = sources_read(monkeypatch, 1.0)
    for symbol in "abcdef":
        count = sum(word.count(symbol) for word in words)
        missing = count * EPOCHS - read.count(symbol)
        # binomial: about 50 with a standard deviation of 7
        assert 22 < missing < 78
    assert read.count("</s>") == len(words) * EPOCHS  # an end is never unknown


def test_a_rate_of_zero_changes_no_symbol(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SPECIAL_SYMBOLS[UNKNOWN] not in sources_read(monkeypatch, 0.0)


def test_the_embedding_of_the_unknown_symbol_is_trained() -> None:
    embeddings = {}
    for rate in (0.0, 1.0):
        for learning_rate in (1e-12, 0.01):
            model = tiny_transducer(unknown_rate=rate, learning_rate=learning_rate)
            params = model.fit(*PAIRS, None).network_.params
            embeddings[rate, learning_rate] = params["source_embedding"][UNKNOWN].copy()
    assert np.abs(embeddings[0.0, 0.01] - embeddings[0.0, 1e-12]).max() < 1e-6
    assert np.abs(embeddings[1.0, 0.01] - embeddings[1.0, 1e-12]).max() > 0.01
