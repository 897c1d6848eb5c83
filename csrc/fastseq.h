/* fastseq.h — the contract between the kernels and their callers.
 *
 * One table of functions per instruction set; fs_tables() lists those that this CPU supports.
 * Kernels compute in float32. They never validate, allocate or fail: the caller has checked every
 * size and id, and provides all memory. A function named `<kernel>_floats` returns the number of
 * floats of scratch or cache that a kernel needs for a call and a context.
 *
 * Letters   N batch rows, T time steps, D input size, H hidden size, V vocabulary size, R rows,
 *           Te and Td encoder and decoder time steps.
 * Arrays    are C-contiguous; (N,T,H) is the shape. Only an fs_matrix has strides.
 * Gates     are stored in blocks of H columns: f, g, i, o of the LSTM; z, r, g of both GRUs.
 * Arguments results, inputs, sizes, context; `d` + name is a gradient. Unless said otherwise
 *           results are overwritten, and alias neither each other nor an input.
 * Threads   No result depends on their number.
 * Rows      of a batch are independent: a row's forward result has the same bits in any batch.
 * NaN, inf  propagate as IEEE 754 says. Denormals are treated as zero, except by exp, tanh and
 *           sigmoid. A zero initial state (h0 NULL) is not multiplied: NaN in Wh does not reach
 *           the first step through it. */
#ifndef FASTSEQ_H
#define FASTSEQ_H

#include <stddef.h>
#include <stdint.h>

#include "thread_pool.h"

/* What the operands of matrix products are rounded to: to the nearest, ties to even. Arrays, sums
 * and all other arithmetic are float32 in any precision. */
typedef enum { FS_FLOAT32, FS_BFLOAT16 } fs_precision;

/* How the caller may end a long call early: between steps, its thread calls `requested`. A call
 * that ends early leaves its outputs and its cache in any state. */
#define FS_NEVER PTRDIFF_MAX
typedef struct fs_interrupt {
    int (*requested)(struct fs_interrupt *interrupt); /* nonzero: end */
    int64_t next_time;                                /* for the use of `requested` */
    ptrdiff_t end_step; /* FS_NEVER, until it is requested: read by all threads */
} fs_interrupt;

/* The settings of a call. The caller reads them once into a context, computes the size of scratch
 * with it and passes the same context to the kernel: a setting that another thread changes in
 * between has no effect on the call. */
typedef struct {
    int threads;             /* the maximum, at least 1; small calls use fewer */
    fs_thread_pool *pool;    /* of the worker threads; NULL: only the calling thread */
    fs_interrupt *interrupt; /* of the calls that end early; NULL: the call runs to its end */
} fs_context;

/* A matrix that may be a view: element (i, j) is data[i * row + j * column], strides in floats. */
typedef struct {
    const float *data;
    ptrdiff_t row, column;
} fs_matrix;

/* A packed batch of variable-length sequences, sorted by length, longest first. The n-th longest is
 * batch row order[n] and has steps[n] steps, the first of its T. starts[t] is the index of the
 * first packed row of step t: the sum over s < t of the number of sequences that have a step s. */
typedef struct {
    const ptrdiff_t *order, *steps; /* (N) */
    const ptrdiff_t *starts;        /* (T + 1) */
} fs_lengths;

/* The recurrent cells, with G gates.
 *
 * FS_RNN   Elman 1990. G = 1.
 *     h_t = tanh(x_t Wx + h_{t-1} Wh + b)
 * FS_GRU   Cho et al. 2014, arXiv 1406.1078v3: the reset gate acts before the product. G = 3.
 *     z, r = sigmoid(x_t Wx + h_{t-1} Wh + b);   g = tanh(x_t Wx + (r h_{t-1}) Wh + b)
 *     h_t  = (1 - z) h_{t-1} + z g
 * FS_GRU_RESET_AFTER   arXiv 1406.1078v1, and cuDNN's form: after the product. G = 3.
 *     z, r = sigmoid(x_t Wx + h_{t-1} Wh + b);   g = tanh(x_t Wx + b + r (h_{t-1} Wh + bh))
 *     h_t  = (1 - z) h_{t-1} + z g
 * FS_LSTM  Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber & Cummins 2000.
 *          G = 4.
 *     A_t = x_t Wx + h_{t-1} Wh + b;   f, i, o = sigmoid(A_f, A_i, A_o);   g = tanh(A_g)
 *     c_t = f c_{t-1} + g i;           h_t = o tanh(c_t) */
typedef enum { FS_RNN, FS_GRU, FS_GRU_RESET_AFTER, FS_LSTM, FS_CELLS } fs_cell;

/* The weight arrays of one direction; not every cell has all of them. */
typedef enum { FS_WX, FS_WH, FS_B, FS_BH, FS_WEIGHTS } fs_weight;

typedef enum { FS_VECTOR, FS_ROW_PER_INPUT, FS_ROW_PER_STATE } fs_weight_rows;

/* The shape of a weight array: (columns), (C + D, columns) or (H, columns). */
typedef struct {
    const char *name;
    fs_weight_rows rows;
    int every_gate; /* whether it has G H columns, else H */
} fs_weight_info;

typedef struct {
    const char *name;
    int gates;  /* G */
    int states; /* 1: h; 2: h and c */
    int weight_count;
    fs_weight weights[FS_WEIGHTS];
} fs_cell_info;

static const fs_weight_info fs_weights[FS_WEIGHTS] = {
    [FS_WX] = {"Wx", FS_ROW_PER_INPUT, 1},
    [FS_WH] = {"Wh", FS_ROW_PER_STATE, 1},
    [FS_B] = {"b", FS_VECTOR, 1},
    [FS_BH] = {"bh", FS_VECTOR, 0},
};

static const fs_cell_info fs_cells[FS_CELLS] = {
    [FS_RNN] = {"rnn", 1, 1, 3, {FS_WX, FS_WH, FS_B}},
    [FS_GRU] = {"gru", 3, 1, 3, {FS_WX, FS_WH, FS_B}},
    [FS_GRU_RESET_AFTER] = {"gru_reset_after", 3, 1, 4, {FS_WX, FS_WH, FS_B, FS_BH}},
    [FS_LSTM] = {"lstm", 4, 2, 3, {FS_WX, FS_WH, FS_B}},
};

/* The weights of one direction, indexed by fs_weight; arrays that the cell does not have are not
 * read. A vector has column 1. */
typedef struct {
    fs_matrix array[FS_WEIGHTS];
} fs_recurrent_weights;

typedef struct {
    float *array[FS_WEIGHTS];
} fs_recurrent_gradients;

#define FS_DIRECTIONS 2

/* The size of a call. The input is x_t = [context | x'_t]: the context of a batch row is the same
 * at all its steps, and x'_t is either given or a row of an embedding. */
typedef struct {
    fs_cell cell;
    int directions; /* 1; or 2: bidirectional, the second from each row's last step to its first
                       (Schuster & Paliwal 1997) */
    int zero_initial_state; /* whether h0 and c0 are zeros */
    int inference;          /* whether no backward pass follows: nothing is stored for it */
    ptrdiff_t N, T, H;
    ptrdiff_t C, D;     /* columns of the context, or 0, and of x' */
    ptrdiff_t V;        /* rows of the embedding; 0: x' is given */
    fs_lengths lengths; /* all NULL: every row has T steps */
} fs_recurrent_size;

/* One recurrent layer over a whole sequence. K is the number of directions, whose states are
 * concatenated; only the LSTM has c.
 *
 * hs      (N,T,K H)  out, the states after each step, 0 where a row has no step
 * h, c    (N,K H)    out, the states after each row's last step
 * cache   recurrent_cache_floats(size), out: what backward reads; NULL if that is 0
 * scratch recurrent_forward_floats(size, context)
 * xs      (N,T,D), or NULL and
 * ids     (N,T) in [0, V), E (V,D)
 * context (N,C) or NULL
 * h0, c0  (N,K H), the initial states, or NULL for zeros; may be h and c */
typedef struct {
    float *hs, *h, *c, *cache, *scratch;
    const float *xs, *context, *h0, *c0;
    const int64_t *ids;
    fs_matrix E;
    fs_recurrent_weights weights[FS_DIRECTIONS];
    fs_recurrent_size size;
} fs_recurrent_forward;

/* Its gradients.
 *
 * dxs       (N,T,D)  out, 0 where a row has no step; or NULL and
 * dE        (V,D)    out
 * dcontext  (N,C)    out, or NULL
 * gradients          out, shaped as the weights
 * dh0, dc0  (N,K H)  out
 * scratch   recurrent_backward_floats(size, context)
 * dhs       (N,T,K H), not read where a row has no step
 * dh, dc    (N,K H), or NULL for zeros
 * cache     as forward left it; not changed */
typedef struct {
    float *dxs, *dE, *dcontext, *dh0, *dc0, *scratch;
    fs_recurrent_gradients gradients[FS_DIRECTIONS];
    const float *dhs, *dh, *dc, *cache;
    fs_recurrent_weights weights[FS_DIRECTIONS];
    fs_recurrent_size size;
} fs_recurrent_backward;

/* Row n has encoder_lengths[n] >= 1 of the Te steps, the first ones, and decoder_lengths[n] of the
 * Td. Elements past them are not read in an input and are 0 in a result. */
typedef struct {
    ptrdiff_t N, Te, Td, H;
    const ptrdiff_t *encoder_lengths, *decoder_lengths; /* (N), or NULL: all steps */
} fs_attention_size;

/* The jumps that hard attention tells apart; shorter and longer ones are taken for these. */
#define FS_SMALLEST_JUMP (-2)
#define FS_LARGEST_JUMP 4
#define FS_JUMPS (FS_LARGEST_JUMP - FS_SMALLEST_JUMP + 1)

/* Hard attention: each symbol is written from one source position, all paths of positions are
 * summed over by the forward algorithm (Wu & Cotterell 2019), in double precision. For each row of
 * the batch, with J = FS_JUMPS and jump lengths cut to the smallest and the largest:
 *     emission_d(e)  = softmax(scores_de);   k_d = softmax(jump_scores_d), at least 1e-30
 *     move_d(i, e)   ~ content_de k_d(e - i), normalized over e
 *     prior_d(e)     = sum_i belief_d(i) move_d(i, e)
 *     log_p_d        = log(sum_e prior_d(e) emission_d(e))
 *     belief_d+1(e)  ~ prior_d(e) emission_d(e, ids_d+1), normalized over e
 * The first belief is in position 0; or it follows from a step before, as belief_d+1.
 *
 * log_p         (N,Td,V)     out of forward
 * priors        (N,Td,Te)    out of forward
 * dscores       (N,Td,Te,V)  out of backward
 * dcontent      (N,Td,Te)    out of backward
 * djump_scores  (N,Td,J)     out of backward
 * scratch       hard_attention_floats(call, context), which depends on the sizes and on whether
 *               dlog_p is NULL
 * scores (N,Td,Te,V);  content (N,Td,Te), attention weights;  jump_scores (N,Td,J)
 * ids (N,Td) in [0, V), what each step reads; that of the first is not used without a step before
 * priors_before (N,Te), scores_before (N,Te,V), or both NULL;  NULL for backward
 * dlog_p (N,Td,V), NULL for forward */
typedef struct {
    float *log_p, *priors, *dscores, *dcontent, *djump_scores, *scratch;
    const float *scores, *content, *jump_scores, *priors_before, *scores_before, *dlog_p;
    const int64_t *ids;
    fs_attention_size size; /* H is not read; Te at least 1 */
    ptrdiff_t V;            /* at least 1 */
} fs_hard_attention;

#include "decoding.h"

typedef struct fs_kernels {
    const char *name; /* baseline, avx2, avx512, avx512_bf16, amx or neon */
    fs_precision precision;
    int lanes; /* floats in a vector register */

    /* y[i] = f(x[i]), n elements; y may be x. Error: below 3 ULP, see vmath.h. */
    void (*exp)(float *y, const float *x, ptrdiff_t n);
    void (*tanh)(float *y, const float *x, ptrdiff_t n);
    void (*sigmoid)(float *y, const float *x, ptrdiff_t n);

    /* y_j = exp(x_j - max x) / sum_k exp(x_k - max x) in each row.
     * y (R,V) out, may be x;  x (R,V) */
    void (*softmax)(float *y, const float *x, ptrdiff_t R, ptrdiff_t V, const fs_context *context);

    /* y_j = x_j - max x - log(sum_k exp(x_k - max x)) in each row: finite where a softmax would
     * underflow to 0.  y (R,V) out;  x (R,V) */
    void (*log_softmax)(float *y, const float *x, ptrdiff_t R, ptrdiff_t V,
                        const fs_context *context);

    /* y_rj = log of the mean over k of exp(x_krj), added in the order of k; of K = 1, x.
     * y (R,V) out;  x (K,R,V), K at least 1 */
    void (*log_mean_exp)(float *y, const float *x, ptrdiff_t K, ptrdiff_t R, ptrdiff_t V,
                         const fs_context *context);

    /* Softmax with cross-entropy: losses_r = -log p_r[labels_r], 0 where labels_r is negative.
     * p (R,V) out;  losses (R) out;  xs (R,V);  labels (R) in [0, V), negative to ignore */
    void (*softmax_loss_forward)(float *p, double *losses, const float *xs, const int64_t *labels,
                                 ptrdiff_t R, ptrdiff_t V, const fs_context *context);
    /* dxs_r = (p_r - onehot(labels_r)) scale, 0 where labels_r is negative.  dxs (R,V) out */
    void (*softmax_loss_backward)(float *dxs, const float *p, const int64_t *labels, float scale,
                                  ptrdiff_t R, ptrdiff_t V, const fs_context *context);

    /* ys_r = W[ids_r].  ys (R,D) out;  W (V,D);  ids (R) in [0, V) */
    void (*embedding_forward)(float *ys, fs_matrix W, const int64_t *ids, ptrdiff_t R, ptrdiff_t D,
                              const fs_context *context);
    /* dW_v = sum of dys_r over the rows r with ids_r = v, in ascending r.  dW (V,D) out */
    void (*embedding_backward)(float *dW, const float *dys, const int64_t *ids, ptrdiff_t R,
                               ptrdiff_t V, ptrdiff_t D, const fs_context *context);

    /* ys = xs W + b.  ys (R,M) out;  xs (R,K);  W (K,M);
     * b (M) with b_row = 0, or (R,M) with b_row = M, or NULL */
    void (*affine_forward)(float *ys, const float *xs, fs_matrix W, const float *b, ptrdiff_t b_row,
                           ptrdiff_t R, ptrdiff_t K, ptrdiff_t M, const fs_context *context);
    /* dxs = dys W^T;  dW = xs^T dys;  db = sum over rows of dys.
     * dxs (R,K) out, also scratch;  dW (K,M) out;  db (M) out or NULL */
    void (*affine_backward)(float *dxs, float *dW, float *db, const float *dys, const float *xs,
                            fs_matrix W, ptrdiff_t R, ptrdiff_t K, ptrdiff_t M,
                            const fs_context *context);

    /* A recurrent layer over a whole sequence, its gradients, and the sizes of their memory. */
    ptrdiff_t (*recurrent_cache_floats)(const fs_recurrent_size *size);
    ptrdiff_t (*recurrent_forward_floats)(const fs_recurrent_size *size, const fs_context *context);
    void (*recurrent_forward)(const fs_recurrent_forward *call, const fs_context *context);
    ptrdiff_t (*recurrent_backward_floats)(const fs_recurrent_size *size,
                                           const fs_context *context);
    void (*recurrent_backward)(const fs_recurrent_backward *call, const fs_context *context);

    ptrdiff_t (*decode_floats)(const fs_decode *call, const fs_context *context);
    void (*decode)(const fs_decode *call, const fs_context *context);

    /* Dot-product attention (Luong, Pham & Manning 2015) of all decoder steps at once, and its two
     * halves.
     *     weights = softmax(scale dec enc^T);   out = weights enc   for each row of the batch
     * out (N,Td,H) out;  weights (N,Td,Te) out;  enc (N,Te,H);  dec (N,Td,H) */
    void (*attention_forward)(float *out, float *weights, const float *enc, const float *dec,
                              float scale, fs_attention_size size, const fs_context *context);
    void (*attention_weights_forward)(float *weights, const float *enc, const float *dec,
                                      float scale, fs_attention_size size,
                                      const fs_context *context);
    void (*weighted_sum_forward)(float *out, const float *enc, const float *weights,
                                 fs_attention_size size, const fs_context *context);
    /* denc (N,Te,H) out;  ddec (N,Td,H) out;  dout (N,Td,H);  scratch
     * attention_backward_floats(size, context), for either of the first two */
    ptrdiff_t (*attention_backward_floats)(fs_attention_size size, const fs_context *context);
    void (*attention_backward)(float *denc, float *ddec, float *scratch, const float *dout,
                               const float *enc, const float *dec, const float *weights,
                               float scale, fs_attention_size size, const fs_context *context);
    void (*attention_weights_backward)(float *denc, float *ddec, float *scratch,
                                       const float *dweights, const float *enc, const float *dec,
                                       const float *weights, float scale, fs_attention_size size,
                                       const fs_context *context);
    void (*weighted_sum_backward)(float *denc, float *dweights, const float *dout, const float *enc,
                                  const float *weights, fs_attention_size size,
                                  const fs_context *context);

    /* The weights of additive attention (Bahdanau, Cho & Bengio 2015) over states that the caller
     * has projected; weighted_sum_forward computes the contexts.
     *     weights_d = softmax over e of sum_h v_h tanh(enc_eh + dec_dh)   for each row of the batch
     * weights (N,Td,Te) out;  enc (N,Te,H);  dec (N,Td,H);  v (H) */
    void (*additive_weights_forward)(float *weights, const float *enc, const float *dec,
                                     const float *v, fs_attention_size size,
                                     const fs_context *context);
    /* denc (N,Te,H) out;  ddec (N,Td,H) out;  dv (H) out;  dweights (N,Td,Te);
     * scratch additive_backward_floats(size, context) */
    ptrdiff_t (*additive_backward_floats)(fs_attention_size size, const fs_context *context);
    void (*additive_weights_backward)(float *denc, float *ddec, float *dv, float *scratch,
                                      const float *dweights, const float *enc, const float *dec,
                                      const float *v, const float *weights, fs_attention_size size,
                                      const fs_context *context);

    /* What each source position may write at each step, before the output layer.
     *     a_de = tanh(enc_e + dec_d) mask_d   for each row of the batch
     * a (N,Td,Te,H) out;  enc (N,Te,H);  dec (N,Td,H);  mask (N,Td,H) or NULL for ones */
    void (*position_features_forward)(float *a, const float *enc, const float *dec,
                                      const float *mask, fs_attention_size size,
                                      const fs_context *context);
    /* denc (N,Te,H) out;  ddec (N,Td,H) out;  da and a (N,Td,Te,H) */
    void (*position_features_backward)(float *denc, float *ddec, const float *da, const float *a,
                                       const float *mask, fs_attention_size size,
                                       const fs_context *context);
    ptrdiff_t (*hard_attention_floats)(const fs_hard_attention *call, const fs_context *context);
    void (*hard_attention_forward)(const fs_hard_attention *call, const fs_context *context);
    void (*hard_attention_backward)(const fs_hard_attention *call, const fs_context *context);

    /* One step of an optimizer over n elements. The parameters p and the optimizer's state v, h or
     * m are updated in place; g must not alias them.
     *     p -= rate g */
    void (*sgd_step)(float *p, const float *g, float rate, ptrdiff_t n, const fs_context *context);
    /* Momentum (Polyak 1964):
     *     v = momentum v - rate g;   p += v */
    void (*momentum_step)(float *p, float *v, const float *g, float rate, float momentum,
                          ptrdiff_t n, const fs_context *context);
    /* Nesterov's accelerated gradient (Bengio, Boulanger-Lewandowski & Pascanu 2012, equation 7),
     * in this order:
     *     v = momentum v - rate g;   p += momentum^2 v;   p -= (1 + momentum) rate g */
    void (*nesterov_step)(float *p, float *v, const float *g, float rate, float momentum,
                          ptrdiff_t n, const fs_context *context);
    /* AdaGrad (Duchi, Hazan & Singer 2011):
     *     h += g^2;   p -= rate g / (sqrt(h) + epsilon) */
    void (*adagrad_step)(float *p, float *h, const float *g, float rate, float epsilon, ptrdiff_t n,
                         const fs_context *context);
    /* RMSprop (Tieleman & Hinton 2012):
     *     h = decay h + gain g^2;   p -= rate g / (sqrt(h) + epsilon)
     * with gain = 1 - decay, computed by the caller in double: in float32 it would lose digits. */
    void (*rmsprop_step)(float *p, float *h, const float *g, float rate, float decay, float gain,
                         float epsilon, ptrdiff_t n, const fs_context *context);
    /* Adam (Kingma & Ba 2015, algorithm 1), epsilon outside the bias correction:
     *     m += gain1 (g - m);   v += gain2 (g^2 - v);   p -= rate m / (sqrt(v) + epsilon)
     * with gain = 1 - beta, and rate = lr sqrt(1 - beta2^k) / (1 - beta1^k). */
    void (*adam_step)(float *p, float *m, float *v, const float *g, float rate, float gain1,
                      float gain2, float epsilon, ptrdiff_t n, const fs_context *context);
    /* Sums of x^2 over blocks of FS_SUM_RUN elements, each in float32; the last may be shorter.
     * sums (ceil(n / FS_SUM_RUN)) out */
    void (*sum_squares)(double *sums, const float *x, ptrdiff_t n, const fs_context *context);
    /* x *= factor, in place */
    void (*scale)(float *x, float factor, ptrdiff_t n, const fs_context *context);
} fs_kernels;

#define FS_SUM_RUN 4096

/* Emulated tables round the operands of products to bfloat16 and multiply them as float32. */
extern const fs_kernels fs_kernels_baseline, fs_kernels_baseline_emulated;
#ifdef FS_HAVE_AVX2
extern const fs_kernels fs_kernels_avx2, fs_kernels_avx2_emulated;
#endif
#ifdef FS_HAVE_AVX512
extern const fs_kernels fs_kernels_avx512, fs_kernels_avx512_emulated;
#endif
#ifdef FS_HAVE_AVX512_BF16
extern const fs_kernels fs_kernels_avx512_bf16;
#endif
#ifdef FS_HAVE_AMX
extern const fs_kernels fs_kernels_amx;
#endif
#ifdef FS_HAVE_NEON
extern const fs_kernels fs_kernels_neon, fs_kernels_neon_emulated;
#endif

#define FS_MAX_TABLES 10

/* Writes the tables of this build that this CPU supports, and returns their number: those of
 * float32 first, in each precision the slowest first. To be called once: in a virtual machine each
 * CPUID takes tens of microseconds, because the hypervisor answers it. */
int fs_tables(const fs_kernels *tables[FS_MAX_TABLES]);

/* Requests from the system what the kernels of a table need, for all threads of the process; 0 if
 * it refuses. Only AMX needs a permission (Linux 5.16, arch_prctl). */
int fs_permit(const fs_kernels *table);

#endif
