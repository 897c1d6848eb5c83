/* threads.h — large recurrent layers with fewer rows than threads, which split each step: results
 * equal those of one thread, in many repetitions. A missing barrier has an effect only if a rank is
 * late: elements not written yet are NaN. Shape N, T, D, H. */
#ifndef CHECK_RECURRENT_THREADS_H
#define CHECK_RECURRENT_THREADS_H

#include "layer.h"

#define MAX_TEST_THREADS 3
#define FEWER_STEPS 16 /* of one row: few enough for the weights to be streamed */

static void expect_same_backward(const recurrent_case *l, backward_results a, backward_results b) {
    const char *what = "gradients equal those of one thread";
    const ptrdiff_t states = count_states(&l->size);
    if (l->own) {
        expect(same_bits(a.dxs, b.dxs, l->size.N * l->size.T * l->size.D), what);
    } else {
        expect(same_bits(a.dE, b.dE, l->size.V * l->size.D), what);
    }
    if (l->context) {
        expect(same_bits(a.dcontext, b.dcontext, l->size.N * l->size.C), what);
    }
    expect(same_bits(a.dh0, b.dh0, states), what);
    expect(!has_c() || same_bits(a.dc0, b.dc0, states), what);
    for (int i = 0; i < l->size.directions; ++i) {
        for (fs_weight weight = 0; weight < FS_WEIGHTS; ++weight) {
            if (has_weight(weight)) {
                expect(same_bits(a.gradients[i].array[weight], b.gradients[i].array[weight],
                                 weight_floats(l, weight)),
                       what);
            }
        }
    }
}

static void check_with_threads(const fs_kernels *k, const recurrent_case *l,
                               forward_results forward, backward_results backward) {
    for (int repeat = 0; repeat < TEAM_REPEATS; ++repeat) {
        const int arrays = allocation_count;
        recurrent_case again = *l;
        again.size.inference = repeat % 2;
        float *cache = again.size.inference ? NULL : new_cache(k, &again.size);
        const forward_results r = new_forward_results(&l->size);
        run_forward(k, r, cache, &again);
        expect_same_forward(r, forward, l->size.N * l->size.T, l->size.N,
                            l->size.directions * l->size.H, "results equal those of one thread");
        if (repeat == 0) {
            const backward_results gradients = new_backward_results(l);
            run_backward(k, gradients, cache, l);
            expect_same_backward(l, gradients, backward);
        }
        free_arrays_from(arrays);
    }
}

/* One row, truncated to its first steps. */
static void check_fewer_steps(const fs_kernels *k, const recurrent_case *l, forward_results all) {
    const ptrdiff_t width = l->size.H;
    recurrent_case fewer = *l;
    fewer.size.T = FEWER_STEPS;
    const forward_results r = new_forward_results(&fewer.size);
    run_forward(k, r, new_cache(k, &fewer.size), &fewer);
    expect(same_bits(r.hs, all.hs, FEWER_STEPS * width), "the same bits with fewer steps");
}

static void check_recurrent_threads(const fs_kernels *k, const ptrdiff_t *shape) {
    /* x given; an embedding, larger and smaller, with a context */
    const ptrdiff_t forms[] = {0, 1, 8 + 32, 1 + 4 + 32, 4 + 16};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; ++i) {
        const recurrent_form f = form_at(forms[i], shape);
        const int arrays = allocation_count;
        describe_form(f);
        const recurrent_case l = new_recurrent_case(shape, f);
        const forward_results forward = new_forward_results(&l.size);
        const backward_results backward = new_backward_results(&l);
        float *cache = new_cache(k, &l.size);
        test_context.threads = 1;
        run_forward(k, forward, cache, &l);
        run_backward(k, backward, cache, &l);
        if (shape[0] == 1 && shape[1] > FEWER_STEPS && f.directions == 1) {
            check_fewer_steps(k, &l, forward);
        }
        for (int threads = 2; threads <= MAX_TEST_THREADS; ++threads) {
            test_context.threads = threads;
            check_with_threads(k, &l, forward, backward);
        }
        test_context.threads = THREADS;
        free_arrays_from(arrays);
    }
}

#endif
