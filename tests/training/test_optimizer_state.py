"""The state of an optimizer: what another one must take over to go on to the same bits."""

from typing import Any

import numpy as np
import pytest

import fastseq
from support.helpers import assert_close

OPTIMIZERS = ["SGD", "Momentum", "Nesterov", "AdaGrad", "RMSprop", "Adam"]
KEPT = {"SGD": [], "AdaGrad": ["h"], "RMSprop": ["h"], "Adam": ["iter", "m", "v"]}


def params() -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for shape in ((3, 4), (5,))]


def update(optimizer: Any, arrays: list[Any], steps: range) -> None:
    for step in steps:
        rng = np.random.default_rng(step)
        optimizer.update(arrays, [rng.standard_normal(p.shape).astype(np.float32) for p in arrays])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_another_optimizer_goes_on_to_the_same_bits(name: str) -> None:
    make = getattr(fastseq, name)
    whole, optimizer, other = params(), make(), make()
    update(optimizer, whole, range(6))

    resumed, first = params(), make()
    update(first, resumed, range(3))
    state = first.state(resumed)
    assert list(state) == KEPT.get(name, ["v"])
    other.restore(state)
    update(first, params(), range(3, 4))  # the state was copied
    update(other, resumed, range(3, 6))
    for one, two in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_before_the_first_update_the_state_is_zero(name: str) -> None:
    state = getattr(fastseq, name)().state(params())
    for entry, each in state.items():
        if entry == "iter":
            assert each == 0
            continue
        for array, param in zip(each, params(), strict=True):
            assert array.shape == param.shape
            assert_close(array, np.zeros_like(param), rtol=0, atol=0)


def test_a_state_without_an_entry_changes_nothing() -> None:
    optimizer, arrays = fastseq.Adam(), params()
    update(optimizer, arrays, range(2))
    state = optimizer.state(arrays)
    with pytest.raises(KeyError, match="v"):
        optimizer.restore({"iter": 9, "m": state["m"]})
    assert optimizer.iter == 2
