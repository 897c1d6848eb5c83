"""Exported models of the textbook under onnxruntime, beside the models themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq
from fastseq.interop import to_onnx
from fastseq.interop.export.folder import model_files
from fastseq.layers import TimeAffine, TimeGRU, TimeLSTM, TimeRNN
from fastseq.models import AttentionSeq2seq, PeekySeq2seq, Rnnlm, Seq2seq
from support.interop.exported import LOGARITHMS, STATES, Exported
from support.models.seq2seq_models import build

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
# The graphs compute in float32, and their states are compared to the rounding of its sums.
pytestmark = pytest.mark.usefixtures("float32_products")

Array = npt.NDArray[Any]

V, D, H = 13, 5, 8
MODELS = ("Seq2seq", "PeekySeq2seq", "AttentionSeq2seq", "AttentionBiSeq2seq")
LANGUAGE_MODELS = ("Rnnlm", "RnnlmGen", "BetterRnnlm", "BetterRnnlmGen")


def sources(rows: int = 5, steps: int = 7) -> Array:
    return np.random.default_rng(0).integers(0, V, (rows, steps))


def recurrent(cls: type, inputs: int, **settings: Any) -> Any:
    """A recurrent layer of random weights."""
    gates = {TimeGRU: 3, TimeRNN: 1, TimeLSTM: 4}[cls]
    generator = np.random.default_rng(3)
    weights = (generator.normal(size=(rows, gates * H)) for rows in (inputs, H))
    Wx, Wh = (each.astype(np.float32) for each in weights)
    return cls(Wx, Wh, generator.normal(size=gates * H).astype(np.float32), **settings)


def assert_same_answers(model: Any) -> None:
    graph = Exported(model_files(model)["greedy.onnx"])
    xs = sources()
    for start_id, size in ((3, 9), (0, 1), (12, 0)):
        expected = model.generate_batch(xs, start_id, size)
        found = graph(ids=xs, start_id=start_id, sample_size=size)["answers"]
        np.testing.assert_array_equal(found, expected)
        alone = graph(ids=xs[:1], start_id=start_id, sample_size=size)["answers"]
        assert alone.tolist() == [model.generate(xs[:1], start_id, size)]
    assert len({tuple(answer) for answer in model.generate_batch(xs, 3, 9).tolist()}) > 1


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_those_of_generate(name: str) -> None:
    assert_same_answers(build(fastseq, name, V, D, H, scale=8))


@pytest.mark.parametrize("name", MODELS)
def test_steps_give_the_decoder_s_scores(name: str) -> None:
    model = build(fastseq, name, V, D, H, scale=3)
    files = model_files(model)
    encoder, step = Exported(files["encoder.onnx"]), Exported(files["step.onnx"])
    xs, inputs = sources(), np.random.default_rng(1).integers(0, V, (5, 4))
    expected = model.decoder.forward(inputs, model.encoder.forward(xs))
    values = encoder(ids=xs)
    for k, id in enumerate(inputs.T):
        found = step(id=id, **values)
        values |= {each: found[f"{each}_next"] for each in "hc"}
        np.testing.assert_allclose(found["scores"], expected[:, k], rtol=1e-5, atol=LOGARITHMS)
        if "attention" in found:
            weights = model.decoder.attention.attention_weights[k]
            np.testing.assert_allclose(found["attention"], weights, atol=STATES)
    assert ("attention" in found) == name.startswith("Attention")
    np.testing.assert_allclose(values["h"][0], model.decoder.lstm.h, atol=STATES)


@pytest.mark.parametrize("suffix", [".pkl", ".safetensors", ".npz"])
def test_stored_parameters_are_exported(suffix: str, tmp_path: Path) -> None:
    build(fastseq, "AttentionSeq2seq", V, D, H, scale=8).save_params(tmp_path / f"model{suffix}")
    model = AttentionSeq2seq(V, D, H)
    model.load_params(tmp_path / f"model{suffix}")
    to_onnx(model, tmp_path / "exported")
    graph = Exported((tmp_path / "exported" / "greedy.onnx").read_bytes())
    found = graph(ids=sources(), start_id=3, sample_size=9)["answers"]
    np.testing.assert_array_equal(found, model.generate_batch(sources(), 3, 9))


@pytest.mark.parametrize("reset_after", [False, True])
def test_other_cells_of_fastseq_may_stand_in(reset_after: bool) -> None:
    model = build(fastseq, "PeekySeq2seq", V, D, H, scale=8)
    for part in (model.encoder, model.decoder):
        part.embed.params[0][...] *= 20
    settings: dict[str, Any] = {"reset_after": reset_after}
    if reset_after:
        settings["bh"] = np.random.default_rng(4).normal(size=H).astype(np.float32)
    model.encoder.lstm = recurrent(TimeGRU, D, **settings)
    model.decoder.lstm = recurrent(TimeGRU, H + D, stateful=True, **settings)
    assert_same_answers(model)
    model.encoder.lstm = recurrent(TimeRNN, D)
    model.decoder.lstm = recurrent(TimeRNN, H + D, stateful=True)
    assert_same_answers(model)


def test_a_layer_without_bias_has_zeros_for_it() -> None:
    model = build(fastseq, "Seq2seq", V, D, H, scale=8)
    for part, stateful in ((model.encoder, False), (model.decoder, True)):
        Wx, Wh, _ = recurrent(TimeGRU, D).params
        part.lstm = TimeGRU(Wx, Wh, stateful=stateful)
    assert_same_answers(model)


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_a_language_model_is_a_step(name: str) -> None:
    model = build(fastseq, name, V, H, H, scale=3)
    files = model_files(model)
    assert sorted(files) == ["README.txt", "model.json", "run.py", "step.onnx"]
    step = Exported(files["step.onnx"])
    xs = sources()
    layers = 2 if name.startswith("Better") else 1
    state = {each: np.zeros((layers, len(xs), H), np.float32) for each in "hc"}
    expected = model.predict(xs)
    for k, id in enumerate(xs.T):
        found = step(id=id, **state)
        state = {each: found[f"{each}_next"] for each in "hc"}
        np.testing.assert_allclose(found["scores"], expected[:, k], rtol=1e-5, atol=LOGARITHMS)
    described = json.loads(files["model.json"])
    assert described["model"] == name
    assert [each["name"] for each in described["graphs"]["step.onnx"]["inputs"]] == ["id", "h", "c"]


class OwnGenerate(Seq2seq):
    def generate(self, xs: Array, start_id: int, sample_size: int) -> list[int]:
        return [start_id] * sample_size


class OwnAffine(TimeAffine):
    pass


def with_own(part: str, name: str, layer: Any) -> Any:
    model = PeekySeq2seq(V, D, H)
    setattr(getattr(model, part), name, layer)
    return model


def language_model(*layers: Any) -> Rnnlm:
    model = Rnnlm(V, D, H)
    model.layers[1:2] = layers
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (OwnGenerate(V, D, H), "model: expected a Transducer, Seq2seq, .* got OwnGenerate"),
        ("model.pkl", "model: expected a Transducer, Seq2seq, .* of fastseq, got str"),
        (
            with_own("decoder", "affine", OwnAffine(np.ones((2 * H, V), "f"), np.ones(V, "f"))),
            r"decoder.affine: expected one of fastseq's, as it is \(TimeAffine\), got OwnAffine",
        ),
        (
            with_own("encoder", "lstm", object()),
            "encoder.lstm: expected a recurrent layer .* object",
        ),
        (
            with_own("decoder", "lstm", recurrent(TimeLSTM, H + D)),
            "decoder.lstm: expected stateful=True, got False",
        ),
        (
            language_model(
                recurrent(TimeLSTM, D, stateful=True), recurrent(TimeRNN, H, stateful=True)
            ),
            "layers: lstm: expected layers of one cell, got lstm, rnn",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_fastseq_s_own_is_refused(model: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}$"):
        model_files(model)


def test_a_method_that_was_replaced_is_refused() -> None:
    model = AttentionSeq2seq(V, D, H)
    model.encoder.forward = lambda xs: np.ones((len(xs), 1, H), "f")
    with pytest.raises(TypeError, match=r"^encoder: expected one of fastseq's, as it is"):
        model_files(model)
