/* kernels/recurrent/backward.h — the backward pass of a recurrent layer: packing transposed
 * weights, gradients of states and inputs for some batch rows at one step, then gradients of the
 * weights over all packed rows. See layout.h for the memory layout. */
#ifndef FS_RECURRENT_BACKWARD_H
#define FS_RECURRENT_BACKWARD_H

// forward was: hs_t = h_t, which step t + 1 also reads, so dh_t += dhs_t
static void load_output_gradients(const recurrent_run *run, ptrdiff_t t, ptrdiff_t begin,
                                  ptrdiff_t end) {
    const ptrdiff_t H = run->size.H;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const float *dhs = run->dhs + caller_step(run, n, t) * run->columns;
        float *dh = run->dh + n * run->Hp;
        for (ptrdiff_t j = 0; j < H; j += FS_LANES) {
            vf_store(dh + j, vf_add(load_lanes(dhs + j, H - j), vf_load(dh + j)));
        }
    }
}

/* A panel of W^T for one group, (gates Hp, columns): its rows are in the order of the group's
 * gradients, its columns are the rows of W. */
static void pack_transposed(float *packed, fs_matrix W, const recurrent_run *run,
                            const gate_group *group, ptrdiff_t index, ptrdiff_t columns) {
    const ptrdiff_t H = run->size.H;
    const panel_span span = span_of_panel(index, columns);
    const ptrdiff_t first = span.first_vector * FS_LANES;
    const ptrdiff_t width = span.vectors * FS_LANES;
    const ptrdiff_t depth = group->gates * run->Hp;
    const ptrdiff_t gate_rows = packed_offset(FS_LANES);
    float *const panel = packed + first * packed_depth(depth);
    float *to = panel;
    for (ptrdiff_t p = 0; p < run->P; ++p) {
        const ptrdiff_t valid = min_size(FS_LANES, H - p * FS_LANES);
        for (ptrdiff_t gate = group->first; gate < group->first + group->gates; ++gate) {
            const float *from = W.data + first * W.row + (gate * H + p * FS_LANES) * W.column;
            if (valid < FS_LANES) {
                memset(to, 0, (size_t)(gate_rows * width) * sizeof *to);
            }
            pack_rows(to, from, W.column, FS_LANES * W.row, W.row, valid, span.vectors,
                      columns - first, FS_LANES);
            to += gate_rows * width;
        }
    }
    finish_panel(panel, depth, span.vectors);
}

/* The number of panels for pack_backward: of Wh^T, Wx^T and Wc^T for each group. */
static ptrdiff_t count_transposed(const recurrent_run *run) {
    const fs_recurrent_size *size = &run->size;
    return run->groups * (count_panels(size->H) + count_panels(size->D) + count_panels(size->C));
}

static void pack_backward(const recurrent_run *run, ptrdiff_t item) {
    const ptrdiff_t panels = count_transposed(run) / run->groups;
    const gate_group *group = &run->group[item / panels];
    const float *packed[] = {group->packed_WhT, group->packed_WxT, group->packed_WcT};
    const fs_matrix W[] = {run->Wh, run->Wx, run->Wc};
    const ptrdiff_t rows[] = {run->size.H, run->size.D, run->size.C};
    ptrdiff_t index = item % panels;
    int i = 0;
    while (index >= count_panels(rows[i])) {
        index -= count_panels(rows[i]);
        ++i;
    }
    pack_transposed((float *)packed[i], W[i], run, group, index, rows[i]);
}

/* c (rows, columns) <- dA W^T, or c += dA W^T. `gradients` points to the first of the rows in dA
 * (P, all_rows, gates, FS_LANES). */
static void transposed_product(const recurrent_run *run, const gate_group *group, float *c,
                               ptrdiff_t c_row, int accumulate, const float *gradients,
                               ptrdiff_t all_rows, const float *packed, ptrdiff_t columns,
                               ptrdiff_t rows) {
    const ptrdiff_t width = group->gates * FS_LANES;
    for (ptrdiff_t index = 0; index < count_panels(columns); ++index) {
        const panel_span span = span_of_panel(index, columns);
        const ptrdiff_t column = span.first_vector * FS_LANES;
        compute_panel(
            (panel_product){
                .c = c + column,
                .c_row = c_row,
                .c_vector = FS_LANES,
                .start = accumulate ? c + column : NULL,
                .start_row = c_row,
                .start_vector = FS_LANES,
                .a = gradients,
                .a_row = width,
                .a_depth = 1,
                .a_block = all_rows * width,
                .depth = width,
                .blocks = run->P,
                .b = packed + column * packed_depth(group->gates * run->Hp),
                .b_row = span.vectors * FS_LANES,
                .b_vector = FS_LANES,
                .vectors = span.vectors,
                .lanes = columns - column,
                .lane_step = FS_LANES,
            },
            rows);
    }
}

// forward was: A_t = ... + s_{t-1} Wh, or M_t, so ds_{t-1} = dA_t Wh^T;  ds (N, Hp) is overwritten
// or accumulated
static void project_states_backward(const recurrent_run *run, const gate_group *group, float *ds,
                                    int accumulate, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t Hp = run->Hp;
    const float *dA = gate_vector(group->state_gradients, group, run, 0, first_row(run, t) + begin);
    /* Hp columns: those past H are 0 */
    transposed_product(run, group, ds + begin * Hp, Hp, accumulate, dA, run->rows,
                       group->packed_WhT, Hp, end - begin);
}

// forward was: A_t = x_t Wx + ..., so dx_t = dA_t Wx^T, summed over groups. Several steps form one
// product, as in project_inputs, when the first of them is reached. With a table of the embedding
// there is no dx: see table_gradient.
static void project_inputs_backward(const recurrent_run *run, ptrdiff_t t, ptrdiff_t begin,
                                    ptrdiff_t end) {
    const ptrdiff_t D = run->size.D;
    const ptrdiff_t steps = 1 + ROWS_AT_ONCE / (end - begin);
    if (run->table_rows > 0 || t % steps != 0) {
        return;
    }
    for (int g = 0; g < run->groups; ++g) {
        const gate_group *group = &run->group[g];
        for (ptrdiff_t step = t; step < min_size(t + steps, run->size.T); ++step) {
            const ptrdiff_t row = first_row(run, step) + begin;
            transposed_product(run, group, run->dx + row * D, D, g > 0,
                               gate_vector(group->gradients, group, run, 0, row), run->rows,
                               group->packed_WxT, D, min_size(end, count_rows(run, step)) - begin);
        }
    }
}

// forward was: A_t = ... + context Wc at every step, so dcontext = (sum over t of dA_t) Wc^T
static void context_backward(const recurrent_run *run, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t N = run->size.N, C = run->size.C;
    for (int g = 0; C > 0 && g < run->groups; ++g) {
        const gate_group *group = &run->group[g];
        const ptrdiff_t width = group->gates * FS_LANES;
        for (ptrdiff_t p = 0; p < run->P; ++p) {
            for (ptrdiff_t n = begin; n < end; ++n) {
                float *sum = row_vector(group->context_gradients, N, group, p, n);
                memset(sum, 0, (size_t)width * sizeof(float));
                for (ptrdiff_t t = 0; t < count_steps(run, n); ++t) {
                    add_floats(sum,
                               gate_vector(group->gradients, group, run, p, first_row(run, t) + n),
                               width);
                }
            }
        }
        transposed_product(run, group, run->dcontext + begin * C, C, g > 0,
                           row_vector(group->context_gradients, N, group, 0, begin), N,
                           group->packed_WcT, C, end - begin);
    }
}

// forward was: table = E Wx + b, so dE = dtable Wx^T;  rows [begin, end), overwritten or
// accumulated
static void table_gradient(const recurrent_run *run, float *dE, int accumulate, ptrdiff_t begin,
                           ptrdiff_t end) {
    const ptrdiff_t V = run->table_rows, D = run->size.D;
    for (int g = 0; g < run->groups; ++g) {
        const gate_group *group = &run->group[g];
        transposed_product(run, group, dE + begin * D, D, accumulate || g > 0,
                           row_vector(group->table_gradients, V, group, 0, begin), V,
                           group->packed_WxT, D, end - begin);
    }
}

// forward was: x = E[id], so dE[id] += dx;  ids [begin, end), packed rows in ascending order
static void gathered_gradient(const recurrent_run *run, float *dE, int accumulate, ptrdiff_t begin,
                              ptrdiff_t end) {
    const ptrdiff_t D = run->size.D;
    if (!accumulate) {
        memset(dE + begin * D, 0, (size_t)((end - begin) * D) * sizeof(float));
    }
    for (ptrdiff_t row = 0; row < run->rows; ++row) {
        if (run->ids[row] >= begin && run->ids[row] < end) {
            add_floats(dE + run->ids[row] * D, run->dx + row * D, D);
        }
    }
}

/* to <- from, or to += from */
static void copy_or_add(float *to, const float *from, ptrdiff_t n, int add) {
    if (add) {
        add_floats(to, from, n);
    } else {
        memcpy(to, from, (size_t)n * sizeof(float));
    }
}

/* Copies the gradients of x and the context, for rows [begin, end), to the caller's arrays; adds
 * those of the second direction. */
static void store_input_gradients(const recurrent_run *run, float *dxs, float *dcontext,
                                  ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t T = run->size.T, C = run->size.C, D = run->size.V > 0 ? 0 : run->size.D;
    const int add = run->from_end;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t steps = count_steps(run, n);
        for (ptrdiff_t t = 0; D > 0 && t < steps; ++t) {
            copy_or_add(dxs + caller_step(run, n, t) * D, run->dx + (first_row(run, t) + n) * D, D,
                        add);
        }
        if (D > 0 && !add) {
            memset(dxs + (batch_row(run, n) * T + steps) * D, 0,
                   (size_t)((T - steps) * D) * sizeof(float));
        }
        if (C > 0) {
            copy_or_add(dcontext + batch_row(run, n) * C, run->dcontext + n * C, C, add);
        }
    }
}

/* A weight gradient dW = inputs^T dA;
 * inputs (rows, columns), or those of the block packed by pack_left; gradients dA (P, rows, gates,
 * FS_LANES). */
typedef struct {
    float *dW;
    const float *inputs;
    ptrdiff_t input_row, columns;
    float *gradients;
    ptrdiff_t rows;
    const float *packed;
} weight_product;

/* With fewer panels, packing the inputs takes longer than it saves. */
#define MIN_PANELS_OF_PACKED_INPUTS 4

/* The vectors of the panels for which a group's inputs are packed; 0 if they are not. */
static int left_vectors(const recurrent_run *run, const gate_group *group) {
    if (PACKS_ALWAYS || count_gate_panels(run, group) < MIN_PANELS_OF_PACKED_INPUTS) {
        return 0;
    }
    return group->gates > 1 ? group->gates : PANEL_VECTORS;
}

/* One panel of dW, over `depth` rows from `row` on; overwritten or accumulated. */
static void weight_gradient(const recurrent_run *run, const gate_group *group, gate_panel panel,
                            weight_product product, ptrdiff_t row, ptrdiff_t depth,
                            int accumulate) {
    float *c = product.dW + panel_column(run, group, panel);
    const ptrdiff_t c_row = run->gates * run->size.H;
    const float *dA = row_vector(product.gradients, product.rows, group, panel.p, row);
    ptrdiff_t dA_row = group->gates * FS_LANES, dA_vector = next_vector(group, product.rows);
    _Alignas(64) float packed[PACKS_ALWAYS ? DEPTH_BLOCK * PANEL_COLUMNS : 1];
    if (PACKS_ALWAYS) {
        pack_rows(packed, dA, dA_row, dA_vector, 1, depth, panel.vectors, FS_LANES, 0);
        finish_panel(packed, depth, panel.vectors);
        dA = packed;
        dA_row = panel.vectors * FS_LANES;
        dA_vector = FS_LANES;
    }
    const int in_tiles = product.packed && panel.vectors == left_vectors(run, group);
    compute_panel(
        (panel_product){
            .c = c,
            .c_row = c_row,
            .c_vector = panel.W_vector,
            .start = accumulate ? c : NULL,
            .start_row = c_row,
            .start_vector = panel.W_vector,
            .a = in_tiles ? product.packed : product.inputs + row * product.input_row,
            .a_row = 1,
            .a_depth = product.input_row,
            .in_tiles = in_tiles,
            .depth = depth,
            .blocks = 1,
            .b = dA,
            .b_row = dA_row,
            .b_vector = dA_vector,
            .vectors = panel.vectors,
            .lanes = panel.lanes,
            .lane_step = panel.lane_step,
        },
        product.columns);
}

// forward was: A = ... + b, so db = sum over rows of dA, or of the gradients summed in the table;
// dbh likewise, as M = ... + bh. `depth` of all `rows`, from `row` on; overwritten or accumulated.
static void bias_gradient(const gate_group *group, gate_panel panel, float *db,
                          const float *gradients, ptrdiff_t rows, ptrdiff_t row, ptrdiff_t depth) {
    const float *dA = gradients + (panel.p * rows + row) * group->gates * FS_LANES;
    vf sum[PANEL_VECTORS] = {vf_set(0.0f), vf_set(0.0f), vf_set(0.0f), vf_set(0.0f)};
    for (int v = 0; row > 0 && v < panel.vectors; ++v) {
        sum[v] = load_lanes(db + v * panel.W_vector, panel.lanes - v * panel.lane_step);
    }
    for (ptrdiff_t r = 0; r < depth; ++r) {
        for (int v = 0; v < panel.vectors; ++v) {
            sum[v] = vf_add(sum[v], vf_load(dA + v * next_vector(group, rows)));
        }
        dA += group->gates * FS_LANES;
    }
    for (int v = 0; v < panel.vectors; ++v) {
        store_lanes(db + v * panel.W_vector, sum[v], panel.lanes - v * panel.lane_step);
    }
}

// forward was: A = table[id] + ..., so dtable[id] += dA; for one panel, packed rows in ascending
// order
static void add_to_table(const recurrent_run *run, const gate_group *group, gate_panel panel,
                         ptrdiff_t row, ptrdiff_t depth) {
    const ptrdiff_t V = run->table_rows, width = group->gates * FS_LANES;
    const ptrdiff_t first = panel.p;
    const ptrdiff_t vectors = group->gates > 1 ? 1 : panel.vectors;
    for (ptrdiff_t p = first; p < first + vectors; ++p) {
        const float *dA = gate_vector(group->gradients, group, run, p, row);
        float *table = row_vector(group->table_gradients, V, group, p, 0);
        if (row == 0) {
            memset(table, 0, (size_t)(V * width) * sizeof(float));
        }
        for (ptrdiff_t r = 0; r < depth; ++r) {
            add_floats(table + run->ids[row + r] * width, dA + r * width, width);
        }
    }
}

/* A block of packed rows whose gradients are summed at once; those up to first_state have a zero
 * initial state, and are skipped in dWh. */
typedef struct {
    ptrdiff_t row, depth, first_state;
} row_block;

static row_block block_of_rows(const recurrent_run *run, ptrdiff_t row) {
    const ptrdiff_t zeros = run->size.zero_initial_state ? count_rows(run, 0) : 0;
    const ptrdiff_t depth = min_size(DEPTH_BLOCK, run->rows - row);
    return (row_block){row, depth, row + min_size(max_size(zeros - row, 0), depth)};
}

/* Packs x and s of a block for its products; `first` is the first of the left_rows rows. */
static void pack_inputs(const recurrent_run *run, row_block block, ptrdiff_t first) {
    const ptrdiff_t D = run->size.D, H = run->size.H, place = block.row - first;
    for (int g = 0; g < run->groups; ++g) {
        const gate_group *group = &run->group[g];
        const int vectors = left_vectors(run, group);
        if (vectors == 0) {
            continue;
        }
        if (run->table_rows == 0) {
            pack_left(group->packed_x + place * D, run->x + block.row * D, D, D, block.depth,
                      vectors);
        }
        pack_left(group->packed_state + place * H, group->state + block.first_state * run->Hp,
                  run->Hp, H, block.row + block.depth - block.first_state, vectors);
    }
}

/* The weight gradients of one panel, summed over a block. */
static void add_block(const recurrent_run *run, const gate_group *group, gate_panel panel,
                      row_block block, ptrdiff_t first) {
    const ptrdiff_t D = run->size.D, H = run->size.H, place = block.row - first;
    const int accumulate = block.row > 0;
    float *db = run->db + panel_column(run, group, panel);
    const weight_product dWx = {
        run->dWx, run->x, D, D, group->gradients, run->rows, group->packed_x + place * D};
    const weight_product dWh = {run->dWh,
                                group->state,
                                run->Hp,
                                H,
                                group->state_gradients,
                                run->rows,
                                group->packed_state + place * H};
    if (run->table_rows > 0) {
        add_to_table(run, group, panel, block.row, block.depth);
    } else {
        weight_gradient(run, group, panel, dWx, block.row, block.depth, accumulate);
        bias_gradient(group, panel, db, group->gradients, run->rows, block.row, block.depth);
    }
    const ptrdiff_t depth = block.row + block.depth - block.first_state;
    if (depth > 0 || !accumulate) {
        weight_gradient(run, group, panel, dWh, block.first_state, depth, accumulate);
    }
    if (group->separate_M) {
        bias_gradient(group, panel, run->dbh + panel.p * FS_LANES, group->state_gradients,
                      run->rows, block.row, block.depth);
    }
}

// forward was: A = x Wx + s Wh + b over all rows, so dWx = x^T dA, dWh = s^T dA. Panels [begin,
// end) are the inner loop, so that a block of x and s is read while it is in cache. Of the packed
// rows, those from `first` to `last`.
static void weight_gradients(const recurrent_run *run, ptrdiff_t begin, ptrdiff_t end,
                             ptrdiff_t first, ptrdiff_t last) {
    row_block block;
    ptrdiff_t row = first;
    do { /* once even for no rows: the gradients are then 0 */
        block = block_of_rows(run, row);
        for (ptrdiff_t item = begin; item < end; ++item) {
            ptrdiff_t index = item;
            const gate_group *group = group_of_panel(run, &index);
            add_block(run, group, gate_panel_at(run, group, index), block, first);
        }
        row += block.depth;
    } while (row < last);
}

// forward was: table = E Wx + b, and A = ... + context Wc, so dWx = E^T dtable and dWc = context^T
// (sum over t of dA_t), for panels [begin, end)
static void common_weight_gradients(const recurrent_run *run, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t V = run->table_rows, C = run->size.C, D = run->size.D, N = run->size.N;
    for (ptrdiff_t item = begin; item < end; ++item) {
        ptrdiff_t index = item;
        const gate_group *group = group_of_panel(run, &index);
        const gate_panel panel = gate_panel_at(run, group, index);
        if (V > 0) {
            const weight_product dWx = {run->dWx, run->x, D, D, group->table_gradients, V, NULL};
            weight_gradient(run, group, panel, dWx, 0, V, 0);
            bias_gradient(group, panel, run->db + panel_column(run, group, panel),
                          group->table_gradients, V, 0, V);
        }
        const weight_product dWc = {run->dWc, run->context, C, C, group->context_gradients,
                                    N,        NULL};
        weight_gradient(run, group, panel, dWc, 0, N, 0); /* C may be 0 */
    }
}

#endif
