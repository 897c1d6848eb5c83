/* kernels/decoding/decode.h — the steps of decoding, and their greedy choice of ids; beam.h has
 * that of beam search. See layout.h for slots and memory. */
#ifndef FS_DECODE_H
#define FS_DECODE_H

/* ---- slots ---- */

/* State row `to` of all layers <- the caller's initial states of batch row n. */
static void load_slot(const decoder_rank *rank, ptrdiff_t n, ptrdiff_t to, ptrdiff_t N) {
    const fs_decoder *decoder = rank->plan->decoder;
    for (ptrdiff_t layer = 0; layer < decoder->layers; ++layer) {
        const recurrent_run *run = &rank->layers[layer];
        const ptrdiff_t from = (layer * N + n) * decoder->H;
        load_states(run->h + to * run->Hp, decoder->h0 + from, run, 0, 1);
        if (run->has_cell) {
            const float *c0 = decoder->c0 ? decoder->c0 + from : NULL;
            load_states(run->c + to * run->Hp, c0, run, 0, 1);
        }
    }
}

/* The caller's final states of batch row n <- state row `from` of all layers. */
static void store_slot(const decoder_rank *rank, ptrdiff_t n, ptrdiff_t from, ptrdiff_t N) {
    const fs_decoder *decoder = rank->plan->decoder;
    const size_t bytes = (size_t)decoder->H * sizeof(float);
    for (ptrdiff_t layer = 0; layer < decoder->layers; ++layer) {
        const recurrent_run *run = &rank->layers[layer];
        const ptrdiff_t to = (layer * N + n) * decoder->H;
        memcpy(decoder->h + to, run->h + from * run->Hp, bytes);
        if (run->has_cell) {
            memcpy(decoder->c + to, run->c + from * run->Hp, bytes);
        }
    }
}

static void move_slot(const decoder_rank *rank, ptrdiff_t to, ptrdiff_t from) {
    for (ptrdiff_t layer = 0; layer < rank->plan->decoder->layers; ++layer) {
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
    for (ptrdiff_t k = 0; k < call->count; ++k) {
        store_slot(&rank->decoders[k], n, from, call->N);
    }
}

static ptrdiff_t positions_of_row(const decoder_rank *rank, const fs_decode *call, ptrdiff_t n) {
    return call->encoder_lengths ? call->encoder_lengths[n] : rank->plan->decoder->Te;
}

/* Batch row n in the next slot, which is returned, before its first step. */
static decoding_slot fill_slot(const decoding_rank *rank, ptrdiff_t n) {
    const fs_decode *call = rank->pass->call;
    for (ptrdiff_t k = 0; k < call->count; ++k) {
        const decoder_rank *own = &rank->decoders[k];
        const ptrdiff_t Te = own->plan->decoder->Te;
        load_slot(own, n, rank->active, call->N);
        if (own->plan->is_hard) {
            begin_belief(own->belief + rank->active * Te, Te);
        }
    }
    return (decoding_slot){
        .row = n, .limit = call->limits ? call->limits[n] : call->steps, .id = call->start_id};
}

/* Puts batch row n into the next slot, unless its limit is 0. */
static void begin_row(decoding_rank *rank, ptrdiff_t n) {
    const fs_decode *call = rank->pass->call;
    const decoding_slot slot = fill_slot(rank, n);
    for (ptrdiff_t k = 0; k < call->count; ++k) {
        const fs_decoder *decoder = rank->decoders[k].plan->decoder;
        if (decoder->weights) {
            zero_rows(decoder->weights, n, n + 1, decoder->Te);
        }
    }
    if (call->log_probabilities) {
        call->log_probabilities[n] = 0.0;
    }
    if (slot.limit == 0) {
        end_row(rank, n, 0, rank->active);
        return;
    }
    rank->slot[rank->active++] = slot;
}

/* The caller's weights of the batch row in slot i <- those of its last step. */
static void store_weights(const decoding_rank *rank, ptrdiff_t i) {
    const fs_decode *call = rank->pass->call;
    const ptrdiff_t n = rank->slot[i].row;
    for (ptrdiff_t k = 0; k < call->count; ++k) {
        const decoder_rank *own = &rank->decoders[k];
        const ptrdiff_t Te = own->plan->decoder->Te;
        if (own->plan->decoder->weights) {
            memcpy(own->plan->decoder->weights + n * Te, own->weights + i * Te,
                   (size_t)positions_of_row(own, call, n) * sizeof(float));
        }
    }
}

/* ---- a step of all active rows ---- */

/* Sets the first layer's x, and peek in outputs. */
static void read_inputs(const decoding_rank *rank, const decoder_rank *own) {
    const decoder_plan *plan = own->plan;
    const fs_decoder *decoder = plan->decoder;
    const ptrdiff_t before = plan->peek_columns;
    const size_t bytes = (size_t)before * sizeof(float);
    for (ptrdiff_t i = 0; i < rank->active; ++i) {
        const ptrdiff_t n = rank->slot[i].row;
        float *x = own->layers[0].x + i * plan->X;
        if (bytes > 0) {
            memcpy(x, decoder->peek + n * before, bytes);
            memcpy(own->outputs + i * plan->F, decoder->peek + n * before, bytes);
        }
        embedding_forward(x + before, decoder->embedding, &rank->slot[i].id, 1, decoder->D,
                          &rank->pass->single_thread);
    }
}

/* Computes h and c of all layers. The h of a layer is stored as the x of the next, of the top layer
 * in own->h. */
static void advance_layers(const decoding_rank *rank, const decoder_rank *own) {
    const ptrdiff_t H = own->plan->decoder->H, top = own->plan->decoder->layers - 1;
    for (ptrdiff_t layer = 0; layer <= top; ++layer) {
        recurrent_run *run = &own->layers[layer];
        run->size.N = rank->active;
        run->rows = rank->active;
        run->hs = layer < top ? own->layers[layer + 1].x : own->h;
        run->columns = layer < top ? H : own->h_row;
        for (int g = 0; g < run->groups && streams_weights(run); ++g) {
            stream_inputs(run, &run->group[g], columns_of_parts(run, &run->group[g], 0, 1, 1));
        }
        forward_rows(run, (recurrent_part){0, rank->active, team_of_one, 0});
    }
}

static void project(const decoding_rank *rank, const decoder_rank *own, int projection, float *y,
                    ptrdiff_t y_row, const float *x, ptrdiff_t x_row) {
    compute_projection(&own->plan->projections[projection], y, y_row, x, x_row, rank->active);
}

/* Stores the context before each h. */
static void attend(const decoding_rank *rank, const decoder_rank *own) {
    const fs_decode *call = rank->pass->call;
    const fs_decoder *decoder = own->plan->decoder;
    const fs_context *alone = &rank->pass->single_thread;
    const ptrdiff_t H = decoder->H, Te = decoder->Te;
    for (ptrdiff_t i = 0; i < rank->active; ++i) {
        const ptrdiff_t n = rank->slot[i].row;
        const fs_attention_size size = {
            .N = 1,
            .Te = Te,
            .Td = 1,
            .H = H,
            .encoder_lengths = call->encoder_lengths ? call->encoder_lengths + n : NULL};
        float *h = own->h + i * own->h_row, *weights = own->weights + i * Te;
        const float *query = decoder->W_query.data ? own->queries + i * H : h;
        const float *enc = decoder->enc + n * Te * H;
        if (decoder->v) {
            additive_weights_forward(weights, decoder->keys + n * Te * H, query, decoder->v, size,
                                     alone);
            weighted_sum_forward(h - H, enc, weights, size, alone);
        } else {
            attention_forward(h - H, weights, enc, query, decoder->scale, size, alone);
        }
    }
}

/* scores = outputs W + b; with W_combine, a = tanh([context, h] W_combine + b_combine) first. */
static void compute_scores(const decoding_rank *rank, const decoder_rank *own) {
    const ptrdiff_t H = own->plan->decoder->H, F = own->plan->F;
    if (own->plan->decoder->W_combine.data) {
        float *a = own->outputs + own->plan->peek_columns;
        project(rank, own, COMBINE_PROJECTION, a, F, own->combined, 2 * H);
        for (ptrdiff_t i = 0; i < rank->active; ++i) {
            tanh_array(a + i * F, a + i * F, H);
        }
    }
    project(rank, own, SCORE_PROJECTION, own->log_p, rank->pass->call->V, own->outputs, F);
}

static chain_step step_of_slot(const decoding_rank *rank, const decoder_rank *own, ptrdiff_t i) {
    const fs_decode *call = rank->pass->call;
    const ptrdiff_t Te = own->plan->decoder->Te;
    return (chain_step){.te = positions_of_row(own, call, rank->slot[i].row),
                        .V = call->V,
                        .q = own->q + i * Te * call->V,
                        .inverses = own->inverses + i * Te,
                        .jumps = own->jumps,
                        .belief = own->belief + i * Te,
                        .norms = own->norms,
                        .sums = own->sums};
}

/* log_p of hard attention, and its priors. */
static void compute_hard_scores(const decoding_rank *rank, const decoder_rank *own) {
    const fs_decoder *decoder = own->plan->decoder;
    const ptrdiff_t H = decoder->H, Te = decoder->Te, V = rank->pass->call->V;
    project(rank, own, COMBINE_PROJECTION, own->combined, H, own->h, own->h_row);
    project(rank, own, JUMP_PROJECTION, own->jump_scores, FS_JUMPS, own->h, own->h_row);
    for (ptrdiff_t i = 0; i < rank->active; ++i) {
        const ptrdiff_t n = rank->slot[i].row;
        const chain_step s = step_of_slot(rank, own, i);
        const fs_attention_size size = {.N = 1, .Te = s.te, .Td = 1, .H = H};
        float *prior = own->weights + i * Te;
        attention_weights_forward(own->content, decoder->enc + n * Te * H, own->queries + i * H,
                                  1.0f, size, &rank->pass->single_thread);
        features_of_step(own->a, decoder->keys + n * Te * H, own->combined + i * H, NULL, s.te, H);
        compute_projection(&own->plan->projections[SCORE_PROJECTION], s.q, V, own->a, H, s.te);
        compute_emissions(&s, s.q);
        compute_prior(prior, &s, own->content, own->jump_scores + i * FS_JUMPS, own->given);
        compute_totals(own->totals, &s, prior);
        log_of_totals(own->log_p + i * V, own->totals, V);
    }
}

static void step_decoder(const decoding_rank *rank, const decoder_rank *own) {
    const fs_decoder *decoder = own->plan->decoder;
    read_inputs(rank, own);
    advance_layers(rank, own);
    if (decoder->W_query.data) {
        project(rank, own, QUERY_PROJECTION, own->queries, decoder->H, own->h, own->h_row);
    }
    if (own->plan->is_hard) {
        compute_hard_scores(rank, own);
        return;
    }
    if (decoder->enc) {
        attend(rank, own);
    }
    compute_scores(rank, own);
}

/* The log probabilities of a slot by one decoder; in `to` if it has only scores yet. */
static const float *log_p_of_slot(const decoder_rank *own, float *to, ptrdiff_t slot, ptrdiff_t V) {
    const float *row = own->log_p + slot * V;
    if (own->plan->is_hard) {
        return row;
    }
    log_softmax_row(to, row, V);
    return to;
}

static const float *ranked_scores(const decoding_rank *rank, ptrdiff_t slot) {
    const fs_decode *call = rank->pass->call;
    const ptrdiff_t V = call->V;
    if (call->count == 1 && !call->log_probabilities) {
        return rank->decoders[0].log_p + slot * V;
    }
    for (ptrdiff_t k = 0; k < call->count; ++k) {
        float *to = rank->log_p + k * V;
        const float *row = log_p_of_slot(&rank->decoders[k], to, slot, V);
        if (row != to) {
            memcpy(to, row, (size_t)V * sizeof *to);
        }
    }
    if (call->count == 1) {
        return rank->log_p;
    }
    log_mean_exp_row(rank->mean, rank->log_p, V, call->count, V);
    return rank->mean;
}

static int64_t choose_id(const decoding_rank *rank, ptrdiff_t slot) {
    const fs_decode *call = rank->pass->call;
    const float *scores = ranked_scores(rank, slot);
    const ptrdiff_t first = call->first_id;
    const ptrdiff_t id = first + argmax(scores + first, call->V - first);
    if (call->log_probabilities) {
        call->log_probabilities[rank->slot[slot].row] += (double)scores[id];
    }
    return id;
}

/* The state row of slot i after a step; of all decoders the same, as they have as many slots. */
static ptrdiff_t state_after_step(const decoding_rank *rank, ptrdiff_t i) {
    return rank->decoders[0].layers[0].state_rows + i;
}

/* What is in slot i goes on in slot `to`, after an id. */
static void continue_slot(const decoding_rank *rank, ptrdiff_t to, ptrdiff_t i, int64_t id) {
    for (ptrdiff_t k = 0; k < rank->pass->call->count; ++k) {
        const decoder_rank *own = &rank->decoders[k];
        const ptrdiff_t Te = own->plan->decoder->Te;
        move_slot(own, to, state_after_step(rank, i));
        if (own->plan->is_hard) {
            const chain_step s = step_of_slot(rank, own, i);
            update_belief(own->belief + to * Te, &s, own->weights + i * Te, id);
        }
    }
}

/* Stores the ids; rows that have not ended move to the first slots. */
static void choose_ids(decoding_rank *rank) {
    const fs_decode *call = rank->pass->call;
    ptrdiff_t continuing = 0;
    for (ptrdiff_t i = 0; i < rank->active; ++i) {
        decoding_slot slot = rank->slot[i];
        slot.id = choose_id(rank, i);
        call->ids[slot.row * call->steps + slot.taken] = slot.id;
        ++slot.taken;
        if (slot.id == call->end_id || slot.taken == slot.limit) {
            store_weights(rank, i);
            end_row(rank, slot.row, slot.taken, state_after_step(rank, i));
            continue;
        }
        continue_slot(rank, continuing, i, slot.id);
        rank->slot[continuing++] = slot;
    }
    rank->active = continuing;
}

#endif
