# cython: language_level=3, cdivision=True
"""Hard attention: features of positions, and the sum over all paths of positions."""

cimport numpy as np
from libc.string cimport memset

from fastseq._kernels.arrays cimport (
    Buffer,
    as_floats,
    as_floats_or_none,
    as_ids,
    as_ids_or_none,
    check_ids,
    check_lengths,
    check_shape,
    data_of,
    data_or_null,
    ids_of,
    lengths_or_null,
    new_floats,
    wrong_shape,
)
from fastseq._kernels.contract cimport (
    FS_JUMPS,
    FS_LARGEST_JUMP,
    FS_SMALLEST_JUMP,
    fs_attention_size,
    fs_hard_attention,
)
from fastseq._kernels.runtime cimport Snapshot, snapshot

np.import_array()

JUMPS = (FS_SMALLEST_JUMP, FS_LARGEST_JUMP)


# ---- sizes ----


cdef fs_attention_size _size_of(ptrdiff_t N, ptrdiff_t Te, ptrdiff_t Td, ptrdiff_t H,
                                np.ndarray encoder_lengths, np.ndarray decoder_lengths) except *:
    """The size of a call; checks the lengths."""
    cdef fs_attention_size size
    size.N = N
    size.Te = Te
    size.Td = Td
    size.H = H
    check_lengths(encoder_lengths, "encoder_lengths", N, 1, Te)
    check_lengths(decoder_lengths, "decoder_lengths", N, 0, Td)
    size.encoder_lengths = lengths_or_null(encoder_lengths)
    size.decoder_lengths = lengths_or_null(decoder_lengths)
    return size


cdef fs_hard_attention _call_of(np.ndarray scores, np.ndarray content, np.ndarray jump_scores,
                                np.ndarray ids, np.ndarray encoder_lengths,
                                np.ndarray decoder_lengths) except *:
    """A call with these inputs; checks them."""
    cdef fs_hard_attention call
    memset(&call, 0, sizeof(call))
    if scores.shape[2] == 0 or scores.shape[3] == 0:
        raise wrong_shape("scores", "(N, Td, Te, V), Te and V at least 1", scores)
    cdef ptrdiff_t N = scores.shape[0], Td = scores.shape[1], Te = scores.shape[2]
    call.V = scores.shape[3]
    check_shape(content, "content", (N, Td, Te))
    check_shape(jump_scores, "jump_scores", (N, Td, FS_JUMPS))
    check_shape(ids, "ids", (N, Td))
    check_ids(ids, "ids", call.V)
    call.size = _size_of(N, Te, Td, 0, encoder_lengths, decoder_lengths)
    call.scores = data_of(scores)
    call.content = data_of(content)
    call.jump_scores = data_of(jump_scores)
    call.ids = ids_of(ids)
    return call


# ---- features ----


def position_features_forward(hs_enc, hs_dec, mask=None, encoder_lengths=None,
                              decoder_lengths=None):
    # convert
    cdef np.ndarray enc = as_floats(hs_enc, "hs_enc", 3)
    cdef np.ndarray dec = as_floats(hs_dec, "hs_dec", 3)
    cdef np.ndarray masked = as_floats_or_none(mask, "mask", 3)
    cdef np.ndarray enc_lengths = as_ids_or_none(encoder_lengths, "encoder_lengths", 1)
    cdef np.ndarray dec_lengths = as_ids_or_none(decoder_lengths, "decoder_lengths", 1)
    # check
    if dec.shape[0] != enc.shape[0] or dec.shape[2] != enc.shape[2]:
        raise wrong_shape(
            "hs_dec", f"({enc.shape[0]}, Td, {enc.shape[2]}), with N and H of hs_enc", dec)
    cdef fs_attention_size size = _size_of(
        enc.shape[0], enc.shape[1], dec.shape[1], enc.shape[2], enc_lengths, dec_lengths)
    if masked is not None:
        check_shape(masked, "mask", (size.N, size.Td, size.H))
    cdef np.ndarray a = new_floats((size.N, size.Td, size.Te, size.H))
    # snapshot
    cdef Snapshot now = snapshot()
    cdef const float *factors = data_or_null(masked)
    # call
    with nogil:
        now.kernels.position_features_forward(
            data_of(a), data_of(enc), data_of(dec), factors, size, &now.context)
    return a


def position_features_backward(da, features, mask=None, encoder_lengths=None,
                               decoder_lengths=None):
    # convert
    cdef np.ndarray d = as_floats(da, "da", 4)
    cdef np.ndarray a = as_floats(features, "features", 4)
    cdef np.ndarray masked = as_floats_or_none(mask, "mask", 3)
    cdef np.ndarray enc_lengths = as_ids_or_none(encoder_lengths, "encoder_lengths", 1)
    cdef np.ndarray dec_lengths = as_ids_or_none(decoder_lengths, "decoder_lengths", 1)
    # check
    cdef fs_attention_size size = _size_of(
        a.shape[0], a.shape[2], a.shape[1], a.shape[3], enc_lengths, dec_lengths)
    check_shape(d, "da", (size.N, size.Td, size.Te, size.H))
    if masked is not None:
        check_shape(masked, "mask", (size.N, size.Td, size.H))
    cdef np.ndarray denc = new_floats((size.N, size.Te, size.H))
    cdef np.ndarray ddec = new_floats((size.N, size.Td, size.H))
    # snapshot
    cdef Snapshot now = snapshot()
    cdef const float *factors = data_or_null(masked)
    # call
    with nogil:
        now.kernels.position_features_backward(
            data_of(denc), data_of(ddec), data_of(d), data_of(a), factors, size,
            &now.context)
    return denc, ddec


# ---- the chain ----


def hard_attention_forward(scores, content, jump_scores, ids, encoder_lengths=None,
                           decoder_lengths=None, priors_before=None, scores_before=None):
    # convert
    cdef np.ndarray own_scores = as_floats(scores, "scores", 4)
    cdef np.ndarray own_content = as_floats(content, "content", 3)
    cdef np.ndarray own_jumps = as_floats(jump_scores, "jump_scores", 3)
    cdef np.ndarray read = as_ids(ids, "ids", 2)
    cdef np.ndarray enc_lengths = as_ids_or_none(encoder_lengths, "encoder_lengths", 1)
    cdef np.ndarray dec_lengths = as_ids_or_none(decoder_lengths, "decoder_lengths", 1)
    cdef np.ndarray before = as_floats_or_none(priors_before, "priors_before", 2)
    cdef np.ndarray before_scores = as_floats_or_none(scores_before, "scores_before", 3)
    # check
    cdef fs_hard_attention call = _call_of(
        own_scores, own_content, own_jumps, read, enc_lengths, dec_lengths)
    cdef ptrdiff_t N = call.size.N, Td = call.size.Td, Te = call.size.Te
    if (before is None) != (before_scores is None):
        missing = "priors_before" if before is None else "scores_before"
        raise ValueError(f"{missing}: expected an array, as priors_before and scores_before come "
                         "together; got None")
    if before is not None:
        check_shape(before, "priors_before", (N, Te))
        check_shape(before_scores, "scores_before", (N, Te, call.V))
    cdef np.ndarray log_p = new_floats((N, Td, call.V))
    cdef np.ndarray priors = new_floats((N, Td, Te))
    cdef Buffer scratch = Buffer()
    call.log_p = data_of(log_p)
    call.priors = data_of(priors)
    call.priors_before = data_or_null(before)
    call.scores_before = data_or_null(before_scores)
    # snapshot
    cdef Snapshot now = snapshot()
    call.scratch = scratch.reserve(now.kernels.hard_attention_floats(&call, &now.context))
    # call
    with nogil:
        now.kernels.hard_attention_forward(&call, &now.context)
    return log_p, priors


def hard_attention_backward(dlog_p, scores, content, jump_scores, ids, encoder_lengths=None,
                            decoder_lengths=None):
    # convert
    cdef np.ndarray d = as_floats(dlog_p, "dlog_p", 3)
    cdef np.ndarray own_scores = as_floats(scores, "scores", 4)
    cdef np.ndarray own_content = as_floats(content, "content", 3)
    cdef np.ndarray own_jumps = as_floats(jump_scores, "jump_scores", 3)
    cdef np.ndarray read = as_ids(ids, "ids", 2)
    cdef np.ndarray enc_lengths = as_ids_or_none(encoder_lengths, "encoder_lengths", 1)
    cdef np.ndarray dec_lengths = as_ids_or_none(decoder_lengths, "decoder_lengths", 1)
    # check
    cdef fs_hard_attention call = _call_of(
        own_scores, own_content, own_jumps, read, enc_lengths, dec_lengths)
    cdef ptrdiff_t N = call.size.N, Td = call.size.Td, Te = call.size.Te
    check_shape(d, "dlog_p", (N, Td, call.V))
    cdef np.ndarray dscores = new_floats((N, Td, Te, call.V))
    cdef np.ndarray dcontent = new_floats((N, Td, Te))
    cdef np.ndarray djumps = new_floats((N, Td, FS_JUMPS))
    cdef Buffer scratch = Buffer()
    call.dlog_p = data_of(d)
    call.dscores = data_of(dscores)
    call.dcontent = data_of(dcontent)
    call.djump_scores = data_of(djumps)
    # snapshot
    cdef Snapshot now = snapshot()
    call.scratch = scratch.reserve(now.kernels.hard_attention_floats(&call, &now.context))
    # call
    with nogil:
        now.kernels.hard_attention_backward(&call, &now.context)
    return dscores, dcontent, djumps
