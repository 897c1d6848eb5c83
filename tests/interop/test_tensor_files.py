"""Tensors of PyTorch's and of safetensors' files, without PyTorch."""

from __future__ import annotations

import os
import pickle
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastseq.interop import load_pt, load_safetensors
from support.interop.files import (
    Opcodes,
    call,
    expected,
    instructions,
    named,
    pickled,
    pt_file,
    refusal,
    storage,
    stored,
    tensor,
)

RAW = np.arange(12, dtype="<f4").tobytes()
FLOATS = storage("FloatStorage", "0", 12)


def refused(tmp_path: Path, content: bytes, **storages: bytes) -> str:
    """What the error says for a file of this pickle."""
    path = tmp_path / "model.pt"
    path.write_bytes(pt_file(content, **(storages or {"0": RAW})))
    message = refusal(load_pt, path)
    assert message is not None
    return message


def test_every_dtype_and_stride() -> None:
    arrays, wanted = load_pt(stored("dtypes.pt")), expected("dtypes")
    assert list(arrays) == list(wanted)
    for name, array in arrays.items():
        assert array.dtype == wanted[name].dtype, name
        np.testing.assert_array_equal(array, wanted[name], err_msg=name)


def test_views_of_one_storage_are_views_here() -> None:
    arrays = load_pt(stored("dtypes.pt"))
    arrays["float"][0, 1] = 99
    assert arrays["transposed"][1, 0] == arrays["column"][0] == 99


def test_a_checkpoint_and_safetensors_hold_the_same() -> None:
    arrays, others = load_pt(stored("network.pt")), load_safetensors(stored("network.safetensors"))
    assert set(arrays) == set(others)
    assert "lstm.weight_ih_l1_reverse" in arrays
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, others[name])


def test_bfloat16_of_safetensors(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    path = tmp_path / "a.safetensors"
    numbers = np.array([1.5, -3], "<f4").view("<u4") >> 16
    path.write_bytes(len(header).to_bytes(8, "little") + header + numbers.astype("<u2").tobytes())
    array = load_safetensors(path)["a"]
    assert (array.dtype, array.tolist()) == (np.dtype("f4"), [1.5, -3])
    path.write_bytes(path.read_bytes().replace(b'"BF16","shape":[2]', b'"F8_E4M3","shape":[4]'))
    assert refusal(load_safetensors, path) is not None


def test_a_dtype_that_numpy_lacks_is_named(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}'
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"ab")
    assert refusal(load_safetensors, path) == "'a': expected a dtype that NumPy has, got F8_E4M3"


def test_a_big_endian_file(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled({"a": tensor(FLOATS, (12,), (1,))}))
        archive.writestr("archive/byteorder", "big")
        archive.writestr("archive/data/0", np.arange(12, dtype=">f4").tobytes())
    assert load_pt(path)["a"].tolist() == list(range(12))


@pytest.mark.parametrize(
    ("document", "names"),
    [
        ({"a": 1}, ["a"]),
        ({"state_dict": {"a": 1}, "b": 1}, ["a"]),
        ({"model": {"a": 1}, "epoch": 3}, ["a"]),
        ({"model_state_dict": {"a": 1}, "optimizer": {"state": {0: {"b": 1}}}}, ["a"]),
        ({"en": {"a": 1}, "de": {"a": 1}, "loss": 0.5, "opt": {"state": {0: 1}}}, ["en.a", "de.a"]),
        ({"model": "lstm", "a": 1}, ["a"]),
    ],
)
def test_the_state_dict_of_a_checkpoint_is_found(
    tmp_path: Path, document: Any, names: list[str]
) -> None:
    def filled(value: Any) -> Any:
        if isinstance(value, dict) and "state" not in value:
            return {key: filled(item) for key, item in value.items()}
        return tensor(FLOATS, (3, 4), (4, 1)) if value == 1 else value

    path = tmp_path / "model.pt"
    path.write_bytes(pt_file(pickled(filled(document)), **{"0": RAW}))
    assert list(load_pt(path)) == names


# ---- what is refused ----


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("subprocess", "Popen"),
        ("torch", "load"),
        ("torch.nn.modules.rnn", "LSTM"),
        ("numpy.core.multiarray", "scalar"),
        ("torch._utils", "_rebuild_qtensor"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_every_other_name_is_refused_before_it_runs(
    tmp_path: Path, module: str, name: str, protocol: int
) -> None:
    ran = tmp_path / "ran"
    target = named(module, name)
    if protocol == 4:
        target = Opcodes(instructions(module) + instructions(name) + b"\x93")
    harm = Opcodes(target + instructions((f"touch {ran}",)) + b"R")
    message = refused(tmp_path, pickled({"a": harm}))
    assert f"needs no {module}.{name}; nothing of it was run" in message
    assert not ran.exists()


def test_a_pickle_of_python_with_a_call_is_refused(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        refused(tmp_path, pickle.dumps({"a": Harm()}, protocol))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (tensor(FLOATS, (12,), (1,)), "expected a dict of tensors, got a _Tensor"),
        ({"a": 3}, "expected a dict of tensors, got one of a"),
        ({}, "expected a dict of tensors, got one of nothing"),
        ({"a": tensor(FLOATS, (13,), (1,))}, "is not inside its storage"),
        ({"a": tensor(FLOATS, (3, 4), (5, 1))}, "is not inside its storage"),
        ({"a": tensor(FLOATS, (3, 4), (4, 1), 1)}, "is not inside its storage"),
        ({"a": tensor(FLOATS, (10**9,), (0,))}, "is not inside its storage"),
        ({"a": tensor(FLOATS, (2**40, 2**40), (0, 0))}, "is not inside its storage"),
        ({"a": tensor(FLOATS, (3, 4), (4, -1))}, "no valid shape"),
        ({"a": tensor(FLOATS, (3, -4), (4, 1))}, "no valid shape"),
        ({"a": tensor(FLOATS, (3, 4), (1,))}, "no valid shape"),
        ({"a": tensor(FLOATS, 12, (1,))}, "no valid shape"),
        ({"a": tensor(FLOATS, (3.0, 4), (4, 1))}, "no valid shape"),
        ({"a": tensor(FLOATS, (12,), (1,), -1)}, "no valid shape"),
        ({"a": tensor(FLOATS, (1,) * 65, (1,) * 65)}, "no valid shape"),
        ({"a": tensor(Opcodes(b"N"), (12,), (1,))}, "it has no storage"),
        ({"a": tensor(storage("FloatStorage", "0", 10**12), (1,), (1,))}, "expected 4000000000000"),
        ({"a": tensor(storage("FloatStorage", "0", 3), (1,), (1,))}, "expected 12 bytes, got 48"),
        ({"a": tensor(storage("FloatStorage", "../0", 12), (1,), (1,))}, "there is no entry"),
        ({"a": storage("ComplexFloatStorage", "0", 6)}, "needs no torch.ComplexFloatStorage"),
        ({"a": storage("FloatStorage", "0", "12")}, "something else than a storage"),
        ({"a": call("torch._utils", "_rebuild_tensor_v2", 1)}, "are not its own"),
        ({"x" * 2000: tensor(FLOATS, (12,), (1,))}, "expected names of at most 1000 letters"),
    ],
)
def test_a_tensor_that_cannot_be_is_refused(tmp_path: Path, document: Any, message: str) -> None:
    assert message in refused(tmp_path, pickled(document))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "pickle exhausted"),
        (b"\x80\x02.", "takes more from its stack"),
        (b"\x80\x02}", "pickle exhausted"),
        (b"\x80\x02u.", "no mark"),
        (b"\x80\x02h\x05.", "refers to what it does not have"),
        (b"\x80\x02N(NNu.", "adds to a NoneType"),
        (b"\x80\x02(i__main__\nmain\n.", "needs no INST"),
        (b"\x80\x02c__builtin__\neval\n.", "needs no __builtin__.eval"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "needs no os.system"),
        (b"\x80\x02\x8f.", "needs no EMPTY_SET"),
        (b"\x80\x02}))s.", "expected names as the keys of a dict"),
        (b"\x80\x02N)R.", "calls what is no function"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "calls what is no function"),
        (b"\x80\x02ccollections\nOrderedDict\n(]tR.", "are not its own"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "got one of nothing"),  # a memo of this size is not made
        (b"\x80\x02" + b"]" * 600_000 + b".", "at most 500000 instructions"),
    ],
)
def test_a_pickle_of_anything_else_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    assert message in refused(tmp_path, content)


def test_nested_tuples_that_multiply_are_no_work(tmp_path: Path) -> None:
    doubled = b"N" + b"q\x00h\x00\x86" * 100  # each the pair of the one before: 2**100 leaves
    start = time.perf_counter()
    refused(tmp_path, b"\x80\x02}" + doubled + b"Ns.")
    refused(tmp_path, b"\x80\x02}" + instructions("a") + doubled + b"s.")
    refused(tmp_path, b"\x80\x02]" + doubled + b"a.")
    nested = b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."
    refused(tmp_path, nested)
    assert time.perf_counter() - start < 20


def test_a_compressed_entry_is_refused(tmp_path: Path) -> None:
    document = pickled({"a": tensor(storage("FloatStorage", "0", 10**7), (10**7,), (1,))})
    path = tmp_path / "bomb.pt"
    path.write_bytes(pt_file(document, zipfile.ZIP_DEFLATED, **{"0": bytes(4 * 10**7)}))
    assert path.stat().st_size < 10**5
    message = refusal(load_pt, path)
    assert message is not None
    assert "expected one without compression" in message


def test_entries_that_overlap_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "overlap.pt"
    content = pt_file(pickled({"a": tensor(FLOATS, (12,), (1,))}), **{"0": RAW, "1": RAW})
    at = content.index(b"PK\x01\x02")
    directory = bytearray(content[at:])
    sizes = directory.rindex(b"PK\x01\x02") + 20
    directory[sizes : sizes + 8] = (10**6).to_bytes(4, "little") * 2
    path.write_bytes(content[:at] + directory)
    message = refusal(load_pt, path)
    assert message is not None
    assert "expected entries of at most" in message


def test_other_formats_are_named(tmp_path: Path) -> None:
    path = tmp_path / "legacy.pt"
    path.write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2))
    assert "got the legacy one" in (refusal(load_pt, path) or "")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"")
        archive.writestr("a/constants.pkl", b"")
    assert "got a TorchScript module" in (refusal(load_pt, path) or "")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", b"")
    assert "without data.pkl" in (refusal(load_pt, path) or "")
    path.write_bytes(b"hello\n")
    assert "no zip file" in (refusal(load_pt, path) or "")
    with pytest.raises(FileNotFoundError, match="missing.pt"):
        load_pt(tmp_path / "missing.pt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe.pt"
    os.mkfifo(path)
    assert refusal(load_pt, path) == "expected a regular file"
