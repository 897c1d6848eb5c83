"""Products of bfloat16: their rounding, and who chooses the precision of a call."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq
from fastseq import Transducer, _kernels
from fastseq.float_formats import from_storage, to_storage
from fastseq.layers import Affine, RecurrentLayer
from fastseq.precision import products_in
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer, weights

Array = npt.NDArray[Any]


@pytest.fixture(autouse=True)
def restored_precision() -> Iterator[None]:
    before = fastseq.get_precision()
    fastseq.set_precision("float32")
    yield
    fastseq.set_precision(before)


def rounded(array: Array) -> npt.NDArray[np.float64]:
    return from_storage(to_storage(array, "bfloat16"), "bfloat16").astype(np.float64)


def random(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("isa", _kernels.bfloat16_isas())
@pytest.mark.parametrize("rows", [1, 5, 40])
def test_operands_are_rounded_and_sums_are_not(isa: str, rows: int) -> None:
    fastseq.set_precision("bfloat16")
    before = _kernels.isa()
    _kernels.set_isa(isa)
    try:
        x, W, b, dy = random(rows, 300), random(300, 70), random(70), random(rows, 70)
        layer = Affine(W, b)
        y, dx = layer.forward(x), layer.backward(dy)
        exact = rounded(x) @ rounded(W) + b
        np.testing.assert_allclose(y, exact, atol=2e-4)
        np.testing.assert_allclose(dx, rounded(dy) @ rounded(W).T, atol=2e-4)
        np.testing.assert_allclose(layer.grads[0], rounded(x).T @ rounded(dy), atol=2e-4)
        # the float32 product differs by much more
        assert np.abs(x @ W + b - exact).max() > 0.01
    finally:
        _kernels.set_isa(before)


def test_a_backward_pass_is_of_the_precision_of_its_forward_pass() -> None:
    params = [random(3, 16), random(4, 16), random(16)]
    xs, dhs = random(2, 5, 3), random(2, 5, 4)
    layer = RecurrentLayer("lstm", params)
    with products_in("bfloat16"):
        layer.forward(xs)
        expected, _, _ = layer.backward(dhs)
        layer.forward(xs)
    found, _, _ = layer.backward(dhs)
    np.testing.assert_array_equal(found, expected)


def test_a_thread_s_choice_is_its_own() -> None:
    seen: list[str] = []
    with products_in("bfloat16"):
        thread = threading.Thread(target=lambda: seen.append(fastseq.get_precision()))
        thread.start()
        thread.join()
        assert fastseq.get_precision() == "bfloat16"
        with products_in("float32"):
            assert fastseq.get_precision() == "float32"
        assert fastseq.get_precision() == "bfloat16"
        with products_in("default"):
            assert fastseq.get_precision() == "bfloat16"
    assert (seen, fastseq.get_precision()) == (["float32"], "float32")


@pytest.mark.parametrize(("precision", "error"), [("float16", ValueError), (None, TypeError)])
def test_another_precision_is_refused(precision: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="precision: expected"):
        fastseq.set_precision(precision)


def python(code: str, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "FASTSEQ_ISA"} | changes
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )


def test_the_environment_chooses() -> None:
    code = "from fastseq import _kernels as k; print(k.get_precision(), k.isa())"
    for isa in _kernels.bfloat16_isas():
        done = python(code, FASTSEQ_PRECISION="bfloat16", FASTSEQ_ISA=isa)
        assert done.stdout.split() == ["bfloat16", isa]
    done = python("import fastseq", FASTSEQ_PRECISION="half")
    assert "FASTSEQ_PRECISION: expected float32 or bfloat16, got 'half'" in done.stderr


def test_a_transducer_trains_and_answers_in_its_own_precision() -> None:
    pairs = tiny_pairs()
    settings: dict[str, Any] = {"epochs": 60, "dropout": 0.0, "hidden_size": 32}
    model = tiny_transducer(**settings, precision="bfloat16").fit(*pairs, validation=None)
    other = tiny_transducer(**settings).fit(*pairs, validation=None)
    assert weights(model) != weights(other)
    assert model.score(*pairs) > 0.8
    _, scores = model.predict(pairs[0], return_scores=True)
    with products_in("bfloat16"):
        again = tiny_transducer(**settings).fit(*pairs, validation=None)
        assert weights(again) == weights(model)
        _, expected = again.predict(pairs[0], return_scores=True)
    assert scores == expected
    assert fastseq.get_precision() == "float32"


def test_the_precision_is_saved_with_the_model(tmp_path: Any) -> None:
    model = tiny_transducer(epochs=1, precision="bfloat16").fit(*tiny_pairs())
    model.save(tmp_path / "model")
    assert Transducer.load(tmp_path / "model").precision == "bfloat16"
    with pytest.raises(ValueError, match="precision: expected one of default, float32, bfloat16"):
        tiny_transducer(precision="half").fit(*tiny_pairs())


def test_layers_are_their_reference_in_bfloat16() -> None:
    layers = Path(__file__).parents[1] / "layers"
    files = [str(layers / name) for name in ("test_affine.py", "recurrent/test_recurrent_layer.py")]
    environment = os.environ | {"FASTSEQ_PRECISION": "bfloat16", "FASTSEQ_ISA": _kernels.isa()}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            "is_the_reference",
            *files,
        ],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
