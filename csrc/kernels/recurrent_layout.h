/* kernels/recurrent_layout.h — where a recurrent layer keeps what, and which rows take which step.
 *
 * A layer computes  A_t = x_t Wx + s_{t-1} Wh + b  for some gates, each H columns wide, where s is
 * the hidden state or something made of it. Gates that one product yields form a group: f, g, i, o
 * of the LSTM; z and r, then g, of the GRU; the one of the plain RNN.
 *
 * Hidden columns are cut into P = ceil(H / FS_LANES) vectors. A group holds, for each of them, one
 * vector of each of its gates side by side: all that a vector of the state needs meets in one
 * register tile.
 *
 * Batch rows are taken longest first and laid out step by step: those with a step 0, those with a
 * step 1, and so on. A step is a run of rows, at its front the rows that go on, and what a row does
 * not have takes no place. With rows of equal length, step t of row n is row t N + n.
 *
 * Where x is a row of an embedding E, the few products E Wx + b make a table, laid out as values
 * with V for rows, and A starts from a look-up; gradients are summed in such a table first. In the
 * same way what a context adds to A, and the gradient of that, is kept once for all steps, with N
 * for rows.
 *
 *     values  (P, rows, gates, FS_LANES)  A, then what becomes of it; the same layout for gradients
 *     x       (rows, D)                   a copy: the caller may change his
 *     h       (rows + N, Hp)              states before each step, then those after the rows' last;
 *                                         Hp = P FS_LANES
 *
 * Where nothing is kept for a backward pass, values has room for the steps that take their inputs
 * together, and h for two steps, which take turns: all of it stays in the cache. */
#ifndef FS_RECURRENT_LAYOUT_H
#define FS_RECURRENT_LAYOUT_H

typedef struct {
    int gates;          /* 1, 2 or 4 */
    ptrdiff_t first;    /* its first gate: columns from first H on of Wx, Wh and b */
    const float *state; /* s, laid out as h without the last N rows */
    float *values;      /* in the cache */
    /* in the forward scratch */
    float *packed; /* (1 + C + D + H, gates Hp) in panels: b, Wc, Wx, Wh below each other */
    float *from_context, *table;
    float *streamed; /* (N, streamed_row): A of a step, where few rows take no packed weights */
    /* in the backward scratch */
    float *packed_WcT, *packed_WxT, *packed_WhT;
    float *gradients, *context_gradients, *table_gradients;
} gate_group;

/* What one thread does of a forward pass: some batch rows; all panels of them, or, where threads
 * are more than rows, its share, and then it waits for the others where it needs theirs. */
typedef struct {
    ptrdiff_t begin, end;
    ptrdiff_t share, shares;
} recurrent_part;

/* What tells the layers apart. */
struct recurrent_run;

typedef struct {
    int groups, gates[2];
    int has_cell, has_reset;
    /* rows through the sequence, and back */
    void (*forward_rows)(const struct recurrent_run *run, recurrent_part part);
    void (*backward_rows)(const struct recurrent_run *run, ptrdiff_t begin, ptrdiff_t end);
} recurrent_layer;

/* One direction of a layer on its way through a sequence. */
typedef struct recurrent_run {
    const recurrent_layer *layer;
    fs_recurrent_size size;
    ptrdiff_t P, Hp, rows;   /* vectors, padded H, steps of all batch rows */
    ptrdiff_t steps_at_once; /* that take their inputs together */
    ptrdiff_t value_rows;    /* rows of values, and of the states before all steps */
    ptrdiff_t state_rows;
    int groups, gates; /* how many there are, and their gates in all */
    gate_group group[2];
    /* in the cache */
    float *x;       /* (V, D) of an embedding */
    int32_t *ids;   /* (rows) where there is one */
    float *context; /* (N, C) */
    float *h;
    float *c;     /* of the LSTM, laid out as h */
    float *reset; /* r h_{t-1} of the GRU, laid out as h without the last N rows */
    /* in the backward scratch: running gradients (N, Hp); dx (rows, D); dcontext (N, C) */
    float *dh, *dc, *dreset, *dx, *dcontext;
    /* the caller's, from the first column of this direction on */
    ptrdiff_t columns; /* of hs, h and c: H in each direction */
    int from_end;      /* whether this direction begins at each row's last step */
    float *hs;
    const float *xs;
    const int64_t *callers_ids;
    const float *h0, *c0, *dhs, *dh_last, *dc_last;
    fs_matrix Wc, Wx, Wh; /* Wx without the rows of the context, which are Wc */
    const float *b;
    float *dWc, *dWx, *dWh, *db;
} recurrent_run;

/* ---- memory ---- */

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

/* Products with weights that need no recurrence are taken over so many rows (of several steps where
 * the batch is small) that the weights, read once for all, do not dominate. */
#define ROWS_AT_ONCE 64

/* With so few rows in all, packing weights takes longer than it saves. */
#define FEW_ROWS 16

/* by fs_cell; each in its own file */
static const recurrent_layer rnn_layer, gru_layer, lstm_layer;
static const recurrent_layer *const recurrent_layers[] = {&rnn_layer, &gru_layer, &lstm_layer};

static recurrent_run plan_recurrent(const fs_recurrent_size *size) {
    const recurrent_layer *layer = recurrent_layers[size->cell];
    assert(size->N >= 0 && size->T >= 0 && size->D >= 0 && size->H >= 0);
    assert(size->directions == 1 || size->directions == FS_DIRECTIONS);
    const ptrdiff_t P = count_vectors(size->H);
    const ptrdiff_t rows = size->lengths.starts ? size->lengths.starts[size->T] : size->N * size->T;
    const ptrdiff_t steps_at_once = 1 + ROWS_AT_ONCE / larger(size->N, 1);
    recurrent_run run = {
        .layer = layer,
        .size = *size,
        .P = P,
        .Hp = P * FS_LANES,
        .rows = rows,
        .steps_at_once = steps_at_once,
        .value_rows = size->inference ? size->N * smaller(steps_at_once, size->T) : rows,
        .state_rows = size->inference ? 2 * size->N : rows,
        .groups = layer->groups,
        .columns = size->directions * size->H,
    };
    for (int g = 0; g < layer->groups; ++g) {
        run.group[g].first = run.gates;
        run.group[g].gates = layer->gates[g];
        run.gates += layer->gates[g];
    }
    return run;
}

/* How high a packed panel is. */
static ptrdiff_t packed_rows(const recurrent_run *run) {
    return 1 + run->size.C + run->size.D + run->size.H;
}

/* From one row of streamed A to the next. */
static ptrdiff_t streamed_row(const recurrent_run *run, const gate_group *group) {
    return round_up(group->gates * run->size.H, FS_LANES);
}

/* Each returns how many floats it used of `memory`, which may be NULL. */
static ptrdiff_t place_cache(recurrent_run *run, float *memory) {
    arena cache = {.memory = memory};
    run->x = take(&cache, (run->size.V ? run->size.V : run->rows) * run->size.D);
    run->ids = (int32_t *)take(&cache, run->size.V ? run->rows : 0);
    run->context = take(&cache, run->size.N * run->size.C);
    const ptrdiff_t states = (run->state_rows + run->size.N) * run->Hp;
    run->h = take(&cache, states);
    run->c = run->layer->has_cell ? take(&cache, states) : NULL;
    run->reset = run->layer->has_reset ? take(&cache, run->state_rows * run->Hp) : NULL;
    for (int g = 0; g < run->groups; ++g) {
        gate_group *group = &run->group[g];
        group->state = g > 0 ? run->reset : run->h;
        group->values = take(&cache, run->value_rows * group->gates * run->Hp);
    }
    return cache.used;
}

static ptrdiff_t place_forward(recurrent_run *run, float *memory) {
    arena scratch = {.memory = memory};
    for (int g = 0; g < run->groups; ++g) {
        gate_group *group = &run->group[g];
        const ptrdiff_t width = group->gates * run->Hp;
        group->packed = take(&scratch, packed_rows(run) * width);
        group->from_context = take(&scratch, run->size.C ? run->size.N * width : 0);
        group->table = take(&scratch, run->size.V * width);
        group->streamed =
            take(&scratch, run->rows <= FEW_ROWS ? run->size.N * streamed_row(run, group) : 0);
    }
    return scratch.used;
}

static ptrdiff_t place_backward(recurrent_run *run, float *memory) {
    arena scratch = {.memory = memory};
    for (int g = 0; g < run->groups; ++g) {
        gate_group *group = &run->group[g];
        const ptrdiff_t width = group->gates * run->Hp;
        group->packed_WcT = take(&scratch, width * round_up(run->size.C, FS_LANES));
        group->packed_WxT = take(&scratch, width * round_up(run->size.D, FS_LANES));
        group->packed_WhT = take(&scratch, width * run->Hp);
        group->gradients = take(&scratch, run->rows * width);
        group->context_gradients = take(&scratch, run->size.C ? run->size.N * width : 0);
        group->table_gradients = take(&scratch, run->size.V * width);
    }
    const ptrdiff_t states = run->size.N * run->Hp;
    run->dh = take(&scratch, states);
    run->dc = run->layer->has_cell ? take(&scratch, states) : NULL;
    run->dreset = run->layer->has_reset ? take(&scratch, states) : NULL;
    run->dx = take(&scratch, run->size.V ? 0 : run->rows * run->size.D);
    run->dcontext = take(&scratch, run->size.N * run->size.C);
    return scratch.used;
}

/* ---- rows ---- */

/* The first row of step t. */
static inline ptrdiff_t first_row(const recurrent_run *run, ptrdiff_t t) {
    const ptrdiff_t *starts = run->size.lengths.starts;
    return starts ? starts[t] : t * run->size.N;
}

/* The rows of step t in values, and in h, c and reset. */
static inline ptrdiff_t first_value_row(const recurrent_run *run, ptrdiff_t t) {
    return run->size.inference ? t % run->steps_at_once * run->size.N : first_row(run, t);
}

static inline ptrdiff_t first_state_row(const recurrent_run *run, ptrdiff_t t) {
    return run->size.inference ? t % 2 * run->size.N : first_row(run, t);
}

/* How many batch rows have a step t. */
static inline ptrdiff_t count_rows(const recurrent_run *run, ptrdiff_t t) {
    return t < run->size.T ? first_row(run, t + 1) - first_row(run, t) : 0;
}

static inline ptrdiff_t count_steps(const recurrent_run *run, ptrdiff_t n) {
    return run->size.lengths.steps ? run->size.lengths.steps[n] : run->size.T;
}

/* The caller's number of batch row n. */
static inline ptrdiff_t batch_row(const recurrent_run *run, ptrdiff_t n) {
    return run->size.lengths.order ? run->size.lengths.order[n] : n;
}

/* Where step t of row n lies among the N T steps of the caller. */
static inline ptrdiff_t callers_step(const recurrent_run *run, ptrdiff_t n, ptrdiff_t t) {
    const ptrdiff_t step = run->from_end ? count_steps(run, n) - 1 - t : t;
    return batch_row(run, n) * run->size.T + step;
}

/* The rows of one step: looked up before a loop, whose stores might else be taken to change them.
 *
 * value    batch row n at this step is row value + n of values
 * state    and row state + n of h, c and reset
 * going_on how many have a next step
 * next     the state after this one is row next + n of h and c for those, ended + n for others */
typedef struct {
    ptrdiff_t value, state, going_on, next, ended;
} step_rows;

static inline step_rows rows_of_step(const recurrent_run *run, ptrdiff_t t) {
    return (step_rows){first_value_row(run, t), first_state_row(run, t), count_rows(run, t + 1),
                       first_state_row(run, t + 1), run->state_rows};
}

static inline ptrdiff_t row_after(step_rows step, ptrdiff_t n) {
    return n + (n < step.going_on ? step.next : step.ended);
}

/* ---- panels ---- */

/* Where vector p of the hidden columns of `row` lies in an array (P, rows, gates, FS_LANES). */
static inline float *row_vector(float *array, ptrdiff_t rows, const gate_group *group, ptrdiff_t p,
                                ptrdiff_t row) {
    return array + (p * rows + row) * group->gates * FS_LANES;
}

/* The same in a group's values or gradients. */
static inline float *gate_vector(float *values, const gate_group *group, const recurrent_run *run,
                                 ptrdiff_t p, ptrdiff_t row) {
    return row_vector(values, run->value_rows, group, p, row);
}

/* One panel of a group: a vector of each of several gates, or up to four vectors of a single gate:
 * a tile wants four. */
typedef struct {
    ptrdiff_t p;                /* its first vector of hidden columns */
    int vectors;                /* of the tile */
    ptrdiff_t W_vector;         /* from one vector to the next, in columns of W */
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
                            .lanes = H - index * FS_LANES,
                            .lane_step = 0};
    }
    const panel_span span = span_of_panel(index, H);
    return (gate_panel){.p = span.first_vector,
                        .vectors = span.vectors,
                        .W_vector = FS_LANES,
                        .lanes = H - span.first_vector * FS_LANES,
                        .lane_step = FS_LANES};
}

/* From one vector of a panel to the next in an array (P, rows, gates, FS_LANES). */
static inline ptrdiff_t next_vector(const gate_group *group, ptrdiff_t rows) {
    return group->gates > 1 ? FS_LANES : rows * FS_LANES;
}

/* Of `count` panels, those of one part: the i-th at step t. They are taken forth at one step and
 * back at the next, so that it begins with the weights that the last step left in the cache. */
static inline ptrdiff_t count_part(recurrent_part part, ptrdiff_t count) {
    return count * (part.share + 1) / part.shares - count * part.share / part.shares;
}

static inline ptrdiff_t panel_of_part(recurrent_part part, ptrdiff_t count, ptrdiff_t i,
                                      ptrdiff_t t) {
    const ptrdiff_t first = count * part.share / part.shares;
    return first + (t % 2 == 0 ? i : count_part(part, count) - 1 - i);
}

static ptrdiff_t count_all_panels(const recurrent_run *run) {
    ptrdiff_t panels = 0;
    for (int g = 0; g < run->groups; ++g) {
        panels += count_gate_panels(run, &run->group[g]);
    }
    return panels;
}

/* The group of the index-th panel of all groups; the index becomes that in its group. */
static const gate_group *group_of_panel(const recurrent_run *run, ptrdiff_t *index) {
    const gate_group *group = run->group;
    while (*index >= count_gate_panels(run, group)) {
        *index -= count_gate_panels(run, group);
        ++group;
    }
    return group;
}

/* The first column of a panel in W, b or their gradients. */
static ptrdiff_t panel_column(const recurrent_run *run, const gate_group *group, gate_panel panel) {
    return group->first * run->size.H + panel.p * FS_LANES;
}

#endif
