"""Weights of pairs in the loss of the Transducer's network."""

import dataclasses

import numpy as np
import pytest

from fastseq.transducer.network.network import Network
from support.helpers import assert_close, operand_rounding
from support.transducer.networks import generator, large_case, large_params, rows_of, with_params


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weights_multiply_loss_and_gradients_of_the_rows(smoothing: float) -> None:
    config, batch = large_case("dot_two_layers")
    network = with_params(Network(config, generator()), large_params(config))
    weights = np.array([2, 0, 0.5, 1, 3, 0.25, 1], dtype=np.float32)
    count = batch.target_lengths.sum()
    expected_loss, expected_grads = 0.0, dict.fromkeys(network.params, 0.0)
    for n, weight in enumerate(weights):
        share = float(weight) * batch.target_lengths[n] / count
        expected_loss += share * network.loss(rows_of(batch, [n]), label_smoothing=smoothing)
        network.backward()
        for name, grad in network.grads.items():
            expected_grads[name] = expected_grads[name] + share * grad.astype(np.float64)
    weighted = dataclasses.replace(batch, weights=weights)
    loss = network.loss(weighted, label_smoothing=smoothing)
    network.backward()
    assert_close(loss, expected_loss, rtol=1e-6, atol=0)
    for name, grad in network.grads.items():
        scale = np.abs(expected_grads[name]).max()
        assert_close(grad, expected_grads[name], rtol=0, atol=(1e-5 + operand_rounding()) * scale)
    unweighted = network.loss(batch, label_smoothing=smoothing)
    assert abs(unweighted - expected_loss) > 1e-3 * expected_loss
