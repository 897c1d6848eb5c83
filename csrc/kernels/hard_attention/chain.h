/* kernels/hard_attention/chain.h — the sum over all paths of positions: the forward algorithm over
 * all steps of a batch, and its gradients. See fs_hard_attention. */
#ifndef FS_HARD_CHAIN_H
#define FS_HARD_CHAIN_H

/* The cost of an emission, in operations, for the number of threads. */
#define EMISSION_OPERATIONS 60.0

typedef struct {
    const fs_hard_attention *call;
    float *scratch; /* (ranks, rank_floats), aligned */
    ptrdiff_t rank_floats;
} chain_call;

/* The memory of one rank: of a step, or of backward of all steps of a row. */
typedef struct {
    float *q;         /* (steps,Te,V) */
    float *priors;    /* (steps,Te), only of backward */
    double *inverses; /* (steps,Te); so are belief and norms */
    double *belief, *norms;
    double *jumps, *sums;                      /* (steps,J); (Te,J) */
    double *given, *totals;                    /* (Te); (V) */
    double *dbelief, *djoint, *dprior, *dsums; /* (Te), only of backward; dsums (Te,J) */
} chain_memory;

static ptrdiff_t place_chain(chain_memory *m, const fs_hard_attention *call, float *memory,
                             int backward) {
    const ptrdiff_t Te = call->size.Te, V = call->V, steps = backward ? call->size.Td : 1;
    arena scratch = {.memory = memory};
    m->inverses = arena_allocate_doubles(&scratch, steps * Te);
    m->belief = arena_allocate_doubles(&scratch, steps * Te);
    m->norms = arena_allocate_doubles(&scratch, steps * Te);
    m->jumps = arena_allocate_doubles(&scratch, steps * FS_JUMPS);
    m->sums = arena_allocate_doubles(&scratch, Te * FS_JUMPS);
    m->given = arena_allocate_doubles(&scratch, Te);
    m->totals = arena_allocate_doubles(&scratch, V);
    m->dbelief = arena_allocate_doubles(&scratch, backward ? Te : 0);
    m->djoint = arena_allocate_doubles(&scratch, backward ? Te : 0);
    m->dprior = arena_allocate_doubles(&scratch, backward ? Te : 0);
    m->dsums = arena_allocate_doubles(&scratch, backward ? Te * FS_JUMPS : 0);
    m->q = arena_allocate(&scratch, steps * Te * V);
    m->priors = arena_allocate(&scratch, backward ? steps * Te : 0);
    return round_up(scratch.used, CACHE_LINE_BYTES / (ptrdiff_t)sizeof(float));
}

static chain_step step_of_memory(const chain_memory *m, ptrdiff_t step, ptrdiff_t te, ptrdiff_t Te,
                                 ptrdiff_t V) {
    return (chain_step){.te = te,
                        .V = V,
                        .q = m->q + step * Te * V,
                        .inverses = m->inverses + step * Te,
                        .jumps = m->jumps + step * FS_JUMPS,
                        .belief = m->belief + step * Te,
                        .norms = m->norms + step * Te,
                        .sums = m->sums};
}

/* belief <- of row n before its first step. */
static void first_belief(double *belief, const chain_step *s, const fs_hard_attention *call,
                         ptrdiff_t n) {
    const ptrdiff_t Te = call->size.Te;
    if (call->priors_before == NULL) {
        begin_belief(belief, s->te);
        return;
    }
    compute_emissions(s, call->scores_before + n * Te * call->V);
    update_belief(belief, s, call->priors_before + n * Te, call->ids[n * call->size.Td]);
}

static void hard_forward_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const chain_call *r = argument;
    const fs_hard_attention *call = r->call;
    const ptrdiff_t Te = call->size.Te, Td = call->size.Td, V = call->V;
    chain_memory m;
    place_chain(&m, call, r->scratch + rank * r->rank_floats, 0);
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t te = encoder_steps(&call->size, n), td = decoder_steps(&call->size, n);
        const chain_step s = step_of_memory(&m, 0, te, Te, V);
        for (ptrdiff_t d = 0; d < td; ++d) {
            const ptrdiff_t step = n * Td + d;
            float *prior = call->priors + step * Te;
            if (d == 0) {
                first_belief(s.belief, &s, call, n);
            } else {
                update_belief(s.belief, &s, prior - Te, call->ids[step]);
            }
            compute_emissions(&s, call->scores + step * Te * V);
            compute_prior(prior, &s, call->content + step * Te, call->jump_scores + step * FS_JUMPS,
                          m.given);
            compute_totals(m.totals, &s, prior);
            log_of_totals(call->log_p + step * V, m.totals, V);
        }
        zero_outside(call->priors + n * Td * Te, td, te, Td, Te);
        zero_rows(call->log_p + n * Td * V, td, Td, V);
    }
}

/* dscores (te,V) of one step, from dtotals (V), and djoint (te) of the symbol that was written
 * unless that is negative; sets dprior (te). */
// forward was: totals = sum of prior_e emission_e, emission = softmax(scores)
static void emissions_backward(float *dscores, double *dprior, const chain_step *s,
                               const float *prior, const double *dtotals, const double *djoint,
                               int64_t id) {
    const ptrdiff_t V = s->V;
    for (ptrdiff_t e = 0; e < s->te; ++e) {
        const float *q = s->q + e * V;
        double mean = 0;
        for (ptrdiff_t v = 0; v < V; ++v) {
            mean += fourth_power(q[v]) * dtotals[v];
        }
        mean *= s->inverses[e];
        if (id >= 0) {
            mean += emission(s, e, id) * djoint[e];
        }
        dprior[e] = mean; /* also that of the softmax, divided by the prior */
        const double weight = prior[e] * s->inverses[e];
        for (ptrdiff_t v = 0; v < V; ++v) {
            dscores[e * V + v] = (float)(weight * fourth_power(q[v]) * (dtotals[v] - mean));
        }
        if (id >= 0) {
            const double p = emission(s, e, id);
            dscores[e * V + id] = (float)(prior[e] * p * (dtotals[id] + djoint[e] - mean));
        }
    }
}

/* djoint (te) <- from dbelief (te) of the step after. */
// forward was: belief = joint / sum of joint, joint = prior emission of the id
static void belief_backward(double *djoint, const double *dbelief, const chain_step *s,
                            const float *prior, int64_t id) {
    double total = 0, mean = 0;
    for (ptrdiff_t e = 0; e < s->te; ++e) {
        const double joint = prior[e] * emission(s, e, id);
        total += joint;
        mean += joint * dbelief[e];
    }
    for (ptrdiff_t e = 0; e < s->te; ++e) {
        djoint[e] = (dbelief[e] - mean / total) / total;
    }
}

/* dcontent (te), djump_scores (J) and dbelief (te) of one step from dprior (te). */
// forward was: prior = content sum over jumps of jumps reached, reached = by jump belief / norms
static void prior_backward(float *dcontent, float *djump_scores, const chain_memory *m,
                           const chain_step *s, const float *content) {
    double djumps[FS_JUMPS] = {0};
    divide_belief(s, m->given);
    for (ptrdiff_t e = 0; e < s->te; ++e) {
        const double *reached = s->sums + e * FS_JUMPS;
        const double dsum = m->dprior[e] * content[e];
        for (ptrdiff_t k = 0; k < FS_JUMPS; ++k) {
            djumps[k] += dsum * reached[k];
        }
        m->djoint[e] = m->dprior[e] * weigh_jumps(reached, s->jumps); /* of the content */
        m->dbelief[e] = dsum;
    }
    sum_by_jump(m->dsums, m->dbelief, s->te, 1);
    for (ptrdiff_t e = 0; e < s->te; ++e) {
        m->dbelief[e] = weigh_jumps(m->dsums + e * FS_JUMPS, s->jumps) / s->norms[e];
        m->given[e] *= -m->dbelief[e]; /* the gradient of the norm */
        m->dprior[e] = content[e];
    }
    // forward was: norms = sum over jumps of jumps reachable, reachable = by jump content
    sum_by_jump(s->sums, m->dprior, s->te, 1);
    sum_by_jump(m->dsums, m->given, s->te, 0);
    for (ptrdiff_t e = 0; e < s->te; ++e) {
        for (ptrdiff_t k = 0; k < FS_JUMPS; ++k) {
            djumps[k] += m->given[e] * s->sums[e * FS_JUMPS + k];
        }
        dcontent[e] = (float)(m->djoint[e] + weigh_jumps(m->dsums + e * FS_JUMPS, s->jumps));
    }
    // forward was: jumps = softmax(jump_scores)
    const double mean = weigh_jumps(djumps, s->jumps);
    for (ptrdiff_t k = 0; k < FS_JUMPS; ++k) {
        djump_scores[k] = (float)(s->jumps[k] * (djumps[k] - mean));
    }
}

/* The steps of row n again, each kept. */
static void repeat_forward(const chain_memory *m, const fs_hard_attention *call, ptrdiff_t n,
                           ptrdiff_t te, ptrdiff_t td) {
    const ptrdiff_t Te = call->size.Te, V = call->V;
    for (ptrdiff_t d = 0; d < td; ++d) {
        const ptrdiff_t step = n * call->size.Td + d;
        const chain_step s = step_of_memory(m, d, te, Te, V);
        if (d == 0) {
            begin_belief(s.belief, te);
        } else {
            const chain_step before = step_of_memory(m, d - 1, te, Te, V);
            update_belief(s.belief, &before, m->priors + (d - 1) * Te, call->ids[step]);
        }
        compute_emissions(&s, call->scores + step * Te * V);
        compute_prior(m->priors + d * Te, &s, call->content + step * Te,
                      call->jump_scores + step * FS_JUMPS, m->given);
    }
}

static void hard_backward_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const chain_call *r = argument;
    const fs_hard_attention *call = r->call;
    const ptrdiff_t Te = call->size.Te, Td = call->size.Td, V = call->V;
    chain_memory m;
    place_chain(&m, call, r->scratch + rank * r->rank_floats, 1);
    for (ptrdiff_t n = begin; n < end; ++n) {
        const ptrdiff_t te = encoder_steps(&call->size, n), td = decoder_steps(&call->size, n);
        repeat_forward(&m, call, n, te, td);
        for (ptrdiff_t d = td - 1; d >= 0; --d) {
            const ptrdiff_t step = n * Td + d;
            const chain_step s = step_of_memory(&m, d, te, Te, V);
            const float *prior = m.priors + d * Te, *dlog_p = call->dlog_p + step * V;
            float *dscores = call->dscores + step * Te * V;
            const int64_t id = d + 1 < td ? call->ids[step + 1] : -1;
            if (id >= 0) {
                belief_backward(m.djoint, m.dbelief, &s, prior, id);
            }
            // forward was: log_p = log(totals)
            compute_totals(m.totals, &s, prior);
            for (ptrdiff_t v = 0; v < V; ++v) {
                m.totals[v] = dlog_p[v] / m.totals[v];
            }
            emissions_backward(dscores, m.dprior, &s, prior, m.totals, m.djoint, id);
            prior_backward(call->dcontent + step * Te, call->djump_scores + step * FS_JUMPS, &m, &s,
                           call->content + step * Te);
            zero_rows(dscores, te, Te, V);
        }
        zero_rows(call->dscores + n * Td * Te * V, td, Td, Te * V);
        zero_outside(call->dcontent + n * Td * Te, td, te, Td, Te);
        zero_rows(call->djump_scores + n * Td * FS_JUMPS, td, Td, FS_JUMPS);
    }
}

static double chain_operations(const fs_hard_attention *call) {
    const fs_attention_size *s = &call->size;
    return EMISSION_OPERATIONS * (double)s->N * (double)s->Td * (double)s->Te * (double)call->V;
}

static ptrdiff_t hard_attention_floats(const fs_hard_attention *call, const fs_context *context) {
    const int ranks = parallel_ranks(context, call->size.N, chain_operations(call));
    chain_memory m;
    return ALIGNMENT_FLOATS + ranks * place_chain(&m, call, NULL, call->dlog_p != NULL);
}

static void run_chain(const fs_hard_attention *call, range_task task, const fs_context *context) {
    chain_memory m;
    chain_call rows = {.call = call,
                       .scratch = align_to_cache_line(call->scratch),
                       .rank_floats = place_chain(&m, call, NULL, call->dlog_p != NULL)};
    parallel_for(context, call->size.N, chain_operations(call), task, &rows);
}

static void hard_attention_forward(const fs_hard_attention *call, const fs_context *context) {
    run_chain(call, hard_forward_task, context);
}

static void hard_attention_backward(const fs_hard_attention *call, const fs_context *context) {
    run_chain(call, hard_backward_task, context);
}

#endif
