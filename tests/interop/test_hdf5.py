"""The reader of HDF5, against the HDF5 library."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from fastseq.interop.hdf5 import Hdf5

h5py: Any = pytest.importorskip("h5py")


def written(**options: Any) -> tuple[io.BytesIO, Any]:
    content = io.BytesIO()
    return content, h5py.File(content, "w", **options)


def test_groups_of_any_size() -> None:
    content, file = written()
    generator = np.random.default_rng(0)
    names = [f"layer_{number}" for number in generator.permutation(1000)]
    with file:
        for number, name in enumerate(names):
            file[f"{name}/vars/0"] = np.full((2, 3), number, "f")
    reader = Hdf5(content.getvalue())
    assert set(reader.links(reader.root)) == set(names)
    for number, name in enumerate(names):
        array = reader.array(reader.find(reader.root, f"{name}/vars/0"))
        assert array.tolist() == [[number] * 3] * 2


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", ">f8"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3), (2, 3, 4)])
def test_arrays(dtype: str, shape: tuple[int, ...]) -> None:
    content, file = written()
    array = np.random.default_rng(0).normal(size=shape).astype(dtype)
    with file:
        file["a"] = array
    reader = Hdf5(content.getvalue())
    if not array.size:  # such an array has no place in the file
        with pytest.raises(ValueError):
            reader.array(reader.find(reader.root, "a"))
        return
    found = reader.array(reader.find(reader.root, "a"))
    assert (found.dtype, found.shape) == (np.dtype(dtype), shape)
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("kind", ["i4", "u1", "?", "S3", "c8", "f16"])
def test_arrays_of_other_kinds_are_refused(kind: str) -> None:
    content, file = written()
    with file:
        file["a"] = np.zeros(3, kind)
    reader = Hdf5(content.getvalue())
    with pytest.raises(ValueError, match="expected an array of floats"):
        reader.array(reader.find(reader.root, "a"))


def test_attributes() -> None:
    content, file = written()
    texts = {
        "variable": "größer",
        "list": ["a", "bc", ""],
        "bytes": b"abc",
        "fixed": np.array([b"ab", b"cde"]),
        "fixed_scalar": np.bytes_(b"xyz"),
        "none": np.array([]),
        "long": "x" * 100_000,
        **{f"other_{number}": f"text {number}" for number in range(30)},
    }
    with file:
        for name, text in texts.items():
            file.attrs[name] = text
        file.attrs["number"] = 3
    reader = Hdf5(content.getvalue())
    found = {name: reader.texts(reader.root, name) for name in texts}
    assert found["variable"] == ["größer"]
    assert found["list"] == ["a", "bc", ""]
    assert found["bytes"] == ["abc"]
    assert found["fixed"] == ["ab", "cde"]
    assert found["fixed_scalar"] == ["xyz"]
    assert found["none"] == []
    assert found["long"] == ["x" * 100_000]
    assert found["other_17"] == ["text 17"]
    assert reader.texts(reader.root, "missing") is None
    with pytest.raises(ValueError, match="expected an attribute of text"):
        reader.texts(reader.root, "number")


def test_the_newer_layout_is_refused() -> None:
    content, file = written(libver="latest")
    with file:
        file["a"] = np.zeros(3, "f")
    with pytest.raises(ValueError, match="expected HDF5 with a superblock of version 0"):
        Hdf5(content.getvalue())


def test_a_shape_that_is_not_that_of_the_data_is_refused() -> None:
    content, file = written()
    with file:
        file["a"] = np.zeros(12345, "f")
    size = (12345).to_bytes(8, "little")
    for other in (12344, 12346, 2**60):
        damaged = content.getvalue().replace(size, other.to_bytes(8, "little"))
        reader = Hdf5(damaged)
        with pytest.raises(ValueError, match=rf"damaged: an array of shape \({other},\) has 49380"):
            reader.array(reader.find(reader.root, "a"))


def test_the_steps_of_a_reader_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    content, file = written()
    with file:
        for number in range(100):
            file.create_group(str(number))
    monkeypatch.setattr("fastseq.interop.hdf5._MOST_STEPS", 300)
    reader = Hdf5(content.getvalue())
    with pytest.raises(ValueError, match="expected at most 300 parts in the file"):
        reader.links(reader.root)


def test_a_b_tree_that_holds_itself_ends() -> None:
    content, file = written()
    with file:
        for number in range(1000):
            file[str(number)] = np.zeros(1, "f")
    damaged, node = bytearray(content.getvalue()), -1
    while (node := damaged.find(b"TREE", node + 1)) >= 0:
        for index in range(int.from_bytes(damaged[node + 6 : node + 8], "little")):
            at = node + 32 + 16 * index
            damaged[at : at + 8] = node.to_bytes(8, "little")
    reader = Hdf5(bytes(damaged))
    with pytest.raises(ValueError, match="damaged: "):
        reader.links(reader.root)
