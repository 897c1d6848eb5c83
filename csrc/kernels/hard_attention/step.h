/* kernels/hard_attention/step.h — one step of the chain of positions of hard attention.
 *
 * The chain is computed in double precision: its probabilities may be as small as those of a symbol
 * and of a jump together. Emissions e are stored as q, e = q^4 / sum of q^4, which float32 holds
 * down to exp(LEAST_EMISSION). Sums over positions are in ascending order. */
#ifndef FS_HARD_STEP_H
#define FS_HARD_STEP_H

/* The lowest logarithm of an emission, relative to the highest of its position, and the lowest
 * probability of a jump: so nothing that is divided by is 0. */
#define LEAST_EMISSION (-300.0f)
#define LEAST_JUMP 1e-30

/* The values of one step of one row with te positions. */
typedef struct {
    ptrdiff_t te, V;
    float *q;         /* (te,V), see above */
    double *inverses; /* (te), 1 / sum of q^4 */
    double *jumps;    /* (J), their probabilities */
    double *belief;   /* (te), of the position before */
    double *norms;    /* (te), of the moves from each position */
    double *sums;     /* (te,J), working memory */
} chain_step;

static double fourth_power(float q) {
    const double square = (double)q * (double)q;
    return square * square;
}

static double emission(const chain_step *s, ptrdiff_t e, ptrdiff_t v) {
    return fourth_power(s->q[e * s->V + v]) * s->inverses[e];
}

/* Sets q and inverses from scores (te,V), which may be q. */
static void compute_emissions(const chain_step *s, const float *scores) {
    const ptrdiff_t V = s->V;
    for (ptrdiff_t e = 0; e < s->te; ++e) {
        const float *x = scores + e * V;
        float *q = s->q + e * V;
        const vf shift = vf_set(row_maximum(x, V));
        for (ptrdiff_t v = 0; v < V; v += FS_LANES) {
            const vf score = vf_sub(load_lanes(x + v, V - v), shift);
            const vf kept = vf_max(vf_set(LEAST_EMISSION), score);
            store_lanes(q + v, vf_exp(vf_mul(kept, vf_set(0.25f))), V - v);
        }
        double sum = 0;
        for (ptrdiff_t v = 0; v < V; ++v) {
            sum += fourth_power(q[v]);
        }
        s->inverses[e] = 1 / sum;
    }
}

/* sums (n,J) <- for each position j and jump the x of the position i = j - jump that it comes from;
 * of the first and the last jump, which stand for all beyond them too, the sum of their x.
 * Mirrored: of the position i = j + jump that it leads to. */
static void sum_by_jump(double *sums, const double *x, ptrdiff_t n, int mirrored) {
    const ptrdiff_t last = n - 1;
    double beyond = 0;
    for (ptrdiff_t j = 0; j < n; ++j) {
        double *to = sums + (mirrored ? last - j : j) * FS_JUMPS;
        for (ptrdiff_t jump = FS_SMALLEST_JUMP + 1; jump < FS_LARGEST_JUMP; ++jump) {
            const ptrdiff_t i = j - jump;
            to[jump - FS_SMALLEST_JUMP] = i < 0 || i > last ? 0 : x[mirrored ? last - i : i];
        }
        const ptrdiff_t i = j - FS_LARGEST_JUMP;
        if (i >= 0) {
            beyond += x[mirrored ? last - i : i];
        }
        to[FS_JUMPS - 1] = beyond;
    }
    beyond = 0;
    for (ptrdiff_t j = last; j >= 0; --j) {
        const ptrdiff_t i = j - FS_SMALLEST_JUMP;
        if (i <= last) {
            beyond += x[mirrored ? last - i : i];
        }
        sums[(mirrored ? last - j : j) * FS_JUMPS] = beyond;
    }
}

static double weigh_jumps(const double *sums, const double *jumps) {
    double total = 0;
    for (ptrdiff_t k = 0; k < FS_JUMPS; ++k) {
        total += sums[k] * jumps[k];
    }
    return total;
}

/* jumps (J) <- softmax of scores (J), but at least LEAST_JUMP. */
static void compute_jumps(double *jumps, const float *scores) {
    float p[FS_JUMPS];
    softmax_row(p, scores, FS_JUMPS);
    for (ptrdiff_t k = 0; k < FS_JUMPS; ++k) {
        jumps[k] = p[k] < LEAST_JUMP ? LEAST_JUMP : (double)p[k];
    }
}

/* given (te) <- the belief divided by the norms; sums <- by the jumps that lead to a position. */
static void divide_belief(const chain_step *s, double *given) {
    for (ptrdiff_t e = 0; e < s->te; ++e) {
        given[e] = s->belief[e] / s->norms[e];
    }
    sum_by_jump(s->sums, given, s->te, 0);
}

/* prior (te), and jumps and norms of s, from its belief; given (te) is working memory. */
static void compute_prior(float *prior, const chain_step *s, const float *content,
                          const float *jump_scores, double *given) {
    compute_jumps(s->jumps, jump_scores);
    for (ptrdiff_t e = 0; e < s->te; ++e) {
        given[e] = content[e];
    }
    sum_by_jump(s->sums, given, s->te, 1);
    for (ptrdiff_t e = 0; e < s->te; ++e) {
        s->norms[e] = weigh_jumps(s->sums + e * FS_JUMPS, s->jumps);
    }
    divide_belief(s, given);
    for (ptrdiff_t e = 0; e < s->te; ++e) {
        prior[e] = (float)(content[e] * weigh_jumps(s->sums + e * FS_JUMPS, s->jumps));
    }
}

/* totals (V), the probability of each symbol. */
static void compute_totals(double *totals, const chain_step *s, const float *prior) {
    for (ptrdiff_t v = 0; v < s->V; ++v) {
        totals[v] = 0;
    }
    for (ptrdiff_t e = 0; e < s->te; ++e) {
        const double weight = prior[e] * s->inverses[e];
        const float *q = s->q + e * s->V;
        for (ptrdiff_t v = 0; v < s->V; ++v) {
            totals[v] += weight * fourth_power(q[v]);
        }
    }
}

/* The belief (te) after a symbol; may be that of s. */
static void update_belief(double *belief, const chain_step *s, const float *prior, int64_t id) {
    double total = 0;
    for (ptrdiff_t e = 0; e < s->te; ++e) {
        belief[e] = prior[e] * emission(s, e, id);
        total += belief[e];
    }
    for (ptrdiff_t e = 0; e < s->te; ++e) {
        belief[e] /= total;
    }
}

/* Before the first symbol the position is the first. */
static void begin_belief(double *belief, ptrdiff_t te) {
    for (ptrdiff_t e = 0; e < te; ++e) {
        belief[e] = e == 0;
    }
}

static void log_of_totals(float *log_p, const double *totals, ptrdiff_t V) {
    for (ptrdiff_t v = 0; v < V; ++v) {
        log_p[v] = (float)log(totals[v]);
    }
}

#endif
