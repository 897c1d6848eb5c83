"""Whole models that were pickled with the textbook's classes: they load, and compute on.

Their objects have the textbook's attributes and none of the package's own.
"""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq
import fastseq_reference
from support.helpers import assert_close, float32_tolerance

Array = npt.NDArray[Any]

V, D, H, N, T = 11, 4, 6, 3, 5


def textbook_object(package: Any, name: str, **attributes: Any) -> Any:
    """An instance with these attributes only, as if another class of this name had made it."""
    cls = getattr(package, name)
    instance = cls.__new__(cls)
    vars(instance).update(attributes)
    return instance


def with_gradients(params: list[Array]) -> dict[str, Any]:
    return {"params": params, "grads": [np.zeros_like(param) for param in params]}


def textbook_layer(package: Any, layer: Any, **attributes: Any) -> Any:
    """As the textbook's class would have it after a forward pass."""
    name = type(layer).__name__
    weights = with_gradients(list(layer.params))
    match name:
        case "TimeEmbedding":
            ids = np.zeros(N, int)
            steps = [textbook_object(package, "Embedding", **weights, idx=ids) for _ in range(T)]
            attributes = {"layers": steps, "W": layer.params[0]}
        case "TimeLSTM":
            cell = textbook_object(package, "LSTM", **weights, cache=(np.zeros((N, D), "f"),) * 8)
            state = np.zeros((N, H), "f")
            attributes = {"layers": [cell] * T, "stateful": layer.stateful}
            attributes |= {"h": state, "c": state, "dh": None}
        case "TimeAffine":
            attributes = {"x": np.zeros((N, T, len(layer.params[0])), "f")}
        case "TimeSoftmaxWithLoss":
            attributes = {"cache": (np.zeros(N), np.zeros((N, V)), np.zeros(N), (N, T, V))}
            attributes |= {"ignore_label": -1}
        case "TimeAttention":
            a = np.zeros((N, T), "f")
            inner = {
                "attention_weight_layer": textbook_object(
                    package,
                    "AttentionWeight",
                    **with_gradients([]),
                    softmax=textbook_object(package, "Softmax", **with_gradients([]), out=a),
                    cache=(a, a),
                ),
                "weight_sum_layer": textbook_object(
                    package, "WeightSum", **with_gradients([]), cache=(a, a)
                ),
                "attention_weight": a,
            }
            step = textbook_object(package, "Attention", **with_gradients([]), **inner)
            attributes = {"layers": [step] * T, "attention_weights": [a] * T}
        case "TimeDropout":
            attributes = {"dropout_ratio": 0.0, "mask": np.ones((N, T, D)), "train_flg": False}
        case _:
            raise AssertionError(name)
    return textbook_object(package, name, **weights, **attributes)


def textbook_model(package: Any, name: str, model: Any) -> Any:
    """The model again, of objects with the textbook's attributes."""
    if name.endswith(("lm", "lmGen")):
        layers = [textbook_layer(package, layer) for layer in model.layers]
        attributes: dict[str, Any] = {
            "layers": layers,
            "loss_layer": textbook_layer(package, model.loss_layer),
        }
        recurrent = [layer for layer in layers if type(layer).__name__ == "TimeLSTM"]
        if name.startswith("Better"):
            drops = [layer for layer in layers if type(layer).__name__ == "TimeDropout"]
            attributes |= {"lstm_layers": recurrent, "drop_layers": drops}
        else:
            attributes["lstm_layer"] = recurrent[0]
        parts = layers
    else:
        parts = []
        for part in (model.encoder, model.decoder):
            names = ("embed", "lstm", "attention", "affine")
            inner = {
                each: textbook_layer(package, getattr(part, each))
                for each in names
                if hasattr(part, each)
            }
            lists = {
                key: [array for layer in inner.values() for array in getattr(layer, key)]
                for key in ("params", "grads")
            }
            extra = {"hs": np.zeros((N, T, H), "f")} if part is model.encoder else {"cache": H}
            parts.append(textbook_object(package, type(part).__name__, **inner, **lists, **extra))
        attributes = {"encoder": parts[0], "decoder": parts[1]}
        attributes["softmax"] = textbook_layer(package, model.softmax)
    for key in ("params", "grads"):
        attributes[key] = [array for part in parts for array in getattr(part, key)]
    return textbook_object(package, name, **attributes)


def compute(model: Any, name: str) -> list[Any]:
    random = np.random.RandomState(1)
    results: list[Any] = []
    for _ in range(2):
        xs, ts = random.randint(0, V, (2, N, T))
        if hasattr(model, "reset_state"):
            model.reset_state()
        results.append(model.forward(xs, ts))
        model.backward()
        results += [grad.copy() for grad in model.grads]
    if hasattr(model, "reset_state"):
        model.reset_state()
    np.random.seed(2)
    if hasattr(model, "generate"):
        start = 1 if name.endswith("Gen") else xs[:1]
        results.append(
            np.array(model.generate(start, *([] if name.endswith("Gen") else [1]), *GEN[name]))
        )
    return results


GEN: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(["Seq2seq", "PeekySeq2seq", "AttentionSeq2seq"], (4,)),
    **dict.fromkeys(["Rnnlm", "BetterRnnlm"], ()),
    **dict.fromkeys(["RnnlmGen", "BetterRnnlmGen"], (None, 6)),
}


@pytest.mark.parametrize("package", [fastseq, fastseq_reference], ids=["fastseq", "reference"])
@pytest.mark.parametrize("name", GEN)
def test_a_model_of_the_textbook_s_classes_computes_on(package: Any, name: str) -> None:
    np.random.seed(0)
    sizes = (V, H, H) if name.startswith("Better") else (V, D, H)
    options = {"dropout_ratio": 0.0} if name.startswith("Better") else {}
    model = getattr(package, name)(*sizes, **options)
    content = pickle.dumps(textbook_model(package, name, copy.deepcopy(model)))
    loaded = pickle.loads(content)
    for actual, expected in zip(compute(loaded, name), compute(model, name), strict=True):
        assert_close(actual, expected, **float32_tolerance(2000, float(np.abs(expected).max())))
    assert all(grad.any() for grad in loaded.grads)


@pytest.mark.parametrize("gates", [2, 3])
def test_layers_that_are_in_no_model(gates: int) -> None:
    random = np.random.RandomState(0)
    params = [random.randn(*s).astype("f") for s in ((D, 3 * H), (H, 3 * H), (3 * H,))][:gates]
    weights = with_gradients(params)
    layer = pickle.loads(
        pickle.dumps(
            textbook_object(
                fastseq, "TimeGRU", **weights, layers=None, h=None, dh=None, stateful=True
            )
        )
    )
    cell = pickle.loads(pickle.dumps(textbook_object(fastseq, "GRU", **weights, cache=None)))
    xs = random.randn(N, T, D).astype("f")
    hs = layer.forward(xs)
    np.testing.assert_array_equal(hs, fastseq.TimeGRU(*params, stateful=True).forward(xs))
    assert_close(
        cell.forward(xs[:, 0], np.zeros((N, H), "f")), hs[:, 0], **float32_tolerance(D + H)
    )
    assert cell.cache is not None
    for name in ("MatMul", "Affine"):
        plain = [params[0], params[0][0]][: 1 + (name == "Affine")]
        each = textbook_object(fastseq, name, **with_gradients(plain), x=xs)
        assert pickle.loads(pickle.dumps(each)).forward(xs[0]).shape == (T, 3 * H)
    for name, out in (("Softmax", {"out": None}), ("Sigmoid", {"out": None})):
        each = textbook_object(fastseq, name, **with_gradients([]), **out)
        assert pickle.loads(pickle.dumps(each)).forward(xs[0]).shape == (T, D)
