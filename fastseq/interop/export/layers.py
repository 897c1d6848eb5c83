"""The parts of a network as nodes of ONNX: recurrent layers, encoder, attention, a decoder's step.

The values that the encoder hands to every step are named as in the files: ``outputs``, ``keys``,
``peek``, and ``lengths`` of the sources; ``h`` and ``c`` are states (layers, N, H), ``joint`` is
that of hard attention (N, Te, V).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.interop.export.graph import FLOAT, INT32, Graph
from fastseq.interop.export.hard_attention import attend_hard, first_joint
from fastseq.interop.export.network import Attention, Description
from fastseq.interop.gates import ONNX, Weights, from_fastseq

Array = npt.NDArray[Any]
Values = dict[str, str]


def encode(graph: Graph, network: Description, ids: str, lengths: str) -> Values:
    """The encoder over whole sources: the initial ``h`` and ``c``, and what every step reads.

    Parameters
    ----------
    graph : Graph
    network : Description
    ids : str
        (N, Te)
    lengths : str
        (N,); empty where every source has Te steps.
    """
    stack = network.encoder
    assert stack is not None
    embedded = graph.node("Gather", graph.weight("source_embedding", stack.embedding), ids)
    xs = _swapped(graph, embedded)  # (Te, N, D)
    if network.reverse:
        xs = graph.node("ReverseSequence", xs, lengths, time_axis=0, batch_axis=1)
    steps = graph.cast(lengths, INT32) if lengths else ""
    states: dict[str, list[str]] = {"h": [], "c": []}
    for index, weights in enumerate(stack.layers):
        hs, *last = recurrent(graph, f"encoder.{index}", stack.cell, weights, xs, steps)
        # (Te, K, N, H / K) to (Te, N, H), and (K, N, H / K) to (1, N, H)
        width = len(weights) * len(weights[0][1])
        xs = graph.node(
            "Reshape",
            graph.node("Transpose", hs, perm=[0, 2, 1, 3]),
            graph.constant([0, 0, width]),
        )
        for name, state in zip("hc", last, strict=False):
            rows = graph.node("Reshape", _swapped(graph, state), graph.constant([0, width]))
            states[name].append(_with_axis(graph, rows, 0))
    outputs = _swapped(graph, xs)
    if network.is_transducer:
        values = {name: _stacked(graph, layers) for name, layers in states.items() if layers}
    else:
        values = {"h": graph.node("Gather", outputs, graph.constant([-1]), axis=1)}
        values["h"] = _swapped(graph, values["h"])
        if network.decoder.has_c:
            values["c"] = graph.node("ConstantOfShape", graph.node("Shape", values["h"]))
    if network.attention is not None:
        values["outputs"] = outputs
        if "keys" in network.attention.weights:
            keys = graph.weight("attention.keys", network.attention.weights["keys"])
            values["keys"] = graph.node("MatMul", outputs, keys)
        if network.attention.kind == "hard":
            values["joint"] = first_joint(graph, outputs, len(network.output[1]))
    if network.peeky:
        values["peek"] = graph.node("Gather", values["h"], graph.constant(-1))
    return values


def step(graph: Graph, network: Description, id: str, values: Mapping[str, str]) -> Values:
    """One step of the decoder.

    Parameters
    ----------
    graph : Graph
    network : Description
    id : str
        The last ids (N,).
    values : mapping of str to str
        The states and what the encoder hands over.

    Returns
    -------
    dict of str to str
        ``scores`` (N, V), of a Transducer log probabilities; the new ``h``, and ``c`` where there
        is one, of hard attention ``joint``; with attention ``attention`` (N, Te), in the order in
        which the source was read.
    """
    stack = network.decoder
    x = graph.node("Gather", graph.weight("target_embedding", stack.embedding), id)
    if network.peeky:
        x = graph.node("Concat", values["peek"], x, axis=1)
    x = _with_axis(graph, x, 0)  # of one time step
    states: dict[str, list[str]] = {"h": [], "c": []}
    for index, weights in enumerate(stack.layers):
        first = [
            _layer(graph, values[name], index, len(stack.layers)) for name in "hc" if name in values
        ]
        _, *last = recurrent(graph, f"decoder.{index}", stack.cell, weights, x, "", *first)
        for name, state in zip("hc", last, strict=False):
            states[name].append(state)
        x = last[0]
    new = {name: _stacked(graph, layers) for name, layers in states.items() if layers}
    a = _without_axis(graph, x, 0)
    if network.attention is not None and network.attention.kind == "hard":
        return new | _hard_scores(graph, network, a, id, values)
    if network.attention is not None:
        a, new["attention"] = _attend(graph, network.attention, a, values)
    if network.peeky:
        a = graph.node("Concat", values["peek"], a, axis=1)
    new["scores"] = _affine(graph, "output", a, network.output)
    if network.is_transducer:
        new["scores"] = graph.node("LogSoftmax", new["scores"], axis=1)
    return new


def recurrent(
    graph: Graph,
    name: str,
    cell: str,
    weights: list[list[Array]],
    xs: str,
    lengths: str,
    *first: str,
) -> list[str]:
    """One layer over time: hs (T, K, N, H), then the last h and, of an LSTM, c (K, N, H).

    Parameters
    ----------
    graph : Graph
    name : str
        What the names of the weights and results begin with.
    cell : str
    weights : list of list of ndarray
        Those of each of K directions.
    xs : str
        (T, N, D)
    lengths : str
        (N,) of int32, or empty.
    *first : str
        The initial h and c (K, N, H); zeros by default.
    """
    theirs = [from_fastseq(ONNX, cell, each) for each in weights]
    W = graph.weight(f"{name}.W", np.stack([each.Wx.T for each in theirs]))
    R = graph.weight(f"{name}.R", np.stack([each.Wh.T for each in theirs]))
    B = graph.weight(f"{name}.B", np.stack([_biases(each) for each in theirs]))
    attributes: dict[str, Any] = {
        "hidden_size": len(theirs[0].Wh),
        "direction": "bidirectional" if len(theirs) == 2 else "forward",
    }
    if cell.startswith("gru"):
        attributes["linear_before_reset"] = int(cell == "gru_reset_after")
    kind = cell.partition("_")[0].upper()
    names = [f"{name}.{result}" for result in ("hs", "h", "c")[: 1 + _kernels.CELLS[cell].states]]
    graph.node(kind, xs, W, R, B, lengths, *first, names=names, **attributes)
    return names


def _biases(weights: Weights) -> Array:
    assert weights.bx is not None and weights.bh is not None  # `from_fastseq` returns both
    return np.concatenate((weights.bx, weights.bh))


def _attend(
    graph: Graph, attention: Attention, state: str, values: Mapping[str, str]
) -> tuple[str, str]:
    """What the output layer reads, and the weights (N, Te), for states (N, H)."""
    weights = _weights(graph, attention, state, values)
    context = graph.node("MatMul", _with_axis(graph, weights, 1), values["outputs"])
    a = graph.node("Concat", _without_axis(graph, context, 1), state, axis=1)
    if attention.combine:
        a = graph.node("Tanh", _affine(graph, "combine", a, attention.combine))
    return a, weights


def _weights(graph: Graph, attention: Attention, state: str, values: Mapping[str, str]) -> str:
    """The attention weights (N, Te) of states (N, H)."""
    outputs, held = values["outputs"], attention.weights
    query = state
    if "query" in held:
        query = graph.node("MatMul", state, graph.weight("attention.query", held["query"]))
    if attention.kind == "additive":
        compared = graph.node("Add", values["keys"], _with_axis(graph, query, 1))
        v = graph.weight("attention.v", held["v"][:, np.newaxis])
        scores = graph.node("MatMul", graph.node("Tanh", compared), v)
    else:
        scores = graph.node("MatMul", outputs, _with_axis(graph, query, 2))
    scores = _without_axis(graph, scores, 2)
    if attention.kind == "scaled_dot":
        scale = 1 / np.sqrt(len(attention.combine[1]))
        scores = graph.node("Mul", scores, graph.constant(scale, FLOAT))
    if "lengths" in values:
        count = _without_axis(graph, graph.node("Shape", outputs, start=1, end=2), 0)
        places = graph.node("Range", graph.constant(0), count, graph.constant(1))
        own = graph.node("Less", places, _with_axis(graph, values["lengths"], 1))
        scores = graph.node("Where", own, scores, graph.constant(-np.inf, FLOAT))
    return str(graph.node("Softmax", scores, axis=1))


def _hard_scores(
    graph: Graph, network: Description, state: str, id: str, values: Mapping[str, str]
) -> Values:
    """The results of a step of hard attention that depend on the state (N, H) of the top layer."""
    assert network.attention is not None
    held = network.attention.weights
    own = _affine(graph, "combine", state, network.attention.combine)
    content = _weights(graph, network.attention, state, values)
    weights = {name: held[name] for name in ("jump.W", "jump.b")}
    weights |= {"output.W": network.output[0], "output.b": network.output[1]}
    results = attend_hard(graph, weights, state, id, content, own, values)
    return dict(zip(("scores", "attention", "joint"), results, strict=True))


def _affine(graph: Graph, name: str, x: str, params: list[Array]) -> str:
    W, b = (graph.weight(f"{name}.{key}", param) for key, param in zip("Wb", params, strict=True))
    return str(graph.node("Gemm", x, W, b))


def _layer(graph: Graph, states: str, index: int, count: int) -> str:
    """The state (1, N, H) of one of several layers."""
    return states if count == 1 else str(graph.node("Gather", states, graph.constant([index])))


def _stacked(graph: Graph, states: list[str]) -> str:
    return states[0] if len(states) == 1 else str(graph.node("Concat", *states, axis=0))


def _swapped(graph: Graph, value: str) -> str:
    """The first two of three axes in the other order."""
    return str(graph.node("Transpose", value, perm=[1, 0, 2]))


def _with_axis(graph: Graph, value: str, axis: int) -> str:
    return str(graph.node("Unsqueeze", value, graph.constant([axis])))


def _without_axis(graph: Graph, value: str, axis: int) -> str:
    return str(graph.node("Squeeze", value, graph.constant([axis])))
