/* oracle.h — a recurrent layer in double precision, of one or two directions, with sequences of
 * fixed or variable length: the case, the products, and the loop over the steps. The step of a cell
 * is in the cell's file. */
#ifndef CHECK_RECURRENT_ORACLE_H
#define CHECK_RECURRENT_ORACLE_H

#include "../check.h"

typedef struct {
    double *hs, *h, *c; /* c and dc0 stay 0 in cells without c */
    double *dxs, *dh0, *dc0;
    double *dE, *dcontext, *down; /* of the inputs of the kernel, from dxs */
    double *gradients[FS_DIRECTIONS][FS_WEIGHTS];
} recurrent_values;

typedef struct {
    fs_recurrent_size size;
    ptrdiff_t columns;  /* of Wx, Wh and b: gates H */
    ptrdiff_t *lengths; /* (N) in the caller's order; NULL: T each */
    int direction;      /* the current direction of the oracle */
    ptrdiff_t inputs;   /* C + D, the columns of a step's input */
    const float *xs;    /* (N,T,inputs), input of the oracle; those of the kernel are: */
    const float *own;   /* (N,T,D), or */
    int64_t *ids;       /* (N,T) with E, and */
    const float *context;
    fs_matrix E;
    const float *dhs;
    const float *h0, *c0, *dh, *dc; /* NULL in some cases */
    fs_recurrent_weights weights[FS_DIRECTIONS];
    ptrdiff_t additions; /* of one h */
    recurrent_values expected;
} recurrent_case;

/* One row of the batch at one step, forward or backward. */
typedef struct {
    const float *x;     /* (inputs) */
    double *h_prev, *h; /* (H) before and after the step */
    double *c_prev, *c; /* the same for the LSTM */
    double *gates;      /* (columns) A, then the gates */
    double *reset;      /* (H) reset state or M of a GRU, computed in each call */
    double *dx;         /* (inputs), accumulated */
    double *dA;         /* (columns) */
    double *dh, *dc; /* (H) gradients of h and c; backward makes them those of h_prev and c_prev */
    double *dreset;  /* (H) of `reset` */
} oracle_step;

typedef struct {
    fs_cell cell;
    void (*step)(const oracle_step *s, const recurrent_case *l);
    void (*step_backward)(const oracle_step *s, const recurrent_case *l);
} recurrent_layer;

/* ---- products ---- */

static fs_matrix weights_of(const recurrent_case *l, fs_weight weight) {
    return l->weights[l->direction].array[weight];
}

static double *gradient_of(const recurrent_case *l, fs_weight weight) {
    return l->expected.gradients[l->direction][weight];
}

/* Columns [first, end) of A = x Wx + b. */
static void oracle_inputs(const oracle_step *s, ptrdiff_t first, ptrdiff_t end,
                          const recurrent_case *l) {
    const fs_matrix Wx = weights_of(l, FS_WX), b = weights_of(l, FS_B);
    for (ptrdiff_t k = first; k < end; ++k) {
        double A = element(b, 0, k);
        for (ptrdiff_t d = 0; d < l->inputs; ++d) {
            A += operand(s->x[d]) * operand(element(Wx, d, k));
        }
        s->gates[k] = A;
    }
}

/* Accumulates the gradients from columns [first, end) of dA. */
static void oracle_inputs_backward(const oracle_step *s, ptrdiff_t first, ptrdiff_t end,
                                   const recurrent_case *l) {
    const fs_matrix Wx = weights_of(l, FS_WX);
    double *dWx = gradient_of(l, FS_WX), *db = gradient_of(l, FS_B);
    for (ptrdiff_t k = first; k < end; ++k) {
        db[k] += s->dA[k];
        for (ptrdiff_t d = 0; d < l->inputs; ++d) {
            dWx[d * l->columns + k] += operand(s->x[d]) * operand(s->dA[k]);
            s->dx[d] += operand(s->dA[k]) * operand(element(Wx, d, k));
        }
    }
}

/* M (end - first) += columns [first, end) of state Wh. */
static void oracle_states(double *M, const double *state, ptrdiff_t first, ptrdiff_t end,
                          const recurrent_case *l) {
    const fs_matrix Wh = weights_of(l, FS_WH);
    for (ptrdiff_t k = first; k < end; ++k) {
        for (ptrdiff_t j = 0; j < l->size.H; ++j) {
            M[k - first] += operand(state[j]) * operand(element(Wh, j, k));
        }
    }
}

static void oracle_states_backward(double *dstate, const double *dM, const double *state,
                                   ptrdiff_t first, ptrdiff_t end, const recurrent_case *l) {
    const fs_matrix Wh = weights_of(l, FS_WH);
    double *dWh = gradient_of(l, FS_WH);
    for (ptrdiff_t k = first; k < end; ++k) {
        for (ptrdiff_t j = 0; j < l->size.H; ++j) {
            dWh[j * l->columns + k] += operand(state[j]) * operand(dM[k - first]);
            dstate[j] += operand(dM[k - first]) * operand(element(Wh, j, k));
        }
    }
}

/* Columns [first, end) of A = x Wx + state Wh + b. */
static void oracle_product(const oracle_step *s, const double *state, ptrdiff_t first,
                           ptrdiff_t end, const recurrent_case *l) {
    oracle_inputs(s, first, end, l);
    oracle_states(s->gates + first, state, first, end, l);
}

static void oracle_product_backward(double *dstate, const oracle_step *s, const double *state,
                                    ptrdiff_t first, ptrdiff_t end, const recurrent_case *l) {
    oracle_inputs_backward(s, first, end, l);
    oracle_states_backward(dstate, s->dA + first, state, first, end, l);
}

/* ---- the loop over the steps ---- */

/* The values of a row that backward needs. */
typedef struct {
    double *gates; /* (T,columns) */
    double *h, *c; /* (T+1,H) the states before each step */
} oracle_history;

static ptrdiff_t steps_of_row(const recurrent_case *l, ptrdiff_t n) {
    return l->lengths ? l->lengths[n] : l->size.T;
}

/* The index of step t of row n in arrays (N, T, ...). */
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

/* Forward and backward of all rows in one direction; gradients of weights are accumulated. */
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

#endif
