# cython: language_level=3, cdivision=True
"""The door between Python and the C kernels: checks, allocates, releases the GIL; nothing else.

The table of the best instruction set this CPU runs is chosen on import; ``FASTSEQ_ISA`` overrides.
Signatures, shapes and types are in ``_kernels.pyi``; the operations themselves in
``csrc/fastseq.h``. Every error names the argument, what was expected and what came.
"""

import math
import os
from operator import index

import numpy as np

cimport numpy as np
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.math cimport sqrt
from libc.stdint cimport int64_t, uintptr_t

from fastseq._kernels cimport (
    FS_GRU,
    FS_LSTM,
    FS_RNN,
    FS_SUM_RUN,
    fs_attention_size,
    fs_cell,
    fs_decode_row,
    fs_greedy_decode,
    fs_kernels,
    fs_lengths,
    fs_matrix,
    fs_recurrent_backward,
    fs_recurrent_forward,
    fs_recurrent_size,
    fs_recurrent_weights,
    fs_table,
)

np.import_array()

cdef extern from *:
    """
    #if defined(__clang__)
    #define FS_COMPILER "Clang " __clang_version__
    #elif defined(__GNUC__)
    #define FS_COMPILER "GCC " __VERSION__
    #else
    #define FS_COMPILER "unknown"
    #endif
    #ifdef _OPENMP
    #include <omp.h>
    static int default_threads(void) { return omp_get_max_threads(); }
    #define FS_OPENMP _OPENMP
    #else
    static int default_threads(void) { return 1; }
    #define FS_OPENMP 0
    #endif
    """
    const char *FS_COMPILER
    int default_threads() nogil
    const int FS_OPENMP

cdef int MAX_THREADS = 256

cdef const fs_kernels *table = NULL
cdef int threads = 1
cdef bint single_threaded = FS_OPENMP == 0


# ---- instruction sets and threads ----


cdef str _name(const fs_kernels *candidate):
    return (<bytes> candidate.name).decode("ascii")


def available_isas():
    """Names of the instruction sets that this build has and this CPU runs, slowest first."""
    names = []
    while fs_table(len(names)) != NULL:
        names.append(_name(fs_table(len(names))))
    return names


def isa():
    """Name of the instruction set in use."""
    return _name(table)


def set_isa(name):
    """Use another instruction set from the next call on; one of `available_isas()`."""
    global table
    names = available_isas()
    if name not in names:
        raise ValueError(f"isa: expected one of {', '.join(names)}, got {name!r}")
    table = fs_table(names.index(name))


def get_num_threads():
    """How many threads a kernel may use. Small work uses fewer."""
    return threads


def set_num_threads(num_threads):
    """Let a kernel use so many threads; 1 always where there is no OpenMP and in a forked child."""
    global threads
    if isinstance(num_threads, bool) or not isinstance(num_threads, (int, np.integer)):
        raise TypeError(f"num_threads: expected an int, got {type(num_threads).__name__}")
    if not 1 <= num_threads <= MAX_THREADS:
        raise ValueError(f"num_threads: expected 1 to {MAX_THREADS}, got {num_threads}")
    threads = 1 if single_threaded else num_threads


def build_info():
    """How this extension was compiled: the compiler and whether it has OpenMP."""
    return {
        "compiler": (<bytes> FS_COMPILER).decode("ascii"),
        "openmp": str(FS_OPENMP) if FS_OPENMP else "no",
    }


def _after_fork_in_child():
    # The threads of the parent's team do not exist here, and waiting for them would never end.
    global threads, single_threaded
    threads = 1
    single_threaded = True


def _start():
    global table, threads
    wanted = os.environ.get("FASTSEQ_ISA", "")
    names = available_isas()
    if wanted and wanted not in names:
        raise ValueError(
            f"FASTSEQ_ISA: expected one of {', '.join(names)} "
            f"(what this build has and this CPU runs), got {wanted!r}"
        )
    set_isa(wanted or names[-1])
    threads = max(1, min(default_threads(), MAX_THREADS))
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork_in_child)


_start()


# ---- checks and conversions ----


cdef str _describe(np.ndarray x):
    return f"{x.dtype} array of shape {_shape(x)}"


cdef tuple _shape(np.ndarray x):
    return tuple([x.shape[i] for i in range(x.ndim)])


cdef object _wrong_shape(str name, str expected, np.ndarray x):
    return ValueError(f"{name}: expected shape {expected}, got {_shape(x)}")


cdef np.ndarray _array(object x, str name, str kinds, str expected):
    cdef np.ndarray array = np.asarray(x)
    if array.dtype.kind not in kinds:
        raise TypeError(f"{name}: expected {expected}, got a {_describe(array)}")
    return array


cdef np.ndarray _floats(object x, str name, int ndim):
    """As a C-contiguous float32 array of `ndim` dimensions (-1: any); a copy where it must be."""
    cdef np.ndarray array = _array(x, name, "fiub", "an array of real numbers")
    if ndim >= 0 and array.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} dimensions, got shape {_shape(array)}")
    if (np.PyArray_TYPE(array) == np.NPY_FLOAT32 and np.PyArray_ISCARRAY_RO(array)):
        return array
    return np.require(array, np.float32, ("C", "A"))


cdef np.ndarray _weights(object x, str name, int ndim):
    """As a float32 array with strides of whole floats; the array itself where it is one already."""
    cdef np.ndarray array = _array(x, name, "fiu", "an array of real numbers")
    cdef int i
    if array.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} dimensions, got shape {_shape(array)}")
    if np.PyArray_TYPE(array) == np.NPY_FLOAT32 and np.PyArray_ISBEHAVED_RO(array):
        for i in range(ndim):
            if array.strides[i] % <np.npy_intp> sizeof(float) != 0:
                break
        else:
            return array
    return np.require(array, np.float32, ("C", "A"))


cdef fs_matrix _matrix(np.ndarray w):
    cdef fs_matrix matrix
    matrix.data = <const float *> np.PyArray_DATA(w)
    matrix.row = w.strides[0] // <ptrdiff_t> sizeof(float)
    matrix.column = w.strides[1] // <ptrdiff_t> sizeof(float)
    return matrix


cdef np.ndarray _ids(object x, str name):
    """As a C-contiguous int64 array."""
    cdef np.ndarray array = _array(x, name, "iu", "an array of integers")
    return np.require(array, np.int64, ("C", "A"))


cdef _check_ids(np.ndarray ids, str name, ptrdiff_t count, object given):
    """IndexError unless 0 <= id < count for each id; `given`, of any integers, is what it tells."""
    cdef const int64_t *values = <const int64_t *> np.PyArray_DATA(ids)
    cdef ptrdiff_t i
    cdef ptrdiff_t size = ids.size
    cdef ptrdiff_t wrong = -1
    with nogil:
        for i in range(size):
            if values[i] < 0 or values[i] >= count:
                wrong = i
                break
    if wrong >= 0:
        position = ", ".join(str(int(j)) for j in np.unravel_index(wrong, _shape(ids)))
        raise IndexError(
            f"{name}[{position}]: expected an id from 0 to {count - 1} "
            f"(vocabulary size {count}), got {np.asarray(given).flat[wrong]}"
        )


cdef _check_out(object x, str name, tuple shape):
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{name}: expected an array, got {type(x).__name__}")
    if x.dtype.kind != "f":
        raise TypeError(f"{name}: expected a float array, got a {_describe(x)}")
    if x.shape != shape:
        raise _wrong_shape(name, str(shape), x)
    if not x.flags.writeable:
        raise ValueError(f"{name}: expected a writeable array, got a read-only one")


cdef bint _plain(np.ndarray x):
    """Whether the kernels can write to it as it is: float32, C-contiguous, aligned."""
    return np.PyArray_TYPE(x) == np.NPY_FLOAT32 and np.PyArray_ISCARRAY(x)


cdef np.ndarray _direct(np.ndarray out, tuple inputs):
    """Where a kernel writes `out`: the array itself, or a temporary where it is not plain float32
    or an input may lie in it."""
    if not _plain(out):
        return _new(_shape(out))
    for x in inputs:
        if x is not None and np.may_share_memory(out, x):
            return _new(_shape(out))
    return out


cdef _finish(np.ndarray out, np.ndarray direct):
    if direct is not out:
        out[...] = direct


cdef inline float *_data(np.ndarray x) noexcept nogil:
    return <float *> np.PyArray_DATA(x)


# ---- memory ----
#
# The system's memory comes with a page fault for every 4 KB, about as long as a kernel takes to
# fill them, and the allocator may give it back and fetch it anew for each array. So blocks that
# nobody needs any longer are kept for the next of about their size.

cdef enum:
    KEPT_BLOCKS = 32
    KEPT_BYTES = 64 << 20     # in all; the oldest go first
    SMALLEST_KEPT = 64 << 10  # smaller ones are left to the allocator
    MOST_DIMENSIONS = 64      # that an array of NumPy has

ctypedef struct _Block:
    void *memory
    size_t size

cdef _Block[KEPT_BLOCKS] kept_blocks  # in the order of their return
cdef int kept_count = 0
cdef size_t kept_bytes = 0


cdef _Block _remove_kept(int which) noexcept:
    global kept_count, kept_bytes
    cdef _Block block = kept_blocks[which]
    cdef int i
    kept_count -= 1
    kept_bytes -= block.size
    for i in range(which, kept_count):
        kept_blocks[i] = kept_blocks[i + 1]
    return block


cdef _Block _take_block(size_t size) noexcept:
    """The smallest kept one that is large enough but by a fourth at most, or a new one; its memory
    is NULL when there is none."""
    cdef _Block block
    cdef int best = -1
    cdef int i
    for i in range(kept_count - 1, -1, -1):  # the last ones may still be in the cache
        if size <= kept_blocks[i].size <= size + size // 4:
            if best < 0 or kept_blocks[i].size < kept_blocks[best].size:
                best = i
    if best >= 0:
        return _remove_kept(best)
    block.size = size
    block.memory = PyMem_RawMalloc(size)
    while block.memory == NULL and kept_count > 0:  # what is kept may be what is missing
        PyMem_RawFree(_remove_kept(0).memory)
        block.memory = PyMem_RawMalloc(size)
    return block


cdef void _give_back(_Block block) noexcept:
    global kept_count, kept_bytes
    if block.memory == NULL or not SMALLEST_KEPT <= block.size <= KEPT_BYTES:
        PyMem_RawFree(block.memory)
        return
    while kept_count == KEPT_BLOCKS or kept_bytes + block.size > KEPT_BYTES:
        PyMem_RawFree(_remove_kept(0).memory)
    kept_blocks[kept_count] = block
    kept_count += 1
    kept_bytes += block.size


cdef class _Buffer:
    """Memory for floats that only grows; it begins a cache line, as each vector in it then lies in
    one line only."""

    cdef _Block block
    cdef float *data
    cdef size_t capacity

    def __dealloc__(self):
        _give_back(self.block)

    cdef float *reserve(self, object floats) except NULL:
        """Room for so many floats; what was there before is lost when it has to grow."""
        cdef size_t wanted
        if floats > (1 << 60):
            raise MemoryError(f"cannot allocate {4 * floats} bytes")
        wanted = floats
        if self.data == NULL or wanted > self.capacity:
            _give_back(self.block)
            self.block = _take_block(wanted * sizeof(float) + 64)
            self.data = NULL
            if self.block.memory == NULL:
                raise MemoryError(f"cannot allocate {4 * floats} bytes")
            self.data = <float *> ((<uintptr_t> self.block.memory + 63) & ~<uintptr_t> 63)
            self.capacity = wanted
        return self.data


cdef np.ndarray _new(tuple shape):
    """An array of the caller's, whose memory is kept once he has forgotten it."""
    cdef _Buffer buffer = _Buffer()
    cdef np.npy_intp[MOST_DIMENSIONS] sizes
    cdef int i
    buffer.reserve(math.prod(shape))
    for i in range(len(shape)):
        sizes[i] = shape[i]
    cdef np.ndarray array = np.PyArray_SimpleNewFromData(
        <int> len(shape), sizes, np.NPY_FLOAT32, buffer.data)
    np.set_array_base(array, buffer)
    return array


# ---- elementwise functions, softmax, loss ----


ctypedef void (*elementwise)(float *, const float *, ptrdiff_t) noexcept nogil


cdef np.ndarray _elementwise(elementwise function, object x):
    cdef np.ndarray xs = _floats(x, "x", -1)
    cdef np.ndarray y = _new(_shape(xs))
    with nogil:
        function(_data(y), _data(xs), y.size)
    return y


def exp(x):
    return _elementwise(table.exp, x)


def tanh(x):
    return _elementwise(table.tanh, x)


def sigmoid(x):
    return _elementwise(table.sigmoid, x)


ctypedef void (*rowwise)(float *, const float *, ptrdiff_t, ptrdiff_t, int) noexcept nogil


cdef np.ndarray _rowwise(rowwise function, object x):
    """Of the last axis."""
    cdef np.ndarray xs = _scores(x, "x")
    cdef np.ndarray y = _new(_shape(xs))
    cdef ptrdiff_t V = xs.shape[xs.ndim - 1]
    cdef ptrdiff_t R = xs.size // V if V > 0 else 0
    with nogil:
        function(_data(y), _data(xs), R, V, threads)
    return y


def softmax(x):
    return _rowwise(table.softmax, x)


def log_softmax(x):
    return _rowwise(table.log_softmax, x)


cdef np.ndarray _labels(object labels, np.ndarray scores, object ignore_label):
    """As int64, -1 where ignored, the others checked to lie in [0, V)."""
    cdef np.ndarray ids = _ids(labels, "labels")
    cdef ptrdiff_t V = scores.shape[scores.ndim - 1]
    if _shape(ids) != _shape(scores)[:-1]:
        raise _wrong_shape("labels", f"{_shape(scores)[:-1]}, one for each row of scores,", ids)
    if ignore_label is None:
        _check_ids(ids, "labels", V, labels)
        return ids
    ignored = ids == ignore_label
    _check_ids(np.where(ignored, 0, ids), "labels", V, labels)
    return np.where(ignored, -1, ids)


cdef np.ndarray _scores(object x, str name):
    cdef np.ndarray scores = _floats(x, name, -1)
    if scores.ndim == 0:
        raise ValueError(f"{name}: expected at least 1 dimension, got a scalar")
    return scores


def softmax_loss_forward(xs, labels, ignore_label):
    cdef np.ndarray scores = _scores(xs, "xs")
    cdef np.ndarray ids = _labels(labels, scores, ignore_label)
    cdef ptrdiff_t R = ids.size
    cdef ptrdiff_t V = scores.shape[scores.ndim - 1]
    cdef ptrdiff_t count = np.count_nonzero(ids >= 0)
    if count == 0:
        raise ValueError(
            f"labels: expected at least one that is not ignored, got {R}, all ignored "
            f"(ignore_label {ignore_label})"
        )
    cdef np.ndarray p = _new(_shape(scores))
    cdef np.ndarray row_losses = np.empty(R, np.float64)
    cdef double *losses = <double *> np.PyArray_DATA(row_losses)
    cdef const fs_kernels *kernels = table
    cdef double total = 0
    cdef ptrdiff_t r
    with nogil:
        kernels.softmax_loss_forward(
            _data(p), losses, _data(scores), <const int64_t *> np.PyArray_DATA(ids), R, V, threads)
        for r in range(R):
            total += losses[r]
    return total / count, p, count


def softmax_loss_backward(probabilities, labels, ignore_label, float scale):
    cdef np.ndarray p = _scores(probabilities, "probabilities")
    cdef np.ndarray ids = _labels(labels, p, ignore_label)
    cdef np.ndarray dxs = _new(_shape(p))
    cdef const fs_kernels *kernels = table
    with nogil:
        kernels.softmax_loss_backward(
            _data(dxs), _data(p), <const int64_t *> np.PyArray_DATA(ids), scale, ids.size,
            p.shape[p.ndim - 1], threads)
    return dxs


# ---- embedding ----


def embedding_forward(W, ids):
    cdef np.ndarray weights = _weights(W, "W", 2)
    cdef np.ndarray indices = _ids(ids, "ids")
    cdef ptrdiff_t D = weights.shape[1]
    _check_ids(indices, "ids", weights.shape[0], ids)
    cdef np.ndarray ys = _new((*_shape(indices), D))
    cdef const fs_kernels *kernels = table
    cdef fs_matrix matrix = _matrix(weights)
    with nogil:
        kernels.embedding_forward(
            _data(ys), matrix, <const int64_t *> np.PyArray_DATA(indices), indices.size, D,
            threads)
    return ys


def embedding_backward(dW, ids, dout):
    cdef np.ndarray indices = _ids(ids, "ids")
    cdef np.ndarray dys = _floats(dout, "dout", indices.ndim + 1)
    cdef ptrdiff_t D = dys.shape[dys.ndim - 1]
    if _shape(dys)[:-1] != _shape(indices):
        raise _wrong_shape("dout", f"({', '.join(map(str, _shape(indices)))}, D)", dys)
    cdef ptrdiff_t V = np.shape(dW)[0] if np.ndim(dW) else 0
    _check_out(dW, "dW", (V, D))
    _check_ids(indices, "ids", V, ids)
    cdef np.ndarray direct = _direct(dW, (dys,))
    cdef const fs_kernels *kernels = table
    with nogil:
        kernels.embedding_backward(
            _data(direct), _data(dys), <const int64_t *> np.PyArray_DATA(indices), indices.size,
            V, D, threads)
    _finish(dW, direct)


# ---- affine ----


cdef ptrdiff_t _rows(np.ndarray x):
    """How many rows x has, all axes but the last taken together."""
    cdef ptrdiff_t rows = 1
    cdef int i
    for i in range(x.ndim - 1):
        rows *= x.shape[i]
    return rows


def affine_forward(x, W, b=None):
    cdef np.ndarray weights = _weights(W, "W", 2)
    cdef ptrdiff_t K = weights.shape[0]
    cdef ptrdiff_t M = weights.shape[1]
    cdef np.ndarray xs = _floats(x, "x", -1)
    if xs.ndim == 0 or xs.shape[xs.ndim - 1] != K:
        raise _wrong_shape("x", f"(..., {K}), as many columns as W has rows,", xs)
    cdef np.ndarray bias = None
    cdef const float *bias_data = NULL
    cdef ptrdiff_t bias_row = 0
    if b is not None:
        bias = _floats(b, "b", -1)
        if bias.ndim > 1 and _shape(bias) == (*_shape(xs)[:-1], M):
            bias_row = M
        elif _shape(bias) != (M,):
            raise _wrong_shape("b", f"({M},), as many as W has columns,", bias)
        bias_data = _data(bias)
    cdef ptrdiff_t R = _rows(xs)
    cdef np.ndarray ys = _new((*_shape(xs)[:-1], M))
    cdef const fs_kernels *kernels = table
    cdef fs_matrix matrix = _matrix(weights)
    with nogil:
        kernels.affine_forward(
            _data(ys), _data(xs), matrix, bias_data, bias_row, R, K, M, threads)
    return ys


def affine_backward(dout, x, W, dW, db=None):
    cdef np.ndarray weights = _weights(W, "W", 2)
    cdef ptrdiff_t K = weights.shape[0]
    cdef ptrdiff_t M = weights.shape[1]
    cdef np.ndarray xs = _floats(x, "x", -1)
    if xs.ndim == 0 or xs.shape[xs.ndim - 1] != K:
        raise _wrong_shape("x", f"(..., {K}), as many columns as W has rows,", xs)
    cdef np.ndarray dys = _floats(dout, "dout", xs.ndim)
    if _shape(dys) != (*_shape(xs)[:-1], M):
        raise _wrong_shape("dout", str((*_shape(xs)[:-1], M)), dys)
    _check_out(dW, "dW", (K, M))
    cdef np.ndarray direct_dW = _direct(dW, (dys, xs, weights))
    cdef np.ndarray direct_db = None
    cdef float *db_data = NULL
    if db is not None:
        _check_out(db, "db", (M,))
        direct_db = _direct(db, (dys, xs, weights))
        db_data = _data(direct_db)
    cdef ptrdiff_t R = _rows(xs)
    cdef np.ndarray dxs = _new(_shape(xs))
    cdef const fs_kernels *kernels = table
    cdef fs_matrix matrix = _matrix(weights)
    with nogil:
        kernels.affine_backward(
            _data(dxs), _data(direct_dW), db_data, _data(dys), _data(xs), matrix, R, K, M, threads)
    _finish(dW, direct_dW)
    if db is not None:
        _finish(db, direct_db)
    return dxs


# ---- recurrent ----


cdef class Workspace:
    """What a recurrent layer keeps between calls: the forward cache and scratch memory.

    It belongs to one layer and serves one call at a time. Copies and pickles are empty.
    """

    cdef _Buffer cache
    cdef _Buffer scratch
    cdef np.ndarray order, steps, starts  # what size.lengths points to
    cdef fs_recurrent_size size           # of the pass whose values the cache holds
    cdef const fs_kernels *kernels        # that made them; NULL: there are none
    cdef bint busy

    def __cinit__(self):
        self.release()

    def release(self):
        """Give the memory back; `backward` then needs a new `forward`."""
        self._check_idle()
        self.kernels = NULL
        self.cache = _Buffer()
        self.scratch = _Buffer()

    def __reduce__(self):
        return Workspace, ()

    cdef _check_idle(self):
        if self.busy:
            raise RuntimeError("this layer is in use by another thread; give each its own layer")


cdef dict CELLS = {"rnn": (FS_RNN, 1), "gru": (FS_GRU, 3), "lstm": (FS_LSTM, 4)}


cdef tuple _cell(object name):
    """Its number and its gates."""
    if name not in CELLS:
        raise ValueError(f"cell: expected one of {', '.join(CELLS)}, got {name!r}")
    return CELLS[name]


cdef _check_size(fs_recurrent_size size):
    cdef object N = size.N, T = size.T, C = size.C, D = size.D, H = size.H, V = size.V
    # the largest buffer holds N T rows of gates and states, each padded to full vectors
    if (T + 2) * N * (C + D + 8 * (H + 64)) + (C + D + H + V) * 8 * (D + H + 64) > (1 << 57):
        raise MemoryError(f"cannot allocate a recurrent layer of N {N}, T {T}, D {C + D}, H {H}")


cdef np.ndarray _state(object x, str name, ptrdiff_t N, ptrdiff_t columns):
    cdef np.ndarray state
    if x is None:
        return None
    state = _floats(x, name, 2)
    if state.shape[0] != N or state.shape[1] != columns:
        raise _wrong_shape(name, f"({N}, {columns})", state)
    return state


cdef inline float *_data_or_null(np.ndarray x) noexcept nogil:
    return NULL if x is None else _data(x)


cdef fs_lengths _lengths(object lengths, Workspace workspace, fs_recurrent_size size) except *:
    """Of the rows, sorted; the arrays are kept in the workspace."""
    cdef fs_lengths sorted
    cdef np.ndarray steps = _ids(lengths, "lengths")
    if _shape(steps) != (size.N,):
        raise _wrong_shape("lengths", f"({size.N},), one for each row of xs,", steps)
    wrong = np.flatnonzero((steps < 0) | (steps > size.T))
    if wrong.size:
        raise ValueError(f"lengths[{wrong[0]}]: expected 0 to {size.T}, the steps of xs; "
                         f"got {steps[wrong[0]]}")
    workspace.order = np.argsort(-steps, kind="stable").astype(np.intp)
    workspace.steps = steps[workspace.order].astype(np.intp)
    counts = size.N - np.searchsorted(np.sort(steps), np.arange(size.T), side="right")
    workspace.starts = np.concatenate(([0], np.cumsum(counts))).astype(np.intp)
    sorted.order = <const ptrdiff_t *> np.PyArray_DATA(workspace.order)
    sorted.steps = <const ptrdiff_t *> np.PyArray_DATA(workspace.steps)
    sorted.starts = <const ptrdiff_t *> np.PyArray_DATA(workspace.starts)
    return sorted


cdef class _Weights:
    """Checked weights of each direction, as the kernels take them."""

    cdef list arrays  # what is pointed to stays alive
    cdef fs_recurrent_weights directions[2]

    def __cinit__(self, list params, ptrdiff_t D, ptrdiff_t H, int gates):
        cdef np.ndarray Wx, Wh, b
        cdef ptrdiff_t columns = gates * H
        cdef int k
        self.arrays = []
        for k in range(len(params) // 3):
            number = "" if len(params) == 3 else str(k + 1)
            Wx = _weights(params[3 * k], f"Wx{number}", 2)
            Wh = _weights(params[3 * k + 1], f"Wh{number}", 2)
            b = _floats(params[3 * k + 2], f"b{number}", 1)
            if _shape(Wh) != (H, columns):
                expected = "(H, H)" if gates == 1 else f"(H, {gates} H)"
                raise _wrong_shape(f"Wh{number}", f"{expected} with H {H}", Wh)
            if Wx.shape[1] != columns:
                raise _wrong_shape(f"Wx{number}", f"(D, {columns}), as many columns as Wh,", Wx)
            if Wx.shape[0] != D:
                raise _wrong_shape(f"Wx{number}", f"({D}, {columns}), as high as x is wide,", Wx)
            if b.shape[0] != columns:
                raise _wrong_shape(f"b{number}", f"({columns},), as many as Wh has columns,", b)
            self.directions[k].Wx = _matrix(Wx)
            self.directions[k].Wh = _matrix(Wh)
            self.directions[k].b = _data(b)
            self.arrays += [Wx, Wh, b]


cdef list _directions(object params, str name):
    """The list, which has three arrays for each direction."""
    cdef list arrays = list(params)
    if len(arrays) not in (3, 6):
        raise ValueError(f"{name}: expected 3 arrays, or 6 for two directions; got {len(arrays)}")
    return arrays


def recurrent_forward(Workspace workspace, cell, xs, params, h0=None, c0=None,
                      lengths=None, context=None, embedding=None):
    cdef fs_recurrent_forward call
    call.size.inference = workspace is None
    if workspace is None:
        workspace = Workspace()
    cdef list arrays = _directions(params, "params")
    cdef np.ndarray E = None if embedding is None else _weights(embedding, "embedding", 2)
    cdef np.ndarray x = _floats(xs, "xs", 3) if E is None else _ids(xs, "ids")
    cdef np.ndarray shared = None if context is None else _floats(context, "context", 2)
    cdef int number, gates
    number, gates = _cell(cell)
    if E is not None:
        if x.ndim != 2:
            raise ValueError(f"ids: expected 2 dimensions, got shape {_shape(x)}")
        _check_ids(x, "ids", min(E.shape[0], (1 << 31) - 1), xs)
    if shared is not None and shared.shape[0] != x.shape[0]:
        raise _wrong_shape("context", f"({x.shape[0]}, C), as many rows as xs,", shared)
    call.size.cell = <fs_cell> number
    call.size.directions = len(arrays) // 3
    call.size.from_zeros = h0 is None
    call.size.N = x.shape[0]
    call.size.T = x.shape[1]
    call.size.C = 0 if shared is None else shared.shape[1]
    call.size.D = x.shape[2] if E is None else E.shape[1]
    call.size.V = 0 if E is None else E.shape[0]
    call.size.H = np.shape(arrays[1])[0] if np.ndim(arrays[1]) else 0
    call.size.lengths.order = call.size.lengths.steps = call.size.lengths.starts = NULL
    cdef ptrdiff_t inputs = call.size.C + call.size.D
    if E is None and shared is None and np.ndim(arrays[0]) == 2 and len(arrays[0]) != inputs:
        raise _wrong_shape("xs", f"(N, T, {len(arrays[0])}), as wide as Wx is high,", x)
    cdef ptrdiff_t columns = call.size.directions * call.size.H
    cdef _Weights weights = _Weights(arrays, inputs, call.size.H, gates)
    cdef np.ndarray first_h = _state(h0, "h0", call.size.N, columns)
    cdef np.ndarray first_c = _state(c0, "c0", call.size.N, columns)
    _check_size(call.size)
    cdef np.ndarray hs = _new((call.size.N, call.size.T, columns))
    cdef np.ndarray h = _new((call.size.N, columns))
    cdef np.ndarray c = _new((call.size.N, columns)) if number == FS_LSTM else None
    cdef const fs_kernels *kernels = table

    workspace._check_idle()
    workspace.kernels = NULL  # from here on there is no earlier pass
    if lengths is not None:
        call.size.lengths = _lengths(lengths, workspace, call.size)
    if E is None:
        call.xs = _data(x)
        call.ids = NULL
    else:
        call.xs = NULL
        call.ids = <const int64_t *> np.PyArray_DATA(x)
        call.E = _matrix(E)
    call.context = _data_or_null(shared)
    call.weights = weights.directions
    call.hs = _data(hs)
    call.h = _data(h)
    call.c = _data_or_null(c)
    call.h0 = _data_or_null(first_h)
    call.c0 = _data_or_null(first_c)
    call.cache = workspace.cache.reserve(kernels.recurrent_cache_floats(&call.size))
    call.scratch = workspace.scratch.reserve(kernels.recurrent_forward_floats(&call.size))
    workspace.busy = True
    with nogil:
        kernels.recurrent_forward(&call, threads)
    workspace.busy = False
    if not call.size.inference:
        workspace.size = call.size
        workspace.kernels = kernels
    return hs, h, c


cdef np.ndarray _direct_or_none(object out, str name, ptrdiff_t count, tuple shape, tuple inputs):
    """Where a kernel writes `out`, which must be there if and only if the forward pass had such an
    input."""
    if (out is None) != (count == 0):
        had = "had none of that input" if count == 0 else "had that input"
        raise ValueError(f"{name}: expected {'None' if count == 0 else 'an array'}, as the last "
                         f"forward {had}")
    if out is None:
        return None
    _check_out(out, name, shape)
    return _direct(out, inputs)


def recurrent_backward(Workspace workspace not None, dhs, params, grads, dh=None, dc=None,
                       dcontext=None, dembedding=None):
    workspace._check_idle()
    if workspace.kernels == NULL:
        raise RuntimeError("backward needs the values of a forward pass: call forward first")
    cdef fs_recurrent_backward call
    cdef list arrays = _directions(params, "params")
    cdef list results = _directions(grads, "grads")
    cdef const fs_kernels *kernels = workspace.kernels
    call.size = workspace.size
    cdef ptrdiff_t N = call.size.N
    cdef ptrdiff_t T = call.size.T
    cdef ptrdiff_t C = call.size.C
    cdef ptrdiff_t D = call.size.D
    cdef ptrdiff_t H = call.size.H
    cdef ptrdiff_t V = call.size.V
    cdef int directions = call.size.directions
    cdef int gates = dict(CELLS.values())[call.size.cell]
    if not len(arrays) == len(results) == 3 * directions:
        raise ValueError(f"params, grads: expected {3 * directions} arrays each, as in the last "
                         f"forward; got {len(arrays)} and {len(results)}")
    cdef np.ndarray d = _floats(dhs, "dhs", 3)
    if _shape(d) != (N, T, directions * H):
        raise _wrong_shape("dhs", f"{(N, T, directions * H)}, that of the last forward's result,",
                           d)
    cdef _Weights weights = _Weights(arrays, C + D, H, gates)
    cdef np.ndarray last_dh = _state(dh, "dh", N, directions * H)
    cdef np.ndarray last_dc = _state(dc, "dc", N, directions * H)
    cdef tuple inputs = (d, last_dh, last_dc, *weights.arrays)
    cdef tuple names = ("dWx", "dWh", "db")
    cdef list direct = []
    for i, x in enumerate(results):
        number = "" if directions == 1 else str(i // 3 + 1)
        _check_out(x, f"{names[i % 3]}{number}", np.shape(weights.arrays[i]))
        direct.append(_direct(x, inputs))
    cdef np.ndarray direct_context = _direct_or_none(dcontext, "dcontext", C, (N, C), inputs)
    cdef np.ndarray direct_embedding = _direct_or_none(
        dembedding, "dembedding", V, (V, D), inputs)
    cdef np.ndarray dxs = None if V > 0 else _new((N, T, D))
    cdef np.ndarray dh0 = _new((N, directions * H))
    cdef np.ndarray dc0 = _new((N, directions * H)) if call.size.cell == FS_LSTM else None
    for i in range(directions):
        call.gradients[i].dWx = _data(direct[3 * i])
        call.gradients[i].dWh = _data(direct[3 * i + 1])
        call.gradients[i].db = _data(direct[3 * i + 2])
    call.weights = weights.directions
    call.dxs = _data_or_null(dxs)
    call.dcontext = _data_or_null(direct_context)
    call.dE = _data_or_null(direct_embedding)
    call.dh0 = _data(dh0)
    call.dc0 = _data_or_null(dc0)
    call.dhs = _data(d)
    call.dh = _data_or_null(last_dh)
    call.dc = _data_or_null(last_dc)
    call.cache = workspace.cache.data
    call.scratch = workspace.scratch.reserve(kernels.recurrent_backward_floats(&call.size))
    workspace.busy = True
    with nogil:
        kernels.recurrent_backward(&call, threads)
    workspace.busy = False
    for x, y in zip(results, direct, strict=True):
        _finish(x, y)
    if C > 0:
        _finish(dcontext, direct_context)
    if V > 0:
        _finish(dembedding, direct_embedding)
    return dxs, dh0, dc0


# ---- attention ----


cdef fs_attention_size _attention_size(np.ndarray enc, np.ndarray dec, str name) except *:
    cdef fs_attention_size size
    size.N = enc.shape[0]
    size.Te = enc.shape[1]
    size.H = enc.shape[2]
    size.Td = dec.shape[1]
    size.encoder_lengths = size.decoder_lengths = NULL
    if dec.shape[0] != size.N or dec.shape[2] != size.H:
        raise _wrong_shape(name, f"({size.N}, Td, {size.H}), with N and H of hs_enc,", dec)
    if size.Te == 0:
        raise ValueError(f"hs_enc: expected at least one time step, got shape {_shape(enc)}")
    return size


cdef fs_attention_size _sum_size(np.ndarray enc, np.ndarray weights, str name) except *:
    cdef fs_attention_size size
    size.N = enc.shape[0]
    size.Te = enc.shape[1]
    size.H = enc.shape[2]
    size.Td = weights.shape[1]
    size.encoder_lengths = size.decoder_lengths = NULL
    if weights.shape[0] != size.N or weights.shape[2] != size.Te:
        raise _wrong_shape(name, f"({size.N}, Td, {size.Te}), with N and Te of hs_enc,", weights)
    return size


cdef np.ndarray _steps(object lengths, str name, ptrdiff_t N, ptrdiff_t least, ptrdiff_t most):
    """Lengths of the rows, each in least .. most, as the kernels take them; None stays None."""
    if lengths is None:
        return None
    cdef np.ndarray steps = _array(lengths, name, "iu", "an array of integers")
    if _shape(steps) != (N,):
        raise _wrong_shape(name, f"({N},), one for each row of the batch,", steps)
    wrong = np.flatnonzero((steps < least) | (steps > most))
    if wrong.size:
        raise ValueError(f"{name}[{wrong[0]}]: expected {least} to {most}, got {steps[wrong[0]]}")
    return np.require(steps, np.intp, ("C", "A"))


cdef class _AttentionLengths:
    """Checked lengths of both sides, put into the size of a call; they live as long as this."""

    cdef np.ndarray encoder, decoder

    cdef put_into(self, fs_attention_size *size, object encoder_lengths, object decoder_lengths):
        self.encoder = _steps(encoder_lengths, "encoder_lengths", size.N, 1, size.Te)
        self.decoder = _steps(decoder_lengths, "decoder_lengths", size.N, 0, size.Td)
        if self.encoder is not None:
            size.encoder_lengths = <const ptrdiff_t *> np.PyArray_DATA(self.encoder)
        if self.decoder is not None:
            size.decoder_lengths = <const ptrdiff_t *> np.PyArray_DATA(self.decoder)


cdef _check_same_shape(np.ndarray x, str name, tuple shape):
    if _shape(x) != shape:
        raise _wrong_shape(name, str(shape), x)


def attention_forward(hs_enc, hs_dec, float scale=1.0, encoder_lengths=None, decoder_lengths=None):
    cdef np.ndarray enc = _floats(hs_enc, "hs_enc", 3)
    cdef np.ndarray dec = _floats(hs_dec, "hs_dec", 3)
    cdef fs_attention_size size = _attention_size(enc, dec, "hs_dec")
    cdef _AttentionLengths lengths = _AttentionLengths()
    lengths.put_into(&size, encoder_lengths, decoder_lengths)
    cdef np.ndarray out = _new((size.N, size.Td, size.H))
    cdef np.ndarray weights = _new((size.N, size.Td, size.Te))
    cdef const fs_kernels *kernels = table
    with nogil:
        kernels.attention_forward(
            _data(out), _data(weights), _data(enc), _data(dec), scale, size, threads)
    return out, weights


def attention_backward(dout, hs_enc, hs_dec, weights, float scale=1.0, encoder_lengths=None,
                       decoder_lengths=None):
    cdef np.ndarray enc = _floats(hs_enc, "hs_enc", 3)
    cdef np.ndarray dec = _floats(hs_dec, "hs_dec", 3)
    cdef np.ndarray d = _floats(dout, "dout", 3)
    cdef np.ndarray w = _floats(weights, "weights", 3)
    cdef fs_attention_size size = _attention_size(enc, dec, "hs_dec")
    cdef _AttentionLengths lengths = _AttentionLengths()
    lengths.put_into(&size, encoder_lengths, decoder_lengths)
    _check_same_shape(d, "dout", (size.N, size.Td, size.H))
    _check_same_shape(w, "weights", (size.N, size.Td, size.Te))
    cdef np.ndarray denc = _new((size.N, size.Te, size.H))
    cdef np.ndarray ddec = _new((size.N, size.Td, size.H))
    cdef np.ndarray scratch = _new((threads, 2 * size.Td, size.Te + size.H))
    cdef const fs_kernels *kernels = table
    with nogil:
        kernels.attention_backward(
            _data(denc), _data(ddec), _data(scratch), _data(d), _data(enc), _data(dec), _data(w),
            scale, size, threads)
    return denc, ddec


def attention_weight_forward(hs_enc, hs_dec):
    cdef np.ndarray enc = _floats(hs_enc, "hs_enc", 3)
    cdef np.ndarray dec = _floats(hs_dec, "hs_dec", 3)
    cdef fs_attention_size size = _attention_size(enc, dec, "hs_dec")
    cdef np.ndarray weights = _new((size.N, size.Td, size.Te))
    cdef const fs_kernels *kernels = table
    with nogil:
        kernels.attention_weights_forward(
            _data(weights), _data(enc), _data(dec), 1.0, size, threads)
    return weights


def attention_weight_backward(dweights, hs_enc, hs_dec, weights):
    cdef np.ndarray enc = _floats(hs_enc, "hs_enc", 3)
    cdef np.ndarray dec = _floats(hs_dec, "hs_dec", 3)
    cdef np.ndarray d = _floats(dweights, "dweights", 3)
    cdef np.ndarray w = _floats(weights, "weights", 3)
    cdef fs_attention_size size = _attention_size(enc, dec, "hs_dec")
    _check_same_shape(d, "dweights", (size.N, size.Td, size.Te))
    _check_same_shape(w, "weights", (size.N, size.Td, size.Te))
    cdef np.ndarray denc = _new((size.N, size.Te, size.H))
    cdef np.ndarray ddec = _new((size.N, size.Td, size.H))
    cdef np.ndarray scratch = _new((threads, size.Td, size.Te))
    cdef const fs_kernels *kernels = table
    with nogil:
        kernels.attention_weights_backward(
            _data(denc), _data(ddec), _data(scratch), _data(d), _data(enc), _data(dec), _data(w),
            1.0, size, threads)
    return denc, ddec


def weight_sum_forward(hs_enc, weights, encoder_lengths=None, decoder_lengths=None):
    cdef np.ndarray enc = _floats(hs_enc, "hs_enc", 3)
    cdef np.ndarray w = _floats(weights, "weights", 3)
    cdef fs_attention_size size = _sum_size(enc, w, "weights")
    cdef _AttentionLengths lengths = _AttentionLengths()
    lengths.put_into(&size, encoder_lengths, decoder_lengths)
    cdef np.ndarray out = _new((size.N, size.Td, size.H))
    cdef const fs_kernels *kernels = table
    with nogil:
        kernels.weighted_sum_forward(_data(out), _data(enc), _data(w), size, threads)
    return out


def weight_sum_backward(dout, hs_enc, weights, encoder_lengths=None, decoder_lengths=None):
    cdef np.ndarray enc = _floats(hs_enc, "hs_enc", 3)
    cdef np.ndarray w = _floats(weights, "weights", 3)
    cdef np.ndarray d = _floats(dout, "dout", 3)
    cdef fs_attention_size size = _sum_size(enc, w, "weights")
    cdef _AttentionLengths lengths = _AttentionLengths()
    lengths.put_into(&size, encoder_lengths, decoder_lengths)
    _check_same_shape(d, "dout", (size.N, size.Td, size.H))
    cdef np.ndarray denc = _new((size.N, size.Te, size.H))
    cdef np.ndarray dweights = _new((size.N, size.Td, size.Te))
    cdef const fs_kernels *kernels = table
    with nogil:
        kernels.weighted_sum_backward(
            _data(denc), _data(dweights), _data(d), _data(enc), _data(w), size, threads)
    return denc, dweights


def additive_weight_forward(hs_enc, hs_dec, v, encoder_lengths=None, decoder_lengths=None):
    cdef np.ndarray enc = _floats(hs_enc, "hs_enc", 3)
    cdef np.ndarray dec = _floats(hs_dec, "hs_dec", 3)
    cdef np.ndarray vs = _floats(v, "v", 1)
    cdef fs_attention_size size = _attention_size(enc, dec, "hs_dec")
    cdef _AttentionLengths lengths = _AttentionLengths()
    lengths.put_into(&size, encoder_lengths, decoder_lengths)
    _check_same_shape(vs, "v", (size.H,))
    cdef np.ndarray weights = _new((size.N, size.Td, size.Te))
    cdef const fs_kernels *kernels = table
    with nogil:
        kernels.additive_weights_forward(
            _data(weights), _data(enc), _data(dec), _data(vs), size, threads)
    return weights


def additive_weight_backward(dweights, hs_enc, hs_dec, v, weights, dv, encoder_lengths=None,
                             decoder_lengths=None):
    cdef np.ndarray enc = _floats(hs_enc, "hs_enc", 3)
    cdef np.ndarray dec = _floats(hs_dec, "hs_dec", 3)
    cdef np.ndarray vs = _floats(v, "v", 1)
    cdef np.ndarray d = _floats(dweights, "dweights", 3)
    cdef np.ndarray w = _floats(weights, "weights", 3)
    cdef fs_attention_size size = _attention_size(enc, dec, "hs_dec")
    cdef _AttentionLengths lengths = _AttentionLengths()
    lengths.put_into(&size, encoder_lengths, decoder_lengths)
    _check_same_shape(vs, "v", (size.H,))
    _check_same_shape(d, "dweights", (size.N, size.Td, size.Te))
    _check_same_shape(w, "weights", (size.N, size.Td, size.Te))
    _check_out(dv, "dv", (size.H,))
    cdef np.ndarray direct = _direct(dv, (enc, dec, vs, d, w))
    cdef np.ndarray denc = _new((size.N, size.Te, size.H))
    cdef np.ndarray ddec = _new((size.N, size.Td, size.H))
    cdef np.ndarray scratch = _new((threads * size.Td * size.Te + size.N * size.H,))
    cdef const fs_kernels *kernels = table
    with nogil:
        kernels.additive_weights_backward(
            _data(denc), _data(ddec), _data(direct), _data(scratch), _data(d), _data(enc),
            _data(dec), _data(vs), _data(w), size, threads)
    _finish(dv, direct)
    return denc, ddec


# ---- decoding ----


def greedy_decode(Workspace workspace not None, start_id, steps, h0, embedding, lstm, affine,
                  hs_enc=None, bint peeky=False):
    cdef fs_greedy_decode call
    cdef np.ndarray first_h = _floats(h0, "h0", 2)
    cdef np.ndarray rows = _weights(embedding, "embedding", 2)
    cdef np.ndarray W, b
    cdef np.ndarray enc = None
    W, b = affine
    W = _weights(W, "W", 2)
    b = _floats(b, "b", 1)
    call.N = first_h.shape[0]
    call.H = first_h.shape[1]
    call.V = rows.shape[0]
    call.D = rows.shape[1]
    call.Te = 0
    if hs_enc is not None:
        if peeky:
            raise ValueError("hs_enc, peeky: expected at most one of them")
        enc = _floats(hs_enc, "hs_enc", 3)
        call.Te = enc.shape[1]
        if _shape(enc) != (call.N, call.Te, call.H) or call.Te == 0:
            raise _wrong_shape("hs_enc", f"({call.N}, Te, {call.H}), Te at least 1,", enc)
    if index(steps) < 0:
        raise ValueError(f"steps: expected at least 0, got {steps}")
    if not 0 <= index(start_id) < call.V:
        raise IndexError(f"start_id: expected an id from 0 to {call.V - 1} "
                         f"(vocabulary size {call.V}), got {start_id}")
    call.steps = steps
    call.start_id = start_id
    cdef ptrdiff_t K = call.H if enc is None and not peeky else 2 * call.H
    if _shape(W) != (K, call.V):
        raise _wrong_shape("W", f"({K}, {call.V}), as many columns as embedding has rows,", W)
    if b.shape[0] != call.V:
        raise _wrong_shape("b", f"({call.V},), as many as W has columns,", b)
    cdef fs_recurrent_size size
    size.N = call.N
    size.T = max(call.steps, 1)
    size.C = size.V = 0
    size.D = call.H + call.D if peeky else call.D
    size.H = call.H
    _check_size(size)
    Wx, Wh, b_lstm = lstm
    cdef _Weights weights = _Weights([Wx, Wh, b_lstm], size.D, size.H, 4)
    cdef np.ndarray ids = np.empty((call.N, call.steps), np.int64)
    cdef np.ndarray h = _new((call.N, call.H))
    cdef np.ndarray c = _new((call.N, call.H))
    # stays 0 where there is no step
    cdef np.ndarray attention = None if enc is None else np.zeros((call.N, call.Te), np.float32)
    cdef const fs_kernels *kernels = table

    workspace._check_idle()
    workspace.kernels = NULL  # from here on there is no earlier pass
    call.ids = <int64_t *> np.PyArray_DATA(ids)
    call.h = _data(h)
    call.c = _data(c)
    call.weights = _data_or_null(attention)
    call.h0 = _data(first_h)
    call.peek = _data(first_h) if peeky else NULL
    call.enc = _data_or_null(enc)
    call.lstm = weights.directions[0]
    call.embedding = _matrix(rows)
    call.W = _matrix(W)
    call.b = _data(b)
    call.scratch = workspace.scratch.reserve(kernels.greedy_decode_floats(&call))
    workspace.busy = True
    with nogil:
        kernels.greedy_decode(&call, threads)
    workspace.busy = False
    return ids, h, c, attention


cdef np.ndarray _shaped(object x, str name, tuple shape):
    """As a C-contiguous float32 array of this shape."""
    cdef np.ndarray array = _floats(x, name, len(shape))
    if _shape(array) != shape:
        raise _wrong_shape(name, str(shape), array)
    return array


cdef np.ndarray _weight(object x, str name, tuple shape):
    """As a float32 matrix of this shape."""
    cdef np.ndarray array = _weights(x, name, 2)
    if _shape(array) != shape:
        raise _wrong_shape(name, str(shape), array)
    return array


def decode_row(cell, start_id, first_id, end_id, steps, h0, c0, embedding, layers, output,
               peek=None, hs_enc=None, combine=None, W_query=None, float scale=1.0, keys=None,
               v=None):
    cdef fs_decode_row call
    cdef int gates
    number, gates = _cell(cell)
    cdef np.ndarray rows = _weights(embedding, "embedding", 2)
    cdef np.ndarray first_h = _floats(h0, "h0", 2)
    cdef ptrdiff_t H = first_h.shape[1]
    cdef ptrdiff_t V = rows.shape[0]
    cdef ptrdiff_t K = H if peek is None else 2 * H
    call.cell = <fs_cell> <int> number
    call.V, call.D, call.H = V, rows.shape[1], H
    call.layers, call.steps = len(layers), index(steps)
    call.start_id, call.first_id, call.end_id = start_id, first_id, end_id
    call.scale = scale
    if call.steps < 0 or call.layers < 1 or first_h.shape[0] != call.layers:
        raise ValueError("h0, layers, steps: expected a row of h0 for each of at least 1 layer and "
                         f"at least 0 steps, got shape {_shape(first_h)}, {call.layers} and "
                         f"{steps}")
    if not (0 <= call.start_id < V and 0 <= call.first_id < V and call.start_id != call.end_id):
        raise IndexError(f"start_id, first_id: expected ids from 0 to {V - 1} (vocabulary size "
                         f"{V}), the first not end_id, got {start_id}, {first_id}")
    cdef np.ndarray first_c = None if c0 is None else _shaped(c0, "c0", (call.layers, H))
    if (first_c is None) == (number == FS_LSTM):
        raise ValueError(f"c0: expected {'an array' if number == FS_LSTM else 'None'} with {cell}")
    cdef np.ndarray peeked = None if peek is None else _shaped(peek, "peek", (H,))
    cdef np.ndarray W = _weight(output[0], "W", (K, V))
    cdef np.ndarray b = _shaped(output[1], "b", (V,))
    cdef np.ndarray enc = None
    cdef np.ndarray W_combine, b_combine, query, all_keys, vs
    call.keys = call.v = call.b_combine = call.W_query.data = call.W_combine.data = NULL
    call.Te = 0
    if hs_enc is not None:
        enc = _floats(hs_enc, "hs_enc", 2)
        call.Te = enc.shape[0]
        if call.Te == 0 or enc.shape[1] != H:
            raise _wrong_shape("hs_enc", f"(Te, {H}), Te at least 1,", enc)
        W_combine = _weight(combine[0], "W_combine", (2 * H, H))
        b_combine = _shaped(combine[1], "b_combine", (H,))
        call.W_combine, call.b_combine = _matrix(W_combine), _data(b_combine)
        if W_query is not None:
            query = _weight(W_query, "W_query", (H, H))
            call.W_query = _matrix(query)
        if keys is not None:
            all_keys, vs = _shaped(keys, "keys", (call.Te, H)), _shaped(v, "v", (H,))
            call.keys, call.v = _data(all_keys), _data(vs)
    cdef list weights = []
    cdef _Buffer recurrent = _Buffer(), scratch = _Buffer()
    cdef fs_recurrent_weights *each = <fs_recurrent_weights *> recurrent.reserve(
        call.layers * <ptrdiff_t> sizeof(fs_recurrent_weights))
    cdef ptrdiff_t layer
    for layer in range(call.layers):
        weights.append(_Weights(list(layers[layer]), H if layer else K - H + call.D, H, gates))
        each[layer] = (<_Weights> weights[layer]).directions[0]
    cdef np.ndarray ids = np.empty(call.steps, np.int64)
    cdef ptrdiff_t taken = 0
    cdef double log_probability = 0
    cdef const fs_kernels *kernels = table
    call.ids = <int64_t *> np.PyArray_DATA(ids)
    call.taken, call.log_probability = &taken, &log_probability
    call.h0, call.c0, call.peek = _data(first_h), _data_or_null(first_c), _data_or_null(peeked)
    call.enc, call.recurrent, call.b = _data_or_null(enc), each, _data(b)
    call.embedding, call.W = _matrix(rows), _matrix(W)
    call.scratch = scratch.reserve(kernels.decode_row_floats(&call))
    with nogil:
        kernels.decode_row(&call)
    return ids[:taken], log_probability


# ---- optimisation ----


cdef list _partners(object arrays, str name, list like, bint updated):
    """The arrays of a list, checked: shaped as those of `like` (None: as they are), and to be
    written to where they are updated."""
    cdef list checked = list(arrays)
    if like is None:
        like = checked
    if len(checked) != len(like):
        raise ValueError(f"{name}: expected {len(like)} arrays, as many as params, "
                         f"got {len(checked)}")
    for i, x in enumerate(checked):
        if updated:
            _check_out(x, f"{name}[{i}]", np.shape(like[i]))
        else:
            _check_same_shape(_array(x, f"{name}[{i}]", "fiub", "an array of real numbers"),
                              f"{name}[{i}]", np.shape(like[i]))
    return checked


cdef np.ndarray _plain_or_copy(np.ndarray x):
    return x if _plain(x) else np.array(x, np.float32, order="C")


def _in_place(params, grads, dict states=None):
    """For each parameter, what a kernel takes: p, its arrays in `states`, g, all plain float32.

    All lists are checked before the first is yielded. What had to be copied is written back before
    the next is, so a parameter may be in the list more than once.
    """
    cdef list all_p = _partners(params, "params", None, True)
    cdef list all_g = _partners(grads, "grads", all_p, False)
    cdef list kept = [_partners(arrays, name, all_p, True)
                      for name, arrays in (states or {}).items()]
    for g, *updated in zip(all_g, all_p, *kept, strict=True):
        if updated[0].flags.fnc:  # its transposed view lies as the kernels want it
            g, updated = np.transpose(g), [x.T for x in updated]
        plain = [_plain_or_copy(x) for x in updated]
        yield *plain, _floats(g, "grads", -1)
        for x, y in zip(updated, plain, strict=True):
            _finish(x, y)


def sgd_step(params, grads, float learning_rate):
    cdef np.ndarray p, g
    cdef const fs_kernels *kernels = table
    for p, g in _in_place(params, grads):
        with nogil:
            kernels.sgd_step(_data(p), _data(g), learning_rate, p.size, threads)


ctypedef void (*one_state_step)(
    float *, float *, const float *, float, float, ptrdiff_t, int) noexcept nogil


cdef _step_with_state(one_state_step step, object updates, float learning_rate, float setting):
    cdef np.ndarray p, state, g
    for p, state, g in updates:
        with nogil:
            step(_data(p), _data(state), _data(g), learning_rate, setting, p.size, threads)


def momentum_step(params, grads, velocities, float learning_rate, float momentum):
    _step_with_state(table.momentum_step, _in_place(params, grads, {"velocities": velocities}),
                     learning_rate, momentum)


def nesterov_step(params, grads, velocities, float learning_rate, float momentum):
    _step_with_state(table.nesterov_step, _in_place(params, grads, {"velocities": velocities}),
                     learning_rate, momentum)


def adagrad_step(params, grads, square_sums, float learning_rate, float epsilon=1e-7):
    _step_with_state(table.adagrad_step, _in_place(params, grads, {"square_sums": square_sums}),
                     learning_rate, epsilon)


def rmsprop_step(params, grads, square_means, float learning_rate, double decay_rate,
                 float epsilon=1e-7):
    cdef np.ndarray p, h, g
    cdef float decay = decay_rate
    cdef float gain = 1.0 - decay_rate
    cdef const fs_kernels *kernels = table
    for p, h, g in _in_place(params, grads, {"square_means": square_means}):
        with nogil:
            kernels.rmsprop_step(_data(p), _data(h), _data(g), learning_rate, decay, gain, epsilon,
                                 p.size, threads)


def adam_step(params, grads, first_moments, second_moments, float learning_rate, double beta1,
              double beta2, float epsilon=1e-7):
    cdef np.ndarray p, m, v, g
    cdef float gain1 = 1.0 - beta1
    cdef float gain2 = 1.0 - beta2
    cdef const fs_kernels *kernels = table
    moments = {"first_moments": first_moments, "second_moments": second_moments}
    for p, m, v, g in _in_place(params, grads, moments):
        with nogil:
            kernels.adam_step(_data(p), _data(m), _data(v), _data(g), learning_rate, gain1, gain2,
                              epsilon, p.size, threads)


def global_norm(grads):
    cdef np.ndarray x, sums
    cdef double total = 0
    cdef const fs_kernels *kernels = table
    for i, grad in enumerate(grads):
        x = _floats(grad, f"grads[{i}]", -1)
        sums = np.empty((x.size + FS_SUM_RUN - 1) // FS_SUM_RUN, np.float64)
        with nogil:
            kernels.sum_squares(<double *> np.PyArray_DATA(sums), _data(x), x.size, threads)
        total += sums.sum()
    return sqrt(total)


def scale(arrays, float factor):
    cdef np.ndarray x
    cdef const fs_kernels *kernels = table
    for array in _partners(arrays, "arrays", None, True):
        x = _plain_or_copy(array)
        with nogil:
            kernels.scale(_data(x), factor, x.size, threads)
        _finish(array, x)
