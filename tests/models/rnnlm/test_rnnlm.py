"""Language models: the numbers of the reference, which central differences confirm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastseq
import fastseq_reference
from support.helpers import (
    CENTRAL_DIFFERENCES,
    assert_close,
    float32_tolerance,
    numerical_gradient,
)
from support.models.language_models import (
    CASES,
    GENERATORS,
    MODELS,
    SIZES,
    Array,
    as_float64,
    assert_results_close,
    build,
    length_of,
    run_both,
    texts,
)


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    """Run the test once for each model."""
    return request.param


# ---- the reference


def analytic_and_numerical(name: str) -> list[tuple[Array, Array]]:
    """Gradients of a second call, which starts from the state that the first one left."""
    model = as_float64(build(fastseq_reference, name, 6, 3, 4))
    generator = np.random.default_rng(1)
    for param in fastseq_reference.remove_duplicate(model.params, model.grads)[0]:
        param[...] = 0.8 * generator.standard_normal(param.shape)
    xs, ts = texts(2, 4, 6)
    ts[1, 2] = -1
    lstms = model.lstm_layers if name == "BetterRnnlm" else [model.lstm_layer]
    states = [generator.standard_normal((2, 2, 4)) for _ in lstms]

    def loss() -> float:
        for lstm, state in zip(lstms, states, strict=True):
            lstm.set_state(*state)
        np.random.seed(5)  # the same masks at each evaluation
        return float(model.forward(xs, ts))

    loss()
    model.backward()
    first = [grad.copy() for grad in model.grads]
    model.backward()
    for once, twice in zip(first, model.grads, strict=True):
        np.testing.assert_array_equal(once, twice)
    params, grads = fastseq_reference.remove_duplicate(model.params, model.grads)
    assert len(params) == {"Rnnlm": 6, "BetterRnnlm": 8}[name]
    grads = [grad.copy() for grad in grads]
    return [(grad, numerical_gradient(loss, x)) for x, grad in zip(params, grads, strict=True)]


def test_gradients_are_those_of_central_differences(name: str) -> None:
    for analytic, numerical in analytic_and_numerical(name):
        assert np.abs(numerical).max() > 1e-3
        assert_close(analytic, numerical, **CENTRAL_DIFFERENCES)


def test_any_broken_gradient_is_found(name: str) -> None:
    for analytic, numerical in analytic_and_numerical(name):
        broken = analytic.copy()
        broken.flat[np.abs(broken).argmax()] *= 1.001
        with pytest.raises(AssertionError, match="^1 of"):
            assert_close(broken, numerical, **CENTRAL_DIFFERENCES)


@pytest.mark.parametrize("sizes", CASES)
def test_is_the_reference(isa: str, name: str, sizes: tuple[int, ...]) -> None:
    actual, expected = run_both(name, *sizes)
    assert_results_close(actual, expected, length_of(*sizes))


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("index", [0, 1, 2, 3, 4, 5, 6, -8, -3, -2, -1])
def test_comparison_notices_one_wrong_element(isa: str, name: str, index: int) -> None:
    actual, expected = run_both(name, *SIZES)
    wrong = np.array(expected[index])
    wrong.flat[np.abs(wrong).argmax()] *= 0.999
    expected[index] = wrong
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, length_of(*SIZES))


@pytest.mark.usefixtures("float32_products")
@pytest.mark.parametrize("scale", [0, 2])
def test_comparison_notices_a_lost_state(scale: float) -> None:
    actual, _ = run_both("Rnnlm", *SIZES)
    N, T, V, D, H = SIZES
    twin = as_float64(build(fastseq_reference, "Rnnlm", V, D, H))
    twin.forward(*texts(N, T, V))
    twin.lstm_layer.set_state(scale * twin.lstm_layer.h, scale * twin.lstm_layer.c)
    loss = twin.forward(*texts(N, T, V))
    with pytest.raises(AssertionError):
        assert_results_close([actual[7]], [loss], length_of(*SIZES))


@pytest.mark.parametrize("name", MODELS + GENERATORS)
@pytest.mark.parametrize(("V", "D", "H"), [(13, 16, 128), (59, 16, 33)])
def test_one_seed_gives_the_reference_start(name: str, V: int, D: int, H: int) -> None:
    model = build(fastseq, name, V, D, H)
    after = np.random.rand()
    twin = build(fastseq_reference, name, V, D, H)
    assert np.random.rand() == after
    assert len(model.params) == len(model.grads) == len(twin.params)
    for param, grad, other in zip(model.params, model.grads, twin.params, strict=True):
        assert param.dtype == grad.dtype == np.float32
        np.testing.assert_array_equal(param, other)
        assert grad.shape == param.shape


def test_the_order_and_scale_of_the_draws() -> None:
    V, D, H = 11, 5, 7
    np.random.seed(0)
    plain = fastseq.Rnnlm(V, D, H)
    np.random.seed(0)
    drawn = [(V, D, 100), (D, 4 * H, D**0.5), (H, 4 * H, H**0.5), (H, V, H**0.5)]
    expected = [np.random.randn(rows, columns) / scale for rows, columns, scale in drawn]
    for index, weight in zip((0, 1, 2, 4), expected, strict=True):
        np.testing.assert_array_equal(plain.params[index], weight.astype(np.float32))
    assert not plain.params[3].any()
    assert not plain.params[5].any()

    np.random.seed(0)
    better = fastseq.BetterRnnlm(V, H, H)
    np.random.seed(0)
    drawn = [(V, H, 100), *4 * [(H, 4 * H, H**0.5)]]
    expected = [np.random.randn(rows, columns) / scale for rows, columns, scale in drawn]
    for index, weight in zip((0, 1, 2, 4, 5), expected, strict=True):
        np.testing.assert_array_equal(better.params[index], weight.astype(np.float32))
    for index in (3, 6, 8):
        assert not better.params[index].any()


def test_the_attributes() -> None:
    plain, better = fastseq.Rnnlm(7, 5, 6), fastseq.BetterRnnlm(7, 6, 6, 0.25)
    for model, names in (
        (plain, ["TimeEmbedding", "TimeLSTM", "TimeAffine"]),
        (
            better,
            [
                *["TimeEmbedding", "TimeDropout", "TimeLSTM", "TimeDropout"],
                *["TimeLSTM", "TimeDropout", "TimeAffine"],
            ],
        ),
    ):
        assert [type(layer).__name__ for layer in model.layers] == names
        assert isinstance(model.loss_layer, fastseq.TimeSoftmaxWithLoss)
        held = [id(param) for layer in model.layers for param in layer.params]
        assert [id(param) for param in model.params] == held
        held = [id(grad) for layer in model.layers for grad in layer.grads]
        assert [id(grad) for grad in model.grads] == held
    assert plain.lstm_layer is plain.layers[1]
    assert better.lstm_layers == [better.layers[2], better.layers[4]]
    assert better.drop_layers == [better.layers[1], better.layers[3], better.layers[5]]
    assert [layer.dropout_ratio for layer in better.drop_layers] == [0.25] * 3
    assert all(lstm.stateful for lstm in [plain.lstm_layer, *better.lstm_layers])


def test_the_default_sizes() -> None:
    plain = fastseq.Rnnlm()
    assert [param.shape for param in plain.params[:2]] == [(10000, 100), (100, 400)]
    better = fastseq.BetterRnnlm(vocab_size=10)
    assert [param.shape for param in better.params[:2]] == [(10, 650), (650, 2600)]
    assert better.drop_layers[0].dropout_ratio == 0.5


@pytest.mark.parametrize("sizes", [(0, 3, 3), (5, -1, 3), (5, 3, 0)])
def test_sizes_are_at_least_one(name: str, sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="_size: expected at least 1"):
        getattr(fastseq, name)(*sizes)


@pytest.mark.parametrize("package", [fastseq, fastseq_reference])
def test_tied_weights_need_equal_sizes(package: Any) -> None:
    with pytest.raises(ValueError, match="wordvec_size.*hidden_size.* 4 and 5"):
        package.BetterRnnlm(9, 4, 5)


# ---------------------------------------------------------------------------- dropout and the state


def test_dropout_is_for_training_only() -> None:
    model = build(fastseq, "BetterRnnlm", 13, 9, 9, scale=100)
    xs, ts = texts(3, 4, 13)

    def loss(*arguments: bool) -> float:
        model.reset_state()
        return float(model.forward(xs, ts, *arguments))

    assert len({loss() for _ in range(4)}) == 4
    assert len({loss(False) for _ in range(4)}) == 1
    before = np.random.get_state()[2]
    model.reset_state()
    scores = [model.predict(xs)]
    model.reset_state()
    scores.append(model.predict(xs, train_flg=False))
    assert np.random.get_state()[2] == before
    np.testing.assert_array_equal(*scores)
    model.reset_state()
    assert not np.array_equal(model.predict(xs, train_flg=True), scores[0])


def test_reads_on_until_reset(name: str) -> None:
    model = build(fastseq, name, 13, 9, 9, scale=100)
    xs, _ = texts(3, 8, 13)
    whole = model.predict(xs)
    model.reset_state()
    parts = [model.predict(xs[:, :3]), model.predict(xs[:, 3:])]
    tolerance = float32_tolerance(8 * 18, float(np.abs(whole).max()))
    assert_close(np.concatenate(parts, axis=1), whole, **tolerance)
    with pytest.raises(AssertionError):  # without the reset it went on from elsewhere
        assert_close(model.predict(xs), whole, **tolerance)
    with pytest.raises(ValueError, match="expected 3 rows, as in the state.*reset_state"):
        model.predict(xs[:2])


def test_backward_comes_after_forward(name: str) -> None:
    with pytest.raises(RuntimeError, match="before forward"):
        build(fastseq, name, 5, 4, 4).backward()


def test_backward_twice_gives_the_same(name: str) -> None:
    model = build(fastseq, name, *SIZES[2:])
    model.forward(*texts(*SIZES[:3]))
    model.backward()
    first = [grad.copy() for grad in model.grads]
    model.backward()
    for once, twice in zip(first, model.grads, strict=True):
        np.testing.assert_array_equal(once, twice)
    model.backward(2)
    for once, doubled in zip(first, model.grads, strict=True):
        np.testing.assert_allclose(doubled, 2 * once, rtol=1e-5, atol=1e-9)
