"""What bounds time and memory of a Transducer, whatever the file, the data or the arguments."""

import os
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fastseq import Transducer
from fastseq.cli import main
from fastseq.layers import TimeLSTM
from fastseq.transducer import model_file as files
from fastseq.transducer.data.vocabulary import END
from fastseq.transducer.search import limits
from support.transducer.tiny_transducer import tiny_pairs, tiny_transducer

PAIRS = tiny_pairs(20)


@pytest.fixture
def model() -> Transducer:
    return tiny_transducer(epochs=1).fit(*PAIRS)


@pytest.fixture
def model_file(model: Transducer, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    model.save(path)
    return path


def one_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 1
    captured = capsys.readouterr()
    [line] = captured.err.splitlines()
    return line


def test_an_answer_is_cut_whatever_lengths_a_file_has_seen(
    model: Transducer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.network_.params["output.b"][END] = -1e9
    document = model._config.to_json() | {"history": [], "lengths": [1, 2**31 - 1]}
    path = tmp_path / "endless.safetensors"
    files.write(str(path), "fastseq.transducer", model.network_.params, document)
    endless = Transducer.load(path)
    steps = limits.default_steps(np.array([0, 5, 10**6]), endless.lengths_)
    assert steps.tolist() == [2**16] * 3
    monkeypatch.setattr(limits, "MOST_STEPS", 50)
    assert [len(answer) for answer in endless.predict(["a", "b" * 200])] == [50, 50]


def test_a_long_line_is_not_shared_with_short_ones(model: Transducer) -> None:
    texts = ["ab", *PAIRS[0], "abcdef" * 3000] * 2
    model.lengths_ = model.lengths_._replace(source=10**6)  # short answers, to be quick
    tracemalloc.start()
    try:
        together = model.predict(texts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # two rows of 18,001 steps, of some arrays of 48 columns; in one batch they were 44
    assert peak < 2 * 18_001 * 48 * 4 * 5
    assert together == [model.predict([text])[0] for text in texts]


def test_a_network_too_large_to_be_loaded_is_not_trained() -> None:
    huge = tiny_transducer(hidden_size=2**15)
    with pytest.raises(ValueError, match="expected a network of at most 2,147,483,648 bytes, got"):
        huge.fit(*PAIRS)


def test_a_checkpoint_may_be_larger_than_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastseq.transducer import model_config as description

    size = sum(param.nbytes for param in tiny_transducer().fit(*PAIRS).network_.params.values())
    monkeypatch.setattr(description, "_LARGEST_NETWORK", size)
    tiny_transducer(epochs=1).fit(*PAIRS, checkpoint=tmp_path)
    resumed = tiny_transducer(epochs=2).fit(*PAIRS, checkpoint=tmp_path, resume=True)
    assert resumed.n_epochs_ == 2
    monkeypatch.setattr(description, "_LARGEST_NETWORK", size - 1)
    with pytest.raises(ValueError, match="expected a network of at most"):
        tiny_transducer().fit(*PAIRS)


def test_a_large_header_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 2**24 + 1))
        file.truncate(2**25)
    tracemalloc.start()
    try:
        line = one_error(["predict", str(path), "a"], capsys)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    expected = "expected vocabularies and history of at most 16777216 bytes, got 16777217"
    assert line == f"fastseq: error: {path}: {expected}"
    assert peak < 2**21


def test_what_would_not_be_read_is_not_written(
    model: Transducer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    monkeypatch.setattr(files, "_LARGEST_HEADER", 4096)
    model.save(path)
    before = path.read_bytes()
    model.history_ *= 30
    with pytest.raises(ValueError, match=r"model\.safetensors: expected vocabularies and history"):
        model.save(path)
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="vocabularies: expected at most 2048 bytes in a file"):
        tiny_transducer().fit([chr(0x4E00 + k) for k in range(200)], ["a"] * 200)


def test_directories_and_pipes_are_no_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = one_error(["predict", str(tmp_path), "a"], capsys)
    assert line == f"fastseq: error: {tmp_path}: Is a directory"
    if hasattr(os, "mkfifo"):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        line = one_error(["predict", str(pipe), "a"], capsys)
        expected = "expected a model file, got something that is no regular file"
        assert line == f"fastseq: error: {pipe}: {expected}"


def test_more_than_there_is_memory_for_is_a_memory_error() -> None:
    Wx, Wh, b = (np.zeros(shape, np.float32) for shape in ((1, 4), (1, 4), 4))
    layer = TimeLSTM(Wx, Wh, b)
    endless = np.broadcast_to(np.zeros((1, 1, 1), np.float32), (2**30, 2**16, 1))
    with pytest.raises(MemoryError, match=r"^xs: Unable to allocate .* TiB[^\n]*$"):
        layer.forward(endless)


def test_out_of_memory_is_one_line(model_file: Path) -> None:
    """In a process that may have little more than it begins with."""
    program = f"""
import resource, sys
from fastseq import Transducer
from fastseq.cli import main
Transducer.load({str(model_file)!r}).predict(["a"])
in_use = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + 2**26, -1))
sys.exit(main(["predict", {str(model_file)!r}, "a" * 10**6]))
"""
    if not Path("/proc/self/statm").exists():
        pytest.skip("there is no /proc here")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    [line] = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert line.startswith("fastseq: error: out of memory")
