"""The comparison of an exported Transducer with the Transducer itself."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from fastseq import Transducer
from fastseq.interop.export import check
from fastseq.interop.export.check import compare
from fastseq.interop.export.folder import model_files
from fastseq.precision import products_in
from fastseq.transducer.data.vocabulary import END
from support.interop.exported import LOGARITHMS
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer

onnxruntime: Any = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


@pytest.fixture
def model() -> Transducer:
    return tiny_transducer(epochs=6, learning_rate=0.02, attention="dot").fit(*tiny_pairs(), None)


def test_the_same_model_passes(model: Transducer) -> None:
    found = compare(model, model_files(model)["greedy.onnx"])
    assert found.sources >= 100
    assert 0 <= found.difference <= 10 * LOGARITHMS
    assert found.runtime == onnxruntime.__version__


@pytest.mark.parametrize("name", ["encoder.0.1.Wx", "decoder.0.b", "combine.b", "target_embedding"])
def test_another_weight_fails(model: Transducer, name: str) -> None:
    content = model_files(model)["greedy.onnx"]
    model.network_.params[name] += np.float32(0.05)
    with pytest.raises(ArithmeticError, match=r"^greedy.onnx: expected ids \[.*\] of log prob"):
        compare(model, content)


def test_the_precision_of_the_model_does_not_matter(model: Transducer) -> None:
    with products_in("bfloat16"):
        assert compare(model, model_files(model)["greedy.onnx"]).difference <= 10 * LOGARITHMS


def test_hard_attention_passes_and_other_jumps_fail() -> None:
    model = tiny_transducer(epochs=6, learning_rate=0.02, attention="hard").fit(*tiny_pairs(), None)
    content = model_files(model)["greedy.onnx"]
    assert compare(model, content).difference <= 10 * LOGARITHMS
    model.network_.params["attention.jump.b"][-1] += 3
    with pytest.raises(ArithmeticError, match=r"^greedy.onnx: expected ids"):
        compare(model, content)


def test_another_longest_answer_fails(model: Transducer) -> None:
    model.network_.params["output.b"][END] = -1e9
    content = model_files(model)["greedy.onnx"]
    model.lengths_ = model.lengths_._replace(target=model.lengths_.target + 1)
    with pytest.raises(ArithmeticError, match=r"^greedy.onnx: expected ids"):
        compare(model, content)


def test_a_weight_that_is_no_number_fails(model: Transducer) -> None:
    content = model_files(model)["greedy.onnx"]
    model.network_.params["output.b"][3] = np.nan
    with pytest.raises(ArithmeticError):
        compare(model, content)


def test_either_of_two_equal_symbols_is_right(
    model: Transducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = model.network_
    network.params["output.b"][END] = -1e9
    for name in ("output.W", "output.b"):
        network.params[name][..., 4:] = network.params[name][..., 3:4]
    network.params["output.b"][4] += np.float32(1e-6)
    network.params["target_embedding"][4:] = network.params["target_embedding"][3]
    content = model_files(model)["greedy.onnx"]
    network.params["output.b"][4] -= np.float32(3e-6)
    network.params["output.b"][3] += np.float32(1e-6)
    leads = []
    lead = check._lead

    def noted(*arguments: Any) -> float:
        leads.append(lead(*arguments))
        return leads[-1]

    monkeypatch.setattr(check, "_lead", noted)
    compare(model, content)
    assert len(leads) > 100
    assert 0 < max(leads) < 1e-5


def test_without_onnxruntime_the_extra_is_named(
    model: Transducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = model_files(model)["greedy.onnx"]
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r'pip install "fastseq-kernels\[onnxruntime\]"$'):
        compare(model, content)
