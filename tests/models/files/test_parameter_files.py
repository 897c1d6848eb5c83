"""Files of parameters: written and read, of this model and of another."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

import fastseq_reference
from fastseq import AttentionSeq2seq, BaseModel, PeekySeq2seq, Seq2seq, TimeAffine
from support.models.parameter_files import FORMATS, Two, assert_refused, assert_same, values

# ---- writing and reading ----


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("model_class", [Seq2seq, PeekySeq2seq, AttentionSeq2seq])
def test_round_trip_is_lossless(tmp_path: Path, model_class: type, suffix: str) -> None:
    model, other = model_class(13, 5, 7), model_class(13, 5, 7)
    model.save_params(tmp_path / f"model.{suffix}")
    kept = list(other.params)
    other.load_params(str(tmp_path / f"model.{suffix}"))
    assert_same(other.params, model.params)
    assert all(one is same for one, same in zip(other.params, kept, strict=True))
    xs, ts = np.array([[1, 2, 3]]), np.array([[0, 4, 5]])
    assert other.forward(xs, ts) == model.forward(xs, ts)
    assert os.listdir(tmp_path) == [f"model.{suffix}"]


def test_default_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    PeekySeq2seq(13, 5, 7).save_params()
    assert os.listdir(tmp_path) == ["PeekySeq2seq.pkl"]
    PeekySeq2seq(13, 5, 7).load_params()
    with pytest.raises(FileNotFoundError, match=r"Seq2seq\.pkl"):
        Seq2seq(13, 5, 7).load_params()


def test_pickle_is_a_list_of_float32_arrays(tmp_path: Path) -> None:
    model = Seq2seq(13, 5, 7)
    model.save_params(tmp_path / "a.pkl")
    with open(tmp_path / "a.pkl", "rb") as file:
        arrays = pickle.load(file)
    assert isinstance(arrays, list)
    assert all(array.dtype == np.float32 for array in arrays)
    assert_same(arrays, model.params)


def test_other_formats_are_what_their_names_say(tmp_path: Path) -> None:
    model = Two()
    model.save_params(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        assert_same([archive["params.0"], archive["params.1"]], model.params)
    model.save_params(tmp_path / "a.safetensors")
    arrays = pytest.importorskip("safetensors.numpy").load_file(tmp_path / "a.safetensors")
    assert_same([arrays["params.0"], arrays["params.1"]], model.params)
    np.savez_compressed(
        tmp_path / "a.npz", **{f"params.{i}": arrays[f"params.{i}"] for i in (1, 0)}
    )
    other = Two()
    other.params[0][...] = 0
    other.load_params(tmp_path / "a.npz")
    assert_same(other.params, model.params)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8"])
def test_textbook_pickles(tmp_path: Path, protocol: int, dtype: str) -> None:
    model = Two()
    arrays = [param.astype(dtype) for param in model.params]
    arrays[0] = np.asfortranarray(arrays[0])
    expected = [array.astype(np.float32) for array in arrays]
    content = pickle.dumps(arrays, protocol)
    (tmp_path / "a.pkl").write_bytes(content)
    model.load_params(tmp_path / "a.pkl")
    assert_same(model.params, expected)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3])
def test_pickles_of_an_older_numpy(tmp_path: Path, protocol: int) -> None:
    model = Two()
    expected = values(model)
    content = pickle.dumps(model.params, protocol)
    assert b"numpy._core" in content
    (tmp_path / "a.pkl").write_bytes(content.replace(b"numpy._core", b"numpy.core"))
    for param in model.params:
        param[...] = 0
    model.load_params(tmp_path / "a.pkl")
    assert_same(model.params, expected)


def test_reference_reads_and_writes_the_same_file(tmp_path: Path) -> None:
    model, twin = Seq2seq(13, 5, 7), fastseq_reference.Seq2seq(13, 5, 7)
    model.save_params(tmp_path / "a.pkl")
    twin.load_params(tmp_path / "a.pkl")
    assert_same(twin.params, model.params)
    twin = fastseq_reference.Seq2seq(13, 5, 7)
    twin.save_params(tmp_path / "a.pkl")
    model.load_params(tmp_path / "a.pkl")
    assert_same(twin.params, model.params)


@pytest.mark.parametrize("suffix", FORMATS)
def test_ties_and_views_remain(tmp_path: Path, suffix: str) -> None:
    embed_W = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    affine = TimeAffine(embed_W.T, np.zeros(5, dtype=np.float32))
    model = BaseModel()
    model.params, model.grads = [embed_W, *affine.params], []
    expected = values(model)
    model.save_params(tmp_path / f"a.{suffix}")
    embed_W[...] = 0
    model.load_params(tmp_path / f"a.{suffix}")
    assert_same(model.params, expected)
    assert affine.params[0].base is embed_W
    assert np.array_equal(affine.params[0].T, embed_W)


@pytest.mark.parametrize("suffix", FORMATS)
def test_float64_and_special_values(tmp_path: Path, suffix: str) -> None:
    model = BaseModel()
    model.params = [np.array([np.nan, np.inf, -0.0, 1e-40, 0.1]), np.zeros((0, 3)), np.array(2.5)]
    expected = [param.astype(np.float32) for param in model.params]
    model.save_params(tmp_path / f"a.{suffix}")
    for param in model.params:
        param[...] = 7
    model.load_params(tmp_path / f"a.{suffix}")
    for param, wanted in zip(model.params, expected, strict=True):
        assert param.dtype == np.float64
        assert param.astype(np.float32).tobytes() == wanted.tobytes()


def test_subclass_must_write_forward_and_backward() -> None:
    with pytest.raises(NotImplementedError):
        BaseModel().forward(1, 2)
    with pytest.raises(NotImplementedError):
        BaseModel().backward()
    assert BaseModel().params == []
    assert BaseModel().grads == []


# ---- files of another model ----


@pytest.mark.parametrize("suffix", FORMATS)
def test_other_shapes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Seq2seq(13, 5, 7).save_params(path)
    other = Seq2seq(13, 5, 8)
    before = values(other)
    message = rf"a\.{suffix}: params\.1: expected shape \(5, 32\), got \(5, 28\)"
    with pytest.raises(ValueError, match=message):
        other.load_params(path)
    assert_same(other.params, before)


@pytest.mark.parametrize("suffix", FORMATS)
def test_other_count(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Seq2seq(13, 5, 7).save_params(path)
    assert_refused(path, "expected 2 arrays, got 10")


def test_last_entry_is_checked_before_the_first_is_assigned(tmp_path: Path) -> None:
    model = Two()
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps([model.params[0] + 1, np.zeros(5, dtype=np.float32)]))
    assert_refused(path, r"params\.1: expected shape \(4,\), got \(5,\)")


def test_read_only_parameter_is_found_before_the_first_is_assigned(tmp_path: Path) -> None:
    model = Two()
    model.save_params(tmp_path / "a.pkl")
    model.params[0][...] = 7
    model.params[1].flags.writeable = False
    with pytest.raises(ValueError, match=r"params\.1.*read-only"):
        model.load_params(tmp_path / "a.pkl")
    assert (model.params[0] == 7).all()


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_other_names(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    arrays = {"W": np.zeros((3, 4), dtype=np.float32), "b": np.zeros(4, dtype=np.float32)}
    if suffix == "npz":
        np.savez(path, **arrays)
    else:
        pytest.importorskip("safetensors.numpy").save_file(arrays, path)
    assert_refused(path, r"params\.0")


@pytest.mark.parametrize("suffix", FORMATS)
def test_integers_are_no_parameters(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    arrays = [np.zeros((3, 4), dtype=np.int32), np.zeros(4, dtype=np.int32)]
    named = {f"params.{i}": array for i, array in enumerate(arrays)}
    if suffix == "npz":
        np.savez(path, **named)
    elif suffix == "safetensors":
        pytest.importorskip("safetensors.numpy").save_file(named, path)
    else:
        path.write_bytes(pickle.dumps(arrays))
    assert_refused(path, "float")
