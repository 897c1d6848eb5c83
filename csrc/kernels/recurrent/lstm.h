/* kernels/recurrent/lstm.h — the LSTM cell.
 *
 *     A_t = x_t Wx + h_{t-1} Wh + b;   f, i, o = sigmoid(A_f, A_i, A_o);   g = tanh(A_g)
 *     c_t = f c_{t-1} + g i;           h_t = o tanh(c_t)
 *
 * One group of four gates; c is laid out as h, see layout.h. */
#ifndef FS_LSTM_H
#define FS_LSTM_H

/* f, i, o = sigmoid(A_f, A_i, A_o);  g = tanh(A_g);  c_t = f c_{t-1} + g i;  h_t = o tanh(c_t)
 *
 * For rows [begin, end) of one vector of columns at step t; the gates overwrite A. */
static __attribute__((noinline)) void lstm_gates(const recurrent_run *run, ptrdiff_t p, ptrdiff_t t,
                                                 ptrdiff_t begin, ptrdiff_t end) {
    const gate_group *group = run->group;
    const ptrdiff_t Hp = run->Hp, column = p * FS_LANES;
    const step_rows step = rows_of_step(run, t);
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t next = row_after(step, n);
        float *gates = gate_vector(group->values, group, run, p, step.value + n);
        const vf f = vf_sigmoid(vf_load(gates));
        const vf g = vf_tanh(vf_load(gates + FS_LANES));
        const vf i = vf_sigmoid(vf_load(gates + 2 * FS_LANES));
        const vf o = vf_sigmoid(vf_load(gates + 3 * FS_LANES));
        const vf c_prev = vf_load(run->c + (step.state + n) * Hp + column);
        const vf c = vf_fma(f, c_prev, vf_mul(g, i));
        vf_store(gates, f);
        vf_store(gates + FS_LANES, g);
        vf_store(gates + 2 * FS_LANES, i);
        vf_store(gates + 3 * FS_LANES, o);
        vf_store(run->c + next * Hp + column, c);
    }
    /* a second loop: in the first, the tanh of each row would wait for the row's gates */
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t next = row_after(step, n);
        const vf o =
            vf_load(gate_vector(group->values, group, run, p, step.value + n) + 3 * FS_LANES);
        const vf c = vf_load(run->c + next * Hp + column);
        vf_store(run->h + next * Hp + column, vf_mul(o, vf_tanh(c)));
    }
}

static void lstm_forward_step(const recurrent_run *run, recurrent_part part, ptrdiff_t t) {
    const ptrdiff_t end = min_size(part.end, count_rows(run, t));
    begin_products(run, run->group, part, t);
    for (ptrdiff_t i = 0; i < count_part(part, run->P); ++i) {
        const ptrdiff_t p = panel_of_part(part, run->P, i, t);
        project_states(run, run->group, gate_panel_at(run, run->group, p), part, t);
        lstm_gates(run, p, t, part.begin, end);
    }
}

// forward was: h = o tanh(c), c = f c_prev + g i, so  dc += dh o (1 - tanh(c)^2),  do = dh tanh(c),
// df = dc c_prev,  dg = dc i,  di = dc g,  each times the derivative of its activation;  dc becomes
// dc f, the gradient of c_prev
static __attribute__((noinline)) void lstm_gates_backward(const recurrent_run *run, ptrdiff_t p,
                                                          ptrdiff_t t, ptrdiff_t begin,
                                                          ptrdiff_t end) {
    const gate_group *group = run->group;
    const ptrdiff_t Hp = run->Hp, column = p * FS_LANES;
    /* Lanes without a column are loaded as 0, so that their gradients are 0 even next to NaN. */
    const ptrdiff_t lanes = run->size.H - column;
    const vf one = vf_set(1.0f);
    const step_rows step = rows_of_step(run, t);
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t row = step.state + n;
        const ptrdiff_t next = row_after(step, n);
        const float *gates = gate_vector(group->values, group, run, p, row);
        float *dgates = gate_vector(group->gradients, group, run, p, row);
        const vf f = load_lanes(gates, lanes);
        const vf g = load_lanes(gates + FS_LANES, lanes);
        const vf i = load_lanes(gates + 2 * FS_LANES, lanes);
        const vf o = load_lanes(gates + 3 * FS_LANES, lanes);
        const vf c_prev = load_lanes(run->c + row * Hp + column, lanes);
        const vf tanh_c = vf_tanh(load_lanes(run->c + next * Hp + column, lanes));
        const vf dh = load_lanes(run->dh + n * Hp + column, lanes);
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

static void lstm_backward_step(const recurrent_run *run, ptrdiff_t t, ptrdiff_t begin,
                               ptrdiff_t end) {
    for (ptrdiff_t p = 0; p < run->P; ++p) {
        lstm_gates_backward(run, p, t, begin, end);
    }
    project_states_backward(run, run->group, run->dh, 0, t, begin, end);
}

static const cell_kernel lstm_kernel = {
    .forward_step = lstm_forward_step,
    .backward_step = lstm_backward_step,
};

#endif
