/* kernels/lstm.h — one LSTM layer over a whole sequence, the gates fused with their product.
 *
 *     A_t = x_t Wx + h_{t-1} Wh + b;   f, i, o = sigmoid(A_f, A_i, A_o);   g = tanh(A_g)
 *     c_t = f c_{t-1} + g i;           h_t = o tanh(c_t)
 *
 * One group of four gates; c is laid out as h. recurrent.h says how. */
#ifndef FS_LSTM_H
#define FS_LSTM_H

#define LSTM_GATES 4

typedef struct {
    recurrent_run base;
    float *c;  /* in the cache */
    float *dc; /* (N, Hp) the running gradient of c, in the backward scratch */
    const float *c0, *dc_last;
} lstm_run;

static lstm_run lstm_plan(fs_sequence_size size) {
    const int gates[] = {LSTM_GATES};
    return (lstm_run){.base = plan_recurrent(size, 1, gates)};
}

static ptrdiff_t lstm_place_cache(lstm_run *run, float *memory) {
    arena cache = {.memory = memory};
    place_recurrent_cache(&run->base, &cache);
    run->c = take_states(&cache, &run->base);
    return cache.used;
}

static ptrdiff_t lstm_place_forward(lstm_run *run, float *memory) {
    arena scratch = {.memory = memory};
    place_recurrent_forward(&run->base, &scratch);
    return scratch.used;
}

static ptrdiff_t lstm_place_backward(lstm_run *run, float *memory) {
    arena scratch = {.memory = memory};
    place_recurrent_backward(&run->base, &scratch);
    run->dc = take(&scratch, run->base.size.N * run->base.Hp);
    return scratch.used;
}

static ptrdiff_t lstm_cache_floats(fs_sequence_size size) {
    lstm_run run = lstm_plan(size);
    return lstm_place_cache(&run, NULL);
}

static ptrdiff_t lstm_forward_floats(fs_sequence_size size) {
    lstm_run run = lstm_plan(size);
    return lstm_place_forward(&run, NULL);
}

static ptrdiff_t lstm_backward_floats(fs_sequence_size size) {
    lstm_run run = lstm_plan(size);
    return lstm_place_backward(&run, NULL);
}

/* The gate arithmetic of rows [begin, end) of one vector of columns at step t, in place. */
static __attribute__((noinline)) void lstm_gates(const lstm_run *run, ptrdiff_t p, ptrdiff_t t,
                                                 ptrdiff_t begin, ptrdiff_t end) {
    const recurrent_run *base = &run->base;
    const gate_group *group = base->group;
    const ptrdiff_t N = base->size.N, T = base->size.T, H = base->size.H, Hp = base->Hp;
    const ptrdiff_t column = p * FS_LANES;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t row = t * N + n;
        float *gates = gate_vector(group->values, group, base, p, row);
        const vf f = vf_sigmoid(vf_load(gates));
        const vf g = vf_tanh(vf_load(gates + FS_LANES));
        const vf i = vf_sigmoid(vf_load(gates + 2 * FS_LANES));
        const vf o = vf_sigmoid(vf_load(gates + 3 * FS_LANES));
        const vf c_prev = vf_load(run->c + row * Hp + column);
        const vf c = vf_fma(f, c_prev, vf_mul(g, i));
        const vf h = vf_mul(o, vf_tanh(c));
        vf_store(gates, f);
        vf_store(gates + FS_LANES, g);
        vf_store(gates + 2 * FS_LANES, i);
        vf_store(gates + 3 * FS_LANES, o);
        vf_store(run->c + (row + N) * Hp + column, c);
        vf_store(base->h + (row + N) * Hp + column, h);
        store_lanes(base->hs + (n * T + t) * H + column, h, H - column);
    }
}

static void lstm_forward_rows(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const lstm_run *run = context;
    const recurrent_run *base = &run->base;
    const gate_group *group = base->group;
    (void)thread;
    load_inputs(base, begin, end);
    load_state(run->c, run->c0, base, begin, end);
    for (ptrdiff_t t = 0; t < base->size.T; ++t) {
        project_inputs(base, t, begin, end);
        for (ptrdiff_t p = 0; p < base->P; ++p) {
            recur(base, group, gate_panel_at(base, group, p), t, begin, end);
            lstm_gates(run, p, t, begin, end);
        }
    }
}

static void lstm_forward(float *hs, float *h, float *c, float *cache, float *scratch,
                         const float *xs, fs_matrix Wx, fs_matrix Wh, const float *b,
                         const float *h0, const float *c0, fs_sequence_size size, int threads) {
    lstm_run run = lstm_plan(size);
    lstm_place_cache(&run, cache);
    lstm_place_forward(&run, scratch);
    run.base.hs = hs;
    run.base.xs = xs;
    run.base.Wx = Wx;
    run.base.Wh = Wh;
    run.base.b = b;
    run.base.h0 = h0;
    run.c0 = c0;
    run_forward(&run.base, lstm_forward_rows, &run, threads);
    const ptrdiff_t last = run.base.rows * run.base.Hp;
    store_state(h, run.base.h + last, &run.base);
    store_state(c, run.c + last, &run.base);
}

/* The gradients of A for rows [begin, end) of one vector of columns at step t; dc becomes that of
 * c_{t-1}. */
static __attribute__((noinline)) void
lstm_gates_backward(const lstm_run *run, ptrdiff_t p, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end) {
    const recurrent_run *base = &run->base;
    const gate_group *group = base->group;
    const ptrdiff_t N = base->size.N, T = base->size.T, H = base->size.H, Hp = base->Hp;
    const ptrdiff_t column = p * FS_LANES;
    /* Lanes without a column are loaded as 0, so that their gradients are 0 even next to NaN. */
    const ptrdiff_t lanes = H - column;
    const vf one = vf_set(1.0f);
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t row = t * N + n;
        const float *gates = gate_vector(group->values, group, base, p, row);
        float *dgates = gate_vector(group->gradients, group, base, p, row);
        const vf f = load_lanes(gates, lanes);
        const vf g = load_lanes(gates + FS_LANES, lanes);
        const vf i = load_lanes(gates + 2 * FS_LANES, lanes);
        const vf o = load_lanes(gates + 3 * FS_LANES, lanes);
        const vf c_prev = load_lanes(run->c + row * Hp + column, lanes);
        const vf tanh_c = vf_tanh(load_lanes(run->c + (row + N) * Hp + column, lanes));
        const vf dh = vf_add(load_lanes(base->dhs + (n * T + t) * H + column, lanes),
                             load_lanes(base->dh + n * Hp + column, lanes));
        float *dc_next = run->dc + n * Hp + column;
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

static void lstm_backward_rows(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const lstm_run *run = context;
    const recurrent_run *base = &run->base;
    (void)thread;
    load_state(base->dh, NULL, base, begin, end);
    load_state(run->dc, run->dc_last, base, begin, end);
    for (ptrdiff_t t = base->size.T - 1; t >= 0; --t) {
        for (ptrdiff_t p = 0; p < base->P; ++p) {
            lstm_gates_backward(run, p, t, begin, end);
        }
        recur_backward(base, base->group, base->dh, 0, t, begin, end);
        project_backward(base, t, begin, end);
    }
}

static void lstm_backward(float *dxs, float *dWx, float *dWh, float *db, float *dh0, float *dc0,
                          float *scratch, const float *dhs, const float *dc, const float *cache,
                          fs_matrix Wx, fs_matrix Wh, fs_sequence_size size, int threads) {
    lstm_run run = lstm_plan(size);
    lstm_place_cache(&run, (float *)cache); /* read only from here on */
    lstm_place_backward(&run, scratch);
    run.base.dxs = dxs;
    run.base.dWx = dWx;
    run.base.dWh = dWh;
    run.base.db = db;
    run.base.dhs = dhs;
    run.base.Wx = Wx;
    run.base.Wh = Wh;
    run.dc_last = dc;
    run_backward(&run.base, lstm_backward_rows, &run, threads);
    store_state(dh0, run.base.dh, &run.base);
    store_state(dc0, run.dc, &run.base);
}

#endif
