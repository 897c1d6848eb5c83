"""A decoder's step of hard attention as nodes of ONNX; see `fastseq.transducer.network`.

What a step hands to the next is ``joint`` (N, Te, V): the probability of each position with each
symbol. At first it is 1 in the first position, whichever symbol is read. Probabilities are in
double precision, as some are below the smallest of float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from fastseq import _kernels
from fastseq.interop.export.graph import DOUBLE, FLOAT, Graph

Array = npt.NDArray[Any]

# The bounds of csrc/kernels/hard_attention/step.h, so that nothing that is divided by is 0.
_LEAST_LOG_EMISSION = -300.0
_LEAST_JUMP = 1e-30


def first_joint(graph: Graph, outputs: str, symbols: int) -> str:
    """The joint (N, Te, V) before the first symbol, from the encoder's outputs (N, Te, H)."""
    first = graph.node("Equal", _places(graph, outputs), graph.constant(0))
    column = _with_axis(graph, graph.cast(first, DOUBLE), 1)
    shape = graph.node(
        "Concat", graph.node("Shape", outputs, end=2), graph.constant([symbols]), axis=0
    )
    return str(graph.node("Expand", column, shape))


def attend_hard(
    graph: Graph,
    weights: Mapping[str, Array],
    state: str,
    id: str,
    content: str,
    own: str,
    values: Mapping[str, str],
) -> tuple[str, str, str]:
    """Log probabilities (N, V), the attention (N, Te), and the next joint (N, Te, V).

    Parameters
    ----------
    graph : Graph
    weights : mapping of str to ndarray of float
        ``jump.W``, ``jump.b``, ``output.W`` and ``output.b``.
    state : str
        The decoder's (N, H).
    id : str
        What it has read (N,).
    content : str
        The attention weights (N, Te) that do not regard the position.
    own : str
        The decoder's part of the features (N, H).
    values : mapping of str to str
        ``outputs``, ``keys`` and ``joint``.
    """
    held = {name: graph.weight(f"hard.{name}", array) for name, array in weights.items()}
    features = graph.node("Tanh", graph.node("Add", values["keys"], _with_axis(graph, own, 1)))
    scores = graph.node("Add", graph.node("MatMul", features, held["output.W"]), held["output.b"])
    logarithms = graph.cast(graph.node("LogSoftmax", scores, axis=2), DOUBLE)
    emissions = graph.node(
        "Exp", graph.node("Max", logarithms, graph.constant(_LEAST_LOG_EMISSION, DOUBLE))
    )
    # the belief: the joint at the symbol that was read, normalized
    by_symbol = graph.node("Transpose", values["joint"], perm=[0, 2, 1])
    likely = graph.node("GatherND", by_symbol, _with_axis(graph, id, 1), batch_dims=1)
    belief = graph.node("Div", likely, _sum(graph, likely, 1))
    # the moves (N, Te, Te), from each position to each other
    scored = graph.node("Gemm", state, held["jump.W"], held["jump.b"])
    jumps = graph.cast(graph.node("Softmax", scored, axis=1), DOUBLE)
    jumps = graph.node("Max", jumps, graph.constant(_LEAST_JUMP, DOUBLE))
    kinds = graph.node("Gather", jumps, _kinds(graph, values["outputs"]), axis=1)
    moves = graph.node("Mul", kinds, _with_axis(graph, graph.cast(content, DOUBLE), 1))
    moves = graph.node("Div", moves, _sum(graph, moves, 2))
    prior = graph.node("MatMul", _with_axis(graph, belief, 1), moves)
    prior = graph.node("Squeeze", prior, graph.constant([1]))
    joint = graph.node("Mul", _with_axis(graph, prior, 2), emissions)
    totals = graph.node("ReduceSum", joint, graph.constant([1]), keepdims=0)
    return graph.cast(graph.node("Log", totals), FLOAT), graph.cast(prior, FLOAT), joint


def _kinds(graph: Graph, outputs: str) -> str:
    """Which jump leads from each position to each other (Te, Te)."""
    smallest, largest = _kernels.JUMPS
    places = _places(graph, outputs)
    distances = graph.node("Sub", _with_axis(graph, places, 0), _with_axis(graph, places, 1))
    cut = graph.node("Clip", distances, graph.constant(smallest), graph.constant(largest))
    return str(graph.node("Sub", cut, graph.constant(smallest)))


def _places(graph: Graph, outputs: str) -> str:
    """0, 1, 2 and so on (Te,)."""
    count = graph.node("Squeeze", graph.node("Shape", outputs, start=1, end=2))
    return str(graph.node("Range", graph.constant(0), count, graph.constant(1)))


def _sum(graph: Graph, value: str, axis: int) -> str:
    return str(graph.node("ReduceSum", value, graph.constant([axis]), keepdims=1))


def _with_axis(graph: Graph, value: str, axis: int) -> str:
    return str(graph.node("Unsqueeze", value, graph.constant([axis])))
