/* kernels/lstm.h — one LSTM layer over a whole sequence, the gates fused with their product.
 *
 *     A_t = x_t Wx + h_{t-1} Wh + b;   f,g,i,o = sigmoid(A_f), tanh(A_g), sigmoid(A_i), sigmoid(A_o)
 *     c_t = f c_{t-1} + g i;           h_t = o tanh(c_t)
 *
 * Inside, hidden columns are cut into P = ceil(H / FS_LANES) panels, and a panel holds one vector of
 * each gate: all that a vector of c and h needs meets in one register tile. Rows are time-major,
 * r = t N + n, so that a step is a run of rows and its predecessor is the run before it.
 *
 *     gates (P, T N, 4, FS_LANES)   f, g, i, o
 *     x     (T N, D)                a copy: the caller may change his
 *     h, c  ((T + 1) N, Hp)         row t N + n is the state *before* step t;  Hp = P FS_LANES
 *
 * Batch rows are independent in time: each thread takes its rows through the whole sequence without
 * waiting for another. Weight gradients are split by panels, each summed over rows in order. */
#ifndef FS_LSTM_H
#define FS_LSTM_H

#define GATES 4
#define GATE_WIDTH (GATES * FS_LANES)

/* Products with weights that need no recurrence are taken over so many rows (of several steps where
 * the batch is small) that the weights, read once for all, do not dominate. */
#define ROWS_AT_ONCE 64

typedef struct {
    fs_lstm_size size;
    ptrdiff_t P, Hp, rows; /* panels, padded H, N T */
    /* the cache */
    float *x, *h, *c, *gates;
    /* the forward scratch: packed weights and bias, (P, depth, 4, FS_LANES) */
    float *packed_Wx, *packed_Wh, *packed_b;
    /* the backward scratch: panels of the transposed weights, and running gradients */
    float *packed_WxT, *packed_WhT, *dgates, *dh, *dc;
    /* the caller's arrays */
    float *hs, *dxs, *dWx, *dWh, *db;
    const float *xs, *b, *h0, *c0, *dhs, *dc_last;
    fs_matrix Wx, Wh;
} lstm_run;

static lstm_run lstm_plan(fs_lstm_size size) {
    const ptrdiff_t P = count_vectors(size.H);
    return (lstm_run){.size = size, .P = P, .Hp = P * FS_LANES, .rows = size.N * size.T};
}

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

static ptrdiff_t lstm_place_cache(lstm_run *run, float *memory) {
    arena cache = {.memory = memory};
    const ptrdiff_t states = (run->rows + run->size.N) * run->Hp;
    run->x = take(&cache, run->rows * run->size.D);
    run->h = take(&cache, states);
    run->c = take(&cache, states);
    run->gates = take(&cache, run->rows * GATES * run->Hp);
    return cache.used;
}

static ptrdiff_t lstm_place_forward(lstm_run *run, float *memory) {
    arena scratch = {.memory = memory};
    run->packed_Wx = take(&scratch, run->size.D * GATES * run->Hp);
    run->packed_Wh = take(&scratch, run->size.H * GATES * run->Hp);
    run->packed_b = take(&scratch, GATES * run->Hp);
    return scratch.used;
}

static ptrdiff_t lstm_place_backward(lstm_run *run, float *memory) {
    arena scratch = {.memory = memory};
    run->packed_WxT = take(&scratch, GATES * run->Hp * round_up(run->size.D, FS_LANES));
    run->packed_WhT = take(&scratch, GATES * run->Hp * run->Hp);
    run->dgates = take(&scratch, run->rows * GATES * run->Hp);
    run->dh = take(&scratch, run->size.N * run->Hp);
    run->dc = take(&scratch, run->size.N * run->Hp);
    return scratch.used;
}

static ptrdiff_t lstm_cache_floats(fs_lstm_size size) {
    lstm_run run = lstm_plan(size);
    return lstm_place_cache(&run, NULL);
}

static ptrdiff_t lstm_forward_floats(fs_lstm_size size) {
    lstm_run run = lstm_plan(size);
    return lstm_place_forward(&run, NULL);
}

static ptrdiff_t lstm_backward_floats(fs_lstm_size size) {
    lstm_run run = lstm_plan(size);
    return lstm_place_backward(&run, NULL);
}

/* The multiply-adds of the two products, counted as two operations each. */
static double lstm_work(fs_lstm_size size) {
    return 2.0 * (double)size.N * (double)size.T * GATES * (double)size.H * (double)(size.D + size.H);
}

/* ---- forward ---- */

/* With so few rows in all, a weight is read about as often as packing would read it. */
#define FEW_ROWS 4

/* Whether a panel of W is read where it lies; only a packed one has zeros past column H. */
static int lstm_in_place(const lstm_run *run, fs_matrix W, ptrdiff_t p) {
    return run->rows <= FEW_ROWS && W.column == 1 && (p + 1) * FS_LANES <= run->size.H;
}

static void lstm_pack_weights(float *packed, fs_matrix W, const lstm_run *run, ptrdiff_t p,
                              ptrdiff_t depth) {
    const ptrdiff_t H = run->size.H;
    const ptrdiff_t column = p * FS_LANES;
    if (!lstm_in_place(run, W, p)) {
        pack_panel(packed + p * depth * GATE_WIDTH, W.data + column * W.column, W.row, H * W.column,
                   W.column, depth, GATES, H - column, 0);
    }
}

static void lstm_pack_forward(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    lstm_run *run = context;
    const ptrdiff_t H = run->size.H;
    (void)thread;
    for (ptrdiff_t p = begin; p < end; ++p) {
        lstm_pack_weights(run->packed_Wx, run->Wx, run, p, run->size.D);
        lstm_pack_weights(run->packed_Wh, run->Wh, run, p, H);
        const ptrdiff_t column = p * FS_LANES;
        pack_panel(run->packed_b + p * GATE_WIDTH, run->b + column, 0, H, 1, 1, GATES, H - column, 0);
    }
}

/* gates of one panel (rows, 4, FS_LANES) <- start + a W;  a (rows, depth) with contiguous rows. */
static void lstm_gate_product(const lstm_run *run, float *gates, const float *start,
                              ptrdiff_t start_row, const float *a, ptrdiff_t a_row, fs_matrix W,
                              const float *packed, ptrdiff_t depth, ptrdiff_t p, ptrdiff_t rows) {
    const int in_place = lstm_in_place(run, W, p);
    compute_panel(
        (panel_product){
            .c = gates,
            .c_row = GATE_WIDTH,
            .c_vector = FS_LANES,
            .start = start,
            .start_row = start_row,
            .start_vector = FS_LANES,
            .a = a,
            .a_row = a_row,
            .a_depth = 1,
            .depth = depth,
            .blocks = 1,
            .b = in_place ? W.data + p * FS_LANES : packed + p * depth * GATE_WIDTH,
            .b_row = in_place ? W.row : GATE_WIDTH,
            .b_vector = in_place ? run->size.H : FS_LANES,
            .vectors = GATES,
            .lanes = FS_LANES,
        },
        rows);
}

/* Rows [begin, end) of the batch: x and the initial state into the time-major cache. */
static void lstm_load_inputs(lstm_run *run, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t N = run->size.N, T = run->size.T, D = run->size.D, H = run->size.H;
    for (ptrdiff_t n = begin; n < end; ++n) {
        for (ptrdiff_t t = 0; t < T; ++t) {
            memcpy(run->x + (t * N + n) * D, run->xs + (n * T + t) * D, (size_t)D * sizeof(float));
        }
        for (ptrdiff_t j = 0; j < run->Hp; j += FS_LANES) {
            const vf zero = vf_set(0.0f);
            const vf h = run->h0 ? load_lanes(run->h0 + n * H + j, H - j) : zero;
            const vf c = run->c0 ? load_lanes(run->c0 + n * H + j, H - j) : zero;
            vf_store(run->h + n * run->Hp + j, h);
            vf_store(run->c + n * run->Hp + j, c);
        }
    }
}

/* gates = x Wx + b for rows [begin, end) of `steps` time steps from t on. */
static void lstm_project_inputs(const lstm_run *run, ptrdiff_t t, ptrdiff_t steps, ptrdiff_t begin,
                                ptrdiff_t end) {
    const ptrdiff_t D = run->size.D;
    for (ptrdiff_t p = 0; p < run->P; ++p) {
        for (ptrdiff_t step = t; step < t + steps; ++step) {
            const ptrdiff_t row = step * run->size.N + begin;
            float *gates = run->gates + (p * run->rows + row) * GATE_WIDTH;
            lstm_gate_product(run, gates, run->packed_b + p * GATE_WIDTH, 0, run->x + row * D, D,
                              run->Wx, run->packed_Wx, D, p, end - begin);
        }
    }
}

/* gates += h_{t-1} Wh for rows [begin, end) of one panel. */
static void lstm_recur(const lstm_run *run, ptrdiff_t p, ptrdiff_t t, ptrdiff_t begin,
                       ptrdiff_t end) {
    const ptrdiff_t row = t * run->size.N + begin;
    float *gates = run->gates + (p * run->rows + row) * GATE_WIDTH;
    lstm_gate_product(run, gates, gates, GATE_WIDTH, run->h + row * run->Hp, run->Hp, run->Wh,
                      run->packed_Wh, run->size.H, p, end - begin);
}

/* The gate arithmetic of rows [begin, end) of one panel at step t, in place. */
static __attribute__((noinline)) void lstm_gates(lstm_run *run, ptrdiff_t p, ptrdiff_t t,
                                                 ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t N = run->size.N, T = run->size.T, H = run->size.H;
    const ptrdiff_t column = p * FS_LANES;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t row = t * N + n;
        float *gates = run->gates + (p * run->rows + row) * GATE_WIDTH;
        const vf f = vf_sigmoid(vf_load(gates));
        const vf g = vf_tanh(vf_load(gates + FS_LANES));
        const vf i = vf_sigmoid(vf_load(gates + 2 * FS_LANES));
        const vf o = vf_sigmoid(vf_load(gates + 3 * FS_LANES));
        const vf c_prev = vf_load(run->c + row * run->Hp + column);
        const vf c = vf_fma(f, c_prev, vf_mul(g, i));
        const vf h = vf_mul(o, vf_tanh(c));
        vf_store(gates, f);
        vf_store(gates + FS_LANES, g);
        vf_store(gates + 2 * FS_LANES, i);
        vf_store(gates + 3 * FS_LANES, o);
        vf_store(run->c + (row + N) * run->Hp + column, c);
        vf_store(run->h + (row + N) * run->Hp + column, h);
        store_lanes(run->hs + (n * T + t) * H + column, h, H - column);
    }
}

static void lstm_forward_rows(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    lstm_run *run = context;
    const ptrdiff_t T = run->size.T;
    const ptrdiff_t steps_at_once = 1 + ROWS_AT_ONCE / (end - begin);
    (void)thread;
    lstm_load_inputs(run, begin, end);
    for (ptrdiff_t t = 0; t < T; ++t) {
        if (t % steps_at_once == 0) {
            lstm_project_inputs(run, t, smaller(steps_at_once, T - t), begin, end);
        }
        for (ptrdiff_t p = 0; p < run->P; ++p) {
            lstm_recur(run, p, t, begin, end);
            lstm_gates(run, p, t, begin, end);
        }
    }
}

/* to (N,H) <- from (N,Hp) */
static void lstm_unpad(float *to, const float *from, const lstm_run *run) {
    for (ptrdiff_t n = 0; n < run->size.N; ++n) {
        memcpy(to + n * run->size.H, from + n * run->Hp, (size_t)run->size.H * sizeof(float));
    }
}

static void lstm_forward(float *hs, float *h, float *c, float *cache, float *scratch,
                         const float *xs, fs_matrix Wx, fs_matrix Wh, const float *b,
                         const float *h0, const float *c0, fs_lstm_size size, int threads) {
    lstm_run run = lstm_plan(size);
    lstm_place_cache(&run, cache);
    lstm_place_forward(&run, scratch);
    run.hs = hs;
    run.xs = xs;
    run.Wx = Wx;
    run.Wh = Wh;
    run.b = b;
    run.h0 = h0;
    run.c0 = c0;
    threads = worthwhile_threads(size.N, lstm_work(size), threads);
    parallel_for(run.P, threads, lstm_pack_forward, &run);
    parallel_for(size.N, threads, lstm_forward_rows, &run);
    const ptrdiff_t last = run.rows * run.Hp;
    lstm_unpad(h, run.h + last, &run);
    lstm_unpad(c, run.c + last, &run);
}

/* ---- backward ---- */

/* Panels of W^T, (GATES Hp, columns): depth runs over panels of gates as dgates does, and the
 * columns are W's rows. Work items are the panels of Wh^T, then those of Wx^T. */
static void lstm_pack_transposed(float *packed, fs_matrix W, const lstm_run *run, ptrdiff_t panel,
                                 ptrdiff_t columns) {
    const ptrdiff_t H = run->size.H;
    const panel_span span = span_of_panel(panel, columns);
    const ptrdiff_t first = span.first_vector * FS_LANES;
    float *to = packed + first * GATES * run->Hp;
    const ptrdiff_t width = span.vectors * FS_LANES;
    for (ptrdiff_t p = 0; p < run->P; ++p) {
        const ptrdiff_t exist = smaller(FS_LANES, H - p * FS_LANES);
        for (ptrdiff_t gate = 0; gate < GATES; ++gate) {
            const float *from =
                W.data + first * W.row + (gate * H + p * FS_LANES) * W.column;
            pack_panel(to, from, W.column, FS_LANES * W.row, W.row, exist, span.vectors,
                       columns - first, FS_LANES);
            memset(to + exist * width, 0, (size_t)((FS_LANES - exist) * width) * sizeof *to);
            to += FS_LANES * width;
        }
    }
}

static void lstm_pack_backward(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    lstm_run *run = context;
    const ptrdiff_t hidden_panels = count_panels(run->size.H);
    (void)thread;
    for (ptrdiff_t item = begin; item < end; ++item) {
        if (item < hidden_panels) {
            lstm_pack_transposed(run->packed_WhT, run->Wh, run, item, run->size.H);
        } else {
            lstm_pack_transposed(run->packed_WxT, run->Wx, run, item - hidden_panels, run->size.D);
        }
    }
}

/* The gradients of A for rows [begin, end) of one panel at step t; dc becomes that of c_{t-1}. */
static __attribute__((noinline)) void lstm_gates_backward(lstm_run *run, ptrdiff_t p, ptrdiff_t t,
                                                          ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t N = run->size.N, T = run->size.T, H = run->size.H;
    const ptrdiff_t column = p * FS_LANES;
    /* Lanes without a column are loaded as 0, so that their gradients are 0 even next to NaN. */
    const ptrdiff_t lanes = H - column;
    const vf one = vf_set(1.0f);
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t row = t * N + n;
        const float *gates = run->gates + (p * run->rows + row) * GATE_WIDTH;
        float *dgates = run->dgates + (p * run->rows + row) * GATE_WIDTH;
        const vf f = load_lanes(gates, lanes);
        const vf g = load_lanes(gates + FS_LANES, lanes);
        const vf i = load_lanes(gates + 2 * FS_LANES, lanes);
        const vf o = load_lanes(gates + 3 * FS_LANES, lanes);
        const vf c_prev = load_lanes(run->c + row * run->Hp + column, lanes);
        const vf tanh_c = vf_tanh(load_lanes(run->c + (row + N) * run->Hp + column, lanes));
        const vf dh = vf_add(load_lanes(run->dhs + (n * T + t) * H + column, lanes),
                             load_lanes(run->dh + n * run->Hp + column, lanes));
        float *dc_next = run->dc + n * run->Hp + column;
        // h = o tanh(c)
        const vf d_o = vf_mul(dh, tanh_c);
        const vf d_tanh_c = vf_fnma(tanh_c, tanh_c, one);
        const vf dc = vf_fma(vf_mul(dh, o), d_tanh_c, load_lanes(dc_next, lanes));
        // c = f c_prev + g i
        const vf df = vf_mul(dc, c_prev);
        const vf dg = vf_mul(dc, i);
        const vf di = vf_mul(dc, g);
        vf_store(dc_next, vf_mul(dc, f));
        // f, i, o = sigmoid(A); g = tanh(A)
        vf_store(dgates, vf_mul(df, vf_mul(f, vf_sub(one, f))));
        vf_store(dgates + FS_LANES, vf_mul(dg, vf_fnma(g, g, one)));
        vf_store(dgates + 2 * FS_LANES, vf_mul(di, vf_mul(i, vf_sub(one, i))));
        vf_store(dgates + 3 * FS_LANES, vf_mul(d_o, vf_mul(o, vf_sub(one, o))));
    }
}

/* One panel of dA W^T for rows [begin, end) at step t into c: depth runs panel by panel. */
static void lstm_input_gradient(const lstm_run *run, float *c, ptrdiff_t c_row, const float *packed,
                                panel_span span, ptrdiff_t lanes, ptrdiff_t t, ptrdiff_t begin,
                                ptrdiff_t end) {
    compute_panel(
        (panel_product){
            .c = c,
            .c_row = c_row,
            .c_vector = FS_LANES,
            .a = run->dgates + (t * run->size.N + begin) * GATE_WIDTH,
            .a_row = GATE_WIDTH,
            .a_depth = 1,
            .a_block = run->rows * GATE_WIDTH,
            .depth = GATE_WIDTH,
            .blocks = run->P,
            .b = packed + span.first_vector * FS_LANES * GATES * run->Hp,
            .b_row = span.vectors * FS_LANES,
            .b_vector = FS_LANES,
            .vectors = span.vectors,
            .lanes = lanes,
            .lane_step = FS_LANES,
        },
        end - begin);
}

// forward was: A_t = ... + h_{t-1} Wh, so dh_{t-1} = dA_t Wh^T
static void lstm_recur_backward(lstm_run *run, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t panel = 0; panel < count_panels(run->size.H); ++panel) {
        const panel_span span = span_of_panel(panel, run->size.H);
        const ptrdiff_t column = span.first_vector * FS_LANES;
        lstm_input_gradient(run, run->dh + begin * run->Hp + column, run->Hp, run->packed_WhT, span,
                            run->Hp - column, t, begin, end);
    }
}

// forward was: A_t = x_t Wx + ..., so dx_t = dA_t Wx^T
static void lstm_project_backward(lstm_run *run, ptrdiff_t t, ptrdiff_t steps, ptrdiff_t begin,
                                  ptrdiff_t end) {
    const ptrdiff_t T = run->size.T, D = run->size.D;
    for (ptrdiff_t panel = 0; panel < count_panels(D); ++panel) {
        const panel_span span = span_of_panel(panel, D);
        const ptrdiff_t column = span.first_vector * FS_LANES;
        for (ptrdiff_t step = t; step < t + steps; ++step) {
            lstm_input_gradient(run, run->dxs + (begin * T + step) * D + column, T * D,
                                run->packed_WxT, span, D - column, step, begin, end);
        }
    }
}

static void lstm_backward_rows(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    lstm_run *run = context;
    const ptrdiff_t T = run->size.T, H = run->size.H, Hp = run->Hp;
    const ptrdiff_t steps_at_once = 1 + ROWS_AT_ONCE / (end - begin);
    (void)thread;
    memset(run->dh + begin * Hp, 0, (size_t)((end - begin) * Hp) * sizeof(float));
    for (ptrdiff_t n = begin; n < end; ++n) {
        for (ptrdiff_t j = 0; j < Hp; j += FS_LANES) {
            const vf dc = run->dc_last ? load_lanes(run->dc_last + n * H + j, H - j) : vf_set(0.0f);
            vf_store(run->dc + n * Hp + j, dc);
        }
    }
    for (ptrdiff_t t = T - 1; t >= 0; --t) {
        for (ptrdiff_t p = 0; p < run->P; ++p) {
            lstm_gates_backward(run, p, t, begin, end);
        }
        lstm_recur_backward(run, t, begin, end);
        if (t % steps_at_once == 0) {
            lstm_project_backward(run, t, smaller(steps_at_once, T - t), begin, end);
        }
    }
}

/* A panel of W's gradient, dW += inputs^T dA over `depth` rows from `row` on, each (depth, columns). */
static void lstm_weight_gradient(const lstm_run *run, float *dW, ptrdiff_t columns,
                                 const float *inputs, ptrdiff_t input_row, ptrdiff_t p,
                                 ptrdiff_t row, ptrdiff_t depth) {
    const ptrdiff_t H = run->size.H;
    float *c = dW + p * FS_LANES;
    compute_panel(
        (panel_product){
            .c = c,
            .c_row = GATES * H,
            .c_vector = H,
            .start = row == 0 ? NULL : c,
            .start_row = GATES * H,
            .start_vector = H,
            .a = inputs + row * input_row,
            .a_row = 1,
            .a_depth = input_row,
            .depth = depth,
            .blocks = 1,
            .b = run->dgates + (p * run->rows + row) * GATE_WIDTH,
            .b_row = GATE_WIDTH,
            .b_vector = FS_LANES,
            .vectors = GATES,
            .lanes = H - p * FS_LANES,
            .lane_step = 0,
        },
        columns);
}

// forward was: A = ... + b, so db = sum of dA over rows
static void lstm_bias_gradient(const lstm_run *run, ptrdiff_t p) {
    const ptrdiff_t H = run->size.H;
    const float *dgates = run->dgates + p * run->rows * GATE_WIDTH;
    vf sum[GATES] = {vf_set(0.0f), vf_set(0.0f), vf_set(0.0f), vf_set(0.0f)};
    for (ptrdiff_t row = 0; row < run->rows; ++row) {
        for (int gate = 0; gate < GATES; ++gate) {
            sum[gate] = vf_add(sum[gate], vf_load(dgates + row * GATE_WIDTH + gate * FS_LANES));
        }
    }
    for (int gate = 0; gate < GATES; ++gate) {
        store_lanes(run->db + gate * H + p * FS_LANES, sum[gate], H - p * FS_LANES);
    }
}

// forward was: A = x Wx + h_prev Wh + b over all rows, so dWx = x^T dA, dWh = h_prev^T dA
static void lstm_backward_weights(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    lstm_run *run = context;
    (void)thread;
    ptrdiff_t row = 0;
    do { /* once even for no rows: the gradients are then 0 */
        const ptrdiff_t depth = smaller(DEPTH_BLOCK, run->rows - row);
        for (ptrdiff_t p = begin; p < end; ++p) {
            lstm_weight_gradient(run, run->dWx, run->size.D, run->x, run->size.D, p, row, depth);
            lstm_weight_gradient(run, run->dWh, run->size.H, run->h, run->Hp, p, row, depth);
        }
        row += depth;
    } while (row < run->rows);
    for (ptrdiff_t p = begin; p < end; ++p) {
        lstm_bias_gradient(run, p);
    }
}

static void lstm_backward(float *dxs, float *dWx, float *dWh, float *db, float *dh0, float *dc0,
                          float *scratch, const float *dhs, const float *dc, const float *cache,
                          fs_matrix Wx, fs_matrix Wh, fs_lstm_size size, int threads) {
    lstm_run run = lstm_plan(size);
    lstm_place_cache(&run, (float *)cache); /* read only from here on */
    lstm_place_backward(&run, scratch);
    run.dxs = dxs;
    run.dWx = dWx;
    run.dWh = dWh;
    run.db = db;
    run.dhs = dhs;
    run.dc_last = dc;
    run.Wx = Wx;
    run.Wh = Wh;
    const double work = lstm_work(size);
    const int row_threads = worthwhile_threads(size.N, work, threads);
    parallel_for(count_panels(size.H) + count_panels(size.D), row_threads, lstm_pack_backward, &run);
    parallel_for(size.N, row_threads, lstm_backward_rows, &run);
    parallel_for(run.P, worthwhile_threads(run.P, work, threads), lstm_backward_weights, &run);
    lstm_unpad(dh0, run.dh, &run);
    lstm_unpad(dc0, run.dc, &run);
}

#endif
