/* kernels/decoding/decode.h — greedy decoding: the input of each step is the id that the previous
 * step predicted. See layout.h for slots and memory. */
#ifndef FS_DECODE_H
#define FS_DECODE_H

/* ---- slots ---- */

/* State row `to` of all layers <- the caller's initial states of batch row n. */
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

/* The caller's final states of batch row n <- state row `from` of all layers. */
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

/* Puts batch row n into the next slot, unless its limit is 0. */
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

/* Sets the first layer's x, and peek in outputs. */
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

/* Computes h and c of all layers. The h of a layer is stored as the x of the next, of the top layer
 * in rank->h. */
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
        forward_rows(run, (recurrent_part){0, rank->active, team_of_one});
    }
}

/* Stores the context before each h. */
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

/* scores = outputs W + b; with W_combine, a = tanh([context, h] W_combine + b_combine) first. */
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

/* Stores the ids; rows that have not ended move to the first slots. */
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
    /* if all rows have the same length, they are decoded in groups: equal sizes avoid a small last
     * one */
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
