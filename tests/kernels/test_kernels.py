"""The boundary to the kernels: memory, instruction sets, workspaces, outputs, empty sizes."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastseq import _kernels
from support.processes import SANITIZED


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def lstm_arguments(N: int, T: int, D: int, H: int) -> tuple[np.ndarray, list[np.ndarray]]:
    return draw(N, T, D), [draw(D, 4 * H), draw(H, 4 * H), draw(4 * H)]


def lstm_gradients(D: int, H: int) -> list[np.ndarray]:
    shapes = ((D, 4 * H), (H, 4 * H), (4 * H,))
    return [np.full(shape, np.nan, np.float32) for shape in shapes]


# ---- memory ----


def test_a_new_array_is_aligned_to_a_cache_line() -> None:
    for size in (*range(40), 1000, 100_000):
        array = _kernels.tanh(draw(size))
        assert array.ctypes.data % 64 == 0
        assert array.flags.c_contiguous
        assert array.flags.writeable
    assert np.array_equal(pickle.loads(pickle.dumps(array)), array)
    assert _kernels.tanh(np.zeros((1,) * 32)).shape == (1,) * 32


def test_freed_memory_is_reused() -> None:
    x = draw(100_000)
    array = _kernels.tanh(x)
    address, value = array.ctypes.data, float(array[5])
    row = array[5:6]
    del array
    second = _kernels.tanh(2 * x)
    assert second.ctypes.data != address
    assert float(row[0]) == value
    del row
    assert _kernels.tanh(x).ctypes.data == address
    assert np.allclose(second, np.tanh(2 * x))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc here")
@pytest.mark.skipif(SANITIZED, reason="the sanitizer keeps what is freed")
def test_the_cache_of_freed_memory_is_limited() -> None:
    # in a process of its own: the tests before may have left memory in the cache
    script = """
import os
from pathlib import Path
import numpy as np
from fastseq import _kernels

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

x = np.ones(2 << 20, dtype=np.float32)
before = resident_bytes()
arrays = [_kernels.tanh(x) for _ in range(40)]
held = resident_bytes()
del arrays
print(x.nbytes, held - before, resident_bytes() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    size, held, kept = map(int, done.stdout.split())
    assert held > 40 * size * 0.9
    assert kept < 80 * 2**20


# ---- instruction sets ----


def test_the_environment_selects_the_instruction_set() -> None:
    for name in _kernels.available_isas():
        result = subprocess.run(
            [sys.executable, "-c", "from fastseq import _kernels; print(_kernels.isa())"],
            env={**os.environ, "FASTSEQ_ISA": name},
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.strip() == name


def test_an_unknown_instruction_set_is_refused_with_the_valid_names() -> None:
    before = _kernels.isa()
    with pytest.raises(ValueError, match=r"isa: expected one of baseline.*got 'sse9'"):
        _kernels.set_isa("sse9")
    assert _kernels.isa() == before


# ---- workspaces ----


def test_a_workspace_copies_and_pickles_as_empty() -> None:
    workspace = _kernels.Workspace()
    _kernels.recurrent_forward(workspace, "lstm", *lstm_arguments(2, 3, 4, 5))
    for other in (copy.deepcopy(workspace), pickle.loads(pickle.dumps(workspace))):
        with pytest.raises(RuntimeError, match="call forward first"):
            _kernels.recurrent_backward(
                other, draw(2, 3, 5), lstm_arguments(2, 3, 4, 5)[1], lstm_gradients(4, 5)
            )


def test_a_released_workspace_needs_a_new_forward() -> None:
    workspace = _kernels.Workspace()
    arguments = lstm_arguments(2, 3, 4, 5)
    _kernels.recurrent_forward(workspace, "lstm", *arguments)
    workspace.release()
    backward = (draw(2, 3, 5), arguments[1], lstm_gradients(4, 5))
    with pytest.raises(RuntimeError, match="call forward first"):
        _kernels.recurrent_backward(workspace, *backward)
    _kernels.recurrent_forward(workspace, "lstm", *arguments)
    assert _kernels.recurrent_backward(workspace, *backward)[0].shape == (2, 3, 4)


def test_backward_after_a_failed_forward_uses_the_last_valid_one(isa: str) -> None:
    workspace = _kernels.Workspace()
    xs, params = lstm_arguments(2, 3, 4, 5)
    hs, *_ = _kernels.recurrent_forward(workspace, "lstm", xs, params)
    with pytest.raises(ValueError, match="xs"):
        _kernels.recurrent_forward(workspace, "lstm", xs[:, :, :3], params)
    # refused before any change: backward still uses the successful forward pass
    dxs, *_ = _kernels.recurrent_backward(workspace, hs, params, lstm_gradients(4, 5))
    fresh = _kernels.Workspace()
    _kernels.recurrent_forward(fresh, "lstm", xs, params)
    expected, *_ = _kernels.recurrent_backward(fresh, hs, params, lstm_gradients(4, 5))
    np.testing.assert_array_equal(dxs, expected)


def test_backward_uses_the_instruction_set_of_its_forward() -> None:
    names = _kernels.available_isas()
    before = _kernels.isa()
    xs, params = lstm_arguments(3, 4, 5, 17)
    try:
        for first in names:
            _kernels.set_isa(first)
            workspace = _kernels.Workspace()
            hs, *_ = _kernels.recurrent_forward(workspace, "lstm", xs, params)
            expected, *_ = _kernels.recurrent_backward(workspace, hs, params, lstm_gradients(5, 17))
            for second in names:
                _kernels.set_isa(second)
                dxs, *_ = _kernels.recurrent_backward(workspace, hs, params, lstm_gradients(5, 17))
                np.testing.assert_array_equal(dxs, expected)
    finally:
        _kernels.set_isa(before)


# ---- outputs ----


@pytest.mark.parametrize("form", ["fortran", "strided", "float64"])
def test_gradients_are_written_in_any_layout(isa: str, form: str) -> None:
    x, W, dout = draw(6, 5), draw(5, 9), draw(6, 9)
    plain = np.empty((5, 9), np.float32)
    _kernels.affine_backward(dout, x, W, plain)
    out = {
        "fortran": np.empty((5, 9), np.float32, order="F"),
        "strided": np.empty((5, 18), np.float32)[:, ::2],
        "float64": np.empty((5, 9), np.float64),
    }[form]
    _kernels.affine_backward(dout, x, W, out)
    np.testing.assert_array_equal(out, plain)


def test_an_output_may_overlap_an_input(isa: str) -> None:
    x, W = draw(4, 4), draw(4, 4, seed=1)
    expected = np.empty((4, 4), np.float32)
    dx = _kernels.affine_backward(x, x, W, expected)
    overlapping = x.copy()
    dx_again = _kernels.affine_backward(overlapping, overlapping, W, overlapping)
    np.testing.assert_array_equal(overlapping, expected)
    np.testing.assert_array_equal(dx_again, dx)
    dx_again = _kernels.affine_backward(x, x, W, W)
    np.testing.assert_array_equal(W, expected)
    np.testing.assert_array_equal(dx_again, dx)
    rows = x.copy()
    _kernels.embedding_backward(rows, np.array([1, 0, 3, 2]), rows)
    np.testing.assert_array_equal(rows, x[[1, 0, 3, 2]])


def test_an_output_of_wrong_type_or_shape_is_refused() -> None:
    x, W, dout = draw(6, 5), draw(5, 9), draw(6, 9)
    read_only = np.empty((5, 9), np.float32)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match=r"dW: expected a writeable array"):
        _kernels.affine_backward(dout, x, W, read_only)
    with pytest.raises(ValueError, match=r"dW: expected shape \(5, 9\), got \(9, 5\)"):
        _kernels.affine_backward(dout, x, W, np.empty((9, 5), np.float32))
    with pytest.raises(TypeError, match=r"dW: expected a float array, got a int64 array"):
        _kernels.affine_backward(dout, x, W, np.empty((5, 9), np.int64))
    with pytest.raises(TypeError, match="dW: expected an array, got list"):
        _kernels.affine_backward(dout, x, W, [0.0])  # type: ignore[arg-type]


# ---- sizes of zero ----


def test_no_rows_give_no_rows_and_zero_gradients(isa: str) -> None:
    _, params = lstm_arguments(1, 1, 4, 5)
    workspace = _kernels.Workspace()
    hs, h, c = _kernels.recurrent_forward(workspace, "lstm", draw(0, 3, 4), params)
    assert hs.shape == (0, 3, 5)
    assert h.shape == c.shape == (0, 5)
    grads = lstm_gradients(4, 5)
    dxs, *_ = _kernels.recurrent_backward(workspace, hs, params, grads)
    assert dxs.shape == (0, 3, 4)
    assert all((grad == 0).all() for grad in grads)


def test_no_steps_keep_the_state_and_its_gradient(isa: str) -> None:
    _, params = lstm_arguments(1, 1, 4, 5)
    h0, c0, dc = draw(2, 5), draw(2, 5, seed=1), draw(2, 5, seed=2)
    workspace = _kernels.Workspace()
    hs, h, c = _kernels.recurrent_forward(workspace, "lstm", draw(2, 0, 4), params, h0, c0)
    assert hs.shape == (2, 0, 5)
    np.testing.assert_array_equal(h, h0)
    np.testing.assert_array_equal(c, c0)
    grads = lstm_gradients(4, 5)
    dxs, dh0, dc0 = _kernels.recurrent_backward(workspace, hs, params, grads, dc=dc)
    assert dxs.shape == (2, 0, 4)
    assert (dh0 == 0).all()
    np.testing.assert_array_equal(dc0, dc)
    assert all((grad == 0).all() for grad in grads)


def test_empty_products_are_zero(isa: str) -> None:
    b = draw(9)
    np.testing.assert_array_equal(
        _kernels.affine_forward(draw(3, 0), draw(0, 9), b), np.tile(b, (3, 1))
    )
    assert _kernels.affine_forward(draw(0, 5), draw(5, 9), b).shape == (0, 9)
    dW, db = np.full((5, 9), np.nan, np.float32), np.full(9, np.nan, np.float32)
    assert _kernels.affine_backward(draw(0, 9), draw(0, 5), draw(5, 9), dW, db).shape == (0, 5)
    assert (dW == 0).all()
    assert (db == 0).all()


def test_attention_of_no_decoder_steps_has_no_gradient(isa: str) -> None:
    enc = draw(2, 3, 4)
    out, weights = _kernels.attention_forward(enc, draw(2, 0, 4))
    assert out.shape == (2, 0, 4)
    denc, ddec = _kernels.attention_backward(out, enc, draw(2, 0, 4), weights)
    assert (denc == 0).all()
    assert ddec.shape == (2, 0, 4)
    with pytest.raises(ValueError, match="hs_enc: expected shape .* at least one time step"):
        _kernels.attention_forward(draw(2, 0, 4), enc)


# ---- errors ----


def test_the_wrong_kind_of_array_is_refused_by_name() -> None:
    xs, params = lstm_arguments(2, 3, 4, 5)
    for position, name in enumerate(("xs", "Wx", "Wh", "b")):
        for wrong in ((xs, *params)[position].astype(complex), np.array(["a"])):
            changed = [xs, *params]
            changed[position] = wrong
            with pytest.raises(TypeError, match=rf"^{name}: expected .* got a {wrong.dtype} array"):
                _kernels.recurrent_forward(_kernels.Workspace(), "lstm", changed[0], changed[1:])


def test_the_wrong_shape_is_refused_by_name() -> None:
    xs, params = lstm_arguments(2, 3, 4, 5)
    wrong_shapes = {"xs": draw(2, 3, 6), "Wx": draw(4, 16), "Wh": draw(5, 16), "b": draw(16)}
    workspace = _kernels.Workspace()
    for position, (name, wrong) in enumerate(wrong_shapes.items()):
        changed = [xs, *params]
        changed[position] = wrong
        with pytest.raises(ValueError, match=rf"^{name}: expected shape .* got \({len(wrong)}"):
            _kernels.recurrent_forward(workspace, "lstm", changed[0], changed[1:])
    with pytest.raises(ValueError, match="xs: expected 3 dimensions"):
        _kernels.recurrent_forward(workspace, "lstm", draw(3, 4), params)
    with pytest.raises(ValueError, match=r"h0: expected shape \(2, 5\), got \(3, 5\)"):
        _kernels.recurrent_forward(workspace, "lstm", xs, params, draw(3, 5))
    with pytest.raises(ValueError, match=r"cell: expected one of rnn, gru, .*, lstm, got 'LSTM'"):
        _kernels.recurrent_forward(workspace, "LSTM", xs, params)
    with pytest.raises(
        ValueError, match=r"params: expected 3 arrays \(Wx, Wh, b\), or 6 for two.* got 2"
    ):
        _kernels.recurrent_forward(workspace, "lstm", xs, params[:2])
    with pytest.raises(ValueError, match=r"x: expected shape \(K, R, V\), K at least 1, got"):
        _kernels.log_mean_exp(draw(0, 2, 3))


def test_a_length_that_does_not_fit_is_refused() -> None:
    xs, params = lstm_arguments(2, 3, 4, 5)
    workspace = _kernels.Workspace()
    for wrong in ([3, 4], [3, -1]):
        with pytest.raises(ValueError, match=rf"^lengths\[1\]: expected 0 to 3.*got {wrong[1]}"):
            _kernels.recurrent_forward(workspace, "lstm", xs, params, lengths=np.array(wrong))
    with pytest.raises(ValueError, match=r"^lengths: expected shape \(2,\), one for each row"):
        _kernels.recurrent_forward(workspace, "lstm", xs, params, lengths=np.array([1]))
    with pytest.raises(TypeError, match="^lengths: expected an array of integers"):
        _kernels.recurrent_forward(workspace, "lstm", xs, params, lengths=np.array([1.0, 2.0]))


def test_an_id_out_of_range_is_reported_with_its_index() -> None:
    W = draw(10, 3)
    ids = np.zeros((2, 4), np.int64)
    for wrong in (10, -1, 2**40):
        ids[1, 2] = wrong
        with pytest.raises(IndexError, match=rf"ids\[1, 2\].*vocabulary size 10.*got {wrong}"):
            _kernels.embedding_forward(W, ids)
        with pytest.raises(IndexError, match=rf"ids\[1, 2\].*got {wrong}"):
            _kernels.embedding_backward(np.empty_like(W), ids, draw(2, 4, 3))
    with pytest.raises(TypeError, match="ids: expected an array of integers"):
        _kernels.embedding_forward(W, np.zeros(3))


def test_a_size_beyond_memory_is_a_memory_error() -> None:
    huge = np.lib.stride_tricks.as_strided(draw(1), (2**20, 2**20, 2**18), (0, 0, 0))
    Wx = np.lib.stride_tricks.as_strided(draw(1), (2**18, 4), (0, 0))
    with pytest.raises(MemoryError):
        _kernels.recurrent_forward(_kernels.Workspace(), "lstm", huge, [Wx, draw(1, 4), draw(4)])


# ---- optimizers ----


def test_arrays_of_any_layout_are_updated(isa: str) -> None:
    grads = [draw(5, 7), draw(5, 7)]
    plain = np.ones((5, 7), np.float32)
    fortran = np.ones((5, 7), np.float32, order="F")
    _kernels.sgd_step([plain, fortran], grads, 0.5)
    np.testing.assert_array_equal(plain, fortran - 0.5 * (grads[0] - grads[1]))
    np.testing.assert_allclose(plain, 1 - 0.5 * grads[0], rtol=1e-6)


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="grads: expected 1 arrays, as many as params, got 2"):
        _kernels.sgd_step([draw(3)], [draw(3), draw(3)], 0.1)
    with pytest.raises(ValueError, match=r"grads\[0\]: expected shape \(3,\), got \(4,\)"):
        _kernels.sgd_step([draw(3)], [draw(4)], 0.1)


@pytest.mark.parametrize(
    ("step", "name"),
    [
        ("momentum_step", "velocities"),
        ("nesterov_step", "velocities"),
        ("adagrad_step", "square_sums"),
        ("rmsprop_step", "square_means"),
    ],
)
def test_state_that_does_not_fit_is_refused_before_anything_changes(step: str, name: str) -> None:
    def update(states: list[np.ndarray]) -> None:
        getattr(_kernels, step)(params, [draw(3), draw(4)], states, 0.1, 0.5)

    params = [np.ones(3, np.float32), np.ones(4, np.float32)]
    with pytest.raises(ValueError, match=f"{name}: expected 2 arrays, as many as params, got 1"):
        update([draw(3)])
    with pytest.raises(ValueError, match=rf"{name}\[1\]: expected shape \(4,\), got \(3,\)"):
        update([draw(3), draw(3)])
    with pytest.raises(TypeError, match=rf"{name}\[1\]: expected a float array"):
        update([draw(3), np.zeros(4, np.int64)])
    read_only = draw(4)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match=rf"{name}\[1\]: expected a writeable array"):
        update([draw(3), read_only])
    assert all((param == 1).all() for param in params)


@pytest.mark.parametrize("size", [1, 7, 16, 4095, 4096, 4097, 100_003])
def test_the_norm_is_over_all_elements(isa: str, size: int) -> None:
    x = draw(size)
    exact = np.sqrt(np.sum(x.astype(np.float64) ** 2))
    assert _kernels.global_norm([x, x]) == pytest.approx(np.sqrt(2) * exact, rel=1e-6)
