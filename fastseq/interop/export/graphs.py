"""The graphs of a model: the encoder, one step of the decoder, and greedy decoding as a loop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastseq.interop.export.graph import BOOL, DOUBLE, FLOAT, INT64, Graph, Shape
from fastseq.interop.export.layers import Values, encode, step
from fastseq.interop.export.network import Description
from fastseq.transducer.data.vocabulary import END, START
from fastseq.transducer.model_config import Lengths
from fastseq.transducer.search.limits import MORE_STEPS, MOST_STEPS

_MOST_IDS = np.iinfo(np.int64).max


def encoder_graph(network: Description) -> Graph:
    """From sources to the decoder's initial states, and what its steps read of the source."""
    graph = Graph("encoder")
    ids, lengths = _sources(graph, network)
    shapes = _shapes(network)
    for name, value in encode(graph, network, ids, lengths).items():
        graph.output(name, value, _dtype(name), shapes[name])
    return graph


def step_graph(network: Description) -> Graph:
    """From the last ids and states to the scores of the next ids, and the new states."""
    graph = Graph("step")
    shapes = _shapes(network)
    id = graph.input("id", INT64, ["N"])
    values = {name: graph.input(name, _dtype(name), shape) for name, shape in shapes.items()}
    if network.is_transducer and network.attention is not None:
        values["lengths"] = graph.input("lengths", INT64, ["N"])
    new = step(graph, network, id, values)
    name = "log_probabilities" if network.is_transducer else "scores"
    graph.output(name, new["scores"], FLOAT, ["N", len(network.output[1])])
    for name in _states(network):
        graph.output(f"{name}_next", new[name], _dtype(name), shapes[name])
    if "attention" in new:
        weights = new["attention"]
        if network.reverse:
            weights = graph.node(
                "ReverseSequence", weights, values["lengths"], time_axis=1, batch_axis=0
            )
        graph.output("attention", weights, FLOAT, ["N", "Te"])
    return graph


def greedy_graph(network: Description, seen: Lengths | None) -> Graph:
    """From sources to answers, the most probable id of each step read by the next step.

    Parameters
    ----------
    network : Description
    seen : Lengths or None
        Those of a Transducer's training data. The textbook's models have None: their answers have
        as many ids as the caller says, and begin after an id that the caller gives.
    """
    graph = Graph("greedy")
    ids, lengths = _sources(graph, network)
    if seen is None:
        _fixed_answers(graph, network, ids)
    else:
        _ended_answers(graph, network, ids, lengths, seen)
    return graph


def _fixed_answers(graph: Graph, network: Description, ids: str) -> None:
    start = graph.input("start_id", INT64, [])
    size = graph.input("sample_size", INT64, [])
    values = encode(graph, network, ids, "")
    body = graph.body("step")
    _, _, id, states = _carried(body, network)
    new = step(body, network, id, values | states)
    chosen = body.node("ArgMax", new["scores"], axis=1, keepdims=0)
    body.output("going_on_next", body.constant(True, BOOL), BOOL, [])
    _hand_on(body, network, chosen, new)
    body.output("answer", chosen, INT64, ["N"])
    rows = graph.node("Shape", ids, end=1)
    initial = [graph.node("Expand", start, rows), *(values[name] for name in _states(network))]
    *_, answers = graph.loop(body, size, graph.constant(True, BOOL), initial)
    # of no step, a loop gives no rows either
    columns = graph.node("Unsqueeze", size, graph.constant([0]))
    shape = graph.node("Concat", rows, columns, axis=0)
    answers = graph.node("Reshape", _by_row(graph, answers), shape, allowzero=1)
    graph.output("answers", answers, INT64, ["N", "sample_size"])


def _ended_answers(
    graph: Graph, network: Description, ids: str, lengths: str, seen: Lengths
) -> None:
    values = encode(graph, network, ids, lengths) | {"lengths": lengths}
    limits = _limits(graph, lengths, seen)
    body = graph.body("step")
    iteration, _, id, states = _carried(body, network)
    active = body.input("active", BOOL, ["N"])
    total = body.input("total", DOUBLE, ["N"])
    count = body.input("count", INT64, ["N"])
    new = step(body, network, id, values | states)
    # <unk> and <s>, whose ids are below that of </s>, are never chosen
    end = body.constant(END)
    allowed = body.node("Slice", new["scores"], *(body.constant([k]) for k in (END, _MOST_IDS, 1)))
    best = body.node("Add", body.node("ArgMax", allowed, axis=1, keepdims=0), end)
    highest = body.cast(body.node("ReduceMax", allowed, axes=[1], keepdims=0), DOUBLE)
    chosen = body.node("Where", active, best, end)
    has_symbol = body.node("Not", body.node("Equal", chosen, end))
    taken = body.node("Add", iteration, body.constant(1))
    active_next = body.node("And", has_symbol, body.node("Less", taken, limits))
    body.output("going_on_next", _any(body, active_next), BOOL, [])
    _hand_on(body, network, chosen, new)
    body.output("active_next", active_next, BOOL, ["N"])
    added = body.node("Add", total, highest)
    body.output("total_next", body.node("Where", active, added, total), DOUBLE, ["N"])
    body.output("count_next", body.node("Add", count, body.cast(has_symbol, INT64)), INT64, ["N"])
    body.output("answer", chosen, INT64, ["N"])

    rows = graph.node("Shape", lengths)
    initial = [
        graph.node("Expand", graph.constant(START), rows),
        *(values[name] for name in _states(network)),
        *(
            graph.node("Expand", graph.constant(value, dtype), rows)
            for value, dtype in ((True, BOOL), (0, DOUBLE), (0, INT64))
        ),
    ]
    most = graph.node("ReduceMax", limits, keepdims=0)
    *_, totals, counts, answers = graph.loop(body, most, graph.constant(True, BOOL), initial)
    graph.output("answers", _by_row(graph, answers), INT64, ["N", "steps"])
    graph.output("answer_lengths", counts, INT64, ["N"])
    graph.output("log_probabilities", totals, DOUBLE, ["N"])


def _limits(graph: Graph, lengths: str, seen: Lengths) -> str:
    """The most symbols of each answer, `fastseq.transducer.search.limits.default_steps`."""

    def number(value: float) -> str:
        return graph.constant(float(value), DOUBLE)

    # the length of a source counts its end, which that function does not
    symbols = graph.cast(graph.node("Sub", lengths, graph.constant(1)), DOUBLE)
    factor = graph.node("Max", number(1), graph.node("Div", symbols, number(max(1, seen.source))))
    steps = graph.node("Ceil", graph.node("Mul", number(seen.target), factor))
    more = graph.node("Add", steps, number(MORE_STEPS))
    return graph.cast(graph.node("Min", more, number(MOST_STEPS)), INT64)


def _sources(graph: Graph, network: Description) -> tuple[str, str]:
    """Declare the inputs of an encoder: ids, and their lengths or an empty name."""
    ids = graph.input("ids", INT64, ["N", "Te"])
    return ids, graph.input("lengths", INT64, ["N"]) if network.is_transducer else ""


def _carried(body: Graph, network: Description) -> tuple[str, str, str, Values]:
    """Declare what a loop's body is given: its count, condition, the last ids, the states."""
    shapes = _shapes(network)
    iteration, going_on = body.input("iteration", INT64, []), body.input("going_on", BOOL, [])
    id = body.input("id", INT64, ["N"])
    states = {name: body.input(name, _dtype(name), shapes[name]) for name in _states(network)}
    return iteration, going_on, id, states


def _hand_on(body: Graph, network: Description, id: str, new: Values) -> None:
    """Declare the ids and states for the loop's next step."""
    body.output("id_next", id, INT64, ["N"])
    for name in _states(network):
        body.output(f"{name}_next", new[name], _dtype(name), _shapes(network)[name])


def _states(network: Description) -> Sequence[str]:
    """What a step hands to the next."""
    states = [*("hc" if network.decoder.has_c else "h")]
    if network.attention is not None and network.attention.kind == "hard":
        states.append("joint")
    return states


def _dtype(name: str) -> str:
    return DOUBLE if name == "joint" else FLOAT


def _shapes(network: Description) -> dict[str, Shape]:
    """Of the values that the encoder hands to the decoder's steps, in their order."""
    layers = network.decoder.layers
    H = len(layers[0][0][1])
    shapes: dict[str, Shape] = {name: [len(layers), "N", H] for name in _states(network)}
    if "joint" in shapes:
        shapes["joint"] = ["N", "Te", len(network.output[1])]
    if network.attention is not None:
        shapes["outputs"] = ["N", "Te", H]
        if "keys" in network.attention.weights:
            shapes["keys"] = ["N", "Te", network.attention.weights["keys"].shape[1]]
    if network.peeky:
        shapes["peek"] = ["N", H]
    return shapes


def _any(graph: Graph, flags: str) -> str:
    return graph.cast(graph.node("ReduceMax", graph.cast(flags, INT64), keepdims=0), BOOL)


def _by_row(graph: Graph, steps: str) -> str:
    return str(graph.node("Transpose", steps, perm=[1, 0]))
