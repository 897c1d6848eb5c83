/* kernels/optim.h — in-place updates of parameters, gradient norms and scaling. */
#ifndef FS_OPTIM_H
#define FS_OPTIM_H

typedef struct {
    float *p, *m, *v;
    const float *g;
    float rate, gain1, gain2, epsilon;
} optim_step;

static void sgd_task(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const optim_step *s = context;
    (void)thread;
    for (ptrdiff_t i = begin; i < end; i += FS_LANES) {
        const ptrdiff_t n = end - i;
        const vf p = vf_fnma(vf_set(s->rate), load_lanes(s->g + i, n), load_lanes(s->p + i, n));
        store_lanes(s->p + i, p, n);
    }
}

static void sgd_step(float *p, const float *g, float rate, ptrdiff_t n, int threads) {
    optim_step step = {.p = p, .g = g, .rate = rate};
    parallel_for(n, worthwhile_threads(n, 8.0 * (double)n, threads), sgd_task, &step);
}

static void adam_task(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const optim_step *s = context;
    (void)thread;
    const vf gain1 = vf_set(s->gain1);
    const vf gain2 = vf_set(s->gain2);
    for (ptrdiff_t i = begin; i < end; i += FS_LANES) {
        const ptrdiff_t n = end - i;
        const vf g = load_lanes(s->g + i, n);
        vf m = load_lanes(s->m + i, n);
        vf v = load_lanes(s->v + i, n);
        m = vf_fma(gain1, vf_sub(g, m), m);
        v = vf_fma(gain2, vf_sub(vf_mul(g, g), v), v);
        const vf ratio = vf_div(m, vf_add(vf_sqrt(v), vf_set(s->epsilon)));
        store_lanes(s->p + i, vf_fnma(vf_set(s->rate), ratio, load_lanes(s->p + i, n)), n);
        store_lanes(s->m + i, m, n);
        store_lanes(s->v + i, v, n);
    }
}

static void adam_step(float *p, float *m, float *v, const float *g, float rate, float gain1,
                      float gain2, float epsilon, ptrdiff_t n, int threads) {
    optim_step step = {.p = p,
                       .m = m,
                       .v = v,
                       .g = g,
                       .rate = rate,
                       .gain1 = gain1,
                       .gain2 = gain2,
                       .epsilon = epsilon};
    parallel_for(n, worthwhile_threads(n, 30.0 * (double)n, threads), adam_task, &step);
}

typedef struct {
    double *sums;
    const float *x;
    ptrdiff_t n;
} square_sums;

static void sum_squares_task(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const square_sums *s = context;
    (void)thread;
    for (ptrdiff_t run = begin; run < end; ++run) {
        const ptrdiff_t last = smaller(s->n, (run + 1) * FS_SUM_RUN);
        vf sum = vf_set(0.0f);
        for (ptrdiff_t i = run * FS_SUM_RUN; i < last; i += FS_LANES) {
            const vf x = load_lanes(s->x + i, last - i);
            sum = vf_fma(x, x, sum);
        }
        s->sums[run] = (double)vf_sum(sum);
    }
}

static void sum_squares(double *sums, const float *x, ptrdiff_t n, int threads) {
    square_sums all = {.sums = sums, .x = x, .n = n};
    const ptrdiff_t runs = (n + FS_SUM_RUN - 1) / FS_SUM_RUN;
    parallel_for(runs, worthwhile_threads(runs, 4.0 * (double)n, threads), sum_squares_task, &all);
}

static void scale_task(void *context, ptrdiff_t begin, ptrdiff_t end, int thread) {
    const optim_step *s = context;
    (void)thread;
    for (ptrdiff_t i = begin; i < end; i += FS_LANES) {
        const vf scaled = vf_mul(load_lanes(s->p + i, end - i), vf_set(s->rate));
        store_lanes(s->p + i, scaled, end - i);
    }
}

static void scale(float *x, float factor, ptrdiff_t n, int threads) {
    optim_step step = {.p = x, .rate = factor};
    parallel_for(n, worthwhile_threads(n, 4.0 * (double)n, threads), scale_task, &step);
}

#endif
