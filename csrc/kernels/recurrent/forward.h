/* kernels/recurrent/forward.h — the forward pass of a recurrent layer: packing weights, the
 * products of A for some batch rows at one step, storing outputs. See layout.h for the memory
 * layout. */
#ifndef FS_RECURRENT_FORWARD_H
#define FS_RECURRENT_FORWARD_H

/* Rows of weights that are packed into all panels before the next are read: they stay in cache. */
#define ROWS_PACKED_AT_ONCE 4

/* Rows of a packed panel: b and bh, then Wc, Wx and Wh. */
static float *packed_row(const recurrent_run *run, const gate_group *group, gate_panel panel,
                         ptrdiff_t row) {
    return group->packed +
           (panel.p * group->gates * packed_rows(run) + row * panel.vectors) * FS_LANES;
}

static float *packed_b(const recurrent_run *run, const gate_group *group, gate_panel panel) {
    return packed_row(run, group, panel, 0);
}

static float *packed_Wc(const recurrent_run *run, const gate_group *group, gate_panel panel) {
    return packed_row(run, group, panel, 2);
}

static float *packed_Wx(const recurrent_run *run, const gate_group *group, gate_panel panel) {
    return packed_row(run, group, panel, 2 + packed_depth(run->size.C));
}

static float *packed_bh(const recurrent_run *run, const gate_group *group, gate_panel panel) {
    return packed_row(run, group, panel, 1);
}

static float *packed_Wh(const recurrent_run *run, const gate_group *group, gate_panel panel) {
    return packed_row(run, group, panel, 2 + packed_depth(run->size.C) + packed_depth(run->size.D));
}

typedef float *(*packed_place)(const recurrent_run *run, const gate_group *group, gate_panel panel);

/* Packs W (depth, gates H) into its place in panels [begin, end). */
static void pack_weights(const recurrent_run *run, ptrdiff_t begin, ptrdiff_t end,
                         packed_place place, fs_matrix W, ptrdiff_t depth) {
    const ptrdiff_t step = W.column == 1 ? ROWS_PACKED_AT_ONCE : max_size(depth, 1);
    for (ptrdiff_t k = 0; k < depth; k += step) {
        for (ptrdiff_t item = begin; item < end; ++item) {
            ptrdiff_t index = item;
            const gate_group *group = group_of_panel(run, &index);
            const gate_panel panel = gate_panel_at(run, group, index);
            float *packed = place(run, group, panel);
            pack_rows(packed + packed_offset(k) * panel.vectors * FS_LANES,
                      W.data + k * W.row + panel_column(run, group, panel) * W.column, W.row,
                      panel.W_vector * W.column, W.column, min_size(step, depth - k), panel.vectors,
                      panel.lanes, panel.lane_step);
            if (k + step >= depth) {
                finish_panel(packed, depth, panel.vectors);
            }
        }
    }
}

/* One vector of each gate, or of a panel of one gate; not an operand of a product. */
static void pack_bias(float *packed, const float *b, gate_panel panel) {
    for (int v = 0; v < panel.vectors; ++v) {
        vf_store(packed + v * FS_LANES,
                 load_lanes(b + v * panel.W_vector, panel.lanes - v * panel.lane_step));
    }
}

/* One panel of values (rows, ...) <- start + [a next_a] W;  a (rows, depth) and next_a (rows,
 * next_depth) with contiguous rows, W packed. value_vector and start_vector are the strides of the
 * vectors of a row of values and of start. */
typedef struct {
    float *values;
    ptrdiff_t value_vector;
    const float *start;
    ptrdiff_t start_row, start_vector;
    const float *a;
    ptrdiff_t a_row, depth;
    const float *next_a;
    ptrdiff_t next_row, next_depth;
    int packed_left; /* whether a is converted */
    const float *packed;
    ptrdiff_t rows;
} gate_product;

static void compute_gates(const gate_group *group, gate_panel panel, gate_product product) {
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
            .packed_left = product.packed_left,
            .next_a = product.next_a,
            .next_row = product.next_row,
            .next_depth = product.next_depth,
            .b = product.packed,
            .b_row = panel.vectors * FS_LANES,
            .b_vector = FS_LANES,
            .vectors = panel.vectors,
            .lanes = FS_LANES,
        },
        product.rows);
}

/* The products of one panel that are common to all steps: context Wc + b, and the table E Wx, with
 * b added if there is no context. */
static void common_products(const recurrent_run *run, const gate_group *group, gate_panel panel) {
    const ptrdiff_t N = run->size.N, C = run->size.C, D = run->size.D, V = run->table_rows;
    const float *b = packed_b(run, group, panel);
    if (C > 0) {
        compute_gates(
            group, panel,
            (gate_product){.values = row_vector(group->from_context, N, group, panel.p, 0),
                           .value_vector = next_vector(group, N),
                           .start = b,
                           .start_vector = FS_LANES,
                           .a = run->context,
                           .a_row = C,
                           .packed = packed_Wc(run, group, panel),
                           .depth = C,
                           .rows = N});
    }
    if (V > 0) {
        compute_gates(group, panel,
                      (gate_product){.values = row_vector(group->table, V, group, panel.p, 0),
                                     .value_vector = next_vector(group, V),
                                     .start = C > 0 ? NULL : b,
                                     .start_vector = FS_LANES,
                                     .a = run->x,
                                     .a_row = D,
                                     .packed = packed_Wx(run, group, panel),
                                     .depth = D,
                                     .rows = V});
    }
}

/* Packs panels [begin, end) of b, Wc, Wx, bh and Wh, and computes the products common to all
 * steps. */
static void pack_forward(const recurrent_run *run, ptrdiff_t begin, ptrdiff_t end) {
    if (streams_weights(run)) {
        const ptrdiff_t parts = count_all_panels(run);
        for (int g = 0; g < run->groups; ++g) {
            const gate_group *group = &run->group[g];
            stream_inputs(run, group, columns_of_parts(run, group, begin, end, parts));
        }
        return;
    }
    pack_weights(run, begin, end, packed_Wc, run->Wc, run->size.C);
    pack_weights(run, begin, end, packed_Wx, run->Wx, run->size.D);
    pack_weights(run, begin, end, packed_Wh, run->Wh, run->size.H);
    for (ptrdiff_t item = begin; item < end; ++item) {
        ptrdiff_t index = item;
        const gate_group *group = group_of_panel(run, &index);
        const gate_panel panel = gate_panel_at(run, group, index);
        pack_bias(packed_b(run, group, panel), run->b + panel_column(run, group, panel), panel);
        if (group->separate_M) {
            pack_bias(packed_bh(run, group, panel), run->bh + panel.p * FS_LANES, panel);
        }
        common_products(run, group, panel);
    }
}

/* values += context Wc + b, for `rows` rows of one panel. */
static void add_context(const recurrent_run *run, const gate_group *group, gate_panel panel,
                        float *values, ptrdiff_t begin, ptrdiff_t rows) {
    const ptrdiff_t N = run->size.N, width = group->gates * FS_LANES;
    const float *context = row_vector(group->from_context, N, group, panel.p, begin);
    for (ptrdiff_t n = 0; n < rows; ++n) {
        for (int v = 0; v < panel.vectors; ++v) {
            float *A = values + n * width + v * next_vector(group, run->value_rows);
            vf_store(A,
                     vf_add(vf_load(A), vf_load(context + n * width + v * next_vector(group, N))));
        }
    }
}

/* s_{t-1} of batch rows from `begin` on. */
static const float *previous_states(const recurrent_run *run, const gate_group *group, ptrdiff_t t,
                                    ptrdiff_t begin) {
    return group->state + (first_state_row(run, t) + begin) * run->Hp;
}

/* Converts x and s_{t-1} of a part's rows once for the products of all panels of a group; x only if
 * no other steps are projected with it. */
static void convert_operands(const recurrent_run *run, const gate_group *group, recurrent_part part,
                             ptrdiff_t t) {
#if PACKS_ALWAYS
    const ptrdiff_t D = run->size.D, H = run->size.H, x_pairs = packed_depth(D);
    const ptrdiff_t end = min_size(part.end, count_rows(run, t));
    const int converts_x = run->table_rows == 0 && run->steps_at_once == 1;
    for (ptrdiff_t n = part.begin; part.team.rank == 0 && n < end; ++n) {
        float *row = group->operands + n * operand_row(run);
        if (converts_x) {
            convert_row(row, run->x + (first_row(run, t) + n) * D, D, x_pairs);
        }
        convert_row(row + x_pairs, group->state + (first_state_row(run, t) + n) * run->Hp, H,
                    packed_depth(H));
    }
    barrier(part.team);
#else
    (void)run;
    (void)group;
    (void)part;
    (void)t;
#endif
}

/* Before the products of a group at step t with the states, for all its panels. */
static void begin_products(const recurrent_run *run, const gate_group *group, recurrent_part part,
                           ptrdiff_t t) {
    stream_states(run, group, part, t);
    convert_operands(run, group, part, t);
}

/* A = x Wx + b, or x Wx + (context Wc + b), for one panel of the rows of steps [first, last); with
 * s_{t-1} Wh added, for a single step, if `adds_state`. */
static void project_panel(const recurrent_run *run, const gate_group *group, gate_panel panel,
                          recurrent_part part, ptrdiff_t first, ptrdiff_t last, int adds_state) {
    const ptrdiff_t N = run->size.N, D = run->size.D;
    const int has_context = run->size.C > 0;
    /* if the packed rows of all steps are contiguous, they are one product */
    const int gaps = run->size.inference && run->size.lengths.starts;
    const int whole = part.begin == 0 && part.end == N && !has_context && !gaps;
    for (ptrdiff_t step = first; step < last; step = whole ? last : step + 1) {
        const ptrdiff_t row = first_row(run, step) + part.begin;
        const ptrdiff_t end =
            whole ? first_row(run, last)
                  : first_row(run, step) + min_size(part.end, count_rows(run, step));
        float *values = gate_vector(group->values, group, run, panel.p,
                                    first_value_row(run, step) + part.begin);
        const float *start = packed_b(run, group, panel);
        if (has_context) {
            start = run->gathers ? NULL
                                 : row_vector(group->from_context, N, group, panel.p, part.begin);
        }
        gate_product product = {
            .values = values,
            .value_vector = next_vector(group, run->value_rows),
            .start = start,
            .start_row = has_context ? group->gates * FS_LANES : 0,
            .start_vector = has_context ? next_vector(group, N) : FS_LANES,
            .a = run->x + row * D,
            .a_row = D,
            .depth = D,
            .next_a = previous_states(run, group, step, part.begin),
            .next_row = run->Hp,
            .next_depth = adds_state ? run->size.H : 0,
            .packed = packed_Wx(run, group, panel),
            .rows = end - row,
        };
        if (PACKS_ALWAYS && run->steps_at_once == 1) {
            product.a = group->operands + part.begin * operand_row(run);
            product.a_row = operand_row(run);
            product.depth = adds_state ? 2 * packed_depth(D) + run->size.H : D;
            product.next_depth = 0;
            product.packed_left = 1;
        }
        compute_gates(group, panel, product);
        if (has_context && run->gathers) {
            /* after the product, as with a table: the order of a row's sums must not depend on the
             * batch */
            add_context(run, group, panel, values, part.begin, end - row);
        }
    }
}

/* The same for all panels of a part, if several steps are projected at once and t is the first. */
static void project_inputs(const recurrent_run *run, recurrent_part part, ptrdiff_t t) {
    const ptrdiff_t steps = run->steps_at_once;
    if (run->table_rows > 0 || streams_weights(run) || steps == 1 || t % steps != 0) {
        return;
    }
    const ptrdiff_t last = min_size(t + steps, run->size.T);
    for (int g = 0; g < run->groups; ++g) {
        const gate_group *group = &run->group[g];
        const ptrdiff_t panels = count_gate_panels(run, group);
        for (ptrdiff_t i = 0; i < count_part(part, panels); ++i) {
            const gate_panel panel = gate_panel_at(run, group, panel_of_part(part, panels, i, 0));
            project_panel(run, group, panel, part, t, last, 0);
        }
    }
    /* a cell may split all its groups by the panels of one: not those that this rank projected */
    barrier(part.team);
}

/* A <- table[id] + context Wc + b, for rows [begin, end) of one panel at step t. */
static void look_up_inputs(const recurrent_run *run, const gate_group *group, gate_panel panel,
                           ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t N = run->size.N, V = run->table_rows;
    const ptrdiff_t width = group->gates * FS_LANES;
    const int32_t *ids = run->ids + first_row(run, t);
    float *values = gate_vector(group->values, group, run, panel.p, first_value_row(run, t));
    const ptrdiff_t value_vector = next_vector(group, run->value_rows);
    const float *table = row_vector(group->table, V, group, panel.p, 0);
    const ptrdiff_t table_vector = next_vector(group, V);
    const float *context =
        run->size.C > 0 ? row_vector(group->from_context, N, group, panel.p, 0) : NULL;
    const ptrdiff_t context_vector = next_vector(group, N);
    for (ptrdiff_t n = begin; n < end; ++n) {
        for (int v = 0; v < panel.vectors; ++v) {
            vf A = vf_load(table + ids[n] * width + v * table_vector);
            if (context) {
                A = vf_add(A, vf_load(context + n * width + v * context_vector));
            }
            vf_store(values + n * width + v * value_vector, A);
        }
    }
}

/* A = x_t Wx + s_{t-1} Wh + b of one panel at step t; or A without s_{t-1} Wh, and
 * M = s_{t-1} Wh + bh. With a zero initial state the product of the first step is skipped. */
static void project_states(const recurrent_run *run, const gate_group *group, gate_panel panel,
                           recurrent_part part, ptrdiff_t t) {
    const ptrdiff_t begin = part.begin, end = min_size(part.end, count_rows(run, t));
    const int zero_initial_state = t == 0 && run->size.zero_initial_state;
    int adds_state = 0;
    if (streams_weights(run)) {
        load_streamed(run, group, panel, t, begin, end);
        return;
    }
    if (run->table_rows > 0) {
        look_up_inputs(run, group, panel, t, begin, end);
    } else if (run->steps_at_once == 1) {
        const int adds_context = run->size.C > 0 && run->gathers;
        adds_state = !zero_initial_state && !group->separate_M && !adds_context;
        project_panel(run, group, panel, part, t, t + 1, adds_state);
    }
    if (adds_state || (zero_initial_state && !group->separate_M)) {
        return;
    }
    float *values =
        gate_vector(group->state_values, group, run, panel.p, first_value_row(run, t) + begin);
    const ptrdiff_t value_vector = next_vector(group, run->value_rows);
    gate_product product = {
        .values = values,
        .value_vector = value_vector,
        .start = group->separate_M ? packed_bh(run, group, panel) : values,
        .start_row = group->separate_M ? 0 : group->gates * FS_LANES,
        .start_vector = group->separate_M ? FS_LANES : value_vector,
        .a = previous_states(run, group, t, begin),
        .a_row = run->Hp,
        .packed = packed_Wh(run, group, panel),
        .depth = zero_initial_state ? 0 : run->size.H,
        .rows = end - begin,
    };
    if (PACKS_ALWAYS) {
        product.a = group->operands + begin * operand_row(run) + packed_depth(run->size.D);
        product.a_row = operand_row(run);
        product.packed_left = 1;
    }
    compute_gates(group, panel, product);
}

/* hs at step t, after all panels are computed. */
static void store_outputs(const recurrent_run *run, recurrent_part part, ptrdiff_t t) {
    const step_rows step = rows_of_step(run, t);
    const ptrdiff_t end = min_size(part.end, count_rows(run, t));
    barrier(part.team);
    for (ptrdiff_t n = part.begin; part.team.rank == 0 && n < end; ++n) {
        memcpy(run->hs + caller_step(run, n, t) * run->columns,
               run->h + row_after(step, n) * run->Hp, (size_t)run->size.H * sizeof(float));
    }
}

#endif
