/* kernels/recurrent/gru.h — the GRU cell whose reset gate acts before the product.
 *
 *     z, r = sigmoid(x_t Wx + h_{t-1} Wh + b)                      their columns of Wx, Wh and b
 *     g    = tanh(x_t Wx + (r h_{t-1}) Wh + b)                     its columns of Wx, Wh and b
 *     h_t  = (1 - z) h_{t-1} + z g                                 Cho et al. 2014, arXiv v3
 *
 * Two groups: z and r, from the state; then g, from the reset state r h_{t-1}, which is laid out as
 * h, see layout.h. */
#ifndef FS_GRU_H
#define FS_GRU_H

/* h_t = (1 - z) h_{t-1} + z g */
static inline vf gru_state(vf z, vf g, vf h_prev) {
    return vf_fma(z, g, vf_mul(vf_sub(vf_set(1.0f), z), h_prev));
}

// forward was: h = (1 - z) h_prev + z g, z = sigmoid(A_z), so dA_z = dh (g - h_prev) z (1 - z)
static inline vf gru_update_gradient(vf dh, vf z, vf g, vf h_prev) {
    const vf dz = vf_mul(dh, vf_sub(g, h_prev));
    return vf_mul(dz, vf_mul(z, vf_sub(vf_set(1.0f), z)));
}

/* z, r = sigmoid(A_z, A_r);  reset = r h_{t-1}
 *
 * For rows [begin, end) of one vector of columns at step t. */
static __attribute__((noinline)) void gru_reset(const recurrent_run *run, ptrdiff_t p, ptrdiff_t t,
                                                ptrdiff_t begin, ptrdiff_t end) {
    const gate_group *group = &run->group[0];
    const ptrdiff_t Hp = run->Hp, column = p * FS_LANES;
    const step_rows step = rows_of_step(run, t);
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t row = step.state + n;
        float *gates = gate_vector(group->values, group, run, p, step.value + n);
        const vf z = vf_sigmoid(vf_load(gates));
        const vf r = vf_sigmoid(vf_load(gates + FS_LANES));
        vf_store(gates, z);
        vf_store(gates + FS_LANES, r);
        vf_store(run->reset + row * Hp + column, vf_mul(r, vf_load(run->h + row * Hp + column)));
    }
}

/* g = tanh(A_g);  h_t = (1 - z) h_{t-1} + z g
 *
 * For rows [begin, end) of one vector of columns at step t. */
static __attribute__((noinline)) void gru_update(const recurrent_run *run, ptrdiff_t p, ptrdiff_t t,
                                                 ptrdiff_t begin, ptrdiff_t end) {
    const gate_group *gates = &run->group[0];
    const gate_group *candidate = &run->group[1];
    const ptrdiff_t Hp = run->Hp, column = p * FS_LANES;
    const step_rows step = rows_of_step(run, t);
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t row = step.state + n;
        const vf z = vf_load(gate_vector(gates->values, gates, run, p, step.value + n));
        float *value = gate_vector(candidate->values, candidate, run, p, step.value + n);
        const vf g = vf_tanh(vf_load(value));
        const vf h_prev = vf_load(run->h + row * Hp + column);
        const vf h = gru_state(z, g, h_prev);
        vf_store(value, g);
        vf_store(run->h + row_after(step, n) * Hp + column, h);
    }
}

static void gru_forward_step(const recurrent_run *run, recurrent_part part, ptrdiff_t t) {
    const gate_group *gates = &run->group[0];
    const gate_group *candidate = &run->group[1];
    const ptrdiff_t panels = count_gate_panels(run, candidate);
    const ptrdiff_t end = min_size(part.end, count_rows(run, t));
    begin_products(run, gates, part, t);
    for (ptrdiff_t i = 0; i < count_part(part, run->P); ++i) {
        const ptrdiff_t p = panel_of_part(part, run->P, i, t);
        project_states(run, gates, gate_panel_at(run, gates, p), part, t);
        gru_reset(run, p, t, part.begin, end);
    }
    barrier(part.team);
    begin_products(run, candidate, part, t);
    for (ptrdiff_t i = 0; i < count_part(part, panels); ++i) {
        const gate_panel panel = gate_panel_at(run, candidate, panel_of_part(part, panels, i, t));
        project_states(run, candidate, panel, part, t);
        for (int v = 0; v < panel.vectors; ++v) {
            gru_update(run, panel.p + v, t, part.begin, end);
        }
    }
}

// forward was: h = (1 - z) h_prev + z g, z = sigmoid(A_z), g = tanh(A_g), so
// dA_z = dh (g - h_prev) z (1 - z),  dA_g = dh z (1 - g^2),  and dh becomes dh (1 - z), the part of
// the gradient of h_prev that needs no matrix product.
static __attribute__((noinline)) void gru_update_backward(const recurrent_run *run, ptrdiff_t p,
                                                          ptrdiff_t t, ptrdiff_t begin,
                                                          ptrdiff_t end) {
    const gate_group *gates = &run->group[0];
    const gate_group *candidate = &run->group[1];
    const ptrdiff_t Hp = run->Hp, column = p * FS_LANES;
    const ptrdiff_t lanes = run->size.H - column; /* zeros past them: padding may hold NaN */
    const vf one = vf_set(1.0f);
    const step_rows step = rows_of_step(run, t);
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t row = step.state + n;
        const vf z = load_lanes(gate_vector(gates->values, gates, run, p, row), lanes);
        const vf g = load_lanes(gate_vector(candidate->values, candidate, run, p, row), lanes);
        const vf h_prev = load_lanes(run->h + row * Hp + column, lanes);
        float *dh_next = run->dh + n * Hp + column;
        const vf dh = load_lanes(dh_next, lanes);
        const vf dg = vf_mul(dh, z);
        vf_store(dh_next, vf_mul(dh, vf_sub(one, z)));
        vf_store(gate_vector(gates->gradients, gates, run, p, row),
                 gru_update_gradient(dh, z, g, h_prev));
        vf_store(gate_vector(candidate->gradients, candidate, run, p, row),
                 vf_mul(dg, vf_fnma(g, g, one)));
    }
}

// forward was: reset = r h_prev, r = sigmoid(A_r), so dA_r = dreset h_prev r (1 - r), dh += dreset
// r
static __attribute__((noinline)) void gru_reset_backward(const recurrent_run *run, ptrdiff_t p,
                                                         ptrdiff_t t, ptrdiff_t begin,
                                                         ptrdiff_t end) {
    const gate_group *gates = &run->group[0];
    const ptrdiff_t Hp = run->Hp, column = p * FS_LANES;
    const ptrdiff_t lanes = run->size.H - column;
    const step_rows step = rows_of_step(run, t);
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t row = step.state + n;
        const vf r = load_lanes(gate_vector(gates->values, gates, run, p, row) + FS_LANES, lanes);
        const vf h_prev = load_lanes(run->h + row * Hp + column, lanes);
        const vf dreset = load_lanes(run->dreset + n * Hp + column, lanes);
        float *dh = run->dh + n * Hp + column;
        const vf dr = vf_mul(dreset, h_prev);
        vf_store(dh, vf_fma(dreset, r, vf_load(dh)));
        vf_store(gate_vector(gates->gradients, gates, run, p, row) + FS_LANES,
                 vf_mul(dr, vf_mul(r, vf_sub(vf_set(1.0f), r))));
    }
}

static void gru_backward_step(const recurrent_run *run, ptrdiff_t t, ptrdiff_t begin,
                              ptrdiff_t end) {
    for (ptrdiff_t p = 0; p < run->P; ++p) {
        gru_update_backward(run, p, t, begin, end);
    }
    project_states_backward(run, &run->group[1], run->dreset, 0, t, begin, end);
    for (ptrdiff_t p = 0; p < run->P; ++p) {
        gru_reset_backward(run, p, t, begin, end);
    }
    project_states_backward(run, &run->group[0], run->dh, 1, t, begin, end);
}

static const cell_kernel gru_kernel = {
    .first_group = 2,
    .has_reset = 1,
    .forward_step = gru_forward_step,
    .backward_step = gru_backward_step,
};

#endif
