/* decoding.h — greedy decoding against the kernels of each step, which have checks of their own:
 * not close but equal. Shape N, V, D, H. */
#ifndef CHECK_DECODING_H
#define CHECK_DECODING_H

#include "check.h"

#define DECODING_STEPS 4
#define DECODING_TE 3

static fs_greedy_decode new_greedy_case(const ptrdiff_t *shape, int peeky, int attends) {
    fs_greedy_decode call = {.N = shape[0],
                             .steps =
                                 shape[1] > 0 ? DECODING_STEPS : 0, /* there is no id to read */
                             .Te = attends ? DECODING_TE : 0,
                             .V = shape[1],
                             .D = shape[2],
                             .H = shape[3],
                             .start_id = shape[1] / 2};
    const ptrdiff_t H = call.H;
    const ptrdiff_t X = call.D + (peeky ? H : 0);
    call.h0 = new_uniform(call.N * H, 1);
    call.peek = peeky ? call.h0 : NULL;
    call.enc = attends ? new_uniform(call.N * call.Te * H, 1) : NULL;
    call.lstm.Wx = new_matrix(X, 4 * H, 1);
    call.lstm.Wh = new_matrix(H, 4 * H, 1);
    call.lstm.b = new_uniform(4 * H, 1);
    call.embedding = new_matrix(call.V, call.D, 1);
    call.W = new_matrix(peeky || attends ? 2 * H : H, call.V, 1);
    call.b = new_uniform(call.V, 1);
    return call;
}

static void new_greedy_results(fs_greedy_decode *call) {
    call->ids = new_ids(call->N * call->steps);
    call->h = new_floats(call->N * call->H);
    call->c = new_floats(call->N * call->H);
    call->weights = call->enc ? new_floats(call->N * call->Te) : NULL;
}

static void run_greedy(const fs_kernels *k, fs_greedy_decode *call) {
    new_greedy_results(call);
    call->scratch = new_floats(k->greedy_decode_floats(call));
    k->greedy_decode(call, THREADS);
    ran("greedy_decode");
}

/* to (N, before + width) <- [left, right] in each row */
static void put_beside(float *to, const float *left, ptrdiff_t before, const float *right,
                       ptrdiff_t width, ptrdiff_t N) {
    for (ptrdiff_t n = 0; n < N; ++n) {
        for (ptrdiff_t j = 0; j < before + width; ++j) {
            to[n * (before + width) + j] =
                j < before ? left[n * before + j] : right[n * width + j - before];
        }
    }
}

/* The same by one call of each layer's kernel a step; the ids read are those in call->ids, those
 * found go into `found`. */
static void greedy_by_layers(const fs_kernels *k, const fs_greedy_decode *call, int64_t *found,
                             float *h, float *c, float *weights) {
    const ptrdiff_t N = call->N, V = call->V, D = call->D, H = call->H;
    const ptrdiff_t X = call->D + (call->peek ? H : 0);
    const ptrdiff_t beside = call->peek || call->enc ? H : 0;
    const fs_recurrent_size size = {
        .cell = FS_LSTM, .directions = 1, .N = N, .T = 1, .D = X, .H = H};
    const fs_attention_size attention = {.N = N, .Te = call->Te, .Td = 1, .H = H};
    int64_t *ids = new_ids(N);
    float *embedded = new_floats(N * D), *xs = new_floats(N * X), *hs = new_floats(N * H);
    float *contexts = new_floats(N * H), *features = new_floats(N * (beside + H));
    float *scores = new_floats(N * V);
    float *cache = new_floats(k->recurrent_cache_floats(&size));
    float *scratch = new_floats(k->recurrent_forward_floats(&size));
    memcpy(h, call->h0, (size_t)(N * H) * sizeof(float));
    memset(c, 0, (size_t)(N * H) * sizeof(float));
    for (ptrdiff_t step = 0; step < call->steps; ++step) {
        for (ptrdiff_t n = 0; n < N; ++n) {
            ids[n] = step > 0 ? call->ids[n * call->steps + step - 1] : call->start_id;
        }
        k->embedding_forward(embedded, call->embedding, ids, N, D, THREADS);
        put_beside(xs, call->peek, X - D, embedded, D, N);
        fs_recurrent_forward lstm = {.hs = hs,
                                     .h = h,
                                     .c = c,
                                     .cache = cache,
                                     .scratch = scratch,
                                     .xs = xs,
                                     .h0 = h,
                                     .c0 = c,
                                     .weights = {call->lstm},
                                     .size = size};
        k->recurrent_forward(&lstm, THREADS);
        if (call->enc) {
            k->attention_forward(contexts, weights, call->enc, hs, 1.0f, attention, THREADS);
        }
        put_beside(features, call->enc ? contexts : call->peek, beside, hs, H, N);
        k->affine_forward(scores, features, call->W, call->b, 0, N, beside + H, V, THREADS);
        for (ptrdiff_t n = 0; n < N; ++n) {
            const float *row = scores + n * V;
            ptrdiff_t best = 0;
            for (ptrdiff_t v = 0; v < V; ++v) {
                if (isnan(row[v])) {
                    best = v;
                    break;
                }
                best = row[v] > row[best] ? v : best;
            }
            found[n * call->steps + step] = best;
        }
    }
}

static void check_greedy_form(const fs_kernels *k, const ptrdiff_t *shape, int peeky, int attends) {
    fs_greedy_decode call = new_greedy_case(shape, peeky, attends);
    const ptrdiff_t N = call.N, H = call.H, Te = call.Te;
    const size_t id_bytes = (size_t)(N * call.steps) * sizeof(int64_t);
    run_greedy(k, &call);
    int64_t *ids = new_ids(N * call.steps);
    float *h = new_floats(N * H), *c = new_floats(N * H), *weights = new_floats(N * Te);
    greedy_by_layers(k, &call, ids, h, c, weights);
    ran("greedy_decode");
    expect(memcmp(ids, call.ids, id_bytes) == 0, "the ids are those of the layers");
    expect(same_bits(h, call.h, N * H), "h has the bits of the layers");
    expect(same_bits(c, call.c, N * H), "c has the bits of the layers");
    expect(call.steps == 0 || same_bits(weights, call.weights ? call.weights : weights, N * Te),
           "the weights have the bits of the layers");
    if (N * H > 0 && call.steps > 0) {
        h[N * H / 2] = nextafterf(h[N * H / 2], 2);
        expect(!same_bits(h, call.h, N * H), "a fault is noticed");
    }

    /* each row alone, and NaN in the first */
    fs_greedy_decode alone = call;
    for (ptrdiff_t n = 0; n < N && n < 2; ++n) {
        alone.N = 1;
        alone.h0 = call.h0 + n * H;
        alone.peek = call.peek ? call.peek + n * H : NULL;
        alone.enc = call.enc ? call.enc + n * Te * H : NULL;
        run_greedy(k, &alone);
        expect(memcmp(alone.ids, call.ids + n * call.steps, (size_t)call.steps * sizeof(int64_t)) ==
                   0,
               "a row has the same ids alone");
        expect(same_bits(alone.c, call.c + n * H, H), "a row has the same bits alone");
    }
    if (N > 0 && H > 0 && call.steps > 0) {
        fs_greedy_decode dirty = call;
        float *h0 = new_copy(call.h0, N * H);
        h0[H - 1] = NAN;
        dirty.h0 = h0;
        dirty.peek = call.peek ? h0 : NULL;
        run_greedy(k, &dirty);
        expect_nan_in_first_row(dirty.h, call.h, N, H);
        expect(dirty.ids[0] == 0, "of scores that are all NaN the first is taken");
    }
}

static void check_decoding(const fs_kernels *k, const ptrdiff_t *shape) {
    check_greedy_form(k, shape, 0, 0);
    check_greedy_form(k, shape, 1, 0);
    check_greedy_form(k, shape, 0, 1);
}

#endif
