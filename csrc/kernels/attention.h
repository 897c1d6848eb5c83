/* kernels/attention.h — dot-product attention of all decoder steps, and its two halves.
 *
 *     weights = softmax(scale dec enc^T);   out = weights enc
 *
 * Rows of the batch are independent; each is a few small products that stay in cache. A row with
 * fewer steps than Te or Td is computed with its own sizes and the strides of the batch. */
#ifndef FS_ATTENTION_H
#define FS_ATTENTION_H

/* out[i out_row + j] = a_i . b_j for i < I, j < J; rows of a and b are H long and contiguous.
 * A block of up to DOT_ROWS x DOT_COLUMNS accumulators loads each row of a and b once. Every
 * element is summed lane by lane in ascending k, then across lanes, in any shape of block. */
#define DOT_COLUMNS 4
#if FS_TILE_ROWS >= 6
#define DOT_ROWS 4
#else
#define DOT_ROWS 3
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
    ptrdiff_t k = 0;
    for (; k + FS_LANES <= H; k += FS_LANES) {
        vf row[DOT_ROWS];
#pragma GCC unroll 4
        for (int i = 0; i < rows; ++i) {
            row[i] = vf_keep(operand(vf_load(a + i * H + k)));
        }
#pragma GCC unroll 4
        for (int j = 0; j < columns; ++j) {
            const vf column = vf_keep(operand(vf_load(b + j * H + k)));
#pragma GCC unroll 4
            for (int i = 0; i < rows; ++i) {
                sum[i][j] = vf_fma(row[i], column, sum[i][j]);
            }
        }
    }
    if (k < H) {
        vf row[DOT_ROWS];
#pragma GCC unroll 4
        for (int i = 0; i < rows; ++i) {
            row[i] = operand(vf_load_first(a + i * H + k, H - k));
        }
#pragma GCC unroll 4
        for (int j = 0; j < columns; ++j) {
            const vf column = operand(vf_load_first(b + j * H + k, H - k));
#pragma GCC unroll 4
            for (int i = 0; i < rows; ++i) {
                sum[i][j] = vf_fma(row[i], column, sum[i][j]);
            }
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; ++i) {
        float *to = out + i * out_row;
        if (columns == 1) {
            to[0] = vf_reduce_add(sum[i][0]);
        } else if (columns == DOT_COLUMNS) {
            vf_reduce_add4(to, sum[i][0], sum[i][1], sum[i][2], sum[i][3]);
        } else {
            float sums[DOT_COLUMNS];
            vf_reduce_add4(sums, sum[i][0], sum[i][1], sum[i][columns - 1], sum[i][columns - 1]);
            memcpy(to, sums, (size_t)columns * sizeof *sums);
        }
    }
}

typedef void (*dot_function)(float *out, ptrdiff_t out_row, const float *a, const float *b,
                             ptrdiff_t H);
#define DEFINE_DOTS(ROWS, COLUMNS)                                                                 \
    static void dots_##ROWS##x##COLUMNS(float *out, ptrdiff_t out_row, const float *a,             \
                                        const float *b, ptrdiff_t H) {                             \
        dot_block(out, out_row, a, b, H, ROWS, COLUMNS);                                           \
    }
#define DEFINE_ROW_OF_DOTS(ROWS)                                                                   \
    DEFINE_DOTS(ROWS, 1) DEFINE_DOTS(ROWS, 2) DEFINE_DOTS(ROWS, 3) DEFINE_DOTS(ROWS, 4)
DEFINE_ROW_OF_DOTS(1)
DEFINE_ROW_OF_DOTS(2)
DEFINE_ROW_OF_DOTS(3)
#if DOT_ROWS > 3
DEFINE_ROW_OF_DOTS(4)
#endif

static const dot_function dot_blocks[DOT_ROWS][DOT_COLUMNS] = {
    {dots_1x1, dots_1x2, dots_1x3, dots_1x4},
    {dots_2x1, dots_2x2, dots_2x3, dots_2x4},
    {dots_3x1, dots_3x2, dots_3x3, dots_3x4},
#if DOT_ROWS > 3
    {dots_4x1, dots_4x2, dots_4x3, dots_4x4},
#endif
};

static void dot_products(float *out, ptrdiff_t out_row, const float *a, ptrdiff_t I, const float *b,
                         ptrdiff_t J, ptrdiff_t H) {
    for (ptrdiff_t j = 0, columns; j < J; j += columns) {
        columns = next_tile_size(J - j, DOT_COLUMNS);
        for (ptrdiff_t i = 0, rows; i < I; i += rows) {
            rows = next_tile_size(I - i, DOT_ROWS);
            dot_blocks[rows - 1][columns - 1](out + i * out_row + j, out_row, a + i * H, b + j * H,
                                              H);
        }
    }
}

/* c (rows, H) <- A b; b (depth, H), A strided. */
static void small_product(float *c, const float *a, ptrdiff_t a_row, ptrdiff_t a_depth,
                          const float *b, ptrdiff_t rows, ptrdiff_t depth, ptrdiff_t H) {
    const matrix_product product = {
        .c = c,
        .c_row = H,
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
    compute_block(&product, 0, rows, 0, count_panels(H), 0);
}

/* The arguments of any of the calls; the arrays that a call does not have are NULL. */
typedef struct {
    float *out, *weights;
    float *denc, *ddec, *dweights, *scratch;
    const float *dout, *enc, *dec, *given_weights, *given_dweights;
    float scale;
    fs_attention_size size;
} attention_call;

static inline ptrdiff_t encoder_steps(const fs_attention_size *size, ptrdiff_t n) {
    return size->encoder_lengths ? size->encoder_lengths[n] : size->Te;
}

static inline ptrdiff_t decoder_steps(const fs_attention_size *size, ptrdiff_t n) {
    return size->decoder_lengths ? size->decoder_lengths[n] : size->Td;
}

/* Zeros rows [begin, end) of x (..., columns). */
static void zero_rows(float *x, ptrdiff_t begin, ptrdiff_t end, ptrdiff_t columns) {
    memset(x + begin * columns, 0, (size_t)((end - begin) * columns) * sizeof *x);
}

/* Zeros x (Td,Te) except its first td rows and te columns. */
static void zero_outside(float *x, ptrdiff_t td, ptrdiff_t te, ptrdiff_t Td, ptrdiff_t Te) {
    for (ptrdiff_t d = 0; te < Te && d < td; ++d) {
        memset(x + d * Te + te, 0, (size_t)(Te - te) * sizeof *x);
    }
    zero_rows(x, td, Td, Te);
}

/* Softmax of scale times td rows of scores, in place. */
static void softmax_of_scores(float *scores, float scale, ptrdiff_t td, ptrdiff_t te,
                              ptrdiff_t Te) {
    for (ptrdiff_t d = 0; d < td; ++d) {
        float *row = scores + d * Te;
        if (scale != 1.0f) {
            for (ptrdiff_t e = 0; e < te; e += FS_LANES) {
                store_lanes(row + e, vf_mul(load_lanes(row + e, te - e), vf_set(scale)), te - e);
            }
        }
        softmax_row(row, row, te);
    }
}

// forward was: w = softmax(scale dots); ddots = scale w_e (dw_e - sum_k w_k dw_k), may be dw
static void softmax_of_scores_backward(float *ddots, const float *dweights, const float *weights,
                                       float scale, ptrdiff_t td, ptrdiff_t te, ptrdiff_t Te) {
    for (ptrdiff_t d = 0; d < td; ++d) {
        const float *w = weights + d * Te;
        const float *dw = dweights + d * Te;
        vf sum = vf_set(0.0f);
        for (ptrdiff_t e = 0; e < te; e += FS_LANES) {
            sum = vf_fma(load_lanes(w + e, te - e), load_lanes(dw + e, te - e), sum);
        }
        const vf mean = vf_set(vf_reduce_add(sum));
        for (ptrdiff_t e = 0; e < te; e += FS_LANES) {
            const vf difference = vf_sub(load_lanes(dw + e, te - e), mean);
            const vf dscore = vf_mul(load_lanes(w + e, te - e), difference);
            store_lanes(ddots + d * Te + e, vf_mul(dscore, vf_set(scale)), te - e);
        }
    }
}

static void attention_forward_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const attention_call *r = argument;
    const ptrdiff_t Te = r->size.Te, Td = r->size.Td, H = r->size.H;
    (void)rank;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t te = encoder_steps(&r->size, n), td = decoder_steps(&r->size, n);
        const float *enc = r->enc + n * Te * H;
        const float *weights = r->given_weights ? r->given_weights + n * Td * Te : NULL;
        if (r->weights) {
            float *result = r->weights + n * Td * Te;
            dot_products(result, Te, r->dec + n * Td * H, td, enc, te, H);
            softmax_of_scores(result, r->scale, td, te, Te);
            zero_outside(result, td, te, Td, Te);
            weights = result;
        }
        if (r->out) {
            float *out = r->out + n * Td * H;
            small_product(out, weights, Te, 1, enc, td, te, H);
            zero_rows(out, td, Td, H);
        }
    }
}

// forward was: weights = softmax(scale dec enc^T); out = weights enc
static void attention_backward_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const attention_call *r = argument;
    const ptrdiff_t Te = r->size.Te, Td = r->size.Td, H = r->size.H;
    float *both_weights = r->scratch + rank * 2 * Td * (Te + H);
    float *both_states = both_weights + 2 * Td * Te;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t te = encoder_steps(&r->size, n), td = decoder_steps(&r->size, n);
        const float *enc = r->enc + n * Te * H;
        const float *dout = r->dout + n * Td * H;
        const float *weights = r->given_weights + n * Td * Te;
        float *denc = r->denc + n * Te * H;
        float *ddec = r->ddec + n * Td * H;
        float *ddots = both_weights + td * Te;
        // dweights = dout enc^T, ddec = ddots enc
        dot_products(ddots, Te, dout, td, enc, te, H);
        softmax_of_scores_backward(ddots, ddots, weights, r->scale, td, te, Te);
        small_product(ddec, ddots, Te, 1, enc, td, te, H);
        // denc = weights^T dout + ddots^T dec: as one product, since with few decoder steps its
        // cost is that of writing the result
        memcpy(both_weights, weights, (size_t)(td * Te) * sizeof *weights);
        memcpy(both_states, dout, (size_t)(td * H) * sizeof *dout);
        memcpy(both_states + td * H, r->dec + n * Td * H, (size_t)(td * H) * sizeof *dout);
        small_product(denc, both_weights, 1, Te, both_states, te, 2 * td, H);
        zero_rows(ddec, td, Td, H);
        zero_rows(denc, te, Te, H);
    }
}

// forward was: weights = softmax(scale dec enc^T)
static void weights_backward_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const attention_call *r = argument;
    const ptrdiff_t Te = r->size.Te, Td = r->size.Td, H = r->size.H;
    float *ddots = r->scratch + rank * Td * Te;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t te = encoder_steps(&r->size, n), td = decoder_steps(&r->size, n);
        float *denc = r->denc + n * Te * H;
        float *ddec = r->ddec + n * Td * H;
        softmax_of_scores_backward(ddots, r->given_dweights + n * Td * Te,
                                   r->given_weights + n * Td * Te, r->scale, td, te, Te);
        // ddec = ddots enc, denc = ddots^T dec
        small_product(ddec, ddots, Te, 1, r->enc + n * Te * H, td, te, H);
        small_product(denc, ddots, 1, Te, r->dec + n * Td * H, te, td, H);
        zero_rows(ddec, td, Td, H);
        zero_rows(denc, te, Te, H);
    }
}

// forward was: out = weights enc
static void weighted_sum_backward_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const attention_call *r = argument;
    const ptrdiff_t Te = r->size.Te, Td = r->size.Td, H = r->size.H;
    (void)rank;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t te = encoder_steps(&r->size, n), td = decoder_steps(&r->size, n);
        const float *dout = r->dout + n * Td * H;
        float *denc = r->denc + n * Te * H;
        float *dweights = r->dweights + n * Td * Te;
        // dweights = dout enc^T, denc = weights^T dout
        dot_products(dweights, Te, dout, td, r->enc + n * Te * H, te, H);
        small_product(denc, r->given_weights + n * Td * Te, 1, Te, dout, te, td, H);
        zero_outside(dweights, td, te, Td, Te);
        zero_rows(denc, te, Te, H);
    }
}

/* The number of operations of so many products of states with states or with weights. */
static double attention_operations(const fs_attention_size *size, int products) {
    return 2.0 * products * (double)size->N * (double)size->Te * (double)size->Td * (double)size->H;
}

#define ATTENTION_BACKWARD_PRODUCTS 4

static void run_attention(attention_call rows, range_task task, int products,
                          const fs_context *context) {
    interruptible_for(context, rows.size.N, attention_operations(&rows.size, products), task,
                      &rows);
}

static void attention_forward(float *out, float *weights, const float *enc, const float *dec,
                              float scale, fs_attention_size size, const fs_context *context) {
    const attention_call rows = {
        .out = out, .weights = weights, .enc = enc, .dec = dec, .scale = scale, .size = size};
    run_attention(rows, attention_forward_task, 2, context);
}

static void attention_weights_forward(float *weights, const float *enc, const float *dec,
                                      float scale, fs_attention_size size,
                                      const fs_context *context) {
    const attention_call rows = {
        .weights = weights, .enc = enc, .dec = dec, .scale = scale, .size = size};
    run_attention(rows, attention_forward_task, 1, context);
}

static void weighted_sum_forward(float *out, const float *enc, const float *weights,
                                 fs_attention_size size, const fs_context *context) {
    const attention_call rows = {.out = out, .enc = enc, .given_weights = weights, .size = size};
    run_attention(rows, attention_forward_task, 1, context);
}

/* Per rank, the scratch of attention_backward_task for one row. weights_backward_task needs less,
 * and has fewer operations and so no more ranks. */
static ptrdiff_t attention_backward_floats(fs_attention_size size, const fs_context *context) {
    const int ranks =
        parallel_ranks(context, size.N, attention_operations(&size, ATTENTION_BACKWARD_PRODUCTS));
    return ranks * 2 * size.Td * (size.Te + size.H);
}

static void attention_backward(float *denc, float *ddec, float *scratch, const float *dout,
                               const float *enc, const float *dec, const float *weights,
                               float scale, fs_attention_size size, const fs_context *context) {
    const attention_call rows = {.denc = denc,
                                 .ddec = ddec,
                                 .scratch = scratch,
                                 .dout = dout,
                                 .enc = enc,
                                 .dec = dec,
                                 .given_weights = weights,
                                 .scale = scale,
                                 .size = size};
    run_attention(rows, attention_backward_task, ATTENTION_BACKWARD_PRODUCTS, context);
}

static void attention_weights_backward(float *denc, float *ddec, float *scratch,
                                       const float *dweights, const float *enc, const float *dec,
                                       const float *weights, float scale, fs_attention_size size,
                                       const fs_context *context) {
    const attention_call rows = {.denc = denc,
                                 .ddec = ddec,
                                 .scratch = scratch,
                                 .given_dweights = dweights,
                                 .enc = enc,
                                 .dec = dec,
                                 .given_weights = weights,
                                 .scale = scale,
                                 .size = size};
    run_attention(rows, weights_backward_task, 2, context);
}

static void weighted_sum_backward(float *denc, float *dweights, const float *dout, const float *enc,
                                  const float *weights, fs_attention_size size,
                                  const fs_context *context) {
    const attention_call rows = {.denc = denc,
                                 .dweights = dweights,
                                 .dout = dout,
                                 .enc = enc,
                                 .given_weights = weights,
                                 .size = size};
    run_attention(rows, weighted_sum_backward_task, 2, context);
}

#endif
