# The C side as Cython sees it: csrc/fastseq.h, declaration by declaration.

from libc.stdint cimport int64_t


cdef extern from "fastseq.h" nogil:
    ctypedef struct fs_matrix:
        const float *data
        ptrdiff_t row
        ptrdiff_t column

    ctypedef struct fs_sequence_size:
        ptrdiff_t N, T, D, H

    ctypedef struct fs_attention_size:
        ptrdiff_t N, Te, Td, H

    ctypedef struct fs_kernels:
        const char *name
        int lanes

        void (*exp)(float *, const float *, ptrdiff_t) noexcept nogil
        void (*tanh)(float *, const float *, ptrdiff_t) noexcept nogil
        void (*sigmoid)(float *, const float *, ptrdiff_t) noexcept nogil

        void (*softmax)(float *, const float *, ptrdiff_t, ptrdiff_t, int) noexcept nogil
        void (*softmax_loss_forward)(
            float *, double *, const float *, const int64_t *, ptrdiff_t, ptrdiff_t,
            int) noexcept nogil
        void (*softmax_loss_backward)(
            float *, const float *, const int64_t *, float, ptrdiff_t, ptrdiff_t,
            int) noexcept nogil

        void (*embedding_forward)(
            float *, fs_matrix, const int64_t *, ptrdiff_t, ptrdiff_t, int) noexcept nogil
        void (*embedding_backward)(
            float *, const float *, const int64_t *, ptrdiff_t, ptrdiff_t, ptrdiff_t,
            int) noexcept nogil

        void (*affine_forward)(
            float *, const float *, fs_matrix, const float *,
            ptrdiff_t, ptrdiff_t, ptrdiff_t, int) noexcept nogil
        void (*affine_backward)(
            float *, float *, float *, const float *, const float *, fs_matrix,
            ptrdiff_t, ptrdiff_t, ptrdiff_t, int) noexcept nogil

        ptrdiff_t (*lstm_cache_floats)(fs_sequence_size) noexcept nogil
        ptrdiff_t (*lstm_forward_floats)(fs_sequence_size) noexcept nogil
        void (*lstm_forward)(
            float *, float *, float *, float *, float *,
            const float *, fs_matrix, fs_matrix, const float *, const float *, const float *,
            fs_sequence_size, int) noexcept nogil
        ptrdiff_t (*lstm_backward_floats)(fs_sequence_size) noexcept nogil
        void (*lstm_backward)(
            float *, float *, float *, float *, float *, float *, float *,
            const float *, const float *, const float *, fs_matrix, fs_matrix, fs_sequence_size,
            int) noexcept nogil

        ptrdiff_t (*rnn_cache_floats)(fs_sequence_size) noexcept nogil
        ptrdiff_t (*rnn_forward_floats)(fs_sequence_size) noexcept nogil
        void (*rnn_forward)(
            float *, float *, float *, float *, const float *, fs_matrix, fs_matrix,
            const float *, const float *, fs_sequence_size, int) noexcept nogil
        ptrdiff_t (*rnn_backward_floats)(fs_sequence_size) noexcept nogil
        void (*rnn_backward)(
            float *, float *, float *, float *, float *, float *, const float *, const float *,
            fs_matrix, fs_matrix, fs_sequence_size, int) noexcept nogil

        ptrdiff_t (*gru_cache_floats)(fs_sequence_size) noexcept nogil
        ptrdiff_t (*gru_forward_floats)(fs_sequence_size) noexcept nogil
        void (*gru_forward)(
            float *, float *, float *, float *, const float *, fs_matrix, fs_matrix,
            const float *, const float *, fs_sequence_size, int) noexcept nogil
        ptrdiff_t (*gru_backward_floats)(fs_sequence_size) noexcept nogil
        void (*gru_backward)(
            float *, float *, float *, float *, float *, float *, const float *, const float *,
            fs_matrix, fs_matrix, fs_sequence_size, int) noexcept nogil

        void (*attention_forward)(
            float *, float *, const float *, const float *, fs_attention_size, int) noexcept nogil
        void (*attention_weights_forward)(
            float *, const float *, const float *, fs_attention_size, int) noexcept nogil
        void (*weighted_sum_forward)(
            float *, const float *, const float *, fs_attention_size, int) noexcept nogil
        void (*attention_backward)(
            float *, float *, float *, const float *, const float *, const float *, const float *,
            fs_attention_size, int) noexcept nogil
        void (*attention_weights_backward)(
            float *, float *, float *, const float *, const float *, const float *, const float *,
            fs_attention_size, int) noexcept nogil
        void (*weighted_sum_backward)(
            float *, float *, const float *, const float *, const float *, fs_attention_size,
            int) noexcept nogil

        void (*sgd_step)(float *, const float *, float, ptrdiff_t, int) noexcept nogil
        void (*adam_step)(
            float *, float *, float *, const float *, float, float, float, float, ptrdiff_t,
            int) noexcept nogil
        void (*sum_squares)(double *, const float *, ptrdiff_t, int) noexcept nogil
        void (*scale)(float *, float, ptrdiff_t, int) noexcept nogil

    const int FS_SUM_RUN
    const fs_kernels *fs_table(int index)
