/* rnn.h — the plain recurrent layer against double precision. Shape N, T, D, H. */
#ifndef CHECK_RNN_H
#define CHECK_RNN_H

#include "recurrent.h"

static void oracle_rnn_step(const oracle_step *s, const recurrent_case *l) {
    oracle_product(s, s->h_prev, 0, l->size.H, l);
    for (ptrdiff_t j = 0; j < l->size.H; ++j) {
        s->h[j] = tanh(s->gates[j]);
    }
}

static void oracle_rnn_step_backward(const oracle_step *s, const recurrent_case *l) {
    for (ptrdiff_t j = 0; j < l->size.H; ++j) {
        s->dA[j] = s->dh[j] * (1 - s->h[j] * s->h[j]);
        s->dh[j] = 0;
    }
    oracle_product_backward(s->dh, s, s->h_prev, 0, l->size.H, l);
}

static void run_rnn_forward(const fs_kernels *k, forward_results r, float *cache, float *scratch,
                            const recurrent_case *l) {
    k->rnn_forward(r.hs, r.h, cache, scratch, l->xs, l->Wx, l->Wh, l->b, l->h0, l->size, THREADS);
}

static void run_rnn_backward(const fs_kernels *k, backward_results r, float *scratch,
                             const float *cache, const recurrent_case *l) {
    k->rnn_backward(r.dxs, r.dWx, r.dWh, r.db, r.dh0, scratch, l->dhs, cache, l->Wx, l->Wh, l->size,
                    THREADS);
}

static void check_rnn(const fs_kernels *k, const ptrdiff_t *shape) {
    const recurrent_layer rnn = {
        .forward_name = "rnn_forward",
        .backward_name = "rnn_backward",
        .gates = 1,
        .step = oracle_rnn_step,
        .step_backward = oracle_rnn_step_backward,
        .cache_floats = k->rnn_cache_floats,
        .forward_floats = k->rnn_forward_floats,
        .backward_floats = k->rnn_backward_floats,
        .forward = run_rnn_forward,
        .backward = run_rnn_backward,
    };
    check_recurrent(k, &rnn, shape);
}

#endif
