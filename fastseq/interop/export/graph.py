"""Builds a graph of ONNX: nodes, weights, constants, and the model's inputs and outputs.

Opset 17 with IR version 8 is what runtimes since 2022 read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastseq.version import __version__

Array = npt.NDArray[Any]
Shape = Sequence[str | int]

OPSET = 17
_IR_VERSION = 8
_LARGEST_FILE = 2**31 - 1  # of protobuf

FLOAT, DOUBLE, INT64, INT32, BOOL = "float32", "float64", "int64", "int32", "bool"


def import_onnx() -> Any:
    """The package onnx.

    Raises
    ------
    ImportError
        It is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            'writing ONNX models needs onnx: pip install "fastseq-kernels[onnx]"'
        ) from error
    return onnx


class Graph:
    """A graph that is being built. Values are named by strings; an empty one is an omitted input.

    Parameters
    ----------
    name : str
    parent : Graph, optional
        Of the body of a loop: its nodes may read the values of the graph around it, which holds the
        weights and constants of both.

    Attributes
    ----------
    interface : dict
        The names, types and shapes of the inputs and outputs, in their order, as JSON knows them.
    """

    def __init__(self, name: str, parent: Graph | None = None) -> None:
        self._onnx = import_onnx()
        self._name = name
        self._nodes: list[Any] = []
        # of all graphs, one inside the other
        self._root: Graph = self if parent is None else parent._root
        self._held: dict[str, Array] = {}
        self._count = 0
        self.interface: dict[str, list[dict[str, Any]]] = {"inputs": [], "outputs": []}

    def input(self, name: str, dtype: str, shape: Shape) -> str:
        """Declare an input; its name."""
        self.interface["inputs"].append({"name": name, "dtype": dtype, "shape": list(shape)})
        return name

    def output(self, name: str, value: str, dtype: str, shape: Shape) -> None:
        """Declare an output of this name, which is a value."""
        self.interface["outputs"].append({"name": name, "dtype": dtype, "shape": list(shape)})
        self.node("Identity", value, names=[name])

    def weight(self, name: str, array: Array) -> str:
        """Hold an array as float32; the value is of the given name."""
        self._root._held[name] = np.ascontiguousarray(array, dtype=np.float32)
        return name

    def constant(self, value: Any, dtype: str = INT64) -> str:
        """A number, or a list of numbers for a vector."""
        array = np.array(value, dtype=dtype)
        name = f"{dtype} {array.tolist()}".replace(" ", "_")
        self._root._held[name] = array
        return name

    def node(
        self, kind: str, *inputs: str, names: Sequence[str] | None = None, **attributes: Any
    ) -> Any:
        """Add a node.

        Parameters
        ----------
        kind : str
            The operator.
        *inputs : str
        names : sequence of str, optional
            Those of the results; one new name by default.
        **attributes

        Returns
        -------
        str
            The value, of several results the first.
        """
        names = [self._new_name(kind)] if names is None else list(names)
        # runtimes derive the names of fused nodes from those of their parts
        node = self._onnx.helper.make_node(kind, inputs, names, name=names[0], **attributes)
        self._nodes.append(node)
        return names[0]

    def body(self, name: str) -> Graph:
        """A new graph, for a loop in this one."""
        return Graph(name, self)

    def cast(self, value: str, dtype: str) -> str:
        """The same numbers in another type."""
        return str(self.node("Cast", value, to=self._element(dtype)))

    def loop(self, body: Graph, most: str, condition: str, initial: Sequence[str]) -> list[str]:
        """Run a body at most so many times, while its condition holds; all its results."""
        # the body's own first output is the condition
        names = [self._new_name("Loop") for _ in body.interface["outputs"][1:]]
        self.node("Loop", most, condition, *initial, names=names, body=body._proto([]))
        return names

    def serialize(self) -> bytes:
        """The content of a file, which onnx has checked.

        Raises
        ------
        ValueError
            It is too large for the format.
        """
        size = sum(array.nbytes for array in self._held.values())
        if size > _LARGEST_FILE:
            raise ValueError(
                f"{self._name}.onnx: expected at most {_LARGEST_FILE:,} bytes, as the format "
                f"allows, got weights of {size:,}"
            )
        helper, numpy_helper = self._onnx.helper, self._onnx.numpy_helper
        held = [numpy_helper.from_array(array, name) for name, array in self._held.items()]
        model = helper.make_model(
            self._proto(held),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
            producer_name="fastseq",
            producer_version=__version__,
        )
        self._onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    def _new_name(self, kind: str) -> str:
        """A name that no other value has."""
        self._root._count += 1
        return f"{kind}_{self._root._count}"

    def _proto(self, held: list[Any]) -> Any:
        values = [
            [
                self._onnx.helper.make_tensor_value_info(
                    each["name"], self._element(each["dtype"]), each["shape"]
                )
                for each in self.interface[side]
            ]
            for side in ("inputs", "outputs")
        ]
        return self._onnx.helper.make_graph(self._nodes, self._name, *values, held)

    def _element(self, dtype: str) -> Any:
        return self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
