/* recurrent.h — what the checks of the recurrent layers share: a case and its expected results, the
 * product that makes gates, the walk through time, and what every layer must keep to, in one
 * direction and in two, with rows of equal and of unlike length. A layer's own file brings its step
 * in double precision. Shape N, T, D, H. */
#ifndef CHECK_RECURRENT_H
#define CHECK_RECURRENT_H

#include "check.h"
#include "vmath.h"

typedef struct {
    double *hs, *h, *c; /* c and dc0 stay 0 in layers without a cell */
    double *dxs, *dh0, *dc0;
    double *dE, *dcontext, *down; /* of what the kernel takes, from dxs */
    double *dWx[FS_DIRECTIONS], *dWh[FS_DIRECTIONS], *db[FS_DIRECTIONS];
} recurrent_values;

typedef struct {
    fs_recurrent_size size;
    ptrdiff_t columns;  /* of Wx, Wh and b: gates H */
    ptrdiff_t *lengths; /* (N) in the caller's order; NULL: T each */
    int direction;      /* that the oracle is on its way in */
    ptrdiff_t inputs;   /* C + D, columns of all that a step takes */
    const float
        *xs; /* (N,T,inputs) what the oracle takes; the kernel takes it if C = V = 0, else */
    const float *own; /* (N,T,D), or */
    int64_t *ids;     /* (N,T) with E, and */
    const float *context;
    fs_matrix E;
    const float *dhs;
    const float *h0, *c0, *dh, *dc; /* NULL in some cases */
    fs_recurrent_weights weights[FS_DIRECTIONS];
    ptrdiff_t additions; /* that lead to one h */
    recurrent_values expected;
} recurrent_case;

/* One row of the batch at one step, forward or backward. */
typedef struct {
    const float *x;     /* (D) */
    double *h_prev, *h; /* (H) before and after the step */
    double *c_prev, *c; /* the same for the LSTM */
    double *gates;      /* (columns) A, then what becomes of it */
    double *reset;      /* (H) r h_prev of the GRU; each call computes it anew */
    double *dx;         /* (D) is added to */
    double *dA;         /* (columns) */
    double *dh, *dc; /* (H) gradients of h and c; backward makes them those of h_prev and c_prev */
    double *dreset;  /* (H) of the GRU */
} oracle_step;

/* What a kernel writes. */
typedef struct {
    float *hs, *h, *c;
} forward_results;

typedef struct {
    float *dxs, *dE, *dcontext, *dh0, *dc0;
    fs_recurrent_gradients gradients[FS_DIRECTIONS];
} backward_results;

typedef struct {
    const char *forward_name, *backward_name;
    fs_cell cell;
    int gates;
    int has_cell; /* c besides h */
    void (*step)(const oracle_step *s, const recurrent_case *l);
    void (*step_backward)(const oracle_step *s, const recurrent_case *l);
} recurrent_layer;

/* ---- double precision ---- */

/* Columns [first, end) of A = x Wx + state Wh + b. */
static void oracle_product(const oracle_step *s, const double *state, ptrdiff_t first,
                           ptrdiff_t end, const recurrent_case *l) {
    const fs_recurrent_weights *w = &l->weights[l->direction];
    for (ptrdiff_t k = first; k < end; ++k) {
        double A = w->b[k];
        for (ptrdiff_t d = 0; d < l->inputs; ++d) {
            A += s->x[d] * element(w->Wx, d, k);
        }
        for (ptrdiff_t j = 0; j < l->size.H; ++j) {
            A += state[j] * element(w->Wh, j, k);
        }
        s->gates[k] = A;
    }
}

/* Its gradients from columns [first, end) of dA, added to dstate (H) and the others. */
static void oracle_product_backward(double *dstate, const oracle_step *s, const double *state,
                                    ptrdiff_t first, ptrdiff_t end, const recurrent_case *l) {
    const fs_recurrent_weights *w = &l->weights[l->direction];
    double *dWx = l->expected.dWx[l->direction];
    double *dWh = l->expected.dWh[l->direction];
    double *db = l->expected.db[l->direction];
    for (ptrdiff_t k = first; k < end; ++k) {
        const double dA = s->dA[k];
        db[k] += dA;
        for (ptrdiff_t d = 0; d < l->inputs; ++d) {
            dWx[d * l->columns + k] += s->x[d] * dA;
            s->dx[d] += dA * element(w->Wx, d, k);
        }
        for (ptrdiff_t j = 0; j < l->size.H; ++j) {
            dWh[j * l->columns + k] += state[j] * dA;
            dstate[j] += dA * element(w->Wh, j, k);
        }
    }
}

/* What a row leaves behind on its way through time. */
typedef struct {
    double *gates; /* (T,columns) */
    double *h, *c; /* (T+1,H) the states before each step */
} oracle_history;

static ptrdiff_t steps_of_row(const recurrent_case *l, ptrdiff_t n) {
    return l->lengths ? l->lengths[n] : l->size.T;
}

/* Where step t of row n lies in arrays (N, T, ...). */
static ptrdiff_t place_of_step(const recurrent_case *l, ptrdiff_t n, ptrdiff_t t) {
    return n * l->size.T + (l->direction ? steps_of_row(l, n) - 1 - t : t);
}

static void move_to(oracle_step *s, const oracle_history *past, const recurrent_case *l,
                    ptrdiff_t n, ptrdiff_t t) {
    const ptrdiff_t H = l->size.H;
    s->x = l->xs + place_of_step(l, n, t) * l->inputs;
    s->dx = l->expected.dxs + place_of_step(l, n, t) * l->inputs;
    s->gates = past->gates + t * l->columns;
    s->h_prev = past->h + t * H;
    s->h = s->h_prev + H;
    s->c_prev = past->c + t * H;
    s->c = s->c_prev + H;
}

/* All rows forward through time and back, in one direction; gradients of weights add up. */
static void oracle_direction(const recurrent_layer *layer, const recurrent_case *l) {
    const ptrdiff_t T = l->size.T, H = l->size.H;
    const ptrdiff_t width = l->size.directions * H, column = l->direction * H;
    const size_t bytes = (size_t)H * sizeof(double);
    const recurrent_values *v = &l->expected;
    const oracle_history past = {
        .gates = new_zeros(T * l->columns),
        .h = new_zeros((T + 1) * H),
        .c = new_zeros((T + 1) * H),
    };
    oracle_step s = {.reset = new_zeros(H), .dA = new_zeros(l->columns), .dreset = new_zeros(H)};
    for (ptrdiff_t n = 0; n < l->size.N; ++n) {
        const ptrdiff_t state = n * width + column, steps = steps_of_row(l, n);
        s.dh = v->dh0 + state;
        s.dc = v->dc0 + state;
        for (ptrdiff_t j = 0; j < H; ++j) {
            past.h[j] = l->h0 ? l->h0[state + j] : 0.0;
            past.c[j] = l->c0 ? l->c0[state + j] : 0.0;
            s.dh[j] = l->dh ? l->dh[state + j] : 0.0;
            s.dc[j] = l->dc ? l->dc[state + j] : 0.0;
        }
        for (ptrdiff_t t = 0; t < steps; ++t) {
            move_to(&s, &past, l, n, t);
            layer->step(&s, l);
            memcpy(v->hs + place_of_step(l, n, t) * width + column, s.h, bytes);
        }
        memcpy(v->h + state, past.h + steps * H, bytes);
        memcpy(v->c + state, past.c + steps * H, bytes);
        for (ptrdiff_t t = steps - 1; t >= 0; --t) {
            move_to(&s, &past, l, n, t);
            for (ptrdiff_t j = 0; j < H; ++j) {
                s.dh[j] += l->dhs[place_of_step(l, n, t) * width + column + j];
            }
            layer->step_backward(&s, l);
        }
    }
}

/* ---- kernels ---- */

static ptrdiff_t count_states(const fs_recurrent_size *size) {
    return size->N * size->directions * size->H;
}

static forward_results new_forward_results(const recurrent_layer *layer,
                                           const fs_recurrent_size *size) {
    const ptrdiff_t states = count_states(size);
    return (forward_results){
        .hs = new_floats(size->T * states),
        .h = new_floats(states),
        .c = layer->has_cell ? new_floats(states) : NULL,
    };
}

static void run_forward(const fs_kernels *k, forward_results r, float *cache, float *scratch,
                        const recurrent_case *l) {
    fs_recurrent_forward call = {.hs = r.hs,
                                 .h = r.h,
                                 .c = r.c,
                                 .cache = cache,
                                 .scratch = scratch,
                                 .xs = l->own,
                                 .context = l->context,
                                 .ids = l->ids,
                                 .E = l->E,
                                 .h0 = l->h0,
                                 .c0 = l->c0,
                                 .size = l->size};
    memcpy(call.weights, l->weights, sizeof call.weights);
    k->recurrent_forward(&call, THREADS);
}

static void run_backward(const fs_kernels *k, backward_results r, float *scratch,
                         const float *cache, const recurrent_case *l) {
    fs_recurrent_backward call = {.dxs = r.dxs,
                                  .dE = r.dE,
                                  .dcontext = r.dcontext,
                                  .dh0 = r.dh0,
                                  .dc0 = r.dc0,
                                  .scratch = scratch,
                                  .dhs = l->dhs,
                                  .dh = l->dh,
                                  .dc = l->dc,
                                  .cache = cache,
                                  .size = l->size};
    memcpy(call.weights, l->weights, sizeof call.weights);
    memcpy(call.gradients, r.gradients, sizeof call.gradients);
    k->recurrent_backward(&call, THREADS);
}

/* Row n as a batch of its own, without the steps that it has not. */
static recurrent_case row_alone(const recurrent_case *l, ptrdiff_t n) {
    const ptrdiff_t state = n * l->size.directions * l->size.H;
    recurrent_case row = *l;
    row.size.N = 1;
    row.size.T = steps_of_row(l, n);
    row.size.lengths = (fs_lengths){NULL, NULL, NULL};
    row.own = l->own ? l->own + n * l->size.T * l->size.D : NULL;
    row.ids = l->ids ? l->ids + n * l->size.T : NULL;
    row.context = l->context ? l->context + n * l->size.C : NULL;
    row.h0 = l->h0 ? l->h0 + state : NULL;
    row.c0 = l->c0 ? l->c0 + state : NULL;
    return row;
}

/* Each row alone, with h0 = h and c0 = c, as it may be. */
static void check_rows_alone(const fs_kernels *k, const recurrent_layer *layer,
                             const recurrent_case *l, forward_results batch) {
    const ptrdiff_t width = l->size.directions * l->size.H;
    const size_t bytes = (size_t)width * sizeof(float);
    for (ptrdiff_t n = 0; n < l->size.N; ++n) {
        const int arrays = allocation_count;
        recurrent_case row = row_alone(l, n);
        const forward_results r = new_forward_results(layer, &row.size);
        if (row.h0) {
            memcpy(r.h, row.h0, bytes);
            row.h0 = r.h;
        }
        if (row.c0) {
            memcpy(r.c, row.c0, bytes);
            row.c0 = r.c;
        }
        float *cache = new_floats(k->recurrent_cache_floats(&row.size));
        run_forward(k, r, cache, new_floats(k->recurrent_forward_floats(&row.size)), &row);
        ran(layer->forward_name);
        expect(same_bits(r.hs, batch.hs + n * l->size.T * width, row.size.T * width),
               "a row's hs has the same bits alone");
        expect(same_bits(r.h, batch.h + n * width, width), "a row's h has the same bits alone");
        if (layer->has_cell) {
            expect(same_bits(r.c, batch.c + n * width, width), "a row's c has the same bits alone");
        }
        free_arrays_from(arrays);
    }
}

static void check_nan_in_a_row(const fs_kernels *k, const recurrent_layer *layer,
                               const recurrent_case *l, forward_results clean) {
    const ptrdiff_t N = l->size.N, T = l->size.T, D = l->size.D;
    const forward_results dirty = new_forward_results(layer, &l->size);
    float *cache = new_floats(k->recurrent_cache_floats(&l->size));
    float *xs = new_copy(l->own, N * T * D);
    xs[D - 1] = NAN; /* at the first step of either direction */
    xs[T * D - 1] = NAN;
    recurrent_case with_nan = *l;
    with_nan.own = xs;
    run_forward(k, dirty, cache, new_floats(k->recurrent_forward_floats(&l->size)), &with_nan);
    ran(layer->forward_name);
    expect_nan_in_first_row(dirty.hs, clean.hs, N, T * l->size.directions * l->size.H);
}

/* Where nothing is kept, in other memory. */
static void check_inference(const fs_kernels *k, const recurrent_layer *layer,
                            const recurrent_case *l, forward_results kept) {
    const ptrdiff_t states = count_states(&l->size);
    const forward_results r = new_forward_results(layer, &l->size);
    recurrent_case inference = *l;
    inference.size.inference = 1;
    expect(k->recurrent_cache_floats(&inference.size) == 0, "inference keeps nothing");
    run_forward(k, r, NULL, new_floats(k->recurrent_forward_floats(&inference.size)), &inference);
    ran(layer->forward_name);
    expect(same_bits(r.hs, kept.hs, l->size.T * states), "hs has the same bits if nothing is kept");
    expect(same_bits(r.h, kept.h, states), "h has the same bits if nothing is kept");
    if (layer->has_cell) {
        expect(same_bits(r.c, kept.c, states), "c has the same bits if nothing is kept");
    }
}

static void check_recurrent_forward(const fs_kernels *k, const recurrent_layer *layer,
                                    const recurrent_case *l, float *cache) {
    const recurrent_values *expected = &l->expected;
    const ptrdiff_t states = count_states(&l->size);
    const forward_results r = new_forward_results(layer, &l->size);
    run_forward(k, r, cache, new_floats(k->recurrent_forward_floats(&l->size)), l);
    ran(layer->forward_name);
    expect_close("hs", r.hs, expected->hs, l->size.T * states, l->additions, 1);
    expect_close("h", r.h, expected->h, states, l->additions, 1);
    if (layer->has_cell) {
        expect_close("c", r.c, expected->c, states, l->additions, 1);
    }
    check_inference(k, layer, l, r);
    check_rows_alone(k, layer, l, r);
    if (l->size.N > 0 && l->size.T > 0 && l->size.D > 0 && !l->lengths && l->own) {
        check_nan_in_a_row(k, layer, l, r);
    }
}

static void check_recurrent_backward(const fs_kernels *k, const recurrent_layer *layer,
                                     const recurrent_case *l, const float *cache) {
    const ptrdiff_t N = l->size.N, T = l->size.T, D = l->size.D, H = l->size.H;
    const ptrdiff_t states = count_states(&l->size);
    const recurrent_values *expected = &l->expected;
    const ptrdiff_t cache_floats = k->recurrent_cache_floats(&l->size);
    const float *cache_before = new_copy(cache, cache_floats);
    backward_results r = {
        .dxs = l->own ? new_floats(N * T * D) : NULL,
        .dE = l->ids ? new_floats(l->size.V * D) : NULL,
        .dcontext = l->context ? new_floats(N * l->size.C) : NULL,
        .dh0 = new_floats(states),
        .dc0 = layer->has_cell ? new_floats(states) : NULL,
    };
    for (int i = 0; i < l->size.directions; ++i) {
        r.gradients[i].dWx = new_floats(l->inputs * l->columns);
        r.gradients[i].dWh = new_floats(H * l->columns);
        r.gradients[i].db = new_floats(l->columns);
    }
    run_backward(k, r, new_floats(k->recurrent_backward_floats(&l->size)), cache, l);
    ran(layer->backward_name);
    expect(same_bits(cache, cache_before, cache_floats), "the cache is not changed");
    const ptrdiff_t length = l->additions + T * l->columns;
    const ptrdiff_t weight_length = length + N * T;
    if (l->own) {
        expect_close("dxs", r.dxs, expected->down, N * T * D, length, 1);
    } else {
        expect_close("dE", r.dE, expected->dE, l->size.V * D, weight_length, 1);
    }
    if (l->context) {
        expect_close("dcontext", r.dcontext, expected->dcontext, N * l->size.C, length + T, 1);
    }
    expect_close("dh0", r.dh0, expected->dh0, states, length, 1);
    if (layer->has_cell) {
        expect_close("dc0", r.dc0, expected->dc0, states, length, 1);
    }
    for (int i = 0; i < l->size.directions; ++i) {
        const fs_recurrent_gradients *g = &r.gradients[i];
        expect_close("dWx", g->dWx, expected->dWx[i], l->inputs * l->columns, weight_length, 1);
        expect_close("dWh", g->dWh, expected->dWh[i], H * l->columns, weight_length, 1);
        expect_close("db", g->db, expected->db[i], l->columns, weight_length, 1);
    }
}

/* Lengths from 0 to T for the rows of a case, and the same sorted, as the kernels take them; what
 * lies past a row's end becomes NaN. */
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

/* What the oracle takes at each step, put together from what the kernel takes. */
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

/* The gradients of the same, from that of the whole. */
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

static int64_t *draw_ids(ptrdiff_t n, ptrdiff_t V) {
    int64_t *ids = new_ids(n);
    for (ptrdiff_t i = 0; i < n; ++i) {
        ids[i] = (i * 5 + i / 3) % V;
    }
    return ids;
}

/* Inputs, directions and lengths differ from one layout of the weights to the next. */
static void check_recurrent(const fs_kernels *k, const recurrent_layer *layer,
                            const ptrdiff_t *shape) {
    const ptrdiff_t N = shape[0], T = shape[1], D = shape[2], H = shape[3];
    const int directions = weights_layout == PADDED || weights_layout == REVERSED ? 2 : 1;
    const int has_lengths = weights_layout == TRANSPOSED || weights_layout == REVERSED;
    const ptrdiff_t V = weights_layout == PADDED || weights_layout == REVERSED ? 5 : 0;
    const ptrdiff_t C = has_lengths ? 3 : 0;
    const ptrdiff_t columns = layer->gates * H, states = N * directions * H;
    const int given = weights_layout != PADDED;
    const int cell_given = given && layer->has_cell;
    const double scale = 1 / sqrt((double)(C + D + H + 1)); /* the gates are not saturated */
    float *own = V ? NULL : new_uniform(N * T * D, 1);
    float *dhs = new_uniform(T * states, 1);
    if (weights_layout == CONTIGUOUS && N * T * D > 0) {
        own[0] = INFINITY; /* the gates saturate, and all but dWx stays finite */
    }
    recurrent_case l = {
        .size = {.cell = layer->cell,
                 .directions = directions,
                 .from_zeros = !given,
                 .N = N,
                 .T = T,
                 .C = C,
                 .D = D,
                 .H = H,
                 .V = V},
        .columns = columns,
        .inputs = C + D,
        .own = own,
        .ids = V ? draw_ids(N * T, V) : NULL,
        .context = C ? new_uniform(N * C, 1) : NULL,
        .dhs = dhs,
        .h0 = given ? new_uniform(states, 1) : NULL,
        .c0 = cell_given ? new_uniform(states, 1) : NULL,
        .dh = given ? new_uniform(states, 1) : NULL,
        .dc = cell_given ? new_uniform(states, 1) : NULL,
        .additions = T * (C + D + H),
        .expected = {.hs = new_zeros(T * states),
                     .h = new_zeros(states),
                     .c = new_zeros(states),
                     .dxs = new_zeros(N * T * (C + D)),
                     .dE = new_zeros(V * D),
                     .dcontext = new_zeros(N * C),
                     .down = new_zeros(N * T * D),
                     .dh0 = new_zeros(states),
                     .dc0 = new_zeros(states)},
    };
    if (V) {
        l.E = new_matrix(V, D, 1);
    }
    if (has_lengths) {
        draw_lengths(&l, own, dhs);
    }
    l.xs = assemble_inputs(&l);
    for (int i = 0; i < directions; ++i) {
        l.weights[i].Wx = new_matrix(C + D, columns, scale);
        l.weights[i].Wh = new_matrix(H, columns, scale);
        l.weights[i].b = new_uniform(columns, 1);
        l.expected.dWx[i] = new_zeros((C + D) * columns);
        l.expected.dWh[i] = new_zeros(H * columns);
        l.expected.db[i] = new_zeros(columns);
        l.direction = i;
        oracle_direction(layer, &l);
    }
    take_inputs_apart(&l);
    float *cache = new_floats(k->recurrent_cache_floats(&l.size));
    check_recurrent_forward(k, layer, &l, cache);
    check_recurrent_backward(k, layer, &l, cache);
}

#endif
