"""Copying in the network: what may be copied, and that the probabilities are some."""

import dataclasses

import numpy as np
import pytest

from fastseq.transducer.network.copying import SourceIds
from fastseq.transducer.network.network import Network, NetworkConfig
from support.helpers import assert_close
from support.transducer.networks import CONFIGS, SMALL, generator, large_case, large_params
from support.transducer.networks import with_params as with_values

COPYING = [name for name in CONFIGS if name.endswith("copying")]


def test_what_ids_are_read_and_copied_as() -> None:
    ids = SourceIds(NetworkConfig(**SMALL, copies=(-1, -1, -1, 3, 5, -2, 4)))
    sources = np.array([[3, 4, 5, 6, 2, 7 + 5, 7 + 6, 7 + 7], [6, 2, -(2**40), 99, 0, 0, 0, 0]])
    assert ids.read(sources)[0].tolist() == [3, 4, 5, 6, 2, 0, 0, 0]
    assert ids.copied(sources, np.array([8, 2])).tolist() == [
        [3, 5, -1, 4, -1, 5, 6, 7],
        [4, -1, -1, -1, -1, -1, -1, -1],
    ]
    # the symbol 5 is in no target: read as unknown it is copied as one that is not known
    assert ids.as_unknown.tolist() == [0, 0, 0, 7 + 3, 7 + 5, 7 + 6, 7 + 4]


@pytest.mark.parametrize("name", COPYING)
def test_probabilities_sum_to_one(isa: str, name: str) -> None:
    config, batch = large_case(name)
    network = with_values(Network(config, generator()), large_params(config))
    batch.sources[[0, 2, 6], 0] = config.source_size + config.target_size + np.array([0, 1, 1])
    encoded = network.encode(batch.sources, batch.source_lengths)
    log_p, _, _ = network.step(encoded, network.first_state(encoded), batch.inputs[:, 0])
    assert log_p.shape == (7, config.target_size + 2)  # with both unseen symbols of the batch
    assert_close(np.exp(log_p.astype(np.float64)).sum(axis=1), np.ones(7), rtol=1e-6, atol=0)
    copied = encoded.copied
    for row in range(7):
        for unseen in (config.target_size, config.target_size + 1):
            assert (log_p[row, unseen] > -np.inf) == (unseen in copied[row])


def test_a_wide_gate_copies_and_a_narrow_one_does_not() -> None:
    config = NetworkConfig(**SMALL, attention="dot", copies=(-1, -1, -1, 3, 5, -2, 4))
    sources, lengths, start = np.array([[3, 3, 7 + 6, 7 + 6]]), np.array([4]), np.array([1])
    network = Network(config, generator())
    for bias, share in ((1000, 1.0), (-1000, 0.0)):
        network.params["copy.b"][...] = bias
        encoded = network.encode(sources, lengths)
        log_p, _, weights = network.step(encoded, network.first_state(encoded), start)
        assert_close(np.exp(log_p[0, 6]), share * weights[0, 2:].sum(), rtol=1e-5, atol=0)
        if share:
            assert_close(np.exp(log_p[0, 3]), weights[0, :2].sum(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("bias", [1e4, -1e4])
def test_a_loss_is_finite_however_sure_the_gate_is(bias: float) -> None:
    config, batch = large_case("dot_copying")
    network = with_values(Network(config, generator()), large_params(config))
    network.params["copy.b"][...] = bias
    assert np.isfinite(network.loss(batch))
    network.backward()
    assert all(np.isfinite(grad).all() for grad in network.grads.values())


def test_an_unseen_symbol_is_read_as_unknown() -> None:
    config, batch = large_case("dot_copying")
    network = with_values(Network(config, generator()), large_params(config))
    encoded = network.encode(batch.sources, batch.source_lengths)
    results = [
        network.step(encoded, network.first_state(encoded), np.full(7, id))[0]
        for id in (0, config.target_size, config.target_size + 1)
    ]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_the_order_of_reading_does_not_matter_to_what_is_copied() -> None:
    config, batch = large_case("dot_copying")
    reverse = dataclasses.replace(config, reverse=True)
    copied = Network(config, generator()).encode(batch.sources, batch.source_lengths).copied
    mirrored = Network(reverse, generator()).encode(batch.sources, batch.source_lengths).copied
    for row, length in enumerate(batch.source_lengths):
        assert copied[row, :length].tolist() == mirrored[row, :length][::-1].tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": "hard"}, "copy: expected False with the attention hard, got True"),
        ({"attention": "none"}, "copy: expected False with the attention none, got True"),
        ({"copies": (-1,) * 6}, r"copies: expected 7 ids from -2 to 5, got \(-1, "),
        ({"copies": (6,) * 7}, r"copies: expected 7 ids from -2 to 5, got \(6, "),
        ({"copies": (-3,) * 7}, r"copies: expected 7 ids from -2 to 5, got \(-3, "),
    ],
)
def test_wrong_configuration(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        NetworkConfig(**{**SMALL, "copies": (-1,) * 7, **changes})
