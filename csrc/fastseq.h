/* fastseq.h — the contract between the kernels and whoever calls them.
 *
 * One table of functions per instruction set, all alike; fs_table() finds the one this CPU runs
 * best. Kernels compute in float32, never validate, allocate or fail: the caller has checked every
 * size and id, and brings all memory.
 *
 * Letters   N batch rows, T time steps, D input size, H hidden size, V vocabulary size, R rows,
 *           Te and Td encoder and decoder time steps.
 * Arrays    are C-contiguous; (N,T,H) is the shape. Only an fs_matrix has strides.
 * Gates     lie in blocks of H columns: f, g, i, o of the LSTM; z, r, g of the GRU.
 * Arguments results first, then inputs, then sizes; `d` + name is a gradient. Unless said
 *           otherwise results are overwritten, and alias neither each other nor an input.
 * Threads   `threads` is how many may be used; small work uses fewer. No result depends on it.
 * Rows      of a batch are independent: a row's forward result has the same bits in any batch.
 * NaN, inf  propagate as IEEE 754 says. Denormals count as zero, but for exp, tanh and sigmoid; a
 *           state known to be zero before the first step (no h0) takes no part in it. */
#ifndef FASTSEQ_H
#define FASTSEQ_H

#include <stddef.h>
#include <stdint.h>

/* A matrix that may be a view: element (i, j) is data[i * row + j * column], strides in floats. */
typedef struct {
    const float *data;
    ptrdiff_t row, column;
} fs_matrix;

/* Rows of unlike length. The n-th longest row of the batch is row order[n] and has steps[n] steps,
 * at most T, those at the start of its T; starts[t] is the sum over s < t of how many rows have a
 * step s. */
typedef struct {
    const ptrdiff_t *order, *steps; /* (N) */
    const ptrdiff_t *starts;        /* (T + 1) */
} fs_lengths;

/* The recurrent layers, with G gates.
 *
 * FS_RNN   Elman 1990. G = 1.
 *     h_t = tanh(x_t Wx + h_{t-1} Wh + b)
 * FS_GRU   Cho et al. 2014, version 1 of the paper: the reset gate acts before the product. G = 3.
 *     z, r = sigmoid(x_t Wx + h_{t-1} Wh + b);   g = tanh(x_t Wx + (r h_{t-1}) Wh + b)
 *     h_t  = (1 - z) h_{t-1} + z g
 * FS_LSTM  Hochreiter & Schmidhuber 1997, with the forget gate of Gers, Schmidhuber & Cummins 2000.
 *          G = 4.
 *     A_t = x_t Wx + h_{t-1} Wh + b;   f, i, o = sigmoid(A_f, A_i, A_o);   g = tanh(A_g)
 *     c_t = f c_{t-1} + g i;           h_t = o tanh(c_t) */
typedef enum { FS_RNN, FS_GRU, FS_LSTM } fs_cell;

/* What a layer is to take in: x_t = [context | x'_t], where the context of a row is the same at
 * each of its steps, and x'_t is either given or a row of an embedding. */
typedef struct {
    fs_cell cell;
    int directions; /* 1; or 2: a second layer takes each row from its last step to its first
                           (Schuster & Paliwal 1997) */
    int from_zeros; /* whether the states before the first step are zeros */
    int inference;  /* whether nothing is kept for a backward pass */
    ptrdiff_t N, T, H;
    ptrdiff_t C, D;     /* columns of the context, 0 without one, and of x' */
    ptrdiff_t V;        /* rows of the embedding; 0: x' is given */
    fs_lengths lengths; /* all NULL: every row has T steps */
} fs_recurrent_size;

/* Of one direction. */
typedef struct {
    fs_matrix Wx, Wh; /* (C + D, G H), (H, G H) */
    const float *b;   /* (G H) */
} fs_recurrent_weights;

typedef struct {
    float *dWx, *dWh, *db;
} fs_recurrent_gradients;

#define FS_DIRECTIONS 2

/* One recurrent layer over a whole sequence. K is the number of directions, whose states lie side
 * by side; only the LSTM has c.
 *
 * hs      (N,T,K H)  out, the states after each step, 0 where a row has no step
 * h, c    (N,K H)    out, the states after each row's last step
 * cache   recurrent_cache_floats(size), out: all that backward needs of this call; of none, NULL
 * scratch recurrent_forward_floats(size)
 * xs      (N,T,D), or NULL and
 * ids     (N,T) in [0, V), E (V,D)
 * context (N,C) or NULL
 * h0, c0  (N,K H), the states before the first step, or NULL for zeros; may be h and c */
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
 * scratch   recurrent_backward_floats(size)
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

/* Row n has the first encoder_lengths[n] >= 1 of the Te steps, and the first decoder_lengths[n] of
 * the Td. What lies past them is not read in an input, and is 0 in a result. */
typedef struct {
    ptrdiff_t N, Te, Td, H;
    const ptrdiff_t *encoder_lengths, *decoder_lengths; /* (N), or NULL: all steps */
} fs_attention_size;

/* Greedy decoding by an LSTM: each step reads the id that the step before found best.
 *     x_t    = embedding[ids_{t-1}], or with peek [peek, embedding[ids_{t-1}]]
 *     h_t, c_t = lstm(x_t, h_{t-1}, c_{t-1}), where c starts from 0
 *     scores = h_t W + b, or [peek, h_t] W + b, or [context, h_t] W + b with attention over enc
 *     ids_t  = the first of the largest scores, or the first that is NaN
 * K is H, or 2 H with peek or enc, of which at most one is given.
 *
 * ids       (N,steps) out
 * h, c      (N,H)     out, the state after the last step
 * weights   (N,Te)    out with enc, else NULL: attention weights of the last step
 * scratch   greedy_decode_floats(call), which reads sizes, peek and enc only
 * h0        (N,H), the state before the first step
 * peek      (N,H) or NULL; may be h0
 * enc       (N,Te,H) or NULL
 * lstm      Wx (D,4H), or (H + D,4H) with peek
 * embedding (V,D);  W (K,V);  b (V);  0 <= start_id < V */
typedef struct {
    int64_t *ids;
    float *h, *c, *weights, *scratch;
    const float *h0, *peek, *enc;
    fs_recurrent_weights lstm;
    fs_matrix embedding, W;
    const float *b;
    int64_t start_id;
    ptrdiff_t N, steps, Te, V, D, H;
} fs_greedy_decode;

/* Greedy decoding of one source by a decoder of any depth, until it ends.
 *     x        = embedding[id], or with peek [peek, embedding[id]]
 *     h, c     = each recurrent layer in turn; the first reads x, another the h below it
 *     context  = attention of h, times W_query if there is one, over enc: of dot products times
 *                scale; or with keys additive, see additive_weights_forward
 *     a        = tanh([context, h] W_combine + b_combine), or without enc h
 *     log p    = log softmax(a W + b), or with peek of [peek, a]
 *     id       = the first of the most probable ids from first_id on, or the first that is NaN
 * It ends after `steps` steps, or with end_id. K is H, or 2 H with peek.
 *
 * ids             (steps) out: *taken of them
 * log_probability out, the sum of log p over these
 * scratch         decode_row_floats(call), which reads sizes, cell, layers and peek only
 * h0, c0          (layers,H), c0 NULL unless the cell is the LSTM
 * peek            (H) or NULL
 * enc, keys       (Te,H) or NULL, Te at least 1;  v (H) with keys
 * recurrent       (layers) Wx (D,4H) for the LSTM, or (H + D,4H) with peek, in the first; (H,4H)
 * embedding       (V,D);  W (K,V);  b (V);  W_query (H,H), its data NULL for none
 * W_combine       (2H,H), b_combine (H), with enc
 * start_id        in [0, V), which is not end_id;  0 <= first_id < V */
typedef struct {
    int64_t *ids;
    ptrdiff_t *taken;
    double *log_probability;
    float *scratch;
    const float *h0, *c0, *peek, *enc, *keys, *v;
    const fs_recurrent_weights *recurrent;
    fs_matrix embedding, W_query, W_combine, W;
    const float *b_combine, *b;
    fs_cell cell;
    float scale;
    int64_t start_id, first_id, end_id;
    ptrdiff_t steps, layers, Te, V, D, H;
} fs_decode_row;

typedef struct fs_kernels {
    const char *name; /* baseline, avx2, avx512 or neon */
    int lanes;        /* floats in a vector register */

    /* y[i] = f(x[i]), n elements; y may be x. Error: below 3 ULP, see vmath.h. */
    void (*exp)(float *y, const float *x, ptrdiff_t n);
    void (*tanh)(float *y, const float *x, ptrdiff_t n);
    void (*sigmoid)(float *y, const float *x, ptrdiff_t n);

    /* y_j = exp(x_j - max x) / sum_k exp(x_k - max x) in each row.
     * y (R,V) out, may be x;  x (R,V) */
    void (*softmax)(float *y, const float *x, ptrdiff_t R, ptrdiff_t V, int threads);

    /* y_j = x_j - max x - log(sum_k exp(x_k - max x)) in each row: finite where a softmax would
     * round to 0.  y (R,V) out;  x (R,V) */
    void (*log_softmax)(float *y, const float *x, ptrdiff_t R, ptrdiff_t V, int threads);

    /* Softmax with cross-entropy: losses_r = -log p_r[labels_r], 0 where labels_r is negative.
     * p (R,V) out;  losses (R) out;  xs (R,V);  labels (R) in [0, V), negative to ignore */
    void (*softmax_loss_forward)(float *p, double *losses, const float *xs, const int64_t *labels,
                                 ptrdiff_t R, ptrdiff_t V, int threads);
    /* dxs_r = (p_r - onehot(labels_r)) scale, 0 where labels_r is negative.  dxs (R,V) out */
    void (*softmax_loss_backward)(float *dxs, const float *p, const int64_t *labels, float scale,
                                  ptrdiff_t R, ptrdiff_t V, int threads);

    /* ys_r = W[ids_r].  ys (R,D) out;  W (V,D);  ids (R) in [0, V) */
    void (*embedding_forward)(float *ys, fs_matrix W, const int64_t *ids, ptrdiff_t R, ptrdiff_t D,
                              int threads);
    /* dW_v = sum of dys_r over the rows r with ids_r = v, in ascending r.  dW (V,D) out */
    void (*embedding_backward)(float *dW, const float *dys, const int64_t *ids, ptrdiff_t R,
                               ptrdiff_t V, ptrdiff_t D, int threads);

    /* ys = xs W + b.  ys (R,M) out;  xs (R,K);  W (K,M);
     * b (M) with b_row = 0, or (R,M) with b_row = M, or NULL */
    void (*affine_forward)(float *ys, const float *xs, fs_matrix W, const float *b, ptrdiff_t b_row,
                           ptrdiff_t R, ptrdiff_t K, ptrdiff_t M, int threads);
    /* dxs = dys W^T;  dW = xs^T dys;  db = sum over rows of dys.
     * dxs (R,K) out;  dW (K,M) out;  db (M) out or NULL */
    void (*affine_backward)(float *dxs, float *dW, float *db, const float *dys, const float *xs,
                            fs_matrix W, ptrdiff_t R, ptrdiff_t K, ptrdiff_t M, int threads);

    /* A recurrent layer over a whole sequence, and its gradients; what they need of memory. */
    ptrdiff_t (*recurrent_cache_floats)(const fs_recurrent_size *size);
    ptrdiff_t (*recurrent_forward_floats)(const fs_recurrent_size *size);
    void (*recurrent_forward)(const fs_recurrent_forward *call, int threads);
    ptrdiff_t (*recurrent_backward_floats)(const fs_recurrent_size *size);
    void (*recurrent_backward)(const fs_recurrent_backward *call, int threads);

    ptrdiff_t (*greedy_decode_floats)(const fs_greedy_decode *call);
    void (*greedy_decode)(const fs_greedy_decode *call, int threads);

    ptrdiff_t (*decode_row_floats)(const fs_decode_row *call);
    void (*decode_row)(const fs_decode_row *call);

    /* Dot-product attention (Luong, Pham & Manning 2015) of all decoder steps at once, and its two
     * halves.
     *     weights = softmax(scale dec enc^T);   out = weights enc   for each row of the batch
     * out (N,Td,H) out;  weights (N,Td,Te) out;  enc (N,Te,H);  dec (N,Td,H) */
    void (*attention_forward)(float *out, float *weights, const float *enc, const float *dec,
                              float scale, fs_attention_size size, int threads);
    void (*attention_weights_forward)(float *weights, const float *enc, const float *dec,
                                      float scale, fs_attention_size size, int threads);
    void (*weighted_sum_forward)(float *out, const float *enc, const float *weights,
                                 fs_attention_size size, int threads);
    /* denc (N,Te,H) out;  ddec (N,Td,H) out;  dout (N,Td,H);  scratch (threads,2 Td,Te + H), of
     * attention_weights_backward (threads,Td,Te) */
    void (*attention_backward)(float *denc, float *ddec, float *scratch, const float *dout,
                               const float *enc, const float *dec, const float *weights,
                               float scale, fs_attention_size size, int threads);
    void (*attention_weights_backward)(float *denc, float *ddec, float *scratch,
                                       const float *dweights, const float *enc, const float *dec,
                                       const float *weights, float scale, fs_attention_size size,
                                       int threads);
    void (*weighted_sum_backward)(float *denc, float *dweights, const float *dout, const float *enc,
                                  const float *weights, fs_attention_size size, int threads);

    /* The weights of additive attention (Bahdanau, Cho & Bengio 2015), whose other half is the
     * weighted sum; the caller has projected the states.
     *     weights_d = softmax over e of sum_h v_h tanh(enc_eh + dec_dh)   for each row of the batch
     * weights (N,Td,Te) out;  enc (N,Te,H);  dec (N,Td,H);  v (H) */
    void (*additive_weights_forward)(float *weights, const float *enc, const float *dec,
                                     const float *v, fs_attention_size size, int threads);
    /* denc (N,Te,H) out;  ddec (N,Td,H) out;  dv (H) out;  dweights (N,Td,Te);
     * scratch threads Td Te + N H */
    void (*additive_weights_backward)(float *denc, float *ddec, float *dv, float *scratch,
                                      const float *dweights, const float *enc, const float *dec,
                                      const float *v, const float *weights, fs_attention_size size,
                                      int threads);

    /* One step of an optimizer over n elements. p, and what the optimizer keeps of it, v, h or m,
     * are updated in place; g may be none of them.
     *     p -= rate g */
    void (*sgd_step)(float *p, const float *g, float rate, ptrdiff_t n, int threads);
    /* Momentum (Polyak 1964):
     *     v = momentum v - rate g;   p += v */
    void (*momentum_step)(float *p, float *v, const float *g, float rate, float momentum,
                          ptrdiff_t n, int threads);
    /* Nesterov's accelerated gradient (Bengio, Boulanger-Lewandowski & Pascanu 2012, equation 7),
     * in this order:
     *     v = momentum v - rate g;   p += momentum^2 v;   p -= (1 + momentum) rate g */
    void (*nesterov_step)(float *p, float *v, const float *g, float rate, float momentum,
                          ptrdiff_t n, int threads);
    /* AdaGrad (Duchi, Hazan & Singer 2011):
     *     h += g^2;   p -= rate g / (sqrt(h) + epsilon) */
    void (*adagrad_step)(float *p, float *h, const float *g, float rate, float epsilon, ptrdiff_t n,
                         int threads);
    /* RMSprop (Tieleman & Hinton 2012):
     *     h = decay h + gain g^2;   p -= rate g / (sqrt(h) + epsilon)
     * with gain = 1 - decay, which float32 would spoil here. */
    void (*rmsprop_step)(float *p, float *h, const float *g, float rate, float decay, float gain,
                         float epsilon, ptrdiff_t n, int threads);
    /* Adam (Kingma & Ba 2015, algorithm 1), epsilon outside the bias correction:
     *     m += gain1 (g - m);   v += gain2 (g^2 - v);   p -= rate m / (sqrt(v) + epsilon)
     * with gain = 1 - beta, and rate = lr sqrt(1 - beta2^k) / (1 - beta1^k). */
    void (*adam_step)(float *p, float *m, float *v, const float *g, float rate, float gain1,
                      float gain2, float epsilon, ptrdiff_t n, int threads);
    /* Sums of x^2 over runs of FS_SUM_RUN elements, each in float32; the last may be shorter.
     * sums (ceil(n / FS_SUM_RUN)) out */
    void (*sum_squares)(double *sums, const float *x, ptrdiff_t n, int threads);
    /* x *= factor, in place */
    void (*scale)(float *x, float factor, ptrdiff_t n, int threads);
} fs_kernels;

#define FS_SUM_RUN 4096

extern const fs_kernels fs_kernels_baseline;
#ifdef FS_HAVE_AVX2
extern const fs_kernels fs_kernels_avx2;
#endif
#ifdef FS_HAVE_AVX512
extern const fs_kernels fs_kernels_avx512;
#endif
#ifdef FS_HAVE_NEON
extern const fs_kernels fs_kernels_neon;
#endif

/* The index-th table that this build has and this CPU runs, slowest first; NULL past the last. */
const fs_kernels *fs_table(int index);

#endif
