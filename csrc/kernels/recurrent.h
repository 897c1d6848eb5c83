/* kernels/recurrent.h — what the recurrent layers share: layout, packing, and their products.
 *
 * A layer computes  A_t = x_t Wx + s_{t-1} Wh + b  for some gates, each H columns wide, where s is
 * the hidden state or something made of it. Gates that one product yields form a group: f, g, i, o
 * of the LSTM; z and r, then g, of the GRU; the one of the plain RNN.
 *
 * Hidden columns are cut into P = ceil(H / FS_LANES) vectors. A group holds, for each of them, one
 * vector of each of its gates side by side: all that a vector of the state needs meets in one
 * register tile. Rows are time-major, r = t N + n, so that a step is a run of rows and its
 * predecessor is the run before it.
 *
 *     values  (P, T N, gates, FS_LANES)   A, then what becomes of it; the same layout for gradients
 *     x       (T N, D)                    a copy: the caller may change his
 *     h       ((T + 1) N, Hp)             row t N + n: the state before step t;  Hp = P FS_LANES
 *
 * Batch rows are independent in time: each thread takes its rows through the whole sequence without
 * waiting for another. Weight gradients are split by panels, each summed over rows in order. */
#ifndef FS_RECURRENT_H
#define FS_RECURRENT_H

/* Products with weights that need no recurrence are taken over so many rows (of several steps where
 * the batch is small) that the weights, read once for all, do not dominate. */
#define ROWS_AT_ONCE 64

/* With so few rows in all, a weight is read about as often as packing would read it. */
#define FEW_ROWS 4

typedef struct {
    int gates;          /* 1, 2 or 4 */
    ptrdiff_t first;    /* its first gate: columns from first H on of Wx, Wh and b */
    const float *state; /* s, laid out as h; row t N + n is what step t multiplies with Wh */
    float *values;      /* in the cache */
    float *packed_Wx, *packed_Wh, *packed_b;    /* in the forward scratch */
    float *packed_WxT, *packed_WhT, *gradients; /* in the backward scratch */
} gate_group;

typedef struct {
    fs_sequence_size size;
    ptrdiff_t P, Hp, rows; /* vectors, padded H, N T */
    int groups, gates;     /* how many there are, and their gates in all */
    gate_group group[2];
    float *x, *h;
    float *dh; /* (N, Hp) the running gradient of the state */
    /* the caller's arrays */
    float *hs, *dxs, *dWx, *dWh, *db;
    const float *xs, *b, *h0, *dhs;
    fs_matrix Wx, Wh;
} recurrent_run;

/* Memory handed out piece by piece; with no memory it only counts what would be used. */
typedef struct {
    float *memory;
    ptrdiff_t used;
} arena;

static float *take(arena *from, ptrdiff_t floats) {
    float *taken = from->memory ? from->memory + from->used : NULL;
    from->used += round_up(floats, FS_LANES);
    return taken;
}

static recurrent_run plan_recurrent(fs_sequence_size size, int groups, const int *gates) {
    assert(size.N >= 0 && size.T >= 0 && size.D >= 0 && size.H >= 0);
    const ptrdiff_t P = count_vectors(size.H);
    recurrent_run run = {
        .size = size, .P = P, .Hp = P * FS_LANES, .rows = size.N * size.T, .groups = groups};
    for (int g = 0; g < groups; ++g) {
        run.group[g].first = run.gates;
        run.group[g].gates = gates[g];
        run.gates += gates[g];
    }
    return run;
}

static float *take_states(arena *from, const recurrent_run *run) {
    return take(from, (run->rows + run->size.N) * run->Hp);
}

static void place_recurrent_cache(recurrent_run *run, arena *cache) {
    run->x = take(cache, run->rows * run->size.D);
    run->h = take_states(cache, run);
    for (int g = 0; g < run->groups; ++g) {
        gate_group *group = &run->group[g];
        group->state = run->h;
        group->values = take(cache, run->rows * group->gates * run->Hp);
    }
}

static void place_recurrent_forward(recurrent_run *run, arena *scratch) {
    for (int g = 0; g < run->groups; ++g) {
        gate_group *group = &run->group[g];
        const ptrdiff_t width = group->gates * run->Hp;
        group->packed_Wx = take(scratch, run->size.D * width);
        group->packed_Wh = take(scratch, run->size.H * width);
        group->packed_b = take(scratch, width);
    }
}

static void place_recurrent_backward(recurrent_run *run, arena *scratch) {
    for (int g = 0; g < run->groups; ++g) {
        gate_group *group = &run->group[g];
        const ptrdiff_t width = group->gates * run->Hp;
        group->packed_WxT = take(scratch, width * round_up(run->size.D, FS_LANES));
        group->packed_WhT = take(scratch, width * run->Hp);
        group->gradients = take(scratch, run->rows * width);
    }
    run->dh = take(scratch, run->size.N * run->Hp);
}

/* The multiply-adds of the two products, counted as two operations each. */
static double recurrent_work(const recurrent_run *run) {
    const fs_sequence_size size = run->size;
    return 2.0 * (double)run->rows * run->gates * (double)size.H * (double)(size.D + size.H);
}

static int recurrent_threads(const recurrent_run *run, ptrdiff_t items, int threads) {
    return worthwhile_threads(items, recurrent_work(run), threads);
}

/* Where vector p of the hidden columns of `row` lies in a group's values or gradients. */
static inline float *gate_vector(float *values, const gate_group *group, const recurrent_run *run,
                                 ptrdiff_t p, ptrdiff_t row) {
    return values + (p * run->rows + row) * group->gates * FS_LANES;
}

/* One panel of a group: a vector of each of several gates, or up to four vectors of a single gate:
 * a tile wants four. */
typedef struct {
    ptrdiff_t p;                /* its first vector of hidden columns */
    int vectors;                /* of the tile */
    ptrdiff_t W_vector;         /* from one vector to the next, in columns of W */
    ptrdiff_t value_vector;     /* the same in values and gradients, in floats */
    ptrdiff_t lanes, lane_step; /* hidden columns that exist, as panel_product has them */
} gate_panel;

static ptrdiff_t count_gate_panels(const recurrent_run *run, const gate_group *group) {
    return group->gates > 1 ? run->P : count_panels(run->size.H);
}

static gate_panel gate_panel_at(const recurrent_run *run, const gate_group *group,
                                ptrdiff_t index) {
    const ptrdiff_t H = run->size.H;
    if (group->gates > 1) {
        return (gate_panel){.p = index,
                            .vectors = group->gates,
                            .W_vector = H,
                            .value_vector = FS_LANES,
                            .lanes = H - index * FS_LANES,
                            .lane_step = 0};
    }
    const panel_span span = span_of_panel(index, H);
    return (gate_panel){.p = span.first_vector,
                        .vectors = span.vectors,
                        .W_vector = FS_LANES,
                        .value_vector = run->rows * FS_LANES,
                        .lanes = H - span.first_vector * FS_LANES,
                        .lane_step = FS_LANES};
}

static ptrdiff_t count_all_panels(const recurrent_run *run) {
    ptrdiff_t panels = 0;
    for (int g = 0; g < run->groups; ++g) {
        panels += count_gate_panels(run, &run->group[g]);
    }
    return panels;
}

/* The group of the index-th panel of all groups; the index becomes that in its group. */
static gate_group *group_of_panel(recurrent_run *run, ptrdiff_t *index) {
    gate_group *group = run->group;
    while (*index >= count_gate_panels(run, group)) {
        *index -= count_gate_panels(run, group);
        ++group;
    }
    return group;
}

/* ---- forward ---- */

static float *packed_panel(float *packed, const gate_group *group, gate_panel panel,
                           ptrdiff_t depth) {
    return packed + panel.p * group->gates * FS_LANES * depth;
}

/* The first column of a panel in W, b or their gradients. */
static ptrdiff_t panel_column(const recurrent_run *run, const gate_group *group, gate_panel panel) {
    return group->first * run->size.H + panel.p * FS_LANES;
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

static void pack_forward(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    recurrent_run *run = context;
    (void)thread;
    for (ptrdiff_t item = begin; item < end; ++item) {
        ptrdiff_t index = item;
        const gate_group *group = group_of_panel(run, &index);
        const gate_panel panel = gate_panel_at(run, group, index);
        pack_weights(group->packed_Wx, run->Wx, run, group, panel, run->size.D);
        pack_weights(group->packed_Wh, run->Wh, run, group, panel, run->size.H);
        pack_panel(packed_panel(group->packed_b, group, panel, 1),
                   run->b + panel_column(run, group, panel), 0, panel.W_vector, 1, 1, panel.vectors,
                   panel.lanes, panel.lane_step);
    }
}

/* to (N, Hp) <- from (N, H) or zeros, for rows [begin, end) */
static void load_state(float *to, const float *from, const recurrent_run *run, ptrdiff_t begin,
                       ptrdiff_t end) {
    const ptrdiff_t H = run->size.H;
    for (ptrdiff_t n = begin; n < end; ++n) {
        for (ptrdiff_t j = 0; j < run->Hp; j += FS_LANES) {
            const vf state = from ? load_lanes(from + n * H + j, H - j) : vf_set(0.0f);
            vf_store(to + n * run->Hp + j, state);
        }
    }
}

/* to (N, H) <- from (N, Hp) */
static void store_state(float *to, const float *from, const recurrent_run *run) {
    for (ptrdiff_t n = 0; n < run->size.N; ++n) {
        memcpy(to + n * run->size.H, from + n * run->Hp, (size_t)run->size.H * sizeof(float));
    }
}

/* Rows [begin, end) of the batch: x and the initial state into the time-major cache. */
static void load_inputs(const recurrent_run *run, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t N = run->size.N, T = run->size.T, D = run->size.D;
    for (ptrdiff_t n = begin; n < end; ++n) {
        for (ptrdiff_t t = 0; t < T; ++t) {
            memcpy(run->x + (t * N + n) * D, run->xs + (n * T + t) * D, (size_t)D * sizeof(float));
        }
    }
    load_state(run->h, run->h0, run, begin, end);
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
                const ptrdiff_t row = step * run->size.N + begin;
                gate_product(run, group, panel,
                             gate_vector(group->values, group, run, panel.p, row),
                             packed_panel(group->packed_b, group, panel, 1), 0, FS_LANES,
                             run->x + row * D, D, run->Wx, group->packed_Wx, D, end - begin);
            }
        }
    }
}

/* A += s_{t-1} Wh for rows [begin, end) of one panel. */
static void recur(const recurrent_run *run, const gate_group *group, gate_panel panel, ptrdiff_t t,
                  ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t row = t * run->size.N + begin;
    float *values = gate_vector(group->values, group, run, panel.p, row);
    gate_product(run, group, panel, values, values, group->gates * FS_LANES, panel.value_vector,
                 group->state + row * run->Hp, run->Hp, run->Wh, group->packed_Wh, run->size.H,
                 end - begin);
}

/* ---- backward ---- */

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

/* Work items are, for each group, the panels of Wh^T, then those of Wx^T. */
static void pack_backward(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const recurrent_run *run = context;
    const ptrdiff_t hidden_panels = count_panels(run->size.H);
    const ptrdiff_t panels = hidden_panels + count_panels(run->size.D);
    (void)thread;
    for (ptrdiff_t item = begin; item < end; ++item) {
        const gate_group *group = &run->group[item / panels];
        const ptrdiff_t index = item % panels;
        if (index < hidden_panels) {
            pack_transposed(group->packed_WhT, run->Wh, run, group, index, run->size.H);
        } else {
            pack_transposed(group->packed_WxT, run->Wx, run, group, index - hidden_panels,
                            run->size.D);
        }
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
            .a = group->gradients + (t * run->size.N + begin) * width,
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
    const ptrdiff_t T = run->size.T, D = run->size.D;
    const ptrdiff_t steps = 1 + ROWS_AT_ONCE / (end - begin);
    if (t % steps != 0) {
        return;
    }
    for (int g = 0; g < run->groups; ++g) {
        const gate_group *group = &run->group[g];
        for (ptrdiff_t index = 0; index < count_panels(D); ++index) {
            const panel_span span = span_of_panel(index, D);
            const ptrdiff_t column = span.first_vector * FS_LANES;
            for (ptrdiff_t step = t; step < smaller(t + steps, T); ++step) {
                transposed_product(run, group, run->dxs + (begin * T + step) * D + column, T * D,
                                   g > 0, group->packed_WxT, span, D - column, step, begin, end);
            }
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
        store_lanes(run->db + panel_column(run, group, panel) + v * panel.W_vector, sum[v],
                    panel.lanes - v * panel.lane_step);
    }
}

// forward was: A = x Wx + s Wh + b over all rows, so dWx = x^T dA, dWh = s^T dA
static void backward_weights(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    recurrent_run *run = context;
    const ptrdiff_t D = run->size.D, H = run->size.H;
    (void)thread;
    ptrdiff_t row = 0;
    do { /* once even for no rows: the gradients are then 0 */
        const ptrdiff_t depth = smaller(DEPTH_BLOCK, run->rows - row);
        for (ptrdiff_t item = begin; item < end; ++item) {
            ptrdiff_t index = item;
            const gate_group *group = group_of_panel(run, &index);
            const gate_panel panel = gate_panel_at(run, group, index);
            weight_gradient(run, group, panel, run->dWx, D, run->x, D, row, depth);
            weight_gradient(run, group, panel, run->dWh, H, group->state, run->Hp, row, depth);
        }
        row += depth;
    } while (row < run->rows);
    for (ptrdiff_t item = begin; item < end; ++item) {
        ptrdiff_t index = item;
        const gate_group *group = group_of_panel(run, &index);
        bias_gradient(run, group, gate_panel_at(run, group, index));
    }
}

/* Packs the weights, then takes the rows through the sequence with the layer's own task. */
static void run_forward(recurrent_run *run, fs_task rows_task, void *context, int threads) {
    const int row_threads = recurrent_threads(run, run->size.N, threads);
    parallel_for(count_all_panels(run), row_threads, pack_forward, run);
    parallel_for(run->size.N, row_threads, rows_task, context);
}

/* The same backward in time, then the gradients of the weights. */
static void run_backward(recurrent_run *run, fs_task rows_task, void *context, int threads) {
    const int row_threads = recurrent_threads(run, run->size.N, threads);
    const ptrdiff_t transposed = count_panels(run->size.H) + count_panels(run->size.D);
    parallel_for(run->groups * transposed, row_threads, pack_backward, run);
    parallel_for(run->size.N, row_threads, rows_task, context);
    const ptrdiff_t panels = count_all_panels(run);
    parallel_for(panels, recurrent_threads(run, panels, threads), backward_weights, run);
}

#endif
