# cython: language_level=3, cdivision=True
"""Decoding in one call: greedy search and beam search."""

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
from fastseq._kernels.contract cimport (
    FS_JUMPS,
    fs_decode,
    fs_decoder,
    fs_matrix,
    fs_recurrent_weights,
)
from fastseq._kernels.recurrent cimport check_memory
from fastseq._kernels.runtime cimport Snapshot, allow_interrupt, check_interrupt, snapshot

np.import_array()

Decoded = namedtuple("Decoded", "ids taken log_probabilities h c weights")
Found = namedtuple("Found", "ids taken log_probabilities scores")


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

    def __cinit__(self, Cell cell, object given, str name):
        cdef int i
        cdef tuple layers = as_sequence(given, name)
        if not layers:
            raise ValueError(f"{name}: expected at least one layer, got none")
        self.each = [
            as_weights(cell, layer, f"{name}[{i}]",
                       tuple([f"{name}[{i}].{weight}" for weight in cell.weights]))
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


# ---- a decoder ----


cdef class Decoder:
    """Converted arguments of one decoder, and its results."""

    cdef Cell cell
    cdef np.ndarray h0
    cdef np.ndarray c0
    cdef np.ndarray embedding
    cdef Layers layers
    cdef Affine output
    cdef Affine combine
    cdef Affine jump
    cdef np.ndarray peek
    cdef np.ndarray enc
    cdef np.ndarray keys
    cdef np.ndarray v
    cdef np.ndarray query
    cdef float scale
    cdef str prefix
    cdef np.ndarray h
    cdef np.ndarray c
    cdef np.ndarray weights

    def __cinit__(self, str prefix, *, cell, h0, embedding, layers, output, c0=None, peek=None,
                  hs_enc=None, scale=1.0, W_query=None, keys=None, v=None, combine=None,
                  jump=None):
        self.prefix = prefix
        self.cell = as_cell(cell)
        self.h0 = as_floats(h0, prefix + "h0", 3)
        self.c0 = as_floats_or_none(c0, prefix + "c0", 3)
        self.embedding = as_matrix(embedding, prefix + "embedding")
        self.layers = Layers(self.cell, layers, prefix + "layers")
        output_name = prefix + "output"
        self.output = Affine(as_sequence(output, output_name), output_name)
        self.combine = Affine(combine, prefix + "combine")
        self.jump = Affine(jump, prefix + "jump")
        self.peek = as_floats_or_none(peek, prefix + "peek", 2)
        self.enc = as_floats_or_none(hs_enc, prefix + "hs_enc", 3)
        self.keys = as_floats_or_none(keys, prefix + "keys", 3)
        self.v = as_floats_or_none(v, prefix + "v", 1)
        self.query = None if W_query is None else as_matrix(W_query, prefix + "W_query")
        self.scale = as_number(scale, prefix + "scale")

    cdef int check(self, ptrdiff_t N, ptrdiff_t V, ptrdiff_t steps) except -1:
        """Check the arguments, and allocate the results."""
        cdef ptrdiff_t L = len(self.layers.each), H = self.h0.shape[2]
        cdef ptrdiff_t D = self.embedding.shape[1]
        cdef ptrdiff_t inputs = D if self.peek is None else H + D
        cdef ptrdiff_t features = H if self.peek is None else 2 * H
        cdef str prefix = self.prefix
        if self.enc is not None and self.combine.W is None:
            features += H
        if self.h0.shape[0] != L:
            raise wrong_shape(prefix + "h0", f"({L}, N, H), one for each layer", self.h0)
        check_shape(self.h0, prefix + "h0", (L, N, H))
        check_shape(self.embedding, prefix + "embedding", (V, D))
        if self.c0 is not None:
            if self.cell.states == 1:
                raise ValueError(f"{prefix}c0: expected None, as a cell {self.cell.name} has no c; "
                                 "got an array")
            check_shape(self.c0, prefix + "c0", (L, N, H))
        self.layers.check(inputs, H)
        self.output.check(features, V)
        if self.peek is not None:
            check_shape(self.peek, prefix + "peek", (N, H))
        self.check_attention(N, V, H)
        check_memory(N, L + 2.0 * steps / max(H, 1), inputs, V, H)
        self.h = new_floats((L, N, H))
        if self.cell.states > 1:
            self.c = new_floats((L, N, H))
        if self.enc is not None:
            self.weights = new_floats((N, self.enc.shape[1]))
        return 0

    cdef int check_attention(self, ptrdiff_t N, ptrdiff_t V, ptrdiff_t H) except -1:
        cdef np.ndarray enc = self.enc
        cdef str prefix = self.prefix
        if enc is not None and (enc.shape[0] != N or enc.shape[2] != H or enc.shape[1] == 0):
            raise wrong_shape(prefix + "hs_enc", f"({N}, Te, {H}), Te at least 1", enc)
        for name, given in (("W_query", self.query), ("keys", self.keys),
                            ("combine", self.combine.W), ("jump", self.jump.W)):
            _check_only_with(enc, "hs_enc", prefix + name, given)
        _check_only_with(self.keys, "keys", prefix + "v", self.v)
        if self.jump.W is None:
            _check_only_with(self.v, "v", prefix + "keys", self.keys)
            self.combine.check(2 * H, H)
        else:
            for name, given in (("W_query", self.query), ("keys", self.keys),
                                ("combine", self.combine.W)):
                if given is None:
                    raise ValueError(f"{prefix}{name}: expected an array with jump, got None")
            for name, given in (("v", self.v), ("peek", self.peek)):
                if given is not None:
                    raise ValueError(f"{prefix}{name}: expected None with jump, got an array")
            self.combine.check(H, H)
            self.jump.check(H, FS_JUMPS)
            if <double> enc.shape[1] * max(V, H) > 1e14:
                raise MemoryError(f"{prefix}hs_enc: cannot allocate scores of {enc.shape[1]} "
                                  f"positions and {V} symbols")
        if self.query is not None:
            check_shape(self.query, prefix + "W_query", (H, H))
        if self.keys is not None:
            check_shape(self.keys, prefix + "keys", (N, enc.shape[1], H))
        if self.v is not None:
            check_shape(self.v, prefix + "v", (H,))
        return 0

    cdef fs_decoder for_kernel(self) noexcept:
        cdef fs_decoder own
        memset(&own, 0, sizeof(own))
        own.cell = self.cell.number
        own.layers = len(self.layers.each)
        own.H = self.h0.shape[2]
        own.D = self.embedding.shape[1]
        own.Te = 0 if self.enc is None else self.enc.shape[1]
        own.scale = self.scale
        own.h = data_of(self.h)
        own.c = data_or_null(self.c)
        own.weights = data_or_null(self.weights)
        own.h0 = data_of(self.h0)
        own.c0 = data_or_null(self.c0)
        own.peek = data_or_null(self.peek)
        own.enc = data_or_null(self.enc)
        own.keys = data_or_null(self.keys)
        own.v = data_or_null(self.v)
        own.recurrent = self.layers.own
        own.embedding = matrix_of(self.embedding)
        own.W_query = _matrix_or_null(self.query)
        own.W_combine = _matrix_or_null(self.combine.W)
        own.b_combine = data_or_null(self.combine.b)
        own.W_jump = _matrix_or_null(self.jump.W)
        own.b_jump = data_or_null(self.jump.b)
        own.W = matrix_of(self.output.W)
        own.b = data_of(self.output.b)
        return own


# ---- the call ----


cdef list _as_decoders(object given):
    cdef list own = []
    for i, each in enumerate(as_sequence(given, "decoders")):
        if not isinstance(each, dict):
            raise TypeError(f"decoders[{i}]: expected a dictionary, got {type(each).__name__}")
        own.append(Decoder(f"decoders[{i}].", **each))
    if not own:
        raise ValueError("decoders: expected at least one, got none")
    return own


cdef object _decode(list decoders, object start_id, object steps, object first_id, object end_id,
                    object limits, object encoder_lengths, object scored, object beam=0,
                    object n_best=1, object length_penalty=0.0):
    """The steps of `decode` from converted decoders on: what is found, without states."""
    # convert
    cdef np.ndarray enc_lengths = as_ids_or_none(encoder_lengths, "encoder_lengths", 1)
    cdef np.ndarray own_limits = as_ids_or_none(limits, "limits", 1)
    cdef fs_decode call
    memset(&call, 0, sizeof(call))
    call.steps = as_size(steps, "steps", 0)
    call.start_id = _id(start_id, "start_id")
    call.first_id = _id(first_id, "first_id")
    call.end_id = -1 if end_id is None else _id(end_id, "end_id")
    call.beam = as_size(beam, "beam", 0)
    call.n_best = as_size(n_best, "n_best", 1)
    call.length_penalty = as_number(length_penalty, "length_penalty")
    cdef bint searches = call.beam > 0, has_scores = bool(scored)

    # check
    cdef Decoder first = decoders[0], each
    cdef int i
    cdef ptrdiff_t Te = -1
    call.count = len(decoders)
    call.N = first.h0.shape[1]
    call.V = first.embedding.shape[0]
    _check_id(call.start_id, start_id, "start_id", call.V)
    _check_id(call.first_id, first_id, "first_id", call.V)
    if call.end_id != -1:
        _check_id(call.end_id, end_id, "end_id", call.V)
    for each in decoders:
        each.check(call.N, call.V, call.steps)
        if each.enc is not None:
            if 0 <= Te != each.enc.shape[1]:
                raise wrong_shape(
                    f"{each.prefix}hs_enc", f"({call.N}, {Te}, H), as of another", each.enc)
            Te = each.enc.shape[1]
    if Te == -1:
        _check_only_with(None, "hs_enc", "encoder_lengths", enc_lengths)
    check_lengths(enc_lengths, "encoder_lengths", call.N, 1, Te)
    check_lengths(own_limits, "limits", call.N, 0, call.steps)
    if searches:
        if call.n_best > call.beam:
            raise ValueError(f"n_best: expected at most beam = {call.beam}, got {call.n_best}")
        if not 0 <= call.length_penalty <= 64:
            raise ValueError(f"length_penalty: expected 0 to 64, got {length_penalty}")
        H = max([each.h0.shape[2] for each in decoders])
        terms = (call.steps + Te + 3.0) * (call.V + 9.0 * (H + 64))
        if terms * max(call.N, 1) * <double> call.beam > 1e17:
            raise MemoryError(f"beam: cannot allocate {call.beam} hypotheses of {call.N} rows")
    cdef tuple answers = (call.N,)
    if searches:
        answers += (call.n_best,)
    cdef np.ndarray ids = np.empty((*answers, call.steps), np.int64)
    cdef np.ndarray taken = np.empty(answers, np.int64)
    cdef np.ndarray totals = np.empty(answers, np.float64) if has_scores else None
    cdef np.ndarray scores = np.empty(answers, np.float64) if searches else None
    cdef Buffer parts = Buffer()
    cdef fs_decoder *own = <fs_decoder *> parts.reserve(
        call.count * sizeof(fs_decoder) // sizeof(float))
    cdef Buffer scratch = Buffer()

    # snapshot
    cdef Snapshot now = snapshot()
    for i, each in enumerate(decoders):
        own[i] = each.for_kernel()
    call.decoders = own
    call.ids = <int64_t *> np.PyArray_DATA(ids)
    call.taken = <ptrdiff_t *> np.PyArray_DATA(taken)
    call.log_probabilities = <double *> np.PyArray_DATA(totals) if has_scores else NULL
    call.scores = <double *> np.PyArray_DATA(scores) if searches else NULL
    call.encoder_lengths = lengths_or_null(enc_lengths)
    call.limits = lengths_or_null(own_limits)
    call.scratch = scratch.reserve(now.kernels.decode_floats(&call, &now.context))

    # call
    allow_interrupt(&now)
    with nogil:
        now.kernels.decode(&call, &now.context)
    check_interrupt(&now, [])
    return Found(ids, taken, totals, scores)


def decode(cell, start_id, steps, h0, embedding, layers, output, *, c0=None, first_id=0,
           end_id=None, limits=None, peek=None, hs_enc=None, encoder_lengths=None, scale=1.0,
           W_query=None, keys=None, v=None, combine=None, jump=None, scored=True):
    cdef Decoder own = Decoder(
        "", cell=cell, h0=h0, embedding=embedding, layers=layers, output=output, c0=c0, peek=peek,
        hs_enc=hs_enc, scale=scale, W_query=W_query, keys=keys, v=v, combine=combine, jump=jump)
    found = _decode([own], start_id, steps, first_id, end_id, limits, encoder_lengths, scored)
    return Decoded(*found[:3], own.h, own.c, own.weights)


def decode_together(decoders, start_id, steps, *, first_id=0, end_id=None, limits=None,
                    encoder_lengths=None):
    found = _decode(_as_decoders(decoders), start_id, steps, first_id, end_id, limits,
                    encoder_lengths, True)
    return Decoded(*found[:3], None, None, None)


def beam_search(decoders, start_id, steps, beam, n_best=1, length_penalty=0.0, *, first_id=0,
                end_id=None, limits=None, encoder_lengths=None):
    return _decode(_as_decoders(decoders), start_id, steps, first_id, end_id, limits,
                   encoder_lengths, True, as_size(beam, "beam", 1), n_best,
                   length_penalty)
