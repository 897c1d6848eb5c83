/* kernels/recurrent/backward.h — the backward pass of a recurrent layer: packing transposed
 * weights, gradients of states and inputs for some batch rows at one step. See layout.h for the
 * memory layout, weight_gradients.h for the gradients of the weights. */
#ifndef FS_RECURRENT_BACKWARD_H
#define FS_RECURRENT_BACKWARD_H

// forward was: hs_t = h_t, which step t + 1 also reads, so dh_t += dhs_t
static void load_output_gradients(const recurrent_run *run, ptrdiff_t t, ptrdiff_t begin,
                                  ptrdiff_t end) {
    const ptrdiff_t H = run->size.H;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const float *dhs = run->dhs + caller_step(run, n, t) * run->columns;
        float *dh = run->dh + n * run->Hp;
        for (ptrdiff_t j = 0; j < H; j += FS_LANES) {
            vf_store(dh + j, vf_add(load_lanes(dhs + j, H - j), vf_load(dh + j)));
        }
    }
}

/* A panel of W^T for one group, (gates Hp, columns): its rows are in the order of the group's
 * gradients, its columns are the rows of W. */
static void pack_transposed(float *packed, fs_matrix W, const recurrent_run *run,
                            const gate_group *group, ptrdiff_t index, ptrdiff_t columns) {
    const ptrdiff_t H = run->size.H;
    const panel_span span = span_of_panel(index, columns);
    const ptrdiff_t first = span.first_vector * FS_LANES;
    const ptrdiff_t width = span.vectors * FS_LANES;
    const ptrdiff_t depth = group->gates * run->Hp;
    const ptrdiff_t gate_rows = packed_offset(FS_LANES);
    float *const panel = packed + first * packed_depth(depth);
    float *to = panel;
    for (ptrdiff_t p = 0; p < run->P; ++p) {
        const ptrdiff_t valid = min_size(FS_LANES, H - p * FS_LANES);
        for (ptrdiff_t gate = group->first; gate < group->first + group->gates; ++gate) {
            const float *from = W.data + first * W.row + (gate * H + p * FS_LANES) * W.column;
            if (valid < FS_LANES) {
                memset(to, 0, (size_t)(gate_rows * width) * sizeof *to);
            }
            pack_rows(to, from, W.column, FS_LANES * W.row, W.row, valid, span.vectors,
                      columns - first, FS_LANES);
            to += gate_rows * width;
        }
    }
    finish_panel(panel, depth, span.vectors);
}

/* The number of panels for pack_backward: of Wh^T, Wx^T and Wc^T for each group. */
static ptrdiff_t count_transposed(const recurrent_run *run) {
    const fs_recurrent_size *size = &run->size;
    return run->groups * (count_panels(size->H) + count_panels(size->D) + count_panels(size->C));
}

static void pack_backward(const recurrent_run *run, ptrdiff_t item) {
    const ptrdiff_t panels = count_transposed(run) / run->groups;
    const gate_group *group = &run->group[item / panels];
    const float *packed[] = {group->packed_WhT, group->packed_WxT, group->packed_WcT};
    const fs_matrix W[] = {run->Wh, run->Wx, run->Wc};
    const ptrdiff_t rows[] = {run->size.H, run->size.D, run->size.C};
    ptrdiff_t index = item % panels;
    int i = 0;
    while (index >= count_panels(rows[i])) {
        index -= count_panels(rows[i]);
        ++i;
    }
    pack_transposed((float *)packed[i], W[i], run, group, index, rows[i]);
}

/* c (rows, columns) <- dA W^T, or c += dA W^T. `gradients` points to the first of the rows in dA
 * (P, all_rows, gates, FS_LANES); `converted` is memory for them as an operand, or NULL. */
static void transposed_product(const recurrent_run *run, const gate_group *group, float *c,
                               ptrdiff_t c_row, int accumulate, const float *gradients,
                               ptrdiff_t all_rows, float *converted, const float *packed,
                               ptrdiff_t columns, ptrdiff_t rows) {
    const ptrdiff_t width = group->gates * FS_LANES;
    const ptrdiff_t packed_rows = packed_depth(group->gates * run->Hp);
    panel_product product = {
        .c_row = c_row,
        .c_vector = FS_LANES,
        .start_row = c_row,
        .start_vector = FS_LANES,
        .a = gradients,
        .a_row = width,
        .a_depth = 1,
        .a_block = all_rows * width,
        .depth = width,
        .blocks = run->P,
        .b_vector = FS_LANES,
        .lane_step = FS_LANES,
    };
    if (converted && count_panels(columns) > 1) {
        convert_left(&product, rows, converted);
    }
    for (ptrdiff_t index = 0; index < count_panels(columns); ++index) {
        const panel_span span = span_of_panel(index, columns);
        const ptrdiff_t column = span.first_vector * FS_LANES;
        product.c = c + column;
        product.start = accumulate ? c + column : NULL;
        product.b = packed + column * packed_rows;
        product.b_row = span.vectors * FS_LANES;
        product.vectors = span.vectors;
        product.lanes = columns - column;
        compute_panel(product, rows);
    }
}

/* The memory in which the gradients of batch rows from `begin` on are converted. */
static float *converted_rows(const recurrent_run *run, const gate_group *group, ptrdiff_t begin) {
    return group->converted ? group->converted + begin * packed_depth(group->gates * run->Hp)
                            : NULL;
}

// forward was: A_t = ... + s_{t-1} Wh, or M_t, so ds_{t-1} = dA_t Wh^T;  ds (N, Hp) is overwritten
// or accumulated
static void project_states_backward(const recurrent_run *run, const gate_group *group, float *ds,
                                    int accumulate, ptrdiff_t t, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t Hp = run->Hp;
    const float *dA = gate_vector(group->state_gradients, group, run, 0, first_row(run, t) + begin);
    /* Hp columns: those past H are 0 */
    transposed_product(run, group, ds + begin * Hp, Hp, accumulate, dA, run->rows,
                       converted_rows(run, group, begin), group->packed_WhT, Hp, end - begin);
}

// forward was: A_t = x_t Wx + ..., so dx_t = dA_t Wx^T, summed over groups. Several steps form one
// product, as in project_inputs, when the first of them is reached. With a table of the embedding
// there is no dx: see table_gradient.
static void project_inputs_backward(const recurrent_run *run, ptrdiff_t t, ptrdiff_t begin,
                                    ptrdiff_t end) {
    const ptrdiff_t D = run->size.D;
    const ptrdiff_t steps = 1 + ROWS_AT_ONCE / (end - begin);
    if (run->table_rows > 0 || t % steps != 0) {
        return;
    }
    for (int g = 0; g < run->groups; ++g) {
        const gate_group *group = &run->group[g];
        for (ptrdiff_t step = t; step < min_size(t + steps, run->size.T); ++step) {
            const ptrdiff_t row = first_row(run, step) + begin;
            transposed_product(run, group, run->dx + row * D, D, g > 0,
                               gate_vector(group->gradients, group, run, 0, row), run->rows,
                               converted_rows(run, group, begin), group->packed_WxT, D,
                               min_size(end, count_rows(run, step)) - begin);
        }
    }
}

// forward was: A_t = ... + context Wc at every step, so dcontext = (sum over t of dA_t) Wc^T
static void context_backward(const recurrent_run *run, ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t N = run->size.N, C = run->size.C;
    for (int g = 0; C > 0 && g < run->groups; ++g) {
        const gate_group *group = &run->group[g];
        const ptrdiff_t width = group->gates * FS_LANES;
        for (ptrdiff_t p = 0; p < run->P; ++p) {
            for (ptrdiff_t n = begin; n < end; ++n) {
                float *sum = row_vector(group->context_gradients, N, group, p, n);
                memset(sum, 0, (size_t)width * sizeof(float));
                for (ptrdiff_t t = 0; t < count_steps(run, n); ++t) {
                    add_floats(sum,
                               gate_vector(group->gradients, group, run, p, first_row(run, t) + n),
                               width);
                }
            }
        }
        transposed_product(run, group, run->dcontext + begin * C, C, g > 0,
                           row_vector(group->context_gradients, N, group, 0, begin), N,
                           converted_rows(run, group, begin), group->packed_WcT, C, end - begin);
    }
}

// forward was: table = E Wx + b, so dE = dtable Wx^T;  rows [begin, end), overwritten or
// accumulated
static void table_gradient(const recurrent_run *run, float *dE, int accumulate, ptrdiff_t begin,
                           ptrdiff_t end) {
    const ptrdiff_t V = run->table_rows, D = run->size.D;
    for (int g = 0; g < run->groups; ++g) {
        const gate_group *group = &run->group[g];
        transposed_product(run, group, dE + begin * D, D, accumulate || g > 0,
                           row_vector(group->table_gradients, V, group, 0, begin), V, NULL,
                           group->packed_WxT, D, end - begin);
    }
}

// forward was: x = E[id], so dE[id] += dx;  ids [begin, end), packed rows in ascending order
static void gathered_gradient(const recurrent_run *run, float *dE, int accumulate, ptrdiff_t begin,
                              ptrdiff_t end) {
    const ptrdiff_t D = run->size.D;
    if (!accumulate) {
        memset(dE + begin * D, 0, (size_t)((end - begin) * D) * sizeof(float));
    }
    for (ptrdiff_t row = 0; row < run->rows; ++row) {
        if (run->ids[row] >= begin && run->ids[row] < end) {
            add_floats(dE + run->ids[row] * D, run->dx + row * D, D);
        }
    }
}

/* to <- from, or to += from */
static void copy_or_add(float *to, const float *from, ptrdiff_t n, int add) {
    if (add) {
        add_floats(to, from, n);
    } else {
        memcpy(to, from, (size_t)n * sizeof(float));
    }
}

/* Copies the gradients of x and the context, for rows [begin, end), to the caller's arrays; adds
 * those of the second direction. */
static void store_input_gradients(const recurrent_run *run, float *dxs, float *dcontext,
                                  ptrdiff_t begin, ptrdiff_t end) {
    const ptrdiff_t T = run->size.T, C = run->size.C, D = run->size.V > 0 ? 0 : run->size.D;
    const int add = run->from_end;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t steps = count_steps(run, n);
        for (ptrdiff_t t = 0; D > 0 && t < steps; ++t) {
            copy_or_add(dxs + caller_step(run, n, t) * D, run->dx + (first_row(run, t) + n) * D, D,
                        add);
        }
        if (D > 0 && !add) {
            memset(dxs + (batch_row(run, n) * T + steps) * D, 0,
                   (size_t)((T - steps) * D) * sizeof(float));
        }
        if (C > 0) {
            copy_or_add(dcontext + batch_row(run, n) * C, run->dcontext + n * C, C, add);
        }
    }
}

#endif
