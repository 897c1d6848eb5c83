"""Exported models: run by onnxruntime, and beside fastseq's own results."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastseq.interop.export.graph import Graph
from fastseq.interop.export.graphs import encoder_graph, greedy_graph, step_graph
from fastseq.interop.export.network import describe_network
from fastseq.transducer.data.vocabulary import END, START
from fastseq.transducer.model_config import Lengths
from fastseq.transducer.network.network import Network, NetworkConfig
from fastseq.transducer.search.greedy import greedy
from fastseq.transducer.search.limits import default_steps

Array = npt.NDArray[Any]
Results = dict[str, Array]

SEEN = Lengths(source=4, target=3)
# Both compute in float32 and sum in another order; the states are of the order of 1, and the
# logarithms of the order of 10.
STATES, LOGARITHMS = 5e-6, 1e-5


class Exported:
    """A graph in onnxruntime."""

    def __init__(self, graph: Graph | bytes) -> None:
        content = graph if isinstance(graph, bytes) else graph.serialize()
        self._session = pytest.importorskip("onnxruntime").InferenceSession(content)

    def __call__(self, **given: Any) -> Results:
        """The results by name; what is given beside the inputs is dropped."""
        names = [each.name for each in self._session.get_outputs()]
        inputs = {each.name: np.asarray(given[each.name]) for each in self._session.get_inputs()}
        return dict(zip(names, self._session.run(names, inputs), strict=True))


def random_network(seed: int = 0, scale: float = 0.7, **settings: Any) -> Network:
    """A small network of large weights, whose answers are varied."""
    sizes = {"source_size": 11, "target_size": 9, "embedding_size": 5, "hidden_size": 8}
    generator = np.random.default_rng(seed)
    network = Network(NetworkConfig(**(sizes | settings)), generator)
    for param in network.params.values():
        param[...] = generator.normal(size=param.shape) * scale
    return network


def random_sources(network: Network, rows: int = 6, steps: int = 9) -> tuple[Array, Array]:
    """Sources of several lengths; what lies past a length is any id."""
    generator = np.random.default_rng(1)
    ids = generator.integers(0, network.config.source_size, (rows, steps))
    return ids, generator.permutation(steps)[:rows] + 1


def assert_same_steps(network: Network, count: int = 4) -> None:
    """Compare the encoder and some steps with random ids."""
    described = describe_network(network)
    encoder, step = Exported(encoder_graph(described)), Exported(step_graph(described))
    ids, lengths = random_sources(network)
    encoded = network.encode(ids, lengths)
    state = network.first_state(encoded)
    theirs = encoder(ids=ids, lengths=lengths)
    if encoded.keys is not None:
        real = np.arange(ids.shape[1]) < lengths[:, np.newaxis]
        np.testing.assert_allclose(theirs["keys"][real], encoded.keys[real], atol=STATES)
    if "outputs" in theirs:
        np.testing.assert_allclose(theirs["outputs"], encoded.outputs, atol=STATES)
    assert ("outputs" in theirs) == (network.config.attention != "none")
    chosen = np.random.default_rng(2).integers(0, network.config.target_size, (count, len(ids)))
    for id in (np.full(len(ids), START), *chosen):
        np.testing.assert_allclose(theirs["h"], np.array(state.h), atol=STATES)
        if network.config.cell == "lstm":
            np.testing.assert_allclose(theirs["c"], np.array(state.c), atol=STATES)
        log_probabilities, state, weights = network.step(encoded, state, id)
        found = step(id=id, lengths=lengths, **theirs)
        theirs |= {name.removesuffix("_next"): found[name] for name in found if "_next" in name}
        np.testing.assert_allclose(found["log_probabilities"], log_probabilities, atol=LOGARITHMS)
        if weights is not None:
            np.testing.assert_allclose(found["attention"], weights, atol=STATES)


def assert_same_answers(network: Network, seen: Lengths = SEEN) -> list[list[int]]:
    """Compare whole answers, of a batch and of each of its rows; returns the answers."""
    graph = Exported(greedy_graph(describe_network(network), seen))
    ids, lengths = random_sources(network)
    answers = greedy(network, ids, lengths, default_steps(lengths - 1, seen))
    together = graph(ids=ids, lengths=lengths)
    # the loop ends with the longest answer
    assert together["answers"].shape[1] == max(len(own.ids) + own.finished for own in answers)
    for row, own in enumerate(answers):
        alone = graph(ids=ids[row : row + 1, : lengths[row]], lengths=lengths[row : row + 1])
        for found, index in ((together, row), (alone, 0)):
            count = found["answer_lengths"][index]
            answer = found["answers"][index]
            assert answer[:count].tolist() == own.ids
            assert (answer[count:] == END).all()
            difference = found["log_probabilities"][index] - own.log_probability
            assert abs(difference) <= LOGARITHMS * (count + 1)
    return [answer.ids for answer in answers]
