/* kernels/recurrent/rnn.h — the plain recurrent cell.
 *
 *     h_t = tanh(x_t Wx + h_{t-1} Wh + b)                                        Elman 1990
 *
 * One group of a single gate. Its values are not stored: backward needs only h. */
#ifndef FS_RNN_H
#define FS_RNN_H

/* h = tanh(A) for rows [begin, end) of one vector of columns at step t. */
static __attribute__((noinline)) void rnn_gates(const recurrent_run *run, ptrdiff_t p, ptrdiff_t t,
                                                ptrdiff_t begin, ptrdiff_t end) {
    const gate_group *group = run->group;
    const ptrdiff_t column = p * FS_LANES;
    const step_rows step = rows_of_step(run, t);
    for (ptrdiff_t n = begin; n < end; ++n) {
        const float *value = gate_vector(group->values, group, run, p, step.value + n);
        const vf h = vf_tanh(vf_load(value));
        vf_store(run->h + row_after(step, n) * run->Hp + column, h);
    }
}

static void rnn_forward_step(const recurrent_run *run, recurrent_part part, ptrdiff_t t) {
    const gate_group *group = run->group;
    const ptrdiff_t panels = count_gate_panels(run, group);
    const ptrdiff_t end = min_size(part.end, count_rows(run, t));
    begin_products(run, group, part, t);
    for (ptrdiff_t i = 0; i < count_part(part, panels); ++i) {
        const gate_panel panel = gate_panel_at(run, group, panel_of_part(part, panels, i, t));
        project_states(run, group, panel, part, t);
        for (int v = 0; v < panel.vectors; ++v) {
            rnn_gates(run, panel.p + v, t, part.begin, end);
        }
    }
}

// forward was: h = tanh(A), so dA = dh (1 - h^2)
static __attribute__((noinline)) void rnn_gates_backward(const recurrent_run *run, ptrdiff_t p,
                                                         ptrdiff_t t, ptrdiff_t begin,
                                                         ptrdiff_t end) {
    const gate_group *group = run->group;
    const ptrdiff_t Hp = run->Hp, column = p * FS_LANES;
    const ptrdiff_t lanes = run->size.H - column; /* zeros past them: padding may hold NaN */
    const step_rows step = rows_of_step(run, t);
    for (ptrdiff_t n = begin; n < end; ++n) {
        const vf h = load_lanes(run->h + row_after(step, n) * Hp + column, lanes);
        const vf dh = load_lanes(run->dh + n * Hp + column, lanes);
        vf_store(gate_vector(group->gradients, group, run, p, step.value + n),
                 vf_mul(dh, vf_fnma(h, h, vf_set(1.0f))));
    }
}

static void rnn_backward_step(const recurrent_run *run, ptrdiff_t t, ptrdiff_t begin,
                              ptrdiff_t end) {
    for (ptrdiff_t p = 0; p < run->P; ++p) {
        rnn_gates_backward(run, p, t, begin, end);
    }
    project_states_backward(run, run->group, run->dh, 0, t, begin, end);
}

static const cell_kernel rnn_kernel = {
    .forward_step = rnn_forward_step,
    .backward_step = rnn_backward_step,
};

#endif
