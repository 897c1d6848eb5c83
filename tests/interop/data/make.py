"""Makes the stored networks of these tests, with what their own library computes with them.

    python make.py torch      *.pt, *.safetensors, by torch and safetensors
    python make.py tagger     tagger.pt, by torch
    python make.py keras3     keras3.*, by keras >= 3 and a backend of it
    python make.py keras2     keras2.*, by tensorflow < 2.16
    python make.py onnx       *.onnx, by torch, onnx and onnxruntime

Beside each family of files is an .npz file with the inputs and outputs. The files in the repository
were written by torch 2.13.0, keras 3.15.1, tensorflow 2.15.1, onnx 1.23.2 and onnxruntime 1.32.0.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent


def make_torch() -> None:
    import torch
    from safetensors.torch import save_file
    from torch import nn

    torch.manual_seed(0)
    network = nn.ModuleDict(
        {
            "embedding": nn.Embedding(10, 4),
            "lstm": nn.LSTM(4, 3, 2, bidirectional=True, batch_first=True),
            "gru": nn.GRU(6, 5, batch_first=True),
            "rnn": nn.RNN(5, 3, batch_first=True, bias=False),
            "norm": nn.LayerNorm(3),
            "fc": nn.Linear(3, 2),
        }
    )
    ids = torch.randint(0, 10, (3, 6))
    with torch.no_grad():
        hs, (h, c) = network["lstm"](network["embedding"](ids))
        hs, _ = network["gru"](hs)
        hs, _ = network["rnn"](hs)
        outputs = network["fc"](hs)
    checkpoint = {
        "epoch": 7,
        "state_dict": network.state_dict(),
        "optimizer": torch.optim.SGD(network.parameters(), 0.1, momentum=0.9).state_dict(),
    }
    torch.save(checkpoint, HERE / "network.pt")
    save_file(network.state_dict(), HERE / "network.safetensors")
    np.savez(HERE / "network.npz", ids=ids, outputs=outputs, h=h, c=c)

    base = torch.arange(12).float().reshape(3, 4)
    tensors = {
        "float": base,
        "double": base.double() / 3,
        "half": base.half() / 3,
        "bfloat16": base.bfloat16() / 3,
        "long": base.long(),
        "int": base.int(),
        "short": base.short(),
        "char": base.char() - 5,
        "byte": base.byte(),
        "bool": base > 5,
        "transposed": base.T,
        "column": base[:, 1],
        "scalar": base[2, 3],
        "empty": torch.empty(0, 4),
        "parameter": nn.Parameter(base / 7),
    }
    torch.save(tensors, HERE / "dtypes.pt")
    expected = {
        name: (tensor.float() if name == "bfloat16" else tensor).detach().numpy()
        for name, tensor in tensors.items()
    }
    np.savez(HERE / "dtypes.npz", **expected)


def make_tagger() -> None:
    """The tagger of PyTorch's tutorial, in both directions, on its two sentences."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    sentences = ["the dog ate the apple", "everybody read that book"]
    tags = [[0, 1, 2, 0, 1], [1, 2, 0, 1]]  # DET, NN, V
    words = list(dict.fromkeys(" ".join(sentences).split()))
    network = nn.ModuleDict(
        {
            "embedding": nn.Embedding(len(words), 6),
            "lstm": nn.LSTM(6, 6, batch_first=True, bidirectional=True),
            "tags": nn.Linear(12, 3),
        }
    )
    optimizer = torch.optim.Adam(network.parameters(), 0.05)
    for _ in range(100):
        for sentence, expected in zip(sentences, tags, strict=True):
            ids = torch.tensor([words.index(word) for word in sentence.split()])
            hs, _ = network["lstm"](network["embedding"](ids)[None])
            loss = nn.functional.cross_entropy(network["tags"](hs[0]), torch.tensor(expected))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.save(network.state_dict(), HERE / "tagger.pt")


def make_keras(keras: Any, name: str) -> None:
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((None,), dtype="int32"),
            layers.Embedding(10, 4, name="words"),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="encoder"),
            layers.GRU(5, return_sequences=True, name="after"),
            layers.GRU(4, return_sequences=True, reset_after=False, name="before"),
            layers.SimpleRNN(3, return_sequences=True, name="plain"),
            layers.TimeDistributed(layers.Dense(2, activation="softmax"), name="answer"),
        ]
    )
    generator = np.random.default_rng(0)
    model.set_weights([generator.normal(size=w.shape) * 0.4 for w in model.get_weights()])
    ids = generator.integers(0, 10, (3, 6))
    np.savez(HERE / f"{name}.npz", ids=ids, outputs=model.predict(ids, verbose=0))
    model.save(HERE / f"{name}.keras")
    model.save(HERE / f"{name}.h5")


def make_onnx() -> None:
    import onnx
    import onnxruntime
    import torch
    from onnx import TensorProto, helper, numpy_helper
    from torch import nn

    class Outputs(nn.Module):
        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, xs: torch.Tensor) -> torch.Tensor:
            return self.layer(xs)[0]

    def export(name: str, layer: nn.Module) -> None:
        xs, path = torch.zeros(6, 3, 4), str(HERE / f"{name}.onnx")
        axes = {"xs": {0: "T", 1: "N"}}
        model = Outputs(layer).eval()
        torch.onnx.export(model, (xs,), path, dynamo=False, input_names=["xs"], dynamic_axes=axes)

    def node(name: str, kind: str, gates: int, **attributes: Any) -> None:
        weights = {
            "W": generator.normal(size=(2, gates * 5, 4)),
            "R": generator.normal(size=(2, gates * 5, 5)),
            "B": generator.normal(size=(2, 2 * gates * 5)),
        }
        graph = helper.make_graph(
            [
                helper.make_node(
                    kind,
                    ["xs", *weights],
                    ["Y"],
                    name=name,
                    hidden_size=5,
                    direction="bidirectional",
                    **attributes,
                ),
                helper.make_node("Transpose", ["Y"], ["moved"], perm=[0, 2, 1, 3]),
                helper.make_node("Reshape", ["moved", "shape"], ["hs"]),
            ],
            name,
            [helper.make_tensor_value_info("xs", TensorProto.FLOAT, [None, None, 4])],
            [helper.make_tensor_value_info("hs", TensorProto.FLOAT, [None, None, 10])],
            [
                *(numpy_helper.from_array(w.astype("f") / 3, key) for key, w in weights.items()),
                numpy_helper.from_array(np.array([0, 0, -1]), "shape"),
            ],
        )
        opsets = [helper.make_opsetid("", 17)]
        onnx.save(
            helper.make_model(graph, opset_imports=opsets, ir_version=8), HERE / f"{name}.onnx"
        )

    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    export("exported_lstm", nn.LSTM(4, 3, 2, bidirectional=True))
    export("exported_gru", nn.GRU(4, 3, 3))
    node("lstm", "LSTM", 4)
    node("gru", "GRU", 3)
    node("gru_reset_after", "GRU", 3, linear_before_reset=1)
    node("rnn", "RNN", 1)
    xs = generator.normal(size=(6, 3, 4)).astype("f")
    outputs = {
        path.stem: onnxruntime.InferenceSession(path).run(None, {"xs": xs})[0]
        for path in sorted(HERE.glob("*.onnx"))
    }
    np.savez(HERE / "onnx.npz", xs=xs, **outputs)


if __name__ == "__main__":
    match sys.argv[1]:
        case "torch":
            make_torch()
        case "tagger":
            make_tagger()
        case "keras3":
            import keras

            make_keras(keras, "keras3")
        case "keras2":
            import tensorflow

            make_keras(tensorflow.keras, "keras2")
        case "onnx":
            make_onnx()
