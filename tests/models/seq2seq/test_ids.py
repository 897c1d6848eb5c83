"""Ids out of range, through every model: the message has id, position and vocabulary size."""

import numpy as np
import pytest

from fastseq import models

V = 5
MODELS = ["Seq2seq", "PeekySeq2seq", "AttentionSeq2seq", "AttentionBiSeq2seq", "Rnnlm"]


@pytest.mark.parametrize("wrong", [-1, V, 2**40])
@pytest.mark.parametrize("name", MODELS)
def test_an_id_out_of_range_is_named(name: str, wrong: int) -> None:
    model = getattr(models, name)(V, 4, 4)
    ids = np.ones((2, 3), dtype=np.int64)
    ids[1, 2] = wrong
    expected = rf"\[1, 2\]: expected an id from 0 to 4 \(vocabulary size 5\), got {wrong}$"
    with pytest.raises(IndexError, match=expected):
        model.forward(ids, np.ones((2, 3), dtype=np.int64))


@pytest.mark.parametrize("name", MODELS)
def test_an_id_beyond_int64_is_not_wrapped(name: str) -> None:
    model = getattr(models, name)(V, 4, 4)
    ids = np.ones((2, 3), dtype=np.uint64)
    ids[1, 1] = 2**63
    with pytest.raises(IndexError, match=r"\[1, 1\]: .*size 5\), got 9223372036854775808$"):
        model.forward(ids, np.ones((2, 3), dtype=np.int64))
