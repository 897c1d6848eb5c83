"""Layers of Keras as layers of fastseq: by stored files, and against Keras where it is."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastseq.interop import Dense, from_keras
from fastseq.layers import Affine, Embedding, MatMul, RecurrentStack
from support.helpers import operand_rounding
from support.interop.files import expected, run_all, stored

FILES = ("keras2.keras", "keras2.h5", "keras3.keras", "keras3.h5")


@pytest.fixture
def h5py() -> Any:
    return pytest.importorskip("h5py")


@pytest.mark.parametrize("name", FILES)
def test_a_stored_model_gives_the_stored_outputs(name: str) -> None:
    layers, wanted = from_keras(stored(name)), expected(name.partition(".")[0])
    assert {key: type(layer) for key, layer in layers.items()} == {
        "words": Embedding,
        "encoder": RecurrentStack,
        "after": RecurrentStack,
        "before": RecurrentStack,
        "plain": RecurrentStack,
        "answer": Dense,
    }
    outputs = run_all(layers, wanted["ids"])
    np.testing.assert_allclose(outputs, wanted["outputs"], rtol=0, atol=1e-6 + operand_rounding())
    cells = [(layers[key].cell, layers[key].reset_after) for key in ("after", "before")]
    assert cells == [("gru", True), ("gru", False)]
    assert layers["encoder"].bidirectional
    # the comparison finds a wrong sign of one gate
    layers["after"].params[1][:, :5] *= -1
    assert np.abs(run_all(layers, wanted["ids"]) - wanted["outputs"]).max() > 1e-4


def test_one_layer_by_name() -> None:
    path = stored("keras3.keras")
    assert isinstance(from_keras(path, "encoder"), RecurrentStack)
    assert isinstance(from_keras(str(path), name="words"), Embedding)
    with pytest.raises(ValueError, match=f"^{path}: name: expected one of .* got 'x'$"):
        from_keras(path, "x")


Change = Callable[[dict[str, Any]], Any]


def changed(tmp_path: Path, layer: str, change: Change) -> Path:
    """The stored model with another configuration of one layer."""
    path = tmp_path / "changed.keras"
    with zipfile.ZipFile(stored("keras3.keras")) as old, zipfile.ZipFile(path, "w") as new:
        document = json.loads(old.read("config.json"))
        (entry,) = (
            each for each in document["config"]["layers"] if each["config"]["name"] == layer
        )
        change(entry)
        new.writestr("config.json", json.dumps(document))
        new.writestr("model.weights.h5", old.read("model.weights.h5"))
    return path


def setting(*path: str, to: Any) -> Change:
    def change(entry: dict[str, Any]) -> None:
        for key in path[:-1]:
            entry = entry[key]
        entry[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("layer", "change", "message"),
    [
        (
            "after",
            setting("config", "activation", to="relu"),
            "activation: expected tanh, got relu",
        ),
        (
            "after",
            setting("config", "recurrent_activation", to="hard_sigmoid"),
            "recurrent_activation: expected sigmoid, got hard_sigmoid",
        ),
        (
            "after",
            setting("config", "activation", to={"class_name": "function", "config": "gelu"}),
            "activation: expected tanh, got gelu",
        ),
        ("plain", setting("config", "go_backwards", to=True), "go_backwards: expected False"),
        ("before", setting("config", "time_major", to=True), "time_major: expected False"),
        ("before", setting("config", "reset_after", to=True), r"bias: expected shape \(2, G H\)"),
        ("after", setting("config", "reset_after", to=False), r"bias: expected shape \(G H,\)"),
        ("after", setting("config", "use_bias", to=False), "kernel and recurrent_kernel, got 3"),
        ("plain", setting("class_name", to="LSTM"), "there is no .*lstm"),
        ("encoder", setting("config", "merge_mode", to="sum"), "merge_mode: expected concat"),
        (
            "encoder",
            setting("config", "backward_layer", "config", "units", to=4),
            "two directions of the same units",
        ),
        (
            "encoder",
            setting("config", "backward_layer", "class_name", to="GRU"),
            "two directions of the same units and class",
        ),
        (
            "encoder",
            setting("config", "backward_layer", "config", "go_backwards", to=False),
            "go_backwards: expected True",
        ),
        ("encoder", setting("config", "layer", "class_name", to="ConvLSTM1D"), "layer: expected"),
        ("encoder", setting("config", "layer", to=None), "its configuration has no layer"),
        (
            "answer",
            setting("config", "layer", "config", "activation", to="gelu"),
            "activation: expected one of relu, sigmoid, softmax, tanh, got 'gelu'",
        ),
        ("answer", setting("config", "layer", "class_name", to="Conv1D"), "no layer like TimeDist"),
        ("words", setting("class_name", to="Conv1D"), "fastseq has no layer like Conv1D"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(
    tmp_path: Path, layer: str, change: Change, message: str
) -> None:
    path = changed(tmp_path, layer, change)
    with pytest.raises(ValueError, match=f"^{path}: layer '{layer}': .*{message}"):
        from_keras(path, layer)


def test_options_of_training_and_of_speed_are_ignored(tmp_path: Path) -> None:
    def change(entry: dict[str, Any]) -> None:
        entry["config"] |= {
            "implementation": 1,
            "unroll": True,
            "stateful": True,
            "dropout": 0.5,
            "recurrent_dropout": 0.5,
            "return_sequences": False,
            "activation": {"class_name": "function", "config": "tanh", "module": "builtins"},
        }

    stack = from_keras(changed(tmp_path, "after", change), "after")
    for param, other in zip(
        stack.params, from_keras(stored("keras3.keras"), "after").params, strict=True
    ):
        np.testing.assert_array_equal(param, other)


@pytest.mark.parametrize(
    ("kind", "message"),
    [("Mine", "got the class 'Mine'"), (None, "got the class none"), (3, "got the class none")],
)
def test_a_model_of_a_user_s_class_is_refused(tmp_path: Path, kind: Any, message: str) -> None:
    path = tmp_path / "a.keras"
    with zipfile.ZipFile(stored("keras3.keras")) as old, zipfile.ZipFile(path, "w") as new:
        new.writestr("config.json", json.dumps({"class_name": kind, "config": {}}))
        new.writestr("model.weights.h5", old.read("model.weights.h5"))
    with pytest.raises(ValueError, match=message):
        from_keras(path)


@pytest.mark.parametrize(
    "config", [b"", b"[1]", b"{", b"[" * 100_000, b'{"class_name": "Model", "config": {}}', b"\xff"]
)
def test_a_configuration_that_is_none_is_refused(tmp_path: Path, config: bytes) -> None:
    path = tmp_path / "a.keras"
    with zipfile.ZipFile(stored("keras3.keras")) as old, zipfile.ZipFile(path, "w") as new:
        new.writestr("config.json", config)
        new.writestr("model.weights.h5", old.read("model.weights.h5"))
    with pytest.raises(ValueError, match=f"^{path}: (damaged: |expected a Sequential)"):
        from_keras(path)


def test_the_layout_of_keras_before_2_15(tmp_path: Path, h5py: Any) -> None:
    path = tmp_path / "old.keras"
    with zipfile.ZipFile(stored("keras2.keras")) as old, zipfile.ZipFile(path, "w") as new:
        weights = io.BytesIO(old.read("model.weights.h5"))
        with h5py.File(weights, "r+") as file:
            file.move("layers/gru_1", "layers/gru_2")
            file.move("layers", "_layer_checkpoint_dependencies")
        new.writestr("config.json", old.read("config.json"))
        new.writestr("model.weights.h5", weights.getvalue())
    wanted = expected("keras2")
    outputs = run_all(from_keras(path), wanted["ids"])
    np.testing.assert_allclose(outputs, wanted["outputs"], rtol=0, atol=1e-6 + operand_rounding())


def test_arrays_of_another_layer_are_refused(tmp_path: Path, h5py: Any) -> None:
    path = tmp_path / "a.keras"
    with zipfile.ZipFile(stored("keras3.keras")) as old, zipfile.ZipFile(path, "w") as new:
        weights = io.BytesIO(old.read("model.weights.h5"))
        with h5py.File(weights, "r+") as file:
            file.move("layers/gru_1", "layers/other")
            file.move("layers/gru", "layers/gru_1")
            file.move("layers/other", "layers/gru")
        new.writestr("config.json", old.read("config.json"))
        new.writestr("model.weights.h5", weights.getvalue())
    with pytest.raises(ValueError, match="layer 'after': damaged: .*arrays of another layer"):
        from_keras(path, "after")


# ---- hostile HDF5 ----


def hostile(tmp_path: Path, h5py: Any, change: Callable[[Any], None]) -> Path:
    """The stored .h5 file, changed."""
    path = tmp_path / "hostile.h5"
    path.write_bytes(stored("keras3.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def bias_of(file: Any) -> tuple[Any, str]:
    group = file["model_weights"]["plain"]
    return group, group.attrs["weight_names"][2]


def test_links_to_other_places_are_refused(tmp_path: Path, h5py: Any) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["bias"] = np.zeros(3, "f")

    def linked(link: Any) -> Callable[[Any], None]:
        def change(file: Any) -> None:
            group, name = bias_of(file)
            del group[name]
            group[name] = link

        return change

    for link in (
        h5py.ExternalLink("secret.h5", "bias"),
        h5py.ExternalLink(str(tmp_path / "secret.h5"), "bias"),
        h5py.SoftLink("/model_weights/plain"),
    ):
        path = hostile(tmp_path, h5py, linked(link))
        with pytest.raises(ValueError, match=f"^{path}: layer 'plain': .* in the file itself"):
            from_keras(path, "plain")


def test_arrays_that_are_not_in_the_file_are_refused(tmp_path: Path, h5py: Any) -> None:
    (tmp_path / "secret").write_bytes(bytes(100))
    virtual = h5py.VirtualLayout((3,), "f4")
    virtual[:] = h5py.VirtualSource("secret.h5", "bias", (3,))
    makers: list[Callable[[Any, str], Any]] = [
        lambda group, name: group.create_dataset(name, (3,), "f4", chunks=(3,)),
        lambda group, name: group.create_dataset(
            name, data=np.zeros(10**6, "f"), compression="gzip"
        ),
        lambda group, name: group.create_dataset(name, (3,), "f4", external="secret"),
        lambda group, name: group.create_dataset(name, (10**9,), "f4"),
        lambda group, name: group.create_dataset(name, (2**40,), "f8"),
        lambda group, name: group.create_virtual_dataset(name, virtual),
        lambda group, name: group.create_group(name),
    ]
    for make in makers:

        def change(file: Any, make: Callable[[Any, str], Any] = make) -> None:
            group, name = bias_of(file)
            del group[name]
            make(group, name)

        path = hostile(tmp_path, h5py, change)
        reasons = "stored as it is, in this file|what is not in the file|has 0 bytes|something else"
        with pytest.raises(ValueError, match=f"^{path}: layer 'plain': .*({reasons})"):
            from_keras(path, "plain")


@pytest.mark.parametrize("change", ["int", "text", "shape"])
def test_arrays_of_another_kind_are_refused(tmp_path: Path, h5py: Any, change: str) -> None:
    data = {"int": np.zeros(3, int), "text": np.array([b"abc"] * 3), "shape": np.zeros(4, "f")}

    def replace(file: Any) -> None:
        group, name = bias_of(file)
        del group[name]
        group[name] = data[change]

    path = hostile(tmp_path, h5py, replace)
    with pytest.raises(ValueError, match=f"^{path}: layer 'plain': .*bias.*: expected"):
        from_keras(path, "plain")


def test_weights_alone_are_refused(tmp_path: Path, h5py: Any) -> None:
    def change(file: Any) -> None:
        del file.attrs["model_config"]

    path = hostile(tmp_path, h5py, change)
    with pytest.raises(ValueError, match=f"^{path}: expected a whole model, as model.save"):
        from_keras(path)


# ---- against Keras ----


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_functional_model(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    layers = keras.layers
    xs = layers.Input((7, 4))
    outputs = [
        layers.LSTM(3, use_bias=False, name="no_bias", return_sequences=True)(xs),
        layers.GRU(3, use_bias=False, name="gru_no_bias", return_sequences=True)(xs),
        layers.Bidirectional(layers.GRU(5, return_sequences=True), name="two")(xs),
        layers.Bidirectional(
            layers.LSTM(2, return_sequences=True),
            backward_layer=layers.LSTM(2, return_sequences=True, go_backwards=True),
            name="own",
        )(xs),
        layers.Dense(3, use_bias=False, name="product")(xs),
        layers.Dense(3, name="affine")(xs),
        *(layers.Dense(3, activation=name, name=name)(xs) for name in ("relu", "sigmoid", "tanh")),
        layers.Dense(3, use_bias=False, activation="softmax", name="softmax")(xs),
    ]
    unknown = layers.Conv1D(2, 3, name="conv")(xs)
    model = keras.Model(xs, [*outputs, unknown])
    generator = np.random.default_rng(0)
    model.set_weights([generator.normal(size=each.shape) / 2 for each in model.get_weights()])
    path = tmp_path / f"model.{suffix}"
    model.save(path)
    found = from_keras(path)
    assert "conv" not in found
    assert isinstance(found["product"], MatMul)
    assert type(found["affine"]) is Affine
    values = generator.normal(size=(2, 7, 4)).astype("f")
    theirs = model.predict(values, verbose=0)[:-1]
    names = [tensor._keras_history.operation.name for tensor in outputs]
    assert set(names) == set(found)
    for name, their in zip(names, theirs, strict=True):
        np.testing.assert_allclose(
            run_all({name: found[name]}, values),
            their,
            rtol=0,
            atol=1e-6 + operand_rounding(),
            err_msg=name,
        )
