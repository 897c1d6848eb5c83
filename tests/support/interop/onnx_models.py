"""Small ONNX models of recurrent nodes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

D, H = 4, 3
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def weights(kind: str, K: int = 1, inputs: int = D, hidden: int = H) -> dict[str, Array]:
    generator = np.random.default_rng(inputs)
    G = GATES[kind]
    shapes = {"W": (K, G * hidden, inputs), "R": (K, G * hidden, hidden), "B": (K, 2 * G * hidden)}
    return {name: generator.normal(size=shape).astype("f") for name, shape in shapes.items()}


def save(
    onnx: Any, path: Path, nodes: Iterable[Any], arrays: dict[str, Array], outputs: Iterable[str]
) -> Path:
    """A model with the input xs (T, N, D)."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("xs", floats, [None, None, D])],
        [helper.make_tensor_value_info(name, floats, None) for name in outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def recurrent(
    onnx: Any, tmp_path: Path, kind: str = "LSTM", inputs: tuple[str, ...] = (), **attributes: Any
) -> Path:
    """A model of one recurrent node."""
    K = 2 if attributes.get("direction") == "bidirectional" else 1
    node = onnx.helper.make_node(
        kind,
        ["xs", "W", "R", "B", *inputs],
        ["Y", "Y_h"],
        name="it",
        **{"hidden_size": H} | attributes,
    )
    arrays = weights(kind, K) | {
        "P": np.ones((K, 3 * H), "f"),
        "ones": np.ones((K, 2, H), "f"),
        "zeros": np.zeros((K, 2, H), "f"),
    }
    return save(onnx, tmp_path / "model.onnx", [node], arrays, ["Y", "Y_h"])
