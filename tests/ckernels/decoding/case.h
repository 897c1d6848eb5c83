/* decoding/case.h — calls of greedy decoding. Shape N, V, D, H.
 *
 * A decoder has many forms: each shape checks some of them, all shapes together every one. */
#ifndef CHECK_DECODING_CASE_H
#define CHECK_DECODING_CASE_H

#include "../check.h"

#define DECODING_STEPS 5
#define DECODING_TE 3
#define MOST_DECODING_LAYERS 3
#ifdef QUICK
#define FORMS_PER_SHAPE 12
#else
#define FORMS_PER_SHAPE 4 /* of five times the shapes, in each layout */
#endif

enum { NO_ATTENTION, DOT, SCALED, GENERAL, ADDITIVE, HARD, ATTENTION_KINDS };

/* The most decoders of a call. */
#define MOST_DECODERS 3

/* The parts of a decoder, and the options of a call. */
typedef struct {
    fs_cell cell;
    ptrdiff_t layers;
    int attention, combines, peeks;
    ptrdiff_t count; /* of decoders */
    int has_end, has_limits, has_lengths, has_c0, log_probabilities;
} decoding_form;

/* The index-th form; the other options are random. */
#define DECODING_FORMS (FS_CELLS * 2 * ATTENTION_KINDS * 2 * 2)

static decoding_form decoding_form_at(int index) {
    next_uniform(1);
    const uint32_t drawn = random_state >> 16;
    decoding_form form = {.has_end = drawn & 1,
                          .has_limits = drawn >> 1 & 1,
                          .has_lengths = drawn >> 2 & 1,
                          .has_c0 = drawn >> 3 & 1,
                          .log_probabilities = drawn >> 4 & 1,
                          .count = (drawn >> 5 & 3) == 0 ? 1 + (drawn >> 7) % MOST_DECODERS : 1};
    form.cell = (fs_cell)(index % FS_CELLS);
    index /= FS_CELLS;
    form.attention = index % ATTENTION_KINDS;
    index /= ATTENTION_KINDS;
    form.layers = index % 2 ? MOST_DECODING_LAYERS : 1;
    form.combines = index / 2 % 2 && form.attention != NO_ATTENTION;
    form.peeks = index / 4 % 2 && form.attention != HARD;
    return form;
}

static fs_recurrent_weights new_recurrent_weights(fs_cell cell, ptrdiff_t inputs, ptrdiff_t H) {
    const fs_cell_info *info = &fs_cells[cell];
    fs_recurrent_weights weights = {{{NULL, 0, 0}}};
    for (int i = 0; i < info->weight_count; ++i) {
        const fs_weight w = info->weights[i];
        const ptrdiff_t columns = fs_weights[w].every_gate ? info->gates * H : H;
        if (fs_weights[w].rows == FS_VECTOR) {
            weights.array[w] = (fs_matrix){new_uniform(columns, 1), 0, 1};
        } else {
            const ptrdiff_t rows = fs_weights[w].rows == FS_ROW_PER_INPUT ? inputs : H;
            weights.array[w] = new_matrix(rows, columns, 1);
        }
    }
    return weights;
}

static ptrdiff_t *new_sizes(ptrdiff_t n, ptrdiff_t least, ptrdiff_t count) {
    ptrdiff_t *sizes = new_array(n * (ptrdiff_t)sizeof *sizes, 0);
    for (ptrdiff_t i = 0; i < n; ++i) {
        sizes[i] = least + i % count;
    }
    return sizes;
}

static void give_attention(fs_decoder *own, ptrdiff_t N, const decoding_form *form) {
    const ptrdiff_t H = own->H;
    own->Te = DECODING_TE;
    own->enc = new_uniform(N * own->Te * H, 1);
    own->scale = form->attention == SCALED ? 0.25f : 1.0f;
    if (form->attention >= GENERAL) {
        own->W_query = new_matrix(H, H, 1);
    }
    if (form->attention >= ADDITIVE) {
        own->keys = new_uniform(N * own->Te * H, 1);
    }
    if (form->attention == ADDITIVE) {
        own->v = new_uniform(H, 1);
    }
    if (form->attention == HARD) {
        own->W_jump = new_matrix(H, FS_JUMPS, 1);
        own->b_jump = new_uniform(FS_JUMPS, 1);
        own->W_combine = new_matrix(H, H, 1);
        own->b_combine = new_uniform(H, 1);
    } else if (form->combines) {
        own->W_combine = new_matrix(2 * H, H, 1);
        own->b_combine = new_uniform(H, 1);
    }
}

static fs_decoder new_decoder(ptrdiff_t N, ptrdiff_t V, ptrdiff_t D, ptrdiff_t H,
                              const decoding_form *form) {
    const ptrdiff_t before = form->peeks ? H : 0;
    fs_recurrent_weights *recurrent = new_array(form->layers * (ptrdiff_t)sizeof *recurrent, 0);
    fs_decoder own = {
        .recurrent = recurrent, .cell = form->cell, .layers = form->layers, .D = D, .H = H};
    for (ptrdiff_t i = 0; i < own.layers; ++i) {
        recurrent[i] = new_recurrent_weights(form->cell, i ? H : before + D, H);
    }
    if (form->attention != NO_ATTENTION) {
        give_attention(&own, N, form);
    }
    own.h0 = new_uniform(own.layers * N * H, 1);
    if (fs_cells[form->cell].states > 1 && form->has_c0) {
        own.c0 = new_uniform(own.layers * N * H, 1);
    }
    own.peek = form->peeks ? own.h0 + (own.layers - 1) * N * H : NULL;
    own.embedding = new_matrix(V, D, 1);
    own.W = new_matrix(before + (own.enc && own.W_combine.data == NULL ? 2 * H : H), V, 1);
    own.b = new_uniform(V, 1);
    return own;
}

/* A call with the first decoder of this form, and others that differ in size and form. */
static fs_decode new_decoding_case(const ptrdiff_t *shape, const decoding_form *form) {
    const ptrdiff_t N = shape[0], V = shape[1];
    fs_decoder *decoders = new_array(MOST_DECODERS * (ptrdiff_t)sizeof *decoders, 0);
    fs_decode call = {.decoders = decoders,
                      .count = form->count,
                      .start_id = V / 2,
                      .first_id = V / 3,
                      .end_id = -1,
                      .N = N,
                      .steps = V > 0 ? DECODING_STEPS : 0, /* there must be an id for start_id */
                      .V = V};
    for (ptrdiff_t k = 0; k < call.count; ++k) {
        decoding_form own = *form;
        own.attention = (int)(form->attention + k) % ATTENTION_KINDS;
        own.cell = (fs_cell)((form->cell + k) % FS_CELLS);
        own.peeks = form->peeks && own.attention != HARD;
        decoders[k] = new_decoder(N, V, shape[2] + k, shape[3] + k, &own);
    }
    call.limits = form->has_limits ? new_sizes(N, 0, call.steps + 1) : NULL;
    call.encoder_lengths = form->has_lengths ? new_sizes(N, 1, DECODING_TE) : NULL;
    return call;
}

/* A copy of the call's decoders with new memory for results. */
static void new_decoding_results(fs_decode *call, int log_probabilities) {
    fs_decoder *decoders = new_array(call->count * (ptrdiff_t)sizeof *decoders, 0);
    call->ids = new_ids(call->N * call->steps);
    call->taken = new_array(call->N * (ptrdiff_t)sizeof *call->taken, 0);
    call->log_probabilities = log_probabilities ? new_doubles(call->N) : NULL;
    for (ptrdiff_t k = 0; k < call->count; ++k) {
        fs_decoder *own = &decoders[k];
        *own = call->decoders[k];
        const ptrdiff_t states = own->layers * call->N * own->H;
        own->h = new_floats(states);
        own->c = fs_cells[own->cell].states > 1 ? new_floats(states) : NULL;
        own->weights = own->enc ? new_floats(call->N * own->Te) : NULL;
    }
    call->decoders = decoders;
}

static void run_decoding(const fs_kernels *k, fs_decode *call, int threads) {
    const fs_context context = context_of(threads);
    call->scratch = new_floats(SLOT(k, decode_floats)(call, &context));
    SLOT(k, decode)(call, &context);
    ran("decode");
}

#endif
