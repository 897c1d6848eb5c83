/* decoding.h — greedy decoding compared with the kernels of each step, which have checks of their
 * own, applied to one row at a time: results must be equal. Shape N, V, D, H.
 *
 * A decoder has many forms: each shape checks some of them, all shapes together every one. */
#ifndef CHECK_DECODING_H
#define CHECK_DECODING_H

#include "check.h"

#define DECODING_STEPS 5
#define DECODING_TE 3
#define MOST_DECODING_LAYERS 3
#define FORMS_PER_SHAPE 12

enum { NO_ATTENTION, DOT, SCALED, GENERAL, ADDITIVE, ATTENTION_KINDS };

/* The parts of a decoder, and the options of a call. */
typedef struct {
    fs_cell cell;
    ptrdiff_t layers;
    int attention, combines, peeks;
    int has_end, has_limits, has_lengths, has_c0, log_probabilities;
} decoding_form;

/* The index-th form; the other options are random. */
#define DECODING_FORMS (FS_CELLS * 2 * ATTENTION_KINDS * 2 * 2)

static decoding_form decoding_form_at(int index) {
    next_uniform(1);
    const uint32_t drawn = random_state >> 16;
    decoding_form form = {.has_end = drawn & 1,
                          .has_limits = drawn >> 1 & 1,
                          .has_lengths = drawn >> 2 & 1,
                          .has_c0 = drawn >> 3 & 1,
                          .log_probabilities = drawn >> 4 & 1};
    form.cell = (fs_cell)(index % FS_CELLS);
    index /= FS_CELLS;
    form.attention = index % ATTENTION_KINDS;
    index /= ATTENTION_KINDS;
    form.layers = index % 2 ? MOST_DECODING_LAYERS : 1;
    form.combines = index / 2 % 2 && form.attention != NO_ATTENTION;
    form.peeks = index / 4 % 2;
    return form;
}

static fs_recurrent_weights new_recurrent_weights(fs_cell cell, ptrdiff_t inputs, ptrdiff_t H) {
    const fs_cell_info *info = &fs_cells[cell];
    fs_recurrent_weights weights = {{{NULL, 0, 0}}};
    for (int i = 0; i < info->weight_count; ++i) {
        const fs_weight w = info->weights[i];
        const ptrdiff_t columns = fs_weights[w].every_gate ? info->gates * H : H;
        if (fs_weights[w].rows == FS_VECTOR) {
            weights.array[w] = (fs_matrix){new_uniform(columns, 1), 0, 1};
        } else {
            const ptrdiff_t rows = fs_weights[w].rows == FS_ROW_PER_INPUT ? inputs : H;
            weights.array[w] = new_matrix(rows, columns, 1);
        }
    }
    return weights;
}

static ptrdiff_t *new_sizes(ptrdiff_t n, ptrdiff_t least, ptrdiff_t count) {
    ptrdiff_t *sizes = new_array(n * (ptrdiff_t)sizeof *sizes, 0);
    for (ptrdiff_t i = 0; i < n; ++i) {
        sizes[i] = least + i % count;
    }
    return sizes;
}

static void give_attention(fs_decode *call, const decoding_form *form) {
    const ptrdiff_t N = call->N, H = call->H;
    call->Te = DECODING_TE;
    call->enc = new_uniform(N * call->Te * H, 1);
    call->scale = form->attention == SCALED ? 0.25f : 1.0f;
    call->encoder_lengths = form->has_lengths ? new_sizes(N, 1, call->Te) : NULL;
    if (form->attention == GENERAL || form->attention == ADDITIVE) {
        call->W_query = new_matrix(H, H, 1);
    }
    if (form->attention == ADDITIVE) {
        call->keys = new_uniform(N * call->Te * H, 1);
        call->v = new_uniform(H, 1);
    }
    if (form->combines) {
        call->W_combine = new_matrix(2 * H, H, 1);
        call->b_combine = new_uniform(H, 1);
    }
}

static fs_decode new_decoding_case(const ptrdiff_t *shape, const decoding_form *form) {
    static fs_recurrent_weights recurrent[MOST_DECODING_LAYERS];
    const ptrdiff_t N = shape[0], V = shape[1], D = shape[2], H = shape[3];
    const ptrdiff_t before = form->peeks ? H : 0;
    fs_decode call = {.recurrent = recurrent,
                      .cell = form->cell,
                      .start_id = V / 2,
                      .first_id = V / 3,
                      .end_id = -1,
                      .N = N,
                      .steps = V > 0 ? DECODING_STEPS : 0, /* there must be an id for start_id */
                      .layers = form->layers,
                      .V = V,
                      .D = D,
                      .H = H};
    for (ptrdiff_t i = 0; i < call.layers; ++i) {
        recurrent[i] = new_recurrent_weights(form->cell, i ? H : before + D, H);
    }
    if (form->attention != NO_ATTENTION) {
        give_attention(&call, form);
    }
    call.h0 = new_uniform(call.layers * N * H, 1);
    if (fs_cells[form->cell].states > 1 && form->has_c0) {
        call.c0 = new_uniform(call.layers * N * H, 1);
    }
    call.peek = form->peeks ? call.h0 + (call.layers - 1) * N * H : NULL;
    call.limits = form->has_limits ? new_sizes(N, 0, call.steps + 1) : NULL;
    call.embedding = new_matrix(V, D, 1);
    call.W = new_matrix(before + (call.enc && !form->combines ? 2 * H : H), V, 1);
    call.b = new_uniform(V, 1);
    return call;
}

static void new_decoding_results(fs_decode *call, int log_probabilities) {
    const ptrdiff_t states = call->layers * call->N * call->H;
    call->ids = new_ids(call->N * call->steps);
    call->taken = new_array(call->N * (ptrdiff_t)sizeof *call->taken, 0);
    call->log_probabilities = log_probabilities ? new_doubles(call->N) : NULL;
    call->h = new_floats(states);
    call->c = fs_cells[call->cell].states > 1 ? new_floats(states) : NULL;
    call->weights = call->enc ? new_floats(call->N * call->Te) : NULL;
}

static void run_decoding(const fs_kernels *k, fs_decode *call, int threads) {
    const fs_context context = context_of(threads);
    call->scratch = new_floats(SLOT(k, decode_floats)(call, &context));
    SLOT(k, decode)(call, &context);
    ran("decode");
}

/* ---- the same with the kernels of the layers ---- */

/* to <- [left, right] */
static void put_beside(float *to, const float *left, ptrdiff_t before, const float *right,
                       ptrdiff_t width) {
    for (ptrdiff_t j = 0; j < before + width; ++j) {
        to[j] = j < before ? left[j] : right[j - before];
    }
}

/* One step of all layers: h and c (layers,H) of one row, with an id as input. */
static void step_layers(const fs_kernels *k, const fs_decode *call, const float *peek, int64_t id,
                        float *h, float *c) {
    const fs_context alone = context_of(1);
    const ptrdiff_t D = call->D, H = call->H, before = peek ? H : 0;
    float *embedded = new_floats(D), *x = new_floats(before + D), *hs = new_floats(H);
    k->embedding_forward(embedded, call->embedding, &id, 1, D, &alone);
    put_beside(x, peek, before, embedded, D);
    for (ptrdiff_t i = 0; i < call->layers; ++i) {
        const ptrdiff_t inputs = i ? H : before + D;
        const fs_recurrent_size size = {
            .cell = call->cell, .directions = 1, .N = 1, .T = 1, .D = inputs, .H = H};
        const fs_recurrent_forward step = {
            .hs = hs,
            .h = h + i * H,
            .c = c + i * H,
            .cache = new_floats(k->recurrent_cache_floats(&size)),
            .scratch = new_floats(k->recurrent_forward_floats(&size, &alone)),
            .xs = i ? h + (i - 1) * H : x,
            .h0 = h + i * H,
            .c0 = c + i * H,
            .weights = {call->recurrent[i]},
            .size = size};
        k->recurrent_forward(&step, &alone);
    }
}

/* a and its width: of h (H), after attention over the encoder states of row n. */
static ptrdiff_t attend_in_row(const fs_kernels *k, const fs_decode *call, ptrdiff_t n,
                               const float *h, float *weights, float *a) {
    const fs_context alone = context_of(1);
    const ptrdiff_t H = call->H, from = n * call->Te * H;
    const fs_attention_size size = {.N = 1,
                                    .Te = call->Te,
                                    .Td = 1,
                                    .H = H,
                                    .encoder_lengths =
                                        call->encoder_lengths ? call->encoder_lengths + n : NULL};
    float *query = new_copy(h, H), *context = new_floats(H), *both = new_floats(2 * H);
    if (call->W_query.data) {
        k->affine_forward(query, h, call->W_query, NULL, 0, 1, H, H, &alone);
    }
    if (call->keys) {
        k->additive_weights_forward(weights, call->keys + from, query, call->v, size, &alone);
        k->weighted_sum_forward(context, call->enc + from, weights, size, &alone);
    } else {
        k->attention_forward(context, weights, call->enc + from, query, call->scale, size, &alone);
    }
    put_beside(both, context, H, h, H);
    if (call->W_combine.data == NULL) {
        memcpy(a, both, (size_t)(2 * H) * sizeof(float));
        return 2 * H;
    }
    k->affine_forward(a, both, call->W_combine, call->b_combine, 0, 1, 2 * H, H, &alone);
    k->tanh(a, a, H);
    return H;
}

/* The next id of row n, and its log probability. */
static int64_t choose_by_layers(const fs_kernels *k, const fs_decode *call, ptrdiff_t n,
                                const float *peek, const float *h, float *weights,
                                double *log_probability) {
    const fs_context alone = context_of(1);
    const ptrdiff_t H = call->H, V = call->V, before = peek ? H : 0;
    float *a = new_floats(2 * H), *scores = new_floats(V), *log_p = new_floats(V);
    ptrdiff_t width = H;
    memcpy(a, h, (size_t)H * sizeof(float));
    if (call->enc) {
        width = attend_in_row(k, call, n, h, weights, a);
    }
    float *output = new_floats(before + width);
    put_beside(output, peek, before, a, width);
    k->affine_forward(scores, output, call->W, call->b, 0, 1, before + width, V, &alone);
    k->log_softmax(log_p, scores, 1, V, &alone);
    const float *ranked = call->log_probabilities ? log_p : scores;
    int64_t best = call->first_id;
    for (int64_t v = best; v < V && !isnan(ranked[best]); ++v) {
        best = isnan(ranked[v]) || ranked[v] > ranked[best] ? v : best;
    }
    *log_probability += (double)log_p[best];
    return best;
}

static void decode_by_layers(const fs_kernels *k, const fs_decode *call, ptrdiff_t n) {
    const ptrdiff_t N = call->N, H = call->H, layers = call->layers;
    const ptrdiff_t limit = call->limits ? call->limits[n] : call->steps;
    const float *peek = call->peek ? call->peek + n * H : NULL;
    float *h = new_floats(layers * H), *c = new_floats(layers * H);
    float *weights = new_floats(call->Te);
    for (ptrdiff_t i = 0; i < layers * H; ++i) {
        const ptrdiff_t from = (i / H * N + n) * H + i % H;
        h[i] = call->h0[from];
        c[i] = call->c0 ? call->c0[from] : 0.0f;
    }
    memset(weights, 0, (size_t)call->Te * sizeof(float));
    double log_probability = 0;
    ptrdiff_t taken = 0;
    int64_t id = call->start_id;
    while (taken < limit && (taken == 0 || id != call->end_id)) {
        const int arrays = allocation_count;
        step_layers(k, call, peek, id, h, c);
        id = choose_by_layers(k, call, n, peek, h + (layers - 1) * H, weights, &log_probability);
        free_arrays_from(arrays);
        call->ids[n * call->steps + taken++] = id;
    }
    for (ptrdiff_t step = taken; step < call->steps; ++step) {
        call->ids[n * call->steps + step] = call->end_id < 0 ? 0 : call->end_id;
    }
    call->taken[n] = taken;
    if (call->log_probabilities) {
        call->log_probabilities[n] = log_probability;
    }
    for (ptrdiff_t i = 0; i < layers * H; ++i) {
        const ptrdiff_t to = (i / H * N + n) * H + i % H;
        call->h[to] = h[i];
        if (call->c) {
            call->c[to] = c[i];
        }
    }
    if (call->weights) {
        memcpy(call->weights + n * call->Te, weights, (size_t)call->Te * sizeof(float));
    }
}

/* ---- checks ---- */

/* Whether rows [first, N) of two calls have the same results. */
static int same_decoding(const fs_decode *a, const fs_decode *b, ptrdiff_t first) {
    const ptrdiff_t N = a->N, H = a->H, rows = N - first;
    int same = memcmp(a->taken + first, b->taken + first, (size_t)rows * sizeof *a->taken) == 0;
    same &= memcmp(a->ids + first * a->steps, b->ids + first * a->steps,
                   (size_t)(rows * a->steps) * sizeof *a->ids) == 0;
    if (a->log_probabilities) {
        same &= memcmp(a->log_probabilities + first, b->log_probabilities + first,
                       (size_t)rows * sizeof(double)) == 0;
    }
    for (ptrdiff_t i = 0; i < a->layers; ++i) {
        const ptrdiff_t from = (i * N + first) * H;
        same &= same_bits(a->h + from, b->h + from, rows * H);
        same &= a->c == NULL || same_bits(a->c + from, b->c + from, rows * H);
    }
    if (a->weights) {
        same &= same_bits(a->weights + first * a->Te, b->weights + first * a->Te, rows * a->Te);
    }
    return same;
}

/* Initial states, and peek, in the memory of the results. */
static void check_decoding_in_place(const fs_kernels *k, const fs_decode *clean) {
    const ptrdiff_t states = clean->layers * clean->N * clean->H;
    fs_decode call = *clean;
    new_decoding_results(&call, clean->log_probabilities != NULL);
    memcpy(call.h, call.h0, (size_t)states * sizeof(float));
    call.peek = call.peek ? call.h + (call.peek - call.h0) : NULL;
    call.h0 = call.h;
    if (call.c0) {
        memcpy(call.c, call.c0, (size_t)states * sizeof(float));
        call.c0 = call.c;
    }
    run_decoding(k, &call, THREADS);
    expect(same_decoding(&call, clean, 0), "h and c may be h0 and c0");
}

static void check_decoding_nan(const fs_kernels *k, const fs_decode *clean) {
    const ptrdiff_t limit = clean->limits ? clean->limits[0] : clean->steps;
    fs_decode call = *clean;
    new_decoding_results(&call, clean->log_probabilities != NULL);
    float *h0 = new_copy(call.h0, call.layers * call.N * call.H);
    h0[call.H - 1] = NAN;
    call.peek = call.peek ? h0 + (call.peek - call.h0) : NULL;
    call.h0 = h0;
    run_decoding(k, &call, 1);
    expect(same_decoding(&call, clean, 1), "NaN stays in its row");
    if (limit > 0) {
        int fills = 1;
        for (ptrdiff_t j = 0; j < call.H; ++j) {
            fills &= isnan(call.h[j]) != 0;
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
        decode_by_layers(k, &expected, n);
    }
    for (int threads = 1; threads <= THREADS + 1; ++threads) {
        new_decoding_results(&call, form.log_probabilities);
        run_decoding(k, &call, threads);
        expect(same_decoding(&call, &expected, 0), "results equal those of the layers");
    }
    if (N * call.H > 0) {
        check_decoding_in_place(k, &call);
        check_decoding_nan(k, &call);
        float *h = expected.h + N * call.H / 2;
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
