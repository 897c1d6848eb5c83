/* lstm.h — the LSTM compared with double precision. Shape N, T, D, H. */
#ifndef CHECK_LSTM_H
#define CHECK_LSTM_H

#include "layer.h"

/* Gates in the order f, g, i, o. */
static void oracle_lstm_step(const oracle_step *s, const recurrent_case *l) {
    const ptrdiff_t H = l->size.H;
    double *a = s->gates;
    oracle_product(s, s->h_prev, 0, 4 * H, l);
    for (ptrdiff_t k = 0; k < 4 * H; ++k) {
        a[k] = k / H == 1 ? tanh(a[k]) : oracle_sigmoid(a[k]);
    }
    for (ptrdiff_t j = 0; j < H; ++j) {
        s->c[j] = a[j] * s->c_prev[j] + a[H + j] * a[2 * H + j];
        s->h[j] = a[3 * H + j] * tanh(s->c[j]);
    }
}

static void oracle_lstm_step_backward(const oracle_step *s, const recurrent_case *l) {
    const ptrdiff_t H = l->size.H;
    for (ptrdiff_t j = 0; j < H; ++j) {
        const double f = s->gates[j];
        const double g = s->gates[H + j];
        const double i = s->gates[2 * H + j];
        const double o = s->gates[3 * H + j];
        const double tanh_c = tanh(s->c[j]);
        const double dc = s->dc[j] + s->dh[j] * o * (1 - tanh_c * tanh_c);
        s->dA[j] = dc * s->c_prev[j] * f * (1 - f);
        s->dA[H + j] = dc * i * (1 - g * g);
        s->dA[2 * H + j] = dc * g * i * (1 - i);
        s->dA[3 * H + j] = s->dh[j] * tanh_c * o * (1 - o);
        s->dc[j] = dc * f;
        s->dh[j] = 0;
    }
    oracle_product_backward(s->dh, s, s->h_prev, 0, 4 * H, l);
}

static const recurrent_layer lstm = {
    .cell = FS_LSTM,
    .step = oracle_lstm_step,
    .step_backward = oracle_lstm_step_backward,
};

#endif
