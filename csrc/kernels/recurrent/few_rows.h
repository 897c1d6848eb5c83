/* kernels/recurrent/few_rows.h — the products of the forward pass with few rows: packing the
 * weights would not pay, so they are streamed from the caller's arrays, Wx once for all steps. See
 * layout.h for the memory layout. */
#ifndef FS_RECURRENT_FEW_ROWS_H
#define FS_RECURRENT_FEW_ROWS_H

/* Whether the weights are streamed instead of packed, for all columns of A at once. */
static int streams_weights(const recurrent_run *run) {
    return run->few_reads && run->Wx.column == 1 && run->Wh.column == 1;
}

/* c += a W for the columns of a group;  c (rows, streamed_row), a (rows, depth). */
static matrix_product group_product(const recurrent_run *run, const gate_group *group, float *c,
                                    const float *a, ptrdiff_t a_row, fs_matrix W, ptrdiff_t depth,
                                    ptrdiff_t rows) {
    const ptrdiff_t row = streamed_row(run, group);
    return (matrix_product){
        .c = c,
        .c_row = row,
        .start = c,
        .start_row = row,
        .a = a,
        .a_row = a_row,
        .a_depth = 1,
        .b = W.data + group->first * run->size.H,
        .b_row = W.row,
        .b_column = 1,
        .rows = rows,
        .depth = depth,
        .columns = group->gates * run->size.H,
    };
}

/* Columns of a group's streamed rows. */
typedef struct {
    ptrdiff_t begin, end; /* in panels */
    ptrdiff_t first_column, last_column;
} streamed_columns;

/* Parts [begin, end) of a group's columns, split into `count` equal parts. */
static streamed_columns columns_of_parts(const recurrent_run *run, const gate_group *group,
                                         ptrdiff_t begin, ptrdiff_t end, ptrdiff_t count) {
    const ptrdiff_t columns = group->gates * run->size.H;
    const ptrdiff_t panels = count_panels(columns);
    const ptrdiff_t first = panels * begin / count, last = panels * end / count;
    return (streamed_columns){first, last, column_of_panel(first, columns),
                              column_of_panel(last, columns)};
}

/* A = x Wx + b, or x Wx + (context Wc + b), for some columns of a group and all packed rows: each
 * weight is read once. The order of the sums is that of packed panels. */
static void stream_inputs(const recurrent_run *run, const gate_group *group,
                          streamed_columns columns) {
    const ptrdiff_t N = run->size.N, C = run->size.C, D = run->size.D;
    const ptrdiff_t row = streamed_row(run, group), first = columns.first_column;
    const ptrdiff_t count = columns.last_column - first;
    const size_t bytes = (size_t)count * sizeof(float);
    const float *b = run->b + group->first * run->size.H + first;
    if (C > 0) {
        for (ptrdiff_t n = 0; n < N; ++n) {
            memcpy(group->streamed_context + n * row + first, b, bytes);
        }
        const matrix_product product =
            group_product(run, group, group->streamed_context, run->context, C, run->Wc, C, N);
        compute_block(&product, 0, N, columns.begin, columns.end, 0);
    }
    for (ptrdiff_t t = 0; t < run->size.T; ++t) {
        for (ptrdiff_t n = 0; n < count_rows(run, t); ++n) {
            float *A = group->streamed + (first_row(run, t) + n) * row + first;
            if (C > 0 && run->gathers) {
                memset(A, 0, bytes);
            } else {
                memcpy(A, C > 0 ? group->streamed_context + n * row + first : b, bytes);
            }
        }
    }
    const matrix_product product =
        group_product(run, group, group->streamed, run->x, D, run->Wx, D, run->rows);
    compute_block(&product, 0, run->rows, columns.begin, columns.end, 0);
    for (ptrdiff_t t = 0; C > 0 && run->gathers && t < run->size.T; ++t) {
        for (ptrdiff_t n = 0; n < count_rows(run, t); ++n) {
            add_floats(group->streamed + (first_row(run, t) + n) * row + first,
                       group->streamed_context + n * row + first, count);
        }
    }
}

/* A += s_{t-1} Wh, or M = s_{t-1} Wh + bh, for those columns of a group that belong to the part's
 * rank. */
static void stream_states(const recurrent_run *run, const gate_group *group, recurrent_part part,
                          ptrdiff_t t) {
    if (!streams_weights(run)) {
        return;
    }
    const streamed_columns columns =
        columns_of_parts(run, group, part.team.rank, part.team.rank + 1, part.team.ranks);
    const ptrdiff_t rows = min_size(part.end, count_rows(run, t)) - part.begin;
    const int zero_initial_state = t == 0 && run->size.zero_initial_state;
    float *A = group->streamed + (first_row(run, t) + part.begin) * streamed_row(run, group);
    matrix_product product = group_product(
        run, group, A, group->state + (first_state_row(run, t) + part.begin) * run->Hp, run->Hp,
        run->Wh, zero_initial_state ? 0 : run->size.H, rows);
    if (group->separate_M) {
        product.c = group->streamed_state + part.begin * streamed_row(run, group);
        product.start = run->bh;
        product.start_row = 0;
    }
    if (rows > 0 && (group->separate_M || !zero_initial_state)) {
        compute_block(&product, 0, rows, columns.begin, columns.end, 0);
    }
    barrier(part.team);
}

/* to (P, value_rows, gates, FS_LANES) <- streamed columns, for `rows` rows of one panel. */
static void load_streamed_columns(const recurrent_run *run, const gate_group *group,
                                  gate_panel panel, float *to, const float *streamed,
                                  ptrdiff_t rows) {
    for (int v = 0; v < panel.vectors; ++v) {
        float *values = to + v * next_vector(group, run->value_rows);
        const float *from = streamed + panel.p * FS_LANES + v * panel.W_vector;
        const ptrdiff_t lanes = panel.lanes - v * panel.lane_step;
        for (ptrdiff_t n = 0; n < rows; ++n) {
            vf_store(values + n * group->gates * FS_LANES,
                     load_lanes(from + n * streamed_row(run, group), lanes));
        }
    }
}

/* values <- A, and M if it is separate, for rows [begin, end) of one panel at step t. */
static void load_streamed(const recurrent_run *run, const gate_group *group, gate_panel panel,
                          ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t row = first_value_row(run, t) + begin, width = streamed_row(run, group);
    load_streamed_columns(run, group, panel, gate_vector(group->values, group, run, panel.p, row),
                          group->streamed + (first_row(run, t) + begin) * width, end - begin);
    if (group->separate_M) {
        load_streamed_columns(run, group, panel,
                              gate_vector(group->state_values, group, run, panel.p, row),
                              group->streamed_state + begin * width, end - begin);
    }
}

#endif
