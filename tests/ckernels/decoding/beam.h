/* decoding/beam.h — beam search compared with a search in which each hypothesis is computed from its
 * beginning by the kernels of each step: results must be equal. */
#ifndef CHECK_DECODING_BEAM_H
#define CHECK_DECODING_BEAM_H

#include "by_layers.h"

#define CHECKED_BEAM 4

/* A hypothesis, or one that ended, whose score is its total divided by a penalty. */
typedef struct {
    int64_t ids[DECODING_STEPS];
    double total, score;
    ptrdiff_t taken;
} searched;

/* The list, best score first, with one more; at most `most` are kept. */
static ptrdiff_t keep_best(searched *list, ptrdiff_t length, ptrdiff_t most, searched one) {
    ptrdiff_t place = length;
    for (; place > 0 && list[place - 1].score < one.score; --place) {
        if (place < most) {
            list[place] = list[place - 1];
        }
    }
    if (place < most) {
        list[place] = one;
    }
    return length < most ? length + 1 : most;
}

/* log p of the id after a hypothesis of batch row n. */
static const float *log_p_after(const fs_kernels *k, const fs_decode *call, ptrdiff_t n,
                                const searched *beginning) {
    const fs_context alone = context_of(1);
    float *each = new_floats(call->count * call->V), *mean = new_floats(call->V);
    const float *ranked = mean;
    for (ptrdiff_t i = 0; i < call->count; ++i) {
        decoded_row row = new_decoded_row(call, &call->decoders[i], n);
        ranked = step_row(k, call, &row, call->start_id);
        for (ptrdiff_t step = 0; step < beginning->taken; ++step) {
            ranked = step_row(k, call, &row, beginning->ids[step]);
        }
        memcpy(each + i * call->V, row.log_p, (size_t)call->V * sizeof(float));
    }
    k->log_mean_exp(mean, each, call->count, 1, call->V, &alone);
    return call->count > 1 ? mean : ranked;
}

static void search_by_layers(const fs_kernels *k, const fs_decode *call, ptrdiff_t n) {
    const ptrdiff_t limit = call->limits ? call->limits[n] : call->steps;
    searched active[CHECKED_BEAM] = {{.total = 0}}, ended[CHECKED_BEAM];
    ptrdiff_t count = limit > 0, ended_count = 0;
    while (count > 0) {
        searched chosen[CHECKED_BEAM];
        ptrdiff_t length = 0;
        for (ptrdiff_t i = 0; i < count; ++i) {
            const int arrays = allocation_count;
            const float *log_p = log_p_after(k, call, n, &active[i]);
            for (int64_t id = call->first_id; id < call->V; ++id) {
                searched one = active[i];
                one.ids[one.taken++] = id;
                one.total += (double)log_p[id];
                one.score = one.total;
                length = keep_best(chosen, length, call->beam, one);
            }
            free_arrays_from(arrays);
        }
        count = 0;
        for (ptrdiff_t i = 0; i < length; ++i) {
            searched one = chosen[i];
            if (one.ids[one.taken - 1] == call->end_id || one.taken == limit) {
                one.score = one.total / pow((double)(5 + one.taken) / 6.0, call->length_penalty);
                ended_count = keep_best(ended, ended_count, call->n_best, one);
            } else {
                active[count++] = one; /* none is dropped that could only fail */
            }
        }
    }
    for (ptrdiff_t place = 0; place < call->n_best; ++place) {
        const ptrdiff_t answer = n * call->n_best + place;
        const int is_there = place < ended_count;
        call->taken[answer] = is_there ? ended[place].taken : 0;
        call->scores[answer] = is_there ? ended[place].score : -INFINITY;
        call->log_probabilities[answer] = is_there ? ended[place].total : -INFINITY;
        for (ptrdiff_t step = 0; step < call->steps; ++step) {
            call->ids[answer * call->steps + step] = step < call->taken[answer]
                                                         ? ended[place].ids[step]
                                                     : call->end_id < 0 ? 0
                                                                        : call->end_id;
        }
    }
}

static void new_search_results(fs_decode *call) {
    const ptrdiff_t answers = call->N * call->n_best;
    call->ids = new_ids(answers * call->steps);
    call->taken = new_array(answers * (ptrdiff_t)sizeof *call->taken, 0);
    call->log_probabilities = new_doubles(answers);
    call->scores = new_doubles(answers);
}

static int same_search(const fs_decode *a, const fs_decode *b) {
    const size_t answers = (size_t)(a->N * a->n_best);
    return memcmp(a->taken, b->taken, answers * sizeof *a->taken) == 0 &&
           memcmp(a->ids, b->ids, answers * (size_t)a->steps * sizeof *a->ids) == 0 &&
           memcmp(a->log_probabilities, b->log_probabilities, answers * sizeof(double)) == 0 &&
           memcmp(a->scores, b->scores, answers * sizeof(double)) == 0;
}

/* A search in the decoders of a greedy call. */
static void check_beam(const fs_kernels *k, const fs_decode *greedy, ptrdiff_t beam) {
    fs_decode call = *greedy;
    call.length_penalty = beam % 2 ? 0.0 : 1.5;
    call.beam = beam;
    call.n_best = beam / 2 + 1;
    fs_decode expected = call;
    new_search_results(&expected);
    for (ptrdiff_t n = 0; n < call.N; ++n) {
        search_by_layers(k, &expected, n);
    }
    for (int threads = 1; threads <= THREADS; ++threads) {
        new_search_results(&call);
        run_decoding(k, &call, threads);
        expect(same_search(&call, &expected), "a search equals that of the layers");
    }
    if (call.N > 0) {
        call.scores[0] = nextafter(call.scores[0], 1.0);
        expect(!same_search(&call, &expected), "a wrong score is detected");
    }
}

#endif
