/* kernels/recurrent_products.h — a recurrent layer's loads and stores, packing and products.
 *
 * Forward for some batch rows at one step; backward the same, then the gradients of the weights
 * over all rows. recurrent_layout.h says what lies where. */
#ifndef FS_RECURRENT_PRODUCTS_H
#define FS_RECURRENT_PRODUCTS_H

/* Products with weights that need no recurrence are taken over so many rows (of several steps where
 * the batch is small) that the weights, read once for all, do not dominate. */
#define ROWS_AT_ONCE 64

/* With so few rows in all, a weight is read about as often as packing would read it. */
#define FEW_ROWS 4

/* ---- forward ---- */

static float *packed_panel(float *packed, const gate_group *group, gate_panel panel,
                           ptrdiff_t depth) {
    return packed + panel.p * group->gates * FS_LANES * depth;
}

/* Whether a panel of W is read where it lies: a last vector that is not full would be read past
 * the end. */
static int reads_in_place(const recurrent_run *run, fs_matrix W, gate_panel panel) {
    const int whole = panel.lanes - (panel.vectors - 1) * panel.lane_step >= FS_LANES;
    return run->rows <= FEW_ROWS && W.column == 1 && whole;
}

static void pack_weights(float *packed, fs_matrix W, const recurrent_run *run,
                         const gate_group *group, gate_panel panel, ptrdiff_t depth) {
    if (!reads_in_place(run, W, panel)) {
        pack_panel(packed_panel(packed, group, panel, depth),
                   W.data + panel_column(run, group, panel) * W.column, W.row,
                   panel.W_vector * W.column, W.column, depth, panel.vectors, panel.lanes,
                   panel.lane_step);
    }
}

/* The index-th panel of Wx, Wh and b. */
static void pack_forward(const recurrent_run *run, ptrdiff_t index) {
    const gate_group *group = group_of_panel(run, &index);
    const gate_panel panel = gate_panel_at(run, group, index);
    pack_weights(group->packed_Wx, run->weights.Wx, run, group, panel, run->size.D);
    pack_weights(group->packed_Wh, run->weights.Wh, run, group, panel, run->size.H);
    pack_panel(packed_panel(group->packed_b, group, panel, 1),
               run->weights.b + panel_column(run, group, panel), 0, panel.W_vector, 1, 1,
               panel.vectors, panel.lanes, panel.lane_step);
}

/* to (N, Hp) <- the caller's states or zeros, for rows [begin, end) */
static void load_states(float *to, const float *from, const recurrent_run *run, ptrdiff_t begin,
                        ptrdiff_t end) {
    const ptrdiff_t H = run->size.H;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t row = batch_row(run, n) * run->columns;
        for (ptrdiff_t j = 0; j < run->Hp; j += FS_LANES) {
            const vf state = from ? load_lanes(from + row + j, H - j) : vf_set(0.0f);
            vf_store(to + n * run->Hp + j, state);
        }
    }
}

/* The caller's states <- from (N, Hp) */
static void store_states(float *to, const float *from, const recurrent_run *run) {
    for (ptrdiff_t n = 0; n < run->size.N; ++n) {
        memcpy(to + batch_row(run, n) * run->columns, from + n * run->Hp,
               (size_t)run->size.H * sizeof(float));
    }
}

/* The states before the first step of rows [begin, end): of h, and of c. */
static void load_first_states(float *to, const float *from, const recurrent_run *run,
                              ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t begun = smaller(end, larger(begin, count_rows(run, 0)));
    load_states(to, from, run, begin, begun);
    load_states(to + run->rows * run->Hp, from, run, begun, end); /* those without a step */
}

/* Rows [begin, end) of the batch: x and the first state into the cache; zeros into hs where a row
 * has no step. */
static void load_inputs(const recurrent_run *run, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t T = run->size.T, D = run->size.D;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t steps = count_steps(run, n);
        for (ptrdiff_t t = 0; t < steps; ++t) {
            memcpy(run->x + (first_row(run, t) + n) * D, run->xs + callers_step(run, n, t) * D,
                   (size_t)D * sizeof(float));
        }
        for (ptrdiff_t step = steps; step < T; ++step) {
            memset(run->hs + (batch_row(run, n) * T + step) * run->columns, 0,
                   (size_t)run->size.H * sizeof(float));
        }
    }
    load_first_states(run->h, run->h0, run, begin, end);
}

/* values of one panel <- start + a W for some rows;  a (rows, depth) with contiguous rows. */
static void gate_product(const recurrent_run *run, const gate_group *group, gate_panel panel,
                         float *values, const float *start, ptrdiff_t start_row,
                         ptrdiff_t start_vector, const float *a, ptrdiff_t a_row, fs_matrix W,
                         float *packed, ptrdiff_t depth, ptrdiff_t rows) {
    const int in_place = reads_in_place(run, W, panel);
    compute_panel(
        (panel_product){
            .c = values,
            .c_row = group->gates * FS_LANES,
            .c_vector = panel.value_vector,
            .start = start,
            .start_row = start_row,
            .start_vector = start_vector,
            .a = a,
            .a_row = a_row,
            .a_depth = 1,
            .depth = depth,
            .blocks = 1,
            .b = in_place ? W.data + panel_column(run, group, panel)
                          : packed_panel(packed, group, panel, depth),
            .b_row = in_place ? W.row : panel.vectors * FS_LANES,
            .b_vector = in_place ? panel.W_vector : FS_LANES,
            .vectors = panel.vectors,
            .lanes = FS_LANES,
        },
        rows);
}

/* A = x Wx + b for rows [begin, end) of the steps that are taken together with step t, if t is the
 * first of them. */
static void project_inputs(const recurrent_run *run, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t D = run->size.D;
    const ptrdiff_t steps = 1 + ROWS_AT_ONCE / (end - begin);
    if (t % steps != 0) {
        return;
    }
    for (int g = 0; g < run->groups; ++g) {
        const gate_group *group = &run->group[g];
        for (ptrdiff_t index = 0; index < count_gate_panels(run, group); ++index) {
            const gate_panel panel = gate_panel_at(run, group, index);
            for (ptrdiff_t step = t; step < smaller(t + steps, run->size.T); ++step) {
                const ptrdiff_t row = first_row(run, step) + begin;
                gate_product(run, group, panel,
                             gate_vector(group->values, group, run, panel.p, row),
                             packed_panel(group->packed_b, group, panel, 1), 0, FS_LANES,
                             run->x + row * D, D, run->weights.Wx, group->packed_Wx, D,
                             smaller(end, count_rows(run, step)) - begin);
            }
        }
    }
}

/* A += s_{t-1} Wh for rows [begin, end) of one panel. */
static void recur(const recurrent_run *run, const gate_group *group, gate_panel panel, ptrdiff_t t,
                  ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t row = first_row(run, t) + begin;
    float *values = gate_vector(group->values, group, run, panel.p, row);
    gate_product(run, group, panel, values, values, group->gates * FS_LANES, panel.value_vector,
                 group->state + row * run->Hp, run->Hp, run->weights.Wh, group->packed_Wh,
                 run->size.H, end - begin);
}

/* hs of rows [begin, end) at step t. */
static void store_outputs(const recurrent_run *run, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end) {
    const step_rows step = rows_of_step(run, t);
    for (ptrdiff_t n = begin; n < end; ++n) {
        memcpy(run->hs + callers_step(run, n, t) * run->columns,
               run->h + row_after(step, n) * run->Hp, (size_t)run->size.H * sizeof(float));
    }
}

/* ---- backward ---- */

// forward was: hs_t = h_t, which step t + 1 takes too, so dh_t += dhs_t
static void load_output_gradients(const recurrent_run *run, ptrdiff_t t, ptrdiff_t begin,
                                  ptrdiff_t end) {
    const ptrdiff_t H = run->size.H;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const float *dhs = run->dhs + callers_step(run, n, t) * run->columns;
        float *dh = run->dh + n * run->Hp;
        for (ptrdiff_t j = 0; j < H; j += FS_LANES) {
            vf_store(dh + j, vf_add(load_lanes(dhs + j, H - j), vf_load(dh + j)));
        }
    }
}

/* A panel of W^T for one group, (gates Hp, columns): depth runs as the group's gradients do, and
 * the columns are W's rows. */
static void pack_transposed(float *packed, fs_matrix W, const recurrent_run *run,
                            const gate_group *group, ptrdiff_t index, ptrdiff_t columns) {
    const ptrdiff_t H = run->size.H;
    const panel_span span = span_of_panel(index, columns);
    const ptrdiff_t first = span.first_vector * FS_LANES;
    const ptrdiff_t width = span.vectors * FS_LANES;
    float *to = packed + first * group->gates * run->Hp;
    for (ptrdiff_t p = 0; p < run->P; ++p) {
        const ptrdiff_t exist = smaller(FS_LANES, H - p * FS_LANES);
        for (ptrdiff_t gate = group->first; gate < group->first + group->gates; ++gate) {
            const float *from = W.data + first * W.row + (gate * H + p * FS_LANES) * W.column;
            pack_panel(to, from, W.column, FS_LANES * W.row, W.row, exist, span.vectors,
                       columns - first, FS_LANES);
            memset(to + exist * width, 0, (size_t)((FS_LANES - exist) * width) * sizeof *to);
            to += FS_LANES * width;
        }
    }
}

/* How many panels pack_backward knows: for each group, those of Wh^T, then those of Wx^T. */
static ptrdiff_t count_transposed(const recurrent_run *run) {
    return run->groups * (count_panels(run->size.H) + count_panels(run->size.D));
}

static void pack_backward(const recurrent_run *run, ptrdiff_t item) {
    const ptrdiff_t hidden_panels = count_panels(run->size.H);
    const ptrdiff_t panels = hidden_panels + count_panels(run->size.D);
    const gate_group *group = &run->group[item / panels];
    const ptrdiff_t index = item % panels;
    if (index < hidden_panels) {
        pack_transposed(group->packed_WhT, run->weights.Wh, run, group, index, run->size.H);
    } else {
        pack_transposed(group->packed_WxT, run->weights.Wx, run, group, index - hidden_panels,
                        run->size.D);
    }
}

/* One panel of dA W^T for rows [begin, end) at step t into c, or added to it. */
static void transposed_product(const recurrent_run *run, const gate_group *group, float *c,
                               ptrdiff_t c_row, int accumulate, const float *packed,
                               panel_span span, ptrdiff_t lanes, ptrdiff_t t, ptrdiff_t begin,
                               ptrdiff_t end) {
    const ptrdiff_t width = group->gates * FS_LANES;
    compute_panel(
        (panel_product){
            .c = c,
            .c_row = c_row,
            .c_vector = FS_LANES,
            .start = accumulate ? c : NULL,
            .start_row = c_row,
            .start_vector = FS_LANES,
            .a = group->gradients + (first_row(run, t) + begin) * width,
            .a_row = width,
            .a_depth = 1,
            .a_block = run->rows * width,
            .depth = width,
            .blocks = run->P,
            .b = packed + span.first_vector * width * run->Hp,
            .b_row = span.vectors * FS_LANES,
            .b_vector = FS_LANES,
            .vectors = span.vectors,
            .lanes = lanes,
            .lane_step = FS_LANES,
        },
        end - begin);
}

// forward was: A_t = ... + s_{t-1} Wh, so ds_{t-1} = dA_t Wh^T;  ds (N, Hp) is set or added to
static void recur_backward(const recurrent_run *run, const gate_group *group, float *ds,
                           int accumulate, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t Hp = run->Hp;
    for (ptrdiff_t index = 0; index < count_panels(run->size.H); ++index) {
        const panel_span span = span_of_panel(index, run->size.H);
        const ptrdiff_t column = span.first_vector * FS_LANES;
        transposed_product(run, group, ds + begin * Hp + column, Hp, accumulate, group->packed_WhT,
                           span, Hp - column, t, begin, end);
    }
}

// forward was: A_t = x_t Wx + ..., so dx_t = dA_t Wx^T, summed over groups; steps are taken
// together as in project_inputs, once the first of them is reached.
static void project_backward(const recurrent_run *run, ptrdiff_t t, ptrdiff_t begin,
                             ptrdiff_t end) {
    const ptrdiff_t D = run->size.D;
    const ptrdiff_t steps = 1 + ROWS_AT_ONCE / (end - begin);
    if (t % steps != 0) {
        return;
    }
    for (int g = 0; g < run->groups; ++g) {
        const gate_group *group = &run->group[g];
        for (ptrdiff_t index = 0; index < count_panels(D); ++index) {
            const panel_span span = span_of_panel(index, D);
            const ptrdiff_t column = span.first_vector * FS_LANES;
            for (ptrdiff_t step = t; step < smaller(t + steps, run->size.T); ++step) {
                float *dx = run->dx + (first_row(run, step) + begin) * D + column;
                transposed_product(run, group, dx, D, g > 0, group->packed_WxT, span, D - column,
                                   step, begin, smaller(end, count_rows(run, step)));
            }
        }
    }
}

/* Gradients of x of rows [begin, end) to the caller; the second direction's are added. */
static void store_input_gradients(const recurrent_run *run, float *dxs, ptrdiff_t begin,
                                  ptrdiff_t end) {
    const ptrdiff_t T = run->size.T, D = run->size.D;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t steps = count_steps(run, n);
        for (ptrdiff_t t = 0; t < steps; ++t) {
            const float *from = run->dx + (first_row(run, t) + n) * D;
            float *to = dxs + callers_step(run, n, t) * D;
            if (!run->from_end) {
                memcpy(to, from, (size_t)D * sizeof(float));
                continue;
            }
            for (ptrdiff_t d = 0; d < D; ++d) {
                to[d] += from[d];
            }
        }
        if (!run->from_end) {
            memset(dxs + (batch_row(run, n) * T + steps) * D, 0,
                   (size_t)((T - steps) * D) * sizeof(float));
        }
    }
}

/* A panel of W's gradient, dW += inputs^T dA over `depth` rows from `row` on;
 * inputs (rows, columns). */
static void weight_gradient(const recurrent_run *run, const gate_group *group, gate_panel panel,
                            float *dW, ptrdiff_t columns, const float *inputs, ptrdiff_t input_row,
                            ptrdiff_t row, ptrdiff_t depth) {
    float *c = dW + panel_column(run, group, panel);
    const ptrdiff_t c_row = run->gates * run->size.H;
    compute_panel(
        (panel_product){
            .c = c,
            .c_row = c_row,
            .c_vector = panel.W_vector,
            .start = row == 0 ? NULL : c,
            .start_row = c_row,
            .start_vector = panel.W_vector,
            .a = inputs + row * input_row,
            .a_row = 1,
            .a_depth = input_row,
            .depth = depth,
            .blocks = 1,
            .b = gate_vector(group->gradients, group, run, panel.p, row),
            .b_row = group->gates * FS_LANES,
            .b_vector = panel.value_vector,
            .vectors = panel.vectors,
            .lanes = panel.lanes,
            .lane_step = panel.lane_step,
        },
        columns);
}

// forward was: A = ... + b, so db = sum of dA over rows
static void bias_gradient(const recurrent_run *run, const gate_group *group, gate_panel panel) {
    const float *gradients = gate_vector(group->gradients, group, run, panel.p, 0);
    vf sum[PANEL_VECTORS] = {vf_set(0.0f), vf_set(0.0f), vf_set(0.0f), vf_set(0.0f)};
    for (ptrdiff_t row = 0; row < run->rows; ++row) {
        for (int v = 0; v < panel.vectors; ++v) {
            sum[v] = vf_add(sum[v], vf_load(gradients + v * panel.value_vector));
        }
        gradients += group->gates * FS_LANES;
    }
    for (int v = 0; v < panel.vectors; ++v) {
        store_lanes(run->gradients.db + panel_column(run, group, panel) + v * panel.W_vector,
                    sum[v], panel.lanes - v * panel.lane_step);
    }
}

// forward was: A = x Wx + s Wh + b over all rows, so dWx = x^T dA, dWh = s^T dA; of panels
// [begin, end), which share each block of x and s while it is in the cache
static void weight_gradients(const recurrent_run *run, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t D = run->size.D, H = run->size.H;
    ptrdiff_t row = 0;
    do { /* once even for no rows: the gradients are then 0 */
        const ptrdiff_t depth = smaller(DEPTH_BLOCK, run->rows - row);
        for (ptrdiff_t item = begin; item < end; ++item) {
            ptrdiff_t index = item;
            const gate_group *group = group_of_panel(run, &index);
            const gate_panel panel = gate_panel_at(run, group, index);
            weight_gradient(run, group, panel, run->gradients.dWx, D, run->x, D, row, depth);
            weight_gradient(run, group, panel, run->gradients.dWh, H, group->state, run->Hp, row,
                            depth);
        }
        row += depth;
    } while (row < run->rows);
    for (ptrdiff_t item = begin; item < end; ++item) {
        ptrdiff_t index = item;
        const gate_group *group = group_of_panel(run, &index);
        bias_gradient(run, group, gate_panel_at(run, group, index));
    }
}

#endif
