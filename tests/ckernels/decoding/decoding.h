/* decoding/decoding.h — decoding compared with the kernels of each step, which have checks of
 * their own: results must be equal. */
#ifndef CHECK_DECODING_H
#define CHECK_DECODING_H

#include "beam.h"
#include "by_layers.h"

/* Whether rows [first, N) of two calls have the same results. */
static int same_decoding(const fs_decode *a, const fs_decode *b, ptrdiff_t first) {
    const ptrdiff_t N = a->N, rows = N - first;
    int same = memcmp(a->taken + first, b->taken + first, (size_t)rows * sizeof *a->taken) == 0;
    same &= memcmp(a->ids + first * a->steps, b->ids + first * a->steps,
                   (size_t)(rows * a->steps) * sizeof *a->ids) == 0;
    if (a->log_probabilities) {
        same &= memcmp(a->log_probabilities + first, b->log_probabilities + first,
                       (size_t)rows * sizeof(double)) == 0;
    }
    for (ptrdiff_t k = 0; k < a->count; ++k) {
        const fs_decoder *one = &a->decoders[k], *other = &b->decoders[k];
        const ptrdiff_t H = one->H, Te = one->Te;
        for (ptrdiff_t i = 0; i < one->layers; ++i) {
            const ptrdiff_t from = (i * N + first) * H;
            same &= same_bits(one->h + from, other->h + from, rows * H);
            same &= one->c == NULL || same_bits(one->c + from, other->c + from, rows * H);
        }
        if (one->weights) {
            same &= same_bits(one->weights + first * Te, other->weights + first * Te, rows * Te);
        }
    }
    return same;
}

/* Initial states, and peek, in the memory of the results. */
static void check_decoding_in_place(const fs_kernels *k, const fs_decode *clean) {
    fs_decode call = *clean;
    new_decoding_results(&call, clean->log_probabilities != NULL);
    for (ptrdiff_t i = 0; i < call.count; ++i) {
        fs_decoder *own = (fs_decoder *)&call.decoders[i];
        const size_t bytes = (size_t)(own->layers * call.N * own->H) * sizeof(float);
        memcpy(own->h, own->h0, bytes);
        own->peek = own->peek ? own->h + (own->peek - own->h0) : NULL;
        own->h0 = own->h;
        if (own->c0) {
            memcpy(own->c, own->c0, bytes);
            own->c0 = own->c;
        }
    }
    run_decoding(k, &call, THREADS);
    expect(same_decoding(&call, clean, 0), "h and c may be h0 and c0");
}

static void check_decoding_nan(const fs_kernels *k, const fs_decode *clean) {
    const ptrdiff_t limit = clean->limits ? clean->limits[0] : clean->steps;
    fs_decode call = *clean;
    new_decoding_results(&call, clean->log_probabilities != NULL);
    fs_decoder *own = (fs_decoder *)call.decoders;
    float *h0 = new_copy(own->h0, own->layers * call.N * own->H);
    h0[own->H - 1] = NAN;
    own->peek = own->peek ? h0 + (own->peek - own->h0) : NULL;
    own->h0 = h0;
    run_decoding(k, &call, 1);
    expect(same_decoding(&call, clean, 1), "NaN stays in its row");
    if (limit > 0) {
        int fills = 1;
        for (ptrdiff_t j = 0; j < own->H; ++j) {
            fills &= isnan(own->h[j]) != 0;
        }
        expect(fills, "NaN fills its row");
        expect(call.ids[0] == call.first_id, "the argmax of NaN scores is the first");
        expect(!call.log_probabilities || isnan(call.log_probabilities[0]),
               "the log probability is NaN");
    }
}

static void check_decoding_form(const fs_kernels *k, const ptrdiff_t *shape, decoding_form form) {
    fs_decode call = new_decoding_case(shape, &form);
    const ptrdiff_t N = call.N, steps = call.steps;
    new_decoding_results(&call, form.log_probabilities);
    if (form.has_end && N * steps > 0) {
        run_decoding(k, &call, 1);
        const ptrdiff_t taken = call.taken[N / 2];
        call.end_id = taken > 0 ? call.ids[N / 2 * steps + taken / 2] : call.V - 1;
    }
    fs_decode expected = call;
    new_decoding_results(&expected, form.log_probabilities);
    for (ptrdiff_t n = 0; n < N; ++n) {
        const int arrays = allocation_count;
        decode_by_layers(k, &expected, n);
        free_arrays_from(arrays);
    }
    for (int threads = 1; threads <= THREADS + 1; ++threads) {
        new_decoding_results(&call, form.log_probabilities);
        run_decoding(k, &call, threads);
        expect(same_decoding(&call, &expected, 0), "results equal those of the layers");
    }
    static ptrdiff_t beam;
    beam = beam % CHECKED_BEAM + 1;
    check_beam(k, &call, beam);
    const fs_decoder *first = &expected.decoders[0];
    if (N * first->H > 0) {
        check_decoding_in_place(k, &call);
        check_decoding_nan(k, &call);
        float *h = first->h + N * first->H / 2;
        *h = nextafterf(*h, 2);
        expect(!same_decoding(&call, &expected, 0), "a wrong value is detected");
    }
}

static void check_decoding(const fs_kernels *k, const ptrdiff_t *shape) {
    static int index;
    for (int i = 0; i < FORMS_PER_SHAPE; ++i) {
        const int arrays = allocation_count;
        check_decoding_form(k, shape, decoding_form_at(index++ % DECODING_FORMS));
        free_arrays_from(arrays);
    }
}

#endif
