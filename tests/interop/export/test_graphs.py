"""Exported networks of a Transducer under onnxruntime, beside the networks themselves."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastseq.interop import from_onnx
from fastseq.interop.export import graphs
from fastseq.interop.export.graphs import greedy_graph, step_graph
from fastseq.interop.export.network import describe_network
from fastseq.transducer.data.vocabulary import END
from fastseq.transducer.model_config import Lengths
from fastseq.transducer.search import limits
from fastseq.transducer.search.limits import default_steps
from support.interop.exported import (
    SEEN,
    Exported,
    assert_same_answers,
    assert_same_steps,
    random_network,
    random_sources,
)

onnx: Any = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
# The graphs compute in float32, and their states are compared to the rounding of its sums.
pytestmark = pytest.mark.usefixtures("float32_products")

CELLS = {
    "lstm": {"cell": "lstm"},
    "gru": {"cell": "gru"},
    "gru_reset_after": {"cell": "gru", "reset_after": True},
}
ENCODERS = ("bidirectional", "unidirectional")
ATTENTIONS = ("none", "dot", "scaled_dot", "general", "additive")
PARTS = [
    *itertools.product(CELLS, ENCODERS, ATTENTIONS),
    *itertools.product(CELLS, reversed(ENCODERS), ["hard"]),
]
OTHERS = list(itertools.product((1, 2), (False, True), (False, True)))  # layers, peeky, reverse


def settings(parts: tuple[str, str, str], others: tuple[int, bool, bool]) -> dict[str, Any]:
    cell, encoder, attention = parts
    layers, peeky, reverse = others
    return CELLS[cell] | {
        "encoder": encoder,
        "attention": attention,
        "layers": layers,
        "peeky": peeky and attention != "hard",
        "reverse": reverse,
    }


@pytest.mark.parametrize("index", range(len(PARTS)), ids=["-".join(parts) for parts in PARTS])
def test_steps_and_answers_are_the_same(index: int) -> None:
    # the other options in turn: each of them comes with each part
    network = random_network(**settings(PARTS[index], OTHERS[3 * index % len(OTHERS)]))
    assert_same_steps(network)
    assert len({tuple(answer) for answer in assert_same_answers(network)}) > 1


@pytest.mark.slow
@pytest.mark.parametrize("parts", PARTS, ids="-".join)
@pytest.mark.parametrize("others", OTHERS)
def test_all_options_together(parts: tuple[str, str, str], others: tuple[int, bool, bool]) -> None:
    network = random_network(seed=1, **settings(parts, others))
    assert_same_steps(network)
    assert_same_answers(network)


@pytest.mark.parametrize("name", ["encoder.0.0.Wh", "encoder.0.1.b", "decoder.0.Wx", "combine.W"])
def test_another_weight_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network()
    described = describe_network(network)
    own = network.params[name]
    changed = own.copy()
    changed.flat[3] += 0.01
    # the graph is made of the changed weight, then the network has its own again
    right = own.copy()
    own[...] = changed
    files = [
        graph.serialize() for graph in (graphs.encoder_graph(described), step_graph(described))
    ]
    own[...] = right
    made = iter(files)
    monkeypatch.setattr("support.interop.exported.encoder_graph", lambda _: next(made))
    monkeypatch.setattr("support.interop.exported.step_graph", lambda _: next(made))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_same_steps(network)


def endless(**changes: Any) -> Any:
    """A network that never chooses the end."""
    network = random_network(**changes)
    network.params["output.b"][END] = -1e9
    return network


@pytest.mark.parametrize("seen", [(0, 0), (1, 10), (7, 3), (29, 10), (3, 100), (50, 1)])
def test_an_answer_is_cut_where_fastseq_cuts_it(seen: tuple[int, int]) -> None:
    network = endless()
    graph = Exported(greedy_graph(describe_network(network), Lengths(*seen)))
    lengths = np.arange(1, 62)
    ids = np.zeros((len(lengths), lengths.max()), dtype=np.int64)
    found = graph(ids=ids, lengths=lengths)
    expected = default_steps(lengths - 1, Lengths(*seen))
    assert found["answer_lengths"].tolist() == expected.tolist()
    assert found["answers"].shape[1] == expected.max()


def test_no_answer_is_longer_than_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST_STEPS", 50)
    monkeypatch.setattr(limits, "MOST_STEPS", 50)
    answers = assert_same_answers(endless(), Lengths(source=1, target=10))
    assert sorted(map(len, answers))[-1] == 50


def test_neither_the_unknown_symbol_nor_the_start_is_an_answer() -> None:
    network = random_network()
    network.params["output.b"][:END] = 10
    answers = assert_same_answers(network)
    assert min(min(answer, default=END) for answer in answers) >= END


def test_of_equal_symbols_the_first_is_chosen() -> None:
    network = endless()
    for name in ("output.W", "output.b"):
        network.params[name][..., END + 1 :] = network.params[name][..., END + 1 : END + 2]
    assert {id for answer in assert_same_answers(network) for id in answer} == {END + 1}


def test_padding_has_no_effect() -> None:
    network = random_network(layers=2, attention="additive", reverse=True)
    graph = Exported(greedy_graph(describe_network(network), SEEN))
    ids, lengths = random_sources(network)
    other = np.where(np.arange(ids.shape[1]) < lengths[:, np.newaxis], ids, (ids + 3) % 11)
    assert (other != ids).any()
    wider = np.pad(other, ((0, 0), (0, 5)))
    results = [graph(ids=each, lengths=lengths) for each in (ids, other, wider)]
    for found in results[1:]:
        for name, value in results[0].items():
            np.testing.assert_array_equal(found[name], value)


def test_weights_are_in_a_graph_once() -> None:
    network = random_network(layers=2, attention="additive", peeky=True)
    model = onnx.ModelProto.FromString(greedy_graph(describe_network(network), SEEN).serialize())
    held = {each.name: tuple(each.dims) for each in model.graph.initializer}
    assert held["source_embedding"] == (11, 5)
    assert held["encoder.1.W"] == (2, 16, 8)
    assert held["decoder.0.W"] == (1, 32, 13)
    assert {"attention.keys", "attention.query", "attention.v", "combine.W", "output.b"} <= set(
        held
    )
    [loop] = [node for node in model.graph.node if node.op_type == "Loop"]
    assert len(loop.attribute[0].g.initializer) == 0
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 17)]
    assert model.ir_version == 8


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_reader_of_onnx_reads_the_same_weights(cell: str, encoder: str, tmp_path: Path) -> None:
    network = random_network(layers=2, encoder=encoder, attention="none", **CELLS[cell])
    path = tmp_path / "encoder.onnx"
    path.write_bytes(graphs.encoder_graph(describe_network(network)).serialize())
    own = [value for name, value in network.params.items() if name.startswith("encoder.")]
    read = from_onnx(path).params
    for index, (found, expected) in enumerate(zip(read, own, strict=True)):
        np.testing.assert_array_equal(found, expected, err_msg=str(index))


def test_a_graph_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastseq.interop.export.graph._LARGEST_FILE", 1000)
    with pytest.raises(
        ValueError, match=r"^step.onnx: expected at most 1,000 bytes, .* got weights"
    ):
        step_graph(describe_network(random_network())).serialize()
