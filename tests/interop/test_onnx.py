"""Recurrent nodes of ONNX as layers of fastseq: by stored files, and against onnxruntime."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastseq.interop import from_onnx
from support.helpers import operand_rounding
from support.interop.files import expected, stored
from support.interop.onnx_models import D, H, recurrent, save, weights


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
    np.testing.assert_allclose(hs, wanted[name], rtol=0, atol=1e-6 + operand_rounding())
    swapped = from_onnx(stored(f"{name}.onnx"))
    np.testing.assert_array_equal(swapped.run(wanted["xs"].swapaxes(0, 1))[0].swapaxes(0, 1), hs)
    stack.params[1][:, -H:] *= -1
    assert np.abs(stack.run(wanted["xs"])[0] - wanted[name]).max() > 1e-4


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
    np.testing.assert_allclose(
        hs, Y.swapaxes(1, 2).reshape(hs.shape), rtol=0, atol=1e-6 + operand_rounding()
    )
    h = state[0] if kind == "LSTM" else state
    np.testing.assert_allclose(h, Y_h, rtol=0, atol=1e-6 + operand_rounding())


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


@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_what_pytorch_exports(onnx: Any, tmp_path: Path, kind: str, dynamo: bool) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript" if dynamo else "torch")

    class Outputs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            options = {"bidirectional": kind == "LSTM", "batch_first": True}
            self.layer = getattr(torch.nn, kind)(D, H, 2, **options)

        def forward(self, xs: Any) -> Any:
            return self.layer(xs)[0]

    model, xs = Outputs().eval(), torch.randn(2, 5, D)
    path = str(tmp_path / "exported.onnx")
    torch.onnx.export(model, (xs,), path, dynamo=dynamo, verbose=False)
    stack = from_onnx(path)
    assert stack.num_layers == 2
    np.testing.assert_allclose(
        stack.run(xs.numpy())[0], model(xs).detach().numpy(), rtol=0, atol=1e-6 + operand_rounding()
    )
