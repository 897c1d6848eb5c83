/* kernels/recurrent/layout.h — where a recurrent layer keeps what, and which rows take which step.
 *
 * A layer computes  A_t = x_t Wx + s_{t-1} Wh + b  for some gates, each H columns wide, where s is
 * the hidden state or something made of it. Gates that one product yields form a group: f, g, i, o
 * of the LSTM; z and r, then g, of a GRU; the one of the plain RNN. A cell may keep the products of
 * a group apart:  A_t = x_t Wx + b  and  M_t = s_{t-1} Wh + bh.
 *
 * Hidden columns are cut into P = ceil(H / FS_LANES) vectors. A group holds, for each of them, one
 * vector of each of its gates side by side: all that a vector of the state needs comes out of one
 * register tile.
 *
 * Batch rows are taken longest first and laid out step by step: those with a step 0, those with a
 * step 1, and so on. A step is a run of rows, at its front the rows that go on, and what a row does
 * not have takes no place. With rows of equal length, step t of row n is row t N + n.
 *
 * Where x is a row of an embedding E with fewer rows than there are steps, the few products
 * E Wx + b make a table, laid out as values with V for rows, and A starts from a look-up; gradients
 * are summed in such a table first. With fewer steps than rows of E, x is gathered instead. What a
 * context adds to A, and the gradient of that, is kept once for all steps, with N for rows.
 *
 *     values  (P, rows, gates, FS_LANES)  A, then what becomes of it; the same layout for M and for
 *                                         gradients
 *     x       (rows, D)                   a copy: the caller's may change
 *     h       (rows + N, Hp)              states before each step, then those after the rows' last;
 *                                         Hp = P FS_LANES
 *
 * Where nothing is kept for a backward pass, values has room for the steps that take their inputs
 * together, and h for two steps, in turn: all of it stays in the cache. */
#ifndef FS_RECURRENT_LAYOUT_H
#define FS_RECURRENT_LAYOUT_H

#define MAX_GROUPS 2

typedef struct {
    int gates;          /* 1, 2 or 4 */
    int separate_M;     /* whether M is kept apart from A */
    ptrdiff_t first;    /* its first gate: columns from first H on of Wx, Wh and b */
    const float *state; /* s, laid out as h without the last N rows */
    /* in the cache */
    float *values;
    float *state_values; /* M where it is kept apart, else values */
    /* in the forward scratch */
    float *packed; /* (packed_rows, gates Hp) in panels: b, Wc, Wx, bh, Wh below each other */
    float *from_context, *table;
    /* in the forward scratch of few rows: (rows, streamed_row) A; (N, streamed_row) M and what the
     * context adds */
    float *streamed, *streamed_state, *streamed_context;
    /* in the backward scratch */
    float *packed_WcT, *packed_WxT, *packed_WhT;
    float *gradients;
    float *state_gradients; /* of M where it is kept apart, else gradients */
    float *context_gradients, *table_gradients;
} gate_group;

/* What one thread does of a forward pass: some batch rows, and all panels of them; or, in a team
 * that has more ranks than there are rows, the panels of its rank. */
typedef struct {
    ptrdiff_t begin, end;
    parallel_team team;
} recurrent_part;

/* How the passes of a cell are computed. */
struct recurrent_run;

typedef struct {
    int first_group; /* gates of a first group, where a second has the others; else 0 */
    int separate_M;  /* whether the last group keeps M apart */
    int has_reset;   /* whether the state of the last group is the reset state r h */
    /* rows through the sequence, and back */
    void (*forward_rows)(const struct recurrent_run *run, recurrent_part part);
    void (*backward_rows)(const struct recurrent_run *run, ptrdiff_t begin, ptrdiff_t end);
} cell_passes;

/* One direction of a layer on its way through a sequence. */
typedef struct recurrent_run {
    const cell_passes *passes;
    fs_recurrent_size size;
    ptrdiff_t P, Hp, rows;   /* vectors, padded H, steps of all batch rows */
    ptrdiff_t steps_at_once; /* that take their inputs together */
    ptrdiff_t value_rows;    /* rows of values, and of the states before all steps */
    ptrdiff_t state_rows;
    ptrdiff_t table_rows; /* V where a table of E Wx is made, else 0 */
    int few_reads;        /* whether packing weights takes longer than it saves */
    int gathers;          /* whether rows of an embedding are gathered into x */
    int has_cell;         /* c besides h */
    int groups, gates;    /* how many there are, and their gates in all */
    gate_group group[MAX_GROUPS];
    /* in the cache */
    float *x;       /* (rows, D), or of a table's embedding (V, D) */
    int32_t *ids;   /* (rows) where there is an embedding */
    float *context; /* (N, C) */
    float *h;
    float *c;     /* laid out as h */
    float *reset; /* r h_{t-1}, laid out as h without the last N rows */
    /* in the backward scratch: running gradients (N, Hp); dx (rows, D); dcontext (N, C) */
    float *dh, *dc, *dreset, *dx, *dcontext;
    /* the caller's, from the first column of this direction on */
    ptrdiff_t columns; /* of hs, h and c: H in each direction */
    int from_end;      /* whether this direction begins at each row's last step */
    float *hs;
    const float *xs;
    fs_matrix E;
    const int64_t *caller_ids;
    const float *h0, *c0, *dhs, *dh_last, *dc_last;
    fs_matrix Wc, Wx, Wh; /* Wx without the rows of the context, which are Wc */
    const float *b, *bh;
    float *dWc, *dWx, *dWh, *db, *dbh;
} recurrent_run;

/* ---- memory ---- */

/* Products with weights that need no recurrence are taken over so many rows (of several steps where
 * the batch is small) that the weights, read once for all, do not dominate. */
#define ROWS_AT_ONCE 64

/* With so few rows in all, packing weights takes longer than it saves. */
#define FEW_ROWS 16

static const cell_passes *passes_of(fs_cell cell);

static recurrent_run plan_recurrent(const fs_recurrent_size *size) {
    const fs_cell_info *cell = &fs_cells[size->cell];
    const cell_passes *passes = passes_of(size->cell);
    assert(size->N >= 0 && size->T >= 0 && size->D >= 0 && size->H >= 0);
    assert(size->directions == 1 || size->directions == FS_DIRECTIONS);
    const ptrdiff_t P = count_vectors(size->H);
    const ptrdiff_t rows = size->lengths.starts ? size->lengths.starts[size->T] : size->N * size->T;
    const ptrdiff_t steps_at_once = 1 + ROWS_AT_ONCE / max_size(size->N, 1);
    const int gathers = size->V > 0 && (rows < size->V || rows <= FEW_ROWS);
    recurrent_run run = {
        .passes = passes,
        .size = *size,
        .P = P,
        .Hp = P * FS_LANES,
        .rows = rows,
        .steps_at_once = steps_at_once,
        .value_rows = size->inference ? size->N * min_size(steps_at_once, size->T) : rows,
        .state_rows = size->inference ? 2 * size->N : rows,
        .table_rows = gathers ? 0 : size->V,
        .few_reads = rows <= FEW_ROWS,
        .gathers = gathers,
        .has_cell = cell->states > 1,
        .groups = passes->first_group ? 2 : 1,
        .gates = cell->gates,
        .columns = size->directions * size->H,
    };
    run.group[0].gates = passes->first_group ? passes->first_group : cell->gates;
    run.group[1].gates = cell->gates - passes->first_group;
    run.group[1].first = passes->first_group;
    run.group[run.groups - 1].separate_M = passes->separate_M;
    return run;
}

static void set_weights(recurrent_run *run, const fs_recurrent_weights *weights) {
    run->Wc = weights->array[FS_WX];
    run->Wx = run->Wc;
    run->Wx.data += run->size.C * run->Wx.row;
    run->Wh = weights->array[FS_WH];
    run->b = weights->array[FS_B].data;
    run->bh = weights->array[FS_BH].data;
}

/* How high a packed panel is. */
static ptrdiff_t packed_rows(const recurrent_run *run) {
    return 2 + run->size.C + run->size.D + run->size.H;
}

/* From one row of streamed A to the next. */
static ptrdiff_t streamed_row(const recurrent_run *run, const gate_group *group) {
    return round_up(group->gates * run->size.H, FS_LANES);
}

/* Each returns how many floats it used of `memory`, which may be NULL. */
static ptrdiff_t place_cache(recurrent_run *run, float *memory) {
    arena cache = {.memory = memory};
    run->x = arena_allocate(&cache, (run->table_rows ? run->table_rows : run->rows) * run->size.D);
    run->ids = (int32_t *)arena_allocate(&cache, run->size.V ? run->rows : 0);
    run->context = arena_allocate(&cache, run->size.N * run->size.C);
    const ptrdiff_t states = (run->state_rows + run->size.N) * run->Hp;
    run->h = arena_allocate(&cache, states);
    run->c = run->has_cell ? arena_allocate(&cache, states) : NULL;
    run->reset = run->passes->has_reset ? arena_allocate(&cache, run->state_rows * run->Hp) : NULL;
    for (int g = 0; g < run->groups; ++g) {
        gate_group *group = &run->group[g];
        const ptrdiff_t values = run->value_rows * group->gates * run->Hp;
        group->state = g > 0 && run->passes->has_reset ? run->reset : run->h;
        group->values = arena_allocate(&cache, values);
        group->state_values = group->separate_M ? arena_allocate(&cache, values) : group->values;
    }
    return cache.used;
}

/* Packed weights, and what is computed from them once for all steps. */
static ptrdiff_t place_packed(recurrent_run *run, float *memory) {
    arena scratch = {.memory = memory};
    for (int g = 0; g < run->groups; ++g) {
        gate_group *group = &run->group[g];
        const ptrdiff_t width = group->gates * run->Hp;
        group->packed = arena_allocate(&scratch, packed_rows(run) * width);
        group->from_context = arena_allocate(&scratch, run->size.C ? run->size.N * width : 0);
        group->table = arena_allocate(&scratch, run->table_rows * width);
    }
    return scratch.used;
}

/* What is computed from weights that are not packed. */
static ptrdiff_t place_streamed(recurrent_run *run, float *memory) {
    arena scratch = {.memory = memory};
    const ptrdiff_t N = run->size.N;
    for (int g = 0; g < run->groups; ++g) {
        gate_group *group = &run->group[g];
        const ptrdiff_t streamed = run->few_reads ? streamed_row(run, group) : 0;
        group->streamed = arena_allocate(&scratch, run->rows * streamed);
        group->streamed_state = arena_allocate(&scratch, group->separate_M ? N * streamed : 0);
        group->streamed_context = arena_allocate(&scratch, run->size.C ? N * streamed : 0);
    }
    return scratch.used;
}

static ptrdiff_t place_forward(recurrent_run *run, float *memory) {
    arena scratch = {.memory = memory};
    scratch.used += place_packed(run, memory);
    return scratch.used + place_streamed(run, arena_rest(&scratch));
}

static ptrdiff_t place_backward(recurrent_run *run, float *memory) {
    arena scratch = {.memory = memory};
    for (int g = 0; g < run->groups; ++g) {
        gate_group *group = &run->group[g];
        const ptrdiff_t width = group->gates * run->Hp;
        group->packed_WcT = arena_allocate(&scratch, width * round_up(run->size.C, FS_LANES));
        group->packed_WxT = arena_allocate(&scratch, width * round_up(run->size.D, FS_LANES));
        group->packed_WhT = arena_allocate(&scratch, width * run->Hp);
        group->gradients = arena_allocate(&scratch, run->rows * width);
        group->state_gradients =
            group->separate_M ? arena_allocate(&scratch, run->rows * width) : group->gradients;
        group->context_gradients = arena_allocate(&scratch, run->size.C ? run->size.N * width : 0);
        group->table_gradients = arena_allocate(&scratch, run->table_rows * width);
    }
    const ptrdiff_t states = run->size.N * run->Hp;
    run->dh = arena_allocate(&scratch, states);
    run->dc = run->has_cell ? arena_allocate(&scratch, states) : NULL;
    run->dreset = run->passes->has_reset ? arena_allocate(&scratch, states) : NULL;
    run->dx = arena_allocate(&scratch, run->table_rows ? 0 : run->rows * run->size.D);
    run->dcontext = arena_allocate(&scratch, run->size.N * run->size.C);
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
static inline ptrdiff_t caller_step(const recurrent_run *run, ptrdiff_t n, ptrdiff_t t) {
    const ptrdiff_t step = run->from_end ? count_steps(run, n) - 1 - t : t;
    return batch_row(run, n) * run->size.T + step;
}

/* The rows of one step: looked up before a loop, whose stores might else be taken to change them.
 *
 * value    batch row n at this step is row value + n of values
 * state    and row state + n of h, c and reset
 * continuing how many have a next step
 * next     the state after this one is row next + n of h and c for those, ended + n for others */
typedef struct {
    ptrdiff_t value, state, continuing, next, ended;
} step_rows;

static inline step_rows rows_of_step(const recurrent_run *run, ptrdiff_t t) {
    return (step_rows){first_value_row(run, t), first_state_row(run, t), count_rows(run, t + 1),
                       first_state_row(run, t + 1), run->state_rows};
}

static inline ptrdiff_t row_after(step_rows step, ptrdiff_t n) {
    return n + (n < step.continuing ? step.next : step.ended);
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

/* Of `count` panels, those of one part: the i-th at step t. They are taken in ascending order at
 * even steps and descending at odd ones, which begin with the weights that the last step left in
 * the cache. */
static inline ptrdiff_t count_part(recurrent_part part, ptrdiff_t count) {
    return count * (part.team.rank + 1) / part.team.ranks -
           count * part.team.rank / part.team.ranks;
}

static inline ptrdiff_t panel_of_part(recurrent_part part, ptrdiff_t count, ptrdiff_t i,
                                      ptrdiff_t t) {
    const ptrdiff_t first = count * part.team.rank / part.team.ranks;
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
