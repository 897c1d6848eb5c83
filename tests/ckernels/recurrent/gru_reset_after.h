/* gru_reset_after.h — the GRU whose reset gate acts after the product, compared with double
 * precision. Shape N, T, D, H. */
#ifndef CHECK_GRU_RESET_AFTER_H
#define CHECK_GRU_RESET_AFTER_H

#include "layer.h"

/* M = h_prev Wh + bh of g's columns. */
static void oracle_gru_state_product(double *M, const oracle_step *s, const recurrent_case *l) {
    const ptrdiff_t H = l->size.H;
    for (ptrdiff_t j = 0; j < H; ++j) {
        M[j] = element(weights_of(l, FS_BH), 0, j);
    }
    oracle_states(M, s->h_prev, 2 * H, 3 * H, l);
}

/* Gates in the order z, r, g. */
static void oracle_gru_reset_after_step(const oracle_step *s, const recurrent_case *l) {
    const ptrdiff_t H = l->size.H;
    double *a = s->gates, *M = s->reset;
    oracle_product(s, s->h_prev, 0, 2 * H, l);
    oracle_inputs(s, 2 * H, 3 * H, l);
    oracle_gru_state_product(M, s, l);
    for (ptrdiff_t j = 0; j < H; ++j) {
        a[j] = oracle_sigmoid(a[j]);
        a[H + j] = oracle_sigmoid(a[H + j]);
        a[2 * H + j] = tanh(a[2 * H + j] + a[H + j] * M[j]);
        s->h[j] = (1 - a[j]) * s->h_prev[j] + a[j] * a[2 * H + j];
    }
}

static void oracle_gru_reset_after_step_backward(const oracle_step *s, const recurrent_case *l) {
    const ptrdiff_t H = l->size.H;
    double *M = s->reset, *dM = s->dreset;
    oracle_gru_state_product(M, s, l);
    for (ptrdiff_t j = 0; j < H; ++j) {
        const double z = s->gates[j];
        const double r = s->gates[H + j];
        const double g = s->gates[2 * H + j];
        const double dA = s->dh[j] * z * (1 - g * g);
        s->dA[j] = s->dh[j] * (g - s->h_prev[j]) * z * (1 - z);
        s->dA[H + j] = dA * M[j] * r * (1 - r);
        s->dA[2 * H + j] = dA;
        s->dh[j] *= 1 - z;
        dM[j] = dA * r;
        gradient_of(l, FS_BH)[j] += dM[j];
    }
    oracle_inputs_backward(s, 2 * H, 3 * H, l);
    oracle_states_backward(s->dh, dM, s->h_prev, 2 * H, 3 * H, l);
    oracle_product_backward(s->dh, s, s->h_prev, 0, 2 * H, l);
}

static const recurrent_layer gru_reset_after = {
    .cell = FS_GRU_RESET_AFTER,
    .step = oracle_gru_reset_after_step,
    .step_backward = oracle_gru_reset_after_step_backward,
};

#endif
