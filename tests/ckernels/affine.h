/* affine.h — the affine kernels compared with double precision. Shape R, K, M. */
#ifndef CHECK_AFFINE_H
#define CHECK_AFFINE_H

#include "check.h"

static void check_affine(const fs_kernels *k, const ptrdiff_t *shape) {
    const ptrdiff_t R = shape[0], K = shape[1], M = shape[2];
    float *xs = new_uniform(R * K, 1);
    const fs_matrix W = new_matrix(K, M, 1);
    const ptrdiff_t b_row = weights_layout == REVERSED ? M : 0;
    const float *b = weights_layout == PADDED ? NULL : new_uniform(b_row ? R * M : M, 1);
    const float *dys = new_uniform(R * M, 1);
    double *ys_expected = new_zeros(R * M);
    double *dxs_expected = new_zeros(R * K);
    double *dW_expected = new_zeros(K * M);
    double *db_expected = new_zeros(M);
    for (ptrdiff_t r = 0; r < R; ++r) {
        for (ptrdiff_t m = 0; m < M; ++m) {
            const double dy = dys[r * M + m];
            ys_expected[r * M + m] = b ? b[r * b_row + m] : 0.0;
            db_expected[m] += dy;
            for (ptrdiff_t i = 0; i < K; ++i) {
                ys_expected[r * M + m] += operand(xs[r * K + i]) * operand(element(W, i, m));
                dxs_expected[r * K + i] += operand(dy) * operand(element(W, i, m));
                dW_expected[i * M + m] += operand(xs[r * K + i]) * operand(dy);
            }
        }
    }
    float *ys = new_floats(R * M);
    SLOT(k, affine_forward)(ys, xs, W, b, b_row, R, K, M, &test_context);
    ran("affine_forward");
    expect_close("ys", ys, ys_expected, R * M, K, 1);
    float *alone = new_floats(R * M);
    for (ptrdiff_t r = 0; r < R; ++r) {
        SLOT(k, affine_forward)(alone + r * M, xs + r * K, W, b ? b + r * b_row : b, 0, 1, K, M,
                                &test_context);
    }
    expect(same_bits(ys, alone, R * M), "a row has the same bits in a batch of one");

    float *dxs = new_floats(R * K);
    float *dW = new_floats(K * M);
    float *db = b ? new_floats(M) : NULL;
    SLOT(k, affine_backward)(dxs, dW, db, dys, xs, W, R, K, M, &test_context);
    ran("affine_backward");
    expect_close("dxs", dxs, dxs_expected, R * K, M, 1);
    expect_close("dW", dW, dW_expected, K * M, R, 1);
    if (db) {
        expect_close("db", db, db_expected, M, R, 1);
    }
    if (R > 0 && K > 0) {
        xs[K - 1] = NAN;
        SLOT(k, affine_forward)(alone, xs, W, b, b_row, R, K, M, &test_context);
        ran("affine_forward");
        expect_nan_in_first_row(alone, ys, R, M);
    }
}

#endif
