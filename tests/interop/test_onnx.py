"""Recurrent nodes of ONNX as layers of fastseq: by stored files, and against onnxruntime."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastseq.interop import from_onnx
from support.interop.files import expected, stored

Array = npt.NDArray[Any]

D, H = 4, 3
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def test_without_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "fastseq-kernels\[onnx\]"'):
        from_onnx(stored("lstm.onnx"))


@pytest.fixture
def onnx() -> Any:
    return pytest.importorskip("onnx")


@pytest.mark.usefixtures("onnx")
@pytest.mark.parametrize(
    ("name", "cell", "layers"),
    [
        ("exported_lstm", "lstm", 2),
        ("exported_gru", "gru", 3),
        ("lstm", "lstm", 1),
        ("gru", "gru", 1),
        ("gru_reset_after", "gru", 1),
        ("rnn", "rnn", 1),
    ],
)
def test_a_stored_model_gives_the_stored_outputs(name: str, cell: str, layers: int) -> None:
    stack, wanted = from_onnx(stored(f"{name}.onnx"), batch_first=False), expected("onnx")
    assert (stack.cell, stack.num_layers) == (cell, layers)
    assert stack.reset_after is (name != "gru") or cell != "gru"
    hs, _ = stack.run(wanted["xs"])
    np.testing.assert_allclose(hs, wanted[name], rtol=0, atol=1e-6)
    swapped = from_onnx(stored(f"{name}.onnx"))
    np.testing.assert_array_equal(swapped.run(wanted["xs"].swapaxes(0, 1))[0].swapaxes(0, 1), hs)
    stack.params[1][:, -H:] *= -1
    assert np.abs(stack.run(wanted["xs"])[0] - wanted[name]).max() > 1e-4


# ---- graphs made here ----


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


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("LSTM", {}),
        ("GRU", {"linear_before_reset": 0}),
        ("GRU", {"linear_before_reset": 1}),
        ("RNN", {"activations": ["Tanh"]}),
        ("LSTM", {"direction": "bidirectional", "activations": ["Sigmoid", "Tanh", "Tanh"] * 2}),
    ],
)
def test_the_runtime_agrees(
    onnx: Any, tmp_path: Path, kind: str, attributes: dict[str, Any]
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    path = recurrent(onnx, tmp_path, kind, **attributes)
    xs = np.random.default_rng(1).normal(size=(6, 2, D)).astype("f")
    Y, Y_h = runtime.InferenceSession(path).run(None, {"xs": xs})
    hs, state = from_onnx(path, batch_first=False).run(xs)
    np.testing.assert_allclose(hs, Y.swapaxes(1, 2).reshape(hs.shape), rtol=0, atol=1e-6)
    h = state[0] if kind == "LSTM" else state
    np.testing.assert_allclose(h, Y_h, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "inputs", "attributes", "message"),
    [
        ("LSTM", ("", "", "", "P"), {}, "peepholes: expected none, got the input P, 'P'"),
        ("LSTM", (), {"clip": 1.5}, "clip: expected none, got 1.5"),
        ("LSTM", (), {"input_forget": 1}, "input_forget: expected none, got 1"),
        ("LSTM", (), {"direction": "reverse"}, "direction: expected forward or bidirectional"),
        ("RNN", (), {"activations": ["Relu"]}, "activations: expected .*'tanh'.*, got .*'Relu'"),
        ("GRU", (), {"activations": ["HardSigmoid", "Tanh"]}, "activations: .*'HardSigmoid'"),
        ("LSTM", ("", "ones"), {}, "initial_h: expected zeros or an input of the model"),
        ("LSTM", ("", "", "ones"), {}, "initial_c: expected zeros or an input of the model"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(
    onnx: Any,
    tmp_path: Path,
    kind: str,
    inputs: tuple[str, ...],
    attributes: dict[str, Any],
    message: str,
) -> None:
    path = recurrent(onnx, tmp_path, kind, inputs, **attributes)
    with pytest.raises(ValueError, match=f"^{path}: node 'it': {message}"):
        from_onnx(path)


def test_what_is_computed_is_not_refused(onnx: Any, tmp_path: Path) -> None:
    assert from_onnx(recurrent(onnx, tmp_path, "LSTM", ("", "zeros", "zeros"))).cell == "lstm"
    path = recurrent(onnx, tmp_path, "GRU", activations=["sigmoid", "TANH"], clip=0.0)
    assert from_onnx(path).reset_after is False
    # other activations of a layer whose layout is that of the batch: weights are the same
    first = from_onnx(recurrent(onnx, tmp_path, "RNN"))
    second = from_onnx(recurrent(onnx, tmp_path, "RNN", layout=1))
    np.testing.assert_array_equal(first.params[0], second.params[0])


def test_wrong_weights_are_refused(onnx: Any, tmp_path: Path) -> None:
    node = onnx.helper.make_node("LSTM", ["xs", "W", "R", "B"], ["Y"], name="it")
    path = tmp_path / "model.onnx"
    wrong = {
        "W": (np.ones((1, 5, D), "f"), r"W: expected shape \(K, G H, D\)"),
        "R": (np.ones((1, 13, H), "f"), r"R: expected shape \(K, G H, H\)"),
        "B": (np.ones((1, 5), "f"), r"B: expected shape \(K, 2 G H\)"),
    }
    for name, (array, message) in wrong.items():
        save(onnx, path, [node], weights("LSTM") | {name: array}, ["Y"])
        with pytest.raises(ValueError, match=f"^{path}: node 'it': {message}"):
            from_onnx(path)
    arrays = weights("LSTM") | {"W": np.ones((1, 4 * H, D), int)}
    save(onnx, path, [node], arrays, ["Y"])
    with pytest.raises(ValueError, match="node 'it': W: expected an array of floats"):
        from_onnx(path)
    arrays.pop("W")
    save(onnx, path, [node], arrays, ["Y"])
    with pytest.raises(ValueError, match="node 'it': W: expected a constant, got what the model"):
        from_onnx(path)


def test_constants_behind_other_nodes(onnx: Any, tmp_path: Path) -> None:
    arrays = weights("GRU")
    make = onnx.helper.make_node
    constant = onnx.numpy_helper.from_array(arrays["W"].astype("f8"), "value")
    nodes = [
        make("Constant", [], ["w"], value=constant),
        make("Identity", ["w"], ["W2"]),
        make("Identity", ["R"], ["r"]),
        make("Identity", ["r"], ["R2"]),
        make("GRU", ["xs", "W2", "R2"], ["Y"], name="it", linear_before_reset=1),
    ]
    path = save(onnx, tmp_path / "model.onnx", nodes, {"R": arrays["R"]}, ["Y"])
    stack = from_onnx(path)
    assert (stack.bias, stack.input_size, stack.hidden_size) == (False, D, H)
    z = arrays["W"][0].T[:, :H]
    np.testing.assert_array_equal(stack.params[0][:, :H], -z)
    nodes[2:4] = [make("Identity", ["R2"], ["r"]), make("Identity", ["r"], ["R2"])]  # a circle
    save(onnx, path, nodes, {}, ["Y"])
    with pytest.raises(ValueError, match="R: expected a constant"):
        from_onnx(path)


# ---- several nodes ----


def chain(onnx: Any, tmp_path: Path, between: list[Any], second: str = "LSTM") -> Path:
    """Two nodes, and what is between Y of the first and xs2 of the second."""
    make = onnx.helper.make_node
    arrays = {f"{name}1": array for name, array in weights("LSTM").items()}
    arrays |= {f"{name}2": array for name, array in weights(second, inputs=H).items()}
    arrays |= {"one": np.array([1]), "zero": np.array([0]), "shape": np.array([0, 0, -1])}
    nodes = [
        make("LSTM", ["xs", "W1", "R1", "B1"], ["Y", "Y_h"], name="first"),
        *between,
        make(second, ["xs2", "W2", "R2", "B2"], ["Y2"]),
    ]
    return save(onnx, tmp_path / "model.onnx", nodes, arrays, ["Y2"])


def test_nodes_that_feed_each_other_are_one_stack(onnx: Any, tmp_path: Path) -> None:
    make = onnx.helper.make_node
    for between in (
        [make("Squeeze", ["Y", "one"], ["xs2"])],
        [make("Squeeze", ["Y", "one"], ["a"]), make("Identity", ["a"], ["xs2"])],
        [make("Squeeze", ["Y", "one"], ["a"]), make("Dropout", ["a"], ["xs2"])],
        [
            make("Transpose", ["Y"], ["a"], perm=[0, 2, 1, 3]),
            make("Reshape", ["a", "shape"], ["xs2"]),
        ],
        [
            make("Squeeze", ["Y", "one"], ["a"]),
            make("Transpose", ["a"], ["b"], perm=[1, 0, 2]),
            make("Transpose", ["b"], ["xs2"], perm=[1, 0, 2]),
        ],
    ):
        path = chain(onnx, tmp_path, between)
        assert from_onnx(path).num_layers == 2
        assert from_onnx(path, "first").num_layers == 1
        assert from_onnx(path, "Y2").input_size == H  # a node without a name


def test_nodes_that_are_no_stack_are_named(onnx: Any, tmp_path: Path) -> None:
    make = onnx.helper.make_node
    squeeze = make("Squeeze", ["Y", "one"], ["xs2"])
    others: list[tuple[list[Any], str]] = [
        ([make("Squeeze", ["Y", "one"], ["a"]), make("Relu", ["a"], ["xs2"])], "LSTM"),
        ([make("Squeeze", ["Y", "one"], ["a"]), make("Transpose", ["a"], ["xs2"])], "LSTM"),
        (
            [
                make("Squeeze", ["Y", "one"], ["a"]),
                make("Transpose", ["a"], ["xs2"], perm=[1, 0, 2]),
            ],
            "LSTM",
        ),
        ([make("Squeeze", ["Y", "zero"], ["xs2"])], "LSTM"),
        ([make("Reshape", ["Y", "shape"], ["xs2"])], "LSTM"),
        ([make("Identity", ["Y_h"], ["xs2"])], "LSTM"),
        ([make("Identity", ["xs"], ["xs2"])], "LSTM"),
        ([squeeze], "GRU"),
    ]
    for between, second in others:
        path = chain(onnx, tmp_path, between, second)
        message = rf"^{path}: node: expected one of 'first' \(LSTM\), 'Y2' \({second}\), as they"
        with pytest.raises(ValueError, match=message):
            from_onnx(path)
    with pytest.raises(ValueError, match="node: expected one of 'first' .*, got 'x'"):
        from_onnx(path, "x")


def test_a_model_without_a_recurrent_node(onnx: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    save(onnx, path, [onnx.helper.make_node("Relu", ["xs"], ["Y"])], {}, ["Y"])
    with pytest.raises(ValueError, match=f"^{path}: expected a node LSTM, GRU or RNN"):
        from_onnx(path)
    with pytest.raises(TypeError, match="batch_first: expected a bool, got int"):
        from_onnx(path, batch_first=1)


# ---- data in other files ----


def external(onnx: Any, folder: Path, **entries: str) -> Path:
    """A model whose W is in another file; these entries say where."""
    folder.mkdir(exist_ok=True)
    path = recurrent(onnx, folder)
    model = onnx.load(path)
    (tensor,) = (each for each in model.graph.initializer if each.name == "W")
    (folder / "W.bin").write_bytes(b"abcd" + tensor.raw_data)
    del tensor.external_data[:]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def test_data_beside_the_file(onnx: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = from_onnx(recurrent(onnx, tmp_path))
    size = str(4 * 4 * H * D)
    path = external(onnx, tmp_path, location="W.bin", offset="4", length=size)
    np.testing.assert_array_equal(from_onnx(path).params[0], whole.params[0])
    monkeypatch.chdir(tmp_path)  # a path without a folder
    np.testing.assert_array_equal(from_onnx("model.onnx").params[0], whole.params[0])


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../W.bin"}, "expected data in the folder of the file, got '../W.bin'"),
        ({"location": "a/../../W.bin"}, "expected data in the folder of the file"),
        ({"location": "/etc/passwd"}, "expected data in the folder of the file"),
        ({"location": "link"}, "expected data in the folder of the file"),
        ({"location": "missing"}, "No such file"),
        ({"location": "."}, ""),
        ({}, ""),
        ({"location": "W.bin", "offset": "5"}, "are not in 'W.bin'"),
        ({"location": "W.bin", "offset": "-4"}, "its place in 'W.bin'"),
        ({"location": "W.bin", "offset": "x"}, "invalid literal"),
        ({"location": "W.bin", "length": "4000000000000"}, "its place in 'W.bin'"),
    ],
)
def test_data_elsewhere_is_refused(
    onnx: Any, tmp_path: Path, entries: dict[str, str], message: str
) -> None:
    (tmp_path / "W.bin").write_bytes(bytes(1000))
    path = external(onnx, tmp_path / "inner", **entries)
    (tmp_path / "inner" / "link").symlink_to(tmp_path / "W.bin")
    with pytest.raises(ValueError, match=f"^{path}: node 'it': .*{message}") as caught:
        from_onnx(path)
    assert "\n" not in str(caught.value)


def test_a_shape_larger_than_the_data_is_refused(onnx: Any, tmp_path: Path) -> None:
    for dims in ([1, 10**6, 10**6], [1, -1, 4], [2**40, 2**40, 2**40]):
        path = external(onnx, tmp_path, location="W.bin")
        model = onnx.load(path, load_external_data=False)
        (tensor,) = (each for each in model.graph.initializer if each.name == "W")
        tensor.dims[:] = dims
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ValueError, match=f"^{path}: node 'it': "):
            from_onnx(path)
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
        tensor.raw_data = bytes(100)
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ValueError, match=f"^{path}: node 'it': "):
            from_onnx(path)
