/* kernels/additive_attention.h — the weights of additive attention, for all decoder steps.
 *
 *     scores_de = sum_h v_h tanh(enc_eh + dec_dh);   weights = softmax(scores)
 *
 * The values of tanh, (N,Td,Te,H), are not stored but recomputed in backward. Storing them pays
 * only while they stay in cache: with AVX-512, N 128, Td 10 and H 256, forward and backward take
 * 1.3 ms with recomputation and 1.0 ms with storage for Te 10 (13 MB, in cache), but 3.7 ms and 4.0
 * ms for Te 29; and storage evicts the data that a training step reads next. */
#ifndef FS_ADDITIVE_ATTENTION_H
#define FS_ADDITIVE_ATTENTION_H

/* Encoder steps per block, which loads dec and v once. */
#define ADDITIVE_STEPS 4
/* The cost of one element, in operations, for the number of threads. */
#define ADDITIVE_OPERATIONS 30.0

typedef struct {
    float *weights;
    float *denc, *ddec, *dv_of_rows, *scratch;
    const float *enc, *dec, *v, *given_weights, *dweights;
    fs_attention_size size;
} additive_call;

/* scores[e] for `steps` encoder steps and one decoder step. Every element is summed lane by lane in
 * ascending h, then across lanes. */
static inline __attribute__((always_inline)) void additive_block(float *scores, const float *enc,
                                                                 const float *dec, const float *v,
                                                                 ptrdiff_t H, const int steps) {
    vf sum[ADDITIVE_STEPS];
#pragma GCC unroll 4
    for (int e = 0; e < steps; ++e) {
        sum[e] = vf_set(0.0f);
    }
    for (ptrdiff_t h = 0; h < H; h += FS_LANES) {
        const vf d = load_lanes(dec + h, H - h);
        const vf v_h = load_lanes(v + h, H - h);
#pragma GCC unroll 4
        for (int e = 0; e < steps; ++e) {
            const vf y = vf_tanh(vf_add(load_lanes(enc + e * H + h, H - h), d));
            sum[e] = vf_fma(v_h, y, sum[e]);
        }
    }
#pragma GCC unroll 4
    for (int e = 0; e < steps; ++e) {
        scores[e] = vf_reduce_add(sum[e]);
    }
}

static void additive_scores(float *scores, const float *enc, ptrdiff_t te, const float *dec,
                            const float *v, ptrdiff_t H) {
    ptrdiff_t e = 0;
    for (; e + ADDITIVE_STEPS <= te; e += ADDITIVE_STEPS) {
        additive_block(scores + e, enc + e * H, dec, v, H, ADDITIVE_STEPS);
    }
    for (; e < te; ++e) {
        additive_block(scores + e, enc + e * H, dec, v, H, 1);
    }
}

static void additive_forward_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const additive_call *r = argument;
    const ptrdiff_t Te = r->size.Te, Td = r->size.Td, H = r->size.H;
    (void)rank;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t te = encoder_steps(&r->size, n), td = decoder_steps(&r->size, n);
        const float *enc = r->enc + n * Te * H;
        const float *dec = r->dec + n * Td * H;
        float *weights = r->weights + n * Td * Te;
        for (ptrdiff_t d = 0; d < td; ++d) {
            additive_scores(weights + d * Te, enc, te, dec + d * H, r->v, H);
        }
        softmax_of_scores(weights, 1.0f, td, te, Te);
        zero_outside(weights, td, te, Td, Te);
    }
}

// forward was: scores_e = sum_h v_h y_eh, y_eh = tanh(enc_eh + dec_h)
static inline __attribute__((always_inline)) void
additive_block_backward(float *denc, float *ddec, float *dv, const float *dscores, const float *enc,
                        const float *dec, const float *v, ptrdiff_t H, const int steps) {
    for (ptrdiff_t h = 0; h < H; h += FS_LANES) {
        const ptrdiff_t remaining = H - h;
        const vf d = load_lanes(dec + h, remaining);
        const vf v_h = load_lanes(v + h, remaining);
        vf ddec_h = load_lanes(ddec + h, remaining);
        vf dv_h = load_lanes(dv + h, remaining);
#pragma GCC unroll 4
        for (int e = 0; e < steps; ++e) {
            const vf y = vf_tanh(vf_add(load_lanes(enc + e * H + h, remaining), d));
            const vf dscore = vf_set(dscores[e]);
            const vf slope = vf_fnma(y, y, vf_set(1.0f));
            const vf dsum = vf_mul(vf_mul(dscore, v_h), slope);
            dv_h = vf_fma(dscore, y, dv_h);
            ddec_h = vf_add(ddec_h, dsum);
            float *denc_h = denc + e * H + h;
            store_lanes(denc_h, vf_add(load_lanes(denc_h, remaining), dsum), remaining);
        }
        store_lanes(ddec + h, ddec_h, remaining);
        store_lanes(dv + h, dv_h, remaining);
    }
}

static void additive_scores_backward(float *denc, float *ddec, float *dv, const float *dscores,
                                     const float *enc, ptrdiff_t te, const float *dec,
                                     const float *v, ptrdiff_t H) {
    ptrdiff_t e = 0;
    for (; e + ADDITIVE_STEPS <= te; e += ADDITIVE_STEPS) {
        additive_block_backward(denc + e * H, ddec, dv, dscores + e, enc + e * H, dec, v, H,
                                ADDITIVE_STEPS);
    }
    for (; e < te; ++e) {
        additive_block_backward(denc + e * H, ddec, dv, dscores + e, enc + e * H, dec, v, H, 1);
    }
}

static void additive_backward_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const additive_call *r = argument;
    const ptrdiff_t Te = r->size.Te, Td = r->size.Td, H = r->size.H;
    float *dscores = r->scratch + rank * Td * Te;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t te = encoder_steps(&r->size, n), td = decoder_steps(&r->size, n);
        const float *enc = r->enc + n * Te * H;
        const float *dec = r->dec + n * Td * H;
        float *denc = r->denc + n * Te * H;
        float *ddec = r->ddec + n * Td * H;
        float *dv = r->dv_of_rows + n * H;
        softmax_of_scores_backward(dscores, r->dweights + n * Td * Te,
                                   r->given_weights + n * Td * Te, 1.0f, td, te, Te);
        zero_rows(denc, 0, Te, H);
        zero_rows(ddec, 0, Td, H);
        zero_rows(dv, 0, 1, H);
        for (ptrdiff_t d = 0; d < td; ++d) {
            additive_scores_backward(denc, ddec + d * H, dv, dscores + d * Te, enc, te, dec + d * H,
                                     r->v, H);
        }
    }
}

static double additive_operations(const fs_attention_size *size) {
    return ADDITIVE_OPERATIONS * (double)size->N * (double)size->Te * (double)size->Td *
           (double)size->H;
}

static void additive_weights_forward(float *weights, const float *enc, const float *dec,
                                     const float *v, fs_attention_size size,
                                     const fs_context *context) {
    additive_call rows = {.weights = weights, .enc = enc, .dec = dec, .v = v, .size = size};
    parallel_for(context, size.N, additive_operations(&size), additive_forward_task, &rows);
}

/* dscores (Td,Te) of each rank, then dv (H) of each row. */
static ptrdiff_t additive_backward_floats(fs_attention_size size, const fs_context *context) {
    const int ranks = parallel_ranks(context, size.N, additive_operations(&size));
    return ranks * size.Td * size.Te + size.N * size.H;
}

static void additive_weights_backward(float *denc, float *ddec, float *dv, float *scratch,
                                      const float *dweights, const float *enc, const float *dec,
                                      const float *v, const float *weights, fs_attention_size size,
                                      const fs_context *context) {
    additive_call rows = {.denc = denc,
                          .ddec = ddec,
                          .dv_of_rows = scratch,
                          .scratch = scratch + size.N * size.H,
                          .enc = enc,
                          .dec = dec,
                          .v = v,
                          .given_weights = weights,
                          .dweights = dweights,
                          .size = size};
    parallel_for(context, size.N, additive_operations(&size), additive_backward_task, &rows);
    // each batch row sums its own part of dv, so that the order does not depend on the threads
    sum_rows(dv, rows.dv_of_rows, size.N, size.H);
}

#endif
