"""The language models: gradients, the reference's numbers, tied weights, state, generation."""

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

Array = Any

MODELS = ("Rnnlm", "BetterRnnlm")
GENERATORS = ("RnnlmGen", "BetterRnnlmGen")

# N, T, V, D, H; the tied model takes H for D
CASES = [
    *[(N, 3, 9, 5, 9) for N in (1, 2, 8, 17, 33)],
    *[(3, T, 9, 5, 9) for T in (1, 2, 7, 17)],
    *[(3, 4, V, 5, 9) for V in (1, 2, 15, 16, 33, 65)],
    *[(3, 4, 9, 5, H) for H in (1, 7, 8, 15, 16, 17, 31, 64)],
    *[(3, 4, 9, D, 9) for D in (1, 8, 16, 33)],
]
SIZES = (3, 5, 13, 7, 17)


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    """Run the test once for each model."""
    return request.param


def build(package: Any, name: str, V: int, D: int, H: int, scale: float = 1, **more: Any) -> Any:
    """A model from a fixed seed; with embeddings scaled by 100 its answers are varied."""
    np.random.seed(V + D + H)
    model = getattr(package, name)(V, H if name.startswith("Better") else D, H, **more)
    model.params[0][...] *= scale
    return model


def as_float64(model: Any) -> Any:
    """Give a model of the reference float64 weights, in place, tied where they were."""
    tied = np.shares_memory(model.layers[0].params[0], model.layers[-1].params[0])
    for layer in model.layers:
        layer.params[:] = [param.astype(np.float64) for param in layer.params]
        layer.grads[:] = [grad.astype(np.float64) for grad in layer.grads]
    (model.layers[0].W,) = model.layers[0].params
    if tied:
        model.layers[-1].params[0] = model.layers[0].W.T
    model.params[:] = [param for layer in model.layers for param in layer.params]
    model.grads[:] = [grad for layer in model.layers for grad in layer.grads]
    return model


def texts(N: int, T: int, V: int) -> tuple[Array, Array]:
    rng = np.random.default_rng([N, T, V])
    return rng.integers(0, V, (N, T)), rng.integers(0, V, (N, T))


# ---------------------------------------------------------------------------- the reference, pinned


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


# ------------------------------------------------------------------------ fastseq, as the reference


def run_both(name: str, N: int, T: int, V: int, D: int, H: int) -> tuple[list[Any], list[Any]]:
    """Loss, gradients and state of two calls, the second from the state of the first."""

    def run(model: Any) -> list[Any]:
        results: list[Any] = []
        np.random.seed(3)
        for _ in range(2):
            results.append(model.forward(xs, ts))
            assert model.backward() is None
            results += [grad.copy() for grad in model.grads]
        lstms = getattr(model, "lstm_layers", None) or [model.lstm_layer]
        return results + [state for lstm in lstms for state in (lstm.h, lstm.c)]

    xs, ts = texts(N, T, V)
    twin = as_float64(build(fastseq_reference, name, V, D, H))
    return run(build(fastseq, name, V, D, H)), run(twin)


def assert_results_close(actual: list[Any], expected: list[Any], length: int) -> None:
    # the mean over positions makes gradients small: they are compared on their own scale
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        tolerance = float32_tolerance(length, float(np.abs(other).max()))
        assert_close(one, other, rtol=tolerance["rtol"], atol=tolerance["atol"] + 1e-9)


def length_of(N: int, T: int, V: int, D: int, H: int) -> int:
    return 2 * 2 * T * (D + 5 * H) + V + N * T


@pytest.mark.parametrize("sizes", CASES)
def test_is_the_reference(isa: str, name: str, sizes: tuple[int, ...]) -> None:
    actual, expected = run_both(name, *sizes)
    assert_results_close(actual, expected, length_of(*sizes))


@pytest.mark.parametrize("index", [0, 1, 2, 3, 4, 5, 6, -8, -3, -2, -1])
def test_comparison_notices_one_wrong_element(isa: str, name: str, index: int) -> None:
    actual, expected = run_both(name, *SIZES)
    wrong = np.array(expected[index])
    wrong.flat[np.abs(wrong).argmax()] *= 0.999
    expected[index] = wrong
    with pytest.raises(AssertionError):
        assert_results_close(actual, expected, length_of(*SIZES))


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


# ------------------------------------------------------------------------------ tied while training


def markov_text(length: int, V: int = 17) -> Array:
    """Every id is followed by one of two: the best perplexity is 2."""
    steps = np.random.default_rng(0).integers(0, 2, length)
    ids = np.zeros(length, dtype=np.int64)
    for position in range(1, length):
        ids[position] = (3 * ids[position - 1] + 5 + steps[position]) % V
    return ids


def loss_curve(package: Any, name: str, optimizer: Any, steps: int = 100, **more: Any) -> Any:
    """The loss of each of some steps of training, and the model."""
    corpus = markov_text(501)
    model = build(package, name, 17, 8, 16, scale=30, **more)
    trainer = package.RnnlmTrainer(model, optimizer)
    np.random.seed(2)
    trainer.fit(
        corpus[:-1],
        corpus[1:],
        max_epoch=steps // 20,
        batch_size=5,
        time_size=5,
        max_grad=0.5,
        eval_interval=1,
    )
    return np.log(trainer.ppl_list), model


OPTIMIZERS: dict[str, dict[str, float]] = {
    "SGD": {"lr": 2.0},
    "Momentum": {"lr": 0.2},
    "Nesterov": {"lr": 0.2},
    "AdaGrad": {"lr": 0.05},
    "RMSprop": {"lr": 0.005},
    "Adam": {"lr": 0.01},
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_trains_like_the_reference(
    name: str, optimizer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    curves = [
        loss_curve(package, name, getattr(package, optimizer)(**OPTIMIZERS[optimizer]))[0]
        for package in (fastseq, fastseq_reference)
    ]
    assert len(curves[0]) == 100
    assert curves[1][-10:].mean() < 0.97 * curves[1][:10].mean()
    np.testing.assert_allclose(*curves, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "more"), [({"lr": 0.0101}, {}), ({"lr": 0.01}, {"dropout_ratio": 0.51})]
)
def test_a_curve_of_other_settings_is_told_apart(
    settings: dict[str, float], more: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    ours, _ = loss_curve(fastseq, "BetterRnnlm", fastseq.Adam(lr=0.01))
    other, _ = loss_curve(
        fastseq_reference, "BetterRnnlm", fastseq_reference.Adam(**settings), **more
    )
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(ours, other, rtol=1e-4)


@pytest.mark.parametrize("package", [fastseq, fastseq_reference])
def test_weights_stay_tied(package: Any, capsys: pytest.CaptureFixture[str]) -> None:
    start = build(package, "BetterRnnlm", 17, 16, 16, scale=30).params[0]
    _, model = loss_curve(package, "BetterRnnlm", package.Adam(lr=0.01))
    embed_W, affine_W = model.params[0], model.params[7]
    assert model.layers[0].params[0] is embed_W
    assert model.layers[-1].params[0] is affine_W
    assert np.shares_memory(embed_W, affine_W)
    np.testing.assert_array_equal(embed_W, affine_W.T)
    assert np.abs(embed_W - start).max() > 0.01


def test_an_untied_model_takes_another_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tied, _ = loss_curve(fastseq, "BetterRnnlm", fastseq.Adam(lr=0.01))

    class BetterUntied(fastseq.BetterRnnlm):
        def __init__(self, *sizes: int) -> None:
            super().__init__(*sizes)
            self.layers[-1].params[0] = self.params[7] = self.params[0].T.copy()

    monkeypatch.setattr(fastseq, "BetterUntied", BetterUntied, raising=False)
    untied, _ = loss_curve(fastseq, "BetterUntied", fastseq.Adam(lr=0.01))
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(untied, tied, rtol=1e-2)


@pytest.mark.parametrize("ending", ["pkl", "npz"])
def test_saved_parameters_come_back_tied(name: str, ending: str, tmp_path: Any) -> None:
    model = build(fastseq, name, 7, 5, 5)
    model.save_params(tmp_path / f"model.{ending}")
    other = getattr(fastseq, name)(7, 5, 5)
    other.load_params(tmp_path / f"model.{ending}")
    for param, loaded in zip(model.params, other.params, strict=True):
        np.testing.assert_array_equal(param, loaded)
    tied = np.shares_memory(other.layers[0].params[0], other.layers[-1].params[0])
    assert tied == (name == "BetterRnnlm")


# --------------------------------------------------------------------------------------- generation


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("skip_ids", [None, [1, 4, 7], np.array([0, 3])])
def test_writes_what_the_reference_writes(isa: str, name: str, skip_ids: Any) -> None:
    results = []
    for package in (fastseq, fastseq_reference):
        model = build(package, name, 9, 8, 8, scale=100)
        np.random.seed(1)
        results.append([model.generate(2, skip_ids, 60), np.random.rand()])
        results[-1].append(model.generate(5))
    assert results[0] == results[1]
    written = results[0][0]
    assert len(written) == 60
    assert len(results[0][2]) == 100
    assert written[0] == 2
    assert all(type(word_id) is int for word_id in written)
    assert not set(written) & set([] if skip_ids is None else list(skip_ids))
    assert len(set(written)) >= 5
    other = build(fastseq_reference, name, 9, 8, 8, scale=150)
    np.random.seed(1)
    assert other.generate(2, skip_ids, 60) != written


@pytest.mark.parametrize("name", GENERATORS)
def test_draws_have_the_softmax_probabilities(name: str) -> None:
    model = build(fastseq, name, 4, 8, 8, scale=100)
    model.params[-1][...] = [0, 0.5, 1, -0.5]
    score = model.predict(np.array([[1]])).ravel().astype(np.float64)
    p = np.exp(score) / np.exp(score).sum()
    counts = np.zeros(4)
    for _ in range(2000):
        model.reset_state()
        counts[model.generate(1, sample_size=2)[1]] += 1
    # five standard deviations of each count
    assert np.all(np.abs(counts - 2000 * p) < 5 * np.sqrt(2000 * p * (1 - p)))
    assert np.abs(counts - 500).max() > 5 * np.sqrt(375)  # far from equal chances


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("sample_size", [0, 1])
def test_the_first_id_is_always_there(name: str, sample_size: int) -> None:
    model = build(fastseq, name, 9, 8, 8)
    assert model.generate(3, sample_size=sample_size) == [3]


@pytest.mark.parametrize("package", [fastseq, fastseq_reference])
@pytest.mark.parametrize("name", GENERATORS)
def test_goes_on_from_a_state(package: Any, name: str) -> None:
    model = build(package, name, 9, 8, 8, scale=100)
    model.generate(1, sample_size=5)
    state = model.get_state()
    pairs = [state] if name == "RnnlmGen" else state
    assert [[part.shape for part in pair] for pair in pairs] == len(pairs) * [[(1, 8), (1, 8)]]

    def go_on() -> tuple[Array, list[int]]:
        np.random.seed(0)
        return model.predict(np.array([[2]])), model.generate(2, sample_size=30)

    first, elsewhere = go_on(), go_on()
    model.set_state(state)
    again = go_on()
    np.testing.assert_array_equal(again[0], first[0])
    assert again[1] == first[1]
    assert np.abs(elsewhere[0] - first[0]).max() > 0.01


@pytest.mark.parametrize("name", GENERATORS)
def test_an_empty_state_is_a_state(name: str) -> None:
    model = build(fastseq, name, 9, 8, 8)
    state = model.get_state()
    first = model.predict(np.array([[1]]))
    model.set_state(state)
    np.testing.assert_array_equal(model.predict(np.array([[1]])), first)


@pytest.mark.parametrize("name", GENERATORS)
def test_what_cannot_be_generated(name: str) -> None:
    model = build(fastseq, name, 5, 4, 4)
    with pytest.raises(ValueError, match="skip_ids: expected to leave an id; all 5"):
        model.generate(1, skip_ids=range(6))
    with pytest.raises(IndexError, match="5"):
        model.generate(5)
    for wrong in ("1", 2.5, 1j, np.zeros(3)):
        for argument in ("start_id", "sample_size"):
            with pytest.raises(TypeError, match=f"^{argument}: expected an integer"):
                model.generate(**({"start_id": 1} | {argument: wrong}))
        with pytest.raises(TypeError, match="^skip_ids: expected an integer"):
            model.generate(1, [wrong])
    with pytest.raises(TypeError, match="^skip_ids: expected a sequence, got int"):
        model.generate(1, 3)
    model.reset_state()
    model.predict(np.zeros((3, 2), dtype=int))
    with pytest.raises(ValueError, match="reset_state"):
        model.generate(1)
