/* rnn.h — the plain recurrent layer compared with double precision. Shape N, T, D, H. */
#ifndef CHECK_RNN_H
#define CHECK_RNN_H

#include "layer.h"

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

static const recurrent_layer rnn = {
    .cell = FS_RNN,
    .step = oracle_rnn_step,
    .step_backward = oracle_rnn_step_backward,
};

#endif
