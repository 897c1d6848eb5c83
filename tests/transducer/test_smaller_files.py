"""Models in files of float16 and bfloat16, and in pickles: what they hold and what they lose."""

import copy
import json
import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fastseq import Transducer
from fastseq.cli import main
from fastseq.float_formats import FLOAT_FORMATS, from_storage, to_storage
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer, weights, write_pairs

Array = npt.NDArray[Any]

PAIRS = tiny_pairs()
HALVES = ("float16", "bfloat16")
CODES = {"float16": "F16", "bfloat16": "BF16"}


@pytest.fixture(scope="module")
def model() -> Transducer:
    return tiny_transducer(epochs=30, dropout=0.0).fit(*PAIRS)


@pytest.mark.parametrize("dtype", HALVES)
def test_every_stored_value_comes_back(dtype: str) -> None:
    stored = np.arange(2**16, dtype="<u2").view(FLOAT_FORMATS[dtype].storage)
    floats = from_storage(stored, dtype)
    again = from_storage(to_storage(floats, dtype), dtype)
    np.testing.assert_array_equal(again, floats)
    assert (np.signbit(again) == np.signbit(floats))[~np.isnan(floats)].all()


@pytest.mark.parametrize("dtype", HALVES)
def test_rounding_is_to_the_nearest_with_ties_to_even(dtype: str) -> None:
    """Against exact arithmetic over all neighbours, and halves of the way between."""
    stored = np.arange(0, 2**15, dtype="<u2")
    floats = from_storage(stored.view(FLOAT_FORMATS[dtype].storage), dtype)
    finite = floats[np.isfinite(floats)]
    generator = np.random.default_rng(0)
    for index in generator.integers(0, len(finite) - 1, 300):
        low, high = finite[index : index + 2]
        middle = Fraction(float(low)) / 2 + Fraction(float(high)) / 2
        tie = np.float32(float(middle))
        if Fraction(float(tie)) == middle:  # not among the smallest denormals
            expected = low if index % 2 == 0 else high
            assert rounded(tie, dtype) == expected
            assert rounded(np.nextafter(tie, np.float32(0)), dtype) == low
            assert rounded(np.nextafter(tie, np.float32(np.inf)), dtype) == high
            assert rounded(-tie, dtype) == -expected


def rounded(value: Any, dtype: str) -> float:
    return float(from_storage(to_storage(np.array([value], "f4"), dtype), dtype)[0])


@pytest.mark.parametrize("dtype", HALVES)
def test_infinity_and_every_nan_stay_what_they_are(dtype: str) -> None:
    nans = np.array([0x7F800001, 0x7FFFFFFF, 0xFF800001, 0x7FC00000], "<u4").view("<f4")
    assert np.isnan(from_storage(to_storage(nans, dtype), dtype)).all()
    infinities = np.array([np.inf, -np.inf], "f4")
    np.testing.assert_array_equal(from_storage(to_storage(infinities, dtype), dtype), infinities)


@pytest.mark.parametrize("dtype", HALVES)
def test_a_file_says_its_dtype_and_loads_to_rounded_float32(
    model: Transducer, dtype: Any, tmp_path: Path
) -> None:
    whole, half = tmp_path / "whole", tmp_path / "half"
    model.save(whole)
    model.save(half, dtype=dtype)
    params = model.network_.params
    size = sum(param.nbytes for param in params.values())
    # names, vocabularies and history are as long as before
    assert abs(whole.stat().st_size - half.stat().st_size - size // 2) < 100
    content = half.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert {entry["dtype"] for name, entry in header.items() if name in params} == {CODES[dtype]}
    loaded = Transducer.load(half)
    for name, param in params.items():
        again = loaded.network_.params[name]
        assert again.dtype == np.float32
        np.testing.assert_array_equal(again, from_storage(to_storage(param, dtype), dtype))
        assert (again != param).any()
    assert loaded.score(*PAIRS) == pytest.approx(model.score(*PAIRS), abs=0.05)
    # what was rounded once is not changed by another conversion
    loaded.save(whole)
    assert weights(Transducer.load(whole)) == weights(loaded)


def test_other_libraries_read_the_file(model: Transducer, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    model.save(tmp_path / "half", dtype="float16")
    arrays = load_file(tmp_path / "half")
    for name, param in model.network_.params.items():
        np.testing.assert_array_equal(arrays[name], param.astype("f2"))


def test_a_weight_beyond_float16_is_refused_and_the_file_before_it_stays(
    model: Transducer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.safetensors"
    large = copy.deepcopy(model)
    large.network_.params["output.b"][0] = 70_000
    large.save(path)
    before = path.read_bytes()
    message = r"^output\.b: expected values that float16 can hold, got 70000\.0$"
    with pytest.raises(OverflowError, match=message):
        large.save(path, dtype="float16")
    assert path.read_bytes() == before
    assert main(["convert", str(path), "-o", str(path), "--dtype", "float16"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "fastseq: error: output.b: expected values that float16 can hold, got 70000.0"
    ]
    large.save(path, dtype="bfloat16")


def test_another_dtype_is_refused(model: Transducer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dtype: expected one of float32, float16, bfloat16"):
        model.save(tmp_path / "model", dtype="int8")  # type: ignore[arg-type]
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("dtype", HALVES)
def test_a_truncated_half_is_refused(model: Transducer, dtype: Any, tmp_path: Path) -> None:
    path = tmp_path / "model"
    model.save(path, dtype=dtype)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ValueError, match="damaged or not complete"):
        Transducer.load(path)


def test_convert_prints_sizes_and_what_is_lost(
    model: Transducer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_pairs(tmp_path / "pairs.tsv")
    whole, half = tmp_path / "whole", tmp_path / "half"
    model.save(whole)
    command = ["convert", str(whole), "-o", str(half), "--dtype", "bfloat16"]
    assert main([*command, "--data", str(data)]) == 0
    lines = capsys.readouterr().out.splitlines()
    converted = Transducer.load(half)
    words = sorted(set(PAIRS[0]))
    changed = sum(
        a != b for a, b in zip(model.predict(words), converted.predict(words), strict=True)
    )
    before, after = (100 * each.score(*PAIRS) for each in (model, converted))
    assert lines[:2] == [f"{path}  {path.stat().st_size:,} bytes" for path in (whole, half)]
    old, new = (
        np.concatenate([param.ravel() for param in each.network_.params.values()])
        for each in (model, converted)
    )
    assert lines[2] == (
        f"largest change of a weight  {np.abs(new - old).max():.2g}, "
        f"where the largest weight is {np.abs(old).max():.2g}"
    )
    assert lines[3].startswith(f"accuracy on {data}  ")
    assert lines[4:] == [
        f"accuracy lost  {before - after:.2f} points",
        f"answers that differ  {changed:,} of {len(words):,}",
    ]
    assert main(command) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))]
)
def test_a_copy_answers_the_same_and_trains_on(
    model: Transducer, duplicate: Callable[[Transducer], Transducer]
) -> None:
    other = duplicate(model)
    assert weights(other) == weights(model)
    assert other.predict(PAIRS[0], beam_size=3) == model.predict(PAIRS[0], beam_size=3)
    assert other.history_ == model.history_
    before = weights(model)
    other.fit(*PAIRS)
    assert weights(model) == before


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_pickle_is_not_much_larger_than_the_parameters(cell: Any) -> None:
    model = tiny_transducer(cell=cell, hidden_size=64, epochs=1).fit(*PAIRS)
    model.predict(PAIRS[0])
    size = sum(param.nbytes for param in model.network_.params.values())
    assert len(pickle.dumps(model)) < 1.1 * size
