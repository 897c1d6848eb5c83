"""Hard attention by its definition: the sum over all paths of source positions."""

import itertools

import numpy as np

import fastseq_reference.transducer as reference
from fastseq.transducer.network.network import Network
from support.helpers import assert_close, operand_rounding
from support.transducer.networks import (
    CONFIGS,
    generator,
    large_params,
    small_batch,
    with_params,
)


def test_a_probability_is_the_sum_over_all_paths() -> None:
    config = CONFIGS["hard"]
    network = with_params(reference.Network(config, generator()), large_params(config))
    batch = small_batch(config)
    # what is read is what was written
    batch.inputs[:, 1:] = batch.targets[:, :-1]
    network.loss(batch)
    assert network.pairs is not None
    expected = 0.0
    for n, (_, decoder, _) in enumerate(network.pairs):
        hard, targets = decoder.hard, batch.targets[n, : batch.target_lengths[n]]
        assert hard is not None
        total = 0.0
        for path in itertools.product(range(batch.source_lengths[n]), repeat=len(targets)):
            probability, before = 1.0, 0
            for t, position in enumerate(path):
                probability *= hard.moves[t, before, position]
                probability *= hard.emissions[t, position, targets[t]]
                before = position
            total += probability
        expected -= np.log(total)
    expected /= batch.target_lengths.sum()
    assert_close(network.loss(batch), expected, rtol=1e-12, atol=0)
    ours = with_params(Network(config, generator()), network.params)
    assert_close(ours.loss(batch), expected, rtol=1e-5 + operand_rounding(), atol=0)


def test_a_probability_that_underflows_is_finite() -> None:
    config = CONFIGS["hard"]
    network = with_params(Network(config, generator()), large_params(config))
    batch = small_batch(config)
    network.params["output.b"][...] = np.where(np.arange(config.target_size) == 5, 1e4, 0)
    loss = network.loss(batch)
    assert np.isfinite(loss)
    assert loss > 100
    network.backward()
    assert all(np.isfinite(grad).all() for grad in network.grads.values())
