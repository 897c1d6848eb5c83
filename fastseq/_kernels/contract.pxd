# The declarations of csrc/fastseq.h for Cython, in the same order. Cython needs a length of arrays;
# the C compiler uses that of the header.

from libc.stdint cimport int64_t


cdef extern from "fastseq.h" nogil:
    ctypedef struct fs_thread_pool:
        pass

    fs_thread_pool *fs_thread_pool_create()
    const int FS_MAX_THREADS

    ctypedef enum fs_precision:
        FS_FLOAT32
        FS_BFLOAT16

    const ptrdiff_t FS_NEVER

    ctypedef struct fs_interrupt:
        int (*requested)(fs_interrupt *interrupt) noexcept nogil
        int64_t next_time
        ptrdiff_t end_step

    ctypedef struct fs_context:
        int threads
        fs_thread_pool *pool
        fs_interrupt *interrupt

    ctypedef struct fs_matrix:
        const float *data
        ptrdiff_t row
        ptrdiff_t column

    ctypedef struct fs_lengths:
        const ptrdiff_t *order
        const ptrdiff_t *steps
        const ptrdiff_t *starts

    # enums that index tables are integers in Cython
    ctypedef int fs_cell
    ctypedef int fs_weight
    ctypedef int fs_weight_rows
    const int FS_CELLS
    const int FS_VECTOR
    const int FS_ROW_PER_INPUT
    const int FS_ROW_PER_STATE

    ctypedef struct fs_weight_info:
        const char *name
        fs_weight_rows rows
        int every_gate

    ctypedef struct fs_cell_info:
        const char *name
        int gates
        int states
        int weight_count
        fs_weight weights[4]

    const fs_weight_info fs_weights[4]
    const fs_cell_info fs_cells[4]

    ctypedef struct fs_recurrent_weights:
        fs_matrix array[4]

    ctypedef struct fs_recurrent_gradients:
        float *array[4]

    const int FS_DIRECTIONS

    ctypedef struct fs_recurrent_size:
        fs_cell cell
        int directions
        int zero_initial_state
        int inference
        ptrdiff_t N, T, H
        ptrdiff_t C, D
        ptrdiff_t V
        fs_lengths lengths

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

    const int FS_SMALLEST_JUMP
    const int FS_LARGEST_JUMP
    const int FS_JUMPS

    ctypedef struct fs_hard_attention:
        float *log_p
        float *priors
        float *dscores
        float *dcontent
        float *djump_scores
        float *scratch
        const float *scores
        const float *content
        const float *jump_scores
        const float *priors_before
        const float *scores_before
        const float *dlog_p
        const int64_t *ids
        fs_attention_size size
        ptrdiff_t V

    ctypedef struct fs_decoder:
        float *h
        float *c
        float *weights
        const float *h0
        const float *c0
        const float *peek
        const float *enc
        const float *keys
        const float *v
        const fs_recurrent_weights *recurrent
        fs_matrix embedding
        fs_matrix W_query
        fs_matrix W_combine
        fs_matrix W_jump
        fs_matrix W
        const float *b_combine
        const float *b_jump
        const float *b
        fs_cell cell
        float scale
        ptrdiff_t layers, Te, D, H

    ctypedef struct fs_decode:
        int64_t *ids
        ptrdiff_t *taken
        double *log_probabilities
        double *scores
        double length_penalty
        float *scratch
        const ptrdiff_t *encoder_lengths
        const ptrdiff_t *limits
        const fs_decoder *decoders
        int64_t start_id, first_id, end_id
        ptrdiff_t N, steps, V, count, beam, n_best

    ctypedef struct fs_kernels:
        const char *name
        fs_precision precision
        int lanes

        void (*exp)(float *y, const float *x, ptrdiff_t n) noexcept nogil
        void (*tanh)(float *y, const float *x, ptrdiff_t n) noexcept nogil
        void (*sigmoid)(float *y, const float *x, ptrdiff_t n) noexcept nogil
        void (*softmax)(
            float *y, const float *x, ptrdiff_t R, ptrdiff_t V,
            const fs_context *context) noexcept nogil
        void (*log_softmax)(
            float *y, const float *x, ptrdiff_t R, ptrdiff_t V,
            const fs_context *context) noexcept nogil
        void (*log_mean_exp)(
            float *y, const float *x, ptrdiff_t K, ptrdiff_t R, ptrdiff_t V,
            const fs_context *context) noexcept nogil
        void (*softmax_loss_forward)(
            float *p, double *losses, const float *xs, const int64_t *labels, ptrdiff_t R,
            ptrdiff_t V, const fs_context *context) noexcept nogil
        void (*softmax_loss_backward)(
            float *dxs, const float *p, const int64_t *labels, float scale, ptrdiff_t R,
            ptrdiff_t V, const fs_context *context) noexcept nogil
        void (*embedding_forward)(
            float *ys, fs_matrix W, const int64_t *ids, ptrdiff_t R, ptrdiff_t D,
            const fs_context *context) noexcept nogil
        void (*embedding_backward)(
            float *dW, const float *dys, const int64_t *ids, ptrdiff_t R, ptrdiff_t V, ptrdiff_t D,
            const fs_context *context) noexcept nogil
        void (*affine_forward)(
            float *ys, const float *xs, fs_matrix W, const float *b, ptrdiff_t b_row, ptrdiff_t R,
            ptrdiff_t K, ptrdiff_t M, const fs_context *context) noexcept nogil
        void (*affine_backward)(
            float *dxs, float *dW, float *db, const float *dys, const float *xs, fs_matrix W,
            ptrdiff_t R, ptrdiff_t K, ptrdiff_t M, const fs_context *context) noexcept nogil
        ptrdiff_t (*recurrent_cache_floats)(const fs_recurrent_size *size) noexcept nogil
        ptrdiff_t (*recurrent_forward_floats)(
            const fs_recurrent_size *size, const fs_context *context) noexcept nogil
        void (*recurrent_forward)(
            const fs_recurrent_forward *call, const fs_context *context) noexcept nogil
        ptrdiff_t (*recurrent_backward_floats)(
            const fs_recurrent_size *size, const fs_context *context) noexcept nogil
        void (*recurrent_backward)(
            const fs_recurrent_backward *call, const fs_context *context) noexcept nogil
        ptrdiff_t (*decode_floats)(const fs_decode *call, const fs_context *context) noexcept nogil
        void (*decode)(const fs_decode *call, const fs_context *context) noexcept nogil
        void (*attention_forward)(
            float *out, float *weights, const float *enc, const float *dec, float scale,
            fs_attention_size size, const fs_context *context) noexcept nogil
        void (*attention_weights_forward)(
            float *weights, const float *enc, const float *dec, float scale, fs_attention_size size,
            const fs_context *context) noexcept nogil
        void (*weighted_sum_forward)(
            float *out, const float *enc, const float *weights, fs_attention_size size,
            const fs_context *context) noexcept nogil
        ptrdiff_t (*attention_backward_floats)(
            fs_attention_size size, const fs_context *context) noexcept nogil
        void (*attention_backward)(
            float *denc, float *ddec, float *scratch, const float *dout, const float *enc,
            const float *dec, const float *weights, float scale, fs_attention_size size,
            const fs_context *context) noexcept nogil
        void (*attention_weights_backward)(
            float *denc, float *ddec, float *scratch, const float *dweights, const float *enc,
            const float *dec, const float *weights, float scale, fs_attention_size size,
            const fs_context *context) noexcept nogil
        void (*weighted_sum_backward)(
            float *denc, float *dweights, const float *dout, const float *enc, const float *weights,
            fs_attention_size size, const fs_context *context) noexcept nogil
        void (*additive_weights_forward)(
            float *weights, const float *enc, const float *dec, const float *v,
            fs_attention_size size, const fs_context *context) noexcept nogil
        ptrdiff_t (*additive_backward_floats)(
            fs_attention_size size, const fs_context *context) noexcept nogil
        void (*additive_weights_backward)(
            float *denc, float *ddec, float *dv, float *scratch, const float *dweights,
            const float *enc, const float *dec, const float *v, const float *weights,
            fs_attention_size size, const fs_context *context) noexcept nogil
        void (*position_features_forward)(
            float *a, const float *enc, const float *dec, const float *mask,
            fs_attention_size size, const fs_context *context) noexcept nogil
        void (*position_features_backward)(
            float *denc, float *ddec, const float *da, const float *a, const float *mask,
            fs_attention_size size, const fs_context *context) noexcept nogil
        ptrdiff_t (*hard_attention_floats)(
            const fs_hard_attention *call, const fs_context *context) noexcept nogil
        void (*hard_attention_forward)(
            const fs_hard_attention *call, const fs_context *context) noexcept nogil
        void (*hard_attention_backward)(
            const fs_hard_attention *call, const fs_context *context) noexcept nogil
        void (*sgd_step)(
            float *p, const float *g, float rate, ptrdiff_t n,
            const fs_context *context) noexcept nogil
        void (*momentum_step)(
            float *p, float *v, const float *g, float rate, float momentum, ptrdiff_t n,
            const fs_context *context) noexcept nogil
        void (*nesterov_step)(
            float *p, float *v, const float *g, float rate, float momentum, ptrdiff_t n,
            const fs_context *context) noexcept nogil
        void (*adagrad_step)(
            float *p, float *h, const float *g, float rate, float epsilon, ptrdiff_t n,
            const fs_context *context) noexcept nogil
        void (*rmsprop_step)(
            float *p, float *h, const float *g, float rate, float decay, float gain, float epsilon,
            ptrdiff_t n, const fs_context *context) noexcept nogil
        void (*adam_step)(
            float *p, float *m, float *v, const float *g, float rate, float gain1, float gain2,
            float epsilon, ptrdiff_t n, const fs_context *context) noexcept nogil
        void (*sum_squares)(
            double *sums, const float *x, ptrdiff_t n, const fs_context *context) noexcept nogil
        void (*scale)(float *x, float factor, ptrdiff_t n, const fs_context *context) noexcept nogil

    const int FS_SUM_RUN
    enum:
        FS_MAX_TABLES
    int fs_tables(const fs_kernels **tables)
    int fs_permit(const fs_kernels *table)
