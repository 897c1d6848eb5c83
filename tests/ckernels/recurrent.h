/* recurrent.h — what the checks of the recurrent layers share: a case and its expected results, the
 * product that makes gates, the walk through time, and what every layer must keep to. A layer's own
 * file brings its step in double precision and the calls of its slots. Shape N, T, D, H. */
#ifndef CHECK_RECURRENT_H
#define CHECK_RECURRENT_H

#include "check.h"
#include "vmath.h"

typedef struct {
    double *hs, *h, *c; /* c and dc0 stay 0 in layers without a cell */
    double *dxs, *dWx, *dWh, *db, *dh0, *dc0;
} recurrent_values;

typedef struct {
    fs_sequence_size size;
    ptrdiff_t columns; /* of Wx, Wh and b: gates H */
    const float *xs, *b, *dhs;
    const float *h0, *c0, *dc; /* NULL in some cases */
    fs_matrix Wx, Wh;
    ptrdiff_t length; /* additions that lead to one h */
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
    float *dxs, *dWx, *dWh, *db, *dh0, *dc0;
} backward_results;

typedef struct {
    const char *forward_name, *backward_name;
    int gates;
    int has_cell; /* c besides h */
    void (*step)(const oracle_step *s, const recurrent_case *l);
    void (*step_backward)(const oracle_step *s, const recurrent_case *l);
    ptrdiff_t (*cache_floats)(fs_sequence_size size);
    ptrdiff_t (*forward_floats)(fs_sequence_size size);
    ptrdiff_t (*backward_floats)(fs_sequence_size size);
    void (*forward)(const fs_kernels *k, forward_results r, float *cache, float *scratch,
                    const recurrent_case *l);
    void (*backward)(const fs_kernels *k, backward_results r, float *scratch, const float *cache,
                     const recurrent_case *l);
} recurrent_layer;

/* ---- double precision ---- */

/* Columns [first, end) of A = x Wx + state Wh + b. */
static void oracle_product(const oracle_step *s, const double *state, ptrdiff_t first,
                           ptrdiff_t end, const recurrent_case *l) {
    for (ptrdiff_t k = first; k < end; ++k) {
        double A = l->b[k];
        for (ptrdiff_t d = 0; d < l->size.D; ++d) {
            A += s->x[d] * element(l->Wx, d, k);
        }
        for (ptrdiff_t j = 0; j < l->size.H; ++j) {
            A += state[j] * element(l->Wh, j, k);
        }
        s->gates[k] = A;
    }
}

/* Its gradients from columns [first, end) of dA, added to dstate (H) and the others. */
static void oracle_product_backward(double *dstate, const oracle_step *s, const double *state,
                                    ptrdiff_t first, ptrdiff_t end, const recurrent_case *l) {
    const recurrent_values *v = &l->expected;
    for (ptrdiff_t k = first; k < end; ++k) {
        const double dA = s->dA[k];
        v->db[k] += dA;
        for (ptrdiff_t d = 0; d < l->size.D; ++d) {
            v->dWx[d * l->columns + k] += s->x[d] * dA;
            s->dx[d] += dA * element(l->Wx, d, k);
        }
        for (ptrdiff_t j = 0; j < l->size.H; ++j) {
            v->dWh[j * l->columns + k] += state[j] * dA;
            dstate[j] += dA * element(l->Wh, j, k);
        }
    }
}

/* What a row leaves behind on its way through time. */
typedef struct {
    double *gates; /* (T,columns) */
    double *h, *c; /* (T+1,H) the states before each step */
} oracle_history;

static void move_to(oracle_step *s, const oracle_history *past, const recurrent_case *l,
                    ptrdiff_t n, ptrdiff_t t) {
    const ptrdiff_t row = n * l->size.T + t, D = l->size.D, H = l->size.H;
    s->x = l->xs + row * D;
    s->dx = l->expected.dxs + row * D;
    s->gates = past->gates + t * l->columns;
    s->h_prev = past->h + t * H;
    s->h = s->h_prev + H;
    s->c_prev = past->c + t * H;
    s->c = s->c_prev + H;
}

/* All rows forward through time and back; the gradients of weights add up over them. */
static void oracle_recurrent(const recurrent_layer *layer, const recurrent_case *l) {
    const ptrdiff_t N = l->size.N, T = l->size.T, H = l->size.H;
    const recurrent_values *v = &l->expected;
    const oracle_history past = {
        .gates = new_zeros(T * l->columns),
        .h = new_zeros((T + 1) * H),
        .c = new_zeros((T + 1) * H),
    };
    oracle_step s = {.reset = new_zeros(H), .dA = new_zeros(l->columns), .dreset = new_zeros(H)};
    for (ptrdiff_t n = 0; n < N; ++n) {
        s.dh = v->dh0 + n * H;
        s.dc = v->dc0 + n * H;
        for (ptrdiff_t j = 0; j < H; ++j) {
            past.h[j] = l->h0 ? l->h0[n * H + j] : 0.0;
            past.c[j] = l->c0 ? l->c0[n * H + j] : 0.0;
            s.dc[j] = l->dc ? l->dc[n * H + j] : 0.0;
        }
        for (ptrdiff_t t = 0; t < T; ++t) {
            move_to(&s, &past, l, n, t);
            layer->step(&s, l);
            memcpy(v->hs + (n * T + t) * H, s.h, (size_t)H * sizeof(double));
        }
        memcpy(v->h + n * H, past.h + T * H, (size_t)H * sizeof(double));
        memcpy(v->c + n * H, past.c + T * H, (size_t)H * sizeof(double));
        for (ptrdiff_t t = T - 1; t >= 0; --t) {
            move_to(&s, &past, l, n, t);
            for (ptrdiff_t j = 0; j < H; ++j) {
                s.dh[j] += l->dhs[(n * T + t) * H + j];
            }
            layer->step_backward(&s, l);
        }
    }
}

/* ---- kernels ---- */

static forward_results new_forward_results(const recurrent_layer *layer, fs_sequence_size size) {
    const ptrdiff_t states = size.N * size.H;
    return (forward_results){
        .hs = new_floats(size.T * states),
        .h = new_floats(states),
        .c = layer->has_cell ? new_floats(states) : NULL,
    };
}

/* Row n of the batch as a batch of its own. */
static recurrent_case row_of(const recurrent_case *l, ptrdiff_t n) {
    recurrent_case row = *l;
    row.size.N = 1;
    row.xs = l->xs + n * l->size.T * l->size.D;
    row.h0 = l->h0 ? l->h0 + n * l->size.H : NULL;
    row.c0 = l->c0 ? l->c0 + n * l->size.H : NULL;
    return row;
}

/* Each row alone, with h0 = h and c0 = c, as it may be. */
static void check_rows_alone(const fs_kernels *k, const recurrent_layer *layer,
                             const recurrent_case *l, forward_results batch) {
    const ptrdiff_t N = l->size.N, T = l->size.T, H = l->size.H;
    const forward_results alone = new_forward_results(layer, l->size);
    const fs_sequence_size one_row = {1, T, l->size.D, H};
    float *cache = new_floats(layer->cache_floats(one_row));
    float *scratch = new_floats(layer->forward_floats(one_row));
    for (ptrdiff_t n = 0; n < N; ++n) {
        recurrent_case row = row_of(l, n);
        const forward_results r = {
            .hs = alone.hs + n * T * H,
            .h = alone.h + n * H,
            .c = layer->has_cell ? alone.c + n * H : NULL,
        };
        if (row.h0) {
            memcpy(r.h, row.h0, (size_t)H * sizeof(float));
            row.h0 = r.h;
        }
        if (row.c0) {
            memcpy(r.c, row.c0, (size_t)H * sizeof(float));
            row.c0 = r.c;
        }
        layer->forward(k, r, cache, scratch, &row);
    }
    ran(layer->forward_name);
    expect(same_bits(alone.hs, batch.hs, N * T * H), "a row's hs has the same bits alone");
    expect(same_bits(alone.h, batch.h, N * H), "a row's h has the same bits alone");
    if (layer->has_cell) {
        expect(same_bits(alone.c, batch.c, N * H), "a row's c has the same bits alone");
    }
}

static void check_nan_in_a_row(const fs_kernels *k, const recurrent_layer *layer,
                               const recurrent_case *l, forward_results clean) {
    const ptrdiff_t N = l->size.N, T = l->size.T, D = l->size.D, H = l->size.H;
    const forward_results dirty = new_forward_results(layer, l->size);
    float *cache = new_floats(layer->cache_floats(l->size));
    float *scratch = new_floats(layer->forward_floats(l->size));
    float *xs = new_copy(l->xs, N * T * D);
    xs[D - 1] = NAN;
    recurrent_case with_nan = *l;
    with_nan.xs = xs;
    layer->forward(k, dirty, cache, scratch, &with_nan);
    ran(layer->forward_name);
    expect_nan_in_first_row(dirty.hs, clean.hs, N, T * H);
}

static void check_recurrent_forward(const fs_kernels *k, const recurrent_layer *layer,
                                    const recurrent_case *l, float *cache) {
    const ptrdiff_t N = l->size.N, T = l->size.T, D = l->size.D, H = l->size.H;
    const recurrent_values *expected = &l->expected;
    const forward_results r = new_forward_results(layer, l->size);
    float *scratch = new_floats(layer->forward_floats(l->size));
    layer->forward(k, r, cache, scratch, l);
    ran(layer->forward_name);
    expect_close("hs", r.hs, expected->hs, N * T * H, l->length, 1);
    expect_close("h", r.h, expected->h, N * H, l->length, 1);
    if (layer->has_cell) {
        expect_close("c", r.c, expected->c, N * H, l->length, 1);
    }
    check_rows_alone(k, layer, l, r);
    if (N > 0 && T > 0 && D > 0) {
        check_nan_in_a_row(k, layer, l, r);
    }
}

static void check_recurrent_backward(const fs_kernels *k, const recurrent_layer *layer,
                                     const recurrent_case *l, const float *cache) {
    const ptrdiff_t N = l->size.N, T = l->size.T, D = l->size.D, H = l->size.H;
    const recurrent_values *expected = &l->expected;
    const ptrdiff_t cache_floats = layer->cache_floats(l->size);
    const float *cache_before = new_copy(cache, cache_floats);
    const backward_results r = {
        .dxs = new_floats(N * T * D),
        .dWx = new_floats(D * l->columns),
        .dWh = new_floats(H * l->columns),
        .db = new_floats(l->columns),
        .dh0 = new_floats(N * H),
        .dc0 = layer->has_cell ? new_floats(N * H) : NULL,
    };
    float *scratch = new_floats(layer->backward_floats(l->size));
    layer->backward(k, r, scratch, cache, l);
    ran(layer->backward_name);
    expect(same_bits(cache, cache_before, cache_floats), "the cache is not changed");
    const ptrdiff_t length = l->length + T * l->columns;
    const ptrdiff_t weight_length = length + N * T;
    expect_close("dxs", r.dxs, expected->dxs, N * T * D, length, 1);
    expect_close("dh0", r.dh0, expected->dh0, N * H, length, 1);
    if (layer->has_cell) {
        expect_close("dc0", r.dc0, expected->dc0, N * H, length, 1);
    }
    expect_close("dWx", r.dWx, expected->dWx, D * l->columns, weight_length, 1);
    expect_close("dWh", r.dWh, expected->dWh, H * l->columns, weight_length, 1);
    expect_close("db", r.db, expected->db, l->columns, weight_length, 1);
}

static void check_recurrent(const fs_kernels *k, const recurrent_layer *layer,
                            const ptrdiff_t *shape) {
    const ptrdiff_t N = shape[0], T = shape[1], D = shape[2], H = shape[3];
    const ptrdiff_t columns = layer->gates * H;
    const int given = weights_layout != PADDED;
    const int cell_given = given && layer->has_cell;
    const double scale = 1 / sqrt((double)(D + H + 1)); /* the gates are not saturated */
    float *xs = new_uniform(N * T * D, 1);
    if (weights_layout == REVERSED && N * T * D > 0) {
        xs[0] = INFINITY; /* the gates saturate, and all but dWx stays finite */
    }
    const recurrent_case l = {
        .size = {N, T, D, H},
        .columns = columns,
        .xs = xs,
        .h0 = given ? new_uniform(N * H, 1) : NULL,
        .c0 = cell_given ? new_uniform(N * H, 1) : NULL,
        .b = new_uniform(columns, 1),
        .dhs = new_uniform(N * T * H, 1),
        .dc = cell_given ? new_uniform(N * H, 1) : NULL,
        .Wx = new_matrix(D, columns, scale),
        .Wh = new_matrix(H, columns, scale),
        .length = T * (D + H),
        .expected.hs = new_zeros(N * T * H),
        .expected.h = new_zeros(N * H),
        .expected.c = new_zeros(N * H),
        .expected.dxs = new_zeros(N * T * D),
        .expected.dWx = new_zeros(D * columns),
        .expected.dWh = new_zeros(H * columns),
        .expected.db = new_zeros(columns),
        .expected.dh0 = new_zeros(N * H),
        .expected.dc0 = new_zeros(N * H),
    };
    oracle_recurrent(layer, &l);
    float *cache = new_floats(layer->cache_floats(l.size));
    check_recurrent_forward(k, layer, &l, cache);
    check_recurrent_backward(k, layer, &l, cache);
}

#endif
