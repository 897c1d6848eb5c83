/* kernels/decoding/layout.h — the plan of a call of decoding, and its memory layout.
 *
 * Rows are independent. A thread decodes its rows in a few slots (continuous batching): a step
 * computes the rows in all slots together, each at its own step; when a row has ended, the next one
 * takes its slot. In beam search each hypothesis has a slot, and `beam` of them are for a row.
 * Every product sums in the order of the layers' kernels: a row has the same bits
 * as when its steps are computed one by one. All decoders of the call compute a step before its ids
 * are chosen.
 *
 * Weights are packed once for all threads. They are streamed instead if they are read few times, or
 * by a single row, which reads each weight once per step, packed or not.
 *
 *     x        (slots, X)    [peek, embedding] or the embedding; in other layers the h below
 *     combined (slots, 2 H)  [context, h], the factor of W_combine
 *     outputs  (slots, F)    [peek, a]; without W_combine, a is [context, h] or h
 *     log_p    (slots, V)    the scores, or their log softmax
 *
 * Of hard attention, outputs holds h, and combined the part of a that comes from it. */
#ifndef FS_DECODING_LAYOUT_H
#define FS_DECODING_LAYOUT_H

/* Rows that a thread decodes at once: enough to reuse the weights that a step loads, and few enough
 * that the encoder states, which attention reads at each step, stay in cache. */
#define DECODING_SLOTS 24

/* Slots of beam search, unless a row needs more: its hypotheses read the same encoder states. */
#define BEAM_SLOTS 48

/* The cost of packing one weight, in operations, for the number of threads. */
#define PACKING_OPERATIONS 16.0

/* In the order of a step. A projection that a decoder does not have has 0 columns. */
enum {
    QUERY_PROJECTION,
    COMBINE_PROJECTION,
    JUMP_PROJECTION,
    SCORE_PROJECTION,
    DECODING_PROJECTIONS
};

/* The data of one decoder that are common to all threads. */
typedef struct {
    const fs_decoder *decoder;
    ptrdiff_t peek_columns; /* H, or 0 without peek */
    ptrdiff_t X, F;         /* columns of the first layer's x, and of outputs */
    int is_hard;
    recurrent_run *layers; /* (layers), with weights, without memory for rows */
    affine_projection projections[DECODING_PROJECTIONS];
} decoder_plan;

/* The data common to all threads. */
typedef struct {
    const fs_decode *call;
    fs_context single_thread; /* for kernels called inside a task */
    ptrdiff_t rows;           /* that a thread decodes at once */
    ptrdiff_t slots;          /* rows, or in beam search rows times beam */
    int few_reads;            /* whether weights are read too few times for packing to pay */
    double operations;        /* of all steps */
    fs_interrupt *interrupt;  /* of a long call; else NULL */
    double weight_count;      /* of layers and projections */
    ptrdiff_t panels;         /* of their weights */
    decoder_plan *plans;      /* (count) */
    float *rank_memory;       /* (ranks, rank_floats) */
    ptrdiff_t rank_floats;
} decoding_pass;

/* The batch row in a slot, the number of its steps so far, the maximum, and the last id. */
typedef struct {
    ptrdiff_t row, taken, limit;
    int64_t id;
    double total;    /* in beam search, the sum of log p so far */
    ptrdiff_t place; /* in beam search, among the extensions that were chosen with it */
} decoding_slot;

/* A hypothesis extended by an id: in slot `from`. Or one that ended: the extension `from` of those
 * chosen at the last of its steps. */
typedef struct {
    double score, total;
    ptrdiff_t from, steps;
    int64_t id;
} hypothesis;

/* The id of an extension, and the place of what it extends among those of the step before. */
typedef struct {
    int64_t id;
    ptrdiff_t parent;
} beam_link;

/* The search of one row, whose hypotheses are in `count` slots. */
typedef struct {
    ptrdiff_t row, count, ended_count;
    hypothesis *ended;  /* (n_best), best first */
    beam_link *history; /* (steps,beam) */
} beam_row;

/* The data of one rank and decoder. */
typedef struct {
    const decoder_plan *plan;
    recurrent_run *layers;
    float *h; /* of the top layer, in combined or in outputs, with the context before it */
    ptrdiff_t h_row;
    float *combined, *queries, *outputs, *log_p;
    float *weights; /* (slots,Te): attention weights, of hard attention priors, of the step */
    /* of hard attention, with a (Te,H) of one slot */
    float *jump_scores, *content, *a, *q; /* (slots,J), (Te), (Te,H), (slots,Te,V) */
    double *belief, *inverses;            /* (slots,Te) */
    double *jumps, *norms, *sums, *given; /* of one slot: (J), (Te), (Te,J), (Te) */
    double *totals;                       /* (V) */
} decoder_rank;

/* The data of one rank. Rows are in its first `active` slots. */
typedef struct {
    const decoding_pass *pass;
    decoding_slot *slot, *next_slot; /* (slots) */
    ptrdiff_t active;
    beam_row *beams;        /* (rows): of beam search, in the order of the slots */
    ptrdiff_t searched;     /* rows among these */
    hypothesis *chosen;     /* (beam) of one row */
    decoder_rank *decoders; /* (count) */
    float *log_p, *mean;    /* (count,V) and (V) of one slot */
} decoding_rank;

static void *allocate_structures(arena *scratch, ptrdiff_t count, size_t size) {
    assert(size % sizeof(float) == 0); /* the arena allocates floats */
    return arena_allocate(scratch, count * (ptrdiff_t)(size / sizeof(float)));
}

static decoder_plan plan_decoder(const fs_decoder *decoder, ptrdiff_t V) {
    const ptrdiff_t H = decoder->H;
    const int combines = decoder->W_combine.data != NULL;
    decoder_plan plan = {.decoder = decoder,
                         .peek_columns = decoder->peek ? H : 0,
                         .is_hard = decoder->W_jump.data != NULL};
    assert(decoder->layers >= 1 && (decoder->enc || (!combines && !decoder->W_query.data)));
    assert(!plan.is_hard || (combines && decoder->keys && decoder->W_query.data));
    plan.X = plan.peek_columns + decoder->D;
    plan.F = plan.peek_columns + (decoder->enc && !combines ? 2 * H : H);
    plan.projections[QUERY_PROJECTION] =
        (affine_projection){decoder->W_query, NULL, H, decoder->W_query.data ? H : 0, NULL};
    plan.projections[COMBINE_PROJECTION] = (affine_projection){
        decoder->W_combine, decoder->b_combine, plan.is_hard ? H : 2 * H, combines ? H : 0, NULL};
    plan.projections[JUMP_PROJECTION] =
        (affine_projection){decoder->W_jump, decoder->b_jump, H, plan.is_hard ? FS_JUMPS : 0, NULL};
    plan.projections[SCORE_PROJECTION] =
        (affine_projection){decoder->W, decoder->b, plan.F, V, NULL};
    return plan;
}

/* Whether W_combine multiplies [context, h]. */
static int combines_context(const decoder_plan *plan) {
    return plan->decoder->W_combine.data != NULL && !plan->is_hard;
}

static double count_weights(const decoder_plan *plan) {
    const fs_decoder *decoder = plan->decoder;
    const double H = (double)decoder->H, gates = fs_cells[decoder->cell].gates * H;
    double count = gates * ((double)plan->X + H + 2 * (double)(decoder->layers - 1) * H);
    for (int m = 0; m < DECODING_PROJECTIONS; ++m) {
        count += (double)plan->projections[m].depth * (double)plan->projections[m].columns;
    }
    return count;
}

/* The operations of one step of one row. */
static double step_operations(const decoder_plan *plan, ptrdiff_t V) {
    const fs_decoder *decoder = plan->decoder;
    const double states = (double)(decoder->Te * decoder->H);
    double attention = (decoder->v ? 2.0 + ADDITIVE_OPERATIONS : 4.0) * states;
    if (plan->is_hard) {
        const double emissions = (double)(decoder->Te * V);
        attention = (2.0 + FEATURE_OPERATIONS) * states +
                    (2.0 * (double)decoder->H + EMISSION_OPERATIONS) * emissions;
    }
    return 2.0 * count_weights(plan) + attention + SOFTMAX_OPERATIONS * (double)V;
}

static decoding_pass plan_decoding(const fs_decode *call, const fs_context *context) {
    decoding_pass pass = {.call = call, .single_thread = single_threaded(context)};
    const ptrdiff_t of_row = max_size(call->beam, 1),
                    most = call->beam ? BEAM_SLOTS : DECODING_SLOTS;
    pass.rows = min_size(call->N, max_size(most / of_row, 1));
    pass.slots = pass.rows * of_row;
    const ptrdiff_t rows = call->N * of_row;
    pass.few_reads = !PACKS_ALWAYS && (rows == 1 || rows * call->steps <= FEW_ROWS);
    double each_step = 0;
    for (ptrdiff_t k = 0; k < call->count; ++k) {
        const decoder_plan plan = plan_decoder(&call->decoders[k], call->V);
        pass.weight_count += count_weights(&plan);
        each_step += step_operations(&plan, call->V);
    }
    pass.operations = (double)(rows * call->steps) * each_step;
    pass.interrupt = interrupt_of(context, pass.operations);
    return pass;
}

/* A layer that computes one step of all slots. */
static recurrent_run plan_decoding_layer(const decoding_pass *pass, const decoder_plan *plan,
                                         ptrdiff_t layer) {
    const fs_decoder *decoder = plan->decoder;
    fs_recurrent_size size = {.cell = decoder->cell, .directions = 1, .inference = 1, .T = 1};
    size.N = pass->slots;
    size.D = layer > 0 ? decoder->H : plan->X;
    size.H = decoder->H;
    recurrent_run run = plan_recurrent(&size);
    run.few_reads = pass->few_reads;
    return run;
}

/* The place functions set the pointers into `memory`, unless it is NULL, and return its size. */
static ptrdiff_t place_hard(decoder_rank *rank, const decoding_pass *pass, float *memory) {
    const fs_decoder *decoder = rank->plan->decoder;
    const ptrdiff_t Te = decoder->Te, V = pass->call->V, slots = pass->slots;
    arena scratch = {.memory = memory};
    rank->belief = arena_allocate_doubles(&scratch, slots * Te);
    rank->inverses = arena_allocate_doubles(&scratch, slots * Te);
    rank->jumps = arena_allocate_doubles(&scratch, FS_JUMPS);
    rank->norms = arena_allocate_doubles(&scratch, Te);
    rank->sums = arena_allocate_doubles(&scratch, Te * FS_JUMPS);
    rank->given = arena_allocate_doubles(&scratch, Te);
    rank->totals = arena_allocate_doubles(&scratch, V);
    rank->jump_scores = arena_allocate(&scratch, slots * FS_JUMPS);
    rank->content = arena_allocate(&scratch, Te);
    rank->a = arena_allocate(&scratch, Te * decoder->H);
    rank->q = arena_allocate(&scratch, slots * Te * V);
    return scratch.used;
}

static ptrdiff_t place_decoder_rank(decoder_rank *rank, const decoding_pass *pass,
                                    const decoder_plan *plan, float *memory) {
    const fs_decoder *decoder = plan->decoder;
    const ptrdiff_t H = decoder->H, combines = combines_context(plan);
    arena scratch = {.memory = memory};
    *rank = (decoder_rank){.plan = plan};
    rank->layers = allocate_structures(&scratch, decoder->layers, sizeof *rank->layers);
    rank->outputs = arena_allocate(&scratch, pass->slots * plan->F);
    rank->h_row = combines ? 2 * H : plan->F;
    rank->combined = rank->outputs;
    if (combines || plan->is_hard) {
        rank->combined = arena_allocate(&scratch, pass->slots * (combines ? 2 * H : H));
    }
    float *h_rows = combines ? rank->combined : rank->outputs;
    rank->h = memory ? h_rows + rank->h_row - H : NULL;
    rank->queries = arena_allocate(&scratch, decoder->W_query.data ? pass->slots * H : 0);
    rank->log_p = arena_allocate(&scratch, pass->slots * pass->call->V);
    rank->weights = arena_allocate(&scratch, pass->slots * decoder->Te);
    if (plan->is_hard) {
        scratch.used += place_hard(rank, pass, arena_rest(&scratch));
    }
    for (ptrdiff_t layer = 0; layer < decoder->layers; ++layer) {
        recurrent_run run = memory ? plan->layers[layer] : plan_decoding_layer(pass, plan, layer);
        scratch.used += place_cache(&run, arena_rest(&scratch));
        scratch.used += place_step(&run, arena_rest(&scratch));
        if (memory) {
            rank->layers[layer] = run;
        }
    }
    return scratch.used;
}

static ptrdiff_t place_beams(decoding_rank *rank, const decoding_pass *pass, float *memory) {
    const fs_decode *call = pass->call;
    arena scratch = {.memory = memory};
    rank->chosen = allocate_structures(&scratch, call->beam, sizeof *rank->chosen);
    rank->beams = allocate_structures(&scratch, pass->rows, sizeof *rank->beams);
    for (ptrdiff_t i = 0; i < pass->rows; ++i) {
        const beam_row beam = {
            .ended = allocate_structures(&scratch, call->n_best, sizeof *beam.ended),
            .history =
                allocate_structures(&scratch, call->steps * call->beam, sizeof *beam.history)};
        if (memory) {
            rank->beams[i] = beam;
        }
    }
    return scratch.used;
}

static ptrdiff_t place_rank(decoding_rank *rank, const decoding_pass *pass, float *memory) {
    const fs_decode *call = pass->call;
    arena scratch = {.memory = memory};
    *rank = (decoding_rank){.pass = pass};
    rank->decoders = allocate_structures(&scratch, call->count, sizeof *rank->decoders);
    rank->log_p = arena_allocate(&scratch, call->count * call->V);
    rank->mean = arena_allocate(&scratch, call->V);
    rank->slot = allocate_structures(&scratch, pass->slots, sizeof *rank->slot);
    rank->next_slot = allocate_structures(&scratch, pass->slots, sizeof *rank->next_slot);
    if (call->beam > 0) {
        scratch.used += place_beams(rank, pass, arena_rest(&scratch));
    }
    for (ptrdiff_t k = 0; k < call->count; ++k) {
        const decoder_plan plan =
            memory ? pass->plans[k] : plan_decoder(&call->decoders[k], call->V);
        decoder_rank own;
        scratch.used += place_decoder_rank(&own, pass, &plan, arena_rest(&scratch));
        if (memory) {
            own.plan = &pass->plans[k];
            rank->decoders[k] = own;
        }
    }
    return scratch.used;
}

static ptrdiff_t place_plan(decoder_plan *plan, decoding_pass *pass, float *memory) {
    const fs_decoder *decoder = plan->decoder;
    arena scratch = {.memory = memory};
    plan->layers = allocate_structures(&scratch, decoder->layers, sizeof *plan->layers);
    for (ptrdiff_t layer = 0; layer < decoder->layers; ++layer) {
        recurrent_run run = plan_decoding_layer(pass, plan, layer);
        scratch.used += place_packed(&run, arena_rest(&scratch));
        pass->panels += count_all_panels(&run);
        if (memory) {
            set_weights(&run, &decoder->recurrent[layer]);
            plan->layers[layer] = run;
        }
    }
    for (int m = 0; m < DECODING_PROJECTIONS; ++m) {
        affine_projection *projection = &plan->projections[m];
        float *packed = arena_allocate(&scratch, projection_floats(projection));
        pass->panels += count_panels(projection->columns);
        /* of hard attention each step reads the weights of the scores for every position */
        const int few_reads = pass->few_reads && !(plan->is_hard && m == SCORE_PROJECTION);
        projection->packed = memory && !(few_reads && projection->W.column == 1) ? packed : NULL;
    }
    return scratch.used;
}

static ptrdiff_t place_decoding(decoding_pass *pass, const fs_context *context, float *memory) {
    const fs_decode *call = pass->call;
    arena scratch = {.memory = memory};
    pass->plans = allocate_structures(&scratch, call->count, sizeof *pass->plans);
    for (ptrdiff_t k = 0; k < call->count; ++k) {
        decoder_plan plan = plan_decoder(&call->decoders[k], call->V);
        scratch.used += place_plan(&plan, pass, arena_rest(&scratch));
        if (memory) {
            pass->plans[k] = plan;
        }
    }
    decoding_rank rank;
    const int ranks = parallel_ranks(context, call->N, pass->operations);
    pass->rank_floats = place_rank(&rank, pass, NULL);
    pass->rank_memory = arena_allocate(&scratch, ranks * pass->rank_floats);
    return scratch.used;
}

#endif
