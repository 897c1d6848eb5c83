"""Models whose layers a reader replaced: they run what their attributes hold, as the textbook's do.

Each case changes the recurrent layer of one part, of a model and of its twin in the reference, and
compares the loss, the gradients of all layers, the generated ids and the calls that were seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq
import fastseq_reference
from support.helpers import assert_close, float32_tolerance

Array = npt.NDArray[Any]

V, D, H, N, Te, Td = 11, 4, 6, 3, 5, 4
MODELS = ["Seq2seq", "PeekySeq2seq", "AttentionSeq2seq", "AttentionBiSeq2seq", "Rnnlm"]
Calls = list[tuple[str, tuple[int, ...]]]


class OwnLayer:
    """A layer of a reader's own, in plain NumPy: ``h = tanh(x W + h_prev / 2)``."""

    def __init__(self, W: Array, stateful: bool) -> None:
        self.params, self.grads = [W], [np.zeros_like(W)]
        self.stateful = stateful
        self.h: Any = None
        self.dh: Any = None

    def forward(self, xs: Array) -> Array:
        (W,) = self.params
        h = self.h if self.stateful else None
        h = np.zeros((len(xs), W.shape[1]), "f") if h is None else h
        self.xs, self.hs = xs, []
        for t in range(xs.shape[1]):
            h = np.tanh(xs[:, t] @ W + h / 2).astype("f")
            self.hs.append(h)
        self.h = h
        return np.stack(self.hs, axis=1)

    def backward(self, dhs: Array) -> Array:
        (W,), (dW,) = self.params, self.grads
        dxs = np.empty_like(self.xs)
        dW[...] = 0
        dh = np.zeros_like(self.hs[0])
        for t in reversed(range(len(self.hs))):
            dA = (dhs[:, t] + dh) * (1 - self.hs[t] ** 2)
            dW += self.xs[:, t].T @ dA
            dxs[:, t] = dA @ W.T
            dh = dA / 2
        self.dh = dh
        return dxs

    def set_state(self, h: Array) -> None:
        self.h = h

    def reset_state(self) -> None:
        self.h = None


def weights(gates: int, inputs: int, hidden: int) -> list[Array]:
    random = np.random.RandomState(gates + inputs)
    shapes = (inputs, gates * hidden), (hidden, gates * hidden), (gates * hidden,)
    return [(0.5 * random.randn(*shape)).astype("f") for shape in shapes]


def seen(name: str, method: Callable[..., Any], calls: Calls, factor: float = 1) -> Any:
    """The method, which notes its calls, and multiplies its result."""

    def wrapped(*arguments: Any) -> Any:
        calls.append((name, arguments[-1].shape))
        return np.float32(factor) * method(*arguments)

    return wrapped


# ---- the changes: each takes the package, the layer that is there, its sizes, a list for calls
# ---- and the patcher; it returns the layer to be there


def gru(package: Any, old: Any, inputs: int, hidden: int, *_: Any) -> Any:
    return package.TimeGRU(*weights(3, inputs, hidden), stateful=old.stateful)


def gru_reset_after(package: Any, old: Any, inputs: int, hidden: int, *_: Any) -> Any:
    given = weights(3, inputs, hidden)
    return package.TimeGRU(*given, stateful=old.stateful, reset_after=True, bh=given[2][:hidden])


def gru_without_bias(package: Any, old: Any, inputs: int, hidden: int, *_: Any) -> Any:
    return package.TimeGRU(*weights(3, inputs, hidden)[:2], stateful=old.stateful)


def rnn(package: Any, old: Any, inputs: int, hidden: int, *_: Any) -> Any:
    return package.TimeRNN(*weights(1, inputs, hidden), stateful=old.stateful)


def own_layer(package: Any, old: Any, inputs: int, hidden: int, *_: Any) -> Any:
    return OwnLayer(weights(1, inputs, hidden)[0], old.stateful)


def reference_layer(package: Any, old: Any, inputs: int, hidden: int, *_: Any) -> Any:
    return fastseq_reference.TimeLSTM(*weights(4, inputs, hidden), stateful=old.stateful)


def not_stateful(package: Any, old: Any, inputs: int, hidden: int, *_: Any) -> Any:
    return package.TimeLSTM(*weights(4, inputs, hidden))


def wrapped_forward(package: Any, old: Any, i: int, h: int, calls: Calls, patch: Any) -> Any:
    old.forward = seen("forward", old.forward, calls, 0.5)
    return old


def wrapped_backward(package: Any, old: Any, i: int, h: int, calls: Calls, patch: Any) -> Any:
    old.backward = seen("backward", old.backward, calls, 0.5)
    return old


def patched_class(package: Any, old: Any, i: int, h: int, calls: Calls, patch: Any) -> Any:
    cls = type(old)
    patch.setattr(cls, "forward", seen("forward", cls.forward, calls, 0.5))
    patch.setattr(cls, "backward", seen("backward", cls.backward, calls))
    return old


CHANGES = [
    gru,
    gru_reset_after,
    gru_without_bias,
    rnn,
    own_layer,
    reference_layer,
    not_stateful,
    wrapped_forward,
    wrapped_backward,
    patched_class,
]


def cases() -> Iterator[Any]:
    for model in MODELS:
        for place in ("encoder", "decoder") if model != "Rnnlm" else ("layers",):
            for change in CHANGES:
                if (model, place, change) == ("AttentionBiSeq2seq", "decoder", patched_class):
                    continue  # the twin's bidirectional layer is made of the class as well
                yield pytest.param(model, place, change, id=f"{model}-{place}-{change.__name__}")


def run(package: Any, name: str, place: str, change: Any, patch: Any) -> dict[str, Any]:
    """What the changed model computes, twice, and the calls of what was wrapped."""
    np.random.seed(3)
    model = getattr(package, name)(V, D, H)
    calls: Calls = []
    if place == "layers":
        layers = model.layers
        old = layers[1]
        layers[1] = model.lstm_layer = change(package, old, D, H, calls, patch)
    else:
        part = getattr(model, place)
        hidden = 2 * H if name == "AttentionBiSeq2seq" else H
        part.lstm = change(package, part.lstm, len(part.lstm.params[0]), hidden, calls, patch)
        parts = model.encoder, model.decoder
        layers = [layer for part in parts for layer in vars(part).values() if has_weights(layer)]
    random = np.random.RandomState(5)
    losses = []
    for _ in range(2):
        xs = random.randint(0, V, (N, Te))
        losses.append(model.forward(xs, xs if place == "layers" else random.randint(0, V, (N, Td))))
        model.backward()
    results = {"loss": np.array(losses)}
    for i, layer in enumerate(layers):
        results |= {f"grad {i}.{k}": grad.copy() for k, grad in enumerate(layer.grads)}
    if place != "layers":
        results["ids"] = [model.generate(xs[n : n + 1], 1, 5) for n in range(N)]
        results["calls"] = list(calls)
        results["batch"] = np.array(model.generate_batch(xs, 1, 5)).tolist()
    return results


def has_weights(layer: Any) -> bool:
    return bool(getattr(layer, "params", None)) and not isinstance(layer, list)


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize(("name", "place", "change"), [*cases()])
def test_a_changed_layer_is_run(
    name: str, place: str, change: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    actual, expected = (
        run(package, name, place, change, monkeypatch) for package in (fastseq, fastseq_reference)
    )
    assert actual.keys() == expected.keys()
    for key, value in expected.items():
        if isinstance(value, list):
            assert actual[key] == value, key
        else:
            magnitude = float(np.abs(value).max(initial=1))
            assert_close(actual[key], value, **float32_tolerance(2000, magnitude))
    if "wrapped" in change.__name__ or "patched" in change.__name__:
        assert place == "layers" or expected["calls"]


@pytest.mark.parametrize("part", ["Encoder", "Decoder", "PeekyDecoder", "AttentionDecoder"])
def test_a_subclass_with_another_layer_inherits_the_rest(part: str) -> None:
    results = []
    for package in (fastseq, fastseq_reference):
        base = getattr(package, part)

        class WithGRU(base):  # type: ignore[misc, valid-type]
            def __init__(self, *sizes: int) -> None:
                super().__init__(*sizes)
                D, is_stateful = len(self.lstm.params[0]), self.lstm.stateful
                self.lstm = type(self).package.TimeGRU(*weights(3, D, H), stateful=is_stateful)
                self.params = [*self.embed.params, *self.lstm.params]

            package = None

        WithGRU.package = package
        np.random.seed(3)
        each = WithGRU(V, D, H)
        random = np.random.RandomState(5)
        xs = random.randint(0, V, (N, Te))
        h = random.randn(*((N, 3, H) if part == "AttentionDecoder" else (N, H))).astype("f")
        inputs = (xs,) if part == "Encoder" else (xs, h)
        out = each.forward(*inputs)
        dout = random.randn(*out.shape).astype("f")
        din = each.backward(dout)
        results.append([out, *each.lstm.grads, *each.embed.grads, *([] if din is None else [din])])
    for actual, expected in zip(*results, strict=True):
        assert_close(actual, expected, **float32_tolerance(2000, float(np.abs(expected).max())))


@pytest.mark.parametrize("attribute", ["embed", "attention", "affine"])
def test_other_layers_may_be_wrapped_too(attribute: str) -> None:
    np.random.seed(3)
    model = fastseq.AttentionSeq2seq(V, D, H)
    xs = np.random.randint(0, V, (N, Te))
    expected = model.forward(xs, xs), model.generate(xs[:1], 1, 3)
    calls: list[str] = []
    layer = getattr(model.decoder, attribute)

    def noting(name: str, method: Any) -> Any:
        def wrapped(*arguments: Any) -> Any:
            calls.append(name)
            return method(*arguments)

        return wrapped

    for name in ("forward", "backward"):
        setattr(layer, name, noting(name, getattr(layer, name)))
    assert model.forward(xs, xs) == pytest.approx(expected[0], rel=1e-5)
    model.backward()
    assert calls == ["forward", "backward"]
    assert model.generate(xs[:1], 1, 3) == expected[1]
    assert calls == ["forward", "backward"] + 3 * ["forward"]


# ---- subclasses that replace one of forward and backward, as the textbook writes them ----


def forward_of_encoder(self: Any, xs: Array) -> Any:
    self.hs = self.lstm.forward(self.embed.forward(xs))
    return self.hs[:, -1, :]


def forward_of_decoder(self: Any, xs: Array, h: Array) -> Any:
    self.lstm.set_state(h)
    return self.affine.forward(self.lstm.forward(self.embed.forward(xs)))


def forward_of_peeky(self: Any, xs: Array, h: Array) -> Any:
    T, self.cache = xs.shape[1], h.shape[1]
    self.lstm.set_state(h)
    hs = np.repeat(h[:, np.newaxis], T, axis=1)
    out = self.lstm.forward(np.concatenate((hs, self.embed.forward(xs)), axis=2))
    return self.affine.forward(np.concatenate((hs, out), axis=2))


def forward_of_attention(self: Any, xs: Array, enc_hs: Array) -> Any:
    self.lstm.set_state(enc_hs[:, -1])
    dec_hs = self.lstm.forward(self.embed.forward(xs))
    c = self.attention.forward(enc_hs, dec_hs)
    return self.affine.forward(np.concatenate((c, dec_hs), axis=2))


def backward_of_encoder(self: Any, dh: Array) -> None:
    dhs = np.zeros_like(self.hs)
    dhs[:, -1, :] = dh
    self.embed.backward(self.lstm.backward(dhs))


def backward_of_decoder(self: Any, dscore: Array) -> Any:
    self.embed.backward(self.lstm.backward(self.affine.backward(dscore)))
    return self.lstm.dh


def backward_of_peeky(self: Any, dscore: Array) -> Any:
    K = self.cache
    dout = self.affine.backward(dscore)
    dhs, dout = dout[:, :, :K], self.lstm.backward(dout[:, :, K:])
    self.embed.backward(dout[:, :, K:])
    return self.lstm.dh + np.sum(dhs + dout[:, :, :K], axis=1)


def backward_of_attention(self: Any, dscore: Array) -> Any:
    dout = self.affine.backward(dscore)
    K = dout.shape[2] // 2
    denc_hs, ddec_hs = self.attention.backward(dout[:, :, :K])
    dout = self.lstm.backward(dout[:, :, K:] + ddec_hs)
    denc_hs[:, -1] += self.lstm.dh
    self.embed.backward(dout)
    return denc_hs


METHODS: dict[str, dict[str, Callable[..., Any]]] = {
    "Encoder": {"forward": forward_of_encoder, "backward": backward_of_encoder},
    "Decoder": {"forward": forward_of_decoder, "backward": backward_of_decoder},
    "PeekyDecoder": {"forward": forward_of_peeky, "backward": backward_of_peeky},
    "AttentionDecoder": {"forward": forward_of_attention, "backward": backward_of_attention},
}


@pytest.mark.parametrize("method", ["forward", "backward"])
@pytest.mark.parametrize("part", METHODS)
def test_a_subclass_replaces_one_method_and_inherits_the_other(part: str, method: str) -> None:
    results = []
    for package in (fastseq, fastseq_reference):
        cls = type("Mine", (getattr(package, part),), {method: METHODS[part][method]})
        np.random.seed(3)
        each = cls(V, D, H)
        random = np.random.RandomState(5)
        found = []
        for steps in (Te, Td):  # the second after a generation, which must leave nothing behind
            xs = random.randint(0, V, (N, steps))
            h = random.randn(*((N, 3, H) if part == "AttentionDecoder" else (N, H))).astype("f")
            out = each.forward(*((xs,) if part == "Encoder" else (xs, h)))
            din = each.backward(random.randn(*out.shape).astype("f"))
            found += [out.copy(), *[grad.copy() for grad in each.grads]]
            if din is not None:
                found += [din.copy(), np.array(each.generate(h[:1], 1, 3))]
        results.append(found)
    for actual, expected in zip(*results, strict=True):
        assert_close(actual, expected, **float32_tolerance(2000, float(np.abs(expected).max())))
