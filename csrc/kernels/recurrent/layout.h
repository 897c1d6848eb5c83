/* kernels/recurrent/layout.h — the memory layout of a recurrent layer: gate groups and packed
 * sequences.
 *
 * A layer computes the pre-activations  A_t = x_t Wx + s_{t-1} Wh + b  of some gates, each H
 * columns wide, where s is the hidden state or a function of it. Gates computed by one product form
 * a group: f, g, i, o of the LSTM; z and r, then g, of a GRU; the only one of the plain RNN. A cell
 * may store the two products of a group separately:  A_t = x_t Wx + b  and  M_t = s_{t-1} Wh + bh.
 *
 * Hidden columns are split into P = ceil(H / FS_LANES) vectors. For each of them a group stores one
 * vector of each of its gates contiguously, so that one register tile computes all gates of a
 * vector of the state.
 *
 * The batch is a packed sequence: rows sorted by length, longest first, stored step by step. The
 * rows of a step are contiguous, those that continue first; steps that a row does not have take no
 * memory. If all rows have the same length, step t of row n is packed row t N + n.
 *
 * If x is a row of an embedding E with fewer rows than there are packed rows, the products E Wx + b
 * are computed once into a table, laid out as values with V for rows, and A is initialized by
 * look-up; gradients are first summed in such a table. Otherwise x is gathered from E. The product
 * of the context, and its gradient, is stored once for all steps, with N for rows.
 *
 *     values  (P, rows, gates, FS_LANES)  A, then the gates computed from it; M and gradients have
 *                                         the same layout
 *     x       (rows, D)                   a copy, since the caller may modify its array
 *     h       (rows + N, Hp)              states before each step, then the final states of the
 *                                         rows; Hp = P FS_LANES
 *
 * In inference, values has room for the steps whose inputs are projected together, and h for two
 * steps, used alternately: both stay in cache. */
#ifndef FS_RECURRENT_LAYOUT_H
#define FS_RECURRENT_LAYOUT_H

#define MAX_GROUPS 2

typedef struct {
    int gates;          /* 1, 2 or 4 */
    int separate_M;     /* whether M is stored separately from A */
    ptrdiff_t first;    /* its first gate: the columns from first H on in Wx, Wh and b */
    const float *state; /* s, laid out as h without the last N rows */
    /* in the cache */
    float *values;
    float *state_values; /* M if separate, else values */
    /* in the forward scratch */
    float *packed; /* (packed_rows, gates Hp) in panels: b, bh, Wc, Wx, Wh below each other */
    float *from_context, *table;
    /* in the forward scratch of few rows: A (rows, streamed_row); M and the product of the context
     * (N, streamed_row) */
    float *streamed, *streamed_state, *streamed_context;
    /* in the same scratch, where PACKS_ALWAYS: [x s] of the rows of a step, converted */
    float *operands; /* (N, operand_row) */
    /* in the backward scratch: transposed weights; later, in the same memory, blocks of x and s of
     * left_rows rows */
    float *packed_x, *packed_state;
    float *packed_WcT, *packed_WxT, *packed_WhT;
    float *gradients;
    float *state_gradients; /* of M if separate, else gradients */
    float *context_gradients, *table_gradients;
    float *converted; /* where PACKS_ALWAYS: dA of a step as an operand, (N, gates Hp); else NULL */
} gate_group;

/* The part of a forward pass that one thread computes: some batch rows with all their panels; or,
 * in a team with more ranks than rows, all rows with the panels of its rank. */
typedef struct {
    ptrdiff_t begin, end;
    parallel_team team;
    int rank; /* of the thread in the call */
} recurrent_part;

/* The gate groups of a cell, and its steps. The loop over the steps is in pass.h. */
struct recurrent_run;

typedef struct {
    int first_group; /* gates in the first of two groups; 0: one group */
    int separate_M;  /* whether the last group stores M separately */
    int has_reset;   /* whether s of the last group is the reset state r h */
    /* one step, for the batch rows that have it: forward those of a part, backward [begin, end) */
    void (*forward_step)(const struct recurrent_run *run, recurrent_part part, ptrdiff_t t);
    void (*backward_step)(const struct recurrent_run *run, ptrdiff_t t, ptrdiff_t begin,
                          ptrdiff_t end);
} cell_kernel;

/* One direction of a layer in one call. */
typedef struct recurrent_run {
    const cell_kernel *kernel;
    fs_interrupt *interrupt; /* of a long call; else NULL */
    fs_recurrent_size size;
    ptrdiff_t P, Hp, rows;   /* vectors, padded H, packed rows */
    ptrdiff_t steps_at_once; /* whose inputs are projected together */
    ptrdiff_t value_rows;    /* rows of values, and of the states before the steps */
    ptrdiff_t state_rows;
    ptrdiff_t table_rows; /* V if there is a table of E Wx, else 0 */
    int few_reads;        /* whether weights are read too few times for packing to pay */
    int gathers;          /* whether x is gathered from the embedding */
    int has_cell;         /* whether there is c */
    int groups, gates;    /* number of groups, and of gates in all */
    gate_group group[MAX_GROUPS];
    /* in the cache */
    float *x;       /* (rows, D), or of a table's embedding (V, D) */
    int32_t *ids;   /* (rows) if there is an embedding */
    float *context; /* (N, C) */
    float *h;
    float *c;     /* laid out as h */
    float *reset; /* r h_{t-1}, laid out as h without the last N rows */
    ptrdiff_t left_rows;
    /* in the backward scratch: running gradients (N, Hp); dx (rows, D); dcontext (N, C) */
    float *dh, *dc, *dreset, *dx, *dcontext;
    /* the caller's arrays, from the first column of this direction on */
    ptrdiff_t columns; /* of hs, h and c: H in each direction */
    int from_end;      /* whether this direction starts at each row's last step */
    float *hs;
    const float *xs;
    fs_matrix E;
    const int64_t *caller_ids;
    const float *h0, *c0, *dhs, *dh_last, *dc_last;
    fs_matrix Wc, Wx, Wh; /* Wc are the first rows of the caller's Wx, Wx the others */
    const float *b, *bh;
    float *dWc, *dWx, *dWh, *db, *dbh;
} recurrent_run;

/* ---- memory ---- */

/* Rows in a product without recurrence, of several steps if the batch is small: enough that reading
 * the weights, once for all rows, does not dominate. */
#define ROWS_AT_ONCE 64

/* Packing the weights does not pay with so few packed rows; nor, if they are those of one sequence,
 * with so few steps, each of which reads the weights of the states once. */
#define FEW_ROWS 16
#define FEW_STEPS 256

static const cell_kernel *kernel_of(fs_cell cell);

static recurrent_run plan_recurrent(const fs_recurrent_size *size) {
    const fs_cell_info *cell = &fs_cells[size->cell];
    const cell_kernel *kernel = kernel_of(size->cell);
    assert(size->N >= 0 && size->T >= 0 && size->D >= 0 && size->H >= 0);
    assert(size->directions == 1 || size->directions == FS_DIRECTIONS);
    const ptrdiff_t P = count_vectors(size->H);
    const ptrdiff_t rows = size->lengths.starts ? size->lengths.starts[size->T] : size->N * size->T;
    const ptrdiff_t steps_at_once = 1 + ROWS_AT_ONCE / max_size(size->N, 1);
    const int few_reads = rows <= FEW_ROWS || (size->N == 1 && rows <= FEW_STEPS);
    const int gathers = size->V > 0 && (rows < size->V || few_reads);
    recurrent_run run = {
        .kernel = kernel,
        .size = *size,
        .P = P,
        .Hp = P * FS_LANES,
        .rows = rows,
        .steps_at_once = steps_at_once,
        .value_rows = size->inference ? size->N * min_size(steps_at_once, size->T) : rows,
        .state_rows = size->inference ? 2 * size->N : rows,
        .table_rows = gathers ? 0 : size->V,
        .few_reads = !PACKS_ALWAYS && few_reads,
        .gathers = gathers,
        .has_cell = cell->states > 1,
        .groups = kernel->first_group ? 2 : 1,
        .gates = cell->gates,
        .columns = size->directions * size->H,
    };
    run.group[0].gates = kernel->first_group ? kernel->first_group : cell->gates;
    run.group[1].gates = cell->gates - kernel->first_group;
    run.group[1].first = kernel->first_group;
    run.group[run.groups - 1].separate_M = kernel->separate_M;
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

/* The number of rows of a packed panel. */
static ptrdiff_t packed_rows(const recurrent_run *run) {
    return 2 + packed_depth(run->size.C) + packed_depth(run->size.D) + packed_depth(run->size.H);
}

/* The stride of the rows of streamed A. */
static ptrdiff_t streamed_row(const recurrent_run *run, const gate_group *group) {
    return round_up(group->gates * run->size.H, FS_LANES);
}

/* The place functions set the pointers into `memory`, unless it is NULL, and return its size. */
static ptrdiff_t place_cache(recurrent_run *run, float *memory) {
    arena cache = {.memory = memory};
    run->x = arena_allocate(&cache, (run->table_rows ? run->table_rows : run->rows) * run->size.D);
    run->ids = (int32_t *)arena_allocate(&cache, run->size.V ? run->rows : 0);
    run->context = arena_allocate(&cache, run->size.N * run->size.C);
    const ptrdiff_t states = (run->state_rows + run->size.N) * run->Hp;
    run->h = arena_allocate(&cache, states);
    run->c = run->has_cell ? arena_allocate(&cache, states) : NULL;
    run->reset = run->kernel->has_reset ? arena_allocate(&cache, run->state_rows * run->Hp) : NULL;
    for (int g = 0; g < run->groups; ++g) {
        gate_group *group = &run->group[g];
        const ptrdiff_t values = run->value_rows * group->gates * run->Hp;
        group->state = g > 0 && run->kernel->has_reset ? run->reset : run->h;
        group->values = arena_allocate(&cache, values);
        group->state_values = group->separate_M ? arena_allocate(&cache, values) : group->values;
    }
    return cache.used;
}

/* Packed weights, and the products that are computed once for all steps. */
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

/* The products of streamed rows begin half a page away from where the rows of Wh do in theirs: on
 * processors that compare only the last 12 bits of addresses, a load of Wh would wait for a store
 * of sums in the same place of a page. */
#define PAGE_FLOATS 1024

static float *allocate_streamed(arena *scratch, ptrdiff_t floats, const float *Wh) {
    float *streamed = arena_allocate(scratch, floats > 0 ? floats + PAGE_FLOATS : 0);
    const uintptr_t distance = ((uintptr_t)Wh - (uintptr_t)streamed) / sizeof(float);
    return floats > 0 && streamed ? streamed + (distance + PAGE_FLOATS / 2) % PAGE_FLOATS
                                  : streamed;
}

/* The stride of the rows of operands. */
static ptrdiff_t operand_row(const recurrent_run *run) {
    return packed_depth(run->size.D) + packed_depth(run->size.H);
}

/* What the products of a step read or write: streamed rows, or converted ones. */
static ptrdiff_t place_step(recurrent_run *run, float *memory) {
    arena scratch = {.memory = memory};
    const ptrdiff_t N = run->size.N;
    for (int g = 0; g < run->groups; ++g) {
        gate_group *group = &run->group[g];
        const ptrdiff_t streamed = run->few_reads ? streamed_row(run, group) : 0;
        const float *Wh = run->Wh.data + group->first * run->size.H;
        group->streamed = allocate_streamed(&scratch, run->rows * streamed, Wh);
        group->streamed_state =
            allocate_streamed(&scratch, group->separate_M ? N * streamed : 0, Wh);
        group->streamed_context = arena_allocate(&scratch, run->size.C ? N * streamed : 0);
        group->operands =
            arena_allocate(&scratch, PACKS_ALWAYS ? left_rows(N) * operand_row(run) : 0);
    }
    return scratch.used;
}

static ptrdiff_t place_forward(recurrent_run *run, float *memory) {
    arena scratch = {.memory = memory};
    scratch.used += place_packed(run, memory);
    return scratch.used + place_step(run, arena_rest(&scratch));
}

/* For products with W^T; then, in the same memory, the operands of dW = [x s]^T dA, of as many
 * packed rows as fit in, and of one block at least. */
static ptrdiff_t place_packed_operands(recurrent_run *run, float *memory) {
    arena scratch = {.memory = memory};
    for (int g = 0; g < run->groups; ++g) {
        gate_group *group = &run->group[g];
        const ptrdiff_t packed = packed_depth(group->gates * run->Hp);
        group->packed_WcT = arena_allocate(&scratch, packed * round_up(run->size.C, FS_LANES));
        group->packed_WhT = arena_allocate(&scratch, packed * run->Hp);
    }
    const ptrdiff_t block = run->groups * (left_floats(run->size.D, DEPTH_BLOCK) +
                                           left_floats(run->size.H, DEPTH_BLOCK));
    const ptrdiff_t blocks = max_size(scratch.used / max_size(block, 1), 1);
    run->left_rows = min_size(blocks * DEPTH_BLOCK, run->rows);
    arena left = {.memory = memory};
    for (int g = 0; g < run->groups; ++g) {
        run->group[g].packed_x = arena_allocate(&left, left_floats(run->size.D, run->left_rows));
        run->group[g].packed_state =
            arena_allocate(&left, left_floats(run->size.H, run->left_rows));
    }
    return max_size(scratch.used, left.used);
}

static ptrdiff_t place_backward(recurrent_run *run, float *memory) {
    arena scratch = {.memory = memory};
    scratch.used += place_packed_operands(run, memory);
    for (int g = 0; g < run->groups; ++g) {
        gate_group *group = &run->group[g];
        const ptrdiff_t width = group->gates * run->Hp;
        group->packed_WxT =
            arena_allocate(&scratch, packed_depth(width) * round_up(run->size.D, FS_LANES));
        group->gradients = arena_allocate(&scratch, run->rows * width);
        group->state_gradients =
            group->separate_M ? arena_allocate(&scratch, run->rows * width) : group->gradients;
        group->context_gradients = arena_allocate(&scratch, run->size.C ? run->size.N * width : 0);
        group->table_gradients = arena_allocate(&scratch, run->table_rows * width);
        group->converted =
            PACKS_ALWAYS ? arena_allocate(&scratch, left_rows(run->size.N) * packed_depth(width))
                         : NULL;
    }
    const ptrdiff_t states = run->size.N * run->Hp;
    run->dh = arena_allocate(&scratch, states);
    run->dc = run->has_cell ? arena_allocate(&scratch, states) : NULL;
    run->dreset = run->kernel->has_reset ? arena_allocate(&scratch, states) : NULL;
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

/* The first row of step t in values, and in h, c and reset. */
static inline ptrdiff_t first_value_row(const recurrent_run *run, ptrdiff_t t) {
    return run->size.inference ? t % run->steps_at_once * run->size.N : first_row(run, t);
}

static inline ptrdiff_t first_state_row(const recurrent_run *run, ptrdiff_t t) {
    return run->size.inference ? t % 2 * run->size.N : first_row(run, t);
}

/* The number of batch rows that have a step t. */
static inline ptrdiff_t count_rows(const recurrent_run *run, ptrdiff_t t) {
    return t < run->size.T ? first_row(run, t + 1) - first_row(run, t) : 0;
}

static inline ptrdiff_t count_steps(const recurrent_run *run, ptrdiff_t n) {
    return run->size.lengths.steps ? run->size.lengths.steps[n] : run->size.T;
}

/* The index of sorted row n in the caller's batch. */
static inline ptrdiff_t batch_row(const recurrent_run *run, ptrdiff_t n) {
    return run->size.lengths.order ? run->size.lengths.order[n] : n;
}

/* The index of step t of row n among the N T steps of the caller. */
static inline ptrdiff_t caller_step(const recurrent_run *run, ptrdiff_t n, ptrdiff_t t) {
    const ptrdiff_t step = run->from_end ? count_steps(run, n) - 1 - t : t;
    return batch_row(run, n) * run->size.T + step;
}

/* The row indices of one step, computed before a loop: the compiler would otherwise reload them
 * after each store, which might alias them.
 *
 * value       batch row n at this step is row value + n of values
 * state       and row state + n of h, c and reset
 * continuing  the number of rows that have a next step
 * next        their state after this step is row next + n of h and c; of the others, ended + n */
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

#endif
