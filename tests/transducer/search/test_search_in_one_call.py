"""Beam search in one call of a kernel: the answers and the bits of the search step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastseq import _kernels
from fastseq.transducer.data.vocabulary import END, START
from fastseq.transducer.ensemble.mixture import Mixture
from fastseq.transducer.network.network import Network
from fastseq.transducer.search.beam_search import beam_search
from support.transducer.networks import CONFIGS, generator, large_case, large_params, with_params

Array = npt.NDArray[Any]
STEPS = 6
# beam_size, n_best, length_penalty
SEARCHES = [(1, 1, 0.0), (3, 1, 0.0), (5, 5, 0.6), (9, 4, 3.0), (60, 3, 1.0)]
# Arguments of the kernel.
SEARCH = {"start_id": START, "steps": STEPS, "beam": 3, "n_best": 2}


class Stepwise:
    """A network that a search can only ask step by step."""

    answers_at_once = False

    def __init__(self, network: Any) -> None:
        self._network = network

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)


def network_of(name: str) -> tuple[Network, Any]:
    config, batch = large_case(name)
    return with_params(Network(config, generator()), large_params(config)), batch


def check_same(network: Any, batch: Any, limits: int | Array, search: Any) -> None:
    rows = batch.sources, batch.source_lengths, limits
    found = beam_search(network, *rows, *search)
    assert found == beam_search(Stepwise(network), *rows, *search)
    assert all(found)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("name", CONFIGS)
def test_it_finds_what_steps_find(isa: str, name: str, search: Any) -> None:
    network, batch = network_of(name)
    check_same(network, batch, STEPS, search)
    check_same(network, batch, 1 + np.arange(len(batch.sources)) % STEPS, search)


@pytest.mark.parametrize("search", SEARCHES)
def test_it_finds_what_steps_of_several_networks_find(search: Any) -> None:
    network, batch = network_of(next(iter(CONFIGS)))
    others = [network_of(name)[0] for name in CONFIGS]
    mixture = Mixture([network, *(each for each in others if each.sizes == network.sizes)][:4])
    assert len(mixture.networks) > 1
    check_same(mixture, batch, STEPS, search)


@pytest.mark.parametrize("name", CONFIGS)
def test_threads_do_not_change_a_bit(name: str, set_threads: Any) -> None:
    network, batch = network_of(name)
    rows = batch.sources, batch.source_lengths, STEPS
    set_threads(1)
    expected = beam_search(network, *rows, 4, 4)
    set_threads(3)
    assert beam_search(network, *rows, 4, 4) == expected


def test_equal_totals_go_to_the_better_hypothesis_then_the_lower_id() -> None:
    network, batch = network_of(next(iter(CONFIGS)))
    for value in network.params.values():
        value[...] = 0
    check_same(network, batch, STEPS, (7, 7, 0.0))
    found = beam_search(network, batch.sources, batch.source_lengths, STEPS, 4, 4)
    assert [answer.ids for answer in found[0]] == [[], [3], [3, 3], [3, 3, 3]]


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_scores_that_are_no_numbers_are_said(value: float) -> None:
    network, batch = network_of(next(iter(CONFIGS)))
    network.params["output.b"][...] = value
    for each in (network, Stepwise(network)):
        with pytest.raises(FloatingPointError, match="log probabilities are NaN or all minus inf"):
            beam_search(each, batch.sources, batch.source_lengths, STEPS, 3)


def test_one_row_without_a_number_leaves_the_others_as_they_are() -> None:
    network, batch = network_of(next(iter(CONFIGS)))
    encoded = network.encode(batch.sources, batch.source_lengths)
    search = SEARCH | {
        "first_id": END,
        "end_id": END,
        "encoder_lengths": encoded.lengths if network.has_attention else None,
    }
    decoder = network.for_decoding(encoded)
    clean = _kernels.beam_search([decoder], **search)
    decoder["h0"] = decoder["h0"].copy()
    decoder["h0"][-1, 0] = np.nan
    if decoder["peek"] is not None:
        decoder["peek"] = decoder["h0"][-1]
    found = _kernels.beam_search([decoder], **search)
    assert np.isnan(found.scores[0]).all()
    assert (found.taken[0] == 0).all()
    for one, other in zip(found, clean, strict=True):
        np.testing.assert_array_equal(one[1:], other[1:])


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"beam": 0}, ValueError, "^beam: expected at least 1, got 0"),
        ({"beam": 2.5}, TypeError, "^beam: expected an integer"),
        ({"n_best": 0}, ValueError, "^n_best: expected at least 1"),
        ({"n_best": 4}, ValueError, "^n_best: expected at most beam = 3, got 4"),
        ({"length_penalty": -1.0}, ValueError, "^length_penalty: expected 0 to 64, got -1.0"),
        ({"length_penalty": np.nan}, ValueError, "^length_penalty: expected 0 to 64, got nan"),
        ({"beam": 1 << 50}, MemoryError, "^beam: cannot allocate"),
        ({"beam": 1 << 62}, MemoryError, "^beam: cannot allocate"),
    ],
)
def test_wrong_arguments(wrong: Any, error: type[Exception], message: str) -> None:
    network, batch = network_of(next(iter(CONFIGS)))
    encoded = network.encode(batch.sources, batch.source_lengths)
    with pytest.raises(error, match=message):
        _kernels.beam_search([network.for_decoding(encoded)], **(SEARCH | wrong))
