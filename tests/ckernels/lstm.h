/* lstm.h — the LSTM against double precision. Shape N, T, D, H. */
#ifndef CHECK_LSTM_H
#define CHECK_LSTM_H

#include "check.h"
#include "vmath.h"

typedef struct {
    double *hs, *h, *c;
    double *dxs, *dWx, *dWh, *db, *dh0, *dc0;
} lstm_values;

typedef struct {
    fs_sequence_size size;
    const float *xs, *b, *dhs;
    const float *h0, *c0, *dc; /* NULL in some cases */
    fs_matrix Wx, Wh;
    ptrdiff_t length; /* additions that lead to one h */
    lstm_values expected;
} lstm_case;

/* Gates (4H) of one row at one step, in the order f, g, i, o, from x (D) and the previous h (H). */
static void oracle_lstm_gates(double *gates, const float *x, const double *h, const lstm_case *l) {
    const ptrdiff_t H = l->size.H;
    for (ptrdiff_t k = 0; k < 4 * H; ++k) {
        double A = l->b[k];
        for (ptrdiff_t d = 0; d < l->size.D; ++d) {
            A += x[d] * element(l->Wx, d, k);
        }
        for (ptrdiff_t j = 0; j < H; ++j) {
            A += h[j] * element(l->Wh, j, k);
        }
        gates[k] = k / H == 1 ? tanh(A) : oracle_sigmoid(A);
    }
}

/* The gradients of A (4H), of one row at one step; dc (H) becomes the gradient of c_prev. */
static void oracle_lstm_gates_backward(double *dA, double *dc, const double *dh,
                                       const double *gates, const double *c, const double *c_prev,
                                       ptrdiff_t H) {
    for (ptrdiff_t j = 0; j < H; ++j) {
        const double f = gates[j];
        const double g = gates[H + j];
        const double i = gates[2 * H + j];
        const double o = gates[3 * H + j];
        const double tanh_c = tanh(c[j]);
        dc[j] += dh[j] * o * (1 - tanh_c * tanh_c);
        dA[j] = dc[j] * c_prev[j] * f * (1 - f);
        dA[H + j] = dc[j] * i * (1 - g * g);
        dA[2 * H + j] = dc[j] * g * i * (1 - i);
        dA[3 * H + j] = dh[j] * tanh_c * o * (1 - o);
        dc[j] *= f;
    }
}

/* Row n of the batch through time: its gates (T,4H), and its states before each step, hs and cs
 * (T+1,H). */
static void oracle_lstm_forward(double *gates, double *hs, double *cs, const lstm_case *l,
                                ptrdiff_t n) {
    const ptrdiff_t T = l->size.T, D = l->size.D, H = l->size.H;
    for (ptrdiff_t j = 0; j < H; ++j) {
        hs[j] = l->h0 ? l->h0[n * H + j] : 0.0;
        cs[j] = l->c0 ? l->c0[n * H + j] : 0.0;
    }
    for (ptrdiff_t t = 0; t < T; ++t) {
        double *a = gates + t * 4 * H;
        oracle_lstm_gates(a, l->xs + (n * T + t) * D, hs + t * H, l);
        for (ptrdiff_t j = 0; j < H; ++j) {
            const double c = a[j] * cs[t * H + j] + a[H + j] * a[2 * H + j];
            const double h = a[3 * H + j] * tanh(c);
            cs[(t + 1) * H + j] = c;
            hs[(t + 1) * H + j] = h;
            l->expected.hs[(n * T + t) * H + j] = h;
        }
    }
    for (ptrdiff_t j = 0; j < H; ++j) {
        l->expected.h[n * H + j] = hs[T * H + j];
        l->expected.c[n * H + j] = cs[T * H + j];
    }
}

/* Row n back through time; the gradients of weights are added to those of other rows. */
static void oracle_lstm_backward(const double *gates, const double *hs, const double *cs,
                                 const lstm_case *l, ptrdiff_t n) {
    const ptrdiff_t T = l->size.T, D = l->size.D, H = l->size.H;
    const lstm_values *v = &l->expected;
    double *dh = v->dh0 + n * H;
    double *dc = v->dc0 + n * H;
    double *dA = new_zeros(4 * H);
    for (ptrdiff_t j = 0; j < H; ++j) {
        dc[j] = l->dc ? l->dc[n * H + j] : 0.0;
    }
    for (ptrdiff_t t = T - 1; t >= 0; --t) {
        for (ptrdiff_t j = 0; j < H; ++j) {
            dh[j] += l->dhs[(n * T + t) * H + j];
        }
        oracle_lstm_gates_backward(dA, dc, dh, gates + t * 4 * H, cs + (t + 1) * H, cs + t * H, H);
        for (ptrdiff_t j = 0; j < H; ++j) {
            dh[j] = 0;
        }
        for (ptrdiff_t k = 0; k < 4 * H; ++k) {
            v->db[k] += dA[k];
            for (ptrdiff_t d = 0; d < D; ++d) {
                v->dWx[d * 4 * H + k] += l->xs[(n * T + t) * D + d] * dA[k];
                v->dxs[(n * T + t) * D + d] += dA[k] * element(l->Wx, d, k);
            }
            for (ptrdiff_t j = 0; j < H; ++j) {
                v->dWh[j * 4 * H + k] += hs[t * H + j] * dA[k];
                dh[j] += dA[k] * element(l->Wh, j, k);
            }
        }
    }
}

static void check_lstm_forward(const fs_kernels *k, const lstm_case *l, float *cache) {
    const ptrdiff_t N = l->size.N, T = l->size.T, D = l->size.D, H = l->size.H;
    float *hs = new_floats(N * T * H);
    float *h = new_floats(N * H);
    float *c = new_floats(N * H);
    float *scratch = new_floats(k->lstm_forward_floats(l->size));
    k->lstm_forward(hs, h, c, cache, scratch, l->xs, l->Wx, l->Wh, l->b, l->h0, l->c0, l->size,
                    THREADS);
    ran("lstm_forward");
    expect_close("hs", hs, l->expected.hs, N * T * H, l->length, 1);
    expect_close("h", h, l->expected.h, N * H, l->length, 1);
    expect_close("c", c, l->expected.c, N * H, l->length, 1);

    const fs_sequence_size row = {1, T, D, H};
    float *alone = new_floats(N * T * H);
    float *h_alone = l->h0 ? new_copy(l->h0, N * H) : new_floats(N * H);
    float *c_alone = l->c0 ? new_copy(l->c0, N * H) : new_floats(N * H);
    float *row_cache = new_floats(k->lstm_cache_floats(row));
    scratch = new_floats(k->lstm_forward_floats(row));
    for (ptrdiff_t n = 0; n < N; ++n) { /* with h0 = h and c0 = c, as it may be */
        float *row_h = h_alone + n * H;
        float *row_c = c_alone + n * H;
        k->lstm_forward(alone + n * T * H, row_h, row_c, row_cache, scratch, l->xs + n * T * D,
                        l->Wx, l->Wh, l->b, l->h0 ? row_h : NULL, l->c0 ? row_c : NULL, row,
                        THREADS);
    }
    ran("lstm_forward");
    expect(same_bits(alone, hs, N * T * H), "a row's hs has the same bits alone");
    expect(same_bits(h_alone, h, N * H), "a row's h has the same bits alone");
    expect(same_bits(c_alone, c, N * H), "a row's c has the same bits alone");
    if (N > 0 && T > 0 && D > 0) {
        float *xs = new_copy(l->xs, N * T * D);
        xs[D - 1] = NAN;
        cache = new_floats(k->lstm_cache_floats(l->size));
        scratch = new_floats(k->lstm_forward_floats(l->size));
        k->lstm_forward(alone, h, c, cache, scratch, xs, l->Wx, l->Wh, l->b, l->h0, l->c0, l->size,
                        THREADS);
        ran("lstm_forward");
        expect_nan_in_first_row(alone, hs, N, T * H);
    }
}

static void check_lstm_backward(const fs_kernels *k, const lstm_case *l, const float *cache) {
    const ptrdiff_t N = l->size.N, T = l->size.T, D = l->size.D, H = l->size.H;
    const lstm_values *expected = &l->expected;
    const ptrdiff_t cache_floats = k->lstm_cache_floats(l->size);
    const float *cache_before = new_copy(cache, cache_floats);
    float *dxs = new_floats(N * T * D);
    float *dWx = new_floats(D * 4 * H);
    float *dWh = new_floats(H * 4 * H);
    float *db = new_floats(4 * H);
    float *dh0 = new_floats(N * H);
    float *dc0 = new_floats(N * H);
    float *scratch = new_floats(k->lstm_backward_floats(l->size));
    k->lstm_backward(dxs, dWx, dWh, db, dh0, dc0, scratch, l->dhs, l->dc, cache, l->Wx, l->Wh,
                     l->size, THREADS);
    ran("lstm_backward");
    expect(same_bits(cache, cache_before, cache_floats), "the cache is not changed");
    const ptrdiff_t length = l->length + T * 4 * H;
    const ptrdiff_t weight_length = length + N * T;
    expect_close("dxs", dxs, expected->dxs, N * T * D, length, 1);
    expect_close("dh0", dh0, expected->dh0, N * H, length, 1);
    expect_close("dc0", dc0, expected->dc0, N * H, length, 1);
    expect_close("dWx", dWx, expected->dWx, D * 4 * H, weight_length, 1);
    expect_close("dWh", dWh, expected->dWh, H * 4 * H, weight_length, 1);
    expect_close("db", db, expected->db, 4 * H, weight_length, 1);
}

static void check_lstm(const fs_kernels *k, const ptrdiff_t *shape) {
    const ptrdiff_t N = shape[0], T = shape[1], D = shape[2], H = shape[3];
    const int given = weights_layout != PADDED;
    const double scale = 1 / sqrt((double)(D + H + 1)); /* the gates are not saturated */
    float *xs = new_uniform(N * T * D, 1);
    if (weights_layout == REVERSED && N * T * D > 0) {
        xs[0] = INFINITY; /* the gates saturate, and all but dWx stays finite */
    }
    const lstm_case l = {
        .size = {N, T, D, H},
        .xs = xs,
        .h0 = given ? new_uniform(N * H, 1) : NULL,
        .c0 = given ? new_uniform(N * H, 1) : NULL,
        .b = new_uniform(4 * H, 1),
        .dhs = new_uniform(N * T * H, 1),
        .dc = given ? new_uniform(N * H, 1) : NULL,
        .Wx = new_matrix(D, 4 * H, scale),
        .Wh = new_matrix(H, 4 * H, scale),
        .length = T * (D + H),
        .expected.hs = new_zeros(N * T * H),
        .expected.h = new_zeros(N * H),
        .expected.c = new_zeros(N * H),
        .expected.dxs = new_zeros(N * T * D),
        .expected.dWx = new_zeros(D * 4 * H),
        .expected.dWh = new_zeros(H * 4 * H),
        .expected.db = new_zeros(4 * H),
        .expected.dh0 = new_zeros(N * H),
        .expected.dc0 = new_zeros(N * H),
    };
    for (ptrdiff_t n = 0; n < N; ++n) {
        double *gates = new_zeros(T * 4 * H);
        double *hs = new_zeros((T + 1) * H);
        double *cs = new_zeros((T + 1) * H);
        oracle_lstm_forward(gates, hs, cs, &l, n);
        oracle_lstm_backward(gates, hs, cs, &l, n);
    }
    float *cache = new_floats(k->lstm_cache_floats(l.size));
    check_lstm_forward(k, &l, cache);
    check_lstm_backward(k, &l, cache);
}

#endif
