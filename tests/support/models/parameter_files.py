"""A small model, and what its files are compared by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastseq import BaseModel

Array = npt.NDArray[Any]


FORMATS = ("pkl", "safetensors", "npz", "weights")


class Two(BaseModel):
    """The smallest model: two arrays."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.params = [rng.normal(size=shape).astype(np.float32) for shape in ((3, 4), (4,))]
        self.grads = [np.zeros_like(param) for param in self.params]


def values(model: BaseModel) -> list[Array]:
    return [param.copy() for param in model.params]


def assert_same(arrays: list[Array], others: list[Array]) -> None:
    assert len(arrays) == len(others)
    for one, other in zip(arrays, others, strict=True):
        assert np.array_equal(one, other)


def assert_refused(path: Path, match: str) -> None:
    """Loading fails with one line that names the file, and changes no parameter."""
    model = Two()
    before = values(model)
    with pytest.raises(ValueError, match=match) as caught:
        model.load_params(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert_same(model.params, before)
