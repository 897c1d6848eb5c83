"""Networks and batches for the tests of the Transducer, what they compute, and its comparison."""

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

import fastseq_reference.transducer as reference
from fastseq.transducer.network.network import Batch, Network, NetworkConfig, parameter_shapes
from support.helpers import assert_close, float32_tolerance

Array = npt.NDArray[Any]
Results = dict[str, Array]

SMALL = {"source_size": 7, "target_size": 6, "embedding_size": 3, "hidden_size": 4}
# Every kind of attention, and of everything else; all that interacts, together.
CONFIGS = {
    "none": NetworkConfig(**SMALL, attention="none"),
    "none_peeky_gru": NetworkConfig(
        **SMALL, attention="none", peeky=True, cell="gru", encoder="unidirectional", reverse=True
    ),
    "dot": NetworkConfig(**SMALL, attention="dot"),
    "dot_two_layers": NetworkConfig(**SMALL, attention="dot", layers=2, reverse=True),
    "scaled_dot_peeky": NetworkConfig(**SMALL, attention="scaled_dot", peeky=True, layers=2),
    "general_gru": NetworkConfig(**SMALL, attention="general", cell="gru", layers=2),
    "dot_peeky_gru_reset_after": NetworkConfig(
        **SMALL, attention="dot", cell="gru", reset_after=True, layers=2, peeky=True
    ),
    "additive_one_way": NetworkConfig(
        **SMALL, attention="additive", encoder="unidirectional", peeky=True, reverse=True
    ),
    "hard": NetworkConfig(**SMALL, attention="hard"),
    "hard_two_layers_dropout": NetworkConfig(
        **SMALL, attention="hard", cell="gru", layers=2, reverse=True, dropout=0.4
    ),
    "dot_copying": NetworkConfig(**SMALL, attention="dot", copies=(-1, -1, -1, 3, 5, -2, 4)),
    "scaled_dot_copying": NetworkConfig(
        **SMALL, attention="scaled_dot", copies=(-1, -1, -1, 3, -2, 3, 4), reverse=True
    ),
    "general_copying": NetworkConfig(
        **SMALL, attention="general", copies=(-1, -1, -1, 5, 5, -2, 4), peeky=True, dropout=0.4
    ),
    "additive_copying": NetworkConfig(
        **SMALL, attention="additive", copies=(-1, -1, -1, 3, 5, -2, 4), layers=2, cell="gru"
    ),
    "additive_dropout": NetworkConfig(
        **SMALL, attention="additive", layers=2, peeky=True, dropout=0.4
    ),
}
SMOOTHING = 0.2


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def draw_batch(
    config: NetworkConfig, source_lengths: list[int], target_lengths: list[int]
) -> Batch:
    """Ids drawn at random, 0 past the lengths."""
    rng = generator(len(source_lengths))

    def ids(lengths: list[int], size: int) -> Array:
        values = rng.integers(0, size, (len(lengths), max(lengths)))
        real: Array = np.arange(max(lengths)) < np.array(lengths)[:, np.newaxis]
        return values * real

    # where symbols are copied: those that are unknown to the network too, of targets and unseen
    extra = 0 if config.copies is None else config.target_size + 2
    return Batch(
        ids(source_lengths, config.source_size + extra),
        np.array(source_lengths),
        ids(target_lengths, config.target_size),
        ids(target_lengths, config.target_size),
        np.array(target_lengths),
    )


def small_batch(config: NetworkConfig) -> Batch:
    return draw_batch(config, [4, 1, 3], [2, 3, 1])


def large_case(name: str) -> tuple[NetworkConfig, Batch]:
    """Sizes that fill vectors and have tails."""
    config = dataclasses.replace(
        CONFIGS[name],
        source_size=19,
        target_size=37,
        embedding_size=9,
        hidden_size=34,
        copies=CONFIGS[name].copies and (*(CONFIGS[name].copies or ()), *range(3, 27, 2)),
    )
    return config, draw_batch(config, [5, 1, 7, 3, 3, 2, 6], [1, 4, 6, 2, 5, 3, 3])


def with_params(network: Any, params: dict[str, Array]) -> Any:
    """The network with these values of its parameters."""
    assert network.params.keys() == params.keys()
    for name, param in network.params.items():
        param[...] = params[name]
    return network


def large_params(config: NetworkConfig) -> dict[str, Array]:
    """Values larger than those that training starts from, so that every gradient is far from 0."""
    rng = generator(1)
    return {
        name: (rng.normal(size=shape) * (2 / np.sqrt(shape[0]) if len(shape) > 1 else 0.5))
        for name, shape in parameter_shapes(config).items()
    }


def loss_of(network: Any, batch: Batch) -> float:
    loss: float = network.loss(
        batch, label_smoothing=SMOOTHING, training=True, generator=generator()
    )
    return loss


def run(network: Any, batch: Batch) -> Results:
    """Loss and gradients of a training step."""
    loss = np.array(loss_of(network, batch))
    network.backward()
    return {"loss": loss, **{name: grad.copy() for name, grad in network.grads.items()}}


def run_both(config: NetworkConfig, batch: Batch) -> tuple[Results, Results]:
    params = large_params(config)
    ours = with_params(Network(config, generator()), params)
    twin = with_params(reference.Network(config, generator()), ours.params)
    return run(ours, batch), run(twin, batch)


def assert_results_close(actual: Results, expected: Results, config: NetworkConfig) -> None:
    """Compare with a tolerance for all sums on the way to a result, of the largest element's size.

    A state is the sum over a row's steps of those over D and H; each layer passes it on.
    """
    assert actual.keys() == expected.keys()
    wide = config.embedding_size + 6 * config.hidden_size
    terms = 2 * config.layers * 7 * wide + config.target_size
    for name, value in expected.items():
        magnitude = float(np.abs(value).max())
        tolerance = float32_tolerance(terms, magnitude, products=4 * config.layers)
        assert_close(actual[name], value, **tolerance)


def assert_same_bits(actual: Array, expected: Array) -> None:
    assert actual.dtype == expected.dtype == np.float32
    assert actual.shape == expected.shape
    assert np.array_equal(actual.view(np.uint32), expected.view(np.uint32))


def rows_of(batch: Batch, rows: Any, padding: int = 0) -> Batch:
    """Some rows, without the steps that none of them has, and with some that none of them has."""
    te, td = batch.source_lengths[rows].max(), batch.target_lengths[rows].max()

    def cut(ids: Array, T: int) -> Array:
        return np.pad(ids[rows, :T], ((0, 0), (0, padding)))

    return Batch(
        cut(batch.sources, te),
        batch.source_lengths[rows],
        cut(batch.inputs, td),
        cut(batch.targets, td),
        batch.target_lengths[rows],
        None if batch.weights is None else batch.weights[rows],
    )


def decode(network: Any, batch: Batch, steps: int) -> list[tuple[Array, ...]]:
    """Log probabilities and weights of some steps, each with the batch's own inputs."""
    encoded = network.encode(batch.sources, batch.source_lengths)
    state = network.first_state(encoded)
    results = []
    for t in range(steps):
        log_p, state, weights = network.step(encoded, state, batch.inputs[:, t])
        results.append((log_p,) if weights is None else (log_p, weights))
    return results
