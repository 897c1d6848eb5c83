/* attention.h — attention and its halves against double precision. Shape N, Te, Td, H. */
#ifndef CHECK_ATTENTION_H
#define CHECK_ATTENTION_H

#include "check.h"
#include "softmax.h"

/* weights (Td,Te) of one row of the batch. */
static void oracle_attention_weights(double *weights, const float *enc, const float *dec,
                                     fs_attention_size size) {
    for (ptrdiff_t d = 0; d < size.Td; ++d) {
        double *scores = weights + d * size.Te;
        for (ptrdiff_t e = 0; e < size.Te; ++e) {
            scores[e] = 0;
            for (ptrdiff_t j = 0; j < size.H; ++j) {
                scores[e] += (double)dec[d * size.H + j] * enc[e * size.H + j];
            }
        }
        oracle_softmax(scores, scores, size.Te);
    }
}

static void oracle_attention_weights_backward(double *denc, double *ddec, const double *dweights,
                                              const float *enc, const float *dec,
                                              const float *weights, fs_attention_size size) {
    const ptrdiff_t Te = size.Te, H = size.H;
    for (ptrdiff_t d = 0; d < size.Td; ++d) {
        double mean = 0;
        for (ptrdiff_t e = 0; e < Te; ++e) {
            mean += weights[d * Te + e] * dweights[d * Te + e];
        }
        for (ptrdiff_t e = 0; e < Te; ++e) {
            const double dscore = weights[d * Te + e] * (dweights[d * Te + e] - mean);
            for (ptrdiff_t j = 0; j < H; ++j) {
                ddec[d * H + j] += dscore * enc[e * H + j];
                denc[e * H + j] += dscore * dec[d * H + j];
            }
        }
    }
}

static void oracle_weighted_sum(double *out, const float *enc, const double *weights,
                                fs_attention_size size) {
    for (ptrdiff_t d = 0; d < size.Td; ++d) {
        for (ptrdiff_t e = 0; e < size.Te; ++e) {
            for (ptrdiff_t j = 0; j < size.H; ++j) {
                out[d * size.H + j] += weights[d * size.Te + e] * enc[e * size.H + j];
            }
        }
    }
}

static void oracle_weighted_sum_backward(double *denc, double *dweights, const float *dout,
                                         const float *enc, const float *weights,
                                         fs_attention_size size) {
    for (ptrdiff_t d = 0; d < size.Td; ++d) {
        for (ptrdiff_t e = 0; e < size.Te; ++e) {
            for (ptrdiff_t j = 0; j < size.H; ++j) {
                const double dy = dout[d * size.H + j];
                dweights[d * size.Te + e] += dy * enc[e * size.H + j];
                denc[e * size.H + j] += weights[d * size.Te + e] * dy;
            }
        }
    }
}

static void check_attention_forward(const fs_kernels *k, fs_attention_size size, const float *enc,
                                    const float *dec, float *weights) {
    const ptrdiff_t N = size.N, Te = size.Te, Td = size.Td, H = size.H;
    const ptrdiff_t length = H + 2 * Te;
    double *weights_expected = new_zeros(N * Td * Te);
    double *out_expected = new_zeros(N * Td * H);
    for (ptrdiff_t n = 0; n < N; ++n) {
        double *w = weights_expected + n * Td * Te;
        oracle_attention_weights(w, enc + n * Te * H, dec + n * Td * H, size);
        oracle_weighted_sum(out_expected + n * Td * H, enc + n * Te * H, w, size);
    }
    float *out = new_floats(N * Td * H);
    k->attention_forward(out, weights, enc, dec, size, THREADS);
    ran("attention_forward");
    expect_close("weights", weights, weights_expected, N * Td * Te, length, 0);
    expect_close("out", out, out_expected, N * Td * H, length, 1);

    float *weights_again = new_floats(N * Td * Te);
    k->attention_weights_forward(weights_again, enc, dec, size, THREADS);
    ran("attention_weights_forward");
    expect_close("weights", weights_again, weights_expected, N * Td * Te, length, 0);
    expect(same_bits(weights_again, weights, N * Td * Te), "has the bits of attention_forward");
    float *out_again = new_floats(N * Td * H);
    k->weighted_sum_forward(out_again, enc, weights, size, THREADS);
    ran("weighted_sum_forward");
    expect_close("out", out_again, out_expected, N * Td * H, length, 1);
    expect(same_bits(out_again, out, N * Td * H), "has the bits of attention_forward");

    const fs_attention_size row = {1, Te, Td, H};
    for (ptrdiff_t n = 0; n < N; ++n) {
        k->attention_forward(out_again + n * Td * H, weights_again + n * Td * Te, enc + n * Te * H,
                             dec + n * Td * H, row, THREADS);
    }
    ran("attention_forward");
    expect(same_bits(out, out_again, N * Td * H), "a row's out has the same bits alone");
    expect(same_bits(weights, weights_again, N * Td * Te), "a row's weights have the same bits");
    if (N * Td * Te * H > 0) {
        float *dirty = new_copy(dec, N * Td * H);
        dirty[H - 1] = NAN;
        k->attention_forward(out_again, weights_again, enc, dirty, size, THREADS);
        ran("attention_forward");
        expect_nan_in_first_row(out_again, out, N * Td, H);
    }
}

static void check_attention_backward(const fs_kernels *k, fs_attention_size size, const float *enc,
                                     const float *dec, const float *weights) {
    const ptrdiff_t N = size.N, Te = size.Te, Td = size.Td, H = size.H;
    const ptrdiff_t length = H + 2 * Te + 2 * Td;
    const float *dout = new_uniform(N * Td * H, 1);
    double *dweights_expected = new_zeros(N * Td * Te);
    double *denc_of_sum = new_zeros(N * Te * H); /* denc = its parts from the two halves */
    double *denc_of_weights = new_zeros(N * Te * H);
    double *denc_expected = new_zeros(N * Te * H);
    double *ddec_expected = new_zeros(N * Td * H);
    for (ptrdiff_t n = 0; n < N; ++n) {
        const float *e = enc + n * Te * H;
        const float *w = weights + n * Td * Te;
        double *dw = dweights_expected + n * Td * Te;
        oracle_weighted_sum_backward(denc_of_sum + n * Te * H, dw, dout + n * Td * H, e, w, size);
        oracle_attention_weights_backward(denc_of_weights + n * Te * H, ddec_expected + n * Td * H,
                                          dw, e, dec + n * Td * H, w, size);
    }
    for (ptrdiff_t i = 0; i < N * Te * H; ++i) {
        denc_expected[i] = denc_of_sum[i] + denc_of_weights[i];
    }
    float *denc = new_floats(N * Te * H);
    float *ddec = new_floats(N * Td * H);
    float *scratch = new_floats(THREADS * Td * Te);
    k->attention_backward(denc, ddec, scratch, dout, enc, dec, weights, size, THREADS);
    ran("attention_backward");
    expect_close("denc", denc, denc_expected, N * Te * H, length, 1);
    expect_close("ddec", ddec, ddec_expected, N * Td * H, length, 1);

    denc = new_floats(N * Te * H);
    float *dweights = new_floats(N * Td * Te);
    k->weighted_sum_backward(denc, dweights, dout, enc, weights, size, THREADS);
    ran("weighted_sum_backward");
    expect_close("denc", denc, denc_of_sum, N * Te * H, length, 1);
    expect_close("dweights", dweights, dweights_expected, N * Td * Te, length, 1);

    denc = new_floats(N * Te * H);
    ddec = new_floats(N * Td * H);
    scratch = new_floats(THREADS * Td * Te);
    k->attention_weights_backward(denc, ddec, scratch, dweights, enc, dec, weights, size, THREADS);
    ran("attention_weights_backward");
    expect_close("denc", denc, denc_of_weights, N * Te * H, length, 1);
    expect_close("ddec", ddec, ddec_expected, N * Td * H, length, 1);
}

static void check_attention(const fs_kernels *k, const ptrdiff_t *shape) {
    const fs_attention_size size = {shape[0], shape[1], shape[2], shape[3]};
    const double scale = 4 / sqrt((double)size.H + 1); /* scores of the order of 1 */
    const float *enc = new_uniform(size.N * size.Te * size.H, 1);
    const float *dec = new_uniform(size.N * size.Td * size.H, scale);
    float *weights = new_floats(size.N * size.Td * size.Te);
    check_attention_forward(k, size, enc, dec, weights);
    check_attention_backward(k, size, enc, dec, weights);
}

#endif
