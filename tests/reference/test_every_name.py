"""Every public name: fastseq and fastseq_reference give the same results for the same arguments."""

from typing import Any

import numpy as np
import pytest

import fastseq
import fastseq_reference
from support.public_names import (
    GRID,
    MIDDLE,
    OWN_NAMES,
    TABLE,
    WITH_LENGTHS,
    Sizes,
    assert_same,
    is_float,
    run,
)


def public_names(module: Any) -> set[str]:
    """The names in `__all__`, or else of the classes and functions that the module defines."""
    if hasattr(module, "__all__"):
        return set(module.__all__)
    return {
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
    } - {"Array"}


def test_the_table_has_exactly_the_public_names() -> None:
    parts = (fastseq.layers, fastseq.models, fastseq.optim, fastseq.train, fastseq.util)
    names = set[str]().union(*map(public_names, parts))
    assert names >= OWN_NAMES
    assert set(TABLE) == names - OWN_NAMES - WITH_LENGTHS
    assert not any(hasattr(fastseq_reference, name) for name in OWN_NAMES)


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("sizes", GRID, ids=lambda sizes: "-".join(map(str, sizes)))
def test_equals_the_reference(isa: str, name: str, sizes: Sizes) -> None:
    assert_same(run(fastseq, name, sizes), run(fastseq_reference, name, sizes), sizes)


def broken_copy(value: Any) -> Any:
    """The value with an error of 1/1000 in its largest element; changed, if not a float."""
    if isinstance(value, str | bool):
        return f"{value}?"
    wrong = np.array(value)
    wrong.flat[np.abs(wrong).argmax()] *= 1.001 if is_float(value) else 2
    return wrong


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("name", TABLE)
def test_a_wrong_value_is_detected(name: str) -> None:
    actual, expected = run(fastseq, name, MIDDLE), run(fastseq_reference, name, MIDDLE)
    assert_same(actual, expected, MIDDLE)
    paths = [path for path, value in expected.items() if value is not None and np.any(value)]
    assert any(not path.endswith("length") for path in paths)
    for path in paths:
        with pytest.raises(AssertionError):
            assert_same(actual, {**expected, path: broken_copy(expected[path])}, MIDDLE)
