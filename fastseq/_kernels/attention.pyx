# cython: language_level=3, cdivision=True
"""Attention over the states of an encoder: dot products, additive scores, and their gradients."""

cimport numpy as np

from fastseq._kernels.arrays cimport (
    as_floats,
    as_ids_or_none,
    as_number,
    as_output,
    check_lengths,
    check_shape,
    data_of,
    finish,
    lengths_or_null,
    new_floats,
    writable,
    wrong_shape,
)
from fastseq._kernels.contract cimport fs_attention_size
from fastseq._kernels.runtime cimport Snapshot, allow_interrupt, check_interrupt, snapshot

np.import_array()


# ---- sizes ----


cdef fs_attention_size _size_of(np.ndarray enc, ptrdiff_t Td, np.ndarray encoder_lengths,
                                np.ndarray decoder_lengths) except *:
    """The size of a call; checks the lengths."""
    cdef fs_attention_size size
    size.N = enc.shape[0]
    size.Te = enc.shape[1]
    size.Td = Td
    size.H = enc.shape[2]
    check_lengths(encoder_lengths, "encoder_lengths", size.N, 1, size.Te)
    check_lengths(decoder_lengths, "decoder_lengths", size.N, 0, size.Td)
    size.encoder_lengths = lengths_or_null(encoder_lengths)
    size.decoder_lengths = lengths_or_null(decoder_lengths)
    return size


cdef int _check_states(np.ndarray enc, np.ndarray dec) except -1:
    if dec.shape[0] != enc.shape[0] or dec.shape[2] != enc.shape[2]:
        raise wrong_shape(
            "hs_dec", f"({enc.shape[0]}, Td, {enc.shape[2]}), with N and H of hs_enc", dec)
    if enc.shape[1] == 0:
        raise wrong_shape("hs_enc", "(N, Te, H) with at least one time step", enc)
    return 0


cdef int _check_weights(np.ndarray enc, np.ndarray weights) except -1:
    """The shape of the weights of a weighted sum, with any number of decoder steps."""
    if weights.shape[0] != enc.shape[0] or weights.shape[2] != enc.shape[1]:
        raise wrong_shape(
            "weights", f"({enc.shape[0]}, Td, {enc.shape[1]}), with N and Te of hs_enc", weights)
    return 0


# ---- dot products ----


def attention_forward(hs_enc, hs_dec, scale=1.0, encoder_lengths=None, decoder_lengths=None):
    # convert
    cdef np.ndarray enc = as_floats(hs_enc, "hs_enc", 3)
    cdef np.ndarray dec = as_floats(hs_dec, "hs_dec", 3)
    cdef float factor = as_number(scale, "scale")
    cdef np.ndarray enc_lengths = as_ids_or_none(encoder_lengths, "encoder_lengths", 1)
    cdef np.ndarray dec_lengths = as_ids_or_none(decoder_lengths, "decoder_lengths", 1)
    # check
    _check_states(enc, dec)
    cdef fs_attention_size size = _size_of(enc, dec.shape[1], enc_lengths, dec_lengths)
    cdef np.ndarray out = new_floats((size.N, size.Td, size.H))
    cdef np.ndarray weights = new_floats((size.N, size.Td, size.Te))
    # snapshot
    cdef Snapshot now = snapshot()
    # call
    allow_interrupt(&now)
    with nogil:
        now.kernels.attention_forward(
            data_of(out), data_of(weights), data_of(enc), data_of(dec), factor, size,
            &now.context)
    check_interrupt(&now, [])
    return out, weights


def attention_backward(dout, hs_enc, hs_dec, weights, scale=1.0, encoder_lengths=None,
                       decoder_lengths=None):
    # convert
    cdef np.ndarray enc = as_floats(hs_enc, "hs_enc", 3)
    cdef np.ndarray dec = as_floats(hs_dec, "hs_dec", 3)
    cdef np.ndarray d = as_floats(dout, "dout", 3)
    cdef np.ndarray w = as_floats(weights, "weights", 3)
    cdef float factor = as_number(scale, "scale")
    cdef np.ndarray enc_lengths = as_ids_or_none(encoder_lengths, "encoder_lengths", 1)
    cdef np.ndarray dec_lengths = as_ids_or_none(decoder_lengths, "decoder_lengths", 1)
    # check
    _check_states(enc, dec)
    cdef fs_attention_size size = _size_of(enc, dec.shape[1], enc_lengths, dec_lengths)
    check_shape(d, "dout", (size.N, size.Td, size.H))
    check_shape(w, "weights", (size.N, size.Td, size.Te))
    cdef np.ndarray denc = new_floats((size.N, size.Te, size.H))
    cdef np.ndarray ddec = new_floats((size.N, size.Td, size.H))
    # snapshot
    cdef Snapshot now = snapshot()
    cdef np.ndarray scratch = new_floats(
        (now.kernels.attention_backward_floats(size, &now.context),))
    # call
    allow_interrupt(&now)
    with nogil:
        now.kernels.attention_backward(
            data_of(denc), data_of(ddec), data_of(scratch), data_of(d), data_of(enc),
            data_of(dec), data_of(w), factor, size, &now.context)
    check_interrupt(&now, [])
    return denc, ddec


def attention_weight_forward(hs_enc, hs_dec, encoder_lengths=None, decoder_lengths=None):
    # convert
    cdef np.ndarray enc = as_floats(hs_enc, "hs_enc", 3)
    cdef np.ndarray dec = as_floats(hs_dec, "hs_dec", 3)
    cdef np.ndarray enc_lengths = as_ids_or_none(encoder_lengths, "encoder_lengths", 1)
    cdef np.ndarray dec_lengths = as_ids_or_none(decoder_lengths, "decoder_lengths", 1)
    # check
    _check_states(enc, dec)
    cdef fs_attention_size size = _size_of(enc, dec.shape[1], enc_lengths, dec_lengths)
    cdef np.ndarray weights = new_floats((size.N, size.Td, size.Te))
    # snapshot
    cdef Snapshot now = snapshot()
    # call
    with nogil:
        now.kernels.attention_weights_forward(
            data_of(weights), data_of(enc), data_of(dec), 1.0, size, &now.context)
    return weights


def attention_weight_backward(dweights, hs_enc, hs_dec, weights, encoder_lengths=None,
                              decoder_lengths=None):
    # convert
    cdef np.ndarray enc = as_floats(hs_enc, "hs_enc", 3)
    cdef np.ndarray dec = as_floats(hs_dec, "hs_dec", 3)
    cdef np.ndarray d = as_floats(dweights, "dweights", 3)
    cdef np.ndarray w = as_floats(weights, "weights", 3)
    cdef np.ndarray enc_lengths = as_ids_or_none(encoder_lengths, "encoder_lengths", 1)
    cdef np.ndarray dec_lengths = as_ids_or_none(decoder_lengths, "decoder_lengths", 1)
    # check
    _check_states(enc, dec)
    cdef fs_attention_size size = _size_of(enc, dec.shape[1], enc_lengths, dec_lengths)
    check_shape(d, "dweights", (size.N, size.Td, size.Te))
    check_shape(w, "weights", (size.N, size.Td, size.Te))
    cdef np.ndarray denc = new_floats((size.N, size.Te, size.H))
    cdef np.ndarray ddec = new_floats((size.N, size.Td, size.H))
    # snapshot
    cdef Snapshot now = snapshot()
    cdef np.ndarray scratch = new_floats(
        (now.kernels.attention_backward_floats(size, &now.context),))
    # call
    with nogil:
        now.kernels.attention_weights_backward(
            data_of(denc), data_of(ddec), data_of(scratch), data_of(d), data_of(enc),
            data_of(dec), data_of(w), 1.0, size, &now.context)
    return denc, ddec


# ---- the weighted sum ----


def weight_sum_forward(hs_enc, weights, encoder_lengths=None, decoder_lengths=None):
    # convert
    cdef np.ndarray enc = as_floats(hs_enc, "hs_enc", 3)
    cdef np.ndarray w = as_floats(weights, "weights", 3)
    cdef np.ndarray enc_lengths = as_ids_or_none(encoder_lengths, "encoder_lengths", 1)
    cdef np.ndarray dec_lengths = as_ids_or_none(decoder_lengths, "decoder_lengths", 1)
    # check
    _check_weights(enc, w)
    cdef fs_attention_size size = _size_of(enc, w.shape[1], enc_lengths, dec_lengths)
    cdef np.ndarray out = new_floats((size.N, size.Td, size.H))
    # snapshot
    cdef Snapshot now = snapshot()
    # call
    with nogil:
        now.kernels.weighted_sum_forward(
            data_of(out), data_of(enc), data_of(w), size, &now.context)
    return out


def weight_sum_backward(dout, hs_enc, weights, encoder_lengths=None, decoder_lengths=None):
    # convert
    cdef np.ndarray enc = as_floats(hs_enc, "hs_enc", 3)
    cdef np.ndarray w = as_floats(weights, "weights", 3)
    cdef np.ndarray d = as_floats(dout, "dout", 3)
    cdef np.ndarray enc_lengths = as_ids_or_none(encoder_lengths, "encoder_lengths", 1)
    cdef np.ndarray dec_lengths = as_ids_or_none(decoder_lengths, "decoder_lengths", 1)
    # check
    _check_weights(enc, w)
    cdef fs_attention_size size = _size_of(enc, w.shape[1], enc_lengths, dec_lengths)
    check_shape(d, "dout", (size.N, size.Td, size.H))
    cdef np.ndarray denc = new_floats((size.N, size.Te, size.H))
    cdef np.ndarray dweights = new_floats((size.N, size.Td, size.Te))
    # snapshot
    cdef Snapshot now = snapshot()
    # call
    with nogil:
        now.kernels.weighted_sum_backward(
            data_of(denc), data_of(dweights), data_of(d), data_of(enc), data_of(w), size,
            &now.context)
    return denc, dweights


# ---- additive scores ----


def additive_weight_forward(hs_enc, hs_dec, v, encoder_lengths=None, decoder_lengths=None):
    # convert
    cdef np.ndarray enc = as_floats(hs_enc, "hs_enc", 3)
    cdef np.ndarray dec = as_floats(hs_dec, "hs_dec", 3)
    cdef np.ndarray vs = as_floats(v, "v", 1)
    cdef np.ndarray enc_lengths = as_ids_or_none(encoder_lengths, "encoder_lengths", 1)
    cdef np.ndarray dec_lengths = as_ids_or_none(decoder_lengths, "decoder_lengths", 1)
    # check
    _check_states(enc, dec)
    cdef fs_attention_size size = _size_of(enc, dec.shape[1], enc_lengths, dec_lengths)
    check_shape(vs, "v", (size.H,))
    cdef np.ndarray weights = new_floats((size.N, size.Td, size.Te))
    # snapshot
    cdef Snapshot now = snapshot()
    # call
    with nogil:
        now.kernels.additive_weights_forward(
            data_of(weights), data_of(enc), data_of(dec), data_of(vs), size, &now.context)
    return weights


def additive_weight_backward(dweights, hs_enc, hs_dec, v, weights, dv, encoder_lengths=None,
                             decoder_lengths=None):
    # convert
    cdef np.ndarray enc = as_floats(hs_enc, "hs_enc", 3)
    cdef np.ndarray dec = as_floats(hs_dec, "hs_dec", 3)
    cdef np.ndarray vs = as_floats(v, "v", 1)
    cdef np.ndarray d = as_floats(dweights, "dweights", 3)
    cdef np.ndarray w = as_floats(weights, "weights", 3)
    cdef np.ndarray out = as_output(dv, "dv")
    cdef np.ndarray enc_lengths = as_ids_or_none(encoder_lengths, "encoder_lengths", 1)
    cdef np.ndarray dec_lengths = as_ids_or_none(decoder_lengths, "decoder_lengths", 1)
    # check
    _check_states(enc, dec)
    cdef fs_attention_size size = _size_of(enc, dec.shape[1], enc_lengths, dec_lengths)
    check_shape(vs, "v", (size.H,))
    check_shape(d, "dweights", (size.N, size.Td, size.Te))
    check_shape(w, "weights", (size.N, size.Td, size.Te))
    check_shape(out, "dv", (size.H,))
    cdef np.ndarray direct = writable(out, (enc, dec, vs, d, w))
    cdef np.ndarray denc = new_floats((size.N, size.Te, size.H))
    cdef np.ndarray ddec = new_floats((size.N, size.Td, size.H))
    # snapshot
    cdef Snapshot now = snapshot()
    cdef np.ndarray scratch = new_floats(
        (now.kernels.additive_backward_floats(size, &now.context),))
    # call
    with nogil:
        now.kernels.additive_weights_backward(
            data_of(denc), data_of(ddec), data_of(direct), data_of(scratch), data_of(d),
            data_of(enc), data_of(dec), data_of(vs), data_of(w), size, &now.context)
    finish(out, direct)
    return denc, ddec
