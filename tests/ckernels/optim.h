/* optim.h — updates, sums and scaling compared with double precision. Shape n. */
#ifndef CHECK_OPTIM_H
#define CHECK_OPTIM_H

#include "check.h"

static void check_sgd(const fs_kernels *k, const ptrdiff_t *shape) {
    const ptrdiff_t n = shape[0];
    const float rate = 0.01f;
    const float *g = new_uniform(n, 1);
    float *p = new_uniform(n, 1);
    double *p_expected = new_zeros(n);
    for (ptrdiff_t i = 0; i < n; ++i) {
        p_expected[i] = p[i] - (double)rate * g[i];
    }
    SLOT(k, sgd_step)(p, g, rate, n, &test_context);
    ran("sgd_step");
    expect_close("p", p, p_expected, n, 1, 1);
}

static void check_velocities(const fs_kernels *k, const ptrdiff_t *shape) {
    const ptrdiff_t n = shape[0];
    const double rate = 0.125, momentum = 0.75; /* exact in float */
    const float *g = new_uniform(n, 1);
    float *p = new_uniform(n, 1);
    float *v = new_uniform(n, 1);
    float *nesterov_p = new_copy(p, n);
    float *nesterov_v = new_copy(v, n);
    double *p_expected = new_zeros(n);
    double *nesterov_expected = new_zeros(n);
    double *v_expected = new_zeros(n);
    for (ptrdiff_t i = 0; i < n; ++i) {
        v_expected[i] = momentum * v[i] - rate * g[i];
        p_expected[i] = p[i] + v_expected[i];
        nesterov_expected[i] = p[i] + momentum * momentum * v_expected[i];
        nesterov_expected[i] -= (1 + momentum) * rate * g[i];
    }
    SLOT(k, momentum_step)(p, v, g, (float)rate, (float)momentum, n, &test_context);
    ran("momentum_step");
    expect_close("p", p, p_expected, n, 1, 1);
    expect_close("v", v, v_expected, n, 1, 1);
    SLOT(k, nesterov_step)(nesterov_p, nesterov_v, g, (float)rate, (float)momentum, n,
                           &test_context);
    ran("nesterov_step");
    expect_close("p", nesterov_p, nesterov_expected, n, 1, 1);
    expect_close("v", nesterov_v, v_expected, n, 1, 1);
}

/* One step of AdaGrad, or of RMSprop: h = decay h + gain g^2, p -= rate g / (sqrt(h) + epsilon). */
static void check_scaled_step(const fs_kernels *k, ptrdiff_t n, int adagrad) {
    const float rate = 0.01f, epsilon = 1e-7f;
    const float decay = adagrad ? 1.0f : 0.875f;
    const float gain = adagrad ? 1.0f : 0.125f;
    const float *g = new_uniform(n, 1);
    float *p = new_uniform(n, 1);
    float *h = new_uniform(n, 1);
    double *p_expected = new_zeros(n);
    double *h_expected = new_zeros(n);
    for (ptrdiff_t i = 0; i < n; ++i) {
        const double gradient = g[i];
        h[i] = fabsf(h[i]);
        h_expected[i] = decay * h[i] + gain * gradient * gradient;
        p_expected[i] = p[i] - rate * gradient / (sqrt(h_expected[i]) + epsilon);
    }
    if (adagrad) {
        SLOT(k, adagrad_step)(p, h, g, rate, epsilon, n, &test_context);
        ran("adagrad_step");
    } else {
        SLOT(k, rmsprop_step)(p, h, g, rate, decay, gain, epsilon, n, &test_context);
        ran("rmsprop_step");
    }
    expect_close("p", p, p_expected, n, 1, 1);
    expect_close("h", h, h_expected, n, 1, 1);
}

static void check_squares(const fs_kernels *k, const ptrdiff_t *shape) {
    check_scaled_step(k, shape[0], 1);
    check_scaled_step(k, shape[0], 0);
}

static void check_adam(const fs_kernels *k, const ptrdiff_t *shape) {
    const ptrdiff_t n = shape[0];
    const float rate = 0.01f, gain1 = 0.1f, gain2 = 0.001f, epsilon = 1e-7f;
    const float *g = new_uniform(n, 1);
    float *p = new_uniform(n, 1);
    float *m = new_uniform(n, 1);
    float *v = new_uniform(n, 1);
    double *p_expected = new_zeros(n);
    double *m_expected = new_zeros(n);
    double *v_expected = new_zeros(n);
    for (ptrdiff_t i = 0; i < n; ++i) {
        const double gradient = g[i];
        v[i] = fabsf(v[i]);
        m_expected[i] = m[i] + gain1 * (gradient - m[i]);
        v_expected[i] = v[i] + gain2 * (gradient * gradient - v[i]);
        p_expected[i] = p[i] - rate * m_expected[i] / (sqrt(v_expected[i]) + epsilon);
    }
    SLOT(k, adam_step)(p, m, v, g, rate, gain1, gain2, epsilon, n, &test_context);
    ran("adam_step");
    expect_close("p", p, p_expected, n, 1, 1);
    expect_close("m", m, m_expected, n, 1, 1);
    expect_close("v", v, v_expected, n, 1, 1);
}

static void check_sum_and_scale(const fs_kernels *k, const ptrdiff_t *shape) {
    const ptrdiff_t n = shape[0];
    const ptrdiff_t runs = (n + FS_SUM_RUN - 1) / FS_SUM_RUN;
    float *x = new_uniform(n, 1);
    double *sums_expected = new_zeros(runs);
    double *scaled_expected = new_zeros(n);
    for (ptrdiff_t i = 0; i < n; ++i) {
        sums_expected[i / FS_SUM_RUN] += (double)x[i] * x[i];
        scaled_expected[i] = 0.1 * x[i];
    }
    double *sums = new_doubles(runs);
    SLOT(k, sum_squares)(sums, x, n, &test_context);
    ran("sum_squares");
    expect_close_doubles("sums", sums, sums_expected, runs, n < FS_SUM_RUN ? n : FS_SUM_RUN, 0);
    SLOT(k, scale)(x, 0.1f, n, &test_context);
    ran("scale");
    expect_close("x", x, scaled_expected, n, 1, 0);
}

#endif
