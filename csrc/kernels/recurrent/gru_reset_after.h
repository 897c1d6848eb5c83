/* kernels/recurrent/gru_reset_after.h — the GRU cell whose reset gate acts after the product.
 *
 *     z, r = sigmoid(x_t Wx + h_{t-1} Wh + b)                      their columns of Wx, Wh and b
 *     g    = tanh(A_t + r M_t),  A_t = x_t Wx + b,  M_t = h_{t-1} Wh + bh         its columns
 *     h_t  = (1 - z) h_{t-1} + z g                                 Cho et al. 2014, arXiv v1
 *
 * Two groups: z and r; then g, which stores A and M separately, see layout.h. */
#ifndef FS_GRU_RESET_AFTER_H
#define FS_GRU_RESET_AFTER_H

#include "gru.h" /* the state and the update gate are the same */

/* z, r = sigmoid(A_z, A_r);  g = tanh(A_g + r M);  h_t = (1 - z) h_{t-1} + z g
 *
 * For rows [begin, end) of one vector of columns at step t; M is not overwritten. */
static __attribute__((noinline)) void gru_reset_after_gates(const recurrent_run *run, ptrdiff_t p,
                                                            ptrdiff_t t, ptrdiff_t begin,
                                                            ptrdiff_t end) {
    const gate_group *gates = &run->group[0];
    const gate_group *candidate = &run->group[1];
    const ptrdiff_t Hp = run->Hp, column = p * FS_LANES;
    const step_rows step = rows_of_step(run, t);
    for (ptrdiff_t n = begin; n < end; ++n) {
        float *zr = gate_vector(gates->values, gates, run, p, step.value + n);
        float *A = gate_vector(candidate->values, candidate, run, p, step.value + n);
        const float *M = gate_vector(candidate->state_values, candidate, run, p, step.value + n);
        const vf z = vf_sigmoid(vf_load(zr));
        const vf r = vf_sigmoid(vf_load(zr + FS_LANES));
        const vf g = vf_tanh(vf_fma(r, vf_load(M), vf_load(A)));
        const vf h_prev = vf_load(run->h + (step.state + n) * Hp + column);
        const vf h = gru_state(z, g, h_prev);
        vf_store(zr, z);
        vf_store(zr + FS_LANES, r);
        vf_store(A, g);
        vf_store(run->h + row_after(step, n) * Hp + column, h);
    }
}

static void gru_reset_after_forward_step(const recurrent_run *run, recurrent_part part,
                                         ptrdiff_t t) {
    const gate_group *gates = &run->group[0];
    const gate_group *candidate = &run->group[1];
    const ptrdiff_t panels = count_gate_panels(run, candidate);
    const ptrdiff_t end = min_size(part.end, count_rows(run, t));
    begin_products(run, gates, part, t);
    begin_products(run, candidate, part, t);
    for (ptrdiff_t i = 0; i < count_part(part, panels); ++i) {
        const gate_panel panel = gate_panel_at(run, candidate, panel_of_part(part, panels, i, t));
        project_states(run, candidate, panel, part, t);
        for (int v = 0; v < panel.vectors; ++v) {
            project_states(run, gates, gate_panel_at(run, gates, panel.p + v), part, t);
            gru_reset_after_gates(run, panel.p + v, t, part.begin, end);
        }
    }
}

// forward was: h = (1 - z) h_prev + z g, z, r = sigmoid(A_z, A_r), g = tanh(A + r M), so
// dA_z = dh (g - h_prev) z (1 - z),  dA = dh z (1 - g^2),  dA_r = dA M r (1 - r),  dM = dA r,  and
// dh becomes dh (1 - z), the part of the gradient of h_prev that needs no matrix product.
static __attribute__((noinline)) void gru_reset_after_gates_backward(const recurrent_run *run,
                                                                     ptrdiff_t p, ptrdiff_t t,
                                                                     ptrdiff_t begin,
                                                                     ptrdiff_t end) {
    const gate_group *gates = &run->group[0];
    const gate_group *candidate = &run->group[1];
    const ptrdiff_t Hp = run->Hp, column = p * FS_LANES;
    const ptrdiff_t lanes = run->size.H - column; /* zeros past them: padding may hold NaN */
    const vf one = vf_set(1.0f);
    const step_rows step = rows_of_step(run, t);
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t row = step.state + n;
        const float *zr = gate_vector(gates->values, gates, run, p, row);
        const vf z = load_lanes(zr, lanes);
        const vf r = load_lanes(zr + FS_LANES, lanes);
        const vf g = load_lanes(gate_vector(candidate->values, candidate, run, p, row), lanes);
        const vf M =
            load_lanes(gate_vector(candidate->state_values, candidate, run, p, row), lanes);
        const vf h_prev = load_lanes(run->h + row * Hp + column, lanes);
        float *dh_next = run->dh + n * Hp + column;
        const vf dh = load_lanes(dh_next, lanes);
        const vf dA = vf_mul(vf_mul(dh, z), vf_fnma(g, g, one));
        const vf dr = vf_mul(dA, M);
        float *dzr = gate_vector(gates->gradients, gates, run, p, row);
        vf_store(dh_next, vf_mul(dh, vf_sub(one, z)));
        vf_store(dzr, gru_update_gradient(dh, z, g, h_prev));
        vf_store(dzr + FS_LANES, vf_mul(dr, vf_mul(r, vf_sub(one, r))));
        vf_store(gate_vector(candidate->gradients, candidate, run, p, row), dA);
        vf_store(gate_vector(candidate->state_gradients, candidate, run, p, row), vf_mul(dA, r));
    }
}

static void gru_reset_after_backward_step(const recurrent_run *run, ptrdiff_t t, ptrdiff_t begin,
                                          ptrdiff_t end) {
    for (ptrdiff_t p = 0; p < run->P; ++p) {
        gru_reset_after_gates_backward(run, p, t, begin, end);
    }
    project_states_backward(run, &run->group[1], run->dh, 1, t, begin, end);
    project_states_backward(run, &run->group[0], run->dh, 1, t, begin, end);
}

static const cell_kernel gru_reset_after_kernel = {
    .first_group = 2,
    .separate_M = 1,
    .forward_step = gru_reset_after_forward_step,
    .backward_step = gru_reset_after_backward_step,
};

#endif
