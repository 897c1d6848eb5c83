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
 * NaN, inf  propagate as IEEE 754 says. */
#ifndef FASTSEQ_H
#define FASTSEQ_H

#include <stddef.h>
#include <stdint.h>

/* A matrix that may be a view: element (i, j) is data[i * row + j * column], strides in floats. */
typedef struct {
    const float *data;
    ptrdiff_t row, column;
} fs_matrix;

typedef struct {
    ptrdiff_t N, T, D, H;
} fs_sequence_size;

typedef struct {
    ptrdiff_t N, Te, Td, H;
} fs_attention_size;

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

    /* ys = xs W + b.  ys (R,M) out;  xs (R,K);  W (K,M);  b (M) or NULL */
    void (*affine_forward)(float *ys, const float *xs, fs_matrix W, const float *b, ptrdiff_t R,
                           ptrdiff_t K, ptrdiff_t M, int threads);
    /* dxs = dys W^T;  dW = xs^T dys;  db = sum over rows of dys.
     * dxs (R,K) out;  dW (K,M) out;  db (M) out or NULL */
    void (*affine_backward)(float *dxs, float *dW, float *db, const float *dys, const float *xs,
                            fs_matrix W, ptrdiff_t R, ptrdiff_t K, ptrdiff_t M, int threads);

    /* One LSTM layer over a whole sequence. Hochreiter & Schmidhuber 1997, with the forget gate of
     * Gers, Schmidhuber & Cummins 2000.
     *     A_t = x_t Wx + h_{t-1} Wh + b;   f, i, o = sigmoid(A_f, A_i, A_o);   g = tanh(A_g)
     *     c_t = f c_{t-1} + g i;           h_t = o tanh(c_t)
     * hs       (N,T,H)  out
     * h, c     (N,H)    out, the state after the last step
     * cache    lstm_cache_floats(size), out: all that lstm_backward needs of this call
     * scratch  lstm_forward_floats(size)
     * xs       (N,T,D);  Wx (D,4H);  Wh (H,4H);  b (4H)
     * h0, c0   (N,H) or NULL for zeros; h0 may be h, c0 may be c */
    ptrdiff_t (*lstm_cache_floats)(fs_sequence_size size);
    ptrdiff_t (*lstm_forward_floats)(fs_sequence_size size);
    void (*lstm_forward)(float *hs, float *h, float *c, float *cache, float *scratch,
                         const float *xs, fs_matrix Wx, fs_matrix Wh, const float *b,
                         const float *h0, const float *c0, fs_sequence_size size, int threads);
    /* dxs      (N,T,D)  out
     * dWx, dWh, db      out, shaped as Wx, Wh, b
     * dh0, dc0 (N,H)    out, gradients of the initial state
     * scratch  lstm_backward_floats(size)
     * dhs      (N,T,H);  dc (N,H), gradient of the last c, or NULL for zeros
     * cache    as lstm_forward left it; not changed */
    ptrdiff_t (*lstm_backward_floats)(fs_sequence_size size);
    void (*lstm_backward)(float *dxs, float *dWx, float *dWh, float *db, float *dh0, float *dc0,
                          float *scratch, const float *dhs, const float *dc, const float *cache,
                          fs_matrix Wx, fs_matrix Wh, fs_sequence_size size, int threads);

    /* One plain recurrent layer over a whole sequence (Elman 1990); arguments as for the LSTM.
     *     h_t = tanh(x_t Wx + h_{t-1} Wh + b)
     * Wx (D,H);  Wh (H,H);  b (H) */
    ptrdiff_t (*rnn_cache_floats)(fs_sequence_size size);
    ptrdiff_t (*rnn_forward_floats)(fs_sequence_size size);
    void (*rnn_forward)(float *hs, float *h, float *cache, float *scratch, const float *xs,
                        fs_matrix Wx, fs_matrix Wh, const float *b, const float *h0,
                        fs_sequence_size size, int threads);
    ptrdiff_t (*rnn_backward_floats)(fs_sequence_size size);
    void (*rnn_backward)(float *dxs, float *dWx, float *dWh, float *db, float *dh0, float *scratch,
                         const float *dhs, const float *cache, fs_matrix Wx, fs_matrix Wh,
                         fs_sequence_size size, int threads);

    /* One GRU layer over a whole sequence (Cho et al. 2014, version 1 of the paper: the reset gate
     * acts before the product); arguments as for the LSTM, gates in the order z, r, g.
     *     z, r = sigmoid(x_t Wx + h_{t-1} Wh + b);   g = tanh(x_t Wx + (r h_{t-1}) Wh + b)
     *     h_t  = (1 - z) h_{t-1} + z g
     * Wx (D,3H);  Wh (H,3H);  b (3H) */
    ptrdiff_t (*gru_cache_floats)(fs_sequence_size size);
    ptrdiff_t (*gru_forward_floats)(fs_sequence_size size);
    void (*gru_forward)(float *hs, float *h, float *cache, float *scratch, const float *xs,
                        fs_matrix Wx, fs_matrix Wh, const float *b, const float *h0,
                        fs_sequence_size size, int threads);
    ptrdiff_t (*gru_backward_floats)(fs_sequence_size size);
    void (*gru_backward)(float *dxs, float *dWx, float *dWh, float *db, float *dh0, float *scratch,
                         const float *dhs, const float *cache, fs_matrix Wx, fs_matrix Wh,
                         fs_sequence_size size, int threads);

    /* Dot-product attention (Luong, Pham & Manning 2015) of all decoder steps at once, and its two
     * halves.
     *     weights = softmax(dec enc^T);   out = weights enc       for each row of the batch
     * out (N,Td,H) out;  weights (N,Td,Te) out;  enc (N,Te,H);  dec (N,Td,H) */
    void (*attention_forward)(float *out, float *weights, const float *enc, const float *dec,
                              fs_attention_size size, int threads);
    void (*attention_weights_forward)(float *weights, const float *enc, const float *dec,
                                      fs_attention_size size, int threads);
    void (*weighted_sum_forward)(float *out, const float *enc, const float *weights,
                                 fs_attention_size size, int threads);
    /* denc (N,Te,H) out;  ddec (N,Td,H) out;  scratch (threads,Td,Te);  dout (N,Td,H) */
    void (*attention_backward)(float *denc, float *ddec, float *scratch, const float *dout,
                               const float *enc, const float *dec, const float *weights,
                               fs_attention_size size, int threads);
    void (*attention_weights_backward)(float *denc, float *ddec, float *scratch,
                                       const float *dweights, const float *enc, const float *dec,
                                       const float *weights, fs_attention_size size, int threads);
    void (*weighted_sum_backward)(float *denc, float *dweights, const float *dout, const float *enc,
                                  const float *weights, fs_attention_size size, int threads);

    /* p -= rate g, n elements; p is updated in place. */
    void (*sgd_step)(float *p, const float *g, float rate, ptrdiff_t n, int threads);
    /* Adam (Kingma & Ba 2015, algorithm 1), epsilon outside the bias correction:
     *     m += gain1 (g - m);   v += gain2 (g^2 - v);   p -= rate m / (sqrt(v) + epsilon)
     * with gain = 1 - beta, which float32 would spoil here, and
     * rate = lr sqrt(1 - beta2^k) / (1 - beta1^k). p, m, v are updated in place. */
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
