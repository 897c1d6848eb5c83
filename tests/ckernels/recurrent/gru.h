/* gru.h — the GRU compared with double precision. Shape N, T, D, H. */
#ifndef CHECK_GRU_H
#define CHECK_GRU_H

#include "layer.h"

/* Gates in the order z, r, g. */
static void oracle_gru_step(const oracle_step *s, const recurrent_case *l) {
    const ptrdiff_t H = l->size.H;
    double *a = s->gates;
    oracle_product(s, s->h_prev, 0, 2 * H, l);
    for (ptrdiff_t k = 0; k < 2 * H; ++k) {
        a[k] = oracle_sigmoid(a[k]);
    }
    for (ptrdiff_t j = 0; j < H; ++j) {
        s->reset[j] = a[H + j] * s->h_prev[j];
    }
    oracle_product(s, s->reset, 2 * H, 3 * H, l);
    for (ptrdiff_t j = 0; j < H; ++j) {
        a[2 * H + j] = tanh(a[2 * H + j]);
        s->h[j] = (1 - a[j]) * s->h_prev[j] + a[j] * a[2 * H + j];
    }
}

static void oracle_gru_step_backward(const oracle_step *s, const recurrent_case *l) {
    const ptrdiff_t H = l->size.H;
    for (ptrdiff_t j = 0; j < H; ++j) {
        const double z = s->gates[j];
        const double r = s->gates[H + j];
        const double g = s->gates[2 * H + j];
        s->dA[j] = s->dh[j] * (g - s->h_prev[j]) * z * (1 - z);
        s->dA[2 * H + j] = s->dh[j] * z * (1 - g * g);
        s->dh[j] *= 1 - z;
        s->reset[j] = r * s->h_prev[j];
        s->dreset[j] = 0;
    }
    oracle_product_backward(s->dreset, s, s->reset, 2 * H, 3 * H, l);
    for (ptrdiff_t j = 0; j < H; ++j) {
        const double r = s->gates[H + j];
        s->dA[H + j] = s->dreset[j] * s->h_prev[j] * r * (1 - r);
        s->dh[j] += s->dreset[j] * r;
    }
    oracle_product_backward(s->dh, s, s->h_prev, 0, 2 * H, l);
}

static const recurrent_layer gru = {
    .cell = FS_GRU,
    .step = oracle_gru_step,
    .step_backward = oracle_gru_step_backward,
};

#endif
