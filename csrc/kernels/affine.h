/* kernels/affine.h — the product with a weight matrix. ys = xs W + b. */
#ifndef FS_AFFINE_H
#define FS_AFFINE_H

static void affine_forward(float *ys, const float *xs, fs_matrix W, const float *b, ptrdiff_t b_row,
                           ptrdiff_t R, ptrdiff_t K, ptrdiff_t M, int threads) {
    compute_product(
        (matrix_product){
            .c = ys,
            .c_row = M,
            .start = b,
            .start_row = b_row,
            .a = xs,
            .a_row = K,
            .a_depth = 1,
            .b = W.data,
            .b_row = W.row,
            .b_column = W.column,
            .rows = R,
            .depth = K,
            .columns = M,
        },
        threads);
}

/* sums (columns) <- the sum of the rows of x (rows, columns), in ascending order. */
static void sum_rows(float *sums, const float *x, ptrdiff_t rows, ptrdiff_t columns) {
    for (ptrdiff_t column = 0; column < columns; column += FS_LANES) {
        const ptrdiff_t lanes = columns - column;
        vf sum = vf_set(0.0f);
        for (ptrdiff_t r = 0; r < rows; ++r) {
            sum = vf_add(sum, load_lanes(x + r * columns + column, lanes));
        }
        store_lanes(sums + column, sum, lanes);
    }
}

// forward was: ys = xs W + b
static void affine_backward(float *dxs, float *dW, float *db, const float *dys, const float *xs,
                            fs_matrix W, ptrdiff_t R, ptrdiff_t K, ptrdiff_t M, int threads) {
    // db = sum of dys over rows
    if (db) {
        sum_rows(db, dys, R, M);
    }
    // dW = xs^T dys
    compute_product(
        (matrix_product){
            .c = dW,
            .c_row = M,
            .a = xs,
            .a_row = 1,
            .a_depth = K,
            .b = dys,
            .b_row = M,
            .b_column = 1,
            .rows = K,
            .depth = R,
            .columns = M,
        },
        threads);
    // dxs = dys W^T
    compute_product(
        (matrix_product){
            .c = dxs,
            .c_row = K,
            .a = dys,
            .a_row = M,
            .a_depth = 1,
            .b = W.data,
            .b_row = W.column,
            .b_column = W.row,
            .rows = R,
            .depth = M,
            .columns = K,
        },
        threads);
}

#endif
