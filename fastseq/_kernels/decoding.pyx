# cython: language_level=3, cdivision=True
"""Greedy decoding in one call: the input of a step is the id that the previous step predicted."""

from collections import namedtuple

import numpy as np

cimport numpy as np
from libc.stdint cimport int64_t
from libc.string cimport memset

from fastseq._kernels.arrays cimport (
    Buffer,
    as_floats,
    as_floats_or_none,
    as_ids_or_none,
    as_integer,
    as_matrix,
    as_number,
    as_sequence,
    as_size,
    as_vector,
    check_lengths,
    check_shape,
    data_of,
    data_or_null,
    lengths_or_null,
    matrix_of,
    new_floats,
    wrong_shape,
)
from fastseq._kernels.cells cimport Cell, Weights, as_cell, as_weights
from fastseq._kernels.contract cimport fs_decode, fs_matrix, fs_recurrent_weights
from fastseq._kernels.recurrent cimport check_memory
from fastseq._kernels.runtime cimport Snapshot, snapshot

np.import_array()

Decoded = namedtuple("Decoded", "ids taken log_probabilities h c weights")


# ---- arguments ----


cdef class Affine:
    """Converted W and b of an affine layer, or both None."""

    cdef np.ndarray W
    cdef np.ndarray b
    cdef str name

    def __cinit__(self, object given, str name):
        self.name = name
        if given is None:
            return
        pair = as_sequence(given, name)
        if len(pair) != 2:
            raise ValueError(f"{name}: expected 2 arrays, W and b; got {len(pair)}")
        self.W = as_matrix(pair[0], f"{name}[0]")
        self.b = as_vector(pair[1], f"{name}[1]")

    cdef int check(self, ptrdiff_t inputs, ptrdiff_t outputs) except -1:
        if self.W is not None:
            check_shape(self.W, f"{self.name}[0]", (inputs, outputs))
            check_shape(self.b, f"{self.name}[1]", (outputs,))
        return 0


cdef class Layers:
    """Converted weights of each layer, in an array for the kernel."""

    cdef list each
    cdef Buffer memory
    cdef fs_recurrent_weights *own

    def __cinit__(self, Cell cell, object given):
        cdef int i
        cdef tuple layers = as_sequence(given, "layers")
        if not layers:
            raise ValueError("layers: expected at least one layer, got none")
        self.each = [
            as_weights(cell, layer, f"layers[{i}]",
                       tuple([f"layers[{i}].{name}" for name in cell.weights]))
            for i, layer in enumerate(layers)]
        self.memory = Buffer()
        self.own = <fs_recurrent_weights *> self.memory.reserve(
            len(layers) * sizeof(fs_recurrent_weights) // sizeof(float))
        for i in range(len(layers)):
            self.own[i] = (<Weights> self.each[i]).own[0]

    cdef int check(self, ptrdiff_t inputs, ptrdiff_t H) except -1:
        for i, layer in enumerate(self.each):
            (<Weights> layer).check(H if i else inputs, H)
        return 0


cdef int64_t _id(object given, str name) except? -1:
    """An integer, or -2 for one that cannot be an id; `_check_id` reports it."""
    value = as_integer(given, name)
    return value if 0 <= value <= 1 << 62 else -2


cdef int _check_id(int64_t own, object given, str name, ptrdiff_t V) except -1:
    if not 0 <= own < V:
        raise IndexError(
            f"{name}: expected an id from 0 to {V - 1} (vocabulary size {V}), got {given}")
    return 0


cdef int _check_only_with(object needed, str needed_name, str name, object given) except -1:
    if given is not None and needed is None:
        raise ValueError(f"{name}: expected None without {needed_name}, got an array")
    return 0


cdef fs_matrix _matrix_or_null(np.ndarray x) noexcept:
    cdef fs_matrix none
    memset(&none, 0, sizeof(none))
    return none if x is None else matrix_of(x)


# ---- the call ----


def decode(cell, start_id, steps, h0, embedding, layers, output, *, c0=None, first_id=0,
           end_id=None, limits=None, peek=None, hs_enc=None, encoder_lengths=None, scale=1.0,
           W_query=None, keys=None, v=None, combine=None, scored=True):
    # convert
    cdef Cell own_cell = as_cell(cell)
    cdef np.ndarray first_h = as_floats(h0, "h0", 3)
    cdef np.ndarray first_c = as_floats_or_none(c0, "c0", 3)
    cdef np.ndarray rows = as_matrix(embedding, "embedding")
    cdef Layers own_layers = Layers(own_cell, layers)
    cdef Affine own_output = Affine(as_sequence(output, "output"), "output")
    cdef Affine own_combine = Affine(combine, "combine")
    cdef np.ndarray peeked = as_floats_or_none(peek, "peek", 2)
    cdef np.ndarray enc = as_floats_or_none(hs_enc, "hs_enc", 3)
    cdef np.ndarray own_keys = as_floats_or_none(keys, "keys", 3)
    cdef np.ndarray vs = as_floats_or_none(v, "v", 1)
    cdef np.ndarray query = None if W_query is None else as_matrix(W_query, "W_query")
    cdef np.ndarray enc_lengths = as_ids_or_none(encoder_lengths, "encoder_lengths", 1)
    cdef np.ndarray own_limits = as_ids_or_none(limits, "limits", 1)
    cdef fs_decode call
    memset(&call, 0, sizeof(call))
    call.steps = as_size(steps, "steps", 0)
    call.scale = as_number(scale, "scale")
    call.start_id = _id(start_id, "start_id")
    call.first_id = _id(first_id, "first_id")
    call.end_id = -1 if end_id is None else _id(end_id, "end_id")
    cdef bint has_scores = bool(scored)

    # check
    call.cell = own_cell.number
    call.layers = len(own_layers.each)
    call.N = first_h.shape[1]
    call.H = first_h.shape[2]
    call.V = rows.shape[0]
    call.D = rows.shape[1]
    call.Te = 0 if enc is None else enc.shape[1]
    cdef ptrdiff_t inputs = call.D if peeked is None else call.H + call.D
    cdef ptrdiff_t features = call.H if peeked is None else 2 * call.H
    if enc is not None and own_combine.W is None:
        features += call.H
    cdef bint has_c = own_cell.states > 1
    if first_h.shape[0] != call.layers:
        raise wrong_shape("h0", f"({call.layers}, N, H), one for each layer", first_h)
    if first_c is not None:
        if not has_c:
            raise ValueError(f"c0: expected None, as a cell {own_cell.name} has no c; got an array")
        check_shape(first_c, "c0", (call.layers, call.N, call.H))
    _check_id(call.start_id, start_id, "start_id", call.V)
    _check_id(call.first_id, first_id, "first_id", call.V)
    if call.end_id != -1:
        _check_id(call.end_id, end_id, "end_id", call.V)
    own_layers.check(inputs, call.H)
    own_output.check(features, call.V)
    if peeked is not None:
        check_shape(peeked, "peek", (call.N, call.H))
    if enc is not None and (enc.shape[0] != call.N or enc.shape[2] != call.H or call.Te == 0):
        raise wrong_shape("hs_enc", f"({call.N}, Te, {call.H}), Te at least 1", enc)
    for name, given in (("W_query", query), ("keys", own_keys), ("combine", own_combine.W),
                        ("encoder_lengths", enc_lengths)):
        _check_only_with(enc, "hs_enc", name, given)
    _check_only_with(own_keys, "keys", "v", vs)
    _check_only_with(vs, "v", "keys", own_keys)
    own_combine.check(2 * call.H, call.H)
    if query is not None:
        check_shape(query, "W_query", (call.H, call.H))
    if own_keys is not None:
        check_shape(own_keys, "keys", (call.N, call.Te, call.H))
        check_shape(vs, "v", (call.H,))
    check_lengths(enc_lengths, "encoder_lengths", call.N, 1, call.Te)
    check_lengths(own_limits, "limits", call.N, 0, call.steps)
    check_memory(call.N, call.layers + 2.0 * call.steps / max(call.H, 1), inputs, call.V, call.H)
    cdef np.ndarray ids = np.empty((call.N, call.steps), np.int64)
    cdef np.ndarray taken = np.empty(call.N, np.int64)
    cdef np.ndarray totals = np.empty(call.N, np.float64) if has_scores else None
    cdef np.ndarray h = new_floats((call.layers, call.N, call.H))
    cdef np.ndarray c = new_floats((call.layers, call.N, call.H)) if has_c else None
    cdef np.ndarray attention = None if enc is None else new_floats((call.N, call.Te))
    cdef Buffer scratch = Buffer()

    # snapshot
    cdef Snapshot now = snapshot()
    call.ids = <int64_t *> np.PyArray_DATA(ids)
    call.taken = <ptrdiff_t *> np.PyArray_DATA(taken)
    call.log_probabilities = <double *> np.PyArray_DATA(totals) if has_scores else NULL
    call.h = data_of(h)
    call.c = data_or_null(c)
    call.weights = data_or_null(attention)
    call.h0 = data_of(first_h)
    call.c0 = data_or_null(first_c)
    call.peek = data_or_null(peeked)
    call.enc = data_or_null(enc)
    call.keys = data_or_null(own_keys)
    call.v = data_or_null(vs)
    call.encoder_lengths = lengths_or_null(enc_lengths)
    call.limits = lengths_or_null(own_limits)
    call.recurrent = own_layers.own
    call.embedding = matrix_of(rows)
    call.W_query = _matrix_or_null(query)
    call.W_combine = _matrix_or_null(own_combine.W)
    call.b_combine = data_or_null(own_combine.b)
    call.W = matrix_of(own_output.W)
    call.b = data_of(own_output.b)
    call.scratch = scratch.reserve(now.kernels.decode_floats(&call, &now.context))

    # call
    with nogil:
        now.kernels.decode(&call, &now.context)
    return Decoded(ids, taken, totals, h, c, attention)
