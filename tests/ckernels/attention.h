/* attention.h — attention and its parts compared with double precision, with sequences of fixed and
 * of variable length. Shape N, Te, Td, H. */
#ifndef CHECK_ATTENTION_H
#define CHECK_ATTENTION_H

#include "check.h"
#include "softmax.h"

/* Repeated: threads with the same scratch give wrong results only if they run at the same time. */
#define ATTENTION_REPEATS 10

/* Elements past a row's steps are NaN in all inputs, and must be 0 in all results. */
typedef struct {
    fs_attention_size size;
    float scale;
    const float *enc, *dec, *dout;
    const float *v; /* (H) of additive attention */
    double *weights, *out;
    double *denc_of_sum, *denc_of_weights; /* denc is the sum of those of the two halves */
    double *denc, *ddec, *dweights, *dv;
} attention_case;

/* One row of the batch, in the case's arrays. */
typedef struct {
    ptrdiff_t te, td;
    const float *enc, *dec, *dout;
    double *weights, *out, *denc_of_sum, *denc_of_weights, *ddec, *dweights;
} attention_row;

static attention_row row_of_case(const attention_case *c, ptrdiff_t n) {
    const fs_attention_size *s = &c->size;
    const ptrdiff_t enc = n * s->Te * s->H, dec = n * s->Td * s->H, weights = n * s->Td * s->Te;
    return (attention_row){
        .te = s->encoder_lengths ? s->encoder_lengths[n] : s->Te,
        .td = s->decoder_lengths ? s->decoder_lengths[n] : s->Td,
        .enc = c->enc + enc,
        .dec = c->dec + dec,
        .dout = c->dout + dec,
        .weights = c->weights + weights,
        .out = c->out + dec,
        .denc_of_sum = c->denc_of_sum + enc,
        .denc_of_weights = c->denc_of_weights + enc,
        .ddec = c->ddec + dec,
        .dweights = c->dweights + weights,
    };
}

/* ---- double precision ---- */

static void oracle_attention(const attention_case *c, attention_row r) {
    const ptrdiff_t Te = c->size.Te, H = c->size.H;
    for (ptrdiff_t d = 0; d < r.td; ++d) {
        double *scores = r.weights + d * Te;
        for (ptrdiff_t e = 0; e < r.te; ++e) {
            for (ptrdiff_t j = 0; j < H; ++j) {
                const double x = r.enc[e * H + j], y = r.dec[d * H + j];
                scores[e] += c->v ? c->v[j] * tanh(x + y) : c->scale * operand(x) * operand(y);
            }
        }
        oracle_softmax(scores, scores, r.te);
        for (ptrdiff_t e = 0; e < r.te; ++e) {
            for (ptrdiff_t j = 0; j < H; ++j) {
                r.out[d * H + j] += operand(scores[e]) * operand(r.enc[e * H + j]);
            }
        }
    }
}

/* The gradients, from `weights` (Td,Te) as the kernel computed them. */
static void oracle_attention_backward(const attention_case *c, attention_row r,
                                      const float *weights) {
    const ptrdiff_t Te = c->size.Te, H = c->size.H;
    for (ptrdiff_t d = 0; d < r.td; ++d) {
        const float *w = weights + d * Te;
        double *dw = r.dweights + d * Te;
        double mean = 0;
        for (ptrdiff_t e = 0; e < r.te; ++e) {
            for (ptrdiff_t j = 0; j < H; ++j) {
                const double dy = r.dout[d * H + j];
                dw[e] += operand(dy) * operand(r.enc[e * H + j]);
                r.denc_of_sum[e * H + j] += operand(w[e]) * operand(dy);
            }
            mean += w[e] * dw[e];
        }
        for (ptrdiff_t e = 0; e < r.te; ++e) {
            const double dscore = w[e] * (dw[e] - mean);
            for (ptrdiff_t j = 0; j < H; ++j) {
                const double x = r.enc[e * H + j], y = r.dec[d * H + j];
                const double t = tanh(x + y);
                const double slope = c->v ? c->v[j] * (1 - t * t) : c->scale;
                const double ddot = c->v ? dscore * slope : operand(dscore * slope);
                r.ddec[d * H + j] += ddot * (c->v ? 1 : operand(x));
                r.denc_of_weights[e * H + j] += ddot * (c->v ? 1 : operand(y));
                c->dv[j] += dscore * t;
            }
        }
    }
}

/* ---- the case ---- */

/* Lengths from `least` to T, including both. */
static const ptrdiff_t *new_lengths(ptrdiff_t N, ptrdiff_t T, ptrdiff_t least) {
    ptrdiff_t *lengths = new_array(N * (ptrdiff_t)sizeof *lengths, 0);
    for (ptrdiff_t n = 0; n < N; ++n) {
        lengths[n] = least + (T - least) * ((n * 3 + 2) % 5) / 4; /* half, least, most, ... */
    }
    return lengths;
}

/* An input (N,T,columns). */
static float *new_padded(const ptrdiff_t *lengths, ptrdiff_t N, ptrdiff_t T, ptrdiff_t columns,
                         double scale) {
    float *x = new_uniform(N * T * columns, scale);
    for (ptrdiff_t n = 0; lengths && n < N; ++n) {
        for (ptrdiff_t i = lengths[n] * columns; i < T * columns; ++i) {
            x[n * T * columns + i] = NAN;
        }
    }
    return x;
}

/* A copy of weights (N,Td,Te) or of their gradient, NaN past a row's steps. */
static float *new_spoilt(const float *weights, const fs_attention_size *s) {
    float *x = new_copy(weights, s->N * s->Td * s->Te);
    for (ptrdiff_t i = 0; s->encoder_lengths && i < s->N * s->Td * s->Te; ++i) {
        const ptrdiff_t n = i / (s->Td * s->Te), d = i / s->Te % s->Td, e = i % s->Te;
        if (e >= s->encoder_lengths[n] || d >= s->decoder_lengths[n]) {
            x[i] = NAN;
        }
    }
    return x;
}

static attention_case new_case(const ptrdiff_t *shape, int with_lengths, int additive) {
    const ptrdiff_t N = shape[0], Te = shape[1], Td = shape[2], H = shape[3];
    const ptrdiff_t *encoder_lengths = with_lengths ? new_lengths(N, Te, 1) : NULL;
    const ptrdiff_t *decoder_lengths = with_lengths ? new_lengths(N, Td, 0) : NULL;
    const double scale = 4 / sqrt((double)H + 1); /* scores of magnitude 1 */
    attention_case c = {
        .size = {N, Te, Td, H, encoder_lengths, decoder_lengths},
        .scale = with_lengths ? 0.7f : 1.0f,
        .enc = new_padded(encoder_lengths, N, Te, H, 1),
        .dec = new_padded(decoder_lengths, N, Td, H, additive ? 1 : scale),
        .dout = new_padded(decoder_lengths, N, Td, H, 1),
        .v = additive ? new_uniform(H, scale) : NULL,
        .weights = new_zeros(N * Td * Te),
        .out = new_zeros(N * Td * H),
        .denc_of_sum = new_zeros(N * Te * H),
        .denc_of_weights = new_zeros(N * Te * H),
        .denc = new_zeros(N * Te * H),
        .ddec = new_zeros(N * Td * H),
        .dweights = new_zeros(N * Td * Te),
        .dv = new_zeros(H),
    };
    for (ptrdiff_t n = 0; n < N; ++n) {
        oracle_attention(&c, row_of_case(&c, n));
    }
    return c;
}

static void expect_gradients(attention_case *c, const float *weights) {
    const fs_attention_size *s = &c->size;
    for (ptrdiff_t n = 0; n < s->N; ++n) {
        oracle_attention_backward(c, row_of_case(c, n), weights + n * s->Td * s->Te);
    }
    for (ptrdiff_t i = 0; i < s->N * s->Te * s->H; ++i) {
        c->denc[i] = c->denc_of_sum[i] + c->denc_of_weights[i];
    }
}

/* The number of runs of a backward pass: several if it has several threads. */
static int backward_repeats(const fs_attention_size *s) {
    return (double)s->N * (double)s->Te * (double)s->Td * (double)s->H > 1e6 ? ATTENTION_REPEATS
                                                                             : 1;
}

/* ---- checks ---- */

/* One of the two kernels of weights. */
static void run_weights(const fs_kernels *k, float *weights, const float *enc, const float *dec,
                        const attention_case *c, fs_attention_size size) {
    if (c->v) {
        SLOT(k, additive_weights_forward)(weights, enc, dec, c->v, size, &test_context);
        ran("additive_weights_forward");
    } else {
        SLOT(k, attention_weights_forward)(weights, enc, dec, c->scale, size, &test_context);
        ran("attention_weights_forward");
    }
}

/* Each row without its padding has the same bits as in the batch. */
static void check_attention_rows_alone(const fs_kernels *k, const attention_case *c,
                                       const float *weights, const float *out) {
    const ptrdiff_t Te = c->size.Te, Td = c->size.Td, H = c->size.H;
    for (ptrdiff_t n = 0; n < c->size.N; ++n) {
        const int arrays = allocation_count;
        const attention_row r = row_of_case(c, n);
        const fs_attention_size alone = {.N = 1, .Te = r.te, .Td = r.td, .H = H};
        float *row_weights = new_floats(r.td * r.te);
        float *row_out = new_floats(r.td * H);
        run_weights(k, row_weights, r.enc, r.dec, c, alone);
        for (ptrdiff_t d = 0; d < r.td; ++d) {
            expect(same_bits(row_weights + d * r.te, weights + (n * Td + d) * Te, r.te),
                   "a row's weights have the same bits alone");
        }
        SLOT(k, weighted_sum_forward)(row_out, r.enc, row_weights, alone, &test_context);
        ran("weighted_sum_forward");
        expect(same_bits(row_out, out + n * Td * H, r.td * H),
               "a row's out has the same bits alone");
        free_arrays_from(arrays);
    }
}

static void check_nan_in_attention(const fs_kernels *k, const attention_case *c,
                                   const float *weights, const float *out) {
    const ptrdiff_t N = c->size.N, Te = c->size.Te, Td = c->size.Td, H = c->size.H;
    float *dec = new_copy(c->dec, N * Td * H);
    float *dirty_weights = new_floats(N * Td * Te);
    float *dirty_out = new_floats(N * Td * H);
    dec[H - 1] = NAN;
    run_weights(k, dirty_weights, c->enc, dec, c, c->size);
    expect_nan_in_first_row(dirty_weights, weights, N * Td, Te);
    SLOT(k, weighted_sum_forward)(dirty_out, c->enc, dirty_weights, c->size, &test_context);
    ran("weighted_sum_forward");
    expect_nan_in_first_row(dirty_out, out, N * Td, H);
    if (!c->v) {
        SLOT(k, attention_forward)(dirty_out, dirty_weights, c->enc, dec, c->scale, c->size,
                                   &test_context);
        ran("attention_forward");
        expect_nan_in_first_row(dirty_weights, weights, N * Td, Te);
        expect_nan_in_first_row(dirty_out, out, N * Td, H);
    }
}

/* The weights, then the weighted sum. */
static void check_halves_forward(const fs_kernels *k, const attention_case *c, float *weights,
                                 float *out) {
    const ptrdiff_t N = c->size.N, Te = c->size.Te, Td = c->size.Td, H = c->size.H;
    const ptrdiff_t length = H + 2 * Te;
    run_weights(k, weights, c->enc, c->dec, c, c->size);
    expect_close("weights", weights, c->weights, N * Td * Te, length, 0);
    SLOT(k, weighted_sum_forward)(out, c->enc, new_spoilt(weights, &c->size), c->size,
                                  &test_context);
    ran("weighted_sum_forward");
    expect_close("out", out, c->out, N * Td * H, length, 1);
    check_attention_rows_alone(k, c, weights, out);
    if (N * Td * Te * H > 0 && !c->size.encoder_lengths) {
        check_nan_in_attention(k, c, weights, out);
    }
}

/* The gradients of the weighted sum; dweights is the input of the other half. */
static void check_sum_backward(const fs_kernels *k, const attention_case *c, const float *weights,
                               float *dweights, ptrdiff_t length) {
    const ptrdiff_t N = c->size.N, Te = c->size.Te, Td = c->size.Td, H = c->size.H;
    float *denc = new_floats(N * Te * H);
    SLOT(k, weighted_sum_backward)(denc, dweights, c->dout, c->enc, weights, c->size,
                                   &test_context);
    ran("weighted_sum_backward");
    expect_close("denc", denc, c->denc_of_sum, N * Te * H, length, 1);
    expect_close("dweights", dweights, c->dweights, N * Td * Te, length, 1);
}

static void check_whole_backward(const fs_kernels *k, const attention_case *c, const float *weights,
                                 ptrdiff_t length) {
    const ptrdiff_t N = c->size.N, Te = c->size.Te, Td = c->size.Td, H = c->size.H;
    const int arrays = allocation_count;
    for (int repeat = 0; repeat < backward_repeats(&c->size); ++repeat) {
        float *denc = new_floats(N * Te * H);
        float *ddec = new_floats(N * Td * H);
        float *scratch = new_floats(SLOT(k, attention_backward_floats)(c->size, &test_context));
        SLOT(k, attention_backward)(denc, ddec, scratch, c->dout, c->enc, c->dec, weights, c->scale,
                                    c->size, &test_context);
        ran("attention_backward");
        expect_close("denc", denc, c->denc, N * Te * H, length, 1);
        expect_close("ddec", ddec, c->ddec, N * Td * H, length, 1);
        free_arrays_from(arrays);
    }
}

/* The other half's gradients, of one of the two kernels of weights. */
static void check_weights_backward(const fs_kernels *k, const attention_case *c,
                                   const float *weights, const float *dweights, ptrdiff_t length) {
    const ptrdiff_t N = c->size.N, Te = c->size.Te, Td = c->size.Td, H = c->size.H;
    const int arrays = allocation_count;
    for (int repeat = 0; repeat < backward_repeats(&c->size); ++repeat) {
        float *denc = new_floats(N * Te * H);
        float *ddec = new_floats(N * Td * H);
        float *dv = new_floats(H);
        if (c->v) {
            float *scratch = new_floats(SLOT(k, additive_backward_floats)(c->size, &test_context));
            SLOT(k, additive_weights_backward)(denc, ddec, dv, scratch, dweights, c->enc, c->dec,
                                               c->v, weights, c->size, &test_context);
            ran("additive_weights_backward");
            expect_close("dv", dv, c->dv, H, length + N * Td * Te, 1);
        } else {
            float *scratch = new_floats(SLOT(k, attention_backward_floats)(c->size, &test_context));
            SLOT(k, attention_weights_backward)(denc, ddec, scratch, dweights, c->enc, c->dec,
                                                weights, c->scale, c->size, &test_context);
            ran("attention_weights_backward");
        }
        expect_close("denc", denc, c->denc_of_weights, N * Te * H, length, 1);
        expect_close("ddec", ddec, c->ddec, N * Td * H, length, 1);
        free_arrays_from(arrays);
    }
}

/* Both kinds of attention, in two halves; dot-product attention also as a whole. */
static void check_attention_case(const fs_kernels *k, const ptrdiff_t *shape, int with_lengths,
                                 int additive) {
    const ptrdiff_t N = shape[0], Te = shape[1], Td = shape[2], H = shape[3];
    attention_case c = new_case(shape, with_lengths, additive);
    float *weights = new_floats(N * Td * Te);
    float *out = new_floats(N * Td * H);
    check_halves_forward(k, &c, weights, out);
    if (!additive) {
        float *whole_weights = new_floats(N * Td * Te);
        float *whole_out = new_floats(N * Td * H);
        SLOT(k, attention_forward)(whole_out, whole_weights, c.enc, c.dec, c.scale, c.size,
                                   &test_context);
        ran("attention_forward");
        expect_close("weights", whole_weights, c.weights, N * Td * Te, H + 2 * Te, 0);
        expect_close("out", whole_out, c.out, N * Td * H, H + 2 * Te, 1);
        expect(same_bits(whole_weights, weights, N * Td * Te), "has the bits of its halves");
        expect(same_bits(whole_out, out, N * Td * H), "has the bits of its halves");
    }

    expect_gradients(&c, weights);
    const ptrdiff_t length = H + 2 * Te + 2 * Td;
    const float *w = new_spoilt(weights, &c.size);
    float *dweights = new_floats(N * Td * Te);
    if (!additive) {
        check_whole_backward(k, &c, w, length);
    }
    check_sum_backward(k, &c, w, dweights, length);
    check_weights_backward(k, &c, w, new_spoilt(dweights, &c.size), length);
}

static void check_attention(const fs_kernels *k, const ptrdiff_t *shape) {
    for (int additive = 0; additive < 2; ++additive) {
        check_attention_case(k, shape, 0, additive);
        if (shape[1] > 0) { /* a row has at least one encoder step */
            check_attention_case(k, shape, 1, additive);
        }
    }
}

#endif
