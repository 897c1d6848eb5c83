# cython: language_level=3
"""Operations without recurrence: elementwise, softmax and its loss, embedding, affine."""

import numpy as np

cimport numpy as np
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t

from fastseq._kernels.arrays cimport (
    as_floats,
    as_floats_or_none,
    as_ids,
    as_integer,
    as_matrix,
    as_number,
    as_output,
    check_no_overlap,
    check_ids,
    check_shape,
    data_of,
    data_or_null,
    finish,
    ids_of,
    matrix_of,
    new_floats,
    row_of,
    rows_of,
    shape_of,
    writable,
    wrong_id,
    wrong_shape,
)
from fastseq._kernels.contract cimport fs_context, fs_matrix
from fastseq._kernels.runtime cimport Snapshot, allow_interrupt, check_interrupt, snapshot

np.import_array()


# ---- elementwise functions ----


ctypedef void (*elementwise)(float *y, const float *x, ptrdiff_t n) noexcept nogil


cdef np.ndarray _elementwise(elementwise function, np.ndarray xs):
    cdef np.ndarray y = new_floats(shape_of(xs))
    cdef ptrdiff_t n = np.PyArray_SIZE(y)
    with nogil:
        function(data_of(y), data_of(xs), n)
    return y


def exp(x):
    cdef np.ndarray xs = as_floats(x, "x", -1)
    return _elementwise(snapshot().kernels.exp, xs)


def tanh(x):
    cdef np.ndarray xs = as_floats(x, "x", -1)
    return _elementwise(snapshot().kernels.tanh, xs)


def sigmoid(x):
    cdef np.ndarray xs = as_floats(x, "x", -1)
    return _elementwise(snapshot().kernels.sigmoid, xs)


# ---- softmax and its loss ----


cdef np.ndarray _scores(object x, str name):
    """Rows of scores, with at least one axis."""
    cdef np.ndarray scores = as_floats(x, name, -1)
    if scores.ndim == 0:
        raise ValueError(f"{name}: expected at least 1 dimension, got a scalar")
    return scores


ctypedef void (*rowwise)(float *y, const float *x, ptrdiff_t R, ptrdiff_t V,
                         const fs_context *context) noexcept nogil


cdef np.ndarray _rowwise(rowwise function, fs_context context, np.ndarray xs):
    cdef np.ndarray y = new_floats(shape_of(xs))
    cdef ptrdiff_t V = xs.shape[xs.ndim - 1]
    cdef ptrdiff_t R = rows_of(xs) if V > 0 else 0
    with nogil:
        function(data_of(y), data_of(xs), R, V, &context)
    return y


def softmax(x):
    cdef np.ndarray xs = _scores(x, "x")
    cdef Snapshot now = snapshot()
    return _rowwise(now.kernels.softmax, now.context, xs)


def log_softmax(x):
    cdef np.ndarray xs = _scores(x, "x")
    cdef Snapshot now = snapshot()
    return _rowwise(now.kernels.log_softmax, now.context, xs)


def log_mean_exp(x):
    # convert
    cdef np.ndarray xs = as_floats(x, "x", 3)
    # check
    if xs.shape[0] == 0:
        raise wrong_shape("x", "(K, R, V), K at least 1", xs)
    cdef np.ndarray y = new_floats((xs.shape[1], xs.shape[2]))
    # snapshot
    cdef Snapshot now = snapshot()
    # call
    with nogil:
        now.kernels.log_mean_exp(
            data_of(y), data_of(xs), xs.shape[0], xs.shape[1], xs.shape[2], &now.context)
    return y


cdef object _as_ignore_label(object ignore_label):
    return None if ignore_label is None else as_integer(ignore_label, "ignore_label")


cdef ptrdiff_t _mark_ignored(np.ndarray labels, np.ndarray scores, object ignored) except -1:
    """Replace ignored labels by -1, check the others, and return the number of others."""
    cdef ptrdiff_t V = scores.shape[scores.ndim - 1]
    cdef int64_t *values = <int64_t *> np.PyArray_DATA(labels)
    cdef tuple rows = shape_of(scores)[:-1]
    cdef bint may_ignore = ignored is not None and INT64_MIN <= ignored <= INT64_MAX
    cdef int64_t to_ignore = ignored if may_ignore else 0
    cdef ptrdiff_t count = 0
    cdef ptrdiff_t r
    if shape_of(labels) != rows:
        raise wrong_shape("labels", f"{rows}, one for each row of scores", labels)
    for r in range(np.PyArray_SIZE(labels)):
        if may_ignore and values[r] == to_ignore:
            values[r] = -1
        elif 0 <= values[r] < V:
            count += 1
        else:
            raise wrong_id(labels, r, "labels", V)
    return count


def softmax_loss_forward(xs, labels, ignore_label):
    # convert
    cdef np.ndarray scores = _scores(xs, "xs")
    cdef np.ndarray own_labels = as_ids(labels, "labels", -1)
    cdef object ignored = _as_ignore_label(ignore_label)
    # check
    cdef ptrdiff_t count = _mark_ignored(own_labels, scores, ignored)
    cdef ptrdiff_t R = np.PyArray_SIZE(own_labels)
    cdef ptrdiff_t V = scores.shape[scores.ndim - 1]
    if count == 0:
        raise ValueError(
            f"labels: expected at least one that is not ignored, got {R}, all ignored "
            f"(ignore_label {ignored})"
        )
    cdef np.ndarray p = new_floats(shape_of(scores))
    cdef np.ndarray row_losses = np.empty(R, np.float64)
    # snapshot
    cdef Snapshot now = snapshot()
    # call
    cdef double *losses = <double *> np.PyArray_DATA(row_losses)
    cdef double total = 0
    cdef ptrdiff_t r
    with nogil:
        now.kernels.softmax_loss_forward(
            data_of(p), losses, data_of(scores), ids_of(own_labels), R, V, &now.context)
        for r in range(R):
            total += losses[r]
    return total / count, p, count


def softmax_loss_backward(probabilities, labels, ignore_label, scale):
    # convert
    cdef np.ndarray p = _scores(probabilities, "probabilities")
    cdef np.ndarray own_labels = as_ids(labels, "labels", -1)
    cdef object ignored = _as_ignore_label(ignore_label)
    cdef float factor = as_number(scale, "scale")
    # check
    _mark_ignored(own_labels, p, ignored)
    cdef ptrdiff_t R = np.PyArray_SIZE(own_labels)
    cdef ptrdiff_t V = p.shape[p.ndim - 1]
    cdef np.ndarray dxs = new_floats(shape_of(p))
    # snapshot
    cdef Snapshot now = snapshot()
    # call
    with nogil:
        now.kernels.softmax_loss_backward(
            data_of(dxs), data_of(p), ids_of(own_labels), factor, R, V, &now.context)
    return dxs


# ---- embedding ----


def embedding_forward(W, ids):
    # convert
    cdef np.ndarray rows = as_matrix(W, "W")
    cdef np.ndarray own_ids = as_ids(ids, "ids", -1)
    # check
    check_ids(own_ids, "ids", rows.shape[0])
    cdef ptrdiff_t R = np.PyArray_SIZE(own_ids)
    cdef ptrdiff_t D = rows.shape[1]
    cdef np.ndarray ys = new_floats((*shape_of(own_ids), D))
    # snapshot
    cdef Snapshot now = snapshot()
    # call
    cdef fs_matrix matrix = matrix_of(rows)
    with nogil:
        now.kernels.embedding_forward(
            data_of(ys), matrix, ids_of(own_ids), R, D, &now.context)
    return ys


def embedding_backward(dW, ids, dout):
    # convert
    cdef np.ndarray out = as_output(dW, "dW")
    cdef np.ndarray own_ids = as_ids(ids, "ids", -1)
    cdef np.ndarray dys = as_floats(dout, "dout", own_ids.ndim + 1)
    # check
    cdef ptrdiff_t R = np.PyArray_SIZE(own_ids)
    cdef ptrdiff_t D = dys.shape[dys.ndim - 1]
    cdef ptrdiff_t V = out.shape[0] if out.ndim > 0 else 0
    if shape_of(dys)[:-1] != shape_of(own_ids):
        raise wrong_shape("dout", f"({', '.join(map(str, shape_of(own_ids)))}, D)", dys)
    check_shape(out, "dW", (V, D))
    check_ids(own_ids, "ids", V)
    cdef np.ndarray direct = writable(out, (dys,))
    # snapshot
    cdef Snapshot now = snapshot()
    # call
    with nogil:
        now.kernels.embedding_backward(
            data_of(direct), data_of(dys), ids_of(own_ids), R, V, D, &now.context)
    finish(out, direct)


# ---- affine ----


cdef int _check_columns(np.ndarray xs, ptrdiff_t K) except -1:
    if xs.ndim == 0 or xs.shape[xs.ndim - 1] != K:
        raise wrong_shape("x", f"(..., {K}), as many columns as W has rows", xs)
    return 0


def affine_forward(x, W, b=None):
    # convert
    cdef np.ndarray xs = as_floats(x, "x", -1)
    cdef np.ndarray matrix = as_matrix(W, "W")
    cdef np.ndarray bias = as_floats_or_none(b, "b", -1)
    # check
    cdef ptrdiff_t K = matrix.shape[0]
    cdef ptrdiff_t M = matrix.shape[1]
    _check_columns(xs, K)
    cdef ptrdiff_t R = rows_of(xs)
    cdef tuple shape = (*shape_of(xs)[:-1], M)
    cdef ptrdiff_t bias_row = 0
    if bias is not None:
        bias = row_of(bias)
    if bias is not None and (bias.ndim != 1 or bias.shape[0] != M):
        if bias.ndim < 2 or shape_of(bias) != shape:
            raise wrong_shape("b", f"({M},), as many as W has columns", bias)
        bias_row = M
    cdef np.ndarray ys = new_floats(shape)
    # snapshot
    cdef Snapshot now = snapshot()
    # call
    cdef const float *bias_data = data_or_null(bias)
    cdef fs_matrix own_W = matrix_of(matrix)
    allow_interrupt(&now)
    with nogil:
        now.kernels.affine_forward(
            data_of(ys), data_of(xs), own_W, bias_data, bias_row, R, K, M, &now.context)
    check_interrupt(&now, [])
    return ys


def affine_backward(dout, x, W, dW, db=None):
    # convert
    cdef np.ndarray xs = as_floats(x, "x", -1)
    cdef np.ndarray matrix = as_matrix(W, "W")
    cdef np.ndarray dys = as_floats(dout, "dout", xs.ndim)
    cdef np.ndarray out_W = as_output(dW, "dW")
    cdef np.ndarray out_b = None if db is None else as_output(db, "db")
    # check
    cdef ptrdiff_t K = matrix.shape[0]
    cdef ptrdiff_t M = matrix.shape[1]
    _check_columns(xs, K)
    check_shape(dys, "dout", (*shape_of(xs)[:-1], M))
    check_shape(out_W, "dW", (K, M))
    if out_b is not None:
        out_b = row_of(out_b)
        check_shape(out_b, "db", (M,))
        check_no_overlap([out_W, out_b], ("dW", "db"))
    cdef ptrdiff_t R = rows_of(xs)
    cdef tuple inputs = (dys, xs, matrix)
    cdef np.ndarray direct_W = writable(out_W, inputs)
    cdef np.ndarray direct_b = None if out_b is None else writable(out_b, inputs)
    cdef np.ndarray dxs = new_floats(shape_of(xs))
    # snapshot
    cdef Snapshot now = snapshot()
    # call
    cdef float *db_data = data_or_null(direct_b)
    cdef fs_matrix own_W = matrix_of(matrix)
    allow_interrupt(&now)
    with nogil:
        now.kernels.affine_backward(
            data_of(dxs), data_of(direct_W), db_data, data_of(dys), data_of(xs), own_W, R, K, M,
            &now.context)
    check_interrupt(&now, [direct_W, direct_b])
    finish(out_W, direct_W)
    if out_b is not None:
        finish(out_b, direct_b)
    return dxs
