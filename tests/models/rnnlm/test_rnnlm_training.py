"""Language models: training takes the course of the reference, tied weights stay tied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastseq
import fastseq_reference
from support.models.language_models import MODELS, Array, build


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    """Run the test once for each model."""
    return request.param


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


@pytest.mark.usefixtures("float32_products")
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
