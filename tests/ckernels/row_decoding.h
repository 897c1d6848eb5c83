/* row_decoding.h — greedy decoding of one source against the kernels of each step, which have checks
 * of their own: not close but equal. Shape layers, V, D, H. */
#ifndef CHECK_ROW_DECODING_H
#define CHECK_ROW_DECODING_H

#include "check.h"

#define ROW_STEPS 5
#define ROW_TE 3
#define MOST_LAYERS 65

/* What a decoder may have besides its recurrent layers. */
typedef struct {
    fs_cell cell;
    int peeky, attends, queries, additive;
} row_form;

static fs_decode_row new_row_case(const ptrdiff_t *shape, row_form form) {
    static fs_recurrent_weights recurrent[MOST_LAYERS];
    const ptrdiff_t layers = shape[0], V = shape[1], D = shape[2], H = shape[3];
    const ptrdiff_t columns = (form.cell == FS_LSTM ? 4 : 3) * H;
    for (ptrdiff_t i = 0; i < layers; ++i) {
        const ptrdiff_t first = D + (form.peeky ? H : 0);
        recurrent[i] = (fs_recurrent_weights){.Wx = new_matrix(i ? H : first, columns, 1),
                                              .Wh = new_matrix(H, columns, 1),
                                              .b = new_uniform(columns, 1)};
    }
    fs_decode_row call = {.h0 = new_uniform(layers * H, 1),
                          .c0 = form.cell == FS_LSTM ? new_uniform(layers * H, 1) : NULL,
                          .peek = form.peeky ? new_uniform(H, 1) : NULL,
                          .recurrent = recurrent,
                          .embedding = new_matrix(V, D, 1),
                          .W = new_matrix(form.peeky ? 2 * H : H, V, 1),
                          .b = new_uniform(V, 1),
                          .cell = form.cell,
                          .scale = 0.5f,
                          .start_id = 1,
                          .first_id = V / 3,
                          .end_id = -1,
                          .steps = ROW_STEPS,
                          .layers = layers,
                          .V = V,
                          .D = D,
                          .H = H};
    if (form.attends) {
        call.Te = ROW_TE;
        call.enc = new_uniform(ROW_TE * H, 1);
        call.W_combine = new_matrix(2 * H, H, 1);
        call.b_combine = new_uniform(H, 1);
        call.W_query = form.queries ? new_matrix(H, H, 1) : call.W_query;
        call.keys = form.additive ? new_uniform(ROW_TE * H, 1) : NULL;
        call.v = form.additive ? new_uniform(H, 1) : NULL;
    }
    return call;
}

static void run_row(const fs_kernels *k, fs_decode_row *call) {
    call->ids = new_ids(call->steps);
    call->taken = new_array((ptrdiff_t)sizeof *call->taken, 0);
    call->log_probability = new_doubles(1);
    call->scratch = new_floats(k->decode_row_floats(call));
    k->decode_row(call);
    ran("decode_row");
}

/* log p (V) after one more id, by one call of each kernel; h and c (layers,H) move on. */
static void row_step_by_layers(const fs_kernels *k, const fs_decode_row *call, int64_t id, float *h,
                               float *c, float *log_p) {
    const ptrdiff_t H = call->H, D = call->D, V = call->V, before = call->peek ? H : 0;
    float *embedded = new_floats(D), *x = new_floats(before + D), *hs = new_floats(H);
    k->embedding_forward(embedded, call->embedding, &id, 1, D, THREADS);
    put_beside(x, call->peek, before, embedded, D, 1);
    for (ptrdiff_t i = 0; i < call->layers; ++i) {
        const fs_recurrent_size size = {
            .cell = call->cell, .directions = 1, .N = 1, .T = 1, .D = i ? H : before + D, .H = H};
        fs_recurrent_forward step = {.hs = hs,
                                     .h = h + i * H,
                                     .c = c + i * H,
                                     .cache = new_floats(k->recurrent_cache_floats(&size)),
                                     .scratch = new_floats(k->recurrent_forward_floats(&size)),
                                     .xs = i ? h + (i - 1) * H : x,
                                     .h0 = h + i * H,
                                     .c0 = c + i * H,
                                     .weights = {call->recurrent[i]},
                                     .size = size};
        k->recurrent_forward(&step, THREADS);
    }
    float *a = new_copy(h + (call->layers - 1) * H, H);
    if (call->enc) {
        const fs_attention_size size = {.N = 1, .Te = call->Te, .Td = 1, .H = H};
        float *query = new_copy(a, H), *weights = new_floats(call->Te);
        float *context = new_floats(H), *both = new_floats(2 * H);
        if (call->W_query.data) {
            k->affine_forward(query, a, call->W_query, NULL, 0, 1, H, H, THREADS);
        }
        if (call->keys) {
            k->additive_weights_forward(weights, call->keys, query, call->v, size, THREADS);
        } else {
            k->attention_weights_forward(weights, call->enc, query, call->scale, size, THREADS);
        }
        k->weighted_sum_forward(context, call->enc, weights, size, THREADS);
        put_beside(both, context, H, a, H, 1);
        k->affine_forward(a, both, call->W_combine, call->b_combine, 0, 1, 2 * H, H, THREADS);
        k->tanh(a, a, H);
    }
    float *output = new_floats(before + H), *scores = new_floats(V);
    put_beside(output, call->peek, before, a, H, 1);
    k->affine_forward(scores, output, call->W, call->b, 0, 1, before + H, V, THREADS);
    k->log_softmax(log_p, scores, 1, V, THREADS);
}

static void check_row_form(const fs_kernels *k, const ptrdiff_t *shape, row_form form) {
    fs_decode_row call = new_row_case(shape, form);
    const ptrdiff_t states = call.layers * call.H;
    run_row(k, &call);
    float *h = new_copy(call.h0, states), *c = call.c0 ? new_copy(call.c0, states) : NULL;
    float *log_p = new_floats(call.V);
    double total = 0;
    expect(*call.taken == call.steps, "without an end it takes all steps");
    for (ptrdiff_t step = 0; step < *call.taken; ++step) {
        const int arrays = allocation_count;
        row_step_by_layers(k, &call, step ? call.ids[step - 1] : call.start_id, h, c, log_p);
        free_arrays_from(arrays);
        ptrdiff_t best = call.first_id;
        for (ptrdiff_t v = call.first_id; v < call.V; ++v) {
            best = log_p[v] > log_p[best] ? v : best;
        }
        expect(call.ids[step] == best, "the ids are those of the layers");
        total += (double)log_p[best];
    }
    expect(*call.log_probability == total, "the log probability is that of the layers");

    fs_decode_row ending = call;
    ending.end_id = call.ids[ROW_STEPS / 2];
    if (ending.end_id != ending.start_id) {
        run_row(k, &ending);
        const ptrdiff_t taken = *ending.taken;
        expect(taken <= ROW_STEPS / 2 + 1 && ending.ids[taken - 1] == ending.end_id,
               "it ends with the end");
        expect(memcmp(ending.ids, call.ids, (size_t)taken * sizeof(int64_t)) == 0,
               "up to there nothing changes");
    }
    fs_decode_row dirty = call;
    float *b = new_copy(call.b, call.V);
    b[call.V - 1] = NAN;
    dirty.b = b;
    run_row(k, &dirty);
    expect(isnan(*dirty.log_probability), "NaN shows in the log probability");
    expect(dirty.ids[0] == dirty.first_id, "of what is all NaN the first is taken");
}

static void check_row_decoding(const fs_kernels *k, const ptrdiff_t *shape) {
    const row_form forms[] = {
        {.cell = FS_LSTM},
        {.cell = FS_GRU, .peeky = 1},
        {.cell = FS_LSTM, .attends = 1},
        {.cell = FS_GRU, .attends = 1, .queries = 1},
        {.cell = FS_LSTM, .peeky = 1, .attends = 1, .queries = 1, .additive = 1},
    };
    if (shape[0] == 0 || shape[1] < 2) {
        return; /* there is no layer, or no id to choose */
    }
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; ++i) {
        const int arrays = allocation_count;
        check_row_form(k, shape, forms[i]);
        free_arrays_from(arrays);
    }
}

#endif
