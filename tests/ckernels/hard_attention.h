/* hard_attention.h — hard attention compared with double precision: the moves between all
 * positions as a matrix, and the gradients of each of its elements. Shape N, Te, Td, V; of the
 * features N, Te, Td, H. */
#ifndef CHECK_HARD_ATTENTION_H
#define CHECK_HARD_ATTENTION_H

#include "attention.h"
#include "check.h"

/* Inputs are NaN past a row's steps, results must be 0 there. */
typedef struct {
    fs_attention_size size;
    ptrdiff_t V;
    const float *scores, *content, *jump_scores, *dlog_p;
    const int64_t *ids;
    double *log_p, *priors, *dscores, *dcontent, *djump_scores;
} hard_case;

/* ---- double precision ---- */

static ptrdiff_t kind_of_jump(ptrdiff_t jump) {
    const ptrdiff_t least = jump < FS_SMALLEST_JUMP ? FS_SMALLEST_JUMP : jump;
    return (least > FS_LARGEST_JUMP ? FS_LARGEST_JUMP : least) - FS_SMALLEST_JUMP;
}

/* What the oracle computes of each step of one row. */
typedef struct {
    double *emissions; /* (td,te,V) */
    double *moves;     /* (td,te,te) */
    double *beliefs;   /* (td,te) */
    double *jumps;     /* (td,J) */
} oracle_chain;

static oracle_chain oracle_row_forward(const hard_case *c, ptrdiff_t n, ptrdiff_t te,
                                       ptrdiff_t td) {
    const ptrdiff_t Te = c->size.Te, Td = c->size.Td, V = c->V;
    const oracle_chain o = {new_zeros(td * te * V), new_zeros(td * te * te), new_zeros(td * te),
                            new_zeros(td * FS_JUMPS)};
    for (ptrdiff_t d = 0; d < td; ++d) {
        const ptrdiff_t step = n * Td + d;
        double *belief = o.beliefs + d * te, *jumps = o.jumps + d * FS_JUMPS;
        for (ptrdiff_t k = 0; k < FS_JUMPS; ++k) {
            jumps[k] = c->jump_scores[step * FS_JUMPS + k];
        }
        oracle_softmax(jumps, jumps, FS_JUMPS);
        double total = 0;
        for (ptrdiff_t e = 0; e < te; ++e) {
            double *p = o.emissions + (d * te + e) * V;
            for (ptrdiff_t v = 0; v < V; ++v) {
                p[v] = c->scores[(step * Te + e) * V + v];
            }
            oracle_softmax(p, p, V);
            belief[e] = e == 0;
            if (d > 0) {
                const double before = o.emissions[((d - 1) * te + e) * V + c->ids[step]];
                belief[e] = c->priors[(step - 1) * Te + e] * before;
            }
            total += belief[e];
        }
        for (ptrdiff_t i = 0; i < te; ++i) {
            double *moves = o.moves + (d * te + i) * te, norm = 0;
            belief[i] /= total;
            for (ptrdiff_t e = 0; e < te; ++e) {
                moves[e] = c->content[step * Te + e] * jumps[kind_of_jump(e - i)];
                norm += moves[e];
            }
            for (ptrdiff_t e = 0; e < te; ++e) {
                moves[e] /= norm;
                c->priors[step * Te + e] += belief[i] * moves[e];
            }
        }
        for (ptrdiff_t v = 0; v < V; ++v) {
            double p = 0;
            for (ptrdiff_t e = 0; e < te; ++e) {
                p += c->priors[step * Te + e] * o.emissions[(d * te + e) * V + v];
            }
            c->log_p[step * V + v] = log(p);
        }
    }
    return o;
}

/* dx = p (dp - p . dp), of a softmax. */
static void oracle_softmax_gradient(double *dx, const double *p, const double *dp, ptrdiff_t n) {
    double mean = 0;
    for (ptrdiff_t i = 0; i < n; ++i) {
        mean += p[i] * dp[i];
    }
    for (ptrdiff_t i = 0; i < n; ++i) {
        dx[i] = p[i] * (dp[i] - mean);
    }
}

static void oracle_row_backward(const hard_case *c, ptrdiff_t n, ptrdiff_t te, ptrdiff_t td,
                                oracle_chain o) {
    const ptrdiff_t Te = c->size.Te, Td = c->size.Td, V = c->V;
    double *demission = new_zeros(te * V), *dprior = new_zeros(te), *dlikely = new_zeros(te);
    double *dmoves = new_zeros(te), *dlogs = new_zeros(te), *dbelief = new_zeros(te);
    for (ptrdiff_t d = td - 1; d >= 0; --d) {
        const ptrdiff_t step = n * Td + d;
        const double *prior = c->priors + step * Te;
        for (ptrdiff_t e = 0; e < te; ++e) {
            const double *p = o.emissions + (d * te + e) * V;
            dprior[e] = 0;
            for (ptrdiff_t v = 0; v < V; ++v) {
                const ptrdiff_t at = step * V + v;
                const double later = d + 1 < td && c->ids[step + 1] == v ? dlikely[e] : 0;
                const double djoint = c->dlog_p[at] / exp(c->log_p[at]) + later;
                dprior[e] += djoint * p[v];
                demission[e * V + v] = djoint * prior[e];
            }
            oracle_softmax_gradient(c->dscores + (step * Te + e) * V, p, demission + e * V, V);
        }
        double djumps[FS_JUMPS] = {0}, *jumps = o.jumps + d * FS_JUMPS;
        double mean_belief = 0, reading = 0;
        for (ptrdiff_t i = 0; i < te; ++i) {
            const double *moves = o.moves + (d * te + i) * te;
            dbelief[i] = 0;
            for (ptrdiff_t e = 0; e < te; ++e) {
                dmoves[e] = o.beliefs[d * te + i] * dprior[e];
                dbelief[i] += moves[e] * dprior[e];
            }
            oracle_softmax_gradient(dlogs, moves, dmoves, te);
            for (ptrdiff_t e = 0; e < te; ++e) {
                c->dcontent[step * Te + e] += dlogs[e] / c->content[step * Te + e];
                djumps[kind_of_jump(e - i)] += dlogs[e] / jumps[kind_of_jump(e - i)];
            }
            mean_belief += o.beliefs[d * te + i] * dbelief[i];
            if (d > 0) {
                const double likely = o.emissions[((d - 1) * te + i) * V + c->ids[step]];
                reading += c->priors[(step - 1) * Te + i] * likely;
            }
        }
        oracle_softmax_gradient(c->djump_scores + step * FS_JUMPS, jumps, djumps, FS_JUMPS);
        for (ptrdiff_t e = 0; e < te; ++e) {
            dlikely[e] = (dbelief[e] - mean_belief) / reading;
        }
    }
}

/* ---- the case ---- */

static hard_case new_hard_case(const ptrdiff_t *shape, int with_lengths) {
    const ptrdiff_t N = shape[0], Te = shape[1], Td = shape[2], V = shape[3];
    const ptrdiff_t *encoder_lengths = with_lengths ? new_lengths(N, Te, 1) : NULL;
    const ptrdiff_t *decoder_lengths = with_lengths ? new_lengths(N, Td, 0) : NULL;
    float *content = new_floats(N * Td * Te), *scores = new_uniform(N * Td * Te * V, 2);
    int64_t *ids = new_ids(N * Td);
    hard_case c = {
        .size = {N, Te, Td, 0, encoder_lengths, decoder_lengths},
        .V = V,
        .scores = scores,
        .content = content,
        .jump_scores = new_padded(decoder_lengths, N, Td, FS_JUMPS, 2),
        .dlog_p = new_padded(decoder_lengths, N, Td, V, 1),
        .ids = ids,
        .log_p = new_zeros(N * Td * V),
        .priors = new_zeros(N * Td * Te),
        .dscores = new_zeros(N * Td * Te * V),
        .dcontent = new_zeros(N * Td * Te),
        .djump_scores = new_zeros(N * Td * FS_JUMPS),
    };
    for (ptrdiff_t i = 0; i < N * Td; ++i) {
        const ptrdiff_t n = i / Td, te = encoder_lengths ? encoder_lengths[n] : Te;
        const int is_real = decoder_lengths == NULL || i % Td < decoder_lengths[n];
        double total = 0;
        ids[i] = (i * 7 + 3) % V;
        for (ptrdiff_t e = 0; e < Te; ++e) {
            content[i * Te + e] = is_real && e < te ? 1 + next_uniform(0.9) : NAN;
            total += e < te ? content[i * Te + e] : 0;
            for (ptrdiff_t v = 0; v < V; ++v) {
                float *score = scores + (i * Te + e) * V + v;
                *score = is_real && e < te ? *score : NAN;
            }
        }
        for (ptrdiff_t e = 0; e < te; ++e) {
            content[i * Te + e] = (float)(content[i * Te + e] / total);
        }
    }
    for (ptrdiff_t n = 0; n < N; ++n) {
        const int arrays = allocation_count;
        const ptrdiff_t te = encoder_lengths ? encoder_lengths[n] : Te;
        const ptrdiff_t td = decoder_lengths ? decoder_lengths[n] : Td;
        oracle_row_backward(&c, n, te, td, oracle_row_forward(&c, n, te, td));
        free_arrays_from(arrays);
    }
    return c;
}

static fs_hard_attention call_of_case(const hard_case *c) {
    return (fs_hard_attention){.scores = c->scores,
                               .content = c->content,
                               .jump_scores = c->jump_scores,
                               .ids = c->ids,
                               .size = c->size,
                               .V = c->V};
}

static void run_hard_forward(const fs_kernels *k, fs_hard_attention *call) {
    const ptrdiff_t steps = call->size.N * call->size.Td;
    call->log_p = new_floats(steps * call->V);
    call->priors = new_floats(steps * call->size.Te);
    call->scratch = new_floats(SLOT(k, hard_attention_floats)(call, &test_context));
    SLOT(k, hard_attention_forward)(call, &test_context);
    ran("hard_attention_forward");
}

/* ---- checks ---- */

/* Row n alone, without padding, and its steps one by one, each from the values of the last. */
static void check_hard_row(const fs_kernels *k, const fs_hard_attention *whole, ptrdiff_t n) {
    const ptrdiff_t Te = whole->size.Te, Td = whole->size.Td, V = whole->V;
    const ptrdiff_t te = whole->size.encoder_lengths ? whole->size.encoder_lengths[n] : Te;
    const ptrdiff_t td = whole->size.decoder_lengths ? whole->size.decoder_lengths[n] : Td;
    const int arrays = allocation_count;
    fs_hard_attention before = {.V = V};
    for (ptrdiff_t d = 0; d < td; ++d) {
        const ptrdiff_t step = n * Td + d;
        fs_hard_attention one = {.scores = whole->scores + step * Te * V,
                                 .content = whole->content + step * Te,
                                 .jump_scores = whole->jump_scores + step * FS_JUMPS,
                                 .ids = whole->ids + step,
                                 .priors_before = before.priors,
                                 .scores_before = before.scores,
                                 .size = {.N = 1, .Te = te, .Td = 1},
                                 .V = V};
        run_hard_forward(k, &one);
        expect(same_bits(one.log_p, whole->log_p + step * V, V), "a step has the same bits alone");
        expect(same_bits(one.priors, whole->priors + step * Te, te),
               "a step's priors have the same bits alone");
        before = one;
    }
    free_arrays_from(arrays);
}

static void check_hard_nan(const fs_kernels *k, const hard_case *c,
                           const fs_hard_attention *clean) {
    const ptrdiff_t N = c->size.N, Td = c->size.Td;
    if (N * Td == 0 || (c->size.decoder_lengths && c->size.decoder_lengths[0] == 0)) {
        return;
    }
    float *jump_scores = new_copy(c->jump_scores, N * Td * FS_JUMPS);
    jump_scores[1] = NAN;
    fs_hard_attention dirty = call_of_case(c);
    dirty.jump_scores = jump_scores;
    run_hard_forward(k, &dirty);
    int fills = 1;
    for (ptrdiff_t v = 0; v < c->V; ++v) {
        fills &= isnan(dirty.log_p[v]) != 0;
    }
    expect(fills, "NaN fills the step");
    expect(same_bits(dirty.log_p + Td * c->V, clean->log_p + Td * c->V, (N - 1) * Td * c->V),
           "NaN stays in its row");
}

static void check_hard_case(const fs_kernels *k, const ptrdiff_t *shape, int with_lengths) {
    const hard_case c = new_hard_case(shape, with_lengths);
    const ptrdiff_t N = c.size.N, Te = c.size.Te, Td = c.size.Td, V = c.V, steps = N * Td;
    const ptrdiff_t length = V + Te * (Td + FS_JUMPS);
    fs_hard_attention call = call_of_case(&c);
    run_hard_forward(k, &call);
    expect_close("log_p", call.log_p, c.log_p, steps * V, length, 1);
    expect_close("priors", call.priors, c.priors, steps * Te, length, 0);
    for (ptrdiff_t n = 0; n < N && steps * Te < 4000; ++n) {
        check_hard_row(k, &call, n);
    }
    check_hard_nan(k, &c, &call);
    call.dlog_p = c.dlog_p;
    call.dscores = new_floats(steps * Te * V);
    call.dcontent = new_floats(steps * Te);
    call.djump_scores = new_floats(steps * FS_JUMPS);
    call.scratch = new_floats(SLOT(k, hard_attention_floats)(&call, &test_context));
    SLOT(k, hard_attention_backward)(&call, &test_context);
    ran("hard_attention_backward");
    expect_close("dscores", call.dscores, c.dscores, steps * Te * V, length, 0);
    expect_close("dcontent", call.dcontent, c.dcontent, steps * Te, length, 1);
    expect_close("djump_scores", call.djump_scores, c.djump_scores, steps * FS_JUMPS, length, 1);
}

static void check_hard_attention(const fs_kernels *k, const ptrdiff_t *shape) {
    if (shape[1] > 0 && shape[3] > 0) { /* there is a position, and a symbol */
        check_hard_case(k, shape, 0);
        check_hard_case(k, shape, 1);
    }
}

/* ---- features ---- */

/* a and its gradients; mask NULL for ones. */
static void oracle_features(double *a, double *denc, double *ddec, const attention_case *c,
                            const float *mask, const float *da) {
    const fs_attention_size *s = &c->size;
    for (ptrdiff_t i = 0; i < s->N * s->Td * s->Te * s->H; ++i) {
        const ptrdiff_t h = i % s->H, e = i / s->H % s->Te, d = i / s->H / s->Te % s->Td;
        const ptrdiff_t n = i / s->H / s->Te / s->Td;
        const int is_real =
            s->encoder_lengths == NULL || (e < s->encoder_lengths[n] && d < s->decoder_lengths[n]);
        const ptrdiff_t enc = (n * s->Te + e) * s->H + h, dec = (n * s->Td + d) * s->H + h;
        if (is_real) {
            const double scale = mask ? mask[dec] : 1;
            const double y = tanh((double)c->enc[enc] + (double)c->dec[dec]);
            const double dsum = da[i] * scale * (1 - y * y);
            a[i] = y * scale;
            denc[enc] += dsum;
            ddec[dec] += dsum;
        }
    }
}

static void check_features_case(const fs_kernels *k, const ptrdiff_t *shape, int with_lengths,
                                int with_mask) {
    const attention_case c = new_case(shape, with_lengths, 1);
    const ptrdiff_t enc = c.size.N * c.size.Te * c.size.H, dec = c.size.N * c.size.Td * c.size.H;
    const ptrdiff_t all = dec * c.size.Te;
    float *mask = with_mask ? new_uniform(dec, 1) : NULL, *a = new_floats(all);
    for (ptrdiff_t i = 0; with_mask && i < dec; ++i) {
        mask[i] = mask[i] > 0 ? 1.5f : 0;
    }
    const float *da = new_uniform(all, 1);
    double *expected = new_zeros(all), *expected_denc = new_zeros(enc);
    double *expected_ddec = new_zeros(dec);
    oracle_features(expected, expected_denc, expected_ddec, &c, mask, da);
    SLOT(k, position_features_forward)(a, c.enc, c.dec, mask, c.size, &test_context);
    ran("position_features_forward");
    expect_close("a", a, expected, all, 1, 1);
    float *denc = new_floats(enc), *ddec = new_floats(dec);
    SLOT(k, position_features_backward)(denc, ddec, da, a, mask, c.size, &test_context);
    ran("position_features_backward");
    expect_close("denc", denc, expected_denc, enc, c.size.Td + 4, 1);
    expect_close("ddec", ddec, expected_ddec, dec, c.size.Te + 4, 1);
}

static void check_features(const fs_kernels *k, const ptrdiff_t *shape) {
    for (int with_mask = 0; with_mask < 2; ++with_mask) {
        check_features_case(k, shape, 0, with_mask);
        if (shape[1] > 0) {
            check_features_case(k, shape, 1, with_mask);
        }
    }
}

#endif
