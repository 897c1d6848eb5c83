/* kernels/decoding/layout.h — the plan of a call of greedy decoding, and its memory layout.
 *
 * Rows are independent. A thread decodes its rows in a few slots (continuous batching): a step
 * computes the rows in all slots together, each at its own step; when a row has ended, the next one
 * takes its slot. Every product sums in the order of the layers' kernels: a row has the same bits
 * as when its steps are computed one by one.
 *
 * Weights are packed once for all threads. They are streamed instead if they are read few times, or
 * by a single row, which reads each weight once per step, packed or not.
 *
 *     x        (slots, X)    [peek, embedding] or the embedding; in other layers the h below
 *     combined (slots, 2 H)  [context, h], the factor of W_combine
 *     outputs  (slots, F)    [peek, a]; without W_combine, a is [context, h] or h */
#ifndef FS_DECODING_LAYOUT_H
#define FS_DECODING_LAYOUT_H

/* Rows that a thread decodes at once: enough to reuse the weights that a step loads, and few enough
 * that the encoder states, which attention reads at each step, stay in cache. */
#define DECODING_SLOTS 24

/* The cost of packing one weight, in operations, for the number of threads. */
#define PACKING_OPERATIONS 16.0

/* In the order of a step. A projection that a decoder does not have has 0 columns. */
enum { QUERY_PROJECTION, COMBINE_PROJECTION, SCORE_PROJECTION, DECODING_PROJECTIONS };

/* The data common to all threads. */
typedef struct {
    const fs_decode *call;
    fs_context single_thread; /* for kernels called inside a task */
    ptrdiff_t peek_columns;   /* H, or 0 without peek */
    ptrdiff_t X, F;           /* columns of the first layer's x, and of outputs */
    ptrdiff_t slots;          /* at most DECODING_SLOTS */
    int few_reads;            /* whether weights are read too few times for packing to pay */
    double operations;        /* of all steps */
    double weight_count;      /* of layers and projections */
    ptrdiff_t panels;         /* of their weights */
    recurrent_run *layers;    /* (layers), with weights, without memory for rows */
    affine_projection projections[DECODING_PROJECTIONS];
    float *rank_memory; /* (ranks, rank_floats) */
    ptrdiff_t rank_floats;
} decoding_pass;

/* The batch row in a slot, the number of its steps so far, and the maximum. */
typedef struct {
    ptrdiff_t row, taken, limit;
} decoding_slot;

/* The data of one rank. Rows are in its first `active` slots. */
typedef struct {
    const decoding_pass *pass;
    decoding_slot slot[DECODING_SLOTS];
    ptrdiff_t active;
    recurrent_run *layers;
    float *h; /* of the top layer, in combined or in outputs, with the context before it */
    ptrdiff_t h_row;
    float *combined, *queries, *outputs;
    float *scores, *log_p; /* (slots, V), and (V) of one of them */
} decoding_rank;

static recurrent_run *allocate_runs(arena *scratch, ptrdiff_t count) {
    _Static_assert(sizeof(recurrent_run) % sizeof(float) == 0, "the arena allocates floats");
    return (void *)arena_allocate(scratch,
                                  count * (ptrdiff_t)(sizeof(recurrent_run) / sizeof(float)));
}

static decoding_pass plan_decoding(const fs_decode *call, const fs_context *context) {
    const ptrdiff_t H = call->H;
    const int combines = call->W_combine.data != NULL;
    assert(call->layers >= 1 && (call->enc || (!combines && !call->W_query.data)));
    decoding_pass pass = {.call = call,
                          .single_thread = single_threaded(context),
                          .peek_columns = call->peek ? H : 0,
                          .slots = min_size(call->N, DECODING_SLOTS),
                          .few_reads =
                              !PACKS_ALWAYS && (call->N == 1 || call->N * call->steps <= FEW_ROWS)};
    pass.X = pass.peek_columns + call->D;
    pass.F = pass.peek_columns + (call->enc && !combines ? 2 * H : H);
    pass.projections[QUERY_PROJECTION] =
        (affine_projection){call->W_query, NULL, H, call->W_query.data ? H : 0, NULL};
    pass.projections[COMBINE_PROJECTION] =
        (affine_projection){call->W_combine, call->b_combine, 2 * H, combines ? H : 0, NULL};
    pass.projections[SCORE_PROJECTION] =
        (affine_projection){call->W, call->b, pass.F, call->V, NULL};
    const double gates = fs_cells[call->cell].gates * (double)H;
    pass.weight_count = gates * (double)(pass.X + H + 2 * (call->layers - 1) * H);
    for (int m = 0; m < DECODING_PROJECTIONS; ++m) {
        pass.weight_count +=
            (double)pass.projections[m].depth * (double)pass.projections[m].columns;
    }
    const double attention =
        call->keys ? 2.0 + ADDITIVE_OPERATIONS : 4.0; /* two products of states */
    const double each_step = 2.0 * pass.weight_count + attention * (double)(call->Te * H) +
                             SOFTMAX_OPERATIONS * (double)call->V;
    pass.operations = (double)(call->N * call->steps) * each_step;
    return pass;
}

/* A layer that computes one step of all slots. */
static recurrent_run plan_decoding_layer(const decoding_pass *pass, ptrdiff_t layer) {
    fs_recurrent_size size = {.cell = pass->call->cell, .directions = 1, .inference = 1, .T = 1};
    size.N = pass->slots;
    size.D = layer > 0 ? pass->call->H : pass->X;
    size.H = pass->call->H;
    recurrent_run run = plan_recurrent(&size);
    run.few_reads = pass->few_reads;
    return run;
}

/* The place functions set the pointers into `memory`, unless it is NULL, and return its size. */
static ptrdiff_t place_rank(decoding_rank *rank, const decoding_pass *pass, float *memory) {
    const fs_decode *call = pass->call;
    const ptrdiff_t H = call->H;
    arena scratch = {.memory = memory};
    *rank = (decoding_rank){.pass = pass, .layers = allocate_runs(&scratch, call->layers)};
    rank->outputs = arena_allocate(&scratch, pass->slots * pass->F);
    rank->h_row = call->W_combine.data ? 2 * H : pass->F;
    rank->combined =
        call->W_combine.data ? arena_allocate(&scratch, pass->slots * 2 * H) : rank->outputs;
    rank->h = memory ? rank->combined + rank->h_row - H : NULL;
    rank->queries = arena_allocate(&scratch, call->W_query.data ? pass->slots * H : 0);
    rank->scores = arena_allocate(&scratch, pass->slots * call->V);
    rank->log_p = arena_allocate(&scratch, call->V);
    for (ptrdiff_t layer = 0; layer < call->layers; ++layer) {
        recurrent_run run = memory ? pass->layers[layer] : plan_decoding_layer(pass, layer);
        scratch.used += place_cache(&run, arena_rest(&scratch));
        scratch.used += place_streamed(&run, arena_rest(&scratch));
        if (memory) {
            rank->layers[layer] = run;
        }
    }
    return scratch.used;
}

static ptrdiff_t place_decoding(decoding_pass *pass, const fs_context *context, float *memory) {
    const fs_decode *call = pass->call;
    arena scratch = {.memory = memory};
    pass->layers = allocate_runs(&scratch, call->layers);
    for (ptrdiff_t layer = 0; layer < call->layers; ++layer) {
        recurrent_run run = plan_decoding_layer(pass, layer);
        scratch.used += place_packed(&run, arena_rest(&scratch));
        pass->panels += count_all_panels(&run);
        if (memory) {
            set_weights(&run, &call->recurrent[layer]);
            pass->layers[layer] = run;
        }
    }
    for (int m = 0; m < DECODING_PROJECTIONS; ++m) {
        affine_projection *projection = &pass->projections[m];
        float *packed = arena_allocate(&scratch, projection_floats(projection));
        pass->panels += count_panels(projection->columns);
        projection->packed =
            memory && !(pass->few_reads && projection->W.column == 1) ? packed : NULL;
    }
    decoding_rank rank;
    const int ranks = parallel_ranks(context, call->N, pass->operations);
    pass->rank_floats = place_rank(&rank, pass, NULL);
    pass->rank_memory = arena_allocate(&scratch, ranks * pass->rank_floats);
    return scratch.used;
}

#endif
