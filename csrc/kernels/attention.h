/* kernels/attention.h — dot-product attention of all decoder steps, and its two halves.
 *
 *     weights = softmax(dec enc^T);   out = weights enc
 *
 * Rows of the batch are independent; each is a handful of small products that stay in cache. */
#ifndef FS_ATTENTION_H
#define FS_ATTENTION_H

/* out[i out_row + j] = a_i . b_j for i < I, j < J; rows of a and b are H long and contiguous.
 * Blocks of DOT_ROWS x DOT_COLUMNS accumulators share their loads. Every element is summed lane by
 * lane in ascending k, then across lanes, whatever block it falls in. */
#define DOT_COLUMNS 4
#if FS_TILE_ROWS >= 6
#define DOT_ROWS 4
#else
#define DOT_ROWS 2
#endif

static inline __attribute__((always_inline)) void dot_block(float *out, ptrdiff_t out_row,
                                                            const float *a, const float *b,
                                                            ptrdiff_t H, const int rows,
                                                            const int columns) {
    vf sum[DOT_ROWS][DOT_COLUMNS];
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < columns; ++j) {
            sum[i][j] = vf_set(0.0f);
        }
    }
    for (ptrdiff_t k = 0; k < H; k += FS_LANES) {
        vf column[DOT_COLUMNS];
#pragma GCC unroll 4
        for (int j = 0; j < columns; ++j) {
            column[j] = load_lanes(b + j * H + k, H - k);
        }
#pragma GCC unroll 4
        for (int i = 0; i < rows; ++i) {
            const vf row = load_lanes(a + i * H + k, H - k);
#pragma GCC unroll 4
            for (int j = 0; j < columns; ++j) {
                sum[i][j] = vf_fma(row, column[j], sum[i][j]);
            }
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < columns; ++j) {
            out[i * out_row + j] = vf_sum(sum[i][j]);
        }
    }
}

static __attribute__((noinline)) void dot_products(float *out, ptrdiff_t out_row, const float *a,
                                                   ptrdiff_t I, const float *b, ptrdiff_t J,
                                                   ptrdiff_t H) {
    ptrdiff_t i = 0;
    for (; i + DOT_ROWS <= I; i += DOT_ROWS) {
        ptrdiff_t j = 0;
        for (; j + DOT_COLUMNS <= J; j += DOT_COLUMNS) {
            dot_block(out + i * out_row + j, out_row, a + i * H, b + j * H, H, DOT_ROWS,
                      DOT_COLUMNS);
        }
        for (; j < J; ++j) {
            dot_block(out + i * out_row + j, out_row, a + i * H, b + j * H, H, DOT_ROWS, 1);
        }
    }
    for (; i < I; ++i) {
        ptrdiff_t j = 0;
        for (; j + DOT_COLUMNS <= J; j += DOT_COLUMNS) {
            dot_block(out + i * out_row + j, out_row, a + i * H, b + j * H, H, 1, DOT_COLUMNS);
        }
        for (; j < J; ++j) {
            dot_block(out + i * out_row + j, out_row, a + i * H, b + j * H, H, 1, 1);
        }
    }
}

/* c (rows, H) <- A b, or c + A b where `accumulate`; b (depth, H), A strided. */
static void small_product(float *c, const float *a, ptrdiff_t a_row, ptrdiff_t a_depth,
                          const float *b, ptrdiff_t rows, ptrdiff_t depth, ptrdiff_t H,
                          int accumulate) {
    const matrix_product product = {
        .c = c,
        .c_row = H,
        .start = accumulate ? c : NULL,
        .start_row = H,
        .a = a,
        .a_row = a_row,
        .a_depth = a_depth,
        .b = b,
        .b_row = H,
        .b_column = 1,
        .rows = rows,
        .depth = depth,
        .columns = H,
    };
    compute_block(&product, 0, rows, 0, count_panels(H));
}

typedef struct {
    float *out, *weights;
    float *denc, *ddec, *dweights, *scratch;
    const float *dout, *enc, *dec, *given_weights, *given_dweights;
    ptrdiff_t Te, Td, H;
} attention_rows;

static void weights_row(float *weights, const float *enc, const float *dec, ptrdiff_t Te,
                        ptrdiff_t Td, ptrdiff_t H) {
    dot_products(weights, Te, dec, Td, enc, Te, H);
    for (ptrdiff_t d = 0; d < Td; ++d) {
        softmax_row(weights + d * Te, weights + d * Te, Te);
    }
}

/* dscores_t = w_t (dw_t - sum_s w_s dw_s) for each decoder step; dscores may be dweights. */
static void softmax_backward_row(float *dscores, const float *dweights, const float *weights,
                                 ptrdiff_t Te, ptrdiff_t Td) {
    for (ptrdiff_t d = 0; d < Td; ++d) {
        const float *w = weights + d * Te;
        const float *dw = dweights + d * Te;
        vf sum = vf_set(0.0f);
        for (ptrdiff_t t = 0; t < Te; t += FS_LANES) {
            sum = vf_fma(load_lanes(w + t, Te - t), load_lanes(dw + t, Te - t), sum);
        }
        const vf mean = vf_set(vf_sum(sum));
        for (ptrdiff_t t = 0; t < Te; t += FS_LANES) {
            const vf difference = vf_sub(load_lanes(dw + t, Te - t), mean);
            store_lanes(dscores + d * Te + t, vf_mul(load_lanes(w + t, Te - t), difference),
                        Te - t);
        }
    }
}

static void attention_forward_task(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const attention_rows *r = context;
    const ptrdiff_t Te = r->Te, Td = r->Td, H = r->H;
    (void)thread;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const float *enc = r->enc + n * Te * H;
        const float *weights = r->given_weights ? r->given_weights + n * Td * Te : NULL;
        if (r->weights) {
            weights_row(r->weights + n * Td * Te, enc, r->dec + n * Td * H, Te, Td, H);
            weights = r->weights + n * Td * Te;
        }
        if (r->out) {
            small_product(r->out + n * Td * H, weights, Te, 1, enc, Td, Te, H, 0);
        }
    }
}

// forward was: weights = softmax(dec enc^T); out = weights enc
static void attention_backward_task(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const attention_rows *r = context;
    const ptrdiff_t Te = r->Te, Td = r->Td, H = r->H;
    float *dscores = r->scratch ? r->scratch + thread * Td * Te : NULL;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const float *enc = r->enc + n * Te * H;
        const float *weights = r->given_weights + n * Td * Te;
        float *denc = r->denc + n * Te * H;
        const float *dweights = r->given_dweights ? r->given_dweights + n * Td * Te : dscores;
        if (r->dout) {
            // out = weights enc: dweights = dout enc^T, denc = weights^T dout
            const float *dout = r->dout + n * Td * H;
            float *result = r->dweights ? r->dweights + n * Td * Te : dscores;
            dot_products(result, Te, dout, Td, enc, Te, H);
            small_product(denc, weights, 1, Te, dout, Te, Td, H, 0);
        }
        if (r->dec) {
            // weights = softmax(dec enc^T): ddec = dscores enc, denc += dscores^T dec
            softmax_backward_row(dscores, dweights, weights, Te, Td);
            small_product(r->ddec + n * Td * H, dscores, Te, 1, enc, Td, Te, H, 0);
            small_product(denc, dscores, 1, Te, r->dec + n * Td * H, Te, Td, H, r->dout != NULL);
        }
    }
}

static void run_attention(attention_rows rows, fs_task task, double products,
                          fs_attention_size size, int threads) {
    rows.Te = size.Te;
    rows.Td = size.Td;
    rows.H = size.H;
    const double work =
        2.0 * products * (double)size.N * (double)size.Te * (double)size.Td * (double)size.H;
    parallel_for(size.N, worthwhile_threads(size.N, work, threads), task, &rows);
}

static void attention_forward(float *out, float *weights, const float *enc, const float *dec,
                              fs_attention_size size, int threads) {
    const attention_rows rows = {.out = out, .weights = weights, .enc = enc, .dec = dec};
    run_attention(rows, attention_forward_task, 2, size, threads);
}

static void attention_weights_forward(float *weights, const float *enc, const float *dec,
                                      fs_attention_size size, int threads) {
    const attention_rows rows = {.weights = weights, .enc = enc, .dec = dec};
    run_attention(rows, attention_forward_task, 1, size, threads);
}

static void weighted_sum_forward(float *out, const float *enc, const float *weights,
                                 fs_attention_size size, int threads) {
    const attention_rows rows = {.out = out, .enc = enc, .given_weights = weights};
    run_attention(rows, attention_forward_task, 1, size, threads);
}

static void attention_backward(float *denc, float *ddec, float *scratch, const float *dout,
                               const float *enc, const float *dec, const float *weights,
                               fs_attention_size size, int threads) {
    const attention_rows rows = {.denc = denc,
                                 .ddec = ddec,
                                 .scratch = scratch,
                                 .dout = dout,
                                 .enc = enc,
                                 .dec = dec,
                                 .given_weights = weights};
    run_attention(rows, attention_backward_task, 4, size, threads);
}

static void attention_weights_backward(float *denc, float *ddec, float *scratch,
                                       const float *dweights, const float *enc, const float *dec,
                                       const float *weights, fs_attention_size size, int threads) {
    const attention_rows rows = {.denc = denc,
                                 .ddec = ddec,
                                 .scratch = scratch,
                                 .given_dweights = dweights,
                                 .enc = enc,
                                 .dec = dec,
                                 .given_weights = weights};
    run_attention(rows, attention_backward_task, 2, size, threads);
}

static void weighted_sum_backward(float *denc, float *dweights, const float *dout, const float *enc,
                                  const float *weights, fs_attention_size size, int threads) {
    const attention_rows rows = {
        .denc = denc, .dweights = dweights, .dout = dout, .enc = enc, .given_weights = weights};
    run_attention(rows, attention_backward_task, 2, size, threads);
}

#endif
