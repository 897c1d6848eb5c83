/* kernels/optim.h — in-place updates of parameters, gradient norms and scaling. */
#ifndef FS_OPTIM_H
#define FS_OPTIM_H

/* The arguments of all the updates, named as in fastseq.h; each uses some. A task copies them:
 * through a pointer they would be loaded again after each store. */
typedef struct {
    float *p, *m, *v, *h;
    const float *g;
    float rate, momentum, decay, gain, gain1, gain2, epsilon;
} optim_step;

static void sgd_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const optim_step s = *(const optim_step *)argument;
    (void)rank;
    for (ptrdiff_t i = begin; i < end; i += FS_LANES) {
        const ptrdiff_t n = end - i;
        const vf p = vf_fnma(vf_set(s.rate), load_lanes(s.g + i, n), load_lanes(s.p + i, n));
        store_lanes(s.p + i, p, n);
    }
}

static void sgd_step(float *p, const float *g, float rate, ptrdiff_t n, const fs_context *context) {
    optim_step step = {.p = p, .g = g, .rate = rate};
    parallel_for(context, n, 8.0 * (double)n, sgd_task, &step);
}

/* v = momentum v - rate g, for up to n elements from i on */
static inline vf new_velocity(const optim_step *s, vf g, ptrdiff_t i, ptrdiff_t n) {
    const vf v = vf_mul(vf_set(s->momentum), load_lanes(s->v + i, n));
    return vf_fnma(vf_set(s->rate), g, v);
}

static void momentum_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const optim_step s = *(const optim_step *)argument;
    (void)rank;
    for (ptrdiff_t i = begin; i < end; i += FS_LANES) {
        const ptrdiff_t n = end - i;
        const vf v = new_velocity(&s, load_lanes(s.g + i, n), i, n);
        store_lanes(s.p + i, vf_add(load_lanes(s.p + i, n), v), n);
        store_lanes(s.v + i, v, n);
    }
}

static void momentum_step(float *p, float *v, const float *g, float rate, float momentum,
                          ptrdiff_t n, const fs_context *context) {
    optim_step step = {.p = p, .v = v, .g = g, .rate = rate, .momentum = momentum};
    parallel_for(context, n, 12.0 * (double)n, momentum_task, &step);
}

static void nesterov_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const optim_step s = *(const optim_step *)argument;
    (void)rank;
    const vf ahead = vf_set(s.momentum * s.momentum);
    const vf rate = vf_set((1.0f + s.momentum) * s.rate);
    for (ptrdiff_t i = begin; i < end; i += FS_LANES) {
        const ptrdiff_t n = end - i;
        const vf g = load_lanes(s.g + i, n);
        const vf v = new_velocity(&s, g, i, n);
        const vf p = vf_fma(ahead, v, load_lanes(s.p + i, n));
        store_lanes(s.p + i, vf_fnma(rate, g, p), n);
        store_lanes(s.v + i, v, n);
    }
}

static void nesterov_step(float *p, float *v, const float *g, float rate, float momentum,
                          ptrdiff_t n, const fs_context *context) {
    optim_step step = {.p = p, .v = v, .g = g, .rate = rate, .momentum = momentum};
    parallel_for(context, n, 12.0 * (double)n, nesterov_task, &step);
}

/* p - rate direction / (sqrt(squares) + epsilon), for up to n elements from i on */
static inline vf scaled_step(const optim_step *s, vf direction, vf squares, ptrdiff_t i,
                             ptrdiff_t n) {
    const vf ratio = vf_div(direction, vf_add(vf_sqrt(squares), vf_set(s->epsilon)));
    return vf_fnma(vf_set(s->rate), ratio, load_lanes(s->p + i, n));
}

static void rmsprop_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const optim_step s = *(const optim_step *)argument;
    (void)rank;
    for (ptrdiff_t i = begin; i < end; i += FS_LANES) {
        const ptrdiff_t n = end - i;
        const vf g = load_lanes(s.g + i, n);
        const vf gained = vf_mul(vf_set(s.gain), vf_mul(g, g));
        const vf h = vf_fma(vf_set(s.decay), load_lanes(s.h + i, n), gained);
        store_lanes(s.p + i, scaled_step(&s, g, h, i, n), n);
        store_lanes(s.h + i, h, n);
    }
}

static void rmsprop_step(float *p, float *h, const float *g, float rate, float decay, float gain,
                         float epsilon, ptrdiff_t n, const fs_context *context) {
    optim_step step = {
        .p = p, .h = h, .g = g, .rate = rate, .decay = decay, .gain = gain, .epsilon = epsilon};
    parallel_for(context, n, 25.0 * (double)n, rmsprop_task, &step);
}

/* AdaGrad is RMSprop with decay = gain = 1. */
static void adagrad_step(float *p, float *h, const float *g, float rate, float epsilon, ptrdiff_t n,
                         const fs_context *context) {
    rmsprop_step(p, h, g, rate, 1.0f, 1.0f, epsilon, n, context);
}

static void adam_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const optim_step s = *(const optim_step *)argument;
    (void)rank;
    const vf gain1 = vf_set(s.gain1);
    const vf gain2 = vf_set(s.gain2);
    for (ptrdiff_t i = begin; i < end; i += FS_LANES) {
        const ptrdiff_t n = end - i;
        const vf g = load_lanes(s.g + i, n);
        vf m = load_lanes(s.m + i, n);
        vf v = load_lanes(s.v + i, n);
        m = vf_fma(gain1, vf_sub(g, m), m);
        v = vf_fma(gain2, vf_sub(vf_mul(g, g), v), v);
        store_lanes(s.p + i, scaled_step(&s, m, v, i, n), n);
        store_lanes(s.m + i, m, n);
        store_lanes(s.v + i, v, n);
    }
}

static void adam_step(float *p, float *m, float *v, const float *g, float rate, float gain1,
                      float gain2, float epsilon, ptrdiff_t n, const fs_context *context) {
    optim_step step = {.p = p,
                       .m = m,
                       .v = v,
                       .g = g,
                       .rate = rate,
                       .gain1 = gain1,
                       .gain2 = gain2,
                       .epsilon = epsilon};
    parallel_for(context, n, 30.0 * (double)n, adam_task, &step);
}

typedef struct {
    double *sums;
    const float *x;
    ptrdiff_t n;
} square_sums;

static void sum_squares_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const square_sums s = *(const square_sums *)argument;
    (void)rank;
    for (ptrdiff_t run = begin; run < end; ++run) {
        const ptrdiff_t last = min_size(s.n, (run + 1) * FS_SUM_RUN);
        vf sum = vf_set(0.0f);
        for (ptrdiff_t i = run * FS_SUM_RUN; i < last; i += FS_LANES) {
            const vf x = load_lanes(s.x + i, last - i);
            sum = vf_fma(x, x, sum);
        }
        s.sums[run] = (double)vf_reduce_add(sum);
    }
}

static void sum_squares(double *sums, const float *x, ptrdiff_t n, const fs_context *context) {
    square_sums all = {.sums = sums, .x = x, .n = n};
    const ptrdiff_t runs = (n + FS_SUM_RUN - 1) / FS_SUM_RUN;
    parallel_for(context, runs, 4.0 * (double)n, sum_squares_task, &all);
}

static void scale_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const optim_step s = *(const optim_step *)argument;
    (void)rank;
    for (ptrdiff_t i = begin; i < end; i += FS_LANES) {
        const vf scaled = vf_mul(load_lanes(s.p + i, end - i), vf_set(s.rate));
        store_lanes(s.p + i, scaled, end - i);
    }
}

static void scale(float *x, float factor, ptrdiff_t n, const fs_context *context) {
    optim_step step = {.p = x, .rate = factor};
    parallel_for(context, n, 4.0 * (double)n, scale_task, &step);
}

#endif
