/* kernels/gru.h — one GRU layer over a whole sequence: the reset gate acts before the product.
 *
 *     z, r = sigmoid(x_t Wx + h_{t-1} Wh + b)                      their columns of Wx, Wh and b
 *     g    = tanh(x_t Wx + (r h_{t-1}) Wh + b)                     its columns of Wx, Wh and b
 *     h_t  = (1 - z) h_{t-1} + z g                                 Cho et al. 2014, version 1
 *
 * Two groups: z and r, from the state; then g, from the reset state r h_{t-1}, which is laid out as
 * h. recurrent.h says how. */
#ifndef FS_GRU_H
#define FS_GRU_H

typedef struct {
    recurrent_run base;
    float *reset;  /* r h_{t-1}, in the cache */
    float *dreset; /* (N, Hp) its gradient at one step, in the backward scratch */
} gru_run;

static gru_run gru_plan(fs_sequence_size size) {
    const int gates[] = {2, 1};
    return (gru_run){.base = plan_recurrent(size, 2, gates)};
}

static ptrdiff_t gru_place_cache(gru_run *run, float *memory) {
    arena cache = {.memory = memory};
    place_recurrent_cache(&run->base, &cache);
    run->reset = take_states(&cache, &run->base);
    run->base.group[1].state = run->reset;
    return cache.used;
}

static ptrdiff_t gru_place_forward(gru_run *run, float *memory) {
    arena scratch = {.memory = memory};
    place_recurrent_forward(&run->base, &scratch);
    return scratch.used;
}

static ptrdiff_t gru_place_backward(gru_run *run, float *memory) {
    arena scratch = {.memory = memory};
    place_recurrent_backward(&run->base, &scratch);
    run->dreset = take(&scratch, run->base.size.N * run->base.Hp);
    return scratch.used;
}

static ptrdiff_t gru_cache_floats(fs_sequence_size size) {
    gru_run run = gru_plan(size);
    return gru_place_cache(&run, NULL);
}

static ptrdiff_t gru_forward_floats(fs_sequence_size size) {
    gru_run run = gru_plan(size);
    return gru_place_forward(&run, NULL);
}

static ptrdiff_t gru_backward_floats(fs_sequence_size size) {
    gru_run run = gru_plan(size);
    return gru_place_backward(&run, NULL);
}

/* z, r and the reset state, for rows [begin, end) of one vector of columns at step t. */
static __attribute__((noinline)) void gru_reset(const gru_run *run, ptrdiff_t p, ptrdiff_t t,
                                                ptrdiff_t begin, ptrdiff_t end) {
    const recurrent_run *base = &run->base;
    const gate_group *group = &base->group[0];
    const ptrdiff_t N = base->size.N, Hp = base->Hp;
    const ptrdiff_t column = p * FS_LANES;
    for (ptrdiff_t row = t * N + begin; row < t * N + end; ++row) {
        float *gates = gate_vector(group->values, group, base, p, row);
        const vf z = vf_sigmoid(vf_load(gates));
        const vf r = vf_sigmoid(vf_load(gates + FS_LANES));
        vf_store(gates, z);
        vf_store(gates + FS_LANES, r);
        vf_store(run->reset + row * Hp + column, vf_mul(r, vf_load(base->h + row * Hp + column)));
    }
}

/* g and the new state, for rows [begin, end) of one vector of columns at step t. */
static __attribute__((noinline)) void gru_update(const gru_run *run, ptrdiff_t p, ptrdiff_t t,
                                                 ptrdiff_t begin, ptrdiff_t end) {
    const recurrent_run *base = &run->base;
    const gate_group *gates = &base->group[0];
    const gate_group *candidate = &base->group[1];
    const ptrdiff_t N = base->size.N, T = base->size.T, H = base->size.H, Hp = base->Hp;
    const ptrdiff_t column = p * FS_LANES;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t row = t * N + n;
        const vf z = vf_load(gate_vector(gates->values, gates, base, p, row));
        float *value = gate_vector(candidate->values, candidate, base, p, row);
        const vf g = vf_tanh(vf_load(value));
        const vf h_prev = vf_load(base->h + row * Hp + column);
        const vf h = vf_fma(z, g, vf_mul(vf_sub(vf_set(1.0f), z), h_prev));
        vf_store(value, g);
        vf_store(base->h + (row + N) * Hp + column, h);
        store_lanes(base->hs + (n * T + t) * H + column, h, H - column);
    }
}

static void gru_forward_rows(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const gru_run *run = context;
    const recurrent_run *base = &run->base;
    const gate_group *candidate = &base->group[1];
    (void)thread;
    load_inputs(base, begin, end);
    for (ptrdiff_t t = 0; t < base->size.T; ++t) {
        project_inputs(base, t, begin, end);
        for (ptrdiff_t p = 0; p < base->P; ++p) {
            recur(base, base->group, gate_panel_at(base, base->group, p), t, begin, end);
            gru_reset(run, p, t, begin, end);
        }
        for (ptrdiff_t index = 0; index < count_gate_panels(base, candidate); ++index) {
            const gate_panel panel = gate_panel_at(base, candidate, index);
            recur(base, candidate, panel, t, begin, end);
            for (int v = 0; v < panel.vectors; ++v) {
                gru_update(run, panel.p + v, t, begin, end);
            }
        }
    }
}

static void gru_forward(float *hs, float *h, float *cache, float *scratch, const float *xs,
                        fs_matrix Wx, fs_matrix Wh, const float *b, const float *h0,
                        fs_sequence_size size, int threads) {
    gru_run run = gru_plan(size);
    gru_place_cache(&run, cache);
    gru_place_forward(&run, scratch);
    run.base.hs = hs;
    run.base.xs = xs;
    run.base.Wx = Wx;
    run.base.Wh = Wh;
    run.base.b = b;
    run.base.h0 = h0;
    run_forward(&run.base, gru_forward_rows, &run, threads);
    store_state(h, run.base.h + run.base.rows * run.base.Hp, &run.base);
}

// forward was: h = (1 - z) h_prev + z g, g = tanh(A_g): the gradients of A_g and A_z; dh becomes
// (1 - z) dh, the part of h_prev's gradient that takes no product.
static __attribute__((noinline)) void
gru_update_backward(const gru_run *run, ptrdiff_t p, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end) {
    const recurrent_run *base = &run->base;
    const gate_group *gates = &base->group[0];
    const gate_group *candidate = &base->group[1];
    const ptrdiff_t N = base->size.N, T = base->size.T, H = base->size.H, Hp = base->Hp;
    const ptrdiff_t column = p * FS_LANES;
    const ptrdiff_t lanes = H - column; /* the others are 0, even next to NaN */
    const vf one = vf_set(1.0f);
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t row = t * N + n;
        const vf z = load_lanes(gate_vector(gates->values, gates, base, p, row), lanes);
        const vf g = load_lanes(gate_vector(candidate->values, candidate, base, p, row), lanes);
        const vf h_prev = load_lanes(base->h + row * Hp + column, lanes);
        float *dh_next = base->dh + n * Hp + column;
        const vf dh = vf_add(load_lanes(base->dhs + (n * T + t) * H + column, lanes),
                             load_lanes(dh_next, lanes));
        const vf dz = vf_mul(dh, vf_sub(g, h_prev));
        const vf dg = vf_mul(dh, z);
        vf_store(dh_next, vf_mul(dh, vf_sub(one, z)));
        vf_store(gate_vector(gates->gradients, gates, base, p, row),
                 vf_mul(dz, vf_mul(z, vf_sub(one, z))));
        vf_store(gate_vector(candidate->gradients, candidate, base, p, row),
                 vf_mul(dg, vf_fnma(g, g, one)));
    }
}

// forward was: reset = r h_prev, r = sigmoid(A_r): the gradient of A_r, and dh += dreset r
static __attribute__((noinline)) void
gru_reset_backward(const gru_run *run, ptrdiff_t p, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end) {
    const recurrent_run *base = &run->base;
    const gate_group *gates = &base->group[0];
    const ptrdiff_t N = base->size.N, Hp = base->Hp;
    const ptrdiff_t column = p * FS_LANES;
    const ptrdiff_t lanes = base->size.H - column;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t row = t * N + n;
        const vf r = load_lanes(gate_vector(gates->values, gates, base, p, row) + FS_LANES, lanes);
        const vf h_prev = load_lanes(base->h + row * Hp + column, lanes);
        const vf dreset = load_lanes(run->dreset + n * Hp + column, lanes);
        float *dh = base->dh + n * Hp + column;
        const vf dr = vf_mul(dreset, h_prev);
        vf_store(dh, vf_fma(dreset, r, vf_load(dh)));
        vf_store(gate_vector(gates->gradients, gates, base, p, row) + FS_LANES,
                 vf_mul(dr, vf_mul(r, vf_sub(vf_set(1.0f), r))));
    }
}

static void gru_backward_rows(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const gru_run *run = context;
    const recurrent_run *base = &run->base;
    (void)thread;
    load_state(base->dh, NULL, base, begin, end);
    for (ptrdiff_t t = base->size.T - 1; t >= 0; --t) {
        for (ptrdiff_t p = 0; p < base->P; ++p) {
            gru_update_backward(run, p, t, begin, end);
        }
        recur_backward(base, &base->group[1], run->dreset, 0, t, begin, end);
        for (ptrdiff_t p = 0; p < base->P; ++p) {
            gru_reset_backward(run, p, t, begin, end);
        }
        recur_backward(base, &base->group[0], base->dh, 1, t, begin, end);
        project_backward(base, t, begin, end);
    }
}

static void gru_backward(float *dxs, float *dWx, float *dWh, float *db, float *dh0, float *scratch,
                         const float *dhs, const float *cache, fs_matrix Wx, fs_matrix Wh,
                         fs_sequence_size size, int threads) {
    gru_run run = gru_plan(size);
    gru_place_cache(&run, (float *)cache); /* read only from here on */
    gru_place_backward(&run, scratch);
    run.base.dxs = dxs;
    run.base.dWx = dWx;
    run.base.dWh = dWh;
    run.base.db = db;
    run.base.dhs = dhs;
    run.base.Wx = Wx;
    run.base.Wh = Wh;
    run_backward(&run.base, gru_backward_rows, &run, threads);
    store_state(dh0, run.base.dh, &run.base);
}

#endif
