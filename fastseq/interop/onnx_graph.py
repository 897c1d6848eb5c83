"""The recurrent nodes of an ONNX graph, what is constant in it, and which node feeds which."""

from __future__ import annotations

import math
import os
import stat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastseq.files import open_at_once

Array = npt.NDArray[Any]

_RECURRENT = ("LSTM", "GRU", "RNN")
_MOVING = ("Identity", "Dropout", "Transpose", "Squeeze", "Slice", "Reshape")
_MOST_STEPS = 16  # between two recurrent nodes, or between a node and a constant


class Node:
    """A recurrent node of the graph, with its attributes.

    Parameters
    ----------
    proto : onnx.NodeProto
    """

    def __init__(self, proto: Any) -> None:
        self.proto = proto
        self.kind: str = proto.op_type
        self.name: str = proto.name or next(iter(filter(None, proto.output)), "")
        self.attributes = _attributes(proto)

    def attribute(self, name: str, default: Any) -> Any:
        """The value of an attribute, text as str."""
        found = self.attributes.get(name, default)
        if isinstance(found, list):
            return [each.decode() if isinstance(each, bytes) else each for each in found]
        return found.decode() if isinstance(found, bytes) else found

    def input(self, index: int) -> str:
        """The name of an input, empty where there is none."""
        inputs = self.proto.input
        return inputs[index] if index < len(inputs) else ""

    @property
    def directions(self) -> int:
        """K."""
        return 2 if self.attribute("direction", "forward") == "bidirectional" else 1


class _Outputs(NamedTuple):
    """The outputs of a recurrent node, or those of one direction.

    Attributes
    ----------
    node : Node
    axes : str
        Their axes, T, N, K and H; after both directions are side by side, H stands for K H.
    direction : int or None
        0 or 1 where it is one of two directions.
    """

    node: Node
    axes: str
    direction: int | None


def _attributes(proto: Any) -> dict[str, Any]:
    from onnx.helper import get_attribute_value

    return {each.name: get_attribute_value(each) for each in proto.attribute}


class Graph:
    """A graph whose constants are read when they are needed.

    Parameters
    ----------
    proto : onnx.GraphProto
    folder : str
        That of the file; data outside it is not read.
    """

    def __init__(self, proto: Any, folder: str) -> None:
        self._folder = os.path.realpath(folder)
        self._initializers = {tensor.name: tensor for tensor in proto.initializer}
        self._producers = {name: node for node in proto.node for name in node.output if name}
        self.nodes = [
            Node(node)
            for node in proto.node
            if node.op_type in _RECURRENT and node.domain in ("", "ai.onnx")
        ]

    def constant(self, name: str, through: tuple[str, ...] = ("Identity",)) -> Array | None:
        """The array that a name always stands for, or None.

        Parameters
        ----------
        name : str
        through : tuple of str
            The operators whose first input is taken for their output.
        """
        for _ in range(_MOST_STEPS):
            if name in self._initializers:
                return self._array(name, self._initializers[name])
            node = self._producers.get(name)
            if node is None:
                return None
            if node.op_type == "Constant":
                return self._constant_node(name, node)
            if node.op_type not in through or not node.input:
                return None
            name = node.input[0]
        return None

    def chain(self) -> list[Node] | None:
        """All recurrent nodes in the order in which each feeds the next, or None if they do not.

        They are of one kind and of the same directions then.
        """
        kinds = {
            (node.kind, node.directions, node.attribute("linear_before_reset", 0))
            for node in self.nodes
        }
        next_of = {id(self._fed_by(node)): node for node in self.nodes}
        ordered = [next_of[id(None)]] if id(None) in next_of else []
        while ordered and id(ordered[-1]) in next_of and len(ordered) < len(self.nodes):
            ordered.append(next_of[id(ordered[-1])])
        is_chain = len(kinds) == 1 and len(ordered) == len(next_of) == len(self.nodes)
        return ordered if is_chain else None

    def _fed_by(self, node: Node) -> Node | None:
        """The recurrent node whose outputs of all steps are the inputs of this one."""
        found = self._origin(node.input(0), _MOST_STEPS)
        axes = "NTH" if node.attribute("layout", 0) else "TNH"
        return found.node if found is not None and found[1:] == (axes, None) else None

    def _origin(self, name: str, most: int) -> _Outputs | None:
        """What of a recurrent node's outputs a name stands for, or None if that is not known."""
        step = self._producers.get(name)
        if step is None or not step.input or most == 0:
            return None
        for node in self.nodes:
            if node.proto is step:
                axes = "NTKH" if node.attribute("layout", 0) else "TKNH"
                return _Outputs(node, axes, None) if name == step.output[0] else None
        if step.op_type == "Concat" and len(step.input) == 2:
            return self._side_by_side(step, most)
        if step.op_type not in _MOVING:
            return None
        before = self._origin(step.input[0], most - 1)
        return None if before is None else self._after(step, before)

    def _side_by_side(self, step: Any, most: int) -> _Outputs | None:
        """The outputs of both directions, joined along the last axis."""
        # few steps, as each may be another Concat
        parts = [self._origin(each, min(most - 1, 4)) for each in step.input]
        axis = _attributes(step).get("axis")
        match parts:
            case [_Outputs(node, axes, 0), _Outputs(other, others, 1)] if node is other:
                if axes == others in ("TNH", "NTH") and axis in (2, -1):
                    return _Outputs(node, axes, None)
        return None

    def _after(self, step: Any, before: _Outputs) -> _Outputs | None:
        """What an operator with one input makes of the outputs."""
        node, axes, direction = before
        attributes = _attributes(step)
        numbers = [
            None if array is None else array.tolist()
            for array in (self.constant(each) for each in step.input[1:])
        ]
        match step.op_type, numbers:
            case ("Identity", []) | ("Dropout", [] | [_]):
                return before
            case "Transpose", []:
                order = attributes.get("perm", [])
                if sorted(order) == list(range(len(axes))):
                    return before._replace(axes="".join(axes[index] for index in order))
            case "Squeeze", [] | [[_]]:
                removed = numbers[0] if numbers else attributes.get("axes")
                is_one = node.directions == 1 or direction is not None
                if is_one and "K" in axes and removed == [axes.index("K")]:
                    return before._replace(axes=axes.replace("K", ""))
            case "Slice", [[start], [end], [axis], *steps] if steps in ([], [[1]]):
                is_direction = (start, min(end, 2)) in ((0, 1), (1, 2))
                if "K" in axes and axis == axes.index("K") and is_direction and direction is None:
                    return before._replace(direction=start if node.directions == 2 else None)
            case "Reshape", [[_, _, _]]:
                if axes[2:] == "KH" and direction is None:
                    return before._replace(axes=f"{axes[:2]}H")
        return None

    def _constant_node(self, name: str, node: Any) -> Array | None:
        from onnx.helper import get_attribute_value

        for each in node.attribute:
            value = get_attribute_value(each)
            if each.name == "value" and each.HasField("t"):
                return self._array(name, value)
            if each.name in ("value_int", "value_ints", "value_float", "value_floats"):
                return np.array(value)
        return None

    def _array(self, name: str, tensor: Any) -> Array:
        from onnx import TensorProto, helper, numpy_helper

        types = (
            TensorProto.FLOAT,
            TensorProto.FLOAT16,
            TensorProto.BFLOAT16,
            TensorProto.DOUBLE,
            TensorProto.INT32,
            TensorProto.INT64,
        )
        if tensor.data_type not in types:
            raise ValueError(f"{name!r}: expected floats, got the type {tensor.data_type}")
        if tensor.data_location == TensorProto.EXTERNAL:
            dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
            shape = tuple(tensor.dims)
            if min(shape, default=0) < 0:
                raise ValueError(f"{name!r}: damaged: its shape is {shape}")
            content = self._external(name, tensor, math.prod(shape) * dtype.itemsize)
            array = np.frombuffer(content, dtype.newbyteorder("<")).reshape(shape)
        else:
            array = numpy_helper.to_array(tensor)
        is_float = tensor.data_type not in (TensorProto.INT32, TensorProto.INT64)
        return array.astype(np.float32) if is_float else array

    def _external(self, name: str, tensor: Any, size: int) -> bytes:
        """The bytes of a tensor that are in another file of the same folder."""
        entries = {each.key: each.value for each in tensor.external_data}
        location = entries.get("location", "")
        target = os.path.realpath(os.path.join(self._folder, location))
        if os.path.isabs(location) or os.path.commonpath([self._folder, target]) != self._folder:
            raise ValueError(f"{name!r}: expected data in the folder of the file, got {location!r}")
        offset = int(entries.get("offset", "0"))
        if not 0 <= offset or int(entries.get("length", size)) != size:
            raise ValueError(f"{name!r}: damaged: its place in {location!r} is not {size} bytes")
        try:
            with open(target, "rb", opener=open_at_once) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or offset + size > status.st_size:
                    raise ValueError(f"{name!r}: its {size} bytes are not in {location!r}")
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise ValueError(f"{name!r}: {location!r}: {error.strerror}") from error
