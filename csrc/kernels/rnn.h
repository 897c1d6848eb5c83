/* kernels/rnn.h — one plain recurrent layer over a whole sequence.
 *
 *     h_t = tanh(x_t Wx + h_{t-1} Wh + b)                                        Elman 1990
 *
 * One group of a single gate. Its values need not be kept: backward uses h alone. */
#ifndef FS_RNN_H
#define FS_RNN_H

static recurrent_run rnn_plan(fs_sequence_size size) {
    const int gates[] = {1};
    return plan_recurrent(size, 1, gates);
}

static ptrdiff_t rnn_place_cache(recurrent_run *run, float *memory) {
    arena cache = {.memory = memory};
    place_recurrent_cache(run, &cache);
    return cache.used;
}

static ptrdiff_t rnn_place_forward(recurrent_run *run, float *memory) {
    arena scratch = {.memory = memory};
    place_recurrent_forward(run, &scratch);
    return scratch.used;
}

static ptrdiff_t rnn_place_backward(recurrent_run *run, float *memory) {
    arena scratch = {.memory = memory};
    place_recurrent_backward(run, &scratch);
    return scratch.used;
}

static ptrdiff_t rnn_cache_floats(fs_sequence_size size) {
    recurrent_run run = rnn_plan(size);
    return rnn_place_cache(&run, NULL);
}

static ptrdiff_t rnn_forward_floats(fs_sequence_size size) {
    recurrent_run run = rnn_plan(size);
    return rnn_place_forward(&run, NULL);
}

static ptrdiff_t rnn_backward_floats(fs_sequence_size size) {
    recurrent_run run = rnn_plan(size);
    return rnn_place_backward(&run, NULL);
}

/* h = tanh(A) for rows [begin, end) of one vector of columns at step t. */
static __attribute__((noinline)) void rnn_gates(const recurrent_run *run, ptrdiff_t p, ptrdiff_t t,
                                                ptrdiff_t begin, ptrdiff_t end) {
    const gate_group *group = run->group;
    const ptrdiff_t N = run->size.N, T = run->size.T, H = run->size.H, Hp = run->Hp;
    const ptrdiff_t column = p * FS_LANES;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t row = t * N + n;
        const vf h = vf_tanh(vf_load(gate_vector(group->values, group, run, p, row)));
        vf_store(run->h + (row + N) * Hp + column, h);
        store_lanes(run->hs + (n * T + t) * H + column, h, H - column);
    }
}

static void rnn_forward_rows(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const recurrent_run *run = context;
    const gate_group *group = run->group;
    (void)thread;
    load_inputs(run, begin, end);
    for (ptrdiff_t t = 0; t < run->size.T; ++t) {
        project_inputs(run, t, begin, end);
        for (ptrdiff_t index = 0; index < count_gate_panels(run, group); ++index) {
            const gate_panel panel = gate_panel_at(run, group, index);
            recur(run, group, panel, t, begin, end);
            for (int v = 0; v < panel.vectors; ++v) {
                rnn_gates(run, panel.p + v, t, begin, end);
            }
        }
    }
}

static void rnn_forward(float *hs, float *h, float *cache, float *scratch, const float *xs,
                        fs_matrix Wx, fs_matrix Wh, const float *b, const float *h0,
                        fs_sequence_size size, int threads) {
    recurrent_run run = rnn_plan(size);
    rnn_place_cache(&run, cache);
    rnn_place_forward(&run, scratch);
    run.hs = hs;
    run.xs = xs;
    run.Wx = Wx;
    run.Wh = Wh;
    run.b = b;
    run.h0 = h0;
    run_forward(&run, rnn_forward_rows, &run, threads);
    store_state(h, run.h + run.rows * run.Hp, &run);
}

// forward was: h = tanh(A), so dA = dh (1 - h^2)
static __attribute__((noinline)) void rnn_gates_backward(const recurrent_run *run, ptrdiff_t p,
                                                         ptrdiff_t t, ptrdiff_t begin,
                                                         ptrdiff_t end) {
    const gate_group *group = run->group;
    const ptrdiff_t N = run->size.N, T = run->size.T, H = run->size.H, Hp = run->Hp;
    const ptrdiff_t column = p * FS_LANES;
    const ptrdiff_t lanes = H - column; /* the others are 0, even next to NaN */
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t row = t * N + n;
        const vf h = load_lanes(run->h + (row + N) * Hp + column, lanes);
        const vf dh = vf_add(load_lanes(run->dhs + (n * T + t) * H + column, lanes),
                             load_lanes(run->dh + n * Hp + column, lanes));
        vf_store(gate_vector(group->gradients, group, run, p, row),
                 vf_mul(dh, vf_fnma(h, h, vf_set(1.0f))));
    }
}

static void rnn_backward_rows(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const recurrent_run *run = context;
    (void)thread;
    load_state(run->dh, NULL, run, begin, end);
    for (ptrdiff_t t = run->size.T - 1; t >= 0; --t) {
        for (ptrdiff_t p = 0; p < run->P; ++p) {
            rnn_gates_backward(run, p, t, begin, end);
        }
        recur_backward(run, run->group, run->dh, 0, t, begin, end);
        project_backward(run, t, begin, end);
    }
}

static void rnn_backward(float *dxs, float *dWx, float *dWh, float *db, float *dh0, float *scratch,
                         const float *dhs, const float *cache, fs_matrix Wx, fs_matrix Wh,
                         fs_sequence_size size, int threads) {
    recurrent_run run = rnn_plan(size);
    rnn_place_cache(&run, (float *)cache); /* read only from here on */
    rnn_place_backward(&run, scratch);
    run.dxs = dxs;
    run.dWx = dWx;
    run.dWh = dWh;
    run.db = db;
    run.dhs = dhs;
    run.Wx = Wx;
    run.Wh = Wh;
    run_backward(&run, rnn_backward_rows, &run, threads);
    store_state(dh0, run.dh, &run);
}

#endif
