"""ONNX models of several recurrent nodes, and models whose data is in other files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastseq.interop import from_onnx
from support.helpers import operand_rounding
from support.interop.onnx_models import D, H, recurrent, save, weights


@pytest.fixture
def onnx() -> Any:
    return pytest.importorskip("onnx")


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


def both_directions(onnx: Any, path: Path, first: int = 0, axis: int = -1) -> Path:
    """Two bidirectional nodes; the outputs of the first are sliced and joined, as by tf2onnx."""
    make = onnx.helper.make_node
    arrays = {f"{name}1": array for name, array in weights("LSTM", 2).items()}
    arrays |= {f"{name}2": array for name, array in weights("LSTM", 2, 2 * H).items()}
    arrays |= {"0": np.array([0]), "1": np.array([1]), "2": np.array([2**31 - 1])}
    arrays["shape"] = np.array([0, 0, -1])
    nodes = [
        make("LSTM", ["xs", "W1", "R1", "B1"], ["Y"], name="a", direction="bidirectional"),
        make("Slice", ["Y", "0", "1", "1"], ["sliced0"]),
        make("Squeeze", ["sliced0", "1"], ["part0"]),
        make("Slice", ["Y", "1", "2", "1", "1"], ["sliced1"]),
        make("Squeeze", ["sliced1", "1"], ["part1"]),
        make("Concat", [f"part{first}", f"part{1 - first}"], ["xs2"], axis=axis),
        make("LSTM", ["xs2", "W2", "R2", "B2"], ["Y2"], name="b", direction="bidirectional"),
        make("Transpose", ["Y2"], ["moved"], perm=[0, 2, 1, 3]),
        make("Reshape", ["moved", "shape"], ["hs"]),
    ]
    for node in (nodes[0], nodes[6]):
        node.attribute.append(onnx.helper.make_attribute("hidden_size", H))
    return save(onnx, path, nodes, arrays, ["hs"])


def test_directions_that_are_joined_one_by_one(onnx: Any, tmp_path: Path) -> None:
    path = both_directions(onnx, tmp_path / "model.onnx")
    stack = from_onnx(path, batch_first=False)
    assert (stack.num_layers, stack.bidirectional) == (2, True)
    for wrong in ({"first": 1}, {"axis": 0}):
        with pytest.raises(ValueError, match="as they are not one stack"):
            from_onnx(both_directions(onnx, tmp_path / "wrong.onnx", **wrong))
    runtime = pytest.importorskip("onnxruntime")
    xs = np.random.default_rng(1).normal(size=(6, 2, D)).astype("f")
    (hs,) = runtime.InferenceSession(path).run(None, {"xs": xs})
    np.testing.assert_allclose(stack.run(xs)[0], hs, rtol=0, atol=1e-6 + operand_rounding())


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
        ({"location": "HERE/inner/W.bin"}, "expected data in the folder of the file"),
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
    entries = {key: value.replace("HERE", str(tmp_path)) for key, value in entries.items()}
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
