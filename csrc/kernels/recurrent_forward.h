/* kernels/recurrent_forward.h — of a recurrent layer's forward pass: inputs and outputs, packing,
 * and the products that make A, for some batch rows at one step. recurrent_layout.h says what lies
 * where. */
#ifndef FS_RECURRENT_FORWARD_H
#define FS_RECURRENT_FORWARD_H

/* Products with weights that need no recurrence are taken over so many rows (of several steps where
 * the batch is small) that the weights, read once for all, do not dominate. */
#define ROWS_AT_ONCE 64

/* With so few rows in all, a weight is read about as often as packing would read it. */
#define FEW_ROWS 4

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

/* The embedding and the context, which all steps share. */
static void load_shared_inputs(const recurrent_run *run, fs_matrix E, const float *context) {
    const ptrdiff_t V = run->size.V, D = run->size.D, C = run->size.C;
    for (ptrdiff_t v = 0; v < V; ++v) {
        for (ptrdiff_t d = 0; d < D; ++d) {
            run->x[v * D + d] = E.data[v * E.row + d * E.column];
        }
    }
    for (ptrdiff_t n = 0; C > 0 && n < run->size.N; ++n) {
        memcpy(run->context + n * C, context + batch_row(run, n) * C, (size_t)C * sizeof(float));
    }
}

/* Rows [begin, end) of the batch: x or its ids and the first state into the cache; zeros into hs
 * where a row has no step. */
static void load_inputs(const recurrent_run *run, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t T = run->size.T, D = run->size.D;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t steps = count_steps(run, n);
        for (ptrdiff_t t = 0; t < steps; ++t) {
            const ptrdiff_t row = first_row(run, t) + n;
            const ptrdiff_t from = callers_step(run, n, t);
            if (run->size.V > 0) {
                run->ids[row] = (int32_t)run->callers_ids[from];
            } else {
                memcpy(run->x + row * D, run->xs + from * D, (size_t)D * sizeof(float));
            }
        }
        for (ptrdiff_t step = steps; step < T; ++step) {
            memset(run->hs + (batch_row(run, n) * T + step) * run->columns, 0,
                   (size_t)run->size.H * sizeof(float));
        }
    }
    load_first_states(run->h, run->h0, run, begin, end);
    if (run->layer->has_cell) {
        load_first_states(run->c, run->c0, run, begin, end);
    }
}

/* One panel of values (rows, ...) <- start + a W;  a (rows, depth) with contiguous rows. Vectors of
 * a row of values lie value_vector apart, those of a row of start start_vector. */
typedef struct {
    float *values;
    ptrdiff_t value_vector;
    const float *start;
    ptrdiff_t start_row, start_vector;
    const float *a;
    ptrdiff_t a_row;
    fs_matrix W;
    float *packed;
    ptrdiff_t depth, rows;
} gate_product;

static void compute_gates(const recurrent_run *run, const gate_group *group, gate_panel panel,
                          gate_product product) {
    const int in_place = reads_in_place(run, product.W, panel);
    compute_panel(
        (panel_product){
            .c = product.values,
            .c_row = group->gates * FS_LANES,
            .c_vector = product.value_vector,
            .start = product.start,
            .start_row = product.start_row,
            .start_vector = product.start_vector,
            .a = product.a,
            .a_row = product.a_row,
            .a_depth = 1,
            .depth = product.depth,
            .blocks = 1,
            .b = in_place ? product.W.data + panel_column(run, group, panel)
                          : packed_panel(product.packed, group, panel, product.depth),
            .b_row = in_place ? product.W.row : panel.vectors * FS_LANES,
            .b_vector = in_place ? panel.W_vector : FS_LANES,
            .vectors = panel.vectors,
            .lanes = FS_LANES,
        },
        product.rows);
}

/* The index-th panel of Wx, Wh and b, and of what all steps share: context Wc + b, and E Wx, which
 * takes b if there is no context. */
static void pack_forward(const recurrent_run *run, ptrdiff_t index) {
    const ptrdiff_t N = run->size.N, C = run->size.C, D = run->size.D, V = run->size.V;
    const gate_group *group = group_of_panel(run, &index);
    const gate_panel panel = gate_panel_at(run, group, index);
    float *b = packed_panel(group->packed_b, group, panel, 1);
    pack_panel(b, run->b + panel_column(run, group, panel), 0, panel.W_vector, 1, 1, panel.vectors,
               panel.lanes, panel.lane_step);
    pack_weights(group->packed_Wc, run->Wc, run, group, panel, C);
    pack_weights(group->packed_Wx, run->Wx, run, group, panel, D);
    pack_weights(group->packed_Wh, run->Wh, run, group, panel, run->size.H);
    if (C > 0) {
        compute_gates(
            run, group, panel,
            (gate_product){.values = row_vector(group->from_context, N, group, panel.p, 0),
                           .value_vector = next_vector(group, N),
                           .start = b,
                           .start_vector = FS_LANES,
                           .a = run->context,
                           .a_row = C,
                           .W = run->Wc,
                           .packed = group->packed_Wc,
                           .depth = C,
                           .rows = N});
    }
    if (V > 0) {
        compute_gates(run, group, panel,
                      (gate_product){.values = row_vector(group->table, V, group, panel.p, 0),
                                     .value_vector = next_vector(group, V),
                                     .start = C > 0 ? NULL : b,
                                     .start_vector = FS_LANES,
                                     .a = run->x,
                                     .a_row = D,
                                     .W = run->Wx,
                                     .packed = group->packed_Wx,
                                     .depth = D,
                                     .rows = V});
    }
}

/* A = x Wx + b, or x Wx + (context Wc + b), for the rows of the steps that are taken
 * together with step t, if t is the first of them. */
static void project_inputs(const recurrent_run *run, recurrent_part part, ptrdiff_t t) {
    const ptrdiff_t N = run->size.N, D = run->size.D;
    const ptrdiff_t begin = part.begin, end = part.end;
    const ptrdiff_t steps = 1 + ROWS_AT_ONCE / (end - begin);
    if (run->size.V > 0 || t % steps != 0) {
        return;
    }
    for (int g = 0; g < run->groups; ++g) {
        const gate_group *group = &run->group[g];
        const ptrdiff_t panels = count_gate_panels(run, group);
        for (ptrdiff_t i = 0; i < count_part(part, panels); ++i) {
            const gate_panel panel = gate_panel_at(run, group, panel_of_part(part, panels, i, 0));
            gate_product product = {
                .value_vector = next_vector(group, run->rows),
                .start = packed_panel(group->packed_b, group, panel, 1),
                .start_vector = FS_LANES,
                .a_row = D,
                .W = run->Wx,
                .packed = group->packed_Wx,
                .depth = D,
            };
            if (run->size.C > 0) {
                product.start = row_vector(group->from_context, N, group, panel.p, begin);
                product.start_row = group->gates * FS_LANES;
                product.start_vector = next_vector(group, N);
            }
            for (ptrdiff_t step = t; step < smaller(t + steps, run->size.T); ++step) {
                const ptrdiff_t row = first_row(run, step) + begin;
                product.values = gate_vector(group->values, group, run, panel.p, row);
                product.a = run->x + row * D;
                product.rows = smaller(end, count_rows(run, step)) - begin;
                compute_gates(run, group, panel, product);
            }
        }
    }
}

/* The same from the table, for rows [begin, end) of one panel at step t. */
static void look_up_inputs(const recurrent_run *run, const gate_group *group, gate_panel panel,
                           ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t N = run->size.N, V = run->size.V;
    const ptrdiff_t first = first_row(run, t);
    const ptrdiff_t width = group->gates * FS_LANES;
    for (int v = 0; v < panel.vectors; ++v) {
        float *values = gate_vector(group->values, group, run, panel.p, first) +
                        v * next_vector(group, run->rows);
        const float *table =
            row_vector(group->table, V, group, panel.p, 0) + v * next_vector(group, V);
        const float *from_context =
            run->size.C > 0
                ? row_vector(group->from_context, N, group, panel.p, 0) + v * next_vector(group, N)
                : NULL;
        for (ptrdiff_t n = begin; n < end; ++n) {
            vf A = vf_load(table + run->ids[first + n] * width);
            if (from_context) {
                A = vf_add(A, vf_load(from_context + n * width));
            }
            vf_store(values + n * width, A);
        }
    }
}

/* A += s_{t-1} Wh for rows [begin, end) of one panel; before the first step s may be known as 0. */
static void recur(const recurrent_run *run, const gate_group *group, gate_panel panel, ptrdiff_t t,
                  ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t row = first_row(run, t) + begin;
    if (run->size.V > 0) {
        look_up_inputs(run, group, panel, t, begin, end);
    }
    if (t == 0 && run->size.from_zeros) {
        return;
    }
    float *values = gate_vector(group->values, group, run, panel.p, row);
    const ptrdiff_t value_vector = next_vector(group, run->rows);
    compute_gates(run, group, panel,
                  (gate_product){.values = values,
                                 .value_vector = value_vector,
                                 .start = values,
                                 .start_row = group->gates * FS_LANES,
                                 .start_vector = value_vector,
                                 .a = group->state + row * run->Hp,
                                 .a_row = run->Hp,
                                 .W = run->Wh,
                                 .packed = group->packed_Wh,
                                 .depth = run->size.H,
                                 .rows = end - begin});
}

/* hs at step t, once all panels are there. */
static void store_outputs(const recurrent_run *run, recurrent_part part, ptrdiff_t t) {
    const step_rows step = rows_of_step(run, t);
    const ptrdiff_t end = smaller(part.end, count_rows(run, t));
    wait_for_others(part.shares);
    for (ptrdiff_t n = part.begin; part.share == 0 && n < end; ++n) {
        memcpy(run->hs + callers_step(run, n, t) * run->columns,
               run->h + row_after(step, n) * run->Hp, (size_t)run->size.H * sizeof(float));
    }
}

#endif
