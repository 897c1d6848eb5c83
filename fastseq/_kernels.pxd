# The C side as Cython sees it: csrc/fastseq.h, declaration by declaration.

from libc.stdint cimport int64_t


cdef extern from "fastseq.h" nogil:
    ctypedef struct fs_matrix:
        const float *data
        ptrdiff_t row
        ptrdiff_t column

    ctypedef struct fs_lengths:
        const ptrdiff_t *order
        const ptrdiff_t *steps
        const ptrdiff_t *starts

    ctypedef enum fs_cell:
        FS_RNN
        FS_GRU
        FS_LSTM

    ctypedef struct fs_recurrent_size:
        fs_cell cell
        int directions
        int from_zeros
        int inference
        ptrdiff_t N, T, H
        ptrdiff_t C, D
        ptrdiff_t V
        fs_lengths lengths

    ctypedef struct fs_recurrent_weights:
        fs_matrix Wx, Wh
        const float *b

    ctypedef struct fs_recurrent_gradients:
        float *dWx
        float *dWh
        float *db

    ctypedef struct fs_recurrent_forward:
        float *hs
        float *h
        float *c
        float *cache
        float *scratch
        const float *xs
        const float *context
        const float *h0
        const float *c0
        const int64_t *ids
        fs_matrix E
        fs_recurrent_weights weights[2]
        fs_recurrent_size size

    ctypedef struct fs_recurrent_backward:
        float *dxs
        float *dE
        float *dcontext
        float *dh0
        float *dc0
        float *scratch
        fs_recurrent_gradients gradients[2]
        const float *dhs
        const float *dh
        const float *dc
        const float *cache
        fs_recurrent_weights weights[2]
        fs_recurrent_size size

    ctypedef struct fs_attention_size:
        ptrdiff_t N, Te, Td, H
        const ptrdiff_t *encoder_lengths
        const ptrdiff_t *decoder_lengths

    ctypedef struct fs_greedy_decode:
        int64_t *ids
        float *h
        float *c
        float *weights
        float *scratch
        const float *h0
        const float *peek
        const float *enc
        fs_recurrent_weights lstm
        fs_matrix embedding, W
        const float *b
        int64_t start_id
        ptrdiff_t N, steps, Te, V, D, H

    ctypedef struct fs_decode_row:
        int64_t *ids
        ptrdiff_t *taken
        double *log_probability
        float *scratch
        const float *h0
        const float *c0
        const float *peek
        const float *enc
        const float *keys
        const float *v
        const fs_recurrent_weights *recurrent
        fs_matrix embedding, W_query, W_combine, W
        const float *b_combine
        const float *b
        fs_cell cell
        float scale
        int64_t start_id, first_id, end_id
        ptrdiff_t steps, layers, Te, V, D, H

    ctypedef struct fs_kernels:
        const char *name
        int lanes

        void (*exp)(float *, const float *, ptrdiff_t) noexcept nogil
        void (*tanh)(float *, const float *, ptrdiff_t) noexcept nogil
        void (*sigmoid)(float *, const float *, ptrdiff_t) noexcept nogil

        void (*softmax)(float *, const float *, ptrdiff_t, ptrdiff_t, int) noexcept nogil
        void (*log_softmax)(float *, const float *, ptrdiff_t, ptrdiff_t, int) noexcept nogil
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
            float *, const float *, fs_matrix, const float *, ptrdiff_t,
            ptrdiff_t, ptrdiff_t, ptrdiff_t, int) noexcept nogil
        void (*affine_backward)(
            float *, float *, float *, const float *, const float *, fs_matrix,
            ptrdiff_t, ptrdiff_t, ptrdiff_t, int) noexcept nogil

        ptrdiff_t (*recurrent_cache_floats)(const fs_recurrent_size *) noexcept nogil
        ptrdiff_t (*recurrent_forward_floats)(const fs_recurrent_size *) noexcept nogil
        void (*recurrent_forward)(const fs_recurrent_forward *, int) noexcept nogil
        ptrdiff_t (*recurrent_backward_floats)(const fs_recurrent_size *) noexcept nogil
        void (*recurrent_backward)(const fs_recurrent_backward *, int) noexcept nogil

        ptrdiff_t (*greedy_decode_floats)(const fs_greedy_decode *) noexcept nogil
        void (*greedy_decode)(const fs_greedy_decode *, int) noexcept nogil

        ptrdiff_t (*decode_row_floats)(const fs_decode_row *) noexcept nogil
        void (*decode_row)(const fs_decode_row *) noexcept nogil

        void (*attention_forward)(
            float *, float *, const float *, const float *, float, fs_attention_size,
            int) noexcept nogil
        void (*attention_weights_forward)(
            float *, const float *, const float *, float, fs_attention_size, int) noexcept nogil
        void (*weighted_sum_forward)(
            float *, const float *, const float *, fs_attention_size, int) noexcept nogil
        void (*attention_backward)(
            float *, float *, float *, const float *, const float *, const float *, const float *,
            float, fs_attention_size, int) noexcept nogil
        void (*attention_weights_backward)(
            float *, float *, float *, const float *, const float *, const float *, const float *,
            float, fs_attention_size, int) noexcept nogil
        void (*weighted_sum_backward)(
            float *, float *, const float *, const float *, const float *, fs_attention_size,
            int) noexcept nogil

        void (*additive_weights_forward)(
            float *, const float *, const float *, const float *, fs_attention_size,
            int) noexcept nogil
        void (*additive_weights_backward)(
            float *, float *, float *, float *, const float *, const float *, const float *,
            const float *, const float *, fs_attention_size, int) noexcept nogil

        void (*sgd_step)(float *, const float *, float, ptrdiff_t, int) noexcept nogil
        void (*momentum_step)(
            float *, float *, const float *, float, float, ptrdiff_t, int) noexcept nogil
        void (*nesterov_step)(
            float *, float *, const float *, float, float, ptrdiff_t, int) noexcept nogil
        void (*adagrad_step)(
            float *, float *, const float *, float, float, ptrdiff_t, int) noexcept nogil
        void (*rmsprop_step)(
            float *, float *, const float *, float, float, float, float, ptrdiff_t,
            int) noexcept nogil
        void (*adam_step)(
            float *, float *, float *, const float *, float, float, float, float, ptrdiff_t,
            int) noexcept nogil
        void (*sum_squares)(double *, const float *, ptrdiff_t, int) noexcept nogil
        void (*scale)(float *, float, ptrdiff_t, int) noexcept nogil

    const int FS_SUM_RUN
    const fs_kernels *fs_table(int index)
