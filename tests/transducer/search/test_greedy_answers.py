"""Greedy answers of a network in one call of a kernel: the bits of the steps one by one."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastseq import Transducer, _kernels
from fastseq.transducer.data.vocabulary import END as END_ID
from fastseq.transducer.data.vocabulary import START as START_ID
from fastseq.transducer.network.network import Network
from fastseq.transducer.search.greedy import greedy
from support.transducer.networks import CONFIGS, generator, large_case, large_params, with_params

Array = npt.NDArray[Any]

STEPS = 7


def by_steps(network: Network, source: Array, steps: int) -> tuple[list[int], float]:
    """The ids of one source, its end symbol included, by as many calls of the network's step."""
    encoded = network.encode(source, np.array([source.shape[1]]))
    state = network.first_state(encoded)
    ids, total = [START_ID], 0.0
    while len(ids) <= steps and ids[-1] != END_ID:
        table, state, _ = network.step(encoded, state, np.array(ids[-1:]))
        table[:, :END_ID] = -np.inf
        ids.append(int(table.argmax()))
        total += float(table[0, ids[-1]])
    return ids[1:], total


def answers(network: Network, batch: Any, limits: Array) -> _kernels.Decoded:
    return network.answers(
        batch.sources, batch.source_lengths, START_ID, END_ID, END_ID, np.asarray(limits)
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_an_answer_has_the_bits_of_its_steps(isa: str, name: str) -> None:
    config, batch = large_case(name)
    network = with_params(Network(config, generator()), large_params(config))
    rows = len(batch.sources)
    found = answers(network, batch, np.full(rows, STEPS))
    assert found.log_probabilities is not None
    assert found.ids.dtype == np.int64
    shorter = answers(network, batch, 1 + np.arange(rows) % 3)
    for row in range(rows):
        source = batch.sources[row : row + 1, : batch.source_lengths[row]]
        ids, log_probability = by_steps(network, source, STEPS)
        assert found.ids[row, : found.taken[row]].tolist() == ids
        assert (found.ids[row, found.taken[row] :] == END_ID).all()
        assert found.log_probabilities[row] == log_probability
        taken = shorter.taken[row]
        assert taken == min(len(ids), 1 + row % 3)
        assert shorter.ids[row, :taken].tolist() == ids[:taken]
    spelled = greedy(network, batch.sources, batch.source_lengths, STEPS)
    assert [answer.score for answer in spelled] == found.log_probabilities.tolist()
    for answer, own, taken in zip(spelled, found.ids, found.taken, strict=True):
        assert answer.ids == [symbol for symbol in own[:taken] if symbol != END_ID]


def test_rows_end_at_different_steps_and_some_at_the_limit() -> None:
    taken: set[int] = set()
    for name in CONFIGS:
        config, batch = large_case(name)
        network = with_params(Network(config, generator()), large_params(config))
        taken |= set(answers(network, batch, np.full(len(batch.sources), STEPS)).taken.tolist())
    assert STEPS in taken
    assert len(taken) > 2


@pytest.mark.parametrize("name", CONFIGS)
def test_threads_do_not_change_a_bit(name: str, set_threads: Any) -> None:
    config, batch = large_case(name)
    network = with_params(Network(config, generator()), large_params(config))
    limits = np.full(len(batch.sources), STEPS)
    set_threads(1)
    expected = answers(network, batch, limits)
    set_threads(3)
    for one, other in zip(answers(network, batch, limits), expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_end_and_barred_symbols() -> None:
    config, batch = large_case(next(iter(CONFIGS)))
    network = with_params(Network(config, generator()), large_params(config))
    limits = np.full(len(batch.sources), STEPS)
    network.params["output.b"][END_ID] = 1e3
    assert (answers(network, batch, limits).ids[:, 0] == END_ID).all()
    network.params["output.b"][:END_ID] = 1e6  # <unk> and <s> are never chosen
    assert (answers(network, batch, limits).taken == 1).all()


@pytest.mark.parametrize(
    ("max_steps", "error"), [(0, ValueError), (2.0, TypeError), ([1, 2], ValueError)]
)
def test_wrong_steps(max_steps: Any, error: type[Exception]) -> None:
    config, batch = large_case(next(iter(CONFIGS)))
    network = Network(config, generator())
    with pytest.raises(error, match="^max_steps: expected"):
        greedy(network, batch.sources, batch.source_lengths, max_steps)


def test_nothing_to_choose_from_is_said() -> None:
    model = Transducer(hidden_size=4, embedding_size=3, epochs=1)
    model.fit(["ab", "ba"] * 4, ["b", "a"] * 4, validation=None)
    assert model.predict(["ab"]) == model.predict(["ab", "b"])[:1]
    for value in (np.nan, -np.inf):
        model.network_.params["output.b"][...] = value
        with pytest.raises(FloatingPointError, match="log probabilities are NaN or all minus inf"):
            model.predict(["ab"])
