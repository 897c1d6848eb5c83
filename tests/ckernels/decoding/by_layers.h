/* decoding/by_layers.h — greedy decoding with the kernels of each step, one row at a time. */
#ifndef CHECK_DECODING_BY_LAYERS_H
#define CHECK_DECODING_BY_LAYERS_H

#include "case.h"

/* to <- [left, right] */
static void put_beside(float *to, const float *left, ptrdiff_t before, const float *right,
                       ptrdiff_t width) {
    for (ptrdiff_t j = 0; j < before + width; ++j) {
        to[j] = j < before ? left[j] : right[j - before];
    }
}

/* One step of all layers: h and c (layers,H) of one row, with an id as input. */
static void step_layers(const fs_kernels *k, const fs_decoder *own, const float *peek, int64_t id,
                        float *h, float *c) {
    const fs_context alone = context_of(1);
    const ptrdiff_t D = own->D, H = own->H, before = peek ? H : 0;
    float *embedded = new_floats(D), *x = new_floats(before + D), *hs = new_floats(H);
    k->embedding_forward(embedded, own->embedding, &id, 1, D, &alone);
    put_beside(x, peek, before, embedded, D);
    for (ptrdiff_t i = 0; i < own->layers; ++i) {
        const ptrdiff_t inputs = i ? H : before + D;
        const fs_recurrent_size size = {
            .cell = own->cell, .directions = 1, .N = 1, .T = 1, .D = inputs, .H = H};
        const fs_recurrent_forward step = {
            .hs = hs,
            .h = h + i * H,
            .c = c + i * H,
            .cache = new_floats(k->recurrent_cache_floats(&size)),
            .scratch = new_floats(k->recurrent_forward_floats(&size, &alone)),
            .xs = i ? h + (i - 1) * H : x,
            .h0 = h + i * H,
            .c0 = c + i * H,
            .weights = {own->recurrent[i]},
            .size = size};
        k->recurrent_forward(&step, &alone);
    }
}

/* One row of the batch by one decoder. */
typedef struct {
    const fs_decoder *own;
    ptrdiff_t n, te;
    const float *peek;
    float *h, *c, *weights, *log_p; /* (layers,H); (Te) and (V) of the last step */
    float *scores, *scores_before;  /* of all positions, (Te,V); also of the step before */
    float *priors_before;           /* (Te) */
    int has_step;
} decoded_row;

static decoded_row new_decoded_row(const fs_decode *call, const fs_decoder *own, ptrdiff_t n) {
    const ptrdiff_t H = own->H, V = call->V;
    decoded_row row = {.own = own,
                       .n = n,
                       .te = call->encoder_lengths ? call->encoder_lengths[n] : own->Te,
                       .peek = own->peek ? own->peek + n * H : NULL,
                       .h = new_floats(own->layers * H),
                       .c = new_floats(own->layers * H),
                       .weights = new_floats(own->Te),
                       .log_p = new_floats(V),
                       .scores = new_floats(own->Te * V),
                       .scores_before = new_floats(own->Te * V),
                       .priors_before = new_floats(own->Te)};
    for (ptrdiff_t i = 0; i < own->layers * H; ++i) {
        const ptrdiff_t from = (i / H * call->N + n) * H + i % H;
        row.h[i] = own->h0[from];
        row.c[i] = own->c0 ? own->c0[from] : 0.0f;
    }
    memset(row.weights, 0, (size_t)own->Te * sizeof(float));
    return row;
}

/* a and its width: of h (H), after attention over the encoder states. */
static ptrdiff_t attend_in_row(const fs_kernels *k, const decoded_row *r, const float *h,
                               float *a) {
    const fs_context alone = context_of(1);
    const fs_decoder *own = r->own;
    const ptrdiff_t H = own->H, from = r->n * own->Te * H;
    const fs_attention_size size = {
        .N = 1, .Te = own->Te, .Td = 1, .H = H, .encoder_lengths = &r->te};
    float *query = new_copy(h, H), *context = new_floats(H), *both = new_floats(2 * H);
    if (own->W_query.data) {
        k->affine_forward(query, h, own->W_query, NULL, 0, 1, H, H, &alone);
    }
    if (own->keys) {
        k->additive_weights_forward(r->weights, own->keys + from, query, own->v, size, &alone);
        k->weighted_sum_forward(context, own->enc + from, r->weights, size, &alone);
    } else {
        k->attention_forward(context, r->weights, own->enc + from, query, own->scale, size, &alone);
    }
    put_beside(both, context, H, h, H);
    if (own->W_combine.data == NULL) {
        memcpy(a, both, (size_t)(2 * H) * sizeof(float));
        return 2 * H;
    }
    k->affine_forward(a, both, own->W_combine, own->b_combine, 0, 1, 2 * H, H, &alone);
    k->tanh(a, a, H);
    return H;
}

/* log_p and weights of hard attention after an id was read. */
static void attend_hard_in_row(const fs_kernels *k, decoded_row *r, const float *h, int64_t id,
                               ptrdiff_t V) {
    const fs_context alone = context_of(1);
    const fs_decoder *own = r->own;
    const ptrdiff_t H = own->H, Te = own->Te, from = r->n * Te * H;
    const fs_attention_size size = {.N = 1, .Te = r->te, .Td = 1, .H = H};
    float *query = new_floats(H), *part = new_floats(H), *jumps = new_floats(FS_JUMPS);
    float *content = new_floats(r->te), *a = new_floats(r->te * H);
    memcpy(r->scores_before, r->scores, (size_t)(Te * V) * sizeof(float));
    memcpy(r->priors_before, r->weights, (size_t)Te * sizeof(float));
    k->affine_forward(query, h, own->W_query, NULL, 0, 1, H, H, &alone);
    k->affine_forward(part, h, own->W_combine, own->b_combine, 0, 1, H, H, &alone);
    k->affine_forward(jumps, h, own->W_jump, own->b_jump, 0, 1, H, FS_JUMPS, &alone);
    k->attention_weights_forward(content, own->enc + from, query, 1.0f, size, &alone);
    k->position_features_forward(a, own->keys + from, part, NULL, size, &alone);
    k->affine_forward(r->scores, a, own->W, own->b, 0, r->te, H, V, &alone);
    fs_hard_attention call = {.log_p = r->log_p,
                              .priors = r->weights,
                              .scores = r->scores,
                              .content = content,
                              .jump_scores = jumps,
                              .ids = &id,
                              .priors_before = r->has_step ? r->priors_before : NULL,
                              .scores_before = r->has_step ? r->scores_before : NULL,
                              .size = size,
                              .V = V};
    call.scratch = new_floats(k->hard_attention_floats(&call, &alone));
    k->hard_attention_forward(&call, &alone);
}

/* The ranked scores of the next symbol after an id was read, also in log_p. */
static const float *step_row(const fs_kernels *k, const fs_decode *call, decoded_row *r,
                             int64_t id) {
    const fs_context alone = context_of(1);
    const fs_decoder *own = r->own;
    const ptrdiff_t H = own->H, V = call->V, before = r->peek ? H : 0;
    const float *h = r->h + (own->layers - 1) * H;
    float *a = new_floats(2 * H), *scores = new_floats(V), *output = new_floats(before + 2 * H);
    ptrdiff_t width = H;
    step_layers(k, own, r->peek, id, r->h, r->c);
    if (own->W_jump.data) {
        attend_hard_in_row(k, r, h, id, V);
        r->has_step = 1;
        return r->log_p;
    }
    memcpy(a, h, (size_t)H * sizeof(float));
    if (own->enc) {
        width = attend_in_row(k, r, h, a);
    }
    put_beside(output, r->peek, before, a, width);
    k->affine_forward(scores, output, own->W, own->b, 0, 1, before + width, V, &alone);
    k->log_softmax(r->log_p, scores, 1, V, &alone);
    return call->log_probabilities ? r->log_p : scores;
}

/* The next id, and its log probability. */
static int64_t choose_by_layers(const fs_kernels *k, const fs_decode *call, decoded_row *rows,
                                int64_t id, double *log_probability) {
    const fs_context alone = context_of(1);
    const ptrdiff_t V = call->V;
    float *each = new_floats(call->count * V), *mean = new_floats(V);
    const float *ranked = mean;
    for (ptrdiff_t i = 0; i < call->count; ++i) {
        ranked = step_row(k, call, &rows[i], id);
        memcpy(each + i * V, rows[i].log_p, (size_t)V * sizeof(float));
    }
    k->log_mean_exp(mean, each, call->count, 1, V, &alone);
    if (call->count > 1) {
        ranked = mean;
    }
    int64_t best = call->first_id;
    for (int64_t v = best; v < V && !isnan(ranked[best]); ++v) {
        best = isnan(ranked[v]) || ranked[v] > ranked[best] ? v : best;
    }
    *log_probability += (double)mean[best];
    return best;
}

static void decode_by_layers(const fs_kernels *k, const fs_decode *call, ptrdiff_t n) {
    const ptrdiff_t limit = call->limits ? call->limits[n] : call->steps;
    decoded_row rows[MOST_DECODERS];
    for (ptrdiff_t i = 0; i < call->count; ++i) {
        rows[i] = new_decoded_row(call, &call->decoders[i], n);
    }
    double log_probability = 0;
    ptrdiff_t taken = 0;
    int64_t id = call->start_id;
    while (taken < limit && (taken == 0 || id != call->end_id)) {
        const int arrays = allocation_count;
        id = choose_by_layers(k, call, rows, id, &log_probability);
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
    for (ptrdiff_t k2 = 0; k2 < call->count; ++k2) {
        const fs_decoder *own = &call->decoders[k2];
        const ptrdiff_t H = own->H;
        for (ptrdiff_t i = 0; i < own->layers * H; ++i) {
            const ptrdiff_t to = (i / H * call->N + n) * H + i % H;
            own->h[to] = rows[k2].h[i];
            if (own->c) {
                own->c[to] = rows[k2].c[i];
            }
        }
        if (own->weights) {
            memcpy(own->weights + n * own->Te, rows[k2].weights, (size_t)own->Te * sizeof(float));
        }
    }
}

#endif
