/* kernels/hard_attention/features.h — the features of every source position with every decoder
 * step, from which the emissions of hard attention are computed. */
#ifndef FS_HARD_FEATURES_H
#define FS_HARD_FEATURES_H

/* The cost of one element, in operations, for the number of threads. */
#define FEATURE_OPERATIONS 30.0

typedef struct {
    float *a, *denc, *ddec;
    const float *enc, *dec, *mask, *given_a, *da;
    fs_attention_size size;
} features_call;

/* a (te,H) = tanh(enc_e + dec) mask of one decoder step, mask NULL for ones. */
static void features_of_step(float *a, const float *enc, const float *dec, const float *mask,
                             ptrdiff_t te, ptrdiff_t H) {
    for (ptrdiff_t e = 0; e < te; ++e) {
        for (ptrdiff_t h = 0; h < H; h += FS_LANES) {
            const ptrdiff_t i = e * H + h, remaining = H - h;
            const vf sum = vf_add(load_lanes(enc + i, remaining), load_lanes(dec + h, remaining));
            const vf y = vf_tanh(sum);
            store_lanes(a + i, mask ? vf_mul(y, load_lanes(mask + h, remaining)) : y, remaining);
        }
    }
}

static void features_forward_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const features_call *r = argument;
    const ptrdiff_t Te = r->size.Te, Td = r->size.Td, H = r->size.H;
    (void)rank;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t te = encoder_steps(&r->size, n), td = decoder_steps(&r->size, n);
        float *a = r->a + n * Td * Te * H;
        for (ptrdiff_t d = 0; d < td; ++d) {
            const ptrdiff_t from = (n * Td + d) * H;
            features_of_step(a + d * Te * H, r->enc + n * Te * H, r->dec + from,
                             r->mask ? r->mask + from : NULL, te, H);
            zero_rows(a + d * Te * H, te, Te, H);
        }
        zero_rows(a, td, Td, Te * H);
    }
}

// forward was: a = y mask, y = tanh(enc + dec); dsum = da mask (1 - y^2)
static void features_of_step_backward(float *denc, float *ddec, const float *da, const float *a,
                                      const float *mask, ptrdiff_t te, ptrdiff_t H) {
    const vf one = vf_set(1.0f), zero = vf_set(0.0f);
    for (ptrdiff_t h = 0; h < H; h += FS_LANES) {
        const ptrdiff_t remaining = H - h;
        const vf scale = mask ? load_lanes(mask + h, remaining) : one;
        /* where the mask is 0, so is dsum, whatever y is */
        const vf inverse = vf_select(vf_less(zero, vf_abs(scale)), vf_div(one, scale), zero);
        vf ddec_h = zero;
        for (ptrdiff_t e = 0; e < te; ++e) {
            const ptrdiff_t i = e * H + h;
            const vf y = vf_mul(load_lanes(a + i, remaining), inverse);
            const vf dy = vf_mul(load_lanes(da + i, remaining), scale);
            const vf dsum = vf_mul(dy, vf_fnma(y, y, one));
            ddec_h = vf_add(ddec_h, dsum);
            store_lanes(denc + i, vf_add(load_lanes(denc + i, remaining), dsum), remaining);
        }
        store_lanes(ddec + h, ddec_h, remaining);
    }
}

static void features_backward_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const features_call *r = argument;
    const ptrdiff_t Te = r->size.Te, Td = r->size.Td, H = r->size.H;
    (void)rank;
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t te = encoder_steps(&r->size, n), td = decoder_steps(&r->size, n);
        float *denc = r->denc + n * Te * H, *ddec = r->ddec + n * Td * H;
        zero_rows(denc, 0, Te, H);
        for (ptrdiff_t d = 0; d < td; ++d) {
            const ptrdiff_t step = n * Td + d;
            features_of_step_backward(denc, ddec + d * H, r->da + step * Te * H,
                                      r->given_a + step * Te * H,
                                      r->mask ? r->mask + step * H : NULL, te, H);
        }
        zero_rows(ddec, td, Td, H);
    }
}

static void run_features(features_call rows, range_task task, const fs_context *context) {
    const fs_attention_size s = rows.size;
    const double elements = (double)s.N * (double)s.Td * (double)s.Te * (double)s.H;
    parallel_for(context, s.N, FEATURE_OPERATIONS * elements, task, &rows);
}

static void position_features_forward(float *a, const float *enc, const float *dec,
                                      const float *mask, fs_attention_size size,
                                      const fs_context *context) {
    run_features((features_call){.a = a, .enc = enc, .dec = dec, .mask = mask, .size = size},
                 features_forward_task, context);
}

static void position_features_backward(float *denc, float *ddec, const float *da, const float *a,
                                       const float *mask, fs_attention_size size,
                                       const fs_context *context) {
    run_features(
        (features_call){
            .denc = denc, .ddec = ddec, .da = da, .given_a = a, .mask = mask, .size = size},
        features_backward_task, context);
}

#endif
