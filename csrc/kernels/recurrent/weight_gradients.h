/* kernels/recurrent/weight_gradients.h — the gradients of a recurrent layer's weights: sums over
 * all packed rows, after the backward pass over the sequence, block by block and panel by panel.
 * See layout.h for the memory layout. */
#ifndef FS_RECURRENT_WEIGHT_GRADIENTS_H
#define FS_RECURRENT_WEIGHT_GRADIENTS_H

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

/* The vectors of the panels for which a group's inputs are packed; 0 if they are not. */
static int left_vectors(const recurrent_run *run, const gate_group *group) {
    if (count_gate_panels(run, group) < MIN_PANELS_OF_PACKED_INPUTS) {
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
    const int packed_left = product.packed && panel.vectors == left_vectors(run, group);
    compute_panel(
        (panel_product){
            .c = c,
            .c_row = c_row,
            .c_vector = panel.W_vector,
            .start = accumulate ? c : NULL,
            .start_row = c_row,
            .start_vector = panel.W_vector,
            .a = packed_left ? product.packed : product.inputs + row * product.input_row,
            .a_row = packed_left ? packed_depth(depth) : 1,
            .a_depth = product.input_row,
            .packed_left = packed_left,
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
            pack_left(group->packed_x + left_floats(D, place), run->x + block.row * D, D, D,
                      block.depth, vectors);
        }
        pack_left(group->packed_state + left_floats(H, place),
                  group->state + block.first_state * run->Hp, run->Hp, H,
                  block.row + block.depth - block.first_state, vectors);
    }
}

/* The weight gradients of one panel, summed over a block. */
static void add_block(const recurrent_run *run, const gate_group *group, gate_panel panel,
                      row_block block, ptrdiff_t first) {
    const ptrdiff_t D = run->size.D, H = run->size.H, place = block.row - first;
    const int accumulate = block.row > 0;
    float *db = run->db + panel_column(run, group, panel);
    const int is_packed = left_vectors(run, group) > 0;
    const weight_product dWx = {run->dWx,
                                run->x,
                                D,
                                D,
                                group->gradients,
                                run->rows,
                                is_packed ? group->packed_x + left_floats(D, place) : NULL};
    const weight_product dWh = {run->dWh,
                                group->state,
                                run->Hp,
                                H,
                                group->state_gradients,
                                run->rows,
                                is_packed ? group->packed_state + left_floats(H, place) : NULL};
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
