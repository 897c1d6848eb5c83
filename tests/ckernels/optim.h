/* optim.h — updates, sums and scaling against double precision. Shape n. */
#ifndef CHECK_OPTIM_H
#define CHECK_OPTIM_H

#include "check.h"

static void check_updates(const fs_kernels *k, const ptrdiff_t *shape) {
    const ptrdiff_t n = shape[0];
    const float rate = 0.01f, gain1 = 0.1f, gain2 = 0.001f, epsilon = 1e-7f;
    const float *g = new_uniform(n, 1);
    float *p = new_uniform(n, 1);
    float *m = new_uniform(n, 1);
    float *v = new_uniform(n, 1);
    float *sgd_p = new_copy(p, n);
    double *sgd_expected = new_zeros(n);
    double *p_expected = new_zeros(n);
    double *m_expected = new_zeros(n);
    double *v_expected = new_zeros(n);
    for (ptrdiff_t i = 0; i < n; ++i) {
        const double gradient = g[i];
        v[i] = fabsf(v[i]);
        sgd_expected[i] = p[i] - rate * gradient;
        m_expected[i] = m[i] + gain1 * (gradient - m[i]);
        v_expected[i] = v[i] + gain2 * (gradient * gradient - v[i]);
        p_expected[i] = p[i] - rate * m_expected[i] / (sqrt(v_expected[i]) + epsilon);
    }
    k->sgd_step(sgd_p, g, rate, n, THREADS);
    ran("sgd_step");
    expect_close("p", sgd_p, sgd_expected, n, 1, 1);
    k->adam_step(p, m, v, g, rate, gain1, gain2, epsilon, n, THREADS);
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
    k->sum_squares(sums, x, n, THREADS);
    ran("sum_squares");
    expect_close_doubles("sums", sums, sums_expected, runs, n < FS_SUM_RUN ? n : FS_SUM_RUN, 0);
    k->scale(x, 0.1f, n, THREADS);
    ran("scale");
    expect_close("x", x, scaled_expected, n, 1, 0);
}

#endif
