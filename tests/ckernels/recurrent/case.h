/* case.h — a test case of a recurrent layer: inputs of a shape and a form, and the results of the
 * kernels. Shape N, T, D, H. */
#ifndef CHECK_RECURRENT_CASE_H
#define CHECK_RECURRENT_CASE_H

#include "oracle.h"

/* The layer under test, set before its shapes are checked. */
static const recurrent_layer *layer;

/* ---- forms ---- */

typedef struct {
    int directions, has_lengths, has_context, has_states;
    ptrdiff_t V; /* 0: x is given */
} recurrent_form;

#define FORMS 48

/* An embedding with fewer rows than steps, so that there is a table of its products, or with
 * more. */
static recurrent_form form_at(ptrdiff_t index, const ptrdiff_t *shape) {
    const ptrdiff_t V[] = {0, 5, shape[0] * shape[1] + 2};
    return (recurrent_form){
        .directions = index % 2 == 0 ? 1 : FS_DIRECTIONS,
        .has_lengths = index / 2 % 2,
        .has_context = index / 4 % 2,
        .has_states = index / 8 % 2,
        .V = V[index / 16 % 3],
    };
}

static void describe_form(recurrent_form f) {
    snprintf(form, sizeof form, ", %s, directions %d%s%s%s, V %td", fs_cells[layer->cell].name,
             f.directions, f.has_lengths ? ", lengths" : "", f.has_context ? ", context" : "",
             f.has_states ? ", states" : "", f.V);
}

/* ---- sizes ---- */

static int has_c(void) {
    return fs_cells[layer->cell].states > 1;
}

static int has_weight(fs_weight weight) {
    const fs_cell_info *cell = &fs_cells[layer->cell];
    int has = 0;
    for (int i = 0; i < cell->weight_count; ++i) {
        has |= cell->weights[i] == weight;
    }
    return has;
}

static ptrdiff_t weight_rows(const recurrent_case *l, fs_weight weight) {
    switch (fs_weights[weight].rows) {
    case FS_ROW_PER_INPUT:
        return l->inputs;
    case FS_ROW_PER_STATE:
        return l->size.H;
    default:
        return 1;
    }
}

static ptrdiff_t weight_columns(const recurrent_case *l, fs_weight weight) {
    return fs_weights[weight].every_gate ? l->columns : l->size.H;
}

/* Elements of a weight array. */
static ptrdiff_t weight_floats(const recurrent_case *l, fs_weight weight) {
    return weight_rows(l, weight) * weight_columns(l, weight);
}

static ptrdiff_t count_states(const fs_recurrent_size *size) {
    return size->N * size->directions * size->H;
}

/* ---- a case ---- */

static fs_matrix new_weights(const recurrent_case *l, fs_weight weight) {
    const double scale = 1 / sqrt((double)(l->inputs + l->size.H + 1)); /* gates do not saturate */
    const ptrdiff_t rows = weight_rows(l, weight), columns = weight_columns(l, weight);
    return fs_weights[weight].rows == FS_VECTOR ? (fs_matrix){new_uniform(columns, 1), 0, 1}
                                                : new_matrix(rows, columns, scale);
}

/* Lengths from 0 to T for the rows of a case, and the packed order of them; inputs past the end of
 * a row are set to NaN. */
static void draw_lengths(recurrent_case *l, float *own, float *dhs) {
    const ptrdiff_t N = l->size.N, T = l->size.T, D = l->size.D;
    const ptrdiff_t width = l->size.directions * l->size.H;
    ptrdiff_t *order = new_array(N * (ptrdiff_t)sizeof *order, 0);
    ptrdiff_t *steps = new_array(N * (ptrdiff_t)sizeof *steps, 0);
    ptrdiff_t *starts = new_array((T + 1) * (ptrdiff_t)sizeof *starts, 0);
    l->lengths = new_array(N * (ptrdiff_t)sizeof *l->lengths, 0);
    for (ptrdiff_t n = 0; n < N; ++n) {
        l->lengths[n] = (n * 7 + 3) % (T + 1);
        for (ptrdiff_t t = l->lengths[n]; t < T; ++t) {
            for (ptrdiff_t d = 0; own && d < D; ++d) {
                own[(n * T + t) * D + d] = NAN;
            }
            for (ptrdiff_t j = 0; j < width; ++j) {
                dhs[(n * T + t) * width + j] = NAN;
            }
        }
    }
    ptrdiff_t sorted = 0;
    for (ptrdiff_t length = T; length >= 0; --length) {
        for (ptrdiff_t n = 0; n < N; ++n) {
            if (l->lengths[n] == length) {
                order[sorted] = n;
                steps[sorted++] = length;
            }
        }
    }
    starts[0] = 0;
    for (ptrdiff_t t = 0; t < T; ++t) {
        starts[t + 1] = starts[t];
        for (ptrdiff_t n = 0; n < N; ++n) {
            starts[t + 1] += l->lengths[n] > t;
        }
    }
    l->size.lengths = (fs_lengths){order, steps, starts};
}

static int64_t *draw_ids(ptrdiff_t n, ptrdiff_t V) {
    int64_t *ids = new_ids(n);
    for (ptrdiff_t i = 0; i < n; ++i) {
        ids[i] = (i * 5 + i / 3) % V;
    }
    return ids;
}

static recurrent_case new_recurrent_case(const ptrdiff_t *shape, recurrent_form f) {
    const ptrdiff_t N = shape[0], T = shape[1], D = shape[2], H = shape[3];
    const ptrdiff_t C = f.has_context ? 3 : 0, states = N * f.directions * H;
    const int has_both = f.has_states && has_c();
    float *own = f.V ? NULL : new_uniform(N * T * D, 1);
    float *dhs = new_uniform(T * states, 1);
    if (weights_layout == CONTIGUOUS && own && N * T * D > 0) {
        own[0] = INFINITY; /* the gates saturate, and all but dWx stays finite */
    }
    recurrent_case l = {
        .size = {.cell = layer->cell,
                 .directions = f.directions,
                 .zero_initial_state = !f.has_states,
                 .N = N,
                 .T = T,
                 .C = C,
                 .D = D,
                 .H = H,
                 .V = f.V},
        .columns = fs_cells[layer->cell].gates * H,
        .inputs = C + D,
        .own = own,
        .ids = f.V ? draw_ids(N * T, f.V) : NULL,
        .context = C ? new_uniform(N * C, 1) : NULL,
        .dhs = dhs,
        .h0 = f.has_states ? new_uniform(states, 1) : NULL,
        .c0 = has_both ? new_uniform(states, 1) : NULL,
        .dh = f.has_states ? new_uniform(states, 1) : NULL,
        .dc = has_both ? new_uniform(states, 1) : NULL,
        .additions = T * (C + D + H),
    };
    if (f.V) {
        l.E = new_matrix(f.V, D, 1);
    }
    if (f.has_lengths) {
        draw_lengths(&l, own, dhs);
    }
    for (int i = 0; i < f.directions; ++i) {
        for (fs_weight weight = 0; weight < FS_WEIGHTS; ++weight) {
            if (has_weight(weight)) {
                l.weights[i].array[weight] = new_weights(&l, weight);
            }
        }
    }
    return l;
}

/* ---- expected results ---- */

/* The input of the oracle at each step, concatenated from the inputs of the kernel. */
static const float *assemble_inputs(const recurrent_case *l) {
    const ptrdiff_t C = l->size.C, D = l->size.D, T = l->size.T;
    float *xs = new_floats(l->size.N * T * l->inputs);
    for (ptrdiff_t step = 0; step < l->size.N * T; ++step) {
        float *x = xs + step * l->inputs;
        for (ptrdiff_t i = 0; i < C; ++i) {
            x[i] = l->context[step / T * C + i];
        }
        for (ptrdiff_t d = 0; d < D; ++d) {
            x[C + d] = l->own ? l->own[step * D + d] : (float)element(l->E, l->ids[step], d);
        }
    }
    return xs;
}

/* Their gradients, from the gradient of the concatenation. */
static void take_inputs_apart(const recurrent_case *l) {
    const ptrdiff_t C = l->size.C, D = l->size.D, T = l->size.T;
    const recurrent_values *v = &l->expected;
    for (ptrdiff_t step = 0; step < l->size.N * T; ++step) {
        const double *dx = v->dxs + step * l->inputs;
        for (ptrdiff_t i = 0; i < C; ++i) {
            v->dcontext[step / T * C + i] += dx[i];
        }
        for (ptrdiff_t d = 0; d < D; ++d) {
            v->down[step * D + d] = dx[C + d];
            if (l->ids) {
                v->dE[l->ids[step] * D + d] += dx[C + d];
            }
        }
    }
}

static void compute_expected(recurrent_case *l) {
    const ptrdiff_t states = count_states(&l->size), steps = l->size.N * l->size.T;
    l->expected = (recurrent_values){
        .hs = new_zeros(l->size.T * states),
        .h = new_zeros(states),
        .c = new_zeros(states),
        .dxs = new_zeros(steps * l->inputs),
        .dE = new_zeros(l->size.V * l->size.D),
        .dcontext = new_zeros(l->size.N * l->size.C),
        .down = new_zeros(steps * l->size.D),
        .dh0 = new_zeros(states),
        .dc0 = new_zeros(states),
    };
    l->xs = assemble_inputs(l);
    for (l->direction = 0; l->direction < l->size.directions; ++l->direction) {
        for (fs_weight weight = 0; weight < FS_WEIGHTS; ++weight) {
            l->expected.gradients[l->direction][weight] = new_zeros(weight_floats(l, weight));
        }
        oracle_direction(layer, l);
    }
    take_inputs_apart(l);
}

/* ---- kernels ---- */

typedef struct {
    float *hs, *h, *c;
} forward_results;

typedef struct {
    float *dxs, *dE, *dcontext, *dh0, *dc0;
    fs_recurrent_gradients gradients[FS_DIRECTIONS];
} backward_results;

/* All cells call the same kernels; each has counts of its own. */
static const char *kernel_name(const char *pass) {
    static char names[2 * FS_CELLS][48];
    char *name = names[2 * layer->cell + (strcmp(pass, "backward") == 0)];
    snprintf(name, sizeof names[0], "%s_%s", fs_cells[layer->cell].name, pass);
    return name;
}

static forward_results new_forward_results(const fs_recurrent_size *size) {
    const ptrdiff_t states = count_states(size);
    return (forward_results){
        .hs = new_floats(size->T * states),
        .h = new_floats(states),
        .c = has_c() ? new_floats(states) : NULL,
    };
}

static float *new_cache(const fs_kernels *k, const fs_recurrent_size *size) {
    return new_floats(SLOT(k, recurrent_cache_floats)(size));
}

static void run_forward(const fs_kernels *k, forward_results r, float *cache,
                        const recurrent_case *l) {
    fs_recurrent_forward call = {
        .hs = r.hs,
        .h = r.h,
        .c = r.c,
        .cache = cache,
        .scratch = new_floats(SLOT(k, recurrent_forward_floats)(&l->size, &test_context)),
        .xs = l->own,
        .context = l->context,
        .h0 = l->h0,
        .c0 = l->c0,
        .ids = l->ids,
        .E = l->E,
        .size = l->size,
    };
    memcpy(call.weights, l->weights, sizeof call.weights);
    SLOT(k, recurrent_forward)(&call, &test_context);
    ran(kernel_name("forward"));
}

static backward_results new_backward_results(const recurrent_case *l) {
    const ptrdiff_t states = count_states(&l->size);
    backward_results r = {
        .dxs = l->own ? new_floats(l->size.N * l->size.T * l->size.D) : NULL,
        .dE = l->ids ? new_floats(l->size.V * l->size.D) : NULL,
        .dcontext = l->context ? new_floats(l->size.N * l->size.C) : NULL,
        .dh0 = new_floats(states),
        .dc0 = has_c() ? new_floats(states) : NULL,
    };
    for (int i = 0; i < l->size.directions; ++i) {
        for (fs_weight weight = 0; weight < FS_WEIGHTS; ++weight) {
            r.gradients[i].array[weight] =
                has_weight(weight) ? new_floats(weight_floats(l, weight)) : NULL;
        }
    }
    return r;
}

static void run_backward(const fs_kernels *k, backward_results r, const float *cache,
                         const recurrent_case *l) {
    fs_recurrent_backward call = {
        .dxs = r.dxs,
        .dE = r.dE,
        .dcontext = r.dcontext,
        .dh0 = r.dh0,
        .dc0 = r.dc0,
        .scratch = new_floats(SLOT(k, recurrent_backward_floats)(&l->size, &test_context)),
        .dhs = l->dhs,
        .dh = l->dh,
        .dc = l->dc,
        .cache = cache,
        .size = l->size,
    };
    memcpy(call.weights, l->weights, sizeof call.weights);
    memcpy(call.gradients, r.gradients, sizeof call.gradients);
    SLOT(k, recurrent_backward)(&call, &test_context);
    ran(kernel_name("backward"));
}

#endif
