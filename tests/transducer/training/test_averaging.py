"""The running average of the weights, which is what training tries and keeps."""

from typing import Any

import numpy as np

from fastseq import Transducer
from fastseq.transducer.network.network import Network
from support.transducer.interrupted import Call
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer

PAIRS = tiny_pairs()


def test_what_is_kept_is_the_running_average() -> None:
    settings: dict[str, Any] = {"batch_size": 60, "epochs": 4, "monitor": "loss"}
    weights_of: dict[float, list[Any]] = {0.0: [], 0.5: []}
    for averaging, seen in weights_of.items():
        model = tiny_transducer(averaging=averaging, **settings)

        def remember(model: Transducer, _: Any, seen: list[Any] = seen) -> None:
            seen.append(model.network_.params["output.W"].copy())

        model.fit(*PAIRS, None, callbacks=[Call(remember)])
    start = Network(model._config.network_config(), _first_weights(model))
    average = start.params["output.W"].copy()
    for update, param in enumerate(weights_of[0.0]):
        share = min(0.5, (1 + update) / (10 + update))
        average += np.float32(1 - share) * (param - average)
        np.testing.assert_allclose(weights_of[0.5][update], average, rtol=1e-5, atol=1e-7)
    assert np.abs(weights_of[0.5][-1] - weights_of[0.0][-1]).max() > 1e-3
    # of falling losses the last is the best
    assert np.array_equal(model.network_.params["output.W"], weights_of[0.5][-1])


def _first_weights(model: Transducer) -> np.random.Generator:
    seeds = np.random.SeedSequence(model.seed).spawn(4)
    return np.random.default_rng(seeds[3])
