/* softmax.h — softmax and cross-entropy compared with double precision. Shape R, V. */
#ifndef CHECK_SOFTMAX_H
#define CHECK_SOFTMAX_H

#include "check.h"

/* p (V) <- softmax of x (V), which may be p; returns log sum exp(x). */
static double oracle_softmax(double *p, const double *x, ptrdiff_t V) {
    double largest = -INFINITY;
    double sum = 0;
    for (ptrdiff_t j = 0; j < V; ++j) {
        largest = fmax(largest, x[j]);
    }
    for (ptrdiff_t j = 0; j < V; ++j) {
        sum += exp(x[j] - largest);
    }
    for (ptrdiff_t j = 0; j < V; ++j) {
        p[j] = exp(x[j] - largest) / sum;
    }
    return largest + log(sum);
}

static void check_softmax(const fs_kernels *k, const ptrdiff_t *shape) {
    const ptrdiff_t R = shape[0], V = shape[1];
    float *xs = new_uniform(R * V, 8);
    const double *wide_xs = new_widened(xs, R * V);
    double *p_expected = new_zeros(R * V);
    float *p = new_floats(R * V);
    float *alone = new_floats(R * V);
    SLOT(k, softmax)(p, xs, R, V, &test_context);
    ran("softmax");
    for (ptrdiff_t r = 0; r < R; ++r) {
        oracle_softmax(p_expected + r * V, wide_xs + r * V, V);
        SLOT(k, softmax)(alone + r * V, xs + r * V, 1, V, &test_context);
    }
    expect_close("p", p, p_expected, R * V, V, 0);
    expect(same_bits(p, alone, R * V), "a row has the same bits in a batch of one");
    if (R > 0 && V > 0) {
        float *dirty = new_copy(xs, R * V);
        dirty[V - 1] = NAN;
        SLOT(k, softmax)(dirty, dirty, R, V, &test_context);
        ran("softmax");
        expect_nan_in_first_row(dirty, p, R, V);
    }
    SLOT(k, softmax)(xs, xs, R, V, &test_context);
    ran("softmax");
    expect(same_bits(xs, p, R * V), "y may be x");
}

static void check_log_softmax(const fs_kernels *k, const ptrdiff_t *shape) {
    const ptrdiff_t R = shape[0], V = shape[1];
    const float *xs = new_uniform(R * V, 200); /* most probabilities underflow to 0 */
    const double *wide_xs = new_widened(xs, R * V);
    double *expected = new_zeros(R * V);
    float *log_p = new_floats(R * V);
    float *alone = new_floats(R * V);
    SLOT(k, log_softmax)(log_p, xs, R, V, &test_context);
    ran("log_softmax");
    for (ptrdiff_t r = 0; r < R; ++r) {
        const double log_sum = oracle_softmax(expected + r * V, wide_xs + r * V, V);
        for (ptrdiff_t j = 0; j < V; ++j) {
            expected[r * V + j] = wide_xs[r * V + j] - log_sum;
        }
        SLOT(k, log_softmax)(alone + r * V, xs + r * V, 1, V, &test_context);
    }
    expect_close("log p", log_p, expected, R * V, V, 400);
    expect(same_bits(log_p, alone, R * V), "a row has the same bits in a batch of one");
    if (R > 0 && V > 0) {
        float *dirty = new_copy(xs, R * V), *dirty_log_p = new_floats(R * V);
        dirty[V - 1] = NAN;
        SLOT(k, log_softmax)(dirty_log_p, dirty, R, V, &test_context);
        ran("log_softmax");
        expect_nan_in_first_row(dirty_log_p, log_p, R, V);
    }
}

static void check_log_mean_exp(const fs_kernels *k, const ptrdiff_t *shape) {
    const ptrdiff_t R = shape[0], V = shape[1], K = shape[2];
    if (K == 0) {
        return;
    }
    float *xs = new_uniform(K * R * V, 20);
    double *expected = new_zeros(R * V);
    float *mean = new_floats(R * V), *alone = new_floats(V), *row = new_floats(K * V);
    if (R * V > 0) {
        for (ptrdiff_t i = 0; i < K; ++i) {
            xs[i * R * V] = -INFINITY; /* the logarithm of 0 */
        }
    }
    for (ptrdiff_t i = 0; i < R * V; ++i) {
        for (ptrdiff_t j = 0; j < K; ++j) {
            expected[i] += exp(xs[j * R * V + i]) / (double)K;
        }
        expected[i] = log(expected[i]);
    }
    SLOT(k, log_mean_exp)(mean, xs, K, R, V, &test_context);
    ran("log_mean_exp");
    if (R * V > 0) {
        expect(isinf(mean[0]) && mean[0] < 0, "the mean of zeros is 0");
        expect_close("mean", mean + 1, expected + 1, R * V - 1, K, 20);
    }
    for (ptrdiff_t r = 0; r < R; ++r) {
        for (ptrdiff_t i = 0; i < K * V; ++i) {
            row[i] = xs[(i / V * R + r) * V + i % V];
        }
        SLOT(k, log_mean_exp)(alone, row, K, 1, V, &test_context);
        expect(same_bits(alone, mean + r * V, V), "a row has the same bits alone");
        SLOT(k, log_mean_exp)(alone, row, 1, 1, V, &test_context);
        expect(same_bits(alone, row, V), "the mean of one is its value");
    }
    if (R * V > 1) {
        float *dirty = new_copy(xs, K * R * V), *dirty_mean = new_floats(R * V);
        dirty[1] = NAN;
        SLOT(k, log_mean_exp)(dirty_mean, dirty, K, R, V, &test_context);
        ran("log_mean_exp");
        expect(isnan(dirty_mean[1]) && same_bits(dirty_mean + 2, mean + 2, R * V - 2),
               "NaN stays in its element");
    }
}

static void check_softmax_loss(const fs_kernels *k, const ptrdiff_t *shape) {
    const ptrdiff_t R = shape[0], V = shape[1];
    const float scale = 0.25f;
    const float *xs = new_uniform(R * V, 8);
    const double *wide_xs = new_widened(xs, R * V);
    int64_t *labels = new_ids(R);
    double *p_expected = new_zeros(R * V);
    double *losses_expected = new_zeros(R);
    double *dxs_expected = new_zeros(R * V);
    for (ptrdiff_t r = 0; r < R; ++r) {
        const double log_sum = oracle_softmax(p_expected + r * V, wide_xs + r * V, V);
        const int ignored = V == 0 || r % 3 == 2;
        labels[r] = ignored ? -1 - r : 7 * r % V;
        losses_expected[r] = ignored ? 0 : log_sum - wide_xs[r * V + labels[r]];
        for (ptrdiff_t j = 0; j < V && !ignored; ++j) {
            dxs_expected[r * V + j] = (p_expected[r * V + j] - (j == labels[r])) * scale;
        }
    }
    float *p = new_floats(R * V);
    double *losses = new_doubles(R);
    SLOT(k, softmax_loss_forward)(p, losses, xs, labels, R, V, &test_context);
    ran("softmax_loss_forward");
    expect_close("p", p, p_expected, R * V, V, 0);
    expect_close_doubles("losses", losses, losses_expected, R, V, 8);
    float *dxs = new_floats(R * V);
    SLOT(k, softmax_loss_backward)(dxs, p, labels, scale, R, V, &test_context);
    ran("softmax_loss_backward");
    expect_close("dxs", dxs, dxs_expected, R * V, V, scale);
}

#endif
