"""Parameter files: every format, hostile ones, and what is left when writing fails."""

import errno
import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastseq_reference
from fastseq import AttentionSeq2seq, BaseModel, PeekySeq2seq, Seq2seq, TimeAffine

Array = npt.NDArray[Any]

FORMATS = ("pkl", "safetensors", "npz", "weights")


class Two(BaseModel):
    """The smallest model: two arrays."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.params = [rng.normal(size=shape).astype(np.float32) for shape in ((3, 4), (4,))]
        self.grads = [np.zeros_like(param) for param in self.params]


def values(model: BaseModel) -> list[Array]:
    return [param.copy() for param in model.params]


def assert_same(arrays: list[Array], others: list[Array]) -> None:
    assert len(arrays) == len(others)
    for one, other in zip(arrays, others, strict=True):
        assert np.array_equal(one, other)


def assert_refused(path: Path, match: str) -> None:
    """Loading fails with one line that names the file, and changes no parameter."""
    model = Two()
    before = values(model)
    with pytest.raises(ValueError, match=match) as caught:
        model.load_params(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert_same(model.params, before)


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


# ---- damaged and hostile files ----


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_truncation_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Two().save_params(path)
    content = path.read_bytes()
    for length in range(0, len(content), max(1, len(content) // 60)):
        path.write_bytes(content[:length])
        assert_refused(path, "cannot be read as parameters")


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_changed_byte_is_refused_or_harmless(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Two().save_params(path)
    content = bytearray(path.read_bytes())
    for position in range(len(content)):
        content[position] ^= 0xFF
        path.write_bytes(content)
        content[position] ^= 0xFF
        model = Two()
        before = values(model)
        try:
            model.load_params(path)
        except ValueError:
            assert_same(model.params, before)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"hello\n", b"<html></html>", b"\x80\x05."])
def test_foreign_content(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    assert_refused(path, "cannot be read as parameters")


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


class Built(Call):
    """Pickles as a call whose result is given a state."""

    def __init__(self, state: Any, function: Any, *arguments: Any) -> None:
        super().__init__(function, *arguments)
        self.call = (*self.call, state)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "hostile",
    [
        Call(os.system, "echo ran > ran"),
        Call(eval, "open('ran', 'w')"),
        Call(getattr, "", "join"),
        Call(subprocess.Popen, ["touch", "ran"]),
        Call(np.load, "ran"),
        Call(np.fromfile, "ran"),
        np.random.default_rng(),
        Path,
    ],
    ids=["system", "eval", "getattr", "popen", "load", "fromfile", "generator", "class"],
)
def test_other_names_are_refused_before_they_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hostile: Any, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.pkl"
    arrays = Two().params
    for content in (hostile, [hostile], [*arrays, hostile], {"params": [hostile]}):
        path.write_bytes(pickle.dumps(content, protocol))
        assert_refused(path, "which no array of floats needs")
        assert os.listdir(tmp_path) == ["a.pkl"]


@pytest.mark.parametrize(
    "content",
    [
        None,
        7,
        "text",
        [1.0, 2.0],
        {"a": np.zeros((3, 4))},
        (np.zeros((3, 4)), np.zeros(4)),
        np.zeros((2, 3, 4)),
        [np.zeros((3, 4)), [np.zeros(4)]],
        [np.array([object()]), np.zeros(4)],
        [np.array(["a", "b"]), np.zeros(4)],
        [np.zeros((3, 4), dtype=complex), np.zeros(4)],
        [np.zeros((3, 4), dtype=bool), np.zeros(4)],
        [np.zeros(3, dtype=[("a", "f4")]), np.zeros(4)],
        [np.dtype("f4"), np.zeros(4)],
        [np.ndarray, np.zeros(4)],
    ],
)
def test_pickles_of_anything_but_a_list_of_float_arrays(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(content))
    assert_refused(path, "cannot be read as parameters")


def array_state(shape: Any, dtype: Any, content: Any) -> Any:
    """A pickled array with a state of our making."""
    reconstruct = np.zeros(0).__reduce__()[0]
    return Built((1, shape, dtype, False, content), reconstruct, np.ndarray, (0,), b"b")


@pytest.mark.parametrize(
    "array",
    [
        array_state((3, 4), np.dtype("f4"), b"\0" * 47),
        array_state((3, 4), np.dtype("f4"), b"\0" * 49),
        array_state((2**40, 2**40), np.dtype("f4"), b""),
        array_state((-3, -4), np.dtype("f4"), b"\0" * 48),
        array_state((3.0, 4.0), np.dtype("f4"), b"\0" * 48),
        array_state("ab", np.dtype("f4"), b"\0" * 48),
        array_state(None, np.dtype("f4"), b"\0" * 48),
        array_state((3, 4), None, b"\0" * 48),
        array_state((3, 4), np.dtype("f4"), [b"\0"] * 12),
        array_state((3, 4), np.dtype("O"), [None] * 12),
        array_state((3, 4), np.dtype("f4"), None),
    ],
)
def test_arrays_that_contradict_themselves(tmp_path: Path, array: Any) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps([array, np.zeros(4)]))
    assert_refused(path, "cannot be read as parameters")


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b".",  # bytes that are not there
        b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",  # a bytearray that is not there
        b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b".",  # a text that is not there
        b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b".",  # a frame that is not there
        b"\x80\x04]r\xff\xff\xff\x7f.",  # a memo of 2^31 entries
        b"\x80\x04]p4000000000\n.",
        b"\x80\x04" + b"]" * 1_000_000 + b".",
        b"\x80\x04" + b"]" * 90_000 + b"a" * 89_999 + b".",  # a list in a list in a list
        b"\x80\x04\x8b" + struct.pack("<i", -1) + b".",
        b"Pperson\n.",
        b"\x82\x01.",
    ],
)
def test_pickles_that_ask_for_much(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    assert_refused(path, "cannot be read as parameters")


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory that Linux reports")
def test_hostile_files_take_no_memory(tmp_path: Path) -> None:
    """Each of these would unfold to 256 MiB, 64 GiB, 16 GiB, and without end."""
    path = tmp_path / "a.pkl"
    archive = tmp_path / "a.npz"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        file.writestr("params.0.npy", b"\0" * 2**28)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (2**34,)}
    )
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as file:
        file.writestr("params.0.npy", header.getvalue())
    path.write_bytes(b"\x80\x04]r\xff\xff\xff\x7f.")
    program = """
import resource, sys
from fastseq import Seq2seq
model = Seq2seq(13, 5, 7)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name in sys.argv[1:]:
    try:
        model.load_params(name)
    except ValueError as error:
        print(error)
    else:
        sys.exit(f"{name} was read")
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
sys.exit(f"took {used} KiB" if used > 100_000 else 0)
"""
    names = [str(path), str(archive), str(tmp_path / "b.npz"), "/dev/zero"]
    subprocess.run([sys.executable, "-c", program, *names], check=True, timeout=60)


def test_archive_with_a_pickle_inside(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **{"params.0": np.array([object()], dtype=object)})
    assert_refused(path, "cannot be read as parameters")


def test_safetensors_that_lie(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    path = tmp_path / "a.safetensors"
    for header in (
        b'{"params.0":{"dtype":"F32","shape":[3,4],"data_offsets":[0,4096]}}',
        b'{"params.0":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,48]}}',
        b'{"params.0":{"dtype":"F32","shape":[-3,-4],"data_offsets":[0,48]}}',
        b"[" * 10_000,
        b"{}" * 4,
    ):
        path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 48)
        assert_refused(path, "cannot be read|expected 2 arrays")
    path.write_bytes(struct.pack("<Q", 2**62) + b"{}")
    assert_refused(path, "cannot be read")


def test_missing_safetensors_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match="pip install safetensors"):
        Two().save_params(tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes(b"")
    with pytest.raises(ImportError, match="pip install safetensors"):
        Two().load_params(tmp_path / "a.safetensors")


# ---- writing that fails ----


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "a.pkl"
    model = Two()
    model.save_params(path)
    content = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    model.params[0][...] = 7
    with pytest.raises(OSError, match=r"No space left on device: .*a\.pkl") as caught:
        model.save_params(path)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["a.pkl"]


def test_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pkl"
    model = Two()
    model.save_params(path)
    content = path.read_bytes()

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.save_params(path)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["a.pkl"]


def test_file_is_flushed_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(descriptor: int) -> None:
        calls.append("fsync")
        fsync(descriptor)

    def watched_replace(source: str, target: str) -> None:
        calls.append("replace")
        assert os.path.dirname(source) == os.path.dirname(target)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    Two().save_params(tmp_path / "a.pkl")
    assert calls == ["fsync", "replace"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing/a\.pkl|missing.*a\.pkl"):
        Two().save_params(tmp_path / "missing" / "a.pkl")
    (tmp_path / "folder.pkl").mkdir()
    with pytest.raises(OSError, match=r"folder\.pkl"):
        Two().save_params(tmp_path / "folder.pkl")
    with pytest.raises(OSError, match=r"folder\.pkl"):
        Two().load_params(tmp_path / "folder.pkl")
    assert os.listdir(tmp_path) == ["folder.pkl"]


@pytest.mark.skipif(os.name != "posix", reason="symbolic links and modes as POSIX has them")
def test_link_and_mode(tmp_path: Path) -> None:
    (tmp_path / "link.pkl").symlink_to(tmp_path / "target.pkl")
    Two().save_params(tmp_path / "link.pkl")
    assert (tmp_path / "link.pkl").is_symlink()
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "target.pkl").stat().st_mode == (tmp_path / "plain").stat().st_mode
    Two().load_params(tmp_path / "link.pkl")
