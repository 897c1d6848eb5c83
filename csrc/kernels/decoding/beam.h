/* kernels/decoding/beam.h — beam search: which hypotheses go on after a step. See layout.h for
 * slots and memory. */
#ifndef FS_DECODING_BEAM_H
#define FS_DECODING_BEAM_H

/* Inserts a hypothesis into a list, best score first, after those of the same score; of a full list
 * the last one falls out. Returns the new length. */
static ptrdiff_t insert_hypothesis(hypothesis *list, ptrdiff_t length, ptrdiff_t most,
                                   hypothesis inserted) {
    ptrdiff_t place = length;
    while (place > 0 && list[place - 1].score < inserted.score) {
        --place;
    }
    if (place == most) {
        return length;
    }
    const ptrdiff_t last = min_size(length, most - 1);
    memmove(list + place + 1, list + place, (size_t)(last - place) * sizeof *list);
    list[place] = inserted;
    return last + 1;
}

/* What the log probability of an answer of so many ids is divided by. */
static double length_penalty(const fs_decode *call, ptrdiff_t ids) {
    return pow((double)(5 + ids) / 6.0, call->length_penalty);
}

/* The score that one more answer of a row must exceed. */
static double score_to_exceed(const decoding_rank *rank, const beam_row *beam) {
    const ptrdiff_t n_best = rank->pass->call->n_best;
    return beam->ended_count < n_best ? -INFINITY : beam->ended[n_best - 1].score;
}

/* chosen (beam) <- the extensions of the hypotheses in `count` slots from `first` on with the
 * highest totals. Returns their number; 0 where after a hypothesis no id is possible, or NaN. */
static ptrdiff_t choose_extensions(const decoding_rank *rank, ptrdiff_t first, ptrdiff_t count) {
    const fs_decode *call = rank->pass->call;
    ptrdiff_t length = 0;
    for (ptrdiff_t i = first; i < first + count; ++i) {
        const float *log_p = ranked_scores(rank, i);
        const double before = rank->slot[i].total;
        int is_possible = 0;
        for (int64_t id = call->first_id; id < call->V; ++id) {
            const double total = (double)log_p[id] + before;
            if (isnan(total)) {
                return 0;
            }
            is_possible |= total > -INFINITY;
            const double least = length < call->beam ? -INFINITY : rank->chosen[length - 1].score;
            if (total > least) {
                length = insert_hypothesis(
                    rank->chosen, length, call->beam,
                    (hypothesis){.score = total, .total = total, .from = i, .id = id});
            }
        }
        if (!is_possible) {
            return 0;
        }
    }
    return length;
}

/* Writes the answers of a row whose search is over. */
static void end_search(const decoding_rank *rank, const beam_row *beam) {
    const fs_decode *call = rank->pass->call;
    for (ptrdiff_t k = 0; k < call->n_best; ++k) {
        const ptrdiff_t answer = beam->row * call->n_best + k;
        hypothesis own = {.score = -INFINITY, .total = -INFINITY};
        if (k < beam->ended_count) {
            own = beam->ended[k];
        }
        call->taken[answer] = own.steps;
        call->log_probabilities[answer] = own.total;
        call->scores[answer] = own.score;
        int64_t *ids = call->ids + answer * call->steps;
        for (ptrdiff_t step = call->steps - 1; step >= own.steps; --step) {
            ids[step] = max_size(call->end_id, 0);
        }
        for (ptrdiff_t step = own.steps - 1, place = own.from; step >= 0; --step) {
            const beam_link *link = &beam->history[step * call->beam + place];
            ids[step] = link->id;
            place = link->parent;
        }
    }
}

/* The search of a row fails: its scores are NaN. */
static void fail_search(const decoding_rank *rank, beam_row *beam) {
    beam->ended_count = rank->pass->call->n_best;
    for (ptrdiff_t k = 0; k < beam->ended_count; ++k) {
        beam->ended[k] = (hypothesis){.score = NAN, .total = NAN};
    }
}

/* Puts batch row n into the next slot, unless its limit is 0. */
static void begin_search(decoding_rank *rank, ptrdiff_t n) {
    const decoding_slot slot = fill_slot(rank, n);
    beam_row *beam = &rank->beams[rank->searched];
    beam->row = n;
    beam->count = 1;
    beam->ended_count = 0;
    if (slot.limit == 0) {
        end_search(rank, beam);
        return;
    }
    ++rank->searched;
    rank->slot[rank->active++] = slot;
}

/* Extends the hypotheses of a row, in slots from `first` on; those that go on are in slots from
 * `to` on. */
static void extend_hypotheses(decoding_rank *rank, beam_row *beam, ptrdiff_t first, ptrdiff_t to) {
    const fs_decode *call = rank->pass->call;
    const ptrdiff_t taken = rank->slot[first].taken + 1, limit = rank->slot[first].limit;
    const double penalty = length_penalty(call, taken), last_penalty = length_penalty(call, limit);
    const ptrdiff_t chosen = choose_extensions(rank, first, beam->count);
    beam->count = 0;
    if (chosen == 0) {
        fail_search(rank, beam);
        return;
    }
    for (ptrdiff_t j = 0; j < chosen; ++j) {
        hypothesis own = rank->chosen[j];
        beam->history[(taken - 1) * call->beam + j] =
            (beam_link){own.id, rank->slot[own.from].place};
        if (own.id == call->end_id || taken == limit) {
            own.score = own.total / penalty;
            own.from = j;
            own.steps = taken;
            beam->ended_count =
                insert_hypothesis(beam->ended, beam->ended_count, call->n_best, own);
        }
    }
    const double least = score_to_exceed(rank, beam);
    for (ptrdiff_t j = 0; j < chosen; ++j) {
        const hypothesis own = rank->chosen[j];
        const int ends = own.id == call->end_id || taken == limit;
        if (ends || own.total / last_penalty <= least) {
            continue;
        }
        const ptrdiff_t slot = to + beam->count++;
        continue_slot(rank, slot, own.from, own.id);
        rank->next_slot[slot] = (decoding_slot){.row = beam->row,
                                                .taken = taken,
                                                .limit = limit,
                                                .id = own.id,
                                                .total = own.total,
                                                .place = j};
    }
}

/* Extends the hypotheses of all rows; rows that have not ended move to the first places. */
static void search_step(decoding_rank *rank) {
    ptrdiff_t first = 0, continuing = 0, rows = 0;
    for (ptrdiff_t i = 0; i < rank->searched; ++i) {
        beam_row beam = rank->beams[i];
        const ptrdiff_t count = beam.count;
        extend_hypotheses(rank, &beam, first, continuing);
        first += count;
        if (beam.count == 0) {
            end_search(rank, &beam);
            continue;
        }
        continuing += beam.count;
        /* with its memory, in exchange for that of a row that has ended */
        rank->beams[i] = rank->beams[rows];
        rank->beams[rows++] = beam;
    }
    decoding_slot *before = rank->slot;
    rank->slot = rank->next_slot;
    rank->next_slot = before;
    rank->active = continuing;
    rank->searched = rows;
}

#endif
