/* kernels/affine.h — the product with a weight matrix, ys = xs W + b. */
#ifndef FS_AFFINE_H
#define FS_AFFINE_H

static void affine_forward(float *ys, const float *xs, fs_matrix W, const float *b, ptrdiff_t b_row,
                           ptrdiff_t R, ptrdiff_t K, ptrdiff_t M, const fs_context *context) {
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
        context);
}

/* y = x W + b, with weights for several products. */
typedef struct {
    fs_matrix W;
    const float *b; /* (columns) or NULL */
    ptrdiff_t depth, columns;
    float *packed; /* W in panels, projection_floats(); NULL: W is read in place */
} affine_projection;

static ptrdiff_t projection_floats(const affine_projection *projection) {
    return packed_depth(projection->depth) * round_up(projection->columns, FS_LANES);
}

static float *projection_panel(const affine_projection *projection, panel_span span) {
    return projection->packed + span.first_vector * FS_LANES * packed_depth(projection->depth);
}

/* Panels [begin, end). */
static void pack_projection(const affine_projection *projection, ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t panel = begin; panel < end; ++panel) {
        const panel_span span = span_of_panel(panel, projection->columns);
        const ptrdiff_t column = span.first_vector * FS_LANES;
        float *packed = projection_panel(projection, span);
        pack_rows(packed, projection->W.data + column * projection->W.column, projection->W.row,
                  FS_LANES * projection->W.column, projection->W.column, projection->depth,
                  span.vectors, projection->columns - column, FS_LANES);
        finish_panel(packed, projection->depth, span.vectors);
    }
}

/* y = x W + b;  y (rows, columns), x (rows, depth), with row strides y_row and x_row. The same bits
 * as affine_forward. */
static void compute_projection(const affine_projection *projection, float *y, ptrdiff_t y_row,
                               const float *x, ptrdiff_t x_row, ptrdiff_t rows) {
    const ptrdiff_t panels = count_panels(projection->columns);
    if (projection->packed == NULL) {
        const matrix_product product = {
            .c = y,
            .c_row = y_row,
            .start = projection->b,
            .a = x,
            .a_row = x_row,
            .a_depth = 1,
            .b = projection->W.data,
            .b_row = projection->W.row,
            .b_column = projection->W.column,
            .rows = rows,
            .depth = projection->depth,
            .columns = projection->columns,
        };
        compute_block(&product, 0, rows, 0, panels, 0);
        return;
    }
    for (ptrdiff_t panel = 0; panel < panels; ++panel) {
        const panel_span span = span_of_panel(panel, projection->columns);
        const ptrdiff_t column = span.first_vector * FS_LANES;
        compute_panel(
            (panel_product){
                .c = y + column,
                .c_row = y_row,
                .c_vector = FS_LANES,
                .start = projection->b ? projection->b + column : NULL,
                .start_vector = FS_LANES,
                .a = x,
                .a_row = x_row,
                .a_depth = 1,
                .depth = projection->depth,
                .blocks = 1,
                .b = projection_panel(projection, span),
                .b_row = span.vectors * FS_LANES,
                .b_vector = FS_LANES,
                .vectors = span.vectors,
                .lanes = projection->columns - column,
                .lane_step = FS_LANES,
            },
            rows);
    }
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
                            fs_matrix W, ptrdiff_t R, ptrdiff_t K, ptrdiff_t M,
                            const fs_context *context) {
    // db = sum of dys over rows
    if (db) {
        sum_rows(db, dys, R, M);
    }
    // dW = xs^T dys; until dxs is written, its memory is room for xs
    compute_product(
        (matrix_product){
            .c = dW,
            .c_row = M,
            .room = dxs,
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
        context);
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
        context);
}

#endif
