# cython: language_level=3, cdivision=True
"""Recurrent layers over whole sequences, and their gradients."""

import numpy as np

cimport numpy as np
from libc.stdint cimport int64_t
from libc.string cimport memset

from fastseq._kernels.arrays cimport (
    Buffer,
    as_floats,
    as_floats_or_none,
    as_ids,
    as_ids_or_none,
    as_matrix,
    as_output,
    as_sequence,
    check_no_overlap,
    check_ids,
    check_lengths,
    check_shape,
    data_of,
    data_or_null,
    finish,
    ids_of,
    matrix_of,
    new_floats,
    row_of,
    shape_of,
    writable,
    wrong_shape,
)
from fastseq._kernels.cells cimport Cell, Weights, as_cell, as_weights
from fastseq._kernels.contract cimport (
    fs_cells,
    fs_kernels,
    fs_recurrent_backward,
    fs_recurrent_forward,
    fs_recurrent_size,
)
from fastseq._kernels.runtime cimport (
    Snapshot,
    allow_interrupt,
    check_interrupt,
    fork_count,
    snapshot,
)

np.import_array()


# ---- the workspace ----


cdef class Workspace:
    """The memory of a recurrent layer between calls: the forward cache and scratch.

    A workspace belongs to one layer and can be used by one call at a time; a concurrent second call
    raises RuntimeError. Copies and pickles are empty.
    """

    cdef Buffer cache
    cdef Buffer scratch
    cdef Lengths lengths         # owns the arrays of size.lengths
    cdef Cell cell
    cdef fs_recurrent_size size  # of the forward pass in the cache
    cdef const fs_kernels *kernels  # that computed the cache; NULL: it is empty
    cdef unsigned long passes    # counts forward passes, to identify the current one
    cdef unsigned long claimed   # 0, or 1 + the number of forks when it was claimed

    def __cinit__(self):
        self.cache = Buffer()
        self.scratch = Buffer()

    def release(self):
        """Free the memory; `recurrent_backward` then needs a new forward pass."""
        self.claim()
        self.invalidate()
        self.cache = Buffer()
        self.scratch = Buffer()
        self.claimed = 0

    def __reduce__(self):
        return Workspace, ()

    cdef int claim(self) except -1:
        # A claim made before a fork is void: the thread that made it is not in this process.
        if self.claimed == 1 + fork_count():
            raise RuntimeError(
                "workspace: this layer is in use by another thread; each thread needs its own")
        self.claimed = 1 + fork_count()
        return 0

    cdef int check_pass(self, unsigned long number) except -1:
        """RuntimeError unless the cache holds the forward pass of this number."""
        if self.kernels == NULL or self.passes != number:
            raise RuntimeError("backward needs the values of a forward pass: call forward first")
        return 0

    cdef void invalidate(self) noexcept:
        self.kernels = NULL
        self.passes += 1


# ---- sizes and lengths ----


cdef int check_memory(double N, double T, double inputs, double V, double H) except -1:
    """MemoryError for sizes beyond any machine's memory; no product of smaller sizes overflows."""
    # the largest buffer has N T rows of gates and states, padded to full vectors
    if (T + 2) * N * (inputs + 10 * (H + 64)) + (inputs + H + V) * 10 * (inputs + H + 64) > 1e17:
        raise MemoryError(f"xs: cannot allocate a recurrent layer of N {N:.0f}, T {T:.0f}, "
                          f"{inputs:.0f} inputs, H {H:.0f}")
    return 0


cdef class Lengths:
    """The arrays of an fs_lengths: the packed order of a batch of variable-length sequences."""

    cdef np.ndarray order
    cdef np.ndarray steps
    cdef np.ndarray starts

    def __cinit__(self, np.ndarray given, ptrdiff_t T):
        # a stable counting sort, longest first
        cdef ptrdiff_t N = given.shape[0]
        cdef const int64_t *length = ids_of(given)
        cdef np.ndarray positions = np.zeros(T + 2, np.intp)  # [l]: number of rows longer than l
        self.order = np.empty(N, np.intp)
        self.steps = np.empty(N, np.intp)
        self.starts = np.empty(T + 1, np.intp)
        cdef ptrdiff_t *position = <ptrdiff_t *> np.PyArray_DATA(positions)
        cdef ptrdiff_t *order = <ptrdiff_t *> np.PyArray_DATA(self.order)
        cdef ptrdiff_t *steps = <ptrdiff_t *> np.PyArray_DATA(self.steps)
        cdef ptrdiff_t *starts = <ptrdiff_t *> np.PyArray_DATA(self.starts)
        cdef ptrdiff_t n, t
        for n in range(N):
            if length[n] > 0:
                position[length[n] - 1] += 1
        for t in range(T - 1, -1, -1):
            position[t] += position[t + 1]
        starts[0] = 0
        for t in range(T):
            starts[t + 1] = starts[t] + position[t]
        for n in range(N):
            order[position[length[n]]] = n
            steps[position[length[n]]] = length[n]
            position[length[n]] += 1


# ---- forward ----


def recurrent_forward(Workspace workspace, cell, xs, params, h0=None, c0=None, lengths=None,
                      context=None, embedding=None):
    # convert
    cdef Cell own_cell = as_cell(cell)
    cdef bint embedded = embedding is not None
    cdef np.ndarray E = as_matrix(embedding, "embedding") if embedded else None
    cdef np.ndarray x = as_ids(xs, "xs", 2) if embedded else as_floats(xs, "xs", 3)
    cdef np.ndarray common = as_floats_or_none(context, "context", 2)
    cdef Weights own_weights = as_weights(own_cell, params, "params", None)
    cdef np.ndarray first_h = as_floats_or_none(h0, "h0", 2)
    cdef np.ndarray first_c = as_floats_or_none(c0, "c0", 2)
    cdef np.ndarray steps = as_ids_or_none(lengths, "lengths", 1)

    # check
    cdef fs_recurrent_forward call
    memset(&call, 0, sizeof(call))
    cdef fs_recurrent_size *size = &call.size
    size.cell = own_cell.number
    size.directions = own_weights.directions
    size.zero_initial_state = first_h is None
    size.inference = workspace is None
    size.N = x.shape[0]
    size.T = x.shape[1]
    size.C = 0 if common is None else common.shape[1]
    size.D = E.shape[1] if embedded else x.shape[2]
    size.V = E.shape[0] if embedded else 0
    size.H = own_weights.hidden_size()
    cdef ptrdiff_t columns = size.directions * size.H
    cdef bint has_c = own_cell.states > 1
    if common is not None and common.shape[0] != size.N:
        raise wrong_shape("context", f"({size.N}, C), as many rows as xs", common)
    _check_inputs(x, own_weights, size)
    own_weights.check(size.C + size.D, size.H)
    _check_state(first_h, "h0", size.N, columns)
    _check_state(first_c, "c0", size.N, columns)
    if first_c is not None and not has_c:
        raise ValueError(f"c0: expected None, as a cell {own_cell.name} has no c; got an array")
    check_lengths(steps, "lengths", size.N, 0, size.T)
    check_memory(size.N, size.T, size.C + size.D, size.V, size.H)
    cdef Lengths own_lengths = None if steps is None else Lengths(steps, size.T)
    cdef np.ndarray hs = new_floats((size.N, size.T, columns))
    cdef np.ndarray h = new_floats((size.N, columns))
    cdef np.ndarray c = new_floats((size.N, columns)) if has_c else None
    cdef Workspace own_workspace = Workspace() if workspace is None else workspace

    # snapshot
    cdef Snapshot now = snapshot()

    # claim
    own_workspace.claim()
    try:
        own_workspace.invalidate()
        own_workspace.lengths = own_lengths
        if own_lengths is not None:
            size.lengths.order = <const ptrdiff_t *> np.PyArray_DATA(own_lengths.order)
            size.lengths.steps = <const ptrdiff_t *> np.PyArray_DATA(own_lengths.steps)
            size.lengths.starts = <const ptrdiff_t *> np.PyArray_DATA(own_lengths.starts)
        if embedded:
            call.ids = ids_of(x)
            call.E = matrix_of(E)
        else:
            call.xs = data_of(x)
        call.context = data_or_null(common)
        call.weights = own_weights.own
        call.hs = data_of(hs)
        call.h = data_of(h)
        call.c = data_or_null(c)
        call.h0 = data_or_null(first_h)
        call.c0 = data_or_null(first_c)
        call.cache = own_workspace.cache.reserve(now.kernels.recurrent_cache_floats(size))
        call.scratch = own_workspace.scratch.reserve(
            now.kernels.recurrent_forward_floats(size, &now.context))

        # call
        allow_interrupt(&now)
        with nogil:
            now.kernels.recurrent_forward(&call, &now.context)
        check_interrupt(&now, [])
        if not size.inference:
            own_workspace.size = size[0]
            own_workspace.cell = own_cell
            own_workspace.kernels = now.kernels
    finally:
        own_workspace.claimed = 0
    return hs, h, c


cdef int _check_inputs(np.ndarray x, Weights own, fs_recurrent_size *size) except -1:
    cdef np.ndarray Wx = own.arrays[0]
    if size.V > 0 or x.ndim == 2:
        # the kernels store ids in 32 bits
        return check_ids(x, "xs", min(size.V, <ptrdiff_t> (1 << 31) - 1))
    if size.C == 0 and size.D != Wx.shape[0]:
        raise wrong_shape("xs", f"(N, T, {Wx.shape[0]}), with as many columns as Wx has rows", x)
    return 0


cdef int _check_state(np.ndarray x, str name, ptrdiff_t N, ptrdiff_t columns) except -1:
    if x is not None and (x.shape[0] != N or x.shape[1] != columns):
        raise wrong_shape(name, f"({N}, {columns})", x)
    return 0


# ---- backward ----


cdef list _gradients(object grads, tuple names):
    """The outputs for all directions, one for each weight array."""
    cdef tuple given = as_sequence(grads, "grads")
    cdef Py_ssize_t i
    if len(given) != len(names):
        raise ValueError(f"grads: expected {len(names)} arrays, as many as params; "
                         f"got {len(given)}")
    return [as_output(given[i], names[i]) for i in range(len(given))]


cdef int _check_output(np.ndarray out, str name, ptrdiff_t count, tuple shape) except -1:
    """ValueError unless there is an output exactly if the forward pass had this input."""
    if (out is None) != (count == 0):
        had = "did not have that input" if count == 0 else "had that input"
        raise ValueError(f"{name}: expected {'None' if count == 0 else 'an array'}, as the last "
                         f"forward {had}")
    if out is not None:
        check_shape(out, name, shape)
    return 0


def recurrent_backward(Workspace workspace not None, dhs, params, grads, dh=None, dc=None,
                       dcontext=None, dembedding=None):
    # convert; a missing forward pass is reported before any fault of the arguments
    workspace.check_pass(workspace.passes)
    cdef unsigned long number = workspace.passes
    cdef Cell cell = workspace.cell
    cdef np.ndarray d = as_floats(dhs, "dhs", 3)
    cdef Weights own_weights = as_weights(cell, params, "params", None)
    cdef tuple names = (cell.gradient_names if own_weights.directions == 1 else
                        cell.gradient_names_of_two)
    cdef list outputs = _gradients(grads, names)
    cdef np.ndarray last_dh = as_floats_or_none(dh, "dh", 2)
    cdef np.ndarray last_dc = as_floats_or_none(dc, "dc", 2)
    cdef np.ndarray out_context = None if dcontext is None else as_output(dcontext, "dcontext")
    cdef np.ndarray out_E = None if dembedding is None else as_output(dembedding, "dembedding")

    # check
    workspace.check_pass(number)
    cdef fs_recurrent_backward call
    memset(&call, 0, sizeof(call))
    cdef fs_recurrent_size *size = &call.size
    size[0] = workspace.size
    cdef ptrdiff_t columns = size.directions * size.H
    cdef bint has_c = cell.states > 1
    cdef int count = cell.weight_count
    cdef int i
    if own_weights.directions != size.directions:
        raise ValueError(f"params: expected {count * size.directions} arrays, as in the last "
                         f"forward; got {len(own_weights.arrays)}")
    if shape_of(d) != (size.N, size.T, columns):
        raise wrong_shape(
            "dhs", f"{(size.N, size.T, columns)}, the shape of the last forward's result", d)
    own_weights.check(size.C + size.D, size.H)
    for i in range(len(outputs)):
        if own_weights.arrays[i].ndim == 1:
            outputs[i] = row_of(outputs[i])
        check_shape(outputs[i], names[i], shape_of(own_weights.arrays[i]))
    _check_state(last_dh, "dh", size.N, columns)
    _check_state(last_dc, "dc", size.N, columns)
    if last_dc is not None and not has_c:
        raise ValueError(f"dc: expected None, as a cell {cell.name} has no c; got an array")
    _check_output(out_context, "dcontext", size.C, (size.N, size.C))
    _check_output(out_E, "dembedding", size.V, (size.V, size.D))
    outputs += [out_context, out_E]
    check_no_overlap(outputs, (*names, "dcontext", "dembedding"))
    cdef tuple inputs = (d, last_dh, last_dc, *own_weights.arrays)
    cdef list direct = [None if out is None else writable(out, inputs) for out in outputs]
    cdef np.ndarray dxs = None if size.V > 0 else new_floats((size.N, size.T, size.D))
    cdef np.ndarray dh0 = new_floats((size.N, columns))
    cdef np.ndarray dc0 = new_floats((size.N, columns)) if has_c else None

    # snapshot, with the kernels that computed the cache
    cdef Snapshot now = snapshot()
    workspace.check_pass(number)
    now.kernels = workspace.kernels

    # claim
    workspace.claim()
    try:
        for i in range(count * size.directions):
            call.gradients[i // count].array[fs_cells[cell.number].weights[i % count]] = data_of(
                direct[i])
        call.weights = own_weights.own
        call.dcontext = data_or_null(direct[count * size.directions])
        call.dE = data_or_null(direct[count * size.directions + 1])
        call.dxs = data_or_null(dxs)
        call.dh0 = data_of(dh0)
        call.dc0 = data_or_null(dc0)
        call.dhs = data_of(d)
        call.dh = data_or_null(last_dh)
        call.dc = data_or_null(last_dc)
        call.cache = workspace.cache.data
        call.scratch = workspace.scratch.reserve(
            now.kernels.recurrent_backward_floats(size, &now.context))

        # call
        allow_interrupt(&now)
        with nogil:
            now.kernels.recurrent_backward(&call, &now.context)
        check_interrupt(&now, direct)
    finally:
        workspace.claimed = 0
    for i in range(len(outputs)):
        if outputs[i] is not None:
            finish(outputs[i], direct[i])
    return dxs, dh0, dc0
