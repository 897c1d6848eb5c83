"""Models of the reference, compared with a second implementation and central differences.

Losses and generated sequences are compared with a second implementation, written here from the
formulas alone; gradients with central differences in float64, over every parameter.
"""

import functools
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastseq_reference as reference
from support.helpers import CENTRAL_DIFFERENCES, assert_close, convert_model, numerical_gradient

Array = Any
V, D, H = 6, 3, 4
XS = np.array([[0, 3, 5, 1], [2, 2, 4, 0]])
TS = np.array([[1, 4, 0, 3, 5], [1, 2, 2, 5, 0]])
MODELS = (reference.Seq2seq, reference.PeekySeq2seq, reference.AttentionSeq2seq)
every_model = pytest.mark.parametrize("model_class", MODELS)


def float64_model(model_class: type, scale: float = 0.8) -> Any:
    """A model with weights large enough for every gradient, and every choice, to matter."""
    generator = np.random.default_rng(1)
    model = convert_model(model_class(V, D, H), np.float64)
    for param in model.params:
        param[...] = scale * generator.standard_normal(param.shape)
    return model


# ------------------------------------------------------------------------------------- gradients


def whole_model(model_class: type) -> tuple[dict[str, Array], Callable[[], float], Any]:
    """Loss of a model over all its parameters, one label ignored."""
    model = float64_model(model_class)
    ts = TS.copy()
    ts[1, -1] = -1
    inputs = {str(index): param for index, param in enumerate(model.params)}

    def backward() -> list[Array]:
        assert model.backward() is None
        return list(model.grads)

    return inputs, lambda: model.forward(XS, ts), backward


def encoder_alone(model_class: type) -> tuple[dict[str, Array], Callable[[], float], Any]:
    """An encoder's output over its parameters."""
    encoder = float64_model(model_class).encoder
    dout = np.random.default_rng(2).standard_normal(encoder.forward(XS).shape)
    inputs = {str(index): param for index, param in enumerate(encoder.params)}

    def backward() -> list[Array]:
        assert encoder.backward(dout) is None
        return list(encoder.grads)

    return inputs, lambda: float(np.sum(encoder.forward(XS) * dout)), backward


def decoder_alone(model_class: type) -> tuple[dict[str, Array], Callable[[], float], Any]:
    """A decoder's scores over what the encoder hands it, and over its parameters."""
    model = float64_model(model_class)
    decoder, state = model.decoder, model.encoder.forward(XS)
    dscore = np.random.default_rng(2).standard_normal((*TS.shape, V))
    inputs = {"state": state} | {str(index): param for index, param in enumerate(decoder.params)}

    def backward() -> list[Array]:
        return [decoder.backward(dscore), *decoder.grads]

    return inputs, lambda: float(np.sum(decoder.forward(TS, state) * dscore)), backward


@functools.cache
def analytic_and_numerical(part: Any, model_class: type) -> dict[str, tuple[Array, Array]]:
    inputs, loss, backward = part(model_class)
    numerical = {name: numerical_gradient(loss, x) for name, x in inputs.items()}
    loss()
    first = [gradient.copy() for gradient in backward()]
    second = backward()
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    return {name: (analytic, numerical[name]) for name, analytic in zip(inputs, first, strict=True)}


every_part = pytest.mark.parametrize("part", [whole_model, encoder_alone, decoder_alone])


@every_model
@every_part
def test_gradients_are_those_of_central_differences(part: Any, model_class: type) -> None:
    for analytic, numerical in analytic_and_numerical(part, model_class).values():
        assert_close(analytic, numerical, **CENTRAL_DIFFERENCES)


@every_model
@every_part
def test_any_broken_element_of_a_gradient_is_found(part: Any, model_class: type) -> None:
    for analytic, numerical in analytic_and_numerical(part, model_class).values():
        error = 0.01 * np.abs(analytic).max()
        assert error > 10 * CENTRAL_DIFFERENCES["atol"]
        for index in np.ndindex(analytic.shape):
            broken = analytic.copy()
            broken[index] += error
            with pytest.raises(AssertionError, match=r"^1 of"):
                assert_close(broken, numerical, **CENTRAL_DIFFERENCES)


# ---------------------------------------------------------------------- a second implementation


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    return np.exp(x) / sum(np.exp(x))


def lstm_step(x: Array, state: Any, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Array]:
    h, c = state
    f, g, i, o = np.split(x @ Wx + h @ Wh + b, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def scores_of_one_row(model: Any, question: Array, symbols: list[int]) -> Array:
    """Scores (len(symbols), V) after each of the decoder's input symbols."""
    E_enc, Wx_enc, Wh_enc, b_enc, E_dec, Wx_dec, Wh_dec, b_dec, W, b = model.params
    state = np.zeros(H), np.zeros(H)
    encoder_hs = []
    for symbol in question:
        state = lstm_step(E_enc[symbol], state, Wx_enc, Wh_enc, b_enc)
        encoder_hs.append(state[0])

    last = encoder_hs[-1]
    state = last, np.zeros(H)
    scores = []
    for symbol in symbols:
        x = E_dec[symbol]
        if isinstance(model, reference.PeekySeq2seq):
            state = lstm_step(np.r_[last, x], state, Wx_dec, Wh_dec, b_dec)
            out = np.r_[last, state[0]]
        else:
            state = lstm_step(x, state, Wx_dec, Wh_dec, b_dec)
            out = state[0]
        if isinstance(model, reference.AttentionSeq2seq):
            weights = softmax(np.array([h @ state[0] for h in encoder_hs]))
            out = np.r_[sum(a * h for a, h in zip(weights, encoder_hs, strict=True)), state[0]]
        scores.append(out @ W + b)
    return np.array(scores)


def greedy(model: Any, question: Array, start_id: int, sample_size: int) -> list[int]:
    """The whole decoder again for every symbol; the best score after the last is the next."""
    symbols = [start_id]
    for _ in range(sample_size):
        symbols.append(int(np.argmax(scores_of_one_row(model, question, symbols)[-1])))
    return symbols[1:]


@every_model
def test_loss_and_scores(model_class: type) -> None:
    model = float64_model(model_class)
    score = model.decoder.forward(TS[:, :-1], model.encoder.forward(XS))
    log_p = []
    for n in range(2):
        expected = scores_of_one_row(model, XS[n], list(TS[n, :-1]))
        assert_close(score[n], expected, rtol=1e-12, atol=1e-12)
        log_p += [math.log(softmax(s)[t]) for s, t in zip(expected, TS[n, 1:], strict=True)]
    assert_close(model.forward(XS, TS), -np.mean(log_p), rtol=1e-12, atol=1e-12)


@every_model
def test_generate_is_greedy_step_by_step(model_class: type) -> None:
    model = float64_model(model_class, scale=3.0)
    model.params[-1][...] = 0  # a large bias would make all predicted ids the same
    questions = np.random.default_rng(3).integers(V, size=(10, 5))
    expected = [greedy(model, question, 1, 7) for question in questions]
    assert len({tuple(symbols) for symbols in expected}) >= 3
    assert len({symbol for symbols in expected for symbol in symbols}) > 3

    loss = model.forward(XS, TS)
    for question, symbols in zip(questions, expected, strict=True):
        sampled = model.generate(question[np.newaxis], 1, 7)
        assert sampled == symbols
        assert {type(symbol) for symbol in sampled} == {int}
    assert model.forward(XS, TS) == loss  # no state is kept from the call with one row

    batch = model.generate_batch(questions, 1, 7)
    assert batch.dtype == np.int64
    np.testing.assert_array_equal(batch, expected)
    assert model.generate_batch(questions[:0], 1, 7).shape == (0, 7)
    assert model.generate(questions[:1], np.int64(1), 0) == []


# ------------------------------------------------------------------------------------ conventions


@every_model
def test_weights_are_drawn_in_the_order_and_scale_of_the_contract(model_class: type) -> None:
    lstm_width, affine_width = {
        reference.Seq2seq: (D, H),
        reference.PeekySeq2seq: (H + D, 2 * H),
        reference.AttentionSeq2seq: (D, 2 * H),
    }[model_class]

    np.random.seed(11)
    model = model_class(vocab_size=V, wordvec_size=D, hidden_size=H)
    following = np.random.rand()

    np.random.seed(11)
    expected = []
    for width in (D, lstm_width):  # encoder, decoder
        expected.append(np.random.randn(V, D) / 100)
        expected.append(np.random.randn(width, 4 * H) / math.sqrt(width))
        expected.append(np.random.randn(H, 4 * H) / math.sqrt(H))
        expected.append(np.zeros(4 * H))
    expected.append(np.random.randn(affine_width, V) / math.sqrt(affine_width))
    expected.append(np.zeros(V))
    assert np.random.rand() == following  # and nothing else was drawn

    assert len(model.params) == len(model.grads) == len(expected)
    for param, grad, array in zip(model.params, model.grads, expected, strict=True):
        assert param.dtype == grad.dtype == np.float32
        assert grad.shape == param.shape
        np.testing.assert_array_equal(param, array.astype(np.float32))


@every_model
def test_a_model_is_made_of_its_layers(model_class: type) -> None:
    model = model_class(V, D, H)
    encoder, decoder = model.encoder, model.decoder
    assert isinstance(encoder, reference.Encoder)
    assert isinstance(model.softmax, reference.TimeSoftmaxWithLoss)
    assert (encoder.lstm.stateful, decoder.lstm.stateful) == (False, True)
    layers = (encoder.embed, encoder.lstm, decoder.embed, decoder.lstm, decoder.affine)
    for lists, of_layers in (
        (model.params, [param for layer in layers for param in layer.params]),
        (model.grads, [grad for layer in layers for grad in layer.grads]),
    ):
        assert len(lists) == 10
        assert all(a is b for a, b in zip(lists, of_layers, strict=True))

    h = encoder.forward(XS)
    decoder.forward(TS, h)
    if model_class is reference.AttentionSeq2seq:
        assert h.shape == (2, 4, H)
        assert np.array(decoder.attention.attention_weights).shape == (5, 2, 4)
    else:
        assert h.shape == (2, H)
        np.testing.assert_array_equal(h, encoder.hs[:, -1])


@every_model
def test_float32_stays_and_agrees_with_float64(model_class: type) -> None:
    np.random.seed(4)
    single = model_class(V, D, H)
    np.random.seed(4)
    double = convert_model(model_class(V, D, H), np.float64)
    arrays = list(single.grads)
    for model in (single, double):
        optimizer = reference.Adam()
        for _ in range(3):
            model.forward(XS[:, ::-1], TS)
            model.backward()
            optimizer.update(model.params, model.grads)
    assert {array.dtype for array in single.params + single.grads} == {np.dtype(np.float32)}
    assert {array.dtype for array in double.params + double.grads} == {np.dtype(np.float64)}
    assert all(a is b for a, b in zip(arrays, single.grads, strict=True))
    losses = [model.forward(XS[:, ::-1], TS) for model in (single, double)]
    assert_close(*losses, rtol=1e-6, atol=0)
    assert abs(losses[0] - math.log(V)) < 0.5


@every_model
def test_backward_before_forward_is_refused(model_class: type) -> None:
    model = model_class(V, D, H)
    shape = (2, 4, H) if model_class is reference.AttentionSeq2seq else (2, H)
    for backward in (
        model.backward,
        lambda: model.encoder.backward(np.zeros(shape)),
        lambda: model.decoder.backward(np.zeros((2, 4, V))),
    ):
        with pytest.raises(RuntimeError, match="before forward"):
            backward()


@every_model
def test_saved_weights_come_back_bit_for_bit(
    model_class: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved, loaded = model_class(V, D, H), model_class(V, D, H)
    arrays = list(loaded.params)
    saved.save_params()
    loaded.load_params(f"{model_class.__name__}.pkl")
    for a, b in zip(saved.params, loaded.params, strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(a is b for a, b in zip(arrays, loaded.params, strict=True))
    with open(f"{model_class.__name__}.pkl", "rb") as file:
        assert [array.dtype for array in pickle.load(file)] == [np.dtype(np.float32)] * 10


def test_weights_of_another_model_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "weights.pkl"
    reference.Seq2seq(V, D, H).save_params(path)
    model = reference.PeekySeq2seq(V, D, H)
    before = [param.copy() for param in model.params]
    with pytest.raises(ValueError, match=r"array 5: expected shape \(7, 16\), found \(3, 16\)"):
        model.load_params(path)
    for a, b in zip(before, model.params, strict=True):
        np.testing.assert_array_equal(a, b)
    model.params.pop()
    with pytest.raises(ValueError, match="expected 9 arrays, found 10"):
        model.load_params(path)
