"""Layers of PyTorch as layers of fastseq: by stored files, and against PyTorch where it is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastseq.interop import Dense, from_torch, to_torch
from fastseq.layers import Affine, Embedding, MatMul, RecurrentStack, TimeAffine
from support.helpers import operand_rounding
from support.interop.files import expected, run_all, stored

Array = npt.NDArray[Any]

H, D = 4, 3


def lstm(prefix: str = "", rows: int = 4 * H, suffix: str = "_l0") -> dict[str, Array]:
    """The state dict of an nn.LSTM, or of another by the number of rows."""
    generator = np.random.default_rng(0)
    shapes = {
        "weight_ih": (rows, D),
        "weight_hh": (rows, H),
        "bias_ih": (rows,),
        "bias_hh": (rows,),
    }
    return {
        f"{prefix}{name}{suffix}": generator.normal(size=shape).astype("f")
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("name", ["network.pt", "network.safetensors"])
def test_a_stored_network_gives_the_stored_outputs(name: str) -> None:
    layers, wanted = from_torch(stored(name)), expected("network")
    assert {key: type(layer).__name__ for key, layer in layers.items()} == {
        "embedding": "Embedding",
        "lstm": "RecurrentStack",
        "gru": "RecurrentStack",
        "rnn": "RecurrentStack",
        "fc": "Affine",
    }
    order = ("embedding", "lstm", "gru", "rnn", "fc")
    outputs = run_all({key: layers[key] for key in order}, wanted["ids"])
    np.testing.assert_allclose(outputs, wanted["outputs"], atol=1e-6 + operand_rounding())
    _, (h, c) = layers["lstm"].run(layers["embedding"].forward(wanted["ids"]))
    np.testing.assert_allclose(h, wanted["h"], atol=1e-6 + operand_rounding())
    np.testing.assert_allclose(c, wanted["c"], atol=1e-6 + operand_rounding())


def test_a_stored_network_read_wrongly_is_found() -> None:
    layers, wanted = from_torch(str(stored("network.pt"))), expected("network")
    layers["lstm"].params[1][:, :3] *= -1
    order = ("embedding", "lstm", "gru", "rnn", "fc")
    outputs = run_all({key: layers[key] for key in order}, wanted["ids"])
    assert np.abs(outputs - wanted["outputs"]).max() > 1e-4  # a hundred times the tolerance


@pytest.mark.parametrize(
    ("rows", "cell"), [(4 * H, "lstm"), (3 * H, "gru"), (H, "rnn")], ids=["lstm", "gru", "rnn"]
)
@pytest.mark.parametrize("suffix", ["", "_l0"], ids=["cell", "layer"])
def test_a_layer_at_the_root(rows: int, cell: str, suffix: str) -> None:
    stack = from_torch(lstm(rows=rows, suffix=suffix))
    assert isinstance(stack, RecurrentStack)
    assert (stack.cell, stack.input_size, stack.hidden_size) == (cell, D, H)
    assert (stack.num_layers, stack.bidirectional, stack.bias) == (1, False, True)
    assert stack.reset_after is (cell == "gru") or cell != "gru"
    assert stack.batch_first is True
    assert from_torch(lstm(rows=rows, suffix=suffix), batch_first=False).batch_first is False


def test_no_bias() -> None:
    weights = {name: array for name, array in lstm().items() if "bias" not in name}
    stack = from_torch(weights)
    assert stack.bias is False
    assert [param.shape for param in stack.params] == [(D, 4 * H), (H, 4 * H)]


def test_kinds_follow_from_names_and_shapes() -> None:
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(5, 3))
    layers = from_torch(
        {
            "word_emb.weight": matrix,
            "char_Embeddings.weight": matrix.astype("f2"),
            "net.0.weight": matrix,
            "fc.weight": matrix,
            "fc.bias": np.arange(5.0),
            "norm.weight": np.ones(3),
            "norm.bias": np.ones(3),
            "conv.weight": np.ones((2, 2, 2)),
            "batch.weight": matrix,
            "batch.running_mean": np.ones(3),
            "position": np.ones(3),
        }
    )
    assert {name: type(layer) for name, layer in layers.items()} == {
        "word_emb": Embedding,
        "char_Embeddings": Embedding,
        "net.0": MatMul,
        "fc": Affine,
    }
    x = generator.normal(size=(2, 3)).astype("f")
    np.testing.assert_allclose(
        layers["fc"].forward(x),
        x @ matrix.T + np.arange(5),
        rtol=1e-5,
        atol=1e-5 + 5 * operand_rounding(),
    )
    assert all(param.dtype == np.float32 for each in layers.values() for param in each.params)


def test_the_arrays_are_new() -> None:
    weights = lstm() | {"x": np.ones(3)}
    state = {f"rnn.{name}": array for name, array in lstm().items()} | {
        "fc.weight": np.ones((2, 2), "f"),
        "fc.bias": np.ones(2, "f"),
    }
    layers = from_torch(state)
    before = [param.copy() for layer in layers.values() for param in layer.params]
    for array in (*state.values(), *weights.values()):
        array[...] = 0
    for param, old in zip(
        (param for layer in layers.values() for param in layer.params), before, strict=True
    ):
        np.testing.assert_array_equal(param, old)


def test_one_module_by_name() -> None:
    state = lstm("encoder.rnn.") | {"fc.weight": np.ones((2, 2)), "norm.weight": np.ones(3)}
    assert isinstance(from_torch(state, "encoder.rnn"), RecurrentStack)
    assert isinstance(from_torch(state, name="fc"), MatMul)
    with pytest.raises(ValueError, match="name: .*'encoder.rnn', 'fc', 'norm', got 'rnn'"):
        from_torch(state, "rnn")
    with pytest.raises(ValueError, match=r"^norm: expected .* got weight \(3,\)"):
        from_torch(state, "norm")


def without(name: str) -> dict[str, Array]:
    return {key: array for key, array in lstm().items() if key != name}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lstm() | {"weight_hr_l0": np.ones((2, H))}, "weight_hr_l0: .* proj_size"),
        (lstm("a.") | {"a.weight_hr_l0": np.ones((2, H))}, "^a: weight_hr_l0: .* proj_size"),
        (lstm(rows=2 * H), r"expected H, 3 H or 4 H rows, got \[2\] times H"),
        (lstm(rows=4 * H + 1), "expected H, 3 H or 4 H rows"),
        (without("weight_hh_l0"), "weight_hh_l0: expected a tensor of shape .*, got none"),
        (without("weight_ih_l0"), "weight_ih_l0: expected a tensor of shape .*, got none"),
        (without("bias_hh_l0"), "bias_hh_l0: expected a tensor of shape .*, got none"),
        (
            lstm() | {"bias_ih_l0": np.ones(3)},
            r"bias_ih_l0: expected shape .* = \(16\), got \(3,\)",
        ),
        (lstm() | {"weight_ih_l0": np.ones((12, D))}, r"weight_ih_l0: expected shape .*got \(12"),
        (lstm() | {"weight_ih_l0": np.ones((16, D), int)}, "weight_ih_l0: expected .* floats"),
        (lstm() | lstm(suffix="_l2"), "expected layers 0 to n"),
        (lstm() | lstm(suffix="_l1"), "layer 1: expected 4 inputs, .* got 3"),
        (lstm() | {"gamma": np.ones(3)}, "got 'gamma' among them"),
        ({"norm.weight": np.ones(3)}, "expected an LSTM, GRU, RNN, Embedding or Linear, got none"),
        ({"a": 3}, "expected a dict of tensors, got one of a"),
        ({}, "expected a dict of tensors, got one of nothing"),
    ],
)
def test_what_cannot_be_a_layer_is_refused(source: dict[str, Array], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        from_torch(source)


def test_wrong_arguments() -> None:
    with pytest.raises(TypeError, match="^source: expected a module, a state dict or a path"):
        from_torch(3)
    with pytest.raises(TypeError, match="^batch_first: expected a bool, got int"):
        from_torch(lstm(), batch_first=1)
    path = stored("network.pt")
    with pytest.raises(ValueError, match=rf"^{path}: name: expected one of .*, got 'x'$"):
        from_torch(path, "x")


def test_layers_that_torch_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    before = RecurrentStack("gru", D, H, reset_after=False)
    with pytest.raises(ValueError, match="^a: reset_after: expected True"):
        to_torch({"a": before})
    dense = Dense(np.ones((2, 3), "f"), np.ones(3, "f"), "relu")
    with pytest.raises(ValueError, match="^PyTorch has no Linear with the activation relu"):
        to_torch(dense)
    with pytest.raises(TypeError, match="^b: expected a RecurrentStack.*got int"):
        to_torch({"b": 3})
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="to_torch needs PyTorch: pip install torch"):
        to_torch(RecurrentStack("lstm", D, H))


# ---- against PyTorch ----

KINDS = ("LSTM", "GRU", "RNN")
N, T = 5, 7


@pytest.fixture
def torch() -> Any:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    return torch


def close(ours: Array, theirs: Any) -> None:
    """Equal within 1e-5 of the largest entry, and the rounding of operands."""
    theirs = theirs.detach().numpy()
    np.testing.assert_allclose(
        ours, theirs, rtol=0, atol=(1e-5 + operand_rounding()) * np.abs(theirs).max()
    )


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_module(
    torch: Any, kind: str, layers: int, bidirectional: bool, batch_first: bool, bias: bool
) -> None:
    options = {"bidirectional": bidirectional, "batch_first": batch_first, "bias": bias}
    module = getattr(torch.nn, kind)(D, H, layers, **options)
    stack = from_torch(module)
    assert (stack.batch_first, stack.bidirectional, stack.bias) == (
        batch_first,
        bidirectional,
        bias,
    )
    xs = torch.randn((N, T, D) if batch_first else (T, N, D), requires_grad=True)
    theirs, state = module(xs)
    hs, own_state = stack.forward(xs.detach().numpy())
    np.testing.assert_allclose(hs, theirs.detach().numpy(), rtol=0, atol=1e-6 + operand_rounding())
    pairs = zip(own_state, state, strict=True) if kind == "LSTM" else [(own_state, state)]
    for own, their in pairs:
        np.testing.assert_allclose(
            own, their.detach().numpy(), rtol=0, atol=1e-6 + operand_rounding()
        )

    dhs = torch.randn_like(theirs)
    theirs.backward(dhs)
    dxs, _ = stack.backward(dhs.numpy())
    close(dxs, xs.grad)
    # of the gradients the gates are in the same order as of the weights, and z has the same sign
    gradients = from_torch({name: each.grad for name, each in module.named_parameters()})
    single = {"lstm": 3, "gru": 4, "rnn": 3}[stack.cell] if bias else 2
    for index, (ours, theirs_) in enumerate(zip(stack.grads, gradients.params, strict=True)):
        if index % single < 2:  # biases are two there, whose gradients must not be added
            np.testing.assert_allclose(
                ours,
                theirs_,
                rtol=0,
                atol=(1e-5 + operand_rounding()) * np.abs(theirs_).max(),
                err_msg=str(index),
            )

    again = getattr(torch.nn, kind)(D, H, layers, **options)
    again.load_state_dict(to_torch(stack))
    with torch.no_grad():
        torch.testing.assert_close(again(xs)[0], theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
def test_a_cell(torch: Any, kind: str, bias: bool) -> None:
    cell = getattr(torch.nn, f"{kind}Cell")(D, H, bias=bias)
    xs = torch.randn(N, D)
    theirs = cell(xs)[0] if kind == "LSTM" else cell(xs)
    hs, _ = from_torch(cell).run(xs.numpy()[:, np.newaxis])
    np.testing.assert_allclose(
        hs[:, 0], theirs.detach().numpy(), rtol=0, atol=1e-6 + operand_rounding()
    )


def network(torch: Any) -> Any:
    nn = torch.nn
    rnn = nn.Sequential(nn.LSTM(3, 4, 2, dropout=0.5, batch_first=True))
    return nn.ModuleDict(
        {
            "encoder": nn.Embedding(9, 3),  # no "emb" in its name: the class is what counts
            "rnn": rnn,
            "norm": nn.LayerNorm(4),
            "emb_out": nn.Linear(4, 5, bias=False),
            "fc": nn.Linear(4, 2),
        }
    )


def test_classes_of_modules_decide(torch: Any) -> None:
    module = network(torch).eval()
    layers = from_torch(module)
    assert {name: type(layer) for name, layer in layers.items()} == {
        "encoder": Embedding,
        "rnn.0": RecurrentStack,
        "emb_out": MatMul,
        "fc": Affine,
    }
    ids = torch.randint(0, 9, (N, T))
    hs, _ = layers["rnn.0"].run(layers["encoder"].forward(ids.numpy()))
    with torch.no_grad():
        theirs, _ = module["rnn"](module["encoder"](ids))
        np.testing.assert_allclose(hs, theirs.numpy(), rtol=0, atol=1e-6 + operand_rounding())
        for name in ("emb_out", "fc"):
            outputs = module[name](theirs).numpy()
            np.testing.assert_allclose(
                layers[name].forward(theirs.numpy()), outputs, atol=1e-6 + operand_rounding()
            )


def test_a_layer_that_two_modules_have_in_common(torch: Any) -> None:
    shared = torch.nn.Embedding(9, 3)
    module = torch.nn.ModuleDict({"source": shared, "target": shared})
    assert {type(layer) for layer in from_torch(module).values()} == {Embedding}


def test_what_returns_loads_strictly(torch: Any) -> None:
    module = network(torch).eval()
    state = to_torch(from_torch(module))
    other = network(torch)
    del other["norm"]
    other.load_state_dict(state)
    assert all(tensor.dtype == torch.float32 for tensor in state.values())
    steps = TimeAffine(np.ones((4, 2), "f"), np.ones((1, 2), "f"))
    torch.nn.Linear(4, 2).load_state_dict(to_torch(steps))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda nn: nn.RNN(3, 4, nonlinearity="relu"), "nonlinearity='relu': expected 'tanh'"),
        (lambda nn: nn.RNNCell(3, 4, nonlinearity="relu"), "nonlinearity='relu'"),
        (lambda nn: nn.LSTM(3, 4, proj_size=2), "proj_size"),
        (lambda nn: nn.LSTM(3, 4, 2, dropout=0.5), "dropout=0.5: .* module.eval()"),
        (lambda nn: nn.Embedding(3, 4, max_norm=1.0), "max_norm=1.0"),
        (lambda nn: nn.LayerNorm(3), "expected an LSTM|expected LSTM"),
        (lambda nn: nn.Linear(3, 4).bfloat16().to("meta"), "meta"),
    ],
)
def test_a_module_that_cannot_be_computed(torch: Any, make: Any, message: str) -> None:
    with pytest.raises((ValueError, NotImplementedError), match=message):
        from_torch(make(torch.nn))
    with pytest.raises((ValueError, NotImplementedError), match=f"^a: .*({message})|{message}"):
        from_torch(torch.nn.ModuleDict({"a": make(torch.nn), "b": torch.nn.Linear(2, 2)}), "a")


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_other_dtypes(torch: Any, dtype: str, tmp_path: Path) -> None:
    module = torch.nn.GRU(D, H).to(getattr(torch, dtype))
    torch.save(module.state_dict(), tmp_path / "a.pt")
    for source in (module, module.state_dict(), tmp_path / "a.pt"):
        for param, exact in zip(
            from_torch(source).params, from_torch(module.double()).params, strict=True
        ):
            np.testing.assert_allclose(param, exact, rtol=1e-6, atol=1e-6)
