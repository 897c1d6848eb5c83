/* kernels/recurrent/inputs.h — between the caller's arrays and the cache of a recurrent layer: x,
 * ids, the embedding, the context, states. See layout.h for the memory layout. */
#ifndef FS_RECURRENT_INPUTS_H
#define FS_RECURRENT_INPUTS_H

/* to (N, Hp) <- the caller's states or zeros, for rows [begin, end) */
static void load_states(float *to, const float *from, const recurrent_run *run, ptrdiff_t begin,
                        ptrdiff_t end) {
    const ptrdiff_t H = run->size.H;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t row = batch_row(run, n) * run->columns;
        for (ptrdiff_t j = 0; j < run->Hp; j += FS_LANES) {
            const vf state = from ? load_lanes(from + row + j, H - j) : vf_set(0.0f);
            vf_store(to + n * run->Hp + j, state);
        }
    }
}

/* The caller's states <- from (N, Hp) */
static void store_states(float *to, const float *from, const recurrent_run *run) {
    for (ptrdiff_t n = 0; n < run->size.N; ++n) {
        memcpy(to + batch_row(run, n) * run->columns, from + n * run->Hp,
               (size_t)run->size.H * sizeof(float));
    }
}

/* The initial states of rows [begin, end), h or c. */
static void load_initial_states(float *to, const float *from, const recurrent_run *run,
                                ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t with_steps = min_size(end, max_size(begin, count_rows(run, 0)));
    load_states(to, from, run, begin, with_steps);
    load_states(to + run->state_rows * run->Hp, from, run, with_steps,
                end); /* rows without a step */
}

/* Row `id` of the embedding. */
static void load_embedding(const recurrent_run *run, float *x, ptrdiff_t id) {
    if (run->E.column == 1) {
        memcpy(x, run->E.data + id * run->E.row, (size_t)run->size.D * sizeof(float));
        return;
    }
    for (ptrdiff_t d = 0; d < run->size.D; ++d) {
        x[d] = run->E.data[id * run->E.row + d * run->E.column];
    }
}

/* Inputs common to all steps: the embedding of the table, and the context. */
static void load_common_inputs(const recurrent_run *run, const float *context) {
    const ptrdiff_t D = run->size.D, C = run->size.C;
    for (ptrdiff_t v = 0; v < run->table_rows; ++v) {
        load_embedding(run, run->x + v * D, v);
    }
    for (ptrdiff_t n = 0; C > 0 && n < run->size.N; ++n) {
        memcpy(run->context + n * C, context + batch_row(run, n) * C, (size_t)C * sizeof(float));
    }
}

/* For batch rows [begin, end): copies x or its ids and the initial states into the cache, and zeros
 * hs past each row's last step. */
static void load_inputs(const recurrent_run *run, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t T = run->size.T, D = run->size.D;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t steps = count_steps(run, n);
        for (ptrdiff_t t = 0; t < steps; ++t) {
            const ptrdiff_t row = first_row(run, t) + n;
            const ptrdiff_t from = caller_step(run, n, t);
            if (run->size.V > 0) {
                run->ids[row] = (int32_t)run->caller_ids[from];
            }
            if (run->gathers) {
                load_embedding(run, run->x + row * D, run->ids[row]);
            } else if (run->size.V == 0) {
                memcpy(run->x + row * D, run->xs + from * D, (size_t)D * sizeof(float));
            }
        }
        for (ptrdiff_t step = steps; step < T; ++step) {
            memset(run->hs + (batch_row(run, n) * T + step) * run->columns, 0,
                   (size_t)run->size.H * sizeof(float));
        }
    }
    load_initial_states(run->h, run->h0, run, begin, end);
    if (run->has_cell) {
        load_initial_states(run->c, run->c0, run, begin, end);
    }
}

#endif
