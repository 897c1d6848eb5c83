/* layer.h — the recurrent layers compared with double precision, and their guarantees, for every
 * cell in every form. Shape N, T, D, H. */
#ifndef CHECK_RECURRENT_H
#define CHECK_RECURRENT_H

#include "case.h"
#include "../vmath.h"

/* Compares `steps` of the N T steps. */
static void expect_same_forward(forward_results a, forward_results b, ptrdiff_t steps,
                                ptrdiff_t rows, ptrdiff_t width, const char *what) {
    expect(same_bits(a.hs, b.hs, steps * width), what);
    expect(same_bits(a.h, b.h, rows * width), what);
    if (has_c()) {
        expect(same_bits(a.c, b.c, rows * width), what);
    }
}

/* Row n as a batch of one, without padding. */
static recurrent_case row_alone(const recurrent_case *l, ptrdiff_t n) {
    const ptrdiff_t state = n * l->size.directions * l->size.H;
    recurrent_case row = *l;
    row.size.N = 1;
    row.size.T = steps_of_row(l, n);
    row.size.lengths = (fs_lengths){NULL, NULL, NULL};
    row.own = l->own ? l->own + n * l->size.T * l->size.D : NULL;
    row.ids = l->ids ? l->ids + n * l->size.T : NULL;
    row.context = l->context ? l->context + n * l->size.C : NULL;
    row.h0 = l->h0 ? l->h0 + state : NULL;
    row.c0 = l->c0 ? l->c0 + state : NULL;
    return row;
}

/* Some rows of a large batch as batches of one, with h0 = h and c0 = c aliased: mostly few packed
 * rows and no lengths, while the batch has many. */
static void check_rows_alone(const fs_kernels *k, const recurrent_case *l, forward_results batch) {
    const ptrdiff_t width = l->size.directions * l->size.H;
    const size_t bytes = (size_t)width * sizeof(float);
    for (ptrdiff_t n = 0; n < l->size.N; n += 1 + l->size.N / 8) {
        const int arrays = allocation_count;
        recurrent_case row = row_alone(l, n);
        const forward_results r = new_forward_results(&row.size);
        if (row.h0) {
            memcpy(r.h, row.h0, bytes);
            row.h0 = r.h;
        }
        if (row.c0) {
            memcpy(r.c, row.c0, bytes);
            row.c0 = r.c;
        }
        run_forward(k, r, new_cache(k, &row.size), &row);
        const forward_results in_batch = {
            .hs = batch.hs + n * l->size.T * width,
            .h = batch.h + n * width,
            .c = has_c() ? batch.c + n * width : NULL,
        };
        expect_same_forward(r, in_batch, row.size.T, 1, width,
                            "a row has the same bits in a batch of one");
        free_arrays_from(arrays);
    }
}

/* NaN in x at the first step of both directions, or in the context. */
static void check_nan_in_a_row(const fs_kernels *k, const recurrent_case *l,
                               forward_results clean) {
    const ptrdiff_t N = l->size.N, T = l->size.T, C = l->size.C, D = l->size.D;
    const forward_results dirty = new_forward_results(&l->size);
    recurrent_case with_nan = *l;
    if (l->own && D > 0) {
        float *xs = new_copy(l->own, N * T * D);
        xs[D - 1] = NAN;
        xs[T * D - 1] = NAN;
        with_nan.own = xs;
    } else if (l->context) {
        float *context = new_copy(l->context, N * C);
        context[C - 1] = NAN;
        with_nan.context = context;
    } else {
        return;
    }
    run_forward(k, dirty, new_cache(k, &l->size), &with_nan);
    expect_nan_in_first_row(dirty.hs, clean.hs, N, T * l->size.directions * l->size.H);
}

/* Inference, in other memory. */
static void check_inference(const fs_kernels *k, const recurrent_case *l, forward_results kept) {
    const forward_results r = new_forward_results(&l->size);
    recurrent_case inference = *l;
    inference.size.inference = 1;
    expect(SLOT(k, recurrent_cache_floats)(&inference.size) == 0, "inference has no cache");
    run_forward(k, r, NULL, &inference);
    expect_same_forward(r, kept, l->size.N * l->size.T, l->size.N, l->size.directions * l->size.H,
                        "the same bits in inference");
}

/* The memory does not grow with an embedding of more rows than steps. */
static void check_floats_of_large_embedding(const fs_kernels *k, const recurrent_case *l) {
    for (int inference = 0; inference < 2; ++inference) {
        fs_recurrent_size size = l->size;
        size.inference = inference;
        fs_recurrent_size larger = size;
        larger.V = 1000 * size.V;
        expect(k->recurrent_cache_floats(&larger) == k->recurrent_cache_floats(&size),
               "the cache does not grow with a large embedding");
        expect(k->recurrent_forward_floats(&larger, &test_context) ==
                   k->recurrent_forward_floats(&size, &test_context),
               "the scratch of forward does not grow with a large embedding");
        expect(k->recurrent_backward_floats(&larger, &test_context) ==
                   k->recurrent_backward_floats(&size, &test_context),
               "the scratch of backward does not grow with a large embedding");
    }
}

static void check_recurrent_forward(const fs_kernels *k, const recurrent_case *l, float *cache) {
    const recurrent_values *expected = &l->expected;
    const ptrdiff_t states = count_states(&l->size);
    const forward_results r = new_forward_results(&l->size);
    run_forward(k, r, cache, l);
    expect_close("hs", r.hs, expected->hs, l->size.T * states, l->additions, 1);
    expect_close("h", r.h, expected->h, states, l->additions, 1);
    if (has_c()) {
        expect_close("c", r.c, expected->c, states, l->additions, 1);
    }
    check_inference(k, l, r);
    check_rows_alone(k, l, r);
    if (l->size.N > 0 && l->size.T > 0 && !l->lengths) {
        check_nan_in_a_row(k, l, r);
    }
    if (l->size.V > l->size.N * l->size.T) {
        check_floats_of_large_embedding(k, l);
    }
}

static void check_recurrent_backward(const fs_kernels *k, const recurrent_case *l,
                                     const float *cache) {
    const ptrdiff_t N = l->size.N, T = l->size.T, D = l->size.D;
    const ptrdiff_t states = count_states(&l->size);
    const recurrent_values *expected = &l->expected;
    const ptrdiff_t cache_floats = SLOT(k, recurrent_cache_floats)(&l->size);
    const float *cache_before = new_copy(cache, cache_floats);
    const backward_results r = new_backward_results(l);
    run_backward(k, r, cache, l);
    expect(same_bits(cache, cache_before, cache_floats), "the cache is not changed");
    const ptrdiff_t length = l->additions + T * l->columns;
    const ptrdiff_t weight_length = length + N * T;
    if (l->own) {
        expect_close("dxs", r.dxs, expected->down, N * T * D, length, 1);
    } else {
        expect_close("dE", r.dE, expected->dE, l->size.V * D, weight_length, 1);
    }
    if (l->context) {
        expect_close("dcontext", r.dcontext, expected->dcontext, N * l->size.C, length + T, 1);
    }
    expect_close("dh0", r.dh0, expected->dh0, states, length, 1);
    if (has_c()) {
        expect_close("dc0", r.dc0, expected->dc0, states, length, 1);
    }
    for (int i = 0; i < l->size.directions; ++i) {
        for (fs_weight weight = 0; weight < FS_WEIGHTS; ++weight) {
            if (has_weight(weight)) {
                char what[16];
                snprintf(what, sizeof what, "d%s", fs_weights[weight].name);
                expect_close(what, r.gradients[i].array[weight], expected->gradients[i][weight],
                             weight_floats(l, weight), weight_length, 1);
            }
        }
    }
}

static void check_recurrent_form(const fs_kernels *k, const ptrdiff_t *shape, ptrdiff_t index) {
    const recurrent_form f = form_at(index, shape);
    const int arrays = allocation_count;
    describe_form(f);
    recurrent_case l = new_recurrent_case(shape, f);
    compute_expected(&l);
    float *cache = new_cache(k, &l.size);
    check_recurrent_forward(k, &l, cache);
    check_recurrent_backward(k, &l, cache);
    free_arrays_from(arrays);
}

/* One form, a different one for each shape and layout of the weights. */
static void check_recurrent(const fs_kernels *k, const ptrdiff_t *shape) {
    const ptrdiff_t index = shape[0] + 3 * shape[1] + 5 * shape[2] + 7 * shape[3];
    check_recurrent_form(k, shape, (index + 13 * (ptrdiff_t)weights_layout) % FORMS);
}

static void check_recurrent_forms(const fs_kernels *k, const ptrdiff_t *shape) {
    for (ptrdiff_t index = 0; index < FORMS; ++index) {
        check_recurrent_form(k, shape, index);
    }
}

#endif
