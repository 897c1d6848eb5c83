/* embedding.h — look-up and scatter-add compared with double precision. Shape R, V, D. */
#ifndef CHECK_EMBEDDING_H
#define CHECK_EMBEDDING_H

#include "check.h"

#define SCATTER_REPEATS 10

static void check_embedding(const fs_kernels *k, const ptrdiff_t *shape) {
    const ptrdiff_t V = shape[1], D = shape[2];
    const ptrdiff_t R = V == 0 ? 0 : shape[0];
    const fs_matrix W = new_matrix(V, D, 1);
    const float *dys = new_uniform(R * D, 1);
    int64_t *ids = new_ids(R);
    double *ys_expected = new_zeros(R * D);
    double *dW_expected = new_zeros(V * D);
    for (ptrdiff_t r = 0; r < R; ++r) {
        ids[r] = 5 * r * r % V; /* some ids twice, some not at all */
        for (ptrdiff_t d = 0; d < D; ++d) {
            ys_expected[r * D + d] = element(W, ids[r], d);
            dW_expected[ids[r] * D + d] += dys[r * D + d];
        }
    }
    float *ys = new_floats(R * D);
    SLOT(k, embedding_forward)(ys, W, ids, R, D, &test_context);
    ran("embedding_forward");
    expect_close("ys", ys, ys_expected, R * D, 0, 0);
    /* repeated: a race of two threads that add to the same row is rare */
    const int repeats = R > V * V ? SCATTER_REPEATS : 1;
    for (int repeat = 0; repeat < repeats; ++repeat) {
        const int arrays = allocation_count;
        float *dW = new_floats(V * D);
        SLOT(k, embedding_backward)(dW, dys, ids, R, V, D, &test_context);
        ran("embedding_backward");
        expect_close("dW", dW, dW_expected, V * D, R, 1);
        free_arrays_from(arrays);
    }
}

#endif
