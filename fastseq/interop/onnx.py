"""Recurrent nodes of an ONNX model as layers of fastseq."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq import _kernels
from fastseq.interop.gates import ONNX, Weights
from fastseq.interop.onnx_graph import Graph, Node
from fastseq.interop.sources import open_source
from fastseq.interop.stacks import make_stack
from fastseq.layers.base import checked
from fastseq.layers.recurrent.stack import RecurrentStack

Array = npt.NDArray[Any]

_ACTIVATIONS = {
    "LSTM": ["sigmoid", "tanh", "tanh"],
    "GRU": ["sigmoid", "tanh"],
    "RNN": ["tanh"],
}


def from_onnx(
    path: str | os.PathLike[str], node: str | None = None, *, batch_first: bool = True
) -> RecurrentStack:
    """A recurrent layer, or a stack of them, of an ONNX model.

    It needs onnx (``pip install "fastseq-kernels[onnx]"``).

    Parameters
    ----------
    path : path
        A model with a node ``LSTM``, ``GRU`` or ``RNN`` whose weights are constant.
    node : str, optional
        The name of the node, or of its first output where it has no name. Without it, the model has
        one recurrent node; or several of one kind, each of which feeds the next, as PyTorch exports
        a layer with ``num_layers=2``: they become one stack.
    batch_first : bool, default True
        Whether the stack takes (N, T, D), else (T, N, D), whatever the node's ``layout`` is.

    Returns
    -------
    RecurrentStack
        "gru" with ``reset_after`` as the node's ``linear_before_reset``.

    Raises
    ------
    ImportError
        onnx is not installed.
    OSError
        The file cannot be opened.
    TypeError, ValueError
        The file is damaged; there is no such node, or no single one; or it cannot be computed:
        peepholes, ``clip``, ``input_forget``, other ``activations``, the direction "reverse",
        a constant initial state other than zero. The message, one line, names the file, the node
        and the attribute.

    Notes
    -----
    Inputs of the node other than weights are arguments of `RecurrentStack.run`: ``sequence_lens``
    is ``lengths``, ``initial_h`` and ``initial_c`` are ``state``. Data outside the folder of the
    file is not read.

    Examples
    --------
    >>> from fastseq.interop import from_onnx
    >>> stack = from_onnx("model.onnx")  # doctest: +SKIP
    >>> hs, state = stack.run(xs)  # doctest: +SKIP
    """
    if not isinstance(batch_first, bool | np.bool_):
        raise TypeError(f"batch_first: expected a bool, got {type(batch_first).__name__}")
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            'reading ONNX models needs onnx: pip install "fastseq-kernels[onnx]"'
        ) from error
    with open_source(path) as file:
        try:
            model = onnx.ModelProto.FromString(file.read())
        except Exception as error:
            raise ValueError("expected an ONNX model, got something else or a part") from error
        graph = Graph(model.graph, os.path.dirname(os.path.abspath(path)))
        nodes = _find(graph, node)
        kinds = {_cell(each) for each in nodes}
        layers = [_weights(graph, each) for each in nodes]
        (cell,) = kinds
        return make_stack(ONNX, cell, layers, bool(batch_first))


def _find(graph: Graph, name: str | None) -> list[Node]:
    """The node of this name, or those of the only stack."""
    known = ", ".join(f"{each.name!r} ({each.kind})" for each in graph.nodes[:10])
    if not graph.nodes:
        raise ValueError("expected a node LSTM, GRU or RNN, got a model without one")
    if name is not None:
        found = [each for each in graph.nodes if each.name == name]
        if len(found) != 1:
            raise ValueError(f"node: expected one of {known}, got {name!r}")
        return found
    chain = graph.chain()
    if chain is None:
        raise ValueError(f"node: expected one of {known}, as they are not one stack, got None")
    return chain


def _cell(node: Node) -> str:
    if node.kind == "GRU":
        return "gru_reset_after" if node.attribute("linear_before_reset", 0) else "gru"
    return node.kind.lower()


def _weights(graph: Graph, node: Node) -> list[Weights]:
    """The weights of each direction; errors begin with the node's name."""
    try:
        _check(graph, node)
        cell, K = _cell(node), node.directions
        G = _kernels.CELLS[cell].gates
        R = _constant(graph, node, 2, "R")
        H = checked("R", R, "(K, G H, H)", K, None, None, kinds="f").shape[2]
        checked("R", R, "(K, G H, H)", K, G * H, H)
        W = checked("W", _constant(graph, node, 1, "W"), "(K, G H, D)", K, G * H, None, kinds="f")
        biases: list[list[Array]] = [[]] * K
        if node.input(3):
            B = _constant(graph, node, 3, "B")
            B = checked("B", B, "(K, 2 G H)", K, 2 * G * H, kinds="f")
            biases = [np.split(row, 2) for row in B]
        return [Weights(W[k].T, R[k].T, *biases[k]) for k in range(K)]
    except (TypeError, ValueError) as error:
        raise ValueError(f"node {node.name!r}: {error}") from error


def _check(graph: Graph, node: Node) -> None:
    """Refuse what ONNX has and fastseq has not."""
    direction = node.attribute("direction", "forward")
    if direction not in ("forward", "bidirectional"):
        raise ValueError(
            f"direction: expected forward or bidirectional, got {direction}: reverse the steps of "
            "the inputs instead"
        )
    expected = _ACTIVATIONS[node.kind] * node.directions
    activations = [str(each) for each in node.attribute("activations", expected)]
    if [each.lower() for each in activations] != expected:
        raise ValueError(f"activations: expected {expected}, got {activations}")
    for option in ("clip", "input_forget"):
        if node.attribute(option, 0):
            raise ValueError(f"{option}: expected none, got {node.attribute(option, 0)}")
    if node.input(7):
        raise ValueError(f"peepholes: expected none, got the input P, {node.input(7)!r}")
    for index, name in ((5, "initial_h"), (6, "initial_c")):
        state = graph.constant(node.input(index), through=("Identity", "Expand"))
        if state is not None and state.any():
            raise ValueError(
                f"{name}: expected zeros or an input of the model, got other constants"
            )


def _constant(graph: Graph, node: Node, index: int, name: str) -> Array:
    found = graph.constant(node.input(index))
    if found is None:
        raise ValueError(f"{name}: expected a constant, got what the model computes")
    return found
