/* kernels/decoding.h — greedy decoding: each step reads the id that the step before it chose.
 *
 * Rows are independent. A thread decodes its rows in a few slots: a step computes the rows in all
 * of them together, each at a step of its own; where a row has ended, the next row begins. Every
 * product sums in the order of the layers' kernels: a row has the bits of its steps one by one.
 *
 * Weights are packed once for all threads. They are streamed at each step where they are read few
 * times, or by a single row, which uses each weight once a step, packed or not.
 *
 *     x        (slots, X)    [peek, embedding] or the embedding; of another layer the h below it
 *     combined (slots, 2 H)  [context, h], where W_combine multiplies it
 *     outputs  (slots, F)    [peek, a], where a is [context, h] or h without W_combine */
#ifndef FS_DECODING_H
#define FS_DECODING_H

/* Rows that a thread decodes at once: enough to use the weights that a step loads, so few that the
 * encoder's states, which attention reads at each step, stay in the cache. */
#define DECODING_SLOTS 24

/* What moving one weight into its packed panel costs, in operations, when deciding on threads. */
#define PACKING_OPERATIONS 16.0

/* Their order is that of a step. A map that a decoder does not have has no columns. */
enum { QUERY_PROJECTION, COMBINE_PROJECTION, SCORE_PROJECTION, DECODING_PROJECTIONS };

/* What all threads share. */
typedef struct {
    const fs_decode *call;
    fs_context single_thread; /* for kernels that are called inside a task */
    ptrdiff_t peek_columns;   /* H, or 0 without peek */
    ptrdiff_t X, F;           /* columns of the first layer's x, and of outputs */
    ptrdiff_t slots;          /* at most DECODING_SLOTS */
    int few_reads;            /* whether packing weights takes longer than it saves */
    double operations;        /* of all steps */
    double weight_count;      /* of layers and projections */
    ptrdiff_t panels;         /* of their weights */
    recurrent_run *layers;    /* (layers), which have weights, and no memory for rows */
    affine_projection projections[DECODING_PROJECTIONS];
    float *rank_memory; /* (ranks, rank_floats) */
    ptrdiff_t rank_floats;
} decoding_pass;

/* Which row of the call is in a slot, how many steps it has taken, and how many it may take. */
typedef struct {
    ptrdiff_t row, taken, limit;
} decoding_slot;

/* What one rank keeps. Rows are in its first `active` slots. */
typedef struct {
    const decoding_pass *pass;
    decoding_slot slot[DECODING_SLOTS];
    ptrdiff_t active;
    recurrent_run *layers;
    float *h; /* of the top layer, in combined or in outputs; the context lies before it */
    ptrdiff_t h_row;
    float *combined, *queries, *outputs;
    float *scores, *log_p; /* (slots, V), and (V) of one of them */
} decoding_rank;

/* ---- memory ---- */

static recurrent_run *allocate_runs(arena *scratch, ptrdiff_t count) {
    _Static_assert(sizeof(recurrent_run) % sizeof(float) == 0, "counted in floats");
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
                          .few_reads = call->N == 1 || call->N * call->steps <= FEW_ROWS};
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

/* A layer that takes one step of all slots. */
static recurrent_run plan_decoding_layer(const decoding_pass *pass, ptrdiff_t layer) {
    fs_recurrent_size size = {.cell = pass->call->cell, .directions = 1, .inference = 1, .T = 1};
    size.N = pass->slots;
    size.D = layer > 0 ? pass->call->H : pass->X;
    size.H = pass->call->H;
    recurrent_run run = plan_recurrent(&size);
    run.few_reads = pass->few_reads;
    return run;
}

/* Each returns how many floats it used of `memory`, which may be NULL. */
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

/* ---- slots ---- */

/* State row `to` of all layers <- the caller's states of batch row n. */
static void load_slot(const decoding_rank *rank, ptrdiff_t n, ptrdiff_t to) {
    const fs_decode *call = rank->pass->call;
    for (ptrdiff_t layer = 0; layer < call->layers; ++layer) {
        const recurrent_run *run = &rank->layers[layer];
        const ptrdiff_t from = (layer * call->N + n) * call->H;
        load_states(run->h + to * run->Hp, call->h0 + from, run, 0, 1);
        if (run->has_cell) {
            const float *c0 = call->c0 ? call->c0 + from : NULL;
            load_states(run->c + to * run->Hp, c0, run, 0, 1);
        }
    }
}

/* The caller's states of batch row n <- state row `from` of all layers. */
static void store_slot(const decoding_rank *rank, ptrdiff_t n, ptrdiff_t from) {
    const fs_decode *call = rank->pass->call;
    const size_t bytes = (size_t)call->H * sizeof(float);
    for (ptrdiff_t layer = 0; layer < call->layers; ++layer) {
        const recurrent_run *run = &rank->layers[layer];
        const ptrdiff_t to = (layer * call->N + n) * call->H;
        memcpy(call->h + to, run->h + from * run->Hp, bytes);
        if (run->has_cell) {
            memcpy(call->c + to, run->c + from * run->Hp, bytes);
        }
    }
}

static void move_slot(const decoding_rank *rank, ptrdiff_t to, ptrdiff_t from) {
    for (ptrdiff_t layer = 0; layer < rank->pass->call->layers; ++layer) {
        const recurrent_run *run = &rank->layers[layer];
        const size_t bytes = (size_t)run->Hp * sizeof(float);
        memcpy(run->h + to * run->Hp, run->h + from * run->Hp, bytes);
        if (run->has_cell) {
            memcpy(run->c + to * run->Hp, run->c + from * run->Hp, bytes);
        }
    }
}

/* Batch row n has ended: its states are in state row `from`. */
static void end_row(const decoding_rank *rank, ptrdiff_t n, ptrdiff_t taken, ptrdiff_t from) {
    const fs_decode *call = rank->pass->call;
    call->taken[n] = taken;
    for (ptrdiff_t step = taken; step < call->steps; ++step) {
        call->ids[n * call->steps + step] = max_size(call->end_id, 0);
    }
    store_slot(rank, n, from);
}

/* Batch row n into the next slot, unless it has no step. */
static void begin_row(decoding_rank *rank, ptrdiff_t n) {
    const fs_decode *call = rank->pass->call;
    load_slot(rank, n, rank->active);
    if (call->weights) {
        zero_rows(call->weights, n, n + 1, call->Te);
    }
    if (call->log_probabilities) {
        call->log_probabilities[n] = 0.0;
    }
    const ptrdiff_t limit = call->limits ? call->limits[n] : call->steps;
    if (limit == 0) {
        end_row(rank, n, 0, rank->active);
        return;
    }
    rank->slot[rank->active++] = (decoding_slot){n, 0, limit};
}

/* ---- a step of all active rows ---- */

/* The first layer's x, and peek in outputs. */
static void read_inputs(const decoding_rank *rank) {
    const decoding_pass *pass = rank->pass;
    const fs_decode *call = pass->call;
    const ptrdiff_t before = pass->peek_columns;
    const size_t bytes = (size_t)before * sizeof(float);
    for (ptrdiff_t i = 0; i < rank->active; ++i) {
        const ptrdiff_t n = rank->slot[i].row, taken = rank->slot[i].taken;
        const int64_t id = taken > 0 ? call->ids[n * call->steps + taken - 1] : call->start_id;
        float *x = rank->layers[0].x + i * pass->X;
        if (bytes > 0) {
            memcpy(x, call->peek + n * before, bytes);
            memcpy(rank->outputs + i * pass->F, call->peek + n * before, bytes);
        }
        embedding_forward(x + before, call->embedding, &id, 1, call->D, &pass->single_thread);
    }
}

/* h and c of all layers. The h of a layer is the x of the next, or where rank->h is. */
static void advance_layers(const decoding_rank *rank) {
    const ptrdiff_t H = rank->pass->call->H, top = rank->pass->call->layers - 1;
    for (ptrdiff_t layer = 0; layer <= top; ++layer) {
        recurrent_run *run = &rank->layers[layer];
        run->size.N = rank->active;
        run->rows = rank->active;
        run->hs = layer < top ? rank->layers[layer + 1].x : rank->h;
        run->columns = layer < top ? H : rank->h_row;
        for (int g = 0; g < run->groups && streams_weights(run); ++g) {
            stream_inputs(run, &run->group[g], columns_of_parts(run, &run->group[g], 0, 1, 1));
        }
        run->passes->forward_rows(run, (recurrent_part){0, rank->active, team_of_one});
    }
}

/* The context before each h. */
static void attend(const decoding_rank *rank) {
    const decoding_pass *pass = rank->pass;
    const fs_decode *call = pass->call;
    const ptrdiff_t H = call->H, Te = call->Te;
    if (call->W_query.data) {
        compute_projection(&pass->projections[QUERY_PROJECTION], rank->queries, H, rank->h,
                           rank->h_row, rank->active);
    }
    for (ptrdiff_t i = 0; i < rank->active; ++i) {
        const ptrdiff_t n = rank->slot[i].row;
        const fs_attention_size size = {
            .N = 1,
            .Te = Te,
            .Td = 1,
            .H = H,
            .encoder_lengths = call->encoder_lengths ? call->encoder_lengths + n : NULL};
        float *h = rank->h + i * rank->h_row, *weights = call->weights + n * Te;
        const float *query = call->W_query.data ? rank->queries + i * H : h;
        const float *enc = call->enc + n * Te * H;
        if (call->keys) {
            additive_weights_forward(weights, call->keys + n * Te * H, query, call->v, size,
                                     &pass->single_thread);
            weighted_sum_forward(h - H, enc, weights, size, &pass->single_thread);
        } else {
            attention_forward(h - H, weights, enc, query, call->scale, size, &pass->single_thread);
        }
    }
}

/* Scores, from outputs that have a already unless W_combine makes it. */
static void compute_scores(const decoding_rank *rank) {
    const decoding_pass *pass = rank->pass;
    const ptrdiff_t H = pass->call->H, V = pass->call->V, F = pass->F;
    if (pass->call->W_combine.data) {
        float *a = rank->outputs + pass->peek_columns;
        compute_projection(&pass->projections[COMBINE_PROJECTION], a, F, rank->combined, 2 * H,
                           rank->active);
        for (ptrdiff_t i = 0; i < rank->active; ++i) {
            tanh_array(a + i * F, a + i * F, H);
        }
    }
    compute_projection(&pass->projections[SCORE_PROJECTION], rank->scores, V, rank->outputs, F,
                       rank->active);
}

static int64_t choose_id(const decoding_rank *rank, ptrdiff_t slot) {
    const fs_decode *call = rank->pass->call;
    const float *scores = rank->scores + slot * call->V;
    if (call->log_probabilities) {
        log_softmax_row(rank->log_p, scores, call->V);
        scores = rank->log_p;
    }
    const ptrdiff_t first = call->first_id;
    const ptrdiff_t id = first + argmax(scores + first, call->V - first);
    if (call->log_probabilities) {
        call->log_probabilities[rank->slot[slot].row] += (double)scores[id];
    }
    return id;
}

/* Ids from scores; rows that have not ended move to the first slots, for their next step. */
static void choose_ids(decoding_rank *rank) {
    const fs_decode *call = rank->pass->call;
    ptrdiff_t continuing = 0;
    for (ptrdiff_t i = 0; i < rank->active; ++i) {
        const ptrdiff_t state = rank->layers[0].state_rows + i; /* after the step */
        const int64_t id = choose_id(rank, i);
        decoding_slot slot = rank->slot[i];
        call->ids[slot.row * call->steps + slot.taken] = id;
        ++slot.taken;
        if (id == call->end_id || slot.taken == slot.limit) {
            end_row(rank, slot.row, slot.taken, state);
            continue;
        }
        move_slot(rank, continuing, state);
        rank->slot[continuing++] = slot;
    }
    rank->active = continuing;
}

/* ---- the call ---- */

static void decode_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank_index) {
    const decoding_pass *pass = argument;
    decoding_rank rank;
    place_rank(&rank, pass, pass->rank_memory + rank_index * pass->rank_floats);
    /* rows of equal length make groups: of equal size, so that the last is not a small one */
    const ptrdiff_t groups = (end - begin + pass->slots - 1) / pass->slots;
    const ptrdiff_t most = (end - begin + groups - 1) / groups;
    for (ptrdiff_t next = begin; next < end || rank.active > 0;) {
        while (next < end && rank.active < most) {
            begin_row(&rank, next++);
        }
        read_inputs(&rank);
        advance_layers(&rank);
        if (pass->call->enc) {
            attend(&rank);
        }
        compute_scores(&rank);
        choose_ids(&rank);
    }
}

/* Panels [begin, end) of all layers, then of all projections. */
static void pack_decoding_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const decoding_pass *pass = argument;
    (void)rank;
    for (ptrdiff_t layer = 0; layer < pass->call->layers; ++layer) {
        const recurrent_run *run = &pass->layers[layer];
        const ptrdiff_t panels = count_all_panels(run);
        if (!streams_weights(run)) {
            pack_forward(run, min_size(max_size(begin, 0), panels),
                         min_size(max_size(end, 0), panels));
        }
        begin -= panels;
        end -= panels;
    }
    for (int m = 0; m < DECODING_PROJECTIONS; ++m) {
        const affine_projection *projection = &pass->projections[m];
        const ptrdiff_t panels = count_panels(projection->columns);
        if (projection->packed) {
            pack_projection(projection, min_size(max_size(begin, 0), panels),
                            min_size(max_size(end, 0), panels));
        }
        begin -= panels;
        end -= panels;
    }
}

static void decode(const fs_decode *call, const fs_context *context) {
    decoding_pass pass = plan_decoding(call, context);
    place_decoding(&pass, context, align_to_cache_line(call->scratch));
    const double packing = pass.few_reads ? 0.0 : PACKING_OPERATIONS * pass.weight_count;
    parallel_for(context, pass.panels, packing, pack_decoding_task, &pass);
    parallel_for(context, call->N, pass.operations, decode_task, &pass);
}

static ptrdiff_t decode_floats(const fs_decode *call, const fs_context *context) {
    decoding_pass pass = plan_decoding(call, context);
    return ALIGNMENT_FLOATS + place_decoding(&pass, context, NULL);
}

#endif
