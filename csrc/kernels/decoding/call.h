/* kernels/decoding/call.h — a call of decoding: weights are packed, then threads decode their rows.
 * See layout.h for slots and memory. */
#ifndef FS_DECODING_CALL_H
#define FS_DECODING_CALL_H

static void decode_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank_index) {
    const decoding_pass *pass = argument;
    decoding_rank rank;
    place_rank(&rank, pass, pass->rank_memory + rank_index * pass->rank_floats);
    const int searches = pass->call->beam > 0;
    /* if all rows have the same length, they are decoded in groups: equal sizes avoid a small last
     * one */
    const ptrdiff_t groups = (end - begin + pass->rows - 1) / pass->rows;
    const ptrdiff_t most = (end - begin + groups - 1) / groups;
    for (ptrdiff_t next = begin; next < end || rank.active > 0;) {
        if (is_interrupted(pass->interrupt, rank_index)) {
            return;
        }
        if (searches) {
            while (next < end && rank.searched < most) {
                begin_search(&rank, next++);
            }
        } else {
            while (next < end && rank.active < most) {
                begin_row(&rank, next++);
            }
        }
        for (ptrdiff_t k = 0; k < pass->call->count; ++k) {
            step_decoder(&rank, &rank.decoders[k]);
        }
        if (searches) {
            search_step(&rank);
        } else {
            choose_ids(&rank);
        }
    }
}

/* The panels [begin, end) of one decoder's layers, then of its projections; returns their number in
 * all. */
static ptrdiff_t pack_decoder(const decoder_plan *plan, ptrdiff_t begin, ptrdiff_t end) {
    ptrdiff_t before = 0;
    for (ptrdiff_t layer = 0; layer < plan->decoder->layers; ++layer) {
        const recurrent_run *run = &plan->layers[layer];
        const ptrdiff_t panels = count_all_panels(run);
        if (!streams_weights(run)) {
            pack_forward(run, min_size(max_size(begin - before, 0), panels),
                         min_size(max_size(end - before, 0), panels));
        }
        before += panels;
    }
    for (int m = 0; m < DECODING_PROJECTIONS; ++m) {
        const affine_projection *projection = &plan->projections[m];
        const ptrdiff_t panels = count_panels(projection->columns);
        if (projection->packed) {
            pack_projection(projection, min_size(max_size(begin - before, 0), panels),
                            min_size(max_size(end - before, 0), panels));
        }
        before += panels;
    }
    return before;
}

/* Panels [begin, end) of all decoders. */
static void pack_decoding_task(void *argument, ptrdiff_t begin, ptrdiff_t end, int rank) {
    const decoding_pass *pass = argument;
    (void)rank;
    for (ptrdiff_t k = 0; k < pass->call->count; ++k) {
        const ptrdiff_t panels = pack_decoder(&pass->plans[k], begin, end);
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
