"""Files of parameters that are damaged, or made to do harm."""

from __future__ import annotations

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
import pytest

from support.models.parameter_files import FORMATS, Two, assert_refused, assert_same, values

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
        assert_refused(path, "which no array of floats needs|which needs no (EMPTY_)?DICT")
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


# ---- pickles that nest what takes for ever to hash or to print ----

NESTED = b")" + 60 * b"q\x00h\x00\x86"  # a tuple of the last one twice, sixty times
DUPLICATED = b")" + 60 * b"2\x86"
DTYPE = b"cnumpy\ndtype\n%b\x85R"
ENDLESS = {
    "a dict's key": b"\x80\x04}%bNs." % NESTED,
    "a dict's key by DUP": b"\x80\x04}%bNs." % DUPLICATED,
    "a set's member": b"\x80\x04\x8f(%b\x90." % NESTED,
    "a frozen set's member": b"\x80\x04(%b\x91." % NESTED,
    "the name of a dtype": b"\x80\x04]cnumpy.core.numeric\n_frombuffer\n(C\x00%bK\x00\x85X\x01"
    b"\x00\x00\x00CtRa." % (DTYPE % NESTED),
    "a shape": b"\x80\x04]cnumpy.core.numeric\n_frombuffer\n(C\x00%b%bX\x01\x00\x00\x00CtRa."
    % (DTYPE % b"X\x02\x00\x00\x00f4", NESTED),
}


@pytest.mark.parametrize("content", ENDLESS.values(), ids=ENDLESS)
def test_nested_tuples_are_refused_at_once(tmp_path: Path, content: bytes) -> None:
    """In a process of its own: neither an alarm nor Ctrl-C would end a hash."""
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    script = f"from support.models.parameter_files import Two; Two().load_params({str(path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=20,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"ValueError: {path}: cannot be read as parameters")
    assert len(last) < 500


def test_a_name_that_moves_the_cursor_is_escaped_and_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x04]cnumpy\n\x1b[2J" + b"a" * 5000 + b"\n.")
    with pytest.raises(ValueError, match=r"it refers to numpy\.\\x1b\[2Ja+\.\.\.$") as raised:
        Two().load_params(path)
    assert len(str(raised.value)) < len(str(path)) + 400
